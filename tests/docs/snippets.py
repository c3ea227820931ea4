"""Finds the fenced blocks of a Markdown page, runs those that can be run, and compares what they print.

A page is a story: its blocks run from top to bottom, Python in one namespace, everything in one empty folder.

- ``python`` runs here; ``bash`` runs in bash and must succeed; ``console`` holds commands after ``$`` and their output.
- ``<!-- output -->`` above a ``text`` block: exactly what the block before it printed. ``...`` stands for anything.
- ``<!-- output: numbers may differ -->``: the same with every number, and the length of runs of spaces, left out.
- ``<!-- not run: reason -->`` above a block: it is left alone. The reason is for the reader of the source.
- ``<!-- fails: SomeError -->`` above a ``python`` block: it must raise that; what is shown next is its message.
- No output is a bare True or False: what proves a sentence of the page stands in ``checks.py``.
- Other languages are data. A block without a language, or in one not named in ``DATA``, is an error: it would slip by.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import textwrap
import traceback
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUN = ("python", "bash", "console")
DATA = ("text", "json", "jsonl", "toml", "yaml", "html", "diff", "mermaid")
TIMEOUT = 300
"""Seconds for one shell block: a guard against hanging, far above what any of them needs."""

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>.*)$")
_MARKER = re.compile(r"^\s*<!--\s*(?P<what>not run|output|fails)(?::\s*(?P<how>.*?))?\s*-->\s*$")
_BOOLEAN = re.compile(r"\b(True|False)\b")
_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?%?")


class SnippetError(AssertionError):
    """A snippet broke, or does not print what the page says."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, text, the marker above it, and the line of its first line of text (from 1)."""

    language: str
    text: str
    line: int
    marker: str = ""
    how: str = ""


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order; ``SnippetError`` for what the rules above do not allow."""
    found: list[Block] = []
    lines = page.splitlines()
    above, i = "", 0
    while i < len(lines):
        opened = _FENCE.match(lines[i])
        if not opened:
            above = lines[i] if lines[i].strip() else above
            i += 1
            continue
        start = i + 1
        i = start
        while i < len(lines) and lines[i].strip() != opened["fence"]:
            i += 1
        if i == len(lines):
            raise SnippetError(f"line {start}: the block is never closed")
        text = textwrap.dedent("\n".join(lines[start:i])) + "\n"
        language = opened["info"].strip().split(" ")[0].strip("{}.")
        found.append(_checked(language, text, start + 1, _MARKER.match(above)))
        above, i = "", i + 1
    return found


def _checked(language: str, text: str, line: int, marked: re.Match[str] | None) -> Block:
    marker, how = (marked["what"], marked["how"] or "") if marked else ("", "")
    if language not in (*RUN, *DATA):
        raise SnippetError(f"line {line}: a block in {language or 'no language'!r}; use one of {', '.join(RUN + DATA)}")
    if marker == "not run" and not how:
        raise SnippetError(f"line {line}: 'not run' needs a reason")
    if marker == "output" and (language != "text" or how not in ("", "numbers may differ")):
        raise SnippetError(f"line {line}: 'output' stands above a text block, alone or with 'numbers may differ'")
    if marker == "output" and _BOOLEAN.search(text):
        raise SnippetError(
            f"line {line}: the output is a test of the page; show a value, and put the test in checks.py"
        )
    if marker == "fails" and (language != "python" or not how):
        raise SnippetError(f"line {line}: 'fails' stands above a python block and names the error")
    return Block(language, text, line, marker, how)


def run_page(page: str, name: str, folder: Path) -> dict[str, Any]:
    """Run the blocks of a page in ``folder``; returns the names they made. ``SnippetError`` names page and line."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed: str | None = None
    for block in blocks(page):
        where = f"{name}, line {block.line}"
        if block.marker == "output":
            if printed is None:
                raise SnippetError(f"{where}: an output with no block before it that ran")
            _compare(block.text, printed, bool(block.how), where)
        elif block.marker == "not run":
            printed = None
        elif block.language in RUN:
            if block.language == "python":
                printed = _run_python(block, name, namespace, where)
            elif block.language == "bash":
                printed = _run_bash(block.text, folder, where)
            else:
                _run_console(block.text, folder, where)
    return namespace


def _run_python(block: Block, name: str, namespace: dict[str, Any], where: str) -> str:
    out = io.StringIO()
    try:
        # Blank lines in front make the line numbers of a traceback those of the page.
        code = compile("\n" * (block.line - 1) + block.text, name, "exec", dont_inherit=True)
        with redirect_stdout(out):
            exec(code, namespace)
    except Exception as error:
        if block.how == type(error).__name__ and block.marker == "fails":
            return f"{error}\n"
        raise SnippetError(f"{where}:\n{traceback.format_exc()}") from error
    if block.marker == "fails":
        raise SnippetError(f"{where}: should have raised {block.how} and did not")
    return out.getvalue()


def _run_bash(script: str, folder: Path, where: str) -> str:
    """What a script prints on standard output; the commands of this environment come first on its path."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    if done.returncode:
        raise SnippetError(f"{where}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def _run_console(text: str, folder: Path, where: str) -> None:
    """Each command with what the page says it prints on either stream; its exit code may be any."""
    for piece in re.split(r"^(?=\$ )", text, flags=re.MULTILINE):
        if not piece.startswith("$ "):
            if piece.strip():
                raise SnippetError(f"{where}: a console block starts with a command after '$ '")
            continue
        command, _, expected = piece[2:].partition("\n")
        printed = _run_bash(f"{{ {command}\n}} 2>&1 || true", folder, where)
        if expected.strip():
            _compare(expected, printed, True, f"{where}, {command!r}")


def _compare(expected: str, printed: str, numbers_may_differ: bool, where: str) -> None:
    def plain(text: str) -> str:
        lines = [line.rstrip() for line in text.strip("\n").splitlines()]
        if numbers_may_differ:
            lines = [re.sub(r"\s+", " ", _NUMBER.sub("0", line)) for line in lines]
        return "\n".join(lines)

    pattern = "[\\s\\S]*?".join(re.escape(part) for part in plain(expected).split("..."))
    if not re.fullmatch(pattern, plain(printed)):
        raise SnippetError(f"{where}: the page says\n{expected}\nit printed\n{printed}")
