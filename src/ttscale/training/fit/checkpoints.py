"""Loading what is trained and saving what was: token classifiers and causal LMs on any Hugging Face decoder.

Knows transformers' and peft's loading. Must not know data or losses. A checkpoint of an architecture that does not fit
is refused here, before anything is spent.
Over 300 lines because loading and saving must agree, kind by kind.
"""

from __future__ import annotations

import hashlib
import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForTokenClassification, AutoTokenizer

from ttscale.core.idioms import needed
from ttscale.prompts.tokenize import read_settings
from ttscale.training.fit.recipe import Recipe

ModelKind: TypeAlias = Literal["steps", "text"]
"""A classifier of steps (token classification with two labels), or a writer of text (causal LM)."""

DROPOUT_FIELDS = (
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_pdrop",
    "classifier_dropout",
    "dropout",
    "embd_pdrop",
    "embedding_dropout",
    "hidden_dropout",
    "hidden_dropout_prob",
    "resid_pdrop",
)
"""Names under which decoder configs keep their dropout rates."""
HEADS = ("score.", "classifier.")
"""Heads that a base model does not have and a step classifier starts at random."""
HASHED_PARTS, HASHED_BYTES = 64, 1 << 16
"""How many parts of a weights file are hashed, evenly spread, and how long each is."""


def load_tokenizer(path: str | os.PathLike[str]) -> Any:
    """The checkpoint's tokenizer; it must have an end-of-sequence token."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(os.fspath(path))
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise ValueError(f"could not load the tokenizer of {os.fspath(path)!r}: {error}") from error
    if tokenizer.eos_token_id is None:
        raise ValueError(
            f"the tokenizer of {os.fspath(path)!r} has no end-of-sequence token, so a model trained with it would "
            "never learn to stop; set tokenizer.eos_token and save it again"
        )
    return tokenizer


def base_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The base model's ``ttscale.json``, or {} when it has none."""
    file = Path(path) / "ttscale.json"
    try:
        settings = read_settings(Path(path))
    except ValueError as error:
        raise ValueError(f"could not read {file}: {error}; repair it, or take it away to use the defaults") from error
    if not isinstance(settings.get("prompt", {}), dict):
        raise ValueError(f"prompt in {file} must be a JSON object, got {settings['prompt']!r}")
    return settings


def pad_id(tokenizer: Any) -> int:
    """What to fill short rows with; it is always masked, so EOS serves where there is no padding token."""
    return int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)


def load_model(path: str | os.PathLike[str], task: ModelKind, recipe: Recipe) -> Any:
    """The model to train, in fp32 (the frozen base of LoRA keeps its dtype on a GPU), with the recipe's dropout."""
    model = _load_base(path, task, recipe)
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    return model if recipe.lora_rank is None else _with_adapters(model, task, recipe)


