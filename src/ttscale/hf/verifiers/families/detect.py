"""Which family a checkpoint is of, read from its configuration, and how the family is loaded.

Knows: the names in config.json, the files of a checkpoint. Must not know: formats, scoring.
"""

from __future__ import annotations

import json
import re
from logging import ERROR
from typing import Any, Literal, TypeAlias, get_args

from torch import device as Device
from torch import dtype as DType
from transformers.utils import logging

from ttscale.hf.load import adapter_config, find_file, head_of_adapter
from ttscale.hf.model import HFModel
from ttscale.hf.verifiers.adapter import HEADS, Adapter, Headed
from ttscale.hf.verifiers.checkpoint_tensors import tensor_files
from ttscale.hf.verifiers.families.math_shepherd import MathShepherd
from ttscale.hf.verifiers.families.qwen import QwenPRM, mlp_head
from ttscale.hf.verifiers.families.rlhflow import RLHFlow
from ttscale.hf.verifiers.families.sequence import SequenceORM
from ttscale.hf.verifiers.families.skywork import Skywork, value_head
from ttscale.hf.verifiers.families.trl import TRL
from ttscale.hf.verifiers.families.ttscale import Own
from ttscale.hf.verifiers.input_format import FILE, VerifierFormat

Family: TypeAlias = Literal[
    "ttscale", "math-shepherd", "rlhflow", "rlhflow-orm", "skywork", "qwen-prm", "qwen-rm", "trl", "sequence"
]

ARCHITECTURES: tuple[tuple[str, Family], ...] = (
    ("ForProcessRewardModel", "qwen-prm"),
    ("ForPrmModel", "skywork"),
    ("ForRewardModel", "qwen-rm"),
    ("ForTokenClassification", "trl"),
    ("ForSequenceClassification", "sequence"),
)
"""How the class a checkpoint was saved from ends, and its family."""

NAMES: tuple[tuple[str, Family], ...] = (
    (r"math-?shepherd", "math-shepherd"),
    (r"rlhflow.*\borm\b|\borm-(deepseek|mistral)-data", "rlhflow-orm"),
    (r"rlhflow.*\bprm\b|\bprm-(deepseek|mistral)-data", "rlhflow"),
    (r"skywork.*prm", "skywork"),
)
"""Verifiers saved as plain language models say only by their name what they are."""

BLANK_LINE = r"qwen2\.5-math-(1\.5b|7b)-instruct-prm-0\.2"
"""PRMs of TRL whose steps end in a blank line."""

AUTO_CLASS: dict[Family, str] = {
    "ttscale": "AutoModelForTokenClassification",
    "trl": "AutoModelForTokenClassification",
    "sequence": "AutoModelForSequenceClassification",
    "math-shepherd": "AutoModelForCausalLM",
    "rlhflow": "AutoModelForCausalLM",
    "rlhflow-orm": "AutoModelForCausalLM",
    "skywork": "AutoModel",
    "qwen-prm": "AutoModel",
    "qwen-rm": "AutoModel",
}


def verifier_family(checkpoint: str) -> Family:
    """The family of a local folder or hub id; ``ValueError`` where nothing says which."""
    own = _read_json(checkpoint, FILE)
    if own is not None:
        if own.get("kind") == "implicit":
            raise ValueError(
                f"{checkpoint!r} is an implicit verifier, which has no head to read; load it with "
                f"ttscale.hf.ImplicitVerifier({checkpoint!r})"
            )
        return "ttscale"
    adapter = adapter_config(checkpoint)
    if adapter is not None:
        return _family_of_adapter(checkpoint, adapter)
    config = _read_json(checkpoint, "config.json")
    if config is None:
        raise ValueError(f"{checkpoint!r} has no config.json: neither a local folder nor a hub id of a model")
    architecture = str((config.get("architectures") or [""])[0])
    for ending, family in ARCHITECTURES:
        if architecture.endswith(ending):
            return family
    names = f"{checkpoint} {config.get('_name_or_path', '')}".lower()
    for pattern, family in NAMES:
        if re.search(pattern, names):
            return family
    raise ValueError(
        f"nothing in {checkpoint!r} ({architecture or 'no architecture named'}) says which verifier it is; name its "
        f"family: HFVerifier({checkpoint!r}, family=...) with one of {', '.join(get_args(Family))}. A language model "
        "that is no reward model can judge through ttscale.verifiers.JudgeVerifier"
    )


