"""Generator, reviser and verifier on vLLM in this process, on a stand-in for ``vllm.LLM`` with the same calls.

The real engine is asked under ``make engines`` (``tests/engines``).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import ttscale
from fake_openai import toy_line
from fake_vllm import FakeLLM, Letters
from ttscale import Beam, BestOfN, Candidate, Key, MajorityVote, Question, Sample, Step
from ttscale.core.errors import RoleError
from ttscale.core.requests import Revise, Score
from ttscale.prompts.layouts import PromptFormat
from ttscale.strategies import FirstFinished
from ttscale.testing import GeneratorTests, ReviserTests, VerifierTests
from ttscale.vllm import VLLMGenerator, VLLMReviser, VLLMVerifier

FORM = PromptFormat(chat=False, template="{question}\n<assistant>")
QUESTION = Question("q1", "2 + 2")
ROOT = Candidate(QUESTION, Key((0, "q1")))


def generator(llm: Any, **settings: Any) -> VLLMGenerator:
    return VLLMGenerator(llm, **{"prompt": FORM, "delimiter": "\n", "max_new_tokens": 256, **settings})


def verifier(rows: Any, **settings: Any) -> VLLMVerifier:
    return VLLMVerifier(FakeLLM(rows=rows), **{"family": "token-classification", **settings})


def rising(ids: list[int]) -> list[list[float]]:
    """Scores that say at which token they were read."""
    return [[0.0, place / 100] for place in range(len(ids))]


class TestGenerator(GeneratorTests):
    @pytest.fixture
    def generator(self) -> Any:
        return generator(FakeLLM())


class TestReviser(ReviserTests):
    @pytest.fixture
    def reviser(self) -> Any:
        return VLLMReviser(FakeLLM(), prompt=FORM, delimiter="\n", max_new_tokens=256)


class TestVerifier(VerifierTests):
    @pytest.fixture
    def verifier(self) -> Any:
        return verifier(rising)


def toy_solution(seed: int) -> str:
    text = ""
    while (line := toy_line(text, seed)) is not None:
        text += line
    return text


@pytest.mark.parametrize("max_steps", [1, 2, 5])
def test_step_by_step_goes_on_from_the_tokens_drawn_and_writes_what_one_draw_would(max_steps: int) -> None:
    llm = FakeLLM()
    role, candidate, rounds = generator(llm), ROOT, 0
    while candidate.finish == "open":
        (reply,) = role.sample([Sample(candidate, ROOT.key.child(rounds), max_steps, 0.0)])
        candidate = candidate.extend(ROOT.key.child(rounds), reply.steps, reply.finish)
        rounds += 1
    assert candidate.text == toy_solution(0)
    assert [step.text for step in candidate.steps] == toy_solution(0).splitlines(keepends=True)
    assert [Letters().decode(step.tokens) for step in candidate.steps] == [step.text for step in candidate.steps]
    (whole,) = generator(FakeLLM()).sample([Sample(ROOT, ROOT.key.child(0), None, 0.0)])
    assert whole.steps == candidate.steps
    assert whole.steps[0].logprob == pytest.approx(-0.25 * len(whole.steps[0].tokens))


def test_seeds_are_counted_up_from_the_parent_as_on_a_server() -> None:
    llm = FakeLLM()
    generator(llm).sample([Sample(ROOT, ROOT.key.child(i)) for i in range(3)])
    assert [params.seed for _, params in llm.seen] == [(ROOT.key.seed >> 1) + i for i in range(3)]


def test_draws_enter_and_leave_at_any_time_and_what_is_closed_is_aborted() -> None:
    llm = FakeLLM()
    session = generator(llm).session()
    session.admit([(0, Sample(ROOT, ROOT.key.child(0)))])
    session.step()
    session.admit([(i, Sample(ROOT, ROOT.key.child(i))) for i in (1, 2)])
    done: dict[int, Any] = {}
    while not done:
        done.update(session.step())
    session.close()
    assert llm.busiest == 3
    assert len(llm.aborted) + len(done) == 3
    assert llm.running == {}


def test_two_roles_on_one_engine_do_not_take_each_others_results() -> None:
    llm = FakeLLM()
    first = generator(llm)
    reviser = VLLMReviser(first, prompt=FORM, delimiter="\n")
    one, other = first.session(), reviser.session()
    one.admit([(0, Sample(ROOT, ROOT.key.child(0)))])
    other.admit([(0, Revise((ROOT,), ROOT.key.child("r")))])
    got: list[Any] = []
    while one.active:
        got += one.step()
    while other.active:
        got += other.step()
    assert len(got) == 2
    assert first.worker == reviser.worker


def test_a_draw_that_has_lost_its_race_is_aborted_and_nothing_else_changes() -> None:
    """Every third seed writes without end."""

    def write(text: str, seed: int) -> str | None:
        return "on and on\n" if seed % 3 == 0 and len(text) < 900 else toy_line(text, seed)

    class OnlyBatches:
        def __init__(self, role: Any) -> None:
            self.name, self.sample = role.name, role.sample

    llm, plain = FakeLLM(write), FakeLLM(write)
    role = generator(llm, max_new_tokens=2000)
    options: Any = {"strategy": FirstFinished(2), "progress": False}
    stopped = ttscale.solve_all(["a", "b"], 8, generator=role, **options)
    wanted = ttscale.solve_all(["a", "b"], 8, generator=OnlyBatches(generator(plain, max_new_tokens=2000)), **options)
    assert stopped == wanted
    assert llm.aborted
    assert sum(r.cost.sampled_tokens for r in stopped) < sum(r.cost.sampled_tokens for r in wanted)


@pytest.mark.parametrize("share", [1, 9, 30, 1000])
def test_a_draw_ends_at_its_share_of_a_limit(share: int) -> None:
    """Also one of several requests to the engine, step by step."""
    for max_steps in (None, 3):
        (whole,) = generator(FakeLLM()).sample([Sample(ROOT, ROOT.key.child(0), max_steps)])
        (some,) = generator(FakeLLM()).sample([Sample(ROOT, ROOT.key.child(0), max_steps, max_tokens=share)])
        if whole.cost.sampled_tokens <= share:
            assert some == whole
        else:
            assert (some.finish, some.cost.sampled_tokens) == ("length", share)
            assert "".join(step.text for step in whole.steps).startswith("".join(step.text for step in some.steps))
    result = ttscale.solve("q", 8, generator=generator(FakeLLM()), limit=ttscale.Limit(tokens=share))
    assert result.cost.sampled_tokens <= share


def test_a_step_limit_a_token_limit_and_a_stop_string() -> None:
    form = PromptFormat(chat=False, template="{question}\n<assistant>", stop=("\n\nProblem:",))
    table = {"": "a\n", "a\n": "\n", "a\n\n": "Problem: next\n"}
    role = generator(FakeLLM(lambda text, seed: table.get(text)), prompt=form)
    (whole,) = role.sample([Sample(ROOT, Key((0, "a")))])
    (first,) = role.sample([Sample(ROOT, Key((0, "a")), 1)])
    (rest,) = role.sample([Sample(ROOT.extend(Key((0, "a")), first.steps, "open"), Key((0, "b")), 1)])
    assert ([s.text.rstrip() for s in whole.steps], whole.finish) == (["a"], "stop")
    assert Letters().decode(whole.steps[0].tokens) == "a"  # the stop string's tokens are none of the step's
    assert whole.steps[0].logprob == pytest.approx(-0.25)
    assert ([s.text for s in first.steps], first.finish) == (["a\n"], "open")
    assert (rest.steps, rest.finish) == ((), "stop")
    (cut,) = generator(FakeLLM(lambda text, seed: "word "), max_new_tokens=7).sample([Sample(ROOT, Key((0, "a")), 1)])
    assert ([s.text for s in cut.steps], cut.finish) == (["word wo"], "length")


def test_confidence_is_kept_by_windows_and_gives_a_draw_up_at_its_threshold() -> None:
    """By hand: a token's confidence is the mean of -logprob of the 20 likeliest, here token / 10 + 9.5."""
    table = {"": "ab\n", "ab\n": "zz\n"}
    role = generator(FakeLLM(lambda text, seed: table.get(text)))
    sure = [(ord(letter) + 10) / 10 + 9.5 for letter in "ab\nzz\n"]
    (plain,) = role.sample([Sample(ROOT, Key((0, "a")))])
    (kept,) = role.sample([Sample(ROOT, Key((0, "a")), None, None, 2)])
    assert kept.steps == plain.steps
    assert [step.tail for step in plain.steps] == [None, None]
    assert [step.tail for step in kept.steps] == pytest.approx([sum(sure[1:3]) / 2, sum(sure[4:6]) / 2])
    assert [step.lowest for step in kept.steps] == pytest.approx([sum(sure[1:3]) / 2, sum(sure[2:4]) / 2])
    # "b\n" is the first window below 16; what was drawn behind it is paid for and not kept.
    (lost,) = role.sample([Sample(ROOT, Key((0, "a")), None, None, 2, 16.0)])
    assert ([step.text for step in lost.steps], lost.finish) == (["ab\n"], "length")
    assert lost.cost.sampled_tokens == plain.cost.sampled_tokens
    result = ttscale.solve("q", 8, generator=generator(FakeLLM()), strategy="confidence_vote:window=4,filter=0.5")
    assert result.error is None
    assert all(score is not None for score in result.scores)


