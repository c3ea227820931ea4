"""Running a verifier over stored solutions: what it sees, what comes back, and failures that are errors."""

from __future__ import annotations

import pytest

from ttscale.core.errors import RoleError
from ttscale.core.requests import Verdict
from ttscale.evaluation.verifier_quality.report import Judged
from ttscale.training.data.examples import StepExample
from ttscale.training.score_examples import candidate_of, judge, verifier_scores

EXAMPLES = [
    StepExample("q", "p", ("a\n", "b"), (1.0, 0.0), False, "8"),
    StepExample("q", "p", ("a\n", "c"), (1.0, None), True, "7", ("first", "second")),
    StepExample("r", "p2", ("d",), (None,), None, None),
]


class Lengths:
    """Scores a step by its length; remembers what it was shown."""

    def __init__(self, per_step=True):
        self.per_step = per_step
        self.seen = []

    def score(self, requests):
        self.seen += [request.candidate for request in requests]
        return [
            Verdict(tuple(len(step.text) / 10 for step in request.candidate.steps)[0 if self.per_step else -1 :])
            for request in requests
        ]


def test_a_verifier_sees_the_question_the_steps_and_the_attempts():
    verifier = Lengths()
    assert verifier_scores(verifier, EXAMPLES, together=2) == [(0.2, 0.1), (0.2, 0.1), (0.1,)]
    assert verifier.seen == [candidate_of(e, i) for i, e in enumerate(EXAMPLES)]
    assert [c.finish for c in verifier.seen] == ["stop", "stop", "open"]
    assert [a.text for a in verifier.seen[1].attempts] == ["first", "second"]
    assert len({c.key for c in verifier.seen}) == 3


def test_two_questions_of_one_id_are_not_compared():
    easy, hard = StepExample("0", "easy", ("a",), (1.0,), True), StepExample("0", "hard", ("b",), (0.0,), False)
    with pytest.raises(ValueError, match=r"two different questions have the id '0'.*'easy' and 'hard'"):
        judge(Lengths(), [easy, hard])


def test_an_asynchronous_verifier_works_too():
    class Later(Lengths):
        async def score(self, requests):
            return Lengths.score(self, requests)

    assert verifier_scores(Later(), EXAMPLES) == verifier_scores(Lengths(), EXAMPLES)


def test_judged_solutions_carry_step_labels_where_scores_are_per_step():
    assert judge(Lengths(), EXAMPLES[:2]) == [
        Judged("q", False, "8", (0.2, 0.1), (1.0, 0.0)),
        Judged("q", True, "7", (0.2, 0.1), (1.0, None)),
    ]
    assert judge(Lengths(per_step=False), EXAMPLES[:1]) == [Judged("q", False, "8", (0.1,), ())]


def test_unknown_outcomes_and_failures_are_errors():
    with pytest.raises(ValueError, match=r"1 solution\(s\) do not say whether"):
        judge(Lengths(), EXAMPLES)

    class Short(Lengths):
        def score(self, requests):
            return super().score(requests)[1:]

    with pytest.raises(RoleError, match=r"score\(\) returned 0 replies for 1 requests"):
        verifier_scores(Short(), EXAMPLES)
