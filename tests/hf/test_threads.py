"""Threads: few for little work, the process's own number given back, a user's choice left alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ttscale.hf import threads
from ttscale.hf.threads import SMALL, suited_threads

CPU = torch.device("cpu")


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process on four cores that nobody has set threads for."""
    for name in threads.CHOSEN_BY:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "cores", lambda: (4, 4))
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_cores")
def test_little_work_runs_on_one_thread_and_the_number_is_given_back() -> None:
    with suited_threads(CPU, SMALL / 2):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 4
    with pytest.raises(RuntimeError, match="on purpose"), suited_threads(CPU, 1.0):
        raise RuntimeError("on purpose")
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_cores")
def test_much_work_keeps_its_threads() -> None:
    with suited_threads(CPU, SMALL):
        assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_cores")
@pytest.mark.parametrize("name", threads.CHOSEN_BY)
def test_a_number_in_the_environment_is_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "4")
    with suited_threads(CPU, 1.0):
        assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_cores")
def test_a_number_set_in_torch_is_left_alone() -> None:
    torch.set_num_threads(3)
    with suited_threads(CPU, 1.0):
        assert torch.get_num_threads() == 3
