"""The step search in small, by hand: who is asked for what, and what becomes of beams that end, repeat or are cut."""

from __future__ import annotations

from typing import Any

import pytest

from ttscale import DVTS, Beam, Completion, Lookahead, Sample, Score
from ttscale.testing import FakeGenerator, FakeVerifier, ToyWorld, completion_of, steps_of, waves


def beam(generator: Any, verifier: Any, strategy: Any, budget: int) -> Any:
    return waves(strategy, budget, roles={"generator": FakeGenerator(generator), "verifier": FakeVerifier(verifier)})


def asked(seen: Any) -> list[list[tuple[str, Any]]]:
    """The waves in short: what was sampled from (texts), what was judged."""
    return [
        [("sample", q.prefix.text) if isinstance(q, Sample) else ("score", q.candidate.text) for q, _ in wave]
        for wave in seen
    ]


def test_a_beam_of_four_with_two_children_each() -> None:
    """First N, then the N/M best with M children each; a beam that ends keeps its slot."""
    texts = {
        # first steps, by the last part of the key
        "": ["a\n", "b\n", "a\n", "c\n"],
        # the survivors' children
        "c\n": ["d\n", "Answer: 5"],
        "a\n": ["e\n", "f\n"],
        # the last round: e ended, three slots are left
        "c\nd\n": ["Answer: 1"],
        "a\ne\n": ["Answer: 2", "Answer: 3", "Answer: 4"],
    }

    def reply(request: Sample) -> str:
        text = texts[request.prefix.text][request.key.path[-1]]  # type: ignore[index]
        return request.prefix.text + text + ("(more)" if text.endswith("\n") else "")

    marks = {"a\n": 0.6, "b\n": 0.2, "c\n": 0.9, "c\nd\n": 0.5, "a\ne\n": 0.8, "a\nf\n": 0.1, "c\nAnswer: 5": 0.3}
    seen, outcome = beam(reply, lambda r: marks.get(r.candidate.text, 0.4), Beam(width=2), 4)
    assert asked(seen) == [
        [("sample", "")] * 4,
        [("score", "a\n"), ("score", "b\n"), ("score", "c\n")],
        [("sample", "a\n")] * 2 + [("sample", "c\n")] * 2,
        [("score", "c\nAnswer: 5"), ("score", "a\ne\n"), ("score", "a\nf\n"), ("score", "c\nd\n")],
        # Three slots, M = 2: one survivor with three children.
        [("sample", "a\ne\n")] * 3,
        [("score", "a\ne\nAnswer: 2"), ("score", "a\ne\nAnswer: 3"), ("score", "a\ne\nAnswer: 4")],
    ]
    assert [(c.text, s) for c, s in zip(outcome.candidates, outcome.scores, strict=True)] == [
        ("c\nAnswer: 5", 0.3),
        ("a\ne\nAnswer: 2", 0.4),
        ("a\ne\nAnswer: 3", 0.4),
        ("a\ne\nAnswer: 4", 0.4),
    ]
    assert outcome.chosen == 1
    # Each has a key of its own, below that of what it continues.
    assert [c.key.path for c in outcome.candidates] == [
        (0, "toy-0", 3, 1),
        *[(0, "toy-0", 0, 0, i) for i in range(3)],
    ]


@pytest.mark.parametrize(("merge", "survivors"), [(False, ["a\n", "a\n"]), (True, ["a\n", "b\n"])])
def test_copies_compete_each_for_itself_unless_they_are_merged(merge: bool, survivors: list[str]) -> None:
    """The paper keeps the top N/M of all N children; equal ones are judged once all the same."""

    def reply(request: Sample) -> str:
        first = ["b\n", "a\n", "c\n", "a\n"]
        return request.prefix.text + ("Answer: 1" if request.prefix.steps else first[request.key.path[-1]] + "(more)")  # type: ignore[index]

    marks = {"a\n": 0.9, "b\n": 0.6, "c\n": 0.1}
    seen, _ = beam(reply, lambda r: marks.get(r.candidate.text, 0.5), Beam(width=2, merge=merge), 4)
    waves_ = asked(seen)
    assert waves_[1] == [("score", "b\n"), ("score", "a\n"), ("score", "c\n")]
    assert sorted(waves_[2]) == [("sample", text) for text in survivors for _ in range(2)]
    # A copy has a key of its own, so its children are other draws.
    keys = {q.key for q, _ in seen[2]}
    assert len(keys) == 4


