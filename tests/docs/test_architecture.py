"""The architecture page names rooms and files that exist, and every room."""

from __future__ import annotations

import re
from pathlib import Path

import ttscale
from test_imports import FLOORS, FRONT

ROOT = Path(ttscale.__file__).parent
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_file_and_folder_on_the_page_exists() -> None:
    """Written from the package down, or from the room of the sentence (``call.py`` in api)."""
    named = set(re.findall(r"`([a-z_/]+(?:\.py|/))`", PAGE))
    everything = [f"/{path.relative_to(ROOT).as_posix()}" for path in ROOT.rglob("*")]
    missing = [name for name in named if not any(path.endswith(f"/{name.rstrip('/')}") for path in everything)]
    assert [name for name in missing if not name.startswith("tests/")] == []
    assert len(named) > 15


def test_every_room_is_in_the_picture() -> None:
    picture = PAGE.split("```")[1]
    rooms = {path.stem for path in ROOT.iterdir() if not path.name.startswith("_") and path.name != "py.typed"}
    assert [room for room in sorted(rooms) if not re.search(rf"\b{room}\b", picture)] == []


def test_the_floors_of_the_picture_are_those_of_the_imports() -> None:
    """A line of the picture is a floor; one that begins with "and" belongs to the floor above."""
    floors: list[str] = []
    for line in PAGE.split("```")[1].splitlines()[1:]:
        rooms = re.split(r" {3,}", line.removeprefix(" ").removeprefix("  "))[0]
        if rooms.startswith("and "):
            floors[-1] += rooms.removeprefix("and")
        elif rooms:
            floors.append(rooms)
    assert [set(floor.split()) for floor in floors] == [
        {"ttscale"} if floor == FRONT else set(floor.split()) for floor in FLOORS
    ]
