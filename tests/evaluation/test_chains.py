"""Along a chain of revisions: rates by hand, and on a toy reviser that repairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluation.worlds import Examiner, Pupil, Student, problems
from ttscale.evaluation import along_the_chain, draw_pool
from ttscale.evaluation.statistics import Graded


def chain(question: str, classes: list[int]) -> Graded:
    """Class 0 is right, -1 states no answer."""
    found = np.array(classes)
    return Graded(question, found == 0, found, np.full(len(classes), 0.5), np.ones(len(classes), dtype=np.int64))


def test_rates_by_hand() -> None:
    chains = [
        [chain("a", [1, 0, 0]), chain("a", [1, 1, 0])],
        [chain("b", [0, 2, 2]), chain("b", [-1, -1, 0])],
    ]
    first, second, third = along_the_chain(chains)
    assert (first.step, first.pass_at_1.value, first.gain.value) == (1, 0.25, 0.0)
    assert (first.repaired, first.broken, first.repeated) == (None, None, None)
    # Second: of three wrong first attempts one is repaired, one gives its answer again ("no answer" is none to repeat);
    # the only right one is broken.
    assert (second.pass_at_1.value, second.repaired, second.broken, second.repeated) == (0.25, 1 / 3, 1.0, 1 / 3)
    # Third: of three wrong second attempts two are repaired, one is repeated; the right one stays.
    assert (third.pass_at_1.value, third.repaired, third.broken, third.repeated) == (0.75, 2 / 3, 0.0, 1 / 3)
    assert third.gain.value == 0.5


def test_a_reviser_that_repairs_rises() -> None:
    models = {"generator": Student(), "verifier": Examiner(), "reviser": Pupil()}
    pool = draw_pool(problems(30), None, 3, kind="chains", length=6, progress=False, **models)  # type: ignore[arg-type]
    steps = along_the_chain(pool.graded_chains())
    assert [one.step for one in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[3].gain.low > 0
    assert steps[3].pass_at_1.value > steps[0].pass_at_1.value + 0.15


def test_chains_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one length.*\[2, 3\]"):
        along_the_chain([[chain("a", [0, 1, 1]), chain("a", [0, 1])]])


def test_marks_may_be_numbers() -> None:
    """0 and 1 are wrong and right, not places in an array."""
    chains = [[chain("a", [1, 0, 0]), chain("a", [1, 1, 0])], [chain("b", [0, 2, 2]), chain("b", [-1, -1, 0])]]
    numbers = [[replace(one, correct=one.correct.astype(int)) for one in own] for own in chains]  # type: ignore[arg-type]
    assert along_the_chain(numbers) == along_the_chain(chains)


def test_a_question_without_a_chain_is_refused() -> None:
    with pytest.raises(ValueError, match=r"chains\[1\] has none"):
        along_the_chain([[chain("a", [0, 1])], []])
