"""Every Python and shell snippet of the README and the documentation runs, and prints what the page says."""

from pathlib import Path

import pytest

from docs.checks import CHECKS
from docs.snippets import SnippetError, blocks, run_page

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("**/*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = page.relative_to(REPOSITORY).as_posix()
    names = run_page(page.read_text(encoding="utf-8"), name, tmp_path)
    if check := CHECKS.get(name):
        check(names)


def test_every_check_is_of_a_page() -> None:
    assert CHECKS.keys() <= {page.relative_to(REPOSITORY).as_posix() for page in PAGES}


def test_the_readme_runs_something() -> None:
    found = blocks((REPOSITORY / "README.md").read_text(encoding="utf-8"))
    assert sum(block.language == "python" and block.marker != "not run" for block in found) >= 2


# The runner itself: it must fail whenever a page is wrong.


def block(language: str, *lines: str, above: str = "") -> str:
    return "\n".join([above, f"```{language}", *lines, "```", ""])


def shown(*lines: str, how: str = "") -> str:
    return block("text", *lines, above=f"<!-- output{how} -->")


ANY_NUMBERS = ": numbers may differ"

GOOD = {
    "one namespace": block("python", "x = 1") + "and" + block("python", "print(x)") + shown("1"),
    "one folder": block("bash", "echo 7 > n") + block("python", "import os", "assert os.listdir() == ['n']"),
    "dots": block("python", "print('a b c')") + shown("a ... c"),
    "numbers": block("python", "print('cost   12.5 s, 3%')") + shown("cost 9 s, 10%", how=ANY_NUMBERS),
    "console": block("console", "$ echo hello", "hello", "$ false", "$ echo oops >&2", "oops"),
    "expected error": block("python", "raise ValueError('no')", above="<!-- fails: ValueError -->") + shown("no"),
    "not run": block("bash", "exit 1", above="<!-- not run: needs a cluster -->\n"),
    "in a list": "- so\n\n    ```python\n    if True:\n        y = 2\n    ```\n",
    "data": block("json", "{broken"),
}

BAD = {
    "raises": (block("python", "1 / 0"), "line 3[\\s\\S]*ZeroDivisionError"),
    "does not parse": (block("python", "1 +"), "SyntaxError"),
    "prints otherwise": (block("python", "print(1)") + shown("2"), "it printed\n1"),
    "prints more": (block("python", "print(1, 2)") + shown("1"), "it printed\n1 2"),
    "words differ": (block("python", "print('a 1')") + shown("b 1", how=ANY_NUMBERS), "it printed\na 1"),
    "output of nothing": (shown("1"), "no block before it"),
    "output of what did not run": (
        block("python", "print(1)", above="<!-- not run: x -->") + shown("1"),
        "no block before it",
    ),
    "shell fails": (block("bash", "false", "true"), "exit code 1"),
    "pipe fails": (block("bash", "false | cat"), "exit code 1"),
    "console differs": (block("console", "$ echo hello", "goodbye"), "goodbye"),
    "console without command": (block("console", "hello"), "starts with a command"),
    "no error": (block("python", "pass", above="<!-- fails: ValueError -->"), "should have raised"),
    "another error": (block("python", "1 / 0", above="<!-- fails: ValueError -->"), "ZeroDivisionError"),
    "a test of itself": (block("python", "print(1 < 2)") + shown("True"), "checks.py"),
    "no language": (block("", "x"), "no language"),
    "unknown language": (block("py", "x"), "'py'"),
    "no reason": (block("python", "x", above="<!-- not run -->"), "needs a reason"),
    "never closed": ("```python\nx = 1", "never closed"),
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_a_right_page_passes(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(text, "page.md", tmp_path)


@pytest.mark.parametrize(("text", "problem"), BAD.values(), ids=BAD)
def test_a_wrong_page_fails(text: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SnippetError, match=problem):
        run_page(text, "page.md", tmp_path)
