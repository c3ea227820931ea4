"""From the name of a model to its module and tokenizer: Hugging Face folders and ids, adapters, GGUF files.

Knows: transformers' and peft's loading. Must not know: roles, search.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

import torch
import transformers
from transformers.utils.hub import cached_file

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
WRONG = (OSError, ValueError, ImportError, KeyError, RuntimeError)
"""What transformers raises for a name or a checkpoint that it cannot load."""
_loading = RLock()
"""transformers changes global state while it loads, so threads load one after the other."""


@dataclass(frozen=True, slots=True)
class Loading:
    """How to load: see ``HFModel``."""

    device: torch.device
    dtype: str | torch.dtype | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False
    auto_class: str = "AutoModelForCausalLM"


def load(name: str, tokenizer: Any, how: Loading) -> tuple[Any, Any]:
    """(module on its device, tokenizer) of a folder, a ``.gguf`` file or a hub id; ``ValueError`` says what is wrong.

    An adapter (peft) is put into its base model and merged, so that everything reads the merged weights.
    """
    if is_place(name) and not Path(name).exists():
        raise ValueError(f"there is no folder {name!r}: give a local folder that is there, or a Hugging Face id")
    with _loading, _no_progress_bars():
        try:
            adapter = adapter_config(name)
            if adapter is None:
                return _load_whole(name, tokenizer, how, (), {})
            return _load_adapter(name, str(adapter["base_model_name_or_path"]), tokenizer, how)
        except LoadRefused:
            raise
        except WRONG as error:
            raise ValueError(
                f"could not load {name!r}: {str(error).rstrip(' .')}. Give a local folder or a hub id with safetensors "
                "weights (allow_pickle=True loads older formats, trust_remote_code=True runs the checkpoint's own "
                "code)."
            ) from error


class LoadRefused(ValueError):
    """A sentence that is complete as it is."""


def dtype_of(name: str | torch.dtype) -> torch.dtype:
    """The dtype of this name; ``ValueError`` for one that is none."""
    if isinstance(name, torch.dtype):
        return name
    if name not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)} or a torch.dtype; got {name!r}")
    return DTYPES[name]


def is_place(name: str) -> bool:
    """Whether a name can only be meant as a local path: hub ids are ``name`` or ``owner/name``."""
    return name.startswith((".", "~", os.sep)) or len(Path(name).parts) > 2 or Path(name).is_absolute()


def adapter_config(checkpoint: str) -> dict[str, Any] | None:
    """The ``adapter_config.json`` of a checkpoint that has no weights of its own; None for a whole model."""
    if _file(checkpoint, "config.json") is not None or (found := _file(checkpoint, "adapter_config.json")) is None:
        return None
    with open(found, encoding="utf-8") as file:
        data: dict[str, Any] = json.load(file)
    return data


def gguf_of(name: str) -> Path | None:
    """The GGUF file that a name means: the file itself, or the only one in a folder without a ``config.json``."""
    path = Path(name)
    if path.suffix == ".gguf" and path.is_file():
        return path
    if not path.is_dir() or (path / "config.json").is_file() or (path / "adapter_config.json").is_file():
        return None
    files = sorted(path.glob("*.gguf"))
    if len(files) > 1:
        raise LoadRefused(
            f"{name!r} holds {len(files)} GGUF files; name one of them: {', '.join(f.name for f in files)}"
        )
    return files[0] if files else None


def _load_whole(name: str, tokenizer: Any, how: Loading, supplied: tuple[str, ...], extra: Any) -> tuple[Any, Any]:
    """A model with weights of its own. ``supplied``: weights that may be missing, since an adapter brings them."""
    gguf = gguf_of(name)
    place = {"pretrained_model_name_or_path": name if gguf is None else str(gguf.parent)}
    if gguf is not None:
        place["gguf_file"] = gguf.name
    default: Any = torch.float32 if how.device.type == "cpu" else "auto"
    module, found = getattr(transformers, how.auto_class).from_pretrained(
        **place,
        dtype=default if how.dtype is None else dtype_of(how.dtype),
        trust_remote_code=how.trust_remote_code,
        use_safetensors=None if how.allow_pickle else True,
        output_loading_info=True,
        **extra,
    )
    if tokenizer is None:
        tokenizer = transformers.AutoTokenizer.from_pretrained(**place, trust_remote_code=how.trust_remote_code)
    (kind, *_) = getattr(module.config, "architectures", None) or [""]
    judges = kind.endswith(("ForTokenClassification", "ForSequenceClassification"))
    if how.auto_class == "AutoModelForCausalLM" and judges:
        raise LoadRefused(f"{name!r} is a {kind}, which judges and does not write: pass it as the verifier")
    missing = sorted(key for key in found["missing_keys"] if not key.startswith(supplied or ("\0",)))
    if missing:  # transformers makes up random ones and goes on
        raise LoadRefused(
            f"{name!r} has no weights for {missing[0]}{' and others' * (len(missing) > 1)}, which a "
            f"{type(module).__name__} needs: the checkpoint is incomplete, or of another kind"
        )
    if getattr(module, "hf_device_map", None) is None and not getattr(module, "is_quantized", False):
        module = module.to(how.device)
    return module, tokenizer


def _load_adapter(name: str, base: str, tokenizer: Any, how: Loading) -> tuple[Any, Any]:
    try:
        from peft import PeftModel
    except ImportError as error:
        raise LoadRefused(f"{name!r} is an adapter; to load it: pip install peft") from error
    heads, extra = head_of_adapter(name), {}
    if heads and how.auto_class.endswith("Classification"):
        extra = {"num_labels": next(iter(heads.values()))}
    if tokenizer is None and _file(name, "tokenizer_config.json") is not None:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=how.trust_remote_code)
    module, tokenizer = _load_whole(base, tokenizer, how, tuple(heads), extra)
    if tokenizer is not None and len(tokenizer) > module.get_input_embeddings().weight.shape[0]:
        module.resize_token_embeddings(len(tokenizer))
    whole: Any = PeftModel.from_pretrained(module, name)
    return whole.merge_and_unload(), tokenizer


def head_of_adapter(checkpoint: str) -> dict[str, int]:
    """The classifier that an adapter brings, by name, with its number of labels; empty where it brings none."""
    from safetensors import safe_open

    path = _file(checkpoint, "adapter_model.safetensors")
    if path is None:
        return {}
    heads: dict[str, int] = {}
    with safe_open(path, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118 (a safetensors file is no dict)
            parts = key.split(".")
            if parts[-1] == "weight" and parts[-2] in ("score", "classifier") and "lora" not in key:
                heads[parts[-2]] = int(file.get_slice(key).get_shape()[0])
    return heads


def _file(checkpoint: str, name: str) -> str | None:
    """A checkpoint's file on this machine; None where it has none, or is no checkpoint."""
    if Path(checkpoint).is_file():
        return None
    try:
        return find_file(checkpoint, name)
    except (OSError, ValueError):
        return None


def find_file(checkpoint: str, name: str) -> str | None:
    """A file of a local folder or hub id; None where it has no such file, ``OSError`` where it cannot be asked."""
    found = cached_file(
        checkpoint, name, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_gated_repo=True
    )
    return None if found is None else str(found)


class _no_progress_bars:
    """transformers' own bars are switched off while a model is loaded."""

    def __enter__(self) -> None:
        self._were_on = transformers.utils.logging.is_progress_bar_enabled()
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]

    def __exit__(self, *exc: object) -> None:
        if self._were_on:
            transformers.utils.logging.enable_progress_bar()  # type: ignore[no-untyped-call]
