"""Reading single tensors of a checkpoint: the heads that transformers' own classes do not know.

Knows: safetensors files and their index. Must not know: models, families.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch
from safetensors import safe_open
from torch import Tensor

from ttscale.hf.load import find_file

FILES = ("model.safetensors", "model.safetensors.index.json")
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")


def read_tensors(checkpoint: str, names: Sequence[str], allow_pickle: bool = False) -> list[Tensor]:
    """The named tensors of a local folder or hub id; ``ValueError`` where one is missing.

    Only safetensors are opened, unless ``allow_pickle``; then pickles too, restricted to tensors.
    """
    files = tensor_files(checkpoint, allow_pickle)
    missing = [name for name in names if name not in files]
    if missing:
        raise ValueError(
            f"{checkpoint!r} has no tensor {missing[0]!r}, which a verifier of this family has; name another family, "
            "or give the complete checkpoint"
        )
    return [_load(files[name], name) for name in names]


def tensor_files(checkpoint: str, allow_pickle: bool = False) -> dict[str, str]:
    """Which file holds each tensor of a checkpoint."""
    for single, index in (FILES, PICKLES) if allow_pickle else (FILES,):
        path = find_file(checkpoint, single)
        if path is not None:
            return dict.fromkeys(_names(path), path)
        path = find_file(checkpoint, index)
        if path is not None:
            with open(path, encoding="utf-8") as file:
                weights: dict[str, str] = json.load(file)["weight_map"]
            shards = {shard: find_file(checkpoint, shard) or shard for shard in set(weights.values())}
            return {name: shards[shard] for name, shard in weights.items()}
    raise ValueError(f"{checkpoint!r} has no safetensors weights (allow_pickle=True loads older formats)")


def _names(path: str) -> list[str]:
    if path.endswith(".safetensors"):
        with safe_open(path, framework="pt") as file:
            return list(file.keys())
    return list(torch.load(path, map_location="cpu", weights_only=True))


def _load(path: str, name: str) -> Tensor:
    if path.endswith(".safetensors"):
        with safe_open(path, framework="pt") as file:
            tensor: Tensor = file.get_tensor(name)
            return tensor
    loaded: Tensor = torch.load(path, map_location="cpu", weights_only=True)[name]
    return loaded
