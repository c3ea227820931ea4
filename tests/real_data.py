"""Where real data lies: TTSCALE_DATA, or shared/data beside the repository. Tests skip where it is absent."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest


def data_file(name: str) -> Path:
    root = os.environ.get("TTSCALE_DATA")
    folder = Path(root) if root else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / name).is_file():
        pytest.skip(f"{name} is not here; set TTSCALE_DATA to its folder")
    return folder / name


def rows(name: str) -> list[dict[str, Any]]:
    with open(data_file(name), encoding="utf-8") as file:
        return [json.loads(line) for line in file]
