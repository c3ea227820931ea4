"""A candidate that cannot be judged: what ``on_error`` makes of it, from the verifier to the result."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

import ttscale
from ttscale import Candidate, Completion, Cost, Key, Question, Sample, Score, Step, Verdict
from ttscale.core.errors import RoleError, TooLongError
from ttscale.core.unscored import settle
from ttscale.testing import FakeGenerator, FakeVerifier
from ttscale.verifiers import ConfidenceVerifier, EnsembleVerifier, FunctionVerifier


class Says:
    """Solutions that answer 0, 1, 2, ... by their key."""

    def sample(self, requests: list[Sample]) -> list[Completion]:
        texts = [f"Answer: {request.key.path[-1]}" for request in requests]
        return [Completion((Step(text),), "stop", Cost(sampled_tokens=1)) for text in texts]


def picky(candidate: Candidate) -> float:
    if candidate.answer == "3":
        raise ValueError("3 is not for me")
    return 0.1 * int(candidate.answer or 0)


def scores(number: int) -> list[Score]:
    question = Question("q", "?")
    return [Score(Candidate(question, Key((0, i)), (Step(f"Answer: {i}"),), "stop")) for i in range(number)]


def solved(verifier: Any, **settings: Any) -> Any:
    return ttscale.solve("q?", 5, generator=Says(), verifier=verifier, strategy="best_of_n", **settings)


def test_by_default_a_function_that_raises_ends_its_question_and_names_the_candidate() -> None:
    with pytest.raises(RoleError, match=r"picky raised ValueError: 3 is not for me \(question .*, candidate .*/3\)"):
        solved(FunctionVerifier(picky))


def test_the_others_compete_where_one_is_unscored(tmp_path: Path) -> None:
    result = solved(FunctionVerifier(picky, on_error="unscored"))
    assert result.answer == "4"
    assert result.scores == (0.0, 0.1, 0.2, None, 0.4)
    assert result.error is None


ASKING = ["best_of_n", "weighted_best_of_n", "best_of_n_stopping", "beam", "dvts", "rebase", "particle_filter"]
ASKING += ["particle_filter:select=vote", "compute_optimal", "adaptive_scheduler"]


@pytest.mark.parametrize("strategy", ASKING)
def test_where_no_candidate_has_a_score_the_most_frequent_answer_wins(strategy: str) -> None:
    """Of five finished solutions one says 1 and four say 2."""
    silent = FakeVerifier(Verdict((), unscored="too long"))
    says = FakeGenerator(lambda request: f"Answer: {1 if request.key.path[-1] == 0 else 2}")
    result = ttscale.solve("q?", 5, generator=says, verifier=silent, strategy=strategy)
    assert set(result.scores) == {None}
    assert (result.answer, result.score, result.error) == ("2", None, None)


def test_one_score_is_enough_to_win_against_any_number_of_votes() -> None:
    judge = FakeVerifier(
        lambda request: Verdict((0.01,)) if request.candidate.answer == "1" else Verdict((), unscored="too long")
    )
    says = FakeGenerator(lambda request: f"Answer: {1 if request.key.path[-1] == 0 else 2}")
    for strategy in ("best_of_n", "weighted_best_of_n"):
        assert ttscale.solve("q?", 5, generator=says, verifier=judge, strategy=strategy).answer == "1"


def test_a_trace_holds_what_was_unscored(tmp_path: Path) -> None:
    calls: list[str | None] = []

    def counted(candidate: Candidate) -> float:
        calls.append(candidate.answer)
        return picky(candidate)

    file = tmp_path / "trace.jsonl"
    settings: dict[str, Any] = {"generator": Says(), "strategy": "best_of_n", "progress": False, "resume": file}
    verifier = FunctionVerifier(counted, on_error="unscored", name="counted")
    first = ttscale.solve_all(["q?", "r?"], 5, verifier=verifier, **settings)
    again = ttscale.solve_all(["q?", "r?"], 5, verifier=verifier, **settings)
    assert (first, len(calls)) == (again, 10)
    assert "3 is not for me" in file.read_text()


def test_a_verdict_without_scores_must_say_why() -> None:
    class Silent:
        def score(self, requests: list[Score]) -> list[Verdict]:
            return [Verdict(()) for _ in requests]

    with pytest.raises(RoleError, match="0 scores for a candidate of 1 steps"):
        solved(Silent())


@pytest.mark.parametrize("workers", [1, 4])
def test_a_candidate_that_takes_too_long_is_named(workers: int) -> None:
    hold = threading.Event()

    def slow(candidate: Candidate) -> bool:
        return hold.wait() if candidate.answer == "2" else True

    try:
        verifier = FunctionVerifier(slow, timeout=0.2, workers=workers, on_error="unscored")
        replies = verifier.score(scores(6))
        unscored = [i for i, reply in enumerate(replies) if reply.unscored]
        assert unscored == [2]
        assert replies[2].unscored == "slow took longer than 0.2 s (question 'q', candidate 0/2)"
    finally:
        hold.set()


def test_an_async_function_is_timed_too() -> None:
    async def slow(candidate: Candidate) -> bool:
        if candidate.answer == "1":
            await asyncio.Event().wait()
        return True

    verifier = FunctionVerifier(slow, timeout=0.05, workers=2, on_error="unscored")
    replies = asyncio.run(verifier.score(scores(3)))
    assert [reply.step_scores for reply in replies] == [(1.0,), (), (1.0,)]
    assert "took longer than 0.05 s (question 'q', candidate 0/1)" in str(replies[1].unscored)


def test_workers_judge_at_the_same_time_and_in_order() -> None:
    together = threading.Barrier(4, timeout=20)

    def judged(candidate: Candidate) -> float:
        together.wait()
        return 0.1 * int(candidate.answer or 0)

    found = FunctionVerifier(judged, workers=4).score(scores(4))
    assert [reply.step_scores[0] for reply in found] == [pytest.approx(0.1 * i) for i in range(4)]


def test_several_questions_together_lose_only_the_one_at_fault() -> None:
    other = Score(Candidate(Question("r", "?"), Key((0, "r")), (Step("Answer: 1"),), "stop"))
    first, second = FunctionVerifier(picky).score([scores(4)[3], other])
    assert isinstance(first, RoleError)
    assert second == Verdict((0.1,))


def test_an_ensemble_leaves_unscored_what_a_member_does() -> None:
    verifier = EnsembleVerifier([FunctionVerifier(picky, on_error="unscored"), FunctionVerifier(lambda c: 0.5)])
    found = verifier.score(scores(4))
    assert [reply.step_scores for reply in found[:2]] == [(0.25,), (0.3,)]
    assert (found[3].step_scores, "3 is not for me" in found[3].unscored) == ((), True)


def test_a_draw_without_records_may_go_unscored() -> None:
    with pytest.raises(RoleError, match="carries no logprob"):
        ConfidenceVerifier().score(scores(1))
    (verdict,) = ConfidenceVerifier(on_error="unscored").score(scores(1))
    assert "carries no logprob" in str(verdict.unscored)


def test_what_is_too_long_is_unscored_by_default_and_nothing_else() -> None:
    long, broken = TooLongError("70 tokens"), RoleError("broken")
    assert settle([long], None) == [Verdict((), unscored="70 tokens")]
    assert settle([long, broken], "unscored")[1].unscored == "broken"
    for errors, on_error in (([long], "raise"), ([broken], None), ([broken], "raise")):
        with pytest.raises(RoleError):
            settle(errors, on_error)  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_verifier_of_whole_solutions_is_never_given_begun_ones(workers: int) -> None:
    seen: list[Candidate] = []

    def judged(candidate: Candidate) -> bool:
        seen.append(candidate)
        return True

    verifier = FunctionVerifier(judged, workers=workers, whole_only=True)
    with pytest.raises(RoleError, match=r"judged judges whole solutions only.*best_of_n"):
        verifier.score([Score(Candidate(Question("q", "?"), Key((0,)), (Step("begun\n"),)))])
    assert seen == []
    assert verifier.score(scores(2)) == [Verdict((1.0,))] * 2
    result = ttscale.solve("q?", 16, generator=Says(), verifier=verifier)  # the default strategy
    assert result.error is None
    assert all(candidate.done for candidate in seen)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"timeout": 0}, "timeout must be a positive number"),
        ({"workers": 0}, "workers must be a positive integer"),
        ({"on_error": "zero"}, "on_error must be"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FunctionVerifier(picky, **settings)
