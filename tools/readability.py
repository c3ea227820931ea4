"""Says how hard each page of the docs is to read: ``python -m tools.readability`` prints a row for every page.

With ``--write`` the table goes into docs/about-these-pages.md; with names of pages it prints their longest sentences.

Counted is prose alone: no code blocks, tables, headings, images or comments. Code within a sentence counts as one short
word. Flesch's reading ease is 206.835 - 1.015 words per sentence - 84.6 syllables per word (Flesch 1948); 60 is plain
English, 30 is a scientific paper. Must not know: what a page is about.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
TABLE = REPOSITORY / "docs" / "about-these-pages.md"
BEGIN, END = "<!-- readability -->", "<!-- end -->"
LONG = 30
"""A sentence of more words than this is long."""
SHOWN = 10
"""Longest sentences of a page that are printed."""

_HIDDEN = re.compile(
    r"<!--.*?-->"  # comments
    r"|^( *)(`{3,}|~{3,})[^\n]*\n.*?^\1\2 *$"  # fenced blocks
    r"|^ {4,}[^\n]*$"  # indented blocks
    r"|^#[^\n]*$|^\|[^\n]*$|^!\[[^\n]*$|^:::[^\n]*$|^=== [^\n]*$",  # headings, tables, images, API entries, tabs
    re.DOTALL | re.MULTILINE,
)
_SENTENCE_ENDS = re.compile(r"(?<=[.!?])[\"')*]*\s+|\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )")
_WORD = re.compile(r"[A-Za-z]+(?:['’-][A-Za-z]+)*")
_VOWELS = re.compile(r"[aeiouy]+")


@dataclass(frozen=True)
class Readability:
    """Of one page: sentences, words per sentence, the share of sentences over ``LONG`` words, Flesch's reading ease."""

    sentences: int
    mean: float
    long: float
    ease: float


def measure(page: str) -> Readability:
    """The figures of one Markdown page; of a page without prose all are 0 and the ease is 100."""
    counts = [words for text in sentences(page) if (words := _WORD.findall(text))]
    if not counts:
        return Readability(0, 0.0, 0.0, 100.0)
    words = [word for sentence in counts for word in sentence]
    mean = len(words) / len(counts)
    syllables = sum(map(_syllables, words)) / len(words)
    long = sum(len(sentence) > LONG for sentence in counts) / len(counts)
    return Readability(len(counts), mean, long, 206.835 - 1.015 * mean - 84.6 * syllables)


def sentences(page: str) -> list[str]:
    """The sentences of a Markdown page; an item of a list is at least one."""
    text = _HIDDEN.sub("\n", page)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\b(e\.g|i\.e|al|etc|vs|Fig)\.", r"\1", text)
    text = re.sub(r"`[^`]*`", "code", text)
    return [" ".join(piece.split()) for piece in _SENTENCE_ENDS.split(text) if piece and piece.strip()]


def pages() -> dict[str, Path]:
    """The README and every page of the docs, by the path in the repository."""
    files = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("**/*.md"))]
    return {file.relative_to(REPOSITORY).as_posix(): file for file in files}


def table() -> str:
    """A Markdown table with a row for every page."""
    lines = ["| Page | Sentences | Words per sentence | Over 30 words | Reading ease |", "|---|--:|--:|--:|--:|"]
    for name, file in pages().items():
        one = measure(file.read_text(encoding="utf-8"))
        lines.append(f"| {name} | {one.sentences} | {one.mean:.1f} | {one.long:.0%} | {one.ease:.0f} |")
    return "\n".join(lines)


def _syllables(word: str) -> int:
    """Groups of vowels without a silent final e: on these pages within .02 of the CMU dictionary's syllables a word."""
    word = word.lower()
    groups = len(_VOWELS.findall(word))
    silent = word.endswith("e") and not word.endswith(("le", "ee")) and groups > 1
    return max(1, groups - silent - (word.endswith("ed") and not word.endswith(("ted", "ded")) and groups > 1))


def main(arguments: list[str]) -> None:
    if arguments == ["--write"]:
        page = TABLE.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        TABLE.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    elif arguments:
        for name in arguments:
            texts = sorted(
                sentences(Path(name).read_text(encoding="utf-8")), key=lambda text: -len(_WORD.findall(text))
            )
            print(name, *texts[:SHOWN], sep="\n  ")
    else:
        print(table())


if __name__ == "__main__":
    main(sys.argv[1:])
