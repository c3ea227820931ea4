"""What mkdocs does besides building: the search of files needs a script, which the theme would take from elsewhere."""

from __future__ import annotations

from typing import Any

ELSEWHERE, OURS = "https://unpkg.com/iframe-worker/shim", "search-in-files.js"


def on_post_page(output: str, page: Any, config: Any) -> str:
    """The page with our script in the place of the theme's."""
    return output.replace(ELSEWHERE, "../" * page.url.count("/") + OURS)


def on_post_template(output_content: str, template_name: str, config: Any) -> str:
    """The same for the page of what is not found, whose address can be anything."""
    return output_content.replace(ELSEWHERE, f"/{OURS}")
