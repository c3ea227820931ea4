"""Token confidence on the Hugging Face backend, against transformers' own logits of the finished text."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from ttscale import Candidate, Key, Question, Sample
from ttscale.hf import HFGenerator

WINDOW = 6


def stored(model: Any, context: list[int], tokens: list[int]) -> list[float]:
    """Minus the mean of the 20 highest log-probabilities at each drawn token's place, in one forward of the whole."""
    with torch.inference_mode():
        logits = model(torch.tensor([[*context, *tokens]])).logits[0].float()
    logs = logits.log_softmax(-1)[len(context) - 1 : -1]
    return [float(-row.sort(descending=True).values[:20].mean()) for row in logs]


@pytest.mark.parametrize("variant", ["llama", "qwen2-sliding"])
def test_windows_are_those_of_transformers_logits_and_stop_their_own_row(checkpoint: Any, variant: str) -> None:
    folder = checkpoint(variant)
    generator = HFGenerator(folder, max_new_tokens=60, delimiter="\n")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    root = Candidate(Question("q", "Say something"), Key((0, "q")))
    plain = [Sample(root, root.key.child(i)) for i in range(6)]
    asked = [Sample(root, request.key, None, None, WINDOW) for request in plain]
    replies = generator.sample(asked)
    again = generator.sample(plain)  # who looks draws the same; the prompt is cached by now
    assert [(reply.steps, reply.finish) for reply in replies] == [(reply.steps, reply.finish) for reply in again]
    assert all(step.tail is None for reply in generator.sample(plain[:1]) for step in reply.steps)
    context = generator._sampler.draw(Sample(root, root.key)).context
    every: list[list[float]] = []
    for reply in replies:
        tokens = [token for step in reply.steps for token in step.tokens]
        values = stored(model, list(context), tokens)
        every.append(values)
        end = 0
        lowest: list[float] = []
        for step in reply.steps:
            begin, end = end, end + len(step.tokens)
            assert step.tail == pytest.approx(sum(values[max(0, end - WINDOW) : end]) / min(WINDOW, end), abs=1e-4)
            means = [sum(values[i - WINDOW : i]) / WINDOW for i in range(max(WINDOW, begin + 1), end + 1)]
            assert (step.lowest is None) == (not means)
            lowest += means
            assert step.lowest is None or step.lowest == pytest.approx(min(means), abs=1e-4)
    # A threshold between the windows of one row stops that row at the first window below it, and others at theirs.
    means = sorted(sum(v[i - WINDOW : i]) / WINDOW for v in every for i in range(WINDOW, len(v) + 1))
    bar = (means[len(means) // 3] + means[len(means) // 3 + 1]) / 2
    mixed = [Sample(root, r.key, None, None, WINDOW, bar) if i % 2 == 0 else r for i, r in enumerate(plain)]
    stopped = 0
    for i, (reply, values) in enumerate(zip(generator.sample(mixed), every, strict=True)):
        below = [n for n in range(WINDOW, len(values) + 1) if sum(values[n - WINDOW : n]) / WINDOW < bar]
        tokens = [token for step in reply.steps for token in step.tokens]
        whole = [token for step in replies[i].steps for token in step.tokens]
        if i % 2 or not below:
            assert tokens == whole
        else:
            stopped += 1
            assert tokens == whole[: below[0]]
            assert (reply.finish, reply.cost.sampled_tokens) == ("length", below[0])
    assert stopped
