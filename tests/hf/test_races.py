"""Races on the Hugging Face backend: a row that has lost leaves the batch at once, and its tokens are in the cost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import ttscale
from ttscale import Candidate, Key, Question, Sample
from ttscale.core.types import tokens_drawn
from ttscale.hf import HFGenerator
from ttscale.strategies import FirstFinished

QUESTIONS = ["Say something", "And another thing?", "Well"]


@pytest.fixture
def generator(checkpoint: Any) -> HFGenerator:
    return HFGenerator(checkpoint("llama"), max_new_tokens=120, delimiter=None)


class OnlyBatches:
    """The same generator without its session, so that nothing can be stopped."""

    def __init__(self, generator: HFGenerator) -> None:
        self.name, self.sample = generator.name, generator.sample


def test_a_row_that_is_bounded_leaves_the_batch_in_the_next_step(generator: HFGenerator) -> None:
    root = Candidate(Question("q", "Say something"), Key((0, "q")))
    requests = [Sample(root, root.key.child(i)) for i in range(6)]
    whole = generator.sample(requests)
    lengths = [tokens_drawn(reply.steps) for reply in whole]
    session = generator.session()
    session.admit(list(enumerate(requests)))
    replies: dict[int, Any] = {}
    for _ in range(12):
        replies |= dict(session.step())
    slow = [i for i in range(6) if i not in replies]
    assert len(slow) > 1
    session.bound(slow[0], 3)  # it has more by now
    session.bound(slow[1], 20)
    left = dict(session.step())
    assert set(left) >= {slow[0]}
    assert left[slow[0]].finish == "length"
    assert 3 < left[slow[0]].cost.sampled_tokens <= 12
    assert whole[slow[0]].steps[0].tokens[: len(left[slow[0]].steps[0].tokens)] == left[slow[0]].steps[0].tokens
    replies |= left
    while session.active:
        replies |= dict(session.step())
    session.close()
    for i, reply in enumerate(whole):
        if i == slow[0]:
            continue
        if i == slow[1] and lengths[i] > 20:
            assert (tokens_drawn(replies[i].steps), replies[i].finish) == (21, "length")
        else:
            assert replies[i] == reply  # nobody else has noticed


def test_the_same_result_with_and_without_stopping(generator: HFGenerator) -> None:
    options: Any = {"strategy": FirstFinished(1, 6), "progress": False}
    wanted = ttscale.solve_all(QUESTIONS, 6, generator=OnlyBatches(generator), **options)
    stopped = ttscale.solve_all(QUESTIONS, 6, generator=generator, **options)
    assert stopped == wanted
    assert asyncio.run(ttscale.asolve_all(QUESTIONS, 6, generator=generator, **options)) == wanted
    for all_run, some in zip(wanted, stopped, strict=True):
        (first,) = [c for c in some.candidates if c.done]
        lost = [q for q, a in some.trace.recorded if a.finish == "length"]  # type: ignore[union-attr]
        assert lost
        assert some.cost.sampled_tokens < all_run.cost.sampled_tokens
        # Side by side, nobody draws more than two tokens past the winner's end.
        assert some.cost.sampled_tokens <= 6 * (len(first.tokens) + 2)


def test_running_rows_are_counted_for_progress(generator: HFGenerator) -> None:
    root = Candidate(Question("q", "Say something"), Key((0, "q")))
    session = generator.session()
    session.admit([(i, Sample(root, root.key.child(i))) for i in range(3)])
    assert generator.live() == 0
    answered = 0
    while session.active:
        replies = dict(session.step())
        answered += len(replies)
        if not replies and answered == 0:
            assert generator.live() % 3 == 0  # side by side, nobody has ended
    assert generator.live() == 0
    session.close()
