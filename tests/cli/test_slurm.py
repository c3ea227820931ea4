"""The SLURM recipe of docs/scale.md, run as a plain script with SLURM's variables against a stand-in server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from fake_openai import serving

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"


def recipe() -> str:
    (block,) = re.findall(r"```bash\n(#!/bin/bash\n.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return str(block)


def lines_of(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def test_an_array_of_jobs_answers_every_question_once_and_a_requeued_job_goes_on(tmp_path: Path) -> None:
    (tmp_path / "questions").mkdir()
    for part in range(2):
        lines = [json.dumps({"id": f"q{part}-{i}", "question": f"Number {i}?"}) for i in range(5)]
        (tmp_path / "questions" / f"{part}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = tmp_path / "bin" / "ttscale"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m ttscale "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    (tmp_path / "job.sh").write_text(recipe(), encoding="utf-8")
    with serving() as server:
        for task in (0, 1, 0):
            variables = {
                **os.environ,
                "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "OPENAI_API_KEY": "none",
                "SLURM_ARRAY_TASK_ID": str(task),
                "SLURM_ARRAY_TASK_COUNT": "2",
                "SERVERS": server.url,
            }
            done = subprocess.run(
                ["bash", "job.sh"], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
        assert "0 answers written" in done.stderr
    found = [json.loads(line) for file in (tmp_path / "answers").glob("*/part-*") for line in lines_of(file)]
    assert Counter(row["id"] for row in found) == {f"q{part}-{i}": 1 for part in range(2) for i in range(5)}
    sizes = [sum(len(lines_of(f)) for f in (tmp_path / "answers" / str(t)).glob("part-*")) for t in range(2)]
    assert sizes == [5, 5]
