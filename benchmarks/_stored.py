"""The file that a benchmark keeps its tables in, part by part, so that a part can be run again by itself."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def cpu() -> str:
    """What the CPU calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def keep(
    path: Path, part: str, title: str, rows: Mapping[str, Any], tiny: bool, versions: Mapping[str, str] | None = None
) -> None:
    """Put the rows of one part into the file, beside what is there; ``tiny`` marks numbers that mean nothing."""
    stored = json.loads(path.read_text()) if path.is_file() else {"parts": {}}
    about = {"python": platform.python_version(), "machine": platform.machine(), "cpu": cpu(), **(versions or {})}
    stored["parts"][part] = {"title": title, "tiny": tiny, "versions": about, "rows": dict(rows)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(stored, indent=1) + "\n")
