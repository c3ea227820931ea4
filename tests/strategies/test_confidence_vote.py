"""DeepConf against an implementation of its own on stored confidences, offline and online."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ttscale
from ttscale import Candidate, Completion, Cost, Question, Sample, Step
from ttscale.core.confidence import falls_below, with_confidence
from ttscale.integrations.gateway.reply import votes as gateway_votes
from ttscale.strategies import ConfidenceVote
from ttscale.strategies.confidence_vote import reached_by
from ttscale.testing import FakeGenerator, ToyLM, ToyWorld, waves


@given(st.lists(st.floats(0, 20), min_size=1, max_size=40), st.integers(1, 12), st.data())
def test_records_of_steps_by_numpy(values: list[float], window: int, data: Any) -> None:
    """Whatever the steps are, the lowest of all of them is the lowest window and the last tail is the last window."""
    cuts = sorted(data.draw(st.sets(st.integers(1, len(values)), max_size=5)) | {len(values)})
    records = with_confidence([Step("")] * len(cuts), values, cuts, window)
    means = [float(np.mean(values[i - window : i])) for i in range(window, len(values) + 1)]
    lowest = [record.lowest for record in records if record.lowest is not None]
    assert bool(lowest) == bool(means)
    if means:
        assert min(lowest) == pytest.approx(min(means), abs=1e-9)
    assert records[-1].tail == pytest.approx(float(np.mean(values[-window:])), abs=1e-9)
    begin = 0
    for cut, record in zip(cuts, records, strict=True):
        assert record.tail == pytest.approx(float(np.mean(values[max(0, cut - window) : cut])), abs=1e-9)
        ending = [float(np.mean(values[i - window : i])) for i in range(max(window, begin + 1), cut + 1)]
        assert (record.lowest is None) == (not ending)
        if ending:
            assert record.lowest == pytest.approx(min(ending), abs=1e-9)
        begin = cut
    assert falls_below(values, window, 7.0) == (bool(means) and sum(values[-window:]) / window < 7.0)


class Stored:
    """Plays back solutions whose token confidences are known, and stops where it is asked to."""

    name = "stored"

    def __init__(self, seed: int, n: int) -> None:
        dice = np.random.default_rng(seed)
        self.answers = [str(dice.integers(3)) for _ in range(n)]
        self.confidences = [list(dice.normal(8, 2, size=dice.integers(4, 30))) for _ in range(n)]

    def sample(self, requests: Any) -> Any:
        return [self._one(request) for request in requests]

    def _one(self, request: Sample) -> Completion:
        i, window = int(request.key.path[-1]), request.window or 0
        values = self.confidences[i]
        for end in range(1, len(values) + 1):
            if request.stop_below is not None and falls_below(values[:end], window, request.stop_below):
                return self._said(i, values[:end], window, "length")
        return self._said(i, values, window, "stop")

    def _said(self, i: int, values: list[float], window: int, finish: Any) -> Completion:
        step = Step(f"Answer: {self.answers[i]}", tuple(range(len(values))))
        steps = with_confidence([step], values, [len(values)], window)
        return Completion(tuple(steps), finish, Cost(sampled_tokens=len(values)))


def groups(values: list[float], window: int) -> list[float]:
    """deepconf's sliding windows: one mean of everything where there is less than a window."""
    if len(values) < window:
        return [float(np.mean(values))]
    return [float(np.mean(values[i : i + window])) for i in range(len(values) - window + 1)]


def voted(answers: list[str], weights: list[float]) -> str:
    totals: dict[str, float] = defaultdict(float)
    for answer, weight in zip(answers, weights, strict=True):
        totals[answer] += weight
    return max(totals, key=lambda answer: totals[answer])


