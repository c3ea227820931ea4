"""What an adapter is, and what the adapters of public verifiers share: heads on hidden states.

An adapter knows one family's input format and where its scores are read. It knows nothing of batches, caches or search:
the scorer runs the trunk over ``encode``'s ids and hands the hidden states at its positions to ``read``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from ttscale.core.selection import Aggregate
from ttscale.hf.model import HFModel
from ttscale.prompts.verifier_layouts import Encoded


class Adapter(Protocol):
    """One family of verifiers."""

    @property
    def aggregate(self) -> Aggregate:
        """What suits its step scores, by its authors or by its training data."""

    @property
    def head(self) -> LinearHead:
        """From hidden states to the logits that ``read`` uses."""

    def encode(self, question: str, steps: Sequence[str], attempts: Sequence[str] = (), /) -> Encoded:
        """The ids of question and solution, with the positions recorded while they are built."""

    def read(self, hidden: Tensor, /) -> Tensor:
        """Probabilities [n], in fp32, from the trunk's last hidden states [n, width] at the positions."""


LayerSource: TypeAlias = tuple[Tensor, Tensor | None] | nn.Module
IDENTITY_ROWS = 256
"""Unit vectors put through a wrapped head at once."""


def matrix_of(module: Any, width: int | None) -> tuple[Tensor, Tensor | None]:
    """(weight [outputs, inputs], bias [outputs] or None) of a module that is one matrix, whatever adapters are in it.

    Of a plain linear layer they are read. Of others they are what the module makes of each unit vector: LoRA, DoRA,
    IA3, OFT and the like change the matrix, and none of them says how in the same way.
    """
    if type(module) is nn.Linear and type(module.weight.data) is Tensor:
        return module.weight, module.bias
    some = next(module.parameters())
    width = width or int(getattr(module, "in_features", 0)) or int(some.shape[-1])
    dtype = some.dtype if some.dtype.is_floating_point else torch.float32
    zero = module(torch.zeros(1, width, device=some.device, dtype=dtype)).float()[0]
    columns = []
    for begin in range(0, width, IDENTITY_ROWS):
        at = torch.arange(begin, min(width, begin + IDENTITY_ROWS), device=some.device)
        units = nn.functional.one_hot(at, width).to(dtype)
        columns.append(module(units).float() - zero)
    return torch.cat(columns).T.contiguous(), zero if bool(zero.any()) else None


class LinearHead(nn.Module):
    """Logits from hidden states, in fp32 whatever the trunk runs in: one matrix, or two with a ReLU between them."""

    def __init__(self, *layers: LayerSource, rows: Sequence[int] | None = None, width: int | None = None) -> None:
        """``layers``: each matrix as (weight [outputs, inputs], bias [outputs] or None), or as the module that applies
        it, with adapters and all (then ``width`` says its inputs); ``rows``: of the only one, those that count."""
        super().__init__()
        self._sources, self._rows, self._width = layers, rows, width
        self.layers: Any = nn.ModuleList()
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Take the weights over anew, after a training step on what they were taken from."""
        found = []
        for source in self._sources:
            weight, bias = source if isinstance(source, tuple) else matrix_of(source, self._width)
            if self._rows is not None:
                weight, bias = weight[self._rows], None if bias is None else bias[self._rows]
            layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
            layer.weight = nn.Parameter(weight.detach().float(), requires_grad=False)
            if bias is not None:
                layer.bias = nn.Parameter(bias.detach().float(), requires_grad=False)
            found.append(layer)
        self.layers = nn.ModuleList(found)

    @property
    def outputs(self) -> int:
        return int(self.layers[-1].out_features)

    @property
    def matmul_parameters(self) -> int:
        """Weights that take part in matrix products."""
        return sum(int(layer.weight.numel()) for layer in self.layers)

    def logits(self, hidden: Tensor) -> Tensor:
        """[n, outputs] from hidden states [n, width]."""
        x = hidden.float()
        for i, layer in enumerate(self.layers):
            x = layer(torch.relu(x) if i else x)
        return x

    def forward(self, hidden: Tensor) -> Tensor:
        return self.logits(hidden)


def lm_head(model: HFModel, tokens: Sequence[int]) -> LinearHead:
    """The rows of a language model's head that belong to these tokens, with its adapters and its bias."""
    return LinearHead(model.module.get_output_embeddings(), rows=tokens, width=int(model.config.hidden_size))


