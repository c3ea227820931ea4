"""What reduces over-optimisation: each remedy by hand or by brute force, and a verifier that is fooled."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from evaluation.worlds import Examiner, Student, problems
from ttscale.evaluation import draw_pool
from ttscale.evaluation.analyse.overoptimisation import decided, once_each, remedies, stopped, tempered
from ttscale.evaluation.statistics import Graded


def graded(solutions: list[tuple[int, float]], right: int = 0) -> Graded:
    """Solutions as (answer class, score)."""
    classes = np.array([one for one, _ in solutions])
    scores = np.array([score for _, score in solutions])
    return Graded("q", classes == right, classes, scores, np.ones(len(solutions), dtype=np.int64))


def test_of_equal_texts_one_is_left_in_each_subset() -> None:
    masks = np.array([[1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 0, 1]], dtype=np.bool_)
    assert once_each(masks, ["a", "b", "a", "b"]).astype(int).tolist() == [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
    assert masks[0].tolist() == [True, True, True, False]


def test_tempering_keeps_the_order_and_the_middle() -> None:
    one = graded([(0, 0.9), (1, 0.5), (2, 0.0), (3, float("nan"))])
    sharp, flat = tempered(one, 2.0).scores, tempered(one, 0.5).scores
    assert sharp[0] == pytest.approx(0.81 / (0.81 + 0.01))
    assert flat[0] == pytest.approx(0.3**-1 * 0.9 / (0.3**-1 * 0.9 + 1), rel=0.1)
    assert sharp[1] == flat[1] == pytest.approx(0.5)
    assert sharp[0] > one.scores[0] > flat[0]
    assert np.isnan(sharp[3])


def test_a_vote_is_decided_as_in_the_adaptive_scheduler() -> None:
    one = graded([(0, 1.0)] * 4 + [(1, 1.0)])
    assert decided(one, np.array([1, 1, 1, 1, 0], dtype=np.bool_), 0.95)
    assert not decided(one, np.array([1, 1, 1, 0, 0], dtype=np.bool_), 0.95)
    assert not decided(one, np.array([1, 1, 1, 1, 1], dtype=np.bool_), 0.95)
    assert not decided(graded([(-1, 0.9)]), np.array([True]), 0.95)


def test_stopping_early_is_the_mean_over_all_orders() -> None:
    """Four of six solutions are right and sure. An order that begins with those four stops there, else all vote."""
    solutions = [(0, 1.0)] * 4 + [(1, 0.9), (2, 0.9)]
    orders = list(permutations(range(6)))
    early = sum(set(order[:4]) == {0, 1, 2, 3} for order in orders) / len(orders)
    right, spent = stopped(graded(solutions), 6, draws=4000)
    assert right == 1.0
    assert spent == pytest.approx(early * 4 + (1 - early) * 6, abs=0.05)
    both_wrong = 1 / 15
    assert stopped(graded(solutions), 2, draws=4000) == (pytest.approx(1 - both_wrong, abs=0.02), 2.0)


def test_remedies_cover_every_question_and_budget() -> None:
    asked = problems(6)
    pools = [
        draw_pool(asked, None, 16, generator=Student(0.1), verifier=Examiner(noise), progress=False)
        for noise in (0.2, 0.5)
    ]
    ways, spent = remedies(pools[0], [1, 4, 16], pools[1], draws=20)
    assert {values.shape for values in ways.values()} == {(6, 3)}
    assert spent.shape == (6, 3)
    assert (spent <= np.array([1, 4, 16])).all()
    assert len(ways) == 10
    assert len(remedies(pools[0], [4], draws=20)[0]) == 7
    for values in ways.values():
        assert ((values >= 0) & (values <= 1)).all()
    np.testing.assert_allclose(ways["best-of-N"][:, 0], ways["weighted best-of-N"][:, 0])
    # With everything drawn there is one subset, so the vote is what it is.
    assert set(ways["weighted best-of-N"][:, 2]) <= {0.0, 1.0}