def test_copies_of_copies_are_judged_once() -> None:
    """Two equal prefixes that both survive may have equal children."""

    def reply(request: Sample) -> str:
        return request.prefix.text + ("Answer: 1" if len(request.prefix.steps) == 2 else "same\n(more)")

    seen, outcome = beam(reply, 0.5, Beam(width=1), 4)
    assert asked(seen)[:4] == [
        [("sample", "")] * 4,
        [("score", "same\n")],
        [("sample", "same\n")] * 4,
        [("score", "same\nsame\n")],
    ]
    assert len({c.key for c in outcome.candidates}) == 4


@pytest.mark.parametrize(("strategy", "rounds"), [(Beam(), 40), (Beam(max_rounds=3), 3), (DVTS(max_rounds=5), 5)])
def test_a_search_that_finds_no_end_stops_after_its_rounds(strategy: Any, rounds: int) -> None:
    seen, outcome = beam(lambda r: f"{r.prefix.text}{r.key.path[-1]}\n(more)", 0.5, strategy, 8)
    samples = [wave for wave in seen if isinstance(wave[0][0], Sample)]
    assert len(samples) == rounds
    # Nobody needs the scores of the last round.
    assert not any(len(q.candidate.steps) == rounds for wave in seen for q, _ in wave if isinstance(q, Score))
    assert outcome.chosen is None
    assert [(c.finish, len(c.steps)) for c in outcome.candidates] == [("open", rounds)] * 8
    assert outcome.scores == (None,) * 8


def test_a_lookahead_that_finds_no_end_stops_after_its_rounds_too() -> None:
    seen, outcome = beam(lambda r: f"{r.prefix.text}{r.key.path[-1]}\n(more)\n(more)\n(more)", 0.5, Lookahead(1), 8)
    assert [len(c.steps) for c in outcome.candidates] == [40] * 4
    rollouts = [q for wave in seen for q, _ in wave if isinstance(q, Sample) and q.temperature == 0]
    assert max(len(q.prefix.steps) for q in rollouts) == 39


def test_what_is_cut_off_keeps_its_slot_and_is_never_judged() -> None:
    def reply(request: Sample) -> Completion:
        if not request.prefix.steps and request.key.path[-1] in (0, 1):
            return Completion(steps_of("Answer: 1"), "length")
        return completion_of("a\n(more)", 1) if not request.prefix.steps else completion_of("Answer: 2")

    seen, outcome = beam(reply, 0.5, Beam(width=2), 4)
    assert asked(seen) == [
        [("sample", "")] * 4,
        [("score", "a\n")],
        [("sample", "a\n")] * 2,
        [("score", "a\nAnswer: 2")] * 2,
    ]
    assert [(c.finish, s) for c, s in zip(outcome.candidates, outcome.scores, strict=True)] == [
        ("length", None),
        ("length", None),
        ("stop", 0.5),
        ("stop", 0.5),
    ]
    assert outcome.chosen == 2


def test_a_solution_may_end_without_a_further_step() -> None:
    """The model writes its answer as a step of its own, and then only the end."""

    def reply(request: Sample) -> Completion:
        return Completion((), "stop") if request.prefix.steps else completion_of("Answer: 1\n(more)", 1)

    seen, outcome = beam(reply, 0.5, Beam(width=4), 4)
    assert [c.answer for c in outcome.candidates] == ["1"] * 4
    assert outcome.chosen == 0
    assert all(q.candidate.steps for wave in seen for q, _ in wave if isinstance(q, Score))


