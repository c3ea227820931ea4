"""Function, confidence and ensemble verifiers against values worked out by hand."""

from __future__ import annotations

import asyncio
import inspect
import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ttscale
from ttscale import BestOfN, Candidate, Completion, Cost, Key, Question, Sample, Score, Step, Verdict
from ttscale.core.errors import RoleError
from ttscale.verifiers import ConfidenceVerifier, EnsembleVerifier, FunctionVerifier

QUESTION = Question("q1", "2 + 2")


def solution(*steps: Step | str, key: int = 0) -> Candidate:
    return Candidate(QUESTION, Key((key,)), tuple(Step(s) if isinstance(s, str) else s for s in steps), "stop")


def score(verifier: Any, *candidates: Candidate) -> list[Verdict]:
    got = verifier.score([Score(candidate) for candidate in candidates])
    return asyncio.run(got) if inspect.isawaitable(got) else got  # type: ignore[no-any-return]


# Functions.


@pytest.mark.parametrize(
    ("result", "expected"),
    [(True, (1.0,)), (False, (0.0,)), (0.25, (0.25,)), (1, (1.0,)), ([0.5, True], (0.5, 1.0)), ((0.1,), (0.1,))],
)
def test_a_function_scores(result: Any, expected: tuple[float, ...]) -> None:
    def check(candidate: Candidate) -> Any:
        assert (candidate.question.prompt, candidate.text, candidate.done) == ("2 + 2", "a\nAnswer: 4", True)
        return result

    async def acheck(candidate: Candidate) -> Any:
        return check(candidate)

    for fn in (check, acheck):
        assert score(FunctionVerifier(fn), solution("a\n", "Answer: 4")) == [Verdict(expected)]
    assert FunctionVerifier(check).name == "check"
    assert inspect.iscoroutinefunction(FunctionVerifier(acheck).score)


@pytest.mark.parametrize(
    ("result", "expected"),
    [(np.array([0.5, 0.25]), (0.5, 0.25)), (np.array([True, False]), (1.0, 0.0)), (np.array(0.5), (0.5,))],
)
def test_a_function_may_return_an_array(result: Any, expected: tuple[float, ...]) -> None:
    assert score(FunctionVerifier(lambda candidate: result), solution("a\n", "b"))[0].step_scores == expected
    with pytest.raises(RoleError, match="returned 3 scores"):
        score(FunctionVerifier(lambda candidate: np.zeros(3)), solution("a\n", "b"))
    with pytest.raises(RoleError, match="as a score"):
        score(FunctionVerifier(lambda candidate: np.zeros((2, 2))), solution("a\n", "b"))


class AsyncChecker:
    async def __call__(self, candidate: Candidate) -> bool:
        return candidate.answer == "4"


def test_an_object_with_an_async_call_is_awaited() -> None:
    assert score(FunctionVerifier(AsyncChecker()), solution("Answer: 4"), solution("Answer: 5")) == [
        Verdict((1.0,)),
        Verdict((0.0,)),
    ]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (float("nan"), r"returned nan as a score \(question 'q1', candidate 0\)"),
        (1.5, "returned 1.5 as a score"),
        (-0.1, "number in"),
        (None, "returned None as a score"),
        ("0.5", "as a score"),
        ([0.5] * 3, "returned 3 scores for a candidate of 2 steps"),
        ([], "returned 0 scores"),
        (10**400, "number in"),
        (1j, "as a score"),
        (b"\x00\x01", "as a score"),
    ],
)
def test_what_is_no_score_is_an_error(result: Any, message: str) -> None:
    with pytest.raises(RoleError, match=message):
        score(FunctionVerifier(lambda candidate: result), solution("a", "b"))


