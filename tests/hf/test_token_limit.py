"""A limit on tokens inside a draw on the Hugging Face backend: a row ends at its share, and nobody else notices."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import ttscale
from ttscale import Candidate, Key, Limit, Question, Revise, Sample
from ttscale.hf import HFGenerator, HFReviser

QUESTIONS = ["Say something", "And another thing?", "Well"]


@pytest.mark.parametrize("delimiter", [None, "\n"])
def test_a_row_is_the_beginning_of_what_it_would_have_been(checkpoint: Any, delimiter: str | None) -> None:
    generator = HFGenerator(checkpoint("llama"), max_new_tokens=60, delimiter=delimiter)
    root = Candidate(Question("q", "Say something"), Key((0, "q")))
    plain = [Sample(root, root.key.child(i)) for i in range(6)]
    shares = [None, 1, 7, 20, 60, 1000]
    whole = generator.sample(plain)
    some = generator.sample([Sample(r.prefix, r.key, max_tokens=share) for r, share in zip(plain, shares, strict=True)])
    for share, long, short in zip(shares, whole, some, strict=True):
        sampled = long.cost.sampled_tokens
        if share is None or sampled <= share:
            assert (short.steps, short.finish) == (long.steps, long.finish)
        else:
            assert (short.finish, short.cost.sampled_tokens) == ("length", share)
            tokens = [[token for step in reply.steps for token in step.tokens] for reply in (long, short)]
            assert tokens[1] == tokens[0][: len(tokens[1])]


def test_the_cap_holds_alone_and_together(checkpoint: Any) -> None:
    generator = HFGenerator(checkpoint("llama"), max_new_tokens=100, delimiter=None)
    for cap in (1, 40, 150):
        options: Any = {"generator": generator, "limit": Limit(tokens=cap), "progress": False}
        together = ttscale.solve_all(QUESTIONS, 6, **options)
        assert all(0 < result.cost.sampled_tokens <= cap for result in together)
        assert [ttscale.solve_all([q], 6, **options)[0] for q in QUESTIONS] == together
        assert asyncio.run(ttscale.asolve_all(QUESTIONS[::-1], 6, **options))[::-1] == together


def test_a_revision_is_held_to_its_share(checkpoint: Any) -> None:
    root = Candidate(Question("q", "Say something"), Key((0, "q")))
    (reply,) = HFReviser(checkpoint("llama"), max_new_tokens=60).revise([Revise((root,), root.key.child(0), 3)])
    assert reply.cost.sampled_tokens <= 3


def test_a_share_is_no_reason_to_advise_a_larger_max_new_tokens(
    checkpoint: Any, caplog: pytest.LogCaptureFixture
) -> None:
    generator = HFGenerator(checkpoint("llama"), max_new_tokens=100, delimiter=None)
    ttscale.solve_all(QUESTIONS, 4, generator=generator, limit=Limit(tokens=4), progress=False)
    assert "were cut off" not in caplog.text