@pytest.mark.parametrize("measure", ["tail", "lowest"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_offline_is_deepconf(measure: Any, share: float) -> None:
    for seed in range(40):
        stored = Stored(seed, 20)
        outcome = waves(ConfidenceVote(share, 8, measure=measure), 20, roles={"generator": stored})[1]
        sure = [np.mean(v[-8:]) if measure == "tail" else min(groups(v, 8)) for v in stored.confidences]
        bar = np.percentile(sure, 100 * (1 - share))
        kept = [i for i in range(20) if sure[i] >= bar - 1e-12]
        wanted = voted([stored.answers[i] for i in kept], [float(sure[i]) for i in kept])
        assert outcome.chosen is not None
        assert outcome.candidates[outcome.chosen].answer == wanted
        assert outcome.scores == pytest.approx(tuple(sure))


@pytest.mark.parametrize("warmup", [None, 6])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_votes_of_a_result_are_those_that_were_counted(share: float, warmup: int | None) -> None:
    for seed in range(10):
        stored = Stored(seed, 20)
        strategy = ConfidenceVote(share, 8, warmup=warmup, measure="lowest")
        result = ttscale.solve("?", 20, generator=stored, strategy=strategy, progress=False)
        lowest = [min(groups(v, 8)) for v in stored.confidences]
        bar = np.percentile(lowest[:warmup], 100 * (1 - share)) - 1e-12
        kept = [i for i, c in enumerate(result.candidates) if c.done and (lowest[i] >= bar or i >= (warmup or 20))]
        weight = {answer: sum(lowest[i] for i in kept if stored.answers[i] == answer) for answer in "012"}
        votes = result.votes()
        assert sum(vote.count for vote in votes) == len(kept) < 20
        assert votes[0].answer == result.answer
        shares = {vote.answer: vote.share for vote in votes}
        assert shares == pytest.approx({a: w / sum(weight.values()) for a, w in weight.items() if w})
        assert f", {20 - len(kept)} without a vote" in str(result)
        assert gateway_votes(result, tools=False) == result.to_dict()["votes"]


def test_as_many_are_kept_as_the_share_says_where_it_is_whole() -> None:
    """Of n different values, the share k / (n - 1) is reached by the k + 1 largest, counted in fractions."""
    for n in range(2, 60):
        for twentieths in range(1, 20):
            if twentieths * (n - 1) % 20 == 0:
                bar = reached_by([float(i) for i in range(n)], twentieths / 20)
                assert sum(i >= bar for i in range(n)) == twentieths * (n - 1) // 20 + 1


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_online_is_deepconf_and_stops_what_is_unsure(share: float) -> None:
    stopped = 0
    for seed in range(40):
        stored = Stored(seed, 24)
        strategy = ConfidenceVote(share, 8, warmup=6, measure="lowest")
        seen, outcome = waves(strategy, 24, roles={"generator": stored})
        lowest = [min(groups(v, 8)) for v in stored.confidences]
        bar = np.percentile(lowest[:6], 100 * (1 - share))
        # What is shorter than a window is never stopped.
        whole = [len(v) < 8 or low >= bar - 1e-12 for v, low in zip(stored.confidences, lowest, strict=True)]
        kept = [i for i in range(24) if (lowest[i] >= bar - 1e-12 if i < 6 else whole[i])]
        wanted = voted([stored.answers[i] for i in kept], [lowest[i] for i in kept])
        assert outcome.chosen is not None
        assert outcome.candidates[outcome.chosen].answer == wanted
        assert [c.done for c in outcome.candidates[6:]] == whole[6:]
        assert [len(wave) for wave in seen] == [6, 18]
        for candidate, values in zip(outcome.candidates[6:], stored.confidences[6:], strict=True):
            if not candidate.done:
                stopped += 1
                assert groups(values[: len(candidate.tokens)], 8)[-1] < bar
                assert all(one >= bar - 1e-9 for one in groups(values[: len(candidate.tokens)], 8)[:-1])
    assert stopped > 100 * (1 - share)


def test_the_toy_s_confidence_helps_its_vote() -> None:
    """Where right solutions are surer, a filtered vote is right more often than the plain one."""
    world = ToyWorld(p=0.75, depth=4, wrong=1)
    roles: Any = {"generator": ToyLM(world)}
    right = {True: 0, False: 0}
    for question in world.questions(150):
        for sure in right:
            strategy = ConfidenceVote(0.2, 8, measure="lowest") if sure else ttscale.MajorityVote()
            outcome = waves(strategy, 15, roles=roles, question=question)[1]
            right[sure] += outcome.chosen is not None and world.right(outcome.candidates[outcome.chosen])
    assert right[True] > right[False] + 15


def test_records_survive_the_trace(tmp_path: Any) -> None:
    options: Any = {"strategy": ConfidenceVote(0.3, 8, warmup=4), "progress": False}
    path = tmp_path / "trace.jsonl"
    (wanted,) = ttscale.solve_all(["?"], 12, generator=ToyLM(), **options, resume=path)

    class Nobody:
        name = "toy"

        def sample(self, requests: Any) -> Any:
            raise AssertionError("everything is in the trace")

    (again,) = ttscale.solve_all(["?"], 12, generator=Nobody(), **options, resume=path)
    assert again == wanted
    assert [(s.tail, s.lowest) for c in again.candidates for s in c.steps] == [
        (s.tail, s.lowest) for c in wanted.candidates for s in c.steps
    ]


def test_a_generator_without_confidence_is_told_so() -> None:
    with pytest.raises(ttscale.StrategyError, match="records no token confidence"):
        ttscale.solve("?", 4, generator=FakeGenerator("Answer: 1"), strategy=ConfidenceVote())


@pytest.mark.parametrize(("window", "below"), [(0, None), (True, None), (2.5, None), (None, 1.0), (4, math.nan)])
def test_windows_that_make_no_sense_end_their_question(window: Any, below: Any) -> None:
    class Bad:
        def search(self, root: Candidate, budget: int) -> Any:
            yield [Sample(root, root.key.child(0), None, None, window, below)]

    (result,) = ttscale.solve_all([Question("q", "?")], 4, generator=ToyLM(), strategy=Bad(), progress=False)
    assert isinstance(result.error, ttscale.StrategyError)


@pytest.mark.parametrize(
    "bad", [{"filter": 0}, {"filter": 1.1}, {"window": 0}, {"window": None}, {"warmup": 0}, {"measure": "mean"}]
)
def test_settings_that_make_no_sense_are_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        ConfidenceVote(**bad)