def _family_of_adapter(checkpoint: str, adapter: dict[str, Any]) -> Family:
    """The family of an adapter: by the task it was trained for, else that of its base model, or by its own name."""
    by_task: dict[str, Family] = {"TOKEN_CLS": "trl", "SEQ_CLS": "sequence"}
    task, base = str(adapter.get("task_type")), str(adapter.get("base_model_name_or_path"))
    if task in by_task:
        return by_task[task]
    for pattern, family in NAMES:
        if re.search(pattern, checkpoint.lower()):
            return family
    return verifier_family(base)


def family_of_loaded(model: HFModel) -> Family:
    """The family of a model in memory: its checkpoint's, where that was saved from the same class.

    A classifier that was made here, and not loaded from a classifier's checkpoint, is one of ours.
    """
    kind = type(model.module).__name__
    if kind.endswith("ForSequenceClassification"):
        return "sequence"
    if isinstance(model.module, Headed) or not any(hasattr(model.module, head) for head in HEADS):
        return verifier_family(model.name)
    if model.name == kind:  # it has no name but that of its class
        return "ttscale"
    try:
        config = _read_json(model.name, "config.json") or {}
    except ValueError:  # it came from a place that is not there any more
        return "ttscale"
    return verifier_family(model.name) if kind in (config.get("architectures") or ()) else "ttscale"


def load(
    checkpoint: str,
    family: Family,
    separator: str | None,
    device: str | Device | None,
    dtype: str | DType | None,
    allow_pickle: bool,
) -> tuple[HFModel, Adapter]:
    """The model of a checkpoint, with its head in place, and the adapter that reads it."""
    if AUTO_CLASS[family].endswith("Classification"):
        # transformers would make up a head that is missing
        adapter = adapter_config(checkpoint)
        where = checkpoint if adapter is None else str(adapter["base_model_name_or_path"])
        names = {} if adapter is not None and head_of_adapter(checkpoint) else tensor_files(where, allow_pickle)
        if names and not any(f"{head}.weight" in names for head in HEADS):
            raise ValueError(
                f"{checkpoint!r} has no classifier ({' or '.join(HEADS)}) among its weights, which a verifier of the "
                f"family {family!r} has; name another family"
            )
    heads = {"skywork": value_head, "qwen-prm": mlp_head, "qwen-rm": mlp_head}
    level = logging.get_verbosity()
    if family in heads:
        logging.set_verbosity(ERROR)  # the head's tensors, which we read, would be reported as unexpected
    try:
        model = HFModel(
            checkpoint, device=device, dtype=dtype, allow_pickle=allow_pickle, auto_class=AUTO_CLASS[family]
        )
    finally:
        logging.set_verbosity(level)
    if family in heads:
        head = heads[family](checkpoint, allow_pickle)  # which stays in fp32
        module = Headed(model.module, head.to(model.device))
        module.config.name_or_path = model.name
        model = HFModel(module, tokenizer=model.tokenizer)
    return model, adapter_for(model, family, separator)


def adapter_for(model: HFModel, family: Family, separator: str | None) -> Adapter:
    """The adapter of a family on a loaded model."""
    if separator is not None and family != "trl":
        raise ValueError(f"separator= belongs to the family 'trl'; {family!r} has its own: leave it out")
    if family == "ttscale":
        return Own(model, VerifierFormat.of_checkpoint(model.name))
    if family == "trl":
        default = "\n\n" if re.search(BLANK_LINE, model.name.lower()) else "\n"
        return TRL(model, default if separator is None else separator)
    if family in ("rlhflow", "rlhflow-orm"):
        return RLHFlow(model, "orm" if family == "rlhflow-orm" else "prm")
    if family in ("sequence", "qwen-rm"):
        return SequenceORM(model, system=family == "qwen-rm")
    if family == "math-shepherd":
        return MathShepherd(model)
    return Skywork(model) if family == "skywork" else QwenPRM(model)


def _read_json(checkpoint: str, name: str) -> Any:
    try:
        path = find_file(checkpoint, name)
    except OSError as error:
        raise ValueError(f"cannot read {checkpoint!r}: {error}") from error
    if path is None:
        return None
    with open(path, encoding="utf-8") as file:
        return json.load(file)
