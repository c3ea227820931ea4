"""The real vLLM and llama.cpp servers with SmolLM2: what the stand-ins promise. Run by ``make engines``."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

import ttscale
from engines.engines import NAME, Engine
from engines.roles import FORM, QUESTION, ROOT, alike, by_steps, connection, generator, sample, whole
from real_models import model_folder
from ttscale import Candidate, Cost, Key, Question, Sample
from ttscale.core.errors import RoleError
from ttscale.core.requests import Compare, Score
from ttscale.hf import HFGenerator
from ttscale.openai import OpenAIGenerator, OpenAIReviser
from ttscale.strategies.names import STRATEGIES
from ttscale.verifiers import (
    ConfidenceVerifier,
    FunctionComparator,
    FunctionVerifier,
    JudgeVerifier,
    MixedGenerator,
    PromptedComparator,
)

RULES = FunctionVerifier(lambda candidate: 0.5 + len(candidate.text) % 9 / 20, name="rules")
LONGEST = FunctionComparator(lambda candidates: max(range(len(candidates)), key=lambda i: len(candidates[i].text)))
BEGUN = {"chat": "What colour is the sky?", "completions": "One, two, three,"}
"""Texts for which the model is fairly sure of the next word, and one more for both: "The sun rises in the"."""


@pytest.fixture(scope="module")
def local() -> HFGenerator:
    """The Hugging Face backend, which the texts of fp32 engines are compared with."""
    return HFGenerator(str(model_folder()), prompt=FORM, delimiter="\n", max_new_tokens=32)


def test_the_kind_is_found_and_steps_written_one_by_one_are_the_whole(server: Engine) -> None:
    role = generator(server)
    found = by_steps(role)
    assert asyncio.run(role._server()).name == server.kind
    assert alike(found, whole(role))
    assert all(step.tokens for step in found.steps)
    assert all(step.text.endswith("\n") for step in found.steps[:-1])


@pytest.mark.parametrize("way", ["chat", "completions", "template"])
def test_it_writes_what_the_local_backend_writes(server: Engine, local: HFGenerator, way: str) -> None:
    settings: dict[str, Any] = {}
    if way == "completions":
        plain = replace(FORM, chat=False, template="Question: {question}\nAnswer:")
        settings = {"prompt": plain}
        local = HFGenerator(local.model, prompt=plain, delimiter="\n", max_new_tokens=32)
    elif way == "template":
        settings = {"api": "completions", "template": str(model_folder())}
    role = generator(server, logprobs=True, **settings)
    ours, theirs = by_steps(local), by_steps(role)
    assert theirs.tokens == ours.tokens
    near = 2e-3 if server.kind == "vllm" else 5e-3  # llama.cpp sums in another order
    assert [step.logprob for step in theirs.steps] == pytest.approx([step.logprob for step in ours.steps], abs=near)
    assert alike(whole(role), ours)


def test_a_thinking_template_is_gone_on_with_and_its_tag_is_in_the_text_once(server: Engine) -> None:
    role = generator(server, chat_template_kwargs={"thinking": True})
    found = by_steps(role)
    assert found.text.startswith("<think>\n")
    assert found.text.count("<think>") == 1
    assert alike(found, whole(role))
    assert not whole(generator(server)).text.startswith("<think>")


@pytest.mark.filterwarnings("ignore:step search over a server")
def test_in_text_a_begun_chat_goes_on_and_is_not_said_again(server: Engine) -> None:
    found = by_steps(generator(server, token_ids=False), most=4)
    assert len(found.steps) > 1
    assert not found.steps[1].text.startswith(found.steps[0].text)
    assert alike(Candidate(QUESTION, ROOT.key, found.steps[:1]), whole(generator(server)))


def test_draws_that_share_a_request_are_those_asked_alone_and_cost_what_the_server_counts(server: Engine) -> None:
    requests = [Sample(ROOT, ROOT.key.child(i)) for i in range(3)]
    role = generator(server, max_new_tokens=12)
    before = server.counters()
    together = sample(role, *requests)
    after = server.counters()
    alone = [sample(role, request)[0] for request in requests]
    if server.kind == "vllm":  # llama.cpp's sums depend on the batch
        assert [one.steps for one in together] == [one.steps for one in alone]
    assert len({one.steps for one in together}) > 1
    cost = sum((one.cost for one in together), Cost())
    assert cost.requests == 1
    drawn, read = ("vllm:generation_tokens_total", "vllm:prompt_tokens_total")
    if server.kind == "llama.cpp":
        drawn, read = ("llamacpp:tokens_predicted_total", "llamacpp:prompt_tokens_total")
    assert cost.sampled_tokens == after[drawn] - before[drawn]
    if server.kind == "vllm":  # which counts the prompt once a draw; llama.cpp what was not in its cache
        assert 3 * (cost.prompt_tokens + cost.cached_tokens) == after[read] - before[read]


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_runs(server: Engine, name: str) -> None:
    role: Any = generator(server, 4, max_new_tokens=8)
    reviser = OpenAIReviser(NAME, connection=role.connection, prompt=FORM, delimiter="\n", max_new_tokens=8)
    if name == "mixture":
        role = MixedGenerator({"own": role, "cooler": generator(server, 4, max_new_tokens=8, temperature=0.6)})
    before = server.counters()
    result = ttscale.solve(
        QUESTION, 4, generator=role, verifier=RULES, reviser=reviser, comparator=LONGEST, strategy=name, progress=False
    )
    after = server.counters()
    assert result.error is None
    assert result.candidates
    assert any(candidate.text.strip() for candidate in result.candidates)
    drawn = "vllm:generation_tokens_total" if server.kind == "vllm" else "llamacpp:tokens_predicted_total"
    assert result.cost.sampled_tokens == after[drawn] - before[drawn]


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_the_odds_of_a_first_word_are_those_of_the_local_backend(server: Engine, local: HFGenerator, api: Any) -> None:
    """What judges and comparators read. Servers show 20 words in a chat and 5 in completions, so that rare ways to
    spell one may be missing."""
    form = FORM if api == "chat" else replace(FORM, chat=False, template="{question}")
    here = HFGenerator(local.model, prompt=form)
    questions = [Question.of(text) for text in (BEGUN[api], "The sun rises in the")]
    asked = [Sample(Candidate(question, Key((0, "a"))), Key((0, "a"))) for question in questions]
    options = ("four", "east", "The", "two")
    found = asyncio.run(generator(server, prompt=form, api=api).choose(asked, options))
    expected = here.choose(asked, options)
    assert found is not None
    assert expected is not None
    for (odds, cost), (right, _) in zip(found, expected, strict=True):
        assert cost.requests == 1
        assert all(p <= q + 2e-3 for p, q in zip(odds, right, strict=True))
        assert max(odds) == pytest.approx(max(right), abs=0.05)
        assert max(right) > 0.1


def test_a_judge_and_what_compares(server: Engine) -> None:
    role = generator(server)
    drawn = sample(role, *(Sample(ROOT, ROOT.key.child(i)) for i in (0, 1)))
    candidates = [ROOT.extend(ROOT.key.child(i), one.steps, "stop") for i, one in enumerate(drawn)]
    verdicts = asyncio.run(JudgeVerifier(role, on_error="unscored").score([Score(one) for one in candidates]))
    (preference,) = asyncio.run(PromptedComparator(role).compare([Compare(tuple(candidates), ROOT.key)]))
    assert all(verdict.unscored or 0 <= verdict.step_scores[0] <= 1 for verdict in verdicts)
    assert sum(preference.weights) == pytest.approx(1)
    assert preference.cost.requests == 2


def test_confidence_of_a_whole_solution(server: Engine) -> None:
    role = generator(server, logprobs=True, max_new_tokens=200)
    sure = ttscale.solve(QUESTION, 2, generator=role, verifier=ConfidenceVerifier(), strategy="best_of_n")
    assert all(step.logprob is not None and step.logprob <= 0 for one in sure.candidates for step in one.steps)


def test_a_stop_string_ends_the_solution_and_is_not_in_it(server: Engine) -> None:
    plain = whole(generator(server)).text
    word = plain.split()[3]
    stopped = whole(generator(server, prompt=replace(FORM, stop=(word,))))
    assert stopped.finish == "stop"
    assert stopped.text == plain[: plain.index(word)]


def test_a_context_that_is_too_long_is_refused_with_its_length(server: Engine) -> None:
    long = Question.of("word " * 3000)
    with pytest.raises(RoleError, match="tokens long, the model reads at most 2048"):
        sample(generator(server), Sample(Candidate(long, Key((0, long.id))), Key((0, long.id, 0))))


def test_a_wrong_model_is_named_with_those_there_are(server: Engine) -> None:
    if server.kind != "vllm":
        pytest.skip("llama.cpp serves its one model under any name")
    role = OpenAIGenerator("nobody", connection=connection(server, retries=0), prompt=FORM)
    with pytest.raises(RoleError, match=NAME):
        sample(role, Sample(ROOT, ROOT.key.child(0)))


@pytest.mark.parametrize("token_ids", [True, False], ids=["ids", "text"])
def test_a_wrong_key_is_said_at_once_and_not_repeated(server: Engine, token_ids: bool) -> None:
    wrong = connection(server, api_key="not-the-key")
    role = OpenAIGenerator(NAME, connection=wrong, prompt=FORM, server=server.kind, token_ids=token_ids)
    with pytest.raises(RoleError, match="does not take this key") as caught:
        sample(role, Sample(ROOT, ROOT.key.child(0)))
    assert "not-the-key" not in str(caught.value)
