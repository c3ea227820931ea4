"""Sweeps on a local Ray cluster: the same records as here, models loaded once per worker, a killed worker is no loss.

Starting Ray takes some seconds, so one cluster serves all tests of this file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray

from evaluation.ray_roles import Mortal, Silent, unloadable
from evaluation.worlds import Examiner, Student, problems
from ray_environment import inherited_by_workers
from ttscale.core.errors import TtscaleError
from ttscale.evaluation import BatchAllocation, Records, sweep
from ttscale.strategies import Beam, ComputeOptimalScheduler, WeightedBestOfN

ARMS = {
    "weighted": WeightedBestOfN(),
    "beam": Beam(2),
    "optimal": ComputeOptimalScheduler(),
    "batch": BatchAllocation(probe=2),
}
QUESTIONS = 40


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with inherited_by_workers():
        ray.init(
            "local",  # never the cluster that another test process has started
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            object_store_memory=80_000_000,
        )
    yield
    ray.shutdown()


def on_ray(
    generator: object, path: Path | None = None, arms: Mapping[str, Any] = ARMS, budgets: Sequence[int] = (2, 4)
) -> Records:
    return sweep(
        arms,
        budgets,
        problems(QUESTIONS),
        generator=generator,
        verifier=Examiner(),
        resume=path,
        executor="ray",
        workers=2,
        progress=False,
    )


def here() -> Records:
    return sweep(ARMS, [2, 4], problems(QUESTIONS), generator=Student(cut=0.1), verifier=Examiner(), progress=False)


def test_records_equal_the_local_ones_and_models_are_loaded_once_per_worker(tmp_path: Path) -> None:
    assert on_ray(partial(Mortal, tmp_path)) == here()
    assert len(list(tmp_path.glob("loaded-*"))) == 2


def test_a_killed_workers_questions_run_again(tmp_path: Path) -> None:
    assert on_ray(partial(Mortal, tmp_path, "q17"), tmp_path / "sweep.jsonl") == here()
    assert len(list(tmp_path.glob("died-*"))) == 1
    assert len(list(tmp_path.glob("loaded-*"))) == 3
    assert on_ray(partial(Mortal, tmp_path, "q17", 0), tmp_path / "sweep.jsonl") == here()


def test_a_question_that_kills_every_worker_is_given_up(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="3 Ray workers died of it"):
        records = on_ray(partial(Mortal, tmp_path, "q17", 99), arms={"beam": Beam(2)}, budgets=[4])
    assert set(records.incomplete) >= {"q17"}
    assert len(records.questions) >= QUESTIONS - 8
    assert records.get("beam", 4, 0, "q0") == here().get("beam", 4, 0, "q0")


def test_failures_come_back_with_their_question() -> None:
    with pytest.warns(UserWarning, match=r"q3.*not today"):
        records = on_ray(Silent(), arms={"beam": Beam(2)}, budgets=[4])
    assert records.incomplete == ("q3",)


def test_models_that_cannot_be_loaded_are_said_at_once() -> None:
    with pytest.raises(TtscaleError, match=r"could not load the models: OSError: no such weights$"):
        on_ray(unloadable)
