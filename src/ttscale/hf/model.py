"""One loaded model and its tokenizer, shared by every role that uses it.

Knows: devices, dtypes, special tokens, the size of the model. Must not know: search, sampling, prompts, how forwards
are run and what is kept of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from ttscale.core.checks import check_count
from ttscale.core.cost import forward_flops
from ttscale.core.keywords import helpful_keywords
from ttscale.hf.context_length import context_length as read_context_length
from ttscale.hf.load import Loading, dtype_of, load
from ttscale.hf.parameters import attention_width, matrix_sizes
from ttscale.prompts.tokenize import read_settings

_LOCKS: WeakKeyDictionary[nn.Module, Any] = WeakKeyDictionary()
"""One lock per loaded module, so that roles and threads that share it take turns."""


_LOADED = "load it with transformers, and pass the model: HFModel(model, tokenizer=...)"
INSTEAD = {
    "torch_dtype": "it is called dtype",
    "device_map": "one device is device='cuda:0'; for a model on several, " + _LOADED,
    **dict.fromkeys(
        ("quantization_config", "load_in_4bit", "load_in_8bit", "attn_implementation", "revision", "token"), _LOADED
    ),
    **dict.fromkeys(("max_new_tokens", "temperature", "prompt"), "it is a setting of HFGenerator(model, {0}=...)"),
}
"""Arguments of ``from_pretrained`` and of roles, and where they are here."""


class HFModel:
    """A transformers model with its tokenizer: loaded once, shared by generator, reviser and verifier.

    ``model`` is a local folder (of a model, or of a peft adapter, which is merged into its base), a ``.gguf`` file, a
    hub id, or a loaded module (then ``tokenizer`` is needed; a ``PeftModel`` is used with the adapters it has switched
    on). On a CPU the default dtype is float32, on other devices the checkpoint's own. Only safetensors are loaded,
    unless ``allow_pickle``; a checkpoint's own code is run only with ``trust_remote_code``. ``context_length`` is how
    many tokens it reads (None: what its config says, scaled rotary embeddings included). ``max_batch`` is the most rows
    decoded together (None: by free memory), ``kv_bytes`` what the prefix cache may hold beyond the running rows (None:
    a quarter of the free memory). ``shared_kv=False`` decodes on the model's own forward and cache, which is slower.
    ``ValueError`` says which argument or checkpoint is wrong.
    """

    @helpful_keywords(INSTEAD)
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
        context_length: int | None = None,
        max_batch: int | None = None,
        kv_bytes: int | None = None,
        shared_kv: bool = True,
    ) -> None:
        check_count("max_batch", max_batch, none=True)
        check_count("kv_bytes", kv_bytes, 0, none=True)
        self.max_batch = max_batch
        self.shared_kv = shared_kv
        self.forwarded_tokens = 0
        """Tokens run through the model so far, by every role that shares it."""
        self.settings: dict[str, Any] = {}
        """What the checkpoint's ``ttscale.json`` says."""
        if isinstance(model, nn.Module):
            if tokenizer is None:
                raise ValueError("a loaded model needs its tokenizer: HFModel(model, tokenizer=tokenizer)")
            self.name = str(getattr(model.config, "name_or_path", "") or type(model).__name__)
            module: Any = _without_wrapper(model)
            if device is not None:
                module = module.to(_device(device))
            if dtype is not None:
                module = module.to(dtype_of(dtype))
        else:
            self.name = os.fspath(model)
            if dtype is not None:
                dtype = dtype_of(dtype)
            where = default_device() if device is None else _device(device)
            how = Loading(where, dtype, trust_remote_code, allow_pickle, auto_class)
            module, tokenizer = load(self.name, tokenizer, how)
            if Path(self.name).is_dir():
                self.settings = read_settings(self.name)
        self.module: Any = module.eval()
        self.tokenizer: Any = tokenizer
        self.device, self.dtype = _device_and_dtype(self.module)
        self.worker = f"torch:{self.device}"
        self.kv_bytes = free_bytes(self.device) // 4 if kv_bytes is None else kv_bytes
        self.config: Any = self.module.config.get_text_config()
        self.context_length = read_context_length(self.config, tokenizer, context_length)
        self.generation_config: Any = getattr(self.module, "generation_config", None)
        """The checkpoint's ``transformers.GenerationConfig``, or None."""
        self.eos_ids = _eos_ids(self.module, tokenizer)
        head = self.module.get_output_embeddings() if hasattr(self.module, "get_output_embeddings") else None
        total = sum(matrix_sizes(self.module, self.config))
        self.head_parameters = 0 if head is None else sum(matrix_sizes(head, self.config))
        self.body_parameters = total - self.head_parameters
        self.attention_width = attention_width(self.config)

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

    def __repr__(self) -> str:
        return f"HFModel({self.name!r}, device={str(self.device)!r}, dtype={str(self.dtype)!r})"


def default_device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def free_bytes(device: torch.device) -> int:
    """Memory that could still be taken on this device, in bytes."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 4 << 30


def _without_wrapper(model: nn.Module) -> Any:
    """The model itself where peft has wrapped it: its adapters are inside the model's own layers.

    Prompt learning is not: there the wrapper does the work.
    """
    peft = getattr(model, "active_peft_config", None)
    return model if peft is None or peft.is_prompt_learning else model.get_base_model()  # type: ignore[operator]


def _device(named: str | torch.device) -> torch.device:
    """The device; ``ValueError`` where there is none of that name here."""
    try:
        return torch.empty(0, device=named).device
    except (RuntimeError, AssertionError, TypeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"device {named!r} cannot be used here: {first}") from error


def _device_and_dtype(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where inputs go, and what hidden states are held in.

    Offloaded weights lie on "meta" while they are not used; quantised ones are integers. Both are passed over.
    """
    there = [p for p in module.parameters() if p.device.type != "meta"]
    if not there:
        there = [torch.empty(0, device=default_device())]  # type: ignore[list-item]
    hook = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
    device = there[0].device if hook is None else torch.empty(0, device=hook).device
    floats = (p.dtype for p in there if p.dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64))
    return device, next(floats, torch.float32)


def _eos_ids(module: Any, tokenizer: Any) -> frozenset[int]:
    """Every id that ends a solution: the tokenizer's, the config's and the generation config's. May be empty."""
    found: set[int] = set()
    for source in (tokenizer, module.config, getattr(module, "generation_config", None)):
        value = getattr(source, "eos_token_id", None)
        found |= {item for item in (value if isinstance(value, list | tuple) else [value]) if isinstance(item, int)}
    return frozenset(found)
