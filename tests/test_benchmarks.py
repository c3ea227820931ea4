"""The benchmarks run, in tiny shapes; the page of performance shows what is stored and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "benchmarks"
PAGE = ROOT / "docs" / "performance.md"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import performance_page

    return performance_page


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_every_part_runs_and_its_tiny_numbers_are_refused(page: Any, tmp_path: Path) -> None:
    for script in ("hf_backend.py", "engine_overhead.py"):
        done = run(script, "--quick", "--out", str(tmp_path / script.replace(".py", ".json")))
        assert done.returncode == 0, done.stderr
    backend = json.loads((tmp_path / "hf_backend.json").read_text())["parts"]
    overhead = json.loads((tmp_path / "engine_overhead.json").read_text())["parts"]
    marks = {match[2] for match in page.MARK.finditer(PAGE.read_text())}
    assert marks == {"targets", *backend, *overhead}
    assert not any("failed" in row for part in backend.values() for row in part["rows"].values())
    # What must hold in any shape: every distinct token is run at most once.
    assert backend["beam"]["rows"]["ttscale"]["/ (prompt + sampled)"] <= 1
    assert backend["verify"]["rows"]["ttscale"]["/ (prompt + steps)"] <= 1.05
    assert backend["trunk"]["rows"]["one trunk"]["/ (prompt + sampled)"] <= 1
    lines = [line for line in page.targets(backend).splitlines() if "engine" not in line and "per node" not in line]
    assert [line for line in lines if page.NOT_RUN in line] == [
        "| the same: 10,000 questions over 10 | <= 1.5 | not measured yet | |"
    ]
    with pytest.raises(SystemExit, match=r"best_of_n.*tiny shapes"):
        page.read(tmp_path)


def test_the_page_shows_what_is_stored(page: Any) -> None:
    assert PAGE.read_text() == page.write_page(PAGE.read_text(), page.read(SCRIPTS / "results"))


def test_tables_are_filled_and_targets_judged(page: Any) -> None:
    rows = {
        "ttscale": {"seconds": 0.5, "slower": 1.0, "/ (prompt + sampled)": 0.98},
        "generate on re-sent prefixes": {"seconds": 3.0, "slower": 6.0},
        "ttscale, prefixes run again": {"seconds": 0.75, "slower": 1.5},
        "a loop over the model's own cache, prefilling again": {"seconds": 1.25, "slower": 2.5},
    }
    text = "before\n<!-- part: beam -->\nold\n<!-- end -->\nbetween\n<!-- part: memory -->\n<!-- end -->\n"
    written = page.write_page(text, {"beam": {"rows": rows}})
    assert "| ttscale | 0.5 | 1 | 0.98 |" in written
    assert "old" not in written
    assert "<!-- part: memory -->\n\nNot measured yet.\n\n<!-- end -->" in written
    assert page.write_page(written, {"beam": {"rows": rows}}) == written
    judged = page.targets({"beam": {"rows": rows}})
    assert "| beam: tokens forwarded / least | <= 1.05 | 0.98 | met |" in judged
    assert "| beam: faster than `generate` on re-sent prefixes | >= 5 | 6 | met |" in judged
    assert "| beam: faster than ttscale itself, prefilling again | >= 2 | 1.5 | **missed** |" in judged
    assert "| beam: faster than a plain loop that prefills again | >= 2 | 2.5 | met |" in judged
    assert "| verifier: faster than every prefix whole | >= 5 | not measured yet | |" in judged


def test_without_a_gpu_nothing_is_measured_on_one(tmp_path: Path) -> None:
    out = tmp_path / "hf_backend.json"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPTS / "hf_backend.py"), "--part", "gpu", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert "not measured: no GPU" in done.stdout
    assert json.loads(out.read_text())["parts"]["gpu"]["rows"] == {"not measured": {"reason": "no GPU"}}