def _load_base(path: str | os.PathLike[str], task: ModelKind, recipe: Recipe) -> Any:
    name = os.fspath(path)
    config = _config(name)
    _check_architecture(config, task, name)
    for field in DROPOUT_FIELDS:
        if isinstance(getattr(config, field, None), int | float):
            setattr(config, field, recipe.dropout)
    if task == "steps":
        kinds = getattr(config, "architectures", None) or [""]
        if kinds[0].endswith("Classification") and config.num_labels != 2:
            raise ValueError(
                f"{name!r} has a head of {config.num_labels} labels; train a step verifier from a causal LM, or from a "
                "classifier of 2"
            )
        config.num_labels = 2
        config.classifier_dropout = recipe.dropout
    loader: Any = AutoModelForTokenClassification if task == "steps" else AutoModelForCausalLM
    keep_dtype = recipe.lora_rank is not None and torch.cuda.is_available()
    torch.manual_seed(recipe.seed)  # a new head starts the same every time
    try:
        with _quiet():
            model, report = loader.from_pretrained(
                name, config=config, dtype="auto" if keep_dtype else torch.float32, output_loading_info=True
            )
    except SafetensorError as error:
        raise ValueError(
            f"could not read the weights in {name!r}: {error}; if a file was cut short, download or save it again"
        ) from error
    except (OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
        raise ValueError(f"could not load {name!r} for training: {error}") from error
    missing = [key for key in report["missing_keys"] if not key.startswith(HEADS)]
    if missing or report.get("mismatched_keys"):
        raise ValueError(
            f"the weights in {name!r} do not fit a {type(model).__name__}: "
            f"missing {sorted(missing)[:3]}, mismatched {list(report['mismatched_keys'])[:3]}; "
            "is it a checkpoint of another architecture, or an adapter without its base model?"
        )
    _check_reads_forward(model, name)
    if task == "steps":
        model.config.id2label = {0: "wrong", 1: "right"}
        model.config.label2id = {"wrong": 0, "right": 1}
    model.config.use_cache = False
    return model


@torch.no_grad()
def _check_reads_forward(model: Any, name: str) -> None:
    """Refuse a model whose outputs are not numbers, or which sees tokens that come later (an encoder)."""
    first = 3 if model.config.get_text_config().vocab_size > 6 else 0
    ids = torch.full((2, 16), first, device=model.device)
    ids[1, 2:] += torch.arange(14, device=model.device) % 3  # the same beginning, another end
    here, other = model(input_ids=ids).logits[:, :2].float()
    if not bool(torch.isfinite(here).all()):
        raise ValueError(
            f"{name!r} computes {here[~torch.isfinite(here)][0].item()} from a plain text: damaged weights?"
        )
    rounding = 1e-5 if model.dtype == torch.float32 else 1e-2
    if not torch.allclose(here, other, atol=rounding, rtol=rounding):
        raise ValueError(
            f"{name!r} ({type(model).__name__}) sees tokens that come later; what is trained here reads from left to "
            "right: choose a causal (decoder-only) LM"
        )


def load_frozen(path: str | os.PathLike[str]) -> Any:
    """A causal LM to compare with, in fp32, not to be trained."""
    return _load_base(path, "text", Recipe(dropout=0.0)).eval().requires_grad_(False)


def load_trained(path: str | os.PathLike[str], checkpoint: Path, task: ModelKind, recipe: Recipe) -> Any:
    """The model with the weights of a training checkpoint, adapters merged, dropout as in the base model."""
    if recipe.lora_rank is None:
        loader: Any = AutoModelForTokenClassification if task == "steps" else AutoModelForCausalLM
        with _quiet():
            model = loader.from_pretrained(str(checkpoint), dtype=torch.float32)
    else:
        from peft import PeftModel

        base = _load_base(path, task, recipe)
        with _quiet():
            model = PeftModel.from_pretrained(base, str(checkpoint)).merge_and_unload()
    original = _config(os.fspath(path))
    for field in DROPOUT_FIELDS:
        if hasattr(original, field):
            setattr(model.config, field, getattr(original, field))
    if task == "steps":
        model.config.classifier_dropout = getattr(original, "classifier_dropout", None) or 0.0
    model.config.use_cache = getattr(original, "use_cache", True)
    return model.eval()


def architecture_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a base checkpoint is and how large: enough to notice that another one lies at its path now."""
    config = _config(os.fspath(path))
    sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    shape = {"type": config.model_type} | {name: getattr(config, name, None) for name in sizes}
    return shape | {"weights": weights_hash(path)}


def weights_hash(path: str | os.PathLike[str]) -> str | None:
    """A hash of parts from all over the weight files of a local folder, which tells two trainings of one shape apart.

    For a hub id it is the revision's, where that is known.
    """
    folder = Path(path)
    if not folder.is_dir():
        return getattr(_config(os.fspath(path)), "_commit_hash", None)
    found = hashlib.blake2b(digest_size=8)
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")]):
        size = file.stat().st_size
        found.update(f"{file.name}:{size}".encode())
        with file.open("rb") as weights:
            for part in range(HASHED_PARTS):
                weights.seek(size * part // HASHED_PARTS)
                found.update(weights.read(HASHED_BYTES))
    return found.hexdigest()


def saved_dtype(path: str | os.PathLike[str]) -> torch.dtype:
    """The dtype of the base checkpoint, which the trained one is saved in."""
    dtype = getattr(_config(os.fspath(path)), "dtype", None)
    return dtype if isinstance(dtype, torch.dtype) else torch.float32


def check_ids(path: str | os.PathLike[str], tokenizer: Any, features: Iterable[Mapping[str, Any]]) -> None:
    """Refuse features with token ids that the checkpoint's model has no embedding for."""
    entries = getattr(_config(os.fspath(path)).get_text_config(), "vocab_size", None)
    highest = max(pad_id(tokenizer), *(max(feature["input_ids"]) for feature in features))
    if isinstance(entries, int) and highest >= entries:
        raise ValueError(
            f"the data have the token id {highest}, and the model in {os.fspath(path)!r} has embeddings for {entries} "
            f"tokens only; give it its own tokenizer, or call model.resize_token_embeddings({highest + 1}) and save it "
            "again"
        )


def context_length(path: str | os.PathLike[str]) -> int:
    """The longest sequence the checkpoint's model reads; 2**31 where it states none."""
    config = _config(os.fspath(path)).get_text_config()
    for field in ("max_position_embeddings", "n_positions", "max_sequence_length"):
        value = getattr(config, field, None)
        if isinstance(value, int) and value > 0:
            return value
    return 2**31


def _config(name: str) -> Any:
    try:
        return AutoConfig.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"could not read a model configuration from {name!r}: {error}; give a local folder or a hub id"
        ) from error