HEADS = ("score", "classifier")
"""What transformers' classes call the head of a classifier."""
PROBE_TOKENS = 8
"""Tokens of the forward that shows whether a model can be read step by step."""


def native_head(model: HFModel, labels: int) -> LinearHead:
    """The classifier of a loaded model, which must have so many labels."""
    found = next((getattr(model.module, name) for name in HEADS if hasattr(model.module, name)), None)
    if isinstance(found, LinearHead):
        head = found
    elif isinstance(found, nn.Linear):
        head = LinearHead(found)
    elif isinstance(found, nn.Module) and _wraps_linear(found):
        head = LinearHead(found, width=int(model.config.hidden_size))
    else:
        raise ValueError(
            f"{model.name!r} has no classifier ({' or '.join(HEADS)}), as this family has; name another family"
        )
    if head.outputs != labels:
        raise ValueError(
            f"the head of {model.name!r} has {head.outputs} labels, and this family has {labels}; name another family"
        )
    if not isinstance(found, LinearHead) and not _reads_forward(model, head):
        raise ValueError(
            f"{model.name!r} ({type(model.module).__name__}) is no decoder with a head on its hidden states: its "
            "scores cannot be read step by step. Wrap it in a ttscale.verifiers.FunctionVerifier instead"
        )
    return head


def _wraps_linear(found: nn.Module) -> bool:
    """Whether this is an adapter around one linear layer, as peft leaves it, or a whole copy of one."""
    return any(isinstance(part, nn.Linear) for part in found.modules()) and type(found).__module__.startswith("peft.")


@torch.inference_mode()
def _reads_forward(model: HFModel, head: LinearHead) -> bool:
    """Whether the model can be read step by step.

    A token's hidden state must not depend on the next one, where encoders fail. The head on it must give the model's
    own logits, where models fail that pool, or change the state before their head.
    """
    padding = getattr(model.config, "pad_token_id", None)
    tokens = [token for token in range(PROBE_TOKENS + 1) if token != padding][:PROBE_TOKENS]
    ids = torch.tensor([tokens], device=model.device)
    mask = torch.ones_like(ids)
    try:
        whole = model.module.base_model(input_ids=ids, attention_mask=mask, use_cache=False)[0].float()
        begun = model.module.base_model(input_ids=ids[:, :-1], attention_mask=mask[:, :-1], use_cache=False)[0].float()
        own = model.module(input_ids=ids, attention_mask=mask).logits.float()
    except (TypeError, ValueError):  # encoder-decoders want more than this
        return False
    last = whole[0, -1]
    # In half precision a sum is off by the rounding of its terms, however small it is itself.
    terms = last.abs() @ head.layers[0].weight.abs().T
    close = 1e-3 if model.dtype == torch.float32 else 0.06
    same_hidden = bool((begun - whole[:, :-1]).abs().max() <= close * whole.abs().max())
    off = (head.logits(last) - own.reshape(-1, head.outputs)[-1]).abs()
    return same_hidden and bool((off <= terms * torch.finfo(model.dtype).eps + 1e-4).all())


class Headed(nn.Module):
    """A trunk with a head that transformers has no class for: hidden states in, logits out."""

    def __init__(self, trunk: Any, head: LinearHead) -> None:
        super().__init__()
        self.base_model = trunk
        self.score = head
        self.config = trunk.config

    def get_output_embeddings(self) -> None:
        """There is no LM head."""

    def forward(self, **inputs: Any) -> Logits:
        return Logits(self.score(self.base_model(**inputs)[0]))


class Logits(NamedTuple):
    """What a model returns, by the name transformers gives it."""

    logits: Tensor
