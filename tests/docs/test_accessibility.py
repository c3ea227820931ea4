"""What people look at passes axe-core's rules of WCAG 2 A and AA, in light and dark mode, wide and narrow.

Runs where Chromium and the package ``axe-core-python`` are. Pages of the docs need a built site too (``make docs``).
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

import ttscale
from ttscale import viz
from ttscale.evaluation.report.figure_data import Figure, Panel, Series
from ttscale.evaluation.report.matplotlib import to_svg
from ttscale.evaluation.report.page import Report, Table, to_html
from viz.toys import Toy

SITE = Path(__file__).resolve().parents[2] / "site"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
AXE = importlib.util.find_spec("axe_core_python")
RUN = """
addEventListener('load', () => setTimeout(async () => {
  for (const one of document.querySelectorAll('details')) one.open = true;
  const found = await axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa']});
  const root = document.documentElement;
  root.dataset.axe = JSON.stringify({passed: found.passes.length, sideways: root.scrollWidth - root.clientWidth,
    failed: found.violations.map(rule => [rule.id, rule.nodes.map(node => node.html.slice(0, 200))])});
}));
"""
MODES = {"light": ("1", 1280), "dark": ("0", 1280), "narrow": ("1", 500)}
PAGES = ["index", "getting-started", "strategies/beam", "strategies/index", "how-to-choose", "real-study", "api"]

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
    pytest.mark.skipif(AXE is None, reason="axe-core-python is not installed"),
]


def check(page: str, folder: Path, mode: str) -> dict[str, Any]:
    """How many of axe's rules the page passes, those that it fails, and by how many pixels the page is too wide."""
    assert AXE is not None
    assert AXE.origin is not None
    assert CHROMIUM is not None
    axe = Path(AXE.origin).with_name("axe.min.js").read_text(encoding="utf-8").replace("</script", r"<\/script")
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)  # it would keep axe out, as it should
    copy = folder / "page.html"
    copy.write_text(f"{page}<script>{axe}</script><script>{RUN}</script>", encoding="utf-8")
    scheme, width = MODES[mode]
    command = [CHROMIUM, *FLAGS.split(), f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000"]
    command += [f"--blink-settings=preferredColorScheme={scheme}", f"--window-size={width},1000"]
    done = subprocess.run(
        [*command, "--dump-dom", copy.as_uri()], capture_output=True, text=True, timeout=240, check=True
    )
    found = re.search(r'<html[^>]* data-axe="([^"]*)"', done.stdout)
    assert found, "axe did not end"
    result: dict[str, Any] = json.loads(unescape(found[1]))
    return result


def searches() -> str:
    """The viewer with a beam search, a chain of revisions and a best-of-N."""
    results = [
        ttscale.solve("What is 1 < 2?", budget, generator=Toy(), verifier=Toy(), reviser=Toy(), strategy=strategy)
        for strategy, budget in (("beam", 16), ("sequential_revision", 8), ("best_of_n", 64))
    ]
    return viz.html([viz.tree(result.trace) for result in results])


def report() -> str:
    """A report with a folded figure and a folded table."""
    line = Series("beam", (1.0, 4.0), (0.5, 0.7), (0.4, 0.6), (0.6, 0.8))
    figure = Figure("pareto", "Accuracy", "What to see.", (Panel("", "tokens", "accuracy", (line,)),))
    rows = Table("A table", ("strategy", "accuracy"), (("beam", "0.7"), ("vote", "0.5")), "A note.")
    drawn = {figure.name: to_svg(figure)} if importlib.util.find_spec("matplotlib") else {}
    return to_html(Report("Measured", (("data", "a file"),), (figure, rows), "Use beam."), drawn)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("page", [searches, report], ids=["viewer", "report"])
def test_pages_that_we_write(page: Callable[[], str], mode: str, tmp_path: Path) -> None:
    found = check(page(), tmp_path, mode)
    assert found["failed"] == []
    assert found["sideways"] == 0
    assert found["passed"] > 5


@pytest.mark.skipif(not SITE.is_dir(), reason="the docs are not built: make docs")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PAGES)
def test_pages_of_the_docs(name: str, mode: str, tmp_path: Path) -> None:
    file = SITE / f"{name}.html"
    text = file.read_text(encoding="utf-8").replace("<head>", f'<head><base href="{file.as_uri()}">', 1)
    found = check(text, tmp_path, mode)
    assert found["failed"] == []
    assert found["sideways"] == 0
    assert found["passed"] > 10


def test_axe_sees_a_fault(tmp_path: Path) -> None:
    page = "<!doctype html><html lang=en><title>x</title><main style='background:#fff;color:#aaa'>pale</main></html>"
    assert [rule for rule, _ in check(page, tmp_path, "light")["failed"]] == ["color-contrast"]
