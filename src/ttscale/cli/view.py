"""``ttscale view``: a trace file as a page in the browser."""

from __future__ import annotations

import argparse
import json
import tempfile
import webbrowser
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> None:
    """Add the command to the others."""
    parser = commands.add_parser(
        "view",
        help="look at the searches in a trace file",
        description="Write the searches in a trace file as one HTML page (no network, nothing to install) and open it.",
        epilog="example: ttscale view run.jsonl",
    )
    parser.add_argument("trace", type=Path, help="a trace file: of --resume, --trace or Result.trace.save")
    parser.add_argument("--output", "-o", type=Path, help="write the page here (default: a temporary file)")
    parser.add_argument("--question", help="only questions with this id, or whose text holds this")
    parser.add_argument("--no-open", action="store_true", help="do not open a browser")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")
    parser.set_defaults(run=view)


def view(options: argparse.Namespace) -> int:
    """Write the page, say where, and open it."""
    from ttscale.viz import html, trees

    found = trees(options.trace, options.question)
    page = options.output or Path(tempfile.mkdtemp(prefix="ttscale-")) / f"{options.trace.stem}.html"
    page.write_text(html(found), encoding="utf-8", errors="replace")
    if options.json:
        print(json.dumps({"page": str(page), "questions": len(found)}))
    else:
        print(f"{len(found)} {'search' if len(found) == 1 else 'searches'} in {page}")
    if not options.no_open:
        webbrowser.open(page.resolve().as_uri())
    return 0