def test_whole_strategies_and_a_prm() -> None:
    prm = verifier(rising)
    for strategy in (MajorityVote(), BestOfN(), Beam(width=2)):
        result = ttscale.solve("q", 8, generator=generator(FakeLLM()), verifier=prm, strategy=strategy)
        assert result.answer is not None
        assert result.cost.cached_tokens > 0


def test_a_token_classifier_is_read_at_the_last_token_of_each_step() -> None:
    seen: list[list[int]] = []

    def rows(ids: list[int]) -> list[list[float]]:
        seen.append(ids)
        return rising(ids)

    candidate = ROOT.extend(Key((1,)), [Step("ab\n"), Step("c<mark>d")], "stop")
    (verdict,) = verifier(rows).score([Score(candidate)])
    assert Letters().decode(seen[0]) == "2 + 2ab\ncd\n"
    places = [7, 10]
    expected = [1 / (1 + 2.718281828459045 ** -(place / 100)) for place in places]
    assert verdict.step_scores == pytest.approx(expected)
    assert verdict.cost.verifier_tokens == 6  # half of the eleven were in the cache


def test_a_model_that_pools_at_its_marks_gives_one_row_a_step_and_a_reward_head_one_score() -> None:
    candidate = ROOT.extend(Key((1,)), [Step("ab\n"), Step("cd")], "stop")
    (steps,) = verifier(lambda ids: [[0.0], [2.0]]).score([Score(candidate)])
    assert steps.step_scores == pytest.approx((0.5, 0.880797))
    (whole,) = verifier(lambda ids: [2.0], family="reward").score([Score(candidate)])
    assert whole.step_scores == pytest.approx((0.880797,))
    with pytest.raises(RoleError, match="3 rows for 2 steps"):
        verifier(lambda ids: [[0.0]] * 3).score([Score(candidate)])
    with pytest.raises(RoleError, match="one or two scores"):
        verifier(lambda ids: [[0.0, 1.0, 2.0]] * 2).score([Score(candidate)])
    with pytest.raises(RoleError, match="one or two scores"):
        verifier(lambda ids: [[float("nan")]] * 2).score([Score(candidate)])


