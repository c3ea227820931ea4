"""Races: who is first is decided by tokens, in any batch; what has lost is stopped where a session can."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import pytest

import ttscale
from ttscale import Candidate, Completion, Cost, Key, Outcome, Question, Race, Sample, Step
from ttscale.core.requests import LOST
from ttscale.core.trace import address
from ttscale.engine.core import Engine
from ttscale.engine.races import after_race, bound
from ttscale.strategies import FirstFinished, MajorityVote
from ttscale.testing import FakeGenerator, check_laws, waves

ROOT = Candidate(Question("q", "?"), Key((0, "q")))


def done(tokens: int, finish: Any = "stop") -> Completion:
    return Completion((Step("Answer: 1", tuple(range(tokens))),), finish, Cost(sampled_tokens=tokens))


def race(n: int, first: int) -> Race:
    return Race(tuple(Sample(ROOT, ROOT.key.child(i)) for i in range(n)), first)


def test_first_is_who_has_fewest_tokens_and_of_equal_ones_the_lower_key() -> None:
    for lengths in itertools.product((2, 3, 5), repeat=4):
        for m in (1, 2, 3, 4):
            replies: list[Any] = [done(n) for n in lengths]
            kept = [i for i, reply in enumerate(after_race(race(4, m), replies)) if reply is not LOST]
            assert kept == sorted(sorted(range(4), key=lambda i: (lengths[i], i))[:m])
    keys = [ROOT.key.child(part) for part in ("b", 10, "a", 9)]
    mixed = Race(tuple(Sample(ROOT, key) for key in keys), 2)
    assert [r is LOST for r in after_race(mixed, [done(3)] * 4)] == [True, False, True, False]


def test_who_was_cut_off_has_not_finished() -> None:
    replies: list[Any] = [done(1, "length"), done(9), done(5)]
    assert [r is LOST for r in after_race(race(3, 1), replies)] == [True, True, False]
    assert bound(race(3, 1), replies) == 5
    assert bound(race(3, 2), replies) == 9
    assert bound(race(3, 3), replies) is None
    assert bound(race(3, 1), [None, None, done(7)]) == 7


def test_where_fewer_finish_than_could_win_nothing_is_lost() -> None:
    replies: list[Any] = [done(4, "length"), done(9), done(4, "length")]
    assert after_race(race(3, 2), replies) == replies
    cut = Completion((Step("so far"),), "length")
    result = ttscale.solve("What?", 3, generator=FakeGenerator(cut), strategy="first_finished")
    assert (result.answer, [one.text for one in result.candidates]) == (None, ["so far"] * 3)


def length_of(key: Key) -> int:
    return 1 + key.seed % 40


class Writer:
    """Writes as many tokens as the key says; by batch, or token by token in a session of few rows that can stop."""

    def __init__(self, rows: int | None = None) -> None:
        self.name = "writer"
        self.stopped = 0
        if rows:
            self.session = lambda: Rows(self, rows)

    def sample(self, requests: Sequence[Sample]) -> list[Completion]:
        return [self.finished(request, length_of(request.key)) for request in requests]

    def finished(self, request: Sample, tokens: int) -> Completion:
        whole = tokens == length_of(request.key)
        text = f"Answer: {request.key.seed % 3}" if whole else "Answ"
        spent = Cost(sampled_tokens=tokens + whole)
        return Completion((Step(text, tuple(range(tokens))),), "stop" if whole else "length", spent)


class Rows:
    def __init__(self, writer: Writer, rows: int) -> None:
        self._writer, self._rows = writer, rows
        self._all: dict[int, tuple[Sample, int]] = {}
        self._bounds: dict[int, int] = {}

    @property
    def active(self) -> bool:
        return bool(self._all)

    def admit(self, requests: Any, /) -> None:
        self._all |= {ticket: (request, 0) for ticket, request in requests}

    def bound(self, ticket: int, tokens: int, /) -> None:
        self._bounds[ticket] = tokens

    def step(self) -> Any:
        over = []
        for ticket, (request, tokens) in list(self._all.items())[: self._rows]:
            lost = tokens > self._bounds.get(ticket, 10**9)
            self._writer.stopped += lost
            if lost or tokens == length_of(request.key):
                over.append((ticket, self._writer.finished(request, tokens)))
                del self._all[ticket]
            else:
                self._all[ticket] = (request, tokens + 1)
        return over


QUESTIONS = [f"Question {i}" for i in range(6)]


def solved(generator: Any, **options: Any) -> list[ttscale.Result]:
    strategy = FirstFinished(2, 7)
    return ttscale.solve_all(QUESTIONS, 8, generator=generator, strategy=strategy, progress=False, **options)


@pytest.mark.parametrize("rows", [1, 3, 50])
def test_the_result_is_the_same_in_any_session_and_costs_less(rows: int) -> None:
    wanted = solved(Writer())
    stopping = Writer(rows)
    assert solved(stopping) == wanted
    assert stopping.stopped > 0
    assert (
        asyncio.run(
            ttscale.asolve_all(QUESTIONS, 8, generator=Writer(rows), strategy=FirstFinished(2, 7), progress=False)
        )
        == wanted
    )
    spent = [sum(result.cost.sampled_tokens for result in results) for results in (solved(Writer(rows)), wanted)]
    assert spent[0] < spent[1]
    # All that was sampled is in the cost, that of the stopped draws too: the winners alone are less.
    winners = sum(len(c.tokens) + 1 for result in wanted for c in result.candidates if c.done)
    assert spent[0] > winners


def test_side_by_side_a_loser_costs_what_the_last_winner_has_and_one_more() -> None:
    """With a row for everyone: the closed form of what short-m@k spends."""
    for result in solved(Writer(50)):
        keys = [Key((0, result.question.id)).child(i) for i in range(7)]
        last = sorted(map(length_of, keys))[1]
        expected = sum(length_of(key) + 1 if length_of(key) <= last + 1 else last + 1 for key in keys)
        assert expected - 7 <= result.cost.sampled_tokens <= expected + 7


def test_a_killed_run_goes_on_from_its_trace(tmp_path: Any) -> None:
    wanted = solved(Writer(3), resume=tmp_path / "trace.jsonl")

    class Nobody:
        name = "writer"

        def sample(self, requests: Any) -> Any:
            raise AssertionError("everything is in the trace")

    again = solved(Nobody(), resume=tmp_path / "trace.jsonl")
    assert again == wanted
    assert [r.cost for r in again] == [r.cost for r in wanted]
    lines = (tmp_path / "trace.jsonl").read_text().splitlines(keepends=True)
    for cut in range(2, len(lines), 7):
        (tmp_path / "part.jsonl").write_text("".join(lines[:cut]))
        assert solved(Writer(), resume=tmp_path / "part.jsonl") == wanted


def test_short_m_at_k_is_sorting_by_length() -> None:
    """The first m of k by sorting, then a count of their answers, the shortest first where they tie."""
    for i in range(60):
        question = Question(f"q{i}", "?")
        outcome = waves(FirstFinished(3, 9), 9, roles={"generator": Writer()}, question=question)[1]
        keys = sorted((Key((0, question.id)).child(j) for j in range(9)), key=lambda k: (length_of(k), k.path[-1]))
        answers = [str(key.seed % 3) for key in keys[:3]]
        most = max(answers, key=lambda a: (answers.count(a), -answers.index(a)))
        assert outcome.chosen is not None
        assert outcome.candidates[outcome.chosen].answer == most
        assert outcome.candidates[outcome.chosen].key == keys[answers.index(most)]
        assert [c.done for c in outcome.candidates] == [
            key in keys[:3] for key in sorted(keys, key=lambda k: k.path[-1])
        ]


def test_the_laws_hold_with_unequal_lengths() -> None:
    check_laws(FirstFinished(1), 9)
    check_laws(FirstFinished(2, 5), 5, limit=ttscale.Limit(tokens=150))


@pytest.mark.parametrize(
    ("wave", "problem"),
    [
        (Race((), 1), "empty wave"),
        (Race((Sample(ROOT, ROOT.key.child(0)),), 2), "a Race of 1 draws has no first 2"),
        (Race((Sample(ROOT, ROOT.key.child(0)),), 0), "a Race of 1 draws has no first 0"),
        (Race((Sample(ROOT, ROOT.key.child(0), 1),), 1), "must not have max_steps"),
        (Race((ttscale.Score(ROOT),), 1), "must hold a tuple of Sample and Revise"),  # type: ignore[arg-type]
    ],
)
def test_races_that_make_no_sense_end_their_question(wave: Race, problem: str) -> None:
    class Bad:
        def search(self, root: Candidate, budget: int) -> Any:
            yield wave
            return Outcome((), (), None)

    (result,) = ttscale.solve_all([ROOT.question], 4, generator=Writer(), strategy=Bad(), progress=False)
    assert isinstance(result.error, ttscale.StrategyError)
    assert problem in str(result.error)


def test_settings_that_make_no_sense_are_refused() -> None:
    for bad in ({"m": 0}, {"m": None}, {"k": 0}, {"m": True}):
        with pytest.raises(ValueError, match=f"{next(iter(bad))} must be a positive integer"):
            FirstFinished(**bad)  # type: ignore[arg-type]


OTHERS = [MajorityVote(), FirstFinished(3, 7), FirstFinished(1, 3), FirstFinished(1, 8)]


@pytest.mark.parametrize("strategy", OTHERS, ids=repr)
@pytest.mark.parametrize("rows", [2, 50])
def test_a_draw_that_was_stopped_for_losing_is_drawn_whole_for_whoever_asks_outside_of_its_race(
    strategy: Any, rows: int, tmp_path: Any
) -> None:
    wanted = ttscale.solve_all(QUESTIONS, 8, generator=Writer(), strategy=strategy, progress=False)
    lost = Writer(rows)
    options: Any = {"progress": False, "resume": tmp_path / "trace.jsonl"}
    ttscale.solve_all(QUESTIONS, 8, generator=lost, strategy=FirstFinished(1, 7), **options)
    assert lost.stopped > 0
    assert ttscale.solve_all(QUESTIONS, 8, generator=Writer(rows), strategy=strategy, **options) == wanted


def test_a_loser_whose_search_has_ended_by_then_is_remembered_as_one() -> None:
    class Racing:
        def search(self, root: Candidate, budget: int) -> Any:
            yield race(2, 1)
            return Outcome((), (), None)

    recorded: list[Any] = []
    engine = Engine(["generator"], lambda question, request, reply: recorded.append((request, reply)))
    slot = engine.start(ROOT, Racing().search(ROOT, 2))
    winner, loser = engine.take("generator")
    engine.give(winner, done(2))
    engine.stop(slot, "seconds")
    engine.give(loser, done(3, "length"))
    assert [address(request) == address(ticket.request) for request, _ in recorded for ticket in (winner, loser)] == [
        *(True, False),
        *(False, False),
    ]


def test_only_the_engine_says_which_race_a_draw_lost() -> None:
    class Bad:
        def search(self, root: Candidate, budget: int) -> Any:
            yield [Sample(root, root.key.child(0), race="mine")]
            return Outcome((), (), None)

    (result,) = ttscale.solve_all([ROOT.question], 4, generator=Writer(), strategy=Bad(), progress=False)
    assert isinstance(result.error, ttscale.StrategyError)
    assert "race is for the engine to set" in str(result.error)


def test_a_class_based_on_race_is_refused() -> None:
    """It would be taken for an ordinary wave, of which every draw counts."""
    with pytest.raises(TypeError, match=r"Mine is based on Race.*yield a Race"):
        type("Mine", (Race,), {})
