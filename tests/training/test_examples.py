"""Labels derived from labels: soft, hard, outcome, last step, distilled, and filtered by a second opinion."""

from __future__ import annotations

import pytest

from ttscale.training.data.examples import (
    StepExample,
    consensus_filter,
    first_error,
    hard_labels,
    last_step_labels,
    outcome_labels,
    relabel,
    write_examples,
)


def example(*labels, correct=True):
    return StepExample("q", "p", tuple(f"s{i}\n" for i in range(len(labels))), labels, correct, "7")


def labels_of(examples):
    return [e.labels for e in examples]


def test_hard_labels_call_a_step_right_if_any_rollout_was():
    assert labels_of(hard_labels([example(1.0, 0.0625, 0.0, None)])) == [(1.0, 1.0, 0.0, None)]
    assert labels_of(hard_labels([example(1.0, 0.5, 0.6)], threshold=0.5)) == [(1.0, 0.0, 1.0)]


def test_outcomes_are_broadcast_or_put_on_the_last_step():
    assert labels_of(outcome_labels([example(0.5, None), example(0.5, correct=False)])) == [(1.0, 1.0), (0.0,)]
    assert labels_of(last_step_labels([example(0.5, 0.5), example(0.5, correct=False)])) == [(None, 1.0), (0.0,)]
    for derive in (outcome_labels, last_step_labels):
        with pytest.raises(ValueError, match="does not say whether its answer is right"):
            derive([example(0.5, correct=None)])


def test_distilled_labels_are_the_teachers_scores():
    assert labels_of(relabel([example(0.5, None)], [(0.9, 0.2)])) == [(0.9, 0.2)]
    with pytest.raises(ValueError, match="gave 1 scores for the 2 steps"):
        relabel([example(0.5, None)], [(0.9,)])


@pytest.mark.parametrize(
    ("labels", "opinion", "kept"),
    [
        ((1.0, 0.5, 0.0), (0.9, 0.6, 0.1), True),
        ((1.0, 0.5, 0.0), (0.9, 0.4, 0.1), False),
        ((1.0, 0.5), (0.9, 0.5), True),
        ((1.0, 0.5), (0.9, 0.4), False),
        ((0.0, 1.0), (0.4, 0.0), True),  # what follows the first error does not matter
        ((None, 0.0), (0.9, 0.1), True),
        ((1.0, 0.0), (True, False), True),
    ],
)
def test_consensus_is_agreement_on_the_first_error(labels, opinion, kept):
    assert bool(consensus_filter([example(*labels)], [opinion])) is kept


def test_what_cannot_be_written_leaves_what_was_there(tmp_path):
    path = tmp_path / "e.jsonl"
    write_examples([example(1.0)], path)
    before = path.read_bytes()

    def torn():
        yield example(0.5)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_examples(torn(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    link = tmp_path / "link"
    link.symlink_to(path)
    write_examples([example(0.0)], link)
    assert link.is_symlink()
    assert path.read_bytes() != before


def test_an_opinion_on_every_step_is_needed():
    with pytest.raises(ValueError, match="has 1 scores for 2 steps"):
        consensus_filter([example(1.0, 1.0)], [(1.0,)])


def test_first_error():
    assert (first_error([True, False, False]), first_error([True]), first_error([])) == (1, None, None)


def test_examples_check_themselves():
    with pytest.raises(ValueError, match="has no step"):
        StepExample("q", "p", (), ())
    with pytest.raises(ValueError, match="1 steps and 2 labels"):
        StepExample("q", "p", ("a",), (1.0, 0.0))
    with pytest.raises(ValueError, match=r"has the label 1\.5"):
        StepExample("q", "p", ("a",), (1.5,))
    with pytest.raises(ValueError, match="has the label nan"):
        StepExample("q", "p", ("a",), (float("nan"),))
