"""Models without padding, without an end, with a window that is too short: refused in words, or served all the same."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import ttscale
from hf.tiny import byte_tokenizer, tiny_config
from ttscale import Beam, Candidate, Key, MajorityVote, Question, RoleError, Sample, Score, SequentialRevision, Step
from ttscale.hf import HFGenerator, HFModel, HFReviser, ImplicitVerifier
from ttscale.prompts.tokenize import PromptFormat, encode
from ttscale.testing import FakeVerifier

PLAIN = PromptFormat(chat=False)
WINDOW = 64
QUESTIONS = ["one", "two and three", "four, five and six, which is long", "7"]


def tokenizer() -> Any:
    """Without special tokens. (Read from a folder, some classes of tokenizers would add their own.)"""
    return byte_tokenizer(pad_token=None, eos_token=None, bos_token=None)


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def bare(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint that knows neither a pad token nor an end, and reads 64 tokens."""
    folder = tmp_path_factory.mktemp(f"bare-{request.param}")
    config = tiny_config(
        request.param,
        len(tokenizer()),
        pad_token_id=None,
        eos_token_id=None,
        bos_token_id=None,
        max_position_embeddings=WINDOW,
    )
    torch.manual_seed(3)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(params=[True, False], ids=["fast", "plain"])
def model(bare: str, request: pytest.FixtureRequest) -> HFModel:
    loaded = HFModel(bare, tokenizer=tokenizer(), device="cpu", shared_kv=request.param)
    assert (loaded.tokenizer.pad_token_id, loaded.tokenizer.eos_token_id, loaded.eos_ids) == (None, None, frozenset())
    return loaded


def test_prompts_of_all_lengths_share_a_batch_without_a_pad_token(model: HFModel) -> None:
    generator = HFGenerator(model, delimiter="e", max_new_tokens=9, prompt=PLAIN)
    roots = [Candidate(Question.of(prompt), Key((0, prompt))) for prompt in QUESTIONS]
    requests = [Sample(root, root.key.child(i)) for root in roots for i in range(3)]
    together = generator.sample(requests)
    assert [reply.steps for reply in together] == [generator.sample([request])[0].steps for request in requests]
    # Without an end, all there is is the limit: cut off, and never taken for finished.
    assert {(reply.finish, reply.cost.sampled_tokens) for reply in together} == {("length", 9)}


@pytest.mark.parametrize("strategy", [MajorityVote(), Beam(max_rounds=5)])
def test_a_model_that_never_ends_gives_no_answer_and_no_error(model: HFModel, strategy: Any) -> None:
    generator = HFGenerator(model, delimiter="e", max_new_tokens=9, prompt=PLAIN)
    results = ttscale.solve_all(
        QUESTIONS, 4, generator=generator, verifier=FakeVerifier(0.5), strategy=strategy, progress=False
    )
    for result in results:
        assert (result.error, result.answer, result.text, result.score) == (None, None, "", None)
        assert {candidate.finish for candidate in result.candidates} <= {"length", "open"}


def test_a_stop_string_is_an_end_for_a_model_that_has_none(model: HFModel) -> None:
    letters = [chr(code) for code in range(33, 127)]
    form = PromptFormat(chat=False, stop=tuple(letters))  # almost any character will do
    generator = HFGenerator(model, delimiter=None, max_new_tokens=30, prompt=form)
    result = ttscale.solve("one", 4, generator=generator, strategy=MajorityVote())
    assert {candidate.finish for candidate in result.candidates} == {"stop"}


def test_revisions_and_implicit_scores_need_neither(model: HFModel) -> None:
    reviser = HFReviser(model, delimiter="e", max_new_tokens=5, prompt=PLAIN)
    strategy = SequentialRevision(select="majority")
    result = ttscale.solve("one", 4, reviser=reviser, strategy=strategy)
    assert (result.error, len(result.candidates)) == (None, 4)
    verifier = ImplicitVerifier(model, reference_weight=0, scale=0.01, prompt=PLAIN)
    steps = (Step("ab"), Step("cde"))
    candidates = [Candidate(Question.of(prompt), Key((prompt,)), steps, "stop") for prompt in QUESTIONS]
    together = verifier.score([Score(candidate) for candidate in candidates])
    for candidate, verdict in zip(candidates, together, strict=True):
        assert len(verdict.step_scores) == 2
        fresh = ImplicitVerifier(model, reference_weight=0, scale=0.01, prompt=PLAIN)
        assert fresh.score([Score(candidate)])[0].step_scores == pytest.approx(verdict.step_scores, abs=2e-5)


