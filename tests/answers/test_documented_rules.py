"""Each row of the tables in docs/answers.md, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ttscale.answers import equal, extract

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "answers.md").read_text(encoding="utf-8")


def rows(mark: str) -> list[list[str]]:
    """The cells of the table after a comment that begins with ``mark``."""
    table = PAGE.partition(f"<!-- {mark}:")[2].partition("-->")[2].strip().partition("\n\n")[0]
    return [
        [cell.replace(r"\|", "|").strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in table.splitlines()[2:]
    ]


def chains(cell: str, sign: str) -> list[list[str]]:
    return [re.findall(r"`([^`]+)`", chain) for chain in re.split(r"; (?=`)", cell) if sign in chain]


REPLIES = rows("extraction")
TOGETHER = [chain for row in rows("equality") for chain in chains(row[1], " = ")]
APART = [chain for row in rows("equality") for chain in chains(row[2], "≠")]


def test_the_tables_are_there() -> None:
    assert len(REPLIES) > 25
    assert len(TOGETHER) > 40
    assert len(APART) > 30


@pytest.mark.parametrize(("reply", "stated"), [row[:2] for row in REPLIES])
def test_a_reply_states(reply: str, stated: str) -> None:
    found = extract(reply.strip("`").replace("⏎", "\n"))
    assert equal(found, stated.strip("`")) if stated != "nothing" else found is None


@pytest.mark.parametrize("chain", TOGETHER)
def test_together(chain: list[str]) -> None:
    assert len(chain) > 1
    assert all(equal(chain[0], other) for other in chain[1:])


@pytest.mark.parametrize("chain", APART)
def test_apart(chain: list[str]) -> None:
    a, b = chain
    assert not equal(a, b)
