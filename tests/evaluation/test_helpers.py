"""Processes of this machine that work on the same files."""

from __future__ import annotations

import multiprocessing
from functools import partial
from pathlib import Path

import pytest
import torch

from ttscale.evaluation.collect.processes import beside


def note(folder: Path, fail: bool) -> None:
    (folder / f"{torch.get_num_threads()} threads").touch()
    if fail:
        raise OSError("no room left")


def endless(folder: Path) -> None:
    (folder / "begun").touch()
    while True:
        pass


def test_another_process_does_the_work_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttscale.evaluation.collect.processes.cores", lambda: 6)
    before = torch.get_num_threads()
    with beside(partial(note, tmp_path, False), 2):
        assert torch.get_num_threads() == 3
    assert (tmp_path / "3 threads").exists()
    assert torch.get_num_threads() == before


def test_its_failure_is_told_and_stops_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with beside(partial(note, tmp_path, True), 2):
        pass
    assert "a process beside this one ended: OSError: no room left" in capfd.readouterr().err


def test_it_ends_with_a_block_that_fails(tmp_path: Path) -> None:
    def failing() -> None:
        with beside(partial(endless, tmp_path), 2):
            while not (tmp_path / "begun").exists():
                pass
            raise ValueError("bad data")

    with pytest.raises(ValueError, match="bad data"):
        failing()
    assert not multiprocessing.active_children()


def test_one_process_starts_no_other(tmp_path: Path) -> None:
    with beside(partial(note, tmp_path, False), 1):
        pass
    assert not list(tmp_path.iterdir())