def _check_architecture(config: Any, task: ModelKind, name: str) -> None:
    architectures = list(getattr(config, "architectures", None) or [])
    steps = task == "steps"
    causal = ("ForCausalLM", "LMHeadModel", *(["ForTokenClassification"] if steps else []))
    what = ", ".join(architectures) or type(config).__name__
    if getattr(config, "is_encoder_decoder", False) or (architectures and not architectures[0].endswith(causal)):
        trained = "A step verifier must read from left to right, so it is" if steps else "A writer of solutions is"
        raise ValueError(f"{name!r} is a {what}. {trained} trained from a causal (decoder-only) LM.")
    known = transformers.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING if steps else transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    if type(config) not in known:
        kind = "token-classification" if steps else "causal language"
        raise ValueError(f"transformers has no {kind} model for {what} ({name!r}); choose another base model")


def _with_adapters(model: Any, task: ModelKind, recipe: Recipe) -> Any:
    with needed("LoRA needs peft: pip install 'ttscale[train]'"):
        from peft import LoraConfig, get_peft_model
    rank = recipe.lora_rank or 1
    config = LoraConfig(
        task_type="TOKEN_CLS" if task == "steps" else "CAUSAL_LM",
        r=rank,
        lora_alpha=recipe.lora_alpha or 2 * rank,
        lora_dropout=recipe.dropout,
        target_modules=_linear_layers(model),
    )
    if task == "steps":  # adapters learn in fp32 whatever the base is in, and so must the new head
        head = model.score if hasattr(model, "score") else model.classifier
        head.float().register_forward_pre_hook(_in_fp32)
    torch.manual_seed(recipe.seed)
    with _quiet():
        adapted = get_peft_model(model, config)
    if recipe.gradient_checkpointing:
        adapted.enable_input_require_grads()
    return adapted


def _in_fp32(head: torch.nn.Module, given: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    return (given[0].float(),)


def _linear_layers(model: Any) -> list[str]:
    """Names of the linear layers of the trunk, without heads and output embeddings."""
    layers = (torch.nn.Linear, transformers.pytorch_utils.Conv1D)
    names = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, layers)}
    return sorted(names - {"score", "classifier", "lm_head", "embed_out"})


@contextmanager
def _quiet() -> Iterator[None]:
    """Hush the warning that the head is new (it is meant to be), and peft's use of names transformers deprecates."""
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        transformers.logging.set_verbosity(level)