def test_a_function_that_raises_fails_its_question_and_no_other() -> None:
    def check(candidate: Candidate) -> bool:
        if candidate.question.prompt == "bad":
            raise ZeroDivisionError("boom")
        return True

    class Writer:
        def sample(self, requests: Sequence[Sample]) -> list[Completion]:
            return [Completion((Step("Answer: 1"),), "stop")] * len(requests)

    good, bad = ttscale.solve_all(
        ["good", "bad"], 2, generator=Writer(), verifier=FunctionVerifier(check), strategy=BestOfN(), progress=False
    )
    assert (good.answer, good.score, good.error) == ("1", 1.0, None)
    assert "boom" in str(bad.error)
    assert "check" in str(bad.error)
    assert bad.score is None


def test_only_functions_are_taken() -> None:
    with pytest.raises(ValueError, match="needs a function of a candidate"):
        FunctionVerifier("len")  # type: ignore[arg-type]


# Confidence.

SURE = Step("ab", (5, 6), logprob=-1.0, certainty=3.0)
UNSURE = Step("cde", (7, 8, 9), logprob=-5.0, certainty=0.5)


def test_confidence_is_the_mean_over_all_tokens_so_far() -> None:
    (verdict,) = score(ConfidenceVerifier(), solution(SURE, UNSURE))
    assert verdict.step_scores == pytest.approx((math.exp(-1 / 2), math.exp(-6 / 5)))
    (verdict,) = score(ConfidenceVerifier("certainty"), solution(SURE, UNSURE))
    mean = (3.0 * 2 + 0.5 * 3) / 5
    assert verdict.step_scores == pytest.approx((3 / 4, mean / (1 + mean)))
    assert verdict.cost == Cost()


def test_tokens_of_a_server_count_without_their_ids() -> None:
    (verdict,) = score(ConfidenceVerifier(), solution(Step("ab", logprob=-3.0, drawn=6)))
    assert verdict.step_scores == pytest.approx((math.exp(-0.5),))


def test_a_step_without_text_or_tokens_changes_nothing() -> None:
    (verdict,) = score(ConfidenceVerifier(), solution(Step(""), SURE, Step("")))
    assert verdict.step_scores[1:] == pytest.approx((math.exp(-0.5), math.exp(-0.5)))


@pytest.mark.parametrize(
    ("measure", "step", "message"),
    [
        ("logprob", Step("a"), r"step 1 of candidate 0, question 'q1' carries no logprob: .*logprobs=True"),
        ("logprob", Step("a", logprob=-1.0), "carries no logprob"),
        ("certainty", Step("a", (1,), logprob=-1.0), "carries no certainty: use a generator that records it"),
        ("logprob", Step(""), "holds no tokens to judge by"),
        # NaN compares with nothing: without a look it would pass for certain.
        ("logprob", Step("a", (1,), logprob=math.nan), "a logprob of nan"),
        ("logprob", Step("a", (1,), logprob=math.inf), "a logprob of inf"),
        ("certainty", Step("a", (1,), certainty=math.nan), "a certainty of nan"),
        ("certainty", Step("a", (1,), certainty=math.inf), "a certainty of inf"),
    ],
)
def test_what_was_not_recorded_is_an_error(measure: Any, step: Step, message: str) -> None:
    with pytest.raises(RoleError, match=message):
        score(ConfidenceVerifier(measure), solution(step))
    with pytest.raises(ValueError, match="measure must be"):
        ConfidenceVerifier("entropy")  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(1, 9), st.floats(-1e6, 0), st.floats(0, 1e6)), min_size=1, max_size=6))
def test_confidence_stays_a_probability_and_keeps_the_order(records: list[tuple[int, float, float]]) -> None:
    steps = [Step("x", tuple(range(n)), logprob=lp, certainty=c) for n, lp, c in records]
    for measure in ("logprob", "certainty"):
        (verdict,) = score(ConfidenceVerifier(measure), solution(*steps))  # type: ignore[arg-type]
        assert len(verdict.step_scores) == len(steps)
        assert all(0 <= value <= 1 for value in verdict.step_scores)
    means = [c for _, _, c in records]
    singles = [score(ConfidenceVerifier("certainty"), solution(step))[0].step_scores[0] for step in steps]
    assert [a <= b for a in means for b in means if a != b] == [
        x <= y for x, a in zip(singles, means, strict=True) for y, b in zip(singles, means, strict=True) if a != b
    ]


