"""Every file in examples/ runs as it stands, and stays as short as an example should be."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))
LINES = 20
"""Lines of code (no blank lines, comments or docstrings): what still reads at a glance."""


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path)])
    if path.name.startswith("test_"):  # an example of a test: pytest runs it
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)], cwd=tmp_path, check=True
        )
        return
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.strip(), "an example shows something"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_is_short(path: Path) -> None:
    assert len(code_lines(path.read_text(encoding="utf-8"))) <= LINES


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 7


def code_lines(text: str) -> list[str]:
    """The lines that are code, without a docstring at the top."""
    body = text.split('"""', 2)[2] if text.startswith('"""') else text
    return [line for line in body.splitlines() if line.strip() and not line.strip().startswith("#")]
