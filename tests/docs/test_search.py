"""The search of the docs works where pages are files, and takes nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from docs.test_accessibility import CHROMIUM, FLAGS, SITE

BUILT = SITE / "index.html"


@pytest.mark.skipif(CHROMIUM is None or not BUILT.is_file(), reason="needs Chromium and a built site (make docs)")
@pytest.mark.parametrize("page", ["index", "strategies/beam"])
def test_a_search_finds_its_page(page: str, tmp_path: Path) -> None:
    url = f"{(SITE / page).as_uri()}.html?q=tournament"
    command = [str(CHROMIUM), *FLAGS.split(), f"--user-data-dir={tmp_path}", "--virtual-time-budget=20000"]
    done = subprocess.run([*command, "--dump-dom", url], capture_output=True, text=True, check=True, timeout=120)
    found = re.findall(r'class="md-search-result__item"><a href="[^"]*/([^"/]+)"', done.stdout)
    assert found[0] == "tournament.html"


@pytest.mark.skipif(not BUILT.is_file(), reason="needs a built site (make docs)")
def test_no_page_takes_a_script_or_a_style_from_elsewhere() -> None:
    for page in SITE.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img)[^>]* src="https?:[^>]*', text)
        assert not [link for link in re.findall("<link[^>]*>", text) if "stylesheet" in link and "http" in link]