# Ensembles.


class Fixed:
    """Gives the same scores to everything, and remembers the thread."""

    def __init__(self, *scores: float, how: str | None = None, worker: str | None = None) -> None:
        self.scores = scores
        self.threads: set[int] = set()
        if how:
            self.aggregate = how
        if worker:
            self.worker = worker

    def score(self, requests: Sequence[Score]) -> list[Verdict]:
        self.threads.add(threading.get_ident())
        return [Verdict(self.scores, Cost(verifier_tokens=5)) for _ in requests]


class Awaited(Fixed):
    async def score(self, requests: Sequence[Score]) -> list[Verdict]:  # type: ignore[override]
        return super().score(requests)


@pytest.mark.parametrize("kind", [Fixed, Awaited])
def test_an_ensemble_combines_step_by_step(kind: type[Fixed]) -> None:
    members = [Fixed(0.2, 0.8), kind(0.6, 0.4)]
    pair = solution("a", "b")
    assert score(EnsembleVerifier(members), pair)[0].step_scores == pytest.approx((0.4, 0.6))
    assert score(EnsembleVerifier(members, combine="min"), pair)[0].step_scores == (0.2, 0.4)
    weighted = EnsembleVerifier(members, weights=[3, 1])
    assert score(weighted, pair, pair)[1].step_scores == pytest.approx((0.3, 0.7))
    assert score(weighted, pair)[0].cost == Cost(verifier_tokens=10)
    assert inspect.iscoroutinefunction(weighted.score) == (kind is Awaited)


def test_members_of_different_lengths_are_aggregated_their_own_way() -> None:
    pair = solution("a", "b")
    members = [Fixed(0.5, 0.4, how="prod"), Fixed(0.9, 0.3, how="min"), Fixed(0.1, 0.7), Fixed(0.6)]
    (verdict,) = score(EnsembleVerifier(members), pair)
    assert verdict.step_scores == pytest.approx(((0.2 + 0.3 + 0.7 + 0.6) / 4,))


def test_an_ensemble_takes_over_what_its_members_agree_on() -> None:
    assert EnsembleVerifier([Fixed(1, how="min"), Fixed(1, how="min")]).aggregate == "min"
    assert EnsembleVerifier([Fixed(1, how="min"), Fixed(1)]).aggregate == "last"
    assert EnsembleVerifier([Fixed(1), Fixed(1, worker="gpu")]).worker == "gpu"
    assert EnsembleVerifier([Fixed(1)]).worker is None


def test_synchronous_members_of_an_asynchronous_ensemble_run_one_at_a_time() -> None:
    busy = threading.Lock()

    class Strict(Fixed):
        def score(self, requests: Sequence[Score]) -> list[Verdict]:
            assert busy.acquire(blocking=False), "called twice at the same time"
            try:
                return super().score(requests)
            finally:
                busy.release()

    ensemble = EnsembleVerifier([Strict(0.5), Awaited(0.5)])

    async def many() -> None:
        await asyncio.gather(*[ensemble.score([Score(solution("a"))]) for _ in range(30)])

    asyncio.run(many())


def test_a_member_that_fails_fails_the_ensemble() -> None:
    def broken(candidate: Candidate) -> float:
        raise RuntimeError("no verdict")

    with pytest.raises(RoleError, match=r"broken raised RuntimeError: no verdict \(question 'q1', candidate 0\)"):
        score(EnsembleVerifier([Fixed(0.5), FunctionVerifier(broken)]), solution("a"))

    class Short(Fixed):
        def score(self, requests: Sequence[Score]) -> list[Verdict]:
            return []

    with pytest.raises(RoleError, match="gave 0 verdicts for 1 requests"):
        score(EnsembleVerifier([Short(0.5)]), solution("a"))