def test_a_solution_without_any_step_is_never_judged() -> None:
    seen, outcome = beam(Completion((), "stop"), 0.5, Beam(), 4)
    assert asked(seen) == [[("sample", "")] * 4]
    assert (outcome.scores, outcome.chosen) == ((None,) * 4, None)


def test_lookahead_scores_the_end_of_the_rollout_and_keeps_none_of_it() -> None:
    """The step that looks worse leads to something better."""

    def reply(request: Sample) -> str:
        if not request.prefix.steps:
            first = "good later\n" if request.key.path[-1] else "good now\n"
            return first + "(more)"
        if request.temperature == 0:
            return request.prefix.text + "greedy\ngreedy\nAnswer: 0"
        return request.prefix.text + f"Answer: {1 if 'later' in request.prefix.text else 2}"

    def mark(request: Score) -> float:
        text = request.candidate.text
        if "greedy" in text:
            return 0.9 if "later" in text else 0.1
        return 0.1 if "later" in text else 0.9

    seen, outcome = beam(reply, mark, Lookahead(k=2, width=2), 6)
    assert asked(seen) == [
        [("sample", "")] * 2,
        [("sample", "good now\n"), ("sample", "good later\n")],
        [("score", "good now\ngreedy\ngreedy\n"), ("score", "good later\ngreedy\ngreedy\n")],
        [("sample", "good later\n")] * 2,
        [("score", "good later\nAnswer: 1")] * 2,
    ]
    rollout = seen[1][0][0]
    assert isinstance(rollout, Sample)
    assert (rollout.max_steps, rollout.temperature) == (2, 0.0)
    assert [c.text for c in outcome.candidates] == ["good later\nAnswer: 1"] * 2
    # A plain beam takes the other.
    assert beam(reply, mark, Beam(width=2), 2)[1].candidates[0].answer == "2"


def test_a_rollout_that_is_cut_off_ranks_last() -> None:
    def reply(request: Sample) -> Any:
        if not request.prefix.steps:
            return f"{request.key.path[-1]}\n(more)"
        if request.temperature == 0 and request.prefix.text == "0\n":
            return Completion(steps_of("never ends"), "length")
        return request.prefix.text + "Answer: " + request.prefix.text

    _, outcome = beam(reply, 0.0, Lookahead(k=1, width=2), 4)
    assert [c.answer for c in outcome.candidates] == ["1", "1"]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Beam(0), 'width must be a positive integer or "sqrt"; got 0'),
        (lambda: Beam(True), "width must be .* got True"),
        (lambda: Beam("log"), "width must be .* got 'log'"),
        (lambda: DVTS(2.5), "width must be .* got 2.5"),
        (lambda: Beam(max_rounds=0), "max_rounds must be a positive integer; got 0"),
        (lambda: Lookahead(max_rounds="40"), "max_rounds must be a positive integer; got '40'"),
        (lambda: Lookahead(-1), "k must be an integer of at least 0; got -1"),
        (lambda: Lookahead(1.5), "k must be an integer of at least 0; got 1.5"),
        (lambda: Beam(merge=1), "merge must be True or False; got 1"),
        (lambda: Beam(aggregate="sum"), "aggregate must be one of last, min, prod, mean; got 'sum'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make()


def test_the_defaults_are_the_paper_s() -> None:
    assert repr(Beam()) == "Beam(width=4, max_rounds=40, aggregate='last', merge=False)"
    assert repr(Lookahead()) == "Lookahead(k=3, width=4, max_rounds=40, aggregate='last', merge=False)"


def test_the_number_of_distinct_questions_does_not_matter_to_the_toy() -> None:
    """Guards the helper: the same question asked through ``waves`` twice gives the same."""
    (question,) = ToyWorld.questions(1)
    assert waves(Beam(), 6, question=question) == waves(Beam(), 6, question=question)