def test_half_a_character_in_a_question_is_replaced_as_no_tokenizer_takes_it(model: HFModel) -> None:
    """Python makes lone surrogates of bytes that are no UTF-8, as on a command line."""
    generator = HFGenerator(model, max_new_tokens=5)
    half, replaced = (ttscale.Question("q1", f"a{mark}b") for mark in ("\udc80", "\ufffd"))
    first, second = (ttscale.solve(question, 3, generator=generator) for question in (half, replaced))
    assert [c.tokens for c in first.candidates] == [c.tokens for c in second.candidates]


def test_a_prompt_longer_than_the_window_fails_its_question_and_no_other(model: HFModel) -> None:
    generator = HFGenerator(model, delimiter=None, max_new_tokens=3, prompt=PLAIN)
    spare = WINDOW - len(encode(model.tokenizer, PLAIN, ""))
    questions = ["a" * n for n in (1, spare - 2, spare - 1, spare, spare + 1, 40 * WINDOW)]
    for results in (
        ttscale.solve_all(questions, 2, generator=generator, progress=False),
        asyncio.run(ttscale.asolve_all(questions, 2, generator=generator, progress=False)),
    ):
        whole = [result for result in results if result.error is None]
        assert [result.question.prompt for result in whole] == questions[:3]
        # Where the window ends, a solution is cut off.
        assert {c.finish for result in whole for c in result.candidates} == {"length"}
        assert [result.cost.sampled_tokens for result in whole] == [2 * 3, 2 * 2, 2 * 1]
        for result in results[3:]:
            assert isinstance(result.error, RoleError)
            assert f"{len(encode(model.tokenizer, PLAIN, result.question.prompt))} tokens long" in str(result.error)
            assert f"reads at most {WINDOW}" in str(result.error)
            assert result.question.id in str(result.error)
            assert "use a shorter question or prompt, or a model with a longer context" in str(result.error)
    with pytest.raises(RoleError, match=f"reads at most {WINDOW}"):
        ttscale.solve(questions[-1], 2, generator=generator)


def test_a_beam_at_the_end_of_the_window_is_cut_off(model: HFModel) -> None:
    """Every step starts from a longer prefix; the last one has no room and no error."""
    generator = HFGenerator(model, delimiter="e", max_new_tokens=2048, prompt=PLAIN)
    result = ttscale.solve("one", 4, generator=generator, verifier=FakeVerifier(0.5), strategy=Beam())
    assert result.error is None
    assert {candidate.finish for candidate in result.candidates} == {"length"}
    room = WINDOW - len(encode(model.tokenizer, PLAIN, "one"))
    assert {len(candidate.tokens) for candidate in result.candidates} == {room}


@pytest.mark.parametrize("resumed", [False, True])
def test_ctrl_c_in_the_middle_of_decoding_returns_what_is_done(bare: str, resumed: bool, tmp_path: Path) -> None:
    """Through the real decode loop: the signal arrives inside a forward, and nothing is left running on the model."""
    model = HFModel(bare, tokenizer=tokenizer(), device="cpu", max_batch=4)
    generator = HFGenerator(model, delimiter=None, max_new_tokens=4, prompt=PLAIN)
    path = tmp_path / "trace.jsonl" if resumed else None
    questions = [f"{n}" for n in range(12)]
    ended: list[Any] = []

    def after_five(event: Any) -> None:
        if event["event"] == "end":
            ended.append(event["question"])
            if len(ended) == 5:
                os.kill(os.getpid(), signal.SIGINT)

    options: Any = {"generator": generator, "progress": False}
    results = ttscale.solve_all(questions, 2, **options, resume=path, observe=after_five)
    assert len(results) == 12
    done = [result for result in results if result.stopped_by is None]
    assert len(done) >= 5
    assert {result.stopped_by for result in results} == {None, "interrupt"}
    # The same call again goes on, and ends where one that was never interrupted ends.
    before = model.forwarded_tokens
    again = ttscale.solve_all(questions, 2, **options, resume=path)
    ran = model.forwarded_tokens - before
    fresh = HFModel(bare, tokenizer=tokenizer(), device="cpu", max_batch=4)
    alone = HFGenerator(fresh, delimiter=None, max_new_tokens=4, prompt=PLAIN)
    wanted = ttscale.solve_all(questions, 2, generator=alone, progress=False)
    assert again == wanted
    assert [result for result in wanted if result in done] == done
    if resumed:
        assert ran < fresh.forwarded_tokens * 8 / 12


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_no_numbers_are_the_models_fault(model: HFModel, temperature: float) -> None:
    with torch.no_grad():
        model.module.lm_head.weight.fill_(torch.nan)
    results = ttscale.solve_all(
        QUESTIONS,
        2,
        generator=HFGenerator(model, temperature=temperature, prompt=PLAIN),
        strategy="majority_vote",
        progress=False,
    )
    for result in results:
        assert isinstance(result.error, ttscale.RoleError)
        assert "logits that are no numbers (NaN)" in str(result.error)