def test_what_is_too_long_is_refused_with_its_length() -> None:
    with pytest.raises(RoleError, match="17 tokens long, the model reads at most 10"):
        generator(FakeLLM(length=10)).sample([Sample(ROOT, Key((1, "a")))])
    long = Score(ROOT.extend(Key((1,)), [Step("ab")], "stop"))
    with pytest.raises(RoleError, match="reads at most 4"):
        VLLMVerifier(FakeLLM(rows=rising, length=4), family="token-classification", on_error="raise").score([long])


def test_what_is_begun_is_cut_off_where_the_context_ends() -> None:
    """The prompt is 17 tokens long; the model reads what is begun to its last token, and no further."""
    begun = ROOT.extend(Key((1, "a")), [Step("step 1 2\n")], "open")
    reply, other = generator(FakeLLM(length=26)).sample(
        [Sample(begun, Key((2, "a")), 1), Sample(ROOT, Key((3, "a")), 1)]
    )
    assert (reply.steps, reply.finish, reply.cost.sampled_tokens) == ((), "length", 0)
    assert other.steps


@pytest.mark.parametrize("model", ["folder", Path("folder")])
def test_a_verifier_from_a_name_or_a_folder_pools(monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    made: list[tuple[Any, dict[str, Any]]] = []

    def load(model: Any, **options: Any) -> FakeLLM:
        made.append((model, options))
        return FakeLLM(rows=rising)

    monkeypatch.setattr(sys.modules["vllm"], "LLM", load, raising=False)
    VLLMVerifier(model, family="token-classification", options={"dtype": "auto"})
    assert made == [("folder", {"runner": "pooling", "dtype": "auto"})]


def test_a_solution_too_long_for_its_verifier_competes_without_a_score() -> None:
    llm = FakeLLM(rows=rising, length=8)
    long, short = (Score(ROOT.extend(Key((i,)), [Step("a" * i)], "stop")) for i in (6, 1))
    first, second = VLLMVerifier(llm, family="token-classification").score([long, short])
    assert (first.step_scores, len(second.step_scores)) == ((), 1)
    assert first.unscored is not None
    assert "12 tokens long with its question, the verifier reads at most 8" in first.unscored
    empty = Score(Candidate(QUESTION, Key((3,))))
    role = VLLMVerifier(llm, family="token-classification", on_error="unscored")
    assert [one.unscored is None for one in role.score([empty, short])] == [False, True]
    assert VLLMVerifier(llm, family="token-classification").on_error is None


def test_few_shot_examples_say_where_a_solution_ends() -> None:
    """Written by hand: a base model goes on with the next question, which the examples begin with "Q:"."""
    form = PromptFormat(
        chat=False,
        template="Q: {question}\nA:<assistant>",
        examples=(("1 + 1", "2"),),
        example_template="Q: {question}\nA: {solution}\n\n",
    )
    table = {"": "4\n", "4\n": "\nQ: 3 + 3\n"}
    llm = FakeLLM(lambda text, seed: table.get(text))
    (whole,) = generator(llm, prompt=form).sample([Sample(ROOT, Key((0, "a")))])
    assert ("".join(step.text for step in whole.steps).rstrip(), whole.finish) == ("4", "stop")
    assert llm.seen[0][1].stop == ["\nQ:"]


def test_a_thinking_tag_that_the_prompt_opens_is_in_the_text_and_written_once() -> None:
    form = PromptFormat(chat=False, template="{question}\n<assistant><think>\n")
    lines = ["I think 3\n", "</think>\n", "Answer: 5"]

    def write(text: str, seed: int) -> str | None:
        text = text.removeprefix("<think>\n")
        return next((line for i, line in enumerate(lines) if text == "".join(lines[:i])), None)

    role, candidate = generator(FakeLLM(write), prompt=form), ROOT
    while candidate.finish == "open":
        (reply,) = role.sample([Sample(candidate, candidate.key.child(0), 1)])
        candidate = candidate.extend(candidate.key.child(0), reply.steps, reply.finish)
    assert candidate.text == "<think>\n" + "".join(lines)
    assert Letters().decode(candidate.tokens) == "".join(lines)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VLLMGenerator(3), "model must be a vllm.LLM"),
        (lambda: VLLMGenerator(FakeLLM(), options={"dtype": "auto"}), "go into the LLM that you pass"),
        (lambda: VLLMGenerator(FakeLLM(), delimiter=""), "delimiter must be a text"),
        (lambda: VLLMGenerator(FakeLLM(), max_new_tokens=0), "max_new_tokens must be"),
        (lambda: VLLMGenerator(FakeLLM(), top_p=0.0), "top_p must be"),
        (lambda: VLLMGenerator(FakeLLM(), temperature=-1.0), "temperature must be"),
        (lambda: VLLMVerifier(FakeLLM(), family="prm"), "family must be one of"),  # type: ignore[arg-type]
    ],
)
def test_bad_arguments_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_without_vllm_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ImportError, match=r"pip install 'ttscale\[vllm\]'"):
        VLLMGenerator("some/model")
