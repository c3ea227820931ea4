"""What a person sees while a call runs."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

import ttscale
from ttscale.api import progress
from ttscale.testing import FakeGenerator, FakeVerifier


class Bar:
    """Stands in for tqdm."""

    def __init__(self) -> None:
        self.n, self.total, self.facts, self.closed = 0, None, [], False

    def update(self, n: int = 1) -> None:
        self.n += n

    def set_postfix_str(self, text: str) -> None:
        self.facts.append(text)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    made: list[Bar] = []

    def make(total: int | None) -> Bar:
        bar = Bar()
        bar.total = total
        made.append(bar)
        return bar

    monkeypatch.setattr(progress, "_bar", make)
    monkeypatch.setattr(progress, "_somebody_looks", lambda: True)
    return made


STRATEGIES = ["majority_vote", "beam", "dvts", "best_of_n", "adaptive_consistency"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_bar_ends_full_for_every_strategy(strategy: str, bars: list[Bar]) -> None:
    from ttscale.testing import FakeVerifier

    roles = {"generator": FakeGenerator("1\n2\nAnswer: 3"), "verifier": FakeVerifier(lambda request: 0.5)}
    ttscale.solve_all(["a", "b", "c"], 8, **roles, strategy=strategy)  # type: ignore[arg-type]
    (bar,) = bars
    assert (bar.total, bar.n, bar.closed) == (24, 24, True)


def test_one_question_has_a_bar_and_progress_false_has_none(bars: list[Bar]) -> None:
    ttscale.solve("a", 4, generator=FakeGenerator("Answer: 3"))
    assert [(bar.total, bar.n) for bar in bars] == [(4, 4)]
    ttscale.solve("a", 4, generator=FakeGenerator("Answer: 3"), progress=False)
    ttscale.solve_all(["a"], 4, generator=FakeGenerator("Answer: 3"), progress=False)
    assert len(bars) == 1


def test_nothing_is_printed_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    ttscale.solve_all(["a", "b"], 2, generator=FakeGenerator("Answer: 3"))
    assert capsys.readouterr() == ("", "")


def test_the_log_has_the_first_and_the_last_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="ttscale"):
        ttscale.solve_all(["a", "b"], 2, generator=FakeGenerator("Answer: 3"))
    first, *_, last = [record.message for record in caplog.records]
    assert first == "solving 2 questions, budget 2"
    assert last.startswith("done: 2/2 questions, 4 solutions, 40 tokens, ")


def test_verdicts_are_counted_where_there_are_any(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="ttscale"):
        roles: dict[str, Any] = {"generator": FakeGenerator("Answer: 3"), "verifier": FakeVerifier([0.5, 0.75])}
        ttscale.solve("a", 2, **roles, strategy="best_of_n")
    assert "done: 2 solutions, 2 verdicts, 20 tokens, " in caplog.records[-1].message


def test_no_thread_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="ttscale"):
        list(ttscale.solve_stream(["a", "b"], 2, generator=FakeGenerator("Answer: 3")))
    assert [thread for thread in threading.enumerate() if thread.name.startswith("ttscale")] == []


def test_tokens_of_a_draw_that_is_still_on_its_way_are_counted() -> None:
    """Also for a single long one: what its role says is shown before any reply."""
    drawn = [0]
    role = FakeGenerator("Answer: 3")
    role.live = lambda: drawn[0]  # type: ignore[attr-defined]
    shown = progress.Progress(1, 1, "budget 1", bar=False)
    with shown:
        shown.roles = (role, FakeGenerator("no count"))
        for drawn[0] in (0, 7, 1500):
            assert f"0 solutions, {drawn[0]:,} tokens" in shown._facts()


def test_a_stream_of_unknown_length_shows_no_share_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    bar = progress._bar(None)
    bar.refresh()
    bar.close()
    shown = capsys.readouterr().err
    assert "starting" in shown
    assert "%" not in shown
    assert "<" not in shown
