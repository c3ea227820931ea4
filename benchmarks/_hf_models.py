"""Random-weight models of the sizes in the tables, a tokenizer of numbers, and interleaved timing."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers

from ttscale.hf import HFModel

SHAPES: dict[str, dict[str, Any]] = {
    "llama8m": {"hidden_size": 256, "num_hidden_layers": 6, "num_key_value_heads": 8, "intermediate_size": 704},
    "llama40m": {"hidden_size": 576, "num_hidden_layers": 9, "num_key_value_heads": 8, "intermediate_size": 1536},
    "qwen8m": {"hidden_size": 256, "num_hidden_layers": 6, "num_key_value_heads": 2, "intermediate_size": 832},
}
TINY: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96}
EOS = 2


@dataclass(frozen=True, slots=True)
class Size:
    """How often, and how large. ``tiny`` shapes show that the scripts work; their numbers mean nothing."""

    rounds: int = 3
    tiny: bool = False

    def of(self, full: int, tiny: int) -> int:
        return tiny if self.tiny else full


class Numbers:
    """A tokenizer whose words are the ids themselves: "17 4 " is [17, 4]."""

    chat_template = None
    bos_token = eos_token = None
    eos_token_id = EOS
    is_fast = False

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [int(word) for word in text.split() if word.isdigit()]}

    def decode(self, ids: list[int], **_: Any) -> str:
        return "".join(f"{i} " for i in ids)


def network(name: str, size: Size) -> Any:
    """The module, with weights from a fixed seed."""
    kind = transformers.Qwen2Config if name.startswith("qwen") else transformers.LlamaConfig
    config = kind(
        vocab_size=4096,
        num_attention_heads=8,
        max_position_embeddings=4096,
        eos_token_id=EOS,
        pad_token_id=0,
        **{**SHAPES[name], **(TINY if size.tiny else {})},
    )
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(config).eval()  # type: ignore[no-untyped-call]


def served(module: Any, **settings: Any) -> HFModel:
    """The module as ttscale serves it; lengths are set by the benchmark, so no token ends a row."""
    model = HFModel(module, tokenizer=Numbers(), device="cpu", **settings)
    model.eos_ids = frozenset()
    return model


def lengths(count: int, mean: float, most: int, seed: int) -> list[int]:
    """Natural lengths: geometric with this mean, clipped."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        length = 1
        while length < most and rng.random() > 1 / mean:
            length += 1
        made.append(length)
    return made


def tokens(count: int, seed: int) -> tuple[int, ...]:
    """A prompt of random tokens."""
    rng = random.Random(seed)
    return tuple(rng.randrange(3, 4096) for _ in range(count))


class AtLength(transformers.StoppingCriteria):
    """Ends each row of ``generate`` at its own length, as an end-of-sequence token would."""

    def __init__(self, start: int, wanted: list[int]) -> None:
        self._ends = start + torch.tensor(wanted)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        return (input_ids.shape[1] >= self._ends).to(input_ids.device)


def interleaved(
    variants: Mapping[str, Callable[[int], Any]], rounds: int, warm: Sequence[str] | None = None
) -> dict[str, dict[str, float]]:
    """Each variant once per round, in turn, timed in CPU seconds of this process: median time, and ratio to the first.

    One torch thread, so CPU time is what the work takes; wall time on a shared machine is what the neighbours leave.
    ``warm`` names the variants that run once before (default: all): what is set up once per process is not timed.
    """
    for name, run in variants.items():
        if warm is None or name in warm:
            run(0)
    times: dict[str, list[float]] = {name: [] for name in variants}
    for index in range(rounds):
        for name, run in variants.items():
            began = time.process_time()
            run(index)
            times[name].append(time.process_time() - began)
    return ratios(times)


def ratios(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Median seconds of each variant, and the median over rounds of its ratio to the first variant."""
    base = next(iter(times.values()))
    return {
        name: {
            "seconds": statistics.median(own),
            "slower": statistics.median(a / b for a, b in zip(own, base, strict=True)),
        }
        for name, own in times.items()
    }


def table(title: str, found: dict[str, dict[str, Any]]) -> None:
    """Print one section."""
    print(f"\n{title}")
    columns = list(dict.fromkeys(key for row in found.values() for key in row))
    print(f"  {'':44}" + "".join(f"{column:>18}" for column in columns))
    for name, row in found.items():
        cells = (row.get(column, "") for column in columns)
        print(
            f"  {name:44}" + "".join(f"{cell:>18.3f}" if isinstance(cell, float) else f"{cell:>18}" for cell in cells)
        )
