"""One loaded model and its tokenizer, shared by every role that uses it.

Knows: transformers' loading, devices, dtypes, special tokens, the count of matrix parameters. Must not know: search,
sampling, prompts. Over 300 lines because what a model is, is found out once, while it is loaded.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import RLock
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import torch
import transformers
from torch import nn

from ttscale.core.cost import forward_flops
from ttscale.prompts.tokenize import read_settings

Span: TypeAlias = tuple[int, int]
"""Where a step begins and ends in token ids."""

_LOCKS: WeakKeyDictionary[nn.Module, Any] = WeakKeyDictionary()
"""One lock per loaded module, so that roles and threads that share it take turns."""
_loading = RLock()
"""transformers changes global state while it loads, so threads load one after the other."""
_UNAPPLIED = {"repetition_penalty": 1.0, "encoder_repetition_penalty": 1.0, "no_repeat_ngram_size": 0} | dict.fromkeys(
    ("bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "sequence_bias", "forced_bos_token_id")
)
"""What a generation config may ask for beyond temperature and filters, with the value that asks for nothing."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


REMEMBERED = 200_000
"""Log-probabilities of steps that ``HFModel.drawn`` holds at most."""


class HFModel:
    """A transformers model with its tokenizer: loaded once, shared by generator, reviser and verifier.

    ``model`` is a local folder, a hub id or a loaded module (then ``tokenizer`` is needed). On a CPU the default dtype
    is float32, on other devices the checkpoint's own. Only safetensors are loaded unless ``allow_pickle``; a
    checkpoint's own code is run only with ``trust_remote_code``. ``max_batch`` is the most rows decoded together (None:
    by free memory), ``kv_bytes`` what the prefix cache may hold beyond the running rows (None: a quarter of the free
    memory). ``shared_kv=False`` decodes on the model's own forward and cache, which is slower.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | nn.Module,
        *,
        tokenizer: Any = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        trust_remote_code: bool = False,
        allow_pickle: bool = False,
        auto_class: str = "AutoModelForCausalLM",
        max_batch: int | None = None,
        kv_bytes: int | None = None,
        shared_kv: bool = True,
    ) -> None:
        if max_batch is not None and (not isinstance(max_batch, int) or max_batch < 1):
            raise ValueError(f"max_batch must be a positive integer or None; got {max_batch!r}")
        if kv_bytes is not None and (not isinstance(kv_bytes, int) or kv_bytes < 0):
            raise ValueError(f"kv_bytes must be an integer >= 0 or None; got {kv_bytes!r}")
        self.max_batch = max_batch
        self.shared_kv = shared_kv
        self.plain_because: str | None = None
        """Why the fast path does not serve this model, once it was tried; None where it does."""
        self.fast: Any = None
        """What the fast path keeps for this model (``backend.Fast``), shared by its roles; None until it was tried."""
        self.fast_version: object = None
        self.plain_caching: Any = None
        """What the model's own cache can be trusted with (``plain_caching.Caching``), once it was tried."""
        self.drawn: OrderedDict[bytes, float] | None = None
        """Log-probabilities of steps by ``step_names``, once something asks for them; a generator adds what it drew."""
        self.forwarded_tokens = 0
        """Tokens run through the model so far, by every role that shares it."""
        self.settings: dict[str, Any] = {}
        if isinstance(model, nn.Module):
            if tokenizer is None:
                raise ValueError("a loaded model needs its tokenizer: HFModel(model, tokenizer=tokenizer)")
            self.name = str(getattr(model.config, "name_or_path", "") or type(model).__name__)
            module: Any = model
            peft = getattr(model, "active_peft_config", None)
            if peft is not None and not peft.is_prompt_learning:  # the adapters are inside the model itself
                module = model.get_base_model()  # type: ignore[operator]
            if device is not None:
                module = module.to(_device(device))
            if dtype is not None:
                module = module.to(_dtype(dtype))
        else:
            self.name = os.fspath(model)
            where = default_device() if device is None else _device(device)
            with _loading:
                module, tokenizer = _load(
                    self.name, tokenizer, where, dtype, trust_remote_code, allow_pickle, auto_class
                )
            if Path(self.name).is_dir():
                self.settings = read_settings(self.name)
        self.module: Any = module.eval()
        self.tokenizer: Any = tokenizer
        self.device = next(self.module.parameters()).device
        self.dtype = next(self.module.parameters()).dtype
        self.worker = f"torch:{self.device}"
        self.kv_bytes = free_bytes(self.device) // 4 if kv_bytes is None else kv_bytes
        self.config: Any = self.module.config.get_text_config()
        self.context_length = _context_length(self.config, tokenizer)
        self.eos_ids = _eos_ids(self.module, tokenizer)
        head = self.module.get_output_embeddings() if hasattr(self.module, "get_output_embeddings") else None
        total = sum(_matrices(self.module, self.config))
        self.head_parameters = 0 if head is None else sum(_matrices(head, self.config))
        self.body_parameters = total - self.head_parameters
        self.attention_width = _attention_width(self.config)

    @property
    def matmul_parameters(self) -> int:
        """Weights that take part in matrix products for one token: the body's and the head's."""
        return self.body_parameters + self.head_parameters

    def flops(self, new_tokens: int, context: int, read: int) -> float:
        """FLOPs of a forward of ``new_tokens`` after ``context`` tokens with the head applied to ``read`` of them.

        ``forward_flops`` of the body, plus two per weight of the head for each position it is really applied to: a
        prompt needs the head at its last token only.
        """
        body = forward_flops(self.body_parameters, self.attention_width, new_tokens, context)
        return body + 2.0 * self.head_parameters * read

    @property
    def lock(self) -> Any:
        """Held while the module, its prefix tree or its counters are used; threads that share a module take turns."""
        return _LOCKS.setdefault(self.module, RLock())

    @torch.no_grad()
    def weights_version(self) -> object:
        """Something that changes when the model does: weights replaced or changed in place, also through ``.data``,
        adapters switched, hooks added or removed.

        Writing through ``.data`` leaves no trace but the numbers, of which one per tensor is looked at.
        """
        parts = list(self.module.modules())
        tensors = [t for p in parts for t in (*p._parameters.values(), *p._buffers.values()) if t is not None]
        numbers = torch.stack([t.detach().reshape(-1)[t.numel() // 2].double() for t in tensors if t.numel()])
        places = hash(tuple(tensor.data_ptr() for tensor in tensors))
        try:
            changes = sum(tensor._version for tensor in tensors)
        except RuntimeError:  # made under inference_mode, which does not count
            changes = 0
        hooks = tuple((*part._forward_hooks, *part._forward_pre_hooks) for part in parts)
        adapters = tuple(
            (str(part._active_adapter), part._disable_adapters, str(part.scaling))
            for part in parts
            if hasattr(part, "_active_adapter")
        )
        return changes, places, numbers.cpu().numpy().tobytes(), hooks, adapters

    def warn_of_unapplied(self) -> None:
        """Say what the checkpoint's generation config asks for that sampling here leaves out."""
        config = getattr(self.module, "generation_config", None)
        asked = {name: getattr(config, name, None) for name in _UNAPPLIED}
        named = [f"{name}={v!r}" for name, v in asked.items() if v is not None and v != _UNAPPLIED[name]]
        if named:
            warnings.warn(
                f"{self.name} is sampled without {', '.join(named)} of its generation config, which ttscale does not "
                "have: log-probabilities and draws are the model's own",
                stacklevel=4,
            )

    def __repr__(self) -> str:
        return f"HFModel({self.name!r}, device={str(self.device)!r}, dtype={str(self.dtype)!r})"


def default_device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _device(named: str | torch.device) -> torch.device:
    """The device; ``ValueError`` where there is none of that name here."""
    try:
        return torch.empty(0, device=named).device
    except (RuntimeError, AssertionError, TypeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"device {named!r} cannot be used here: {first}") from error


def free_bytes(device: torch.device) -> int:
    """Memory that could still be taken on this device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 4 << 30


def _dtype(name: str | torch.dtype) -> torch.dtype:
    if isinstance(name, torch.dtype):
        return name
    if name not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)} or a torch.dtype; got {name!r}")
    return DTYPES[name]


def _load(
    name: str,
    tokenizer: Any,
    device: torch.device,
    dtype: str | torch.dtype | None,
    trust_remote_code: bool,
    allow_pickle: bool,
    auto_class: str,
) -> tuple[Any, Any]:
    if _is_place(name) and not Path(name).exists():
        raise ValueError(f"there is no folder {name!r}: give a local folder that is there, or a Hugging Face id")
    default: Any = torch.float32 if device.type == "cpu" else "auto"
    wanted = default if dtype is None else _dtype(dtype)
    loader = getattr(transformers, auto_class)
    bars = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        module, found = loader.from_pretrained(
            name,
            dtype=wanted,
            trust_remote_code=trust_remote_code,
            use_safetensors=None if allow_pickle else True,
            output_loading_info=True,
        )
        if tokenizer is None:
            tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        raise ValueError(
            f"could not load {name!r}: {error}. Give a local folder or a hub id with safetensors weights "
            "(allow_pickle=True loads older formats, trust_remote_code=True runs the checkpoint's own code)."
        ) from error
    finally:
        if bars:
            transformers.utils.logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    (kind, *_) = getattr(module.config, "architectures", None) or [""]
    if auto_class == "AutoModelForCausalLM" and kind.endswith(("ForTokenClassification", "ForSequenceClassification")):
        raise ValueError(f"{name!r} is a {kind}, which judges and does not write: pass it as the verifier")
    missing = sorted(found["missing_keys"])
    if missing:  # transformers makes up random ones and goes on
        raise ValueError(
            f"{name!r} has no weights for {missing[0]}{' and others' * (len(missing) > 1)}, which a "
            f"{type(module).__name__} needs: the checkpoint is incomplete, or of another kind"
        )
    return module.to(device), tokenizer


def _is_place(name: str) -> bool:
    """Whether a name can only be meant as a local path: hub ids are ``name`` or ``owner/name``."""
    return name.startswith((".", "~", os.sep)) or len(Path(name).parts) > 2 or Path(name).is_absolute()


def _context_length(config: Any, tokenizer: Any) -> int:
    """The longest sequence the model can read; 2**31 where it states none."""
    for name in ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    limit = getattr(tokenizer, "model_max_length", None)
    return limit if isinstance(limit, int) and 0 < limit < 2**31 else 2**31


def _eos_ids(module: Any, tokenizer: Any) -> frozenset[int]:
    """Every id that ends a solution: the tokenizer's, the config's and the generation config's. May be empty."""
    found: set[int] = set()
    sources = (tokenizer, module.config, getattr(module, "generation_config", None))
    for source in sources:
        value = getattr(source, "eos_token_id", None)
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, int):
                found.add(item)
    return frozenset(found)


def _matrices(module: nn.Module, config: Any) -> Iterator[int]:
    """The size of each matrix, as far as one token meets it: of a mixture's experts the chosen share counts."""
    experts = next((n for k in _EXPERTS if isinstance(n := getattr(config, k, None), int) and n), 1)
    share = (getattr(config, "num_experts_per_tok", None) or experts) / experts
    for name, part in module.named_modules():
        if isinstance(part, nn.Linear | transformers.pytorch_utils.Conv1D):
            yield round(part.weight.numel() * (share if ".experts." in name else 1))
        elif "router" in type(part).__name__.lower():  # in transformers 5 a parameter, not a Linear
            yield from (w.numel() for w in part.parameters(recurse=False) if w.dim() == 2)
        elif "expert" in name:  # all experts of a layer in one tensor [experts, out, in]
            yield from (round(w.numel() * share) for w in part.parameters(recurse=False) if w.dim() == 3)


_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")


def _attention_width(config: Any) -> int:
    """Query heads x head size, summed over layers; where keys and values differ in size, their mean."""
    layers = int(getattr(config, "num_hidden_layers", 0) or 0)
    try:
        return round(layers * _layer_width(config))
    except RuntimeError:  # layers of different sizes, which the config refuses to name in one number
        return round(sum(_layer_width(config.per_layer_config[i]) for i in range(layers)))


def _layer_width(config: Any) -> float:
    heads = int(getattr(config, "num_attention_heads", 0) or 0)
    if getattr(config, "qk_nope_head_dim", None):
        size: float = (config.qk_nope_head_dim + config.qk_rope_head_dim + config.v_head_dim) / 2
    else:
        size = getattr(config, "head_dim", None) or (getattr(config, "hidden_size", 0) // heads if heads else 0)
    return heads * size


def step_names(ids: Sequence[int], spans: Sequence[Span]) -> list[bytes]:
    """A name for each span's log-probability: it depends on where the span begins and on the ids up to its end."""
    if not spans:
        return []
    digest = hashlib.blake2b(array("q", ids[: spans[0][0]]).tobytes(), digest_size=16)
    names = []
    for begin, end in spans:
        digest.update(array("q", ids[begin:end]).tobytes())
        names.append(digest.digest() + begin.to_bytes(4, "little"))
    return names
