"""Tiny random checkpoints, saved to disk once and loaded through the real path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from hf.tiny import VARIANTS, byte_tokenizer, tiny_config


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Folder of a saved tiny checkpoint, by variant name."""
    made: dict[str, Path] = {}

    def get(variant: str) -> str:
        if variant not in made:
            folder = tmp_path_factory.mktemp(variant)
            settings = dict(VARIANTS[variant])
            tokenizer = byte_tokenizer(merges=("an", "er"))
            config = tiny_config(settings.pop("kind"), len(tokenizer), **settings)
            torch.manual_seed(7 + list(VARIANTS).index(variant))
            transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            made[variant] = folder
        return str(made[variant])

    return get
