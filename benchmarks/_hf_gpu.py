"""The backend on a GPU: a model shaped like Qwen2-1.5B with random weights in bf16. Part of ``hf_backend.py``.

Useful tokens per second of best-of-n from one prompt, against ``generate``, transformers' continuous batching
(``generate_batch``) and the bound that memory bandwidth sets: every step reads the weights and all distinct KV once.
Without CUDA it says so and measures nothing.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import transformers
from _hf_decode import Found, continuous, decode, forget, generated
from _hf_models import Numbers, Size, lengths, ratios, tokens

from ttscale.hf import HFModel
from ttscale.hf.pick_runner import open_shared_kv

QWEN2_1_5B: dict[str, Any] = {
    "vocab_size": 151_936,
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32_768,
    "tie_word_embeddings": True,
    "eos_token_id": None,
}
TINY: dict[str, Any] = QWEN2_1_5B | {
    "vocab_size": 4096,
    "hidden_size": 96,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "max_position_embeddings": 256,
}
PROMPT, MEAN, MOST = 512, 200, 512


def gpu(size: Size) -> Found:
    """On a GPU: best-of-n with a 1.5 B-parameter Qwen2 shape in bf16, prompt 512, lengths of mean 200 up to 512."""
    if size.tiny:  # on a CPU, to try the code
        return measured(TINY, (4,), 16, 4, 8, size.rounds, torch.device("cpu"), torch.float32)
    if not torch.cuda.is_available():
        print("not measured: no GPU")
        return {"not measured": {"reason": "no GPU"}}
    found = measured(QWEN2_1_5B, (64, 256, 1024), PROMPT, MEAN, MOST, size.rounds, torch.device("cuda"), torch.bfloat16)
    return {f"{torch.cuda.get_device_name()}, {name}": row for name, row in found.items()}


def measured(
    shape: dict[str, Any],
    counts: tuple[int, ...],
    prompt_length: int,
    mean: int,
    most: int,
    rounds: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Found:
    """The rows for one model shape."""
    torch.manual_seed(0)
    with device:
        config = transformers.Qwen2Config(**shape)
        module: Any = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype).eval()  # type: ignore[no-untyped-call]
    model = HFModel(module, tokenizer=Numbers())
    model.eos_ids = frozenset()
    prompt = tuple(t % shape["vocab_size"] for t in tokens(prompt_length, 1))
    bandwidth = _bandwidth(device)
    found: Found = {}

    def ours(index: int, n: int) -> None:
        forget(model)
        decode(model, [prompt] * n, lengths(n, mean, most, index), len(prompt), index)

    def theirs(index: int, n: int) -> None:
        generated(module, [prompt], n, lengths(n, mean, most, index))

    def paged(index: int, n: int) -> None:
        continuous(module, prompt, lengths(n, mean, most, index))

    for count in counts:
        draws = [lengths(count, mean, most, index) for index in range(1, rounds + 1)]
        useful = statistics.mean(map(sum, draws))

        variants: dict[str, Callable[[int], Any]] = {
            "ttscale": partial(ours, n=count),
            "generate": partial(theirs, n=count),
            "generate_batch": partial(paged, n=count),
        }
        times: dict[str, list[float]] = {}
        for name, run in variants.items():
            try:
                times[name] = [_seconds(run, index, device) for index in range(rounds + 1)][1:]
            except Exception as error:  # transformers' engines do not run everywhere, or do not fit
                if name == "ttscale":
                    raise
                found[f"N = {count}: {name}"] = {"failed": f"{type(error).__name__}: {str(error)[:80]}"}
                gc.collect()
        for name, row in ratios(times).items():
            found[f"N = {count}: {name}"] = {**row, "useful tokens/s": useful / row["seconds"]}
        least = statistics.mean(_least_bytes(model, prompt_length, drawn) for drawn in draws) / bandwidth
        found[f"N = {count}: bandwidth bound"] = {"seconds": least, "useful tokens/s": useful / least}
    return found


def _seconds(run: Callable[[int], Any], index: int, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    run(index)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _bandwidth(device: torch.device) -> float:
    """Bytes per second of a copy, reads and writes counted."""
    size = 1 << (28 if device.type == "cuda" else 24)
    block, target = torch.zeros(size, device=device), torch.empty(size, device=device)
    times = sorted(_seconds(lambda i: target.copy_(block), i, device) for i in range(10))
    return 2 * 4 * size / times[5]


def _least_bytes(model: HFModel, prompt_length: int, wanted: list[int]) -> float:
    """Bytes that must be read: at every step the weights, the prompt's KV once and each running row's own KV."""
    size = torch.finfo(model.dtype).bits // 8
    own = open_shared_kv(model)
    per_token = 2 * own.shape.layers * own.shape.heads * own.shape.size * size
    total = 0.0
    for step in range(max(wanted)):
        running = sum(length > step for length in wanted)
        total += size * model.matmul_parameters + per_token * (prompt_length + running * step)
    return total
