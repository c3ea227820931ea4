"""Below the decode loop: the sampling kernels, and a decode step against what the machine can do."""

from __future__ import annotations

import torch
from _hf_decode import Found, forget, rows_of
from _hf_models import Size, interleaved, network, served, tokens

from ttscale.hf.decode import Decoder
from ttscale.hf.model import HFModel
from ttscale.hf.pick_runner import open_shared_kv as fast
from ttscale.hf.sampling import Filters, draw
from ttscale.hf.shared_kv.cpu_llama import _packed
from ttscale.prompts.steps import StepText


def sampling(size: Size) -> Found:
    """One draw for 64 rows: a hashed uniform and the inverse distribution, against `torch.multinomial`."""
    return {k: row for vocabulary in (4_096, 151_936) for k, row in _sampling(vocabulary, size).items()}


@torch.inference_mode()
def _sampling(vocabulary: int, size: Size) -> Found:
    rows = size.of(64, 2)
    logits = 3 * torch.randn(rows, vocabulary)
    noise = torch.rand(rows)

    def ours(filters: Filters) -> None:
        draw(logits, noise, [1.0] * rows, filters)

    made = interleaved(
        {
            "inverse distribution": lambda i: ours(Filters()),
            "multinomial": lambda i: torch.multinomial(logits.softmax(-1), 1),
            "inverse distribution, top-k 50": lambda i: ours(Filters(top_k=50)),
            "inverse distribution, top-p 0.9": lambda i: ours(Filters(top_p=0.9)),
            "inverse distribution, min-p 0.05": lambda i: ours(Filters(min_p=0.05)),
            "top-p 0.9 by sorting, multinomial": lambda i: torch.multinomial(sorted_top_p(logits, 0.9), 1),
        },
        size.of(max(5, size.rounds), 1),
    )
    found: Found = {}
    for name, row in made.items():
        found[f"vocabulary {vocabulary:,}: {name}"] = {"ms": 1e3 * row["seconds"], "slower": row["slower"]}
    return found


def sorted_top_p(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """Top-p the way it is usually written."""
    ordered, at = logits.softmax(-1).sort(descending=True)
    return torch.zeros_like(logits).scatter(-1, at, ordered * (ordered.cumsum(-1) - ordered < top_p))


def roofline(size: Size) -> Found:
    """A decode step against the machine: FLOPs and bytes that must be, over what was achieved, one thread."""
    model = served(network("llama8m", size))
    square = torch.randn(1024, 1024)
    block, target = (
        torch.randn(size.of(64, 1) << 20),
        torch.empty(size.of(64, 1) << 20),
    )  # 256 MiB each, far beyond any cache
    linear = _packed(torch.nn.Linear(1024, 1024, bias=False))
    machine = interleaved(
        {
            "matmul": lambda i: torch.mm(square, square),
            "linear": torch.inference_mode()(lambda i: linear(square)),
            "copy": lambda i: target.copy_(block),
        },
        size.of(max(5, size.rounds), 1),
    )
    flops = 2 * 1024**3 / min(machine[name]["seconds"] for name in ("matmul", "linear"))
    copied = 2 * 4 * len(block) / machine["copy"]["seconds"]
    found: Found = {"the machine: matmul, copy": {"GFLOP/s": flops / 1e9, "GB/s": copied / 1e9}}
    for count in (64, 8, 1) if not size.tiny else (2,):
        found[f"step of {count} rows"] = _step(model, count, flops, copied)
    return found


def _step(model: HFModel, count: int, peak_flops: float, peak_bytes: float) -> dict[str, float]:
    own = fast(model)
    assert own is not None
    forget(model)
    decoder = Decoder(model, StepText(model.tokenizer, None), Filters())
    decoder.admit(rows_of([tokens(128, 4)] * count, [2000] * count, 128, 4))
    for _ in range(40):
        decoder.step()
    seconds = interleaved({"step": lambda i: decoder.step()}, 20)["step"]["seconds"]
    decoder.close()
    context = 128 + 50  # on average over the steps timed
    flops = count * model.flops(1, context, 1)
    kv = 2 * own.shape.layers * own.shape.heads * own.shape.size * 4 * (128 + 50 * count)
    moved = 4 * model.matmul_parameters + kv + 2 * 4 * count * int(model.config.vocab_size)
    return {
        "ms": 1e3 * seconds,
        "GFLOP/s": flops / seconds / 1e9,
        "of matmul": flops / seconds / peak_flops,
        "GB/s": moved / seconds / 1e9,
        "of copy": moved / seconds / peak_bytes,
        "bound / time": max(flops / peak_flops, moved / peak_bytes) / seconds,
    }
