"""Links of the README and the changelog lead somewhere; mkdocs checks those between the pages of docs/."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md"])
def test_links(name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    broken = [target for target, anchor in LINK.findall(text) if not leads_somewhere(REPOSITORY / target, anchor)]
    assert broken == []


def leads_somewhere(path: Path, anchor: str) -> bool:
    return path.exists() and (not anchor or anchor in anchors(path.read_text(encoding="utf-8")))


def anchors(page: str) -> set[str]:
    """What a page's headings are called in links."""
    headings = re.findall(r"^#+ (.+)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_menu() -> None:
    menu = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    pages = sorted(page.relative_to(REPOSITORY / "docs").as_posix() for page in (REPOSITORY / "docs").rglob("*.md"))
    assert [page for page in pages if page not in menu] == []