@pytest.mark.parametrize("combine", ["mean", "min"])
@pytest.mark.parametrize("bad", [math.nan, 1.5, -0.5, math.inf])
def test_a_members_score_that_is_no_probability_does_not_drown_in_the_others(combine: Any, bad: float) -> None:
    members = [Fixed(0.5, 0.5), Fixed(0.25, bad)]
    with pytest.raises(RoleError, match=rf"member 2 .*gave the score {bad} .*question 'q1', candidate 0"):
        score(EnsembleVerifier(members, combine=combine), solution("a", "b"))
    with pytest.raises(RoleError, match=r"member 1 .*gave no score"):
        score(EnsembleVerifier([Fixed(), Fixed(0.5)], combine=combine), solution("a", "b"))


@pytest.mark.parametrize("scores", [(0.5, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5)])
def test_a_member_that_gives_the_wrong_number_of_scores_is_not_aggregated_away(scores: tuple[float, ...]) -> None:
    """Members of different lengths are each taken together to one score: of which steps would nobody know."""
    for members in ([Fixed(0.5, 0.5), Fixed(*scores)], [Fixed(0.5), Fixed(*scores)]):
        with pytest.raises(RoleError, match=rf"member 2 .*gave {len(scores)} scores for 2 steps .*question 'q1'"):
            score(EnsembleVerifier(members), solution("a", "b"))


@pytest.mark.parametrize(
    ("members", "settings", "message"),
    [
        ([], {}, "needs verifiers"),
        ([len], {}, "needs verifiers"),
        ([Fixed(1)], {"combine": "max"}, 'combine must be "mean" or "min"'),
        ([Fixed(1)], {"weights": [1, 2]}, "one number for each of 1 members"),
        ([Fixed(1)], {"weights": [1], "combine": "min"}, 'weights need combine="mean"'),
        ([Fixed(1), Fixed(1)], {"weights": [0, 0]}, "not all 0"),
        ([Fixed(1), Fixed(1)], {"weights": [-1, 2]}, "at least 0"),
    ],
)
def test_bad_ensembles_are_refused(members: Any, settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EnsembleVerifier(members, **settings)


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=5), st.data())
def test_an_ensemble_never_leaves_the_range_of_its_members(rows: list[list[float]], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0.01, 100), min_size=len(rows), max_size=len(rows)))
    ensemble = EnsembleVerifier([Fixed(*row) for row in rows], weights=weights)
    scores = score(ensemble, solution("a", "b", "c"))[0].step_scores
    for got, column in zip(scores, zip(*rows, strict=True), strict=True):
        assert min(column) <= got <= max(column)


class Partly:
    """Answers the first request with an exception, as a role may."""

    def score(self, requests: Sequence[Score]) -> list[Any]:
        return [ValueError("cannot judge this") if i == 0 else Verdict((0.5,)) for i in range(len(requests))]


def test_a_member_may_answer_one_request_with_an_exception() -> None:
    fine = FunctionVerifier(lambda _: 0.7)
    one = Question("q", "?")
    requests = [Score(Candidate(one, Key((0, i)), (Step("Answer: 1"),), "stop")) for i in range(2)]
    refused, verdict = EnsembleVerifier([fine, Partly()]).score(requests)
    assert isinstance(refused, ValueError)
    assert verdict.step_scores == pytest.approx((0.6,))


@pytest.mark.parametrize(
    ("reply", "words"), [(None, "returned NoneType instead of a Verdict"), (Verdict((None,)), "None")]
)  # type: ignore[arg-type]
def test_a_member_that_breaks_the_protocol_is_named(reply: Any, words: str) -> None:
    broken = type("Broken", (), {"score": lambda self, requests: [reply for _ in requests]})()
    with pytest.raises(RoleError, match=words):
        EnsembleVerifier([broken]).score([Score(Candidate(Question("q", "?"), Key((0,)), (Step("x"),), "stop"))])


def test_an_ensemble_is_made_of_a_list() -> None:
    for wrong in (Fixed(1), [], [len], None):
        with pytest.raises(ValueError, match="an ensemble needs verifiers in a list"):
            EnsembleVerifier(wrong)  # type: ignore[arg-type]
