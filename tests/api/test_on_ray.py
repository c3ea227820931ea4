"""Questions and rollouts on a Ray cluster of three nodes: the same results, models loaded once, a lost node is no loss.

Starting the cluster takes some seconds, so one serves all tests; a test that kills a node adds another first.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

import ttscale
from api.ray_roles import Loaded, failing, real_model, say, unloadable
from ray_environment import inherited_by_workers
from real_models import model_folder
from ttscale.cli.main import main
from ttscale.core.errors import TtscaleError
from ttscale.openai import OpenAIGenerator
from ttscale.testing import FakeGenerator
from ttscale.training import collect_rollouts

HALF = {"num_cpus": 0.5}
PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    node = {"num_cpus": 1, "object_store_memory": 80_000_000}
    with inherited_by_workers():
        found = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        for _ in range(2):
            found.add_node(**node)
        ray.init(address=found.address, log_to_driver=False, configure_logging=False)
    yield found
    ray.shutdown()
    found.shutdown()


def questions(n: int) -> list[ttscale.Question]:
    return [ttscale.Question(f"q{i}", f"Number {i}?") for i in range(n)]


def here(n: int) -> list[ttscale.Result]:
    return ttscale.solve_all(questions(n), 3, generator=FakeGenerator(say), progress=False)


def on_ray(generator: Any, n: int, workers: int = 2) -> list[ttscale.Result]:
    return ttscale.solve_all(
        questions(n), 3, generator=generator, executor="ray", workers=workers, ray_options=HALF, progress=False
    )


def test_results_equal_the_local_ones_and_models_are_loaded_once_per_worker(cluster: Cluster, tmp_path: Path) -> None:
    assert on_ray(partial(Loaded, tmp_path), 50) == here(50)
    assert len(list(tmp_path.glob("loaded-*"))) == 2


def test_a_node_that_is_killed_in_the_middle_changes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    for name in ("arrived", "go"):
        os.mkfifo(tmp_path / name)
    arrived = os.fdopen(os.open(tmp_path / "arrived", os.O_RDWR), "r")
    found: dict[ttscale.Question, ttscale.Result] = {}

    def solve() -> None:
        stream = ttscale.solve_stream(
            questions(400),
            3,
            generator=partial(Loaded, tmp_path, True),
            executor="ray",
            workers=3,
            ray_options={**HALF, "scheduling_strategy": "SPREAD"},
            progress=False,
        )
        found.update(stream)

    worker = threading.Thread(target=solve)
    worker.start()
    nodes = [arrived.readline().strip() for _ in range(3)]
    assert len(set(nodes)) >= 2
    victim = next(node for node in cluster.worker_nodes if node.node_id in nodes)
    cluster.remove_node(victim, allow_graceful=False)
    go = os.open(tmp_path / "go", os.O_RDWR)  # from here on nobody waits
    worker.join()
    os.close(go)
    arrived.close()
    assert [found[question] for question in questions(400)] == here(400)
    again = nodes.count(victim.node_id)  # at most: those that are left may have done all before a new one was up
    assert 3 <= len(list(tmp_path.glob("loaded-*"))) <= 3 + again


def test_failures_are_results_and_models_that_do_not_load_are_said_at_once(cluster: Cluster) -> None:
    results = on_ray(FakeGenerator(failing), 8)
    assert [result.question.id for result in results if result.error] == ["q3"]
    assert "not today" in str(results[3].error)
    with pytest.raises(TtscaleError, match=r"could not load the models: OSError: no such weights$"):
        on_ray(unloadable, 8)
    with pytest.raises(ValueError, match=r"cannot travel to Ray workers .*functions that make them"):
        on_ray(OpenAIGenerator("toy", "http://127.0.0.1:9/v1", api_key="none"), 8)


def test_rollouts_are_those_of_a_run_here(cluster: Cluster, tmp_path: Path) -> None:
    problems = [{"id": f"p{i}", "question": f"Number {i}?", "answer": "2"} for i in range(20)]
    common: dict[str, Any] = {"samples": 3, "rollouts": 2, "together": 4, "policy": "fake", "progress": False}
    one = collect_rollouts(FakeGenerator(say), problems, tmp_path / "here.jsonl", **common)
    two = collect_rollouts(
        partial(Loaded, tmp_path), problems, tmp_path / "ray.jsonl", executor="ray", ray_options=HALF, **common
    )
    rows = [sorted((tmp_path / name).read_text().splitlines()[1:]) for name in ("here.jsonl", "ray.jsonl")]
    assert rows[0] == rows[1]
    assert (one.rollouts, one.cost) == (two.rollouts, two.cost)
    assert len(list(tmp_path.glob("loaded-*"))) == 2


def test_the_command_writes_the_rows_that_it_writes_here(cluster: Cluster, tmp_path: Path) -> None:
    asked = [json.dumps({"id": f"q{i}", "question": f"Compute {i} + 2"}) for i in range(6)]
    (tmp_path / "q.jsonl").write_text("\n".join(asked))
    command = ["solve", "--input", str(tmp_path / "q.jsonl"), "--budget", "2", "--quiet", "--temperature", "0.9"]
    found = []
    for name, more in (("here", []), ("ray", ["--ray", "2", "--ray-options", '{"num_cpus": 0.5}'])):
        assert main([*command, *more, "--output", str(tmp_path / name)]) == 0
        rows = [json.loads(line) for file in (tmp_path / name).glob("part-*") for line in file.read_text().splitlines()]
        found.append({row["id"]: (row["answer"], row["score"]) for row in rows})
    assert found[0] == found[1]
    assert len(found[0]) == 6


def test_a_real_model_is_loaded_once_per_worker(cluster: Cluster, tmp_path: Path) -> None:
    """Greedy texts are those of ``generate`` (tests/hf/test_real_models.py), so of any worker."""
    model_folder()  # made here, where it can be, and not by each worker
    results = on_ray(partial(real_model, tmp_path), 8)
    assert [result.error for result in results] == [None] * 8
    assert len(list(tmp_path.glob("loaded-*"))) == 2
    (here := tmp_path / "here").mkdir()
    local = ttscale.solve_all(questions(8), 3, generator=real_model(here), progress=False)
    assert [result.text for result in results] == [result.text for result in local]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*")  # Ray warns of its own settings
def test_the_stage_of_ray_data_in_the_documentation(cluster: Cluster, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (block,) = [block for block in blocks if "map_batches" in block]
    code: dict[str, Any] = {}
    exec(block, code)
    rows = [{"id": question.id, "question": question.prompt} for question in questions(150)]
    found = code["answered"](rows, partial(Loaded, tmp_path)).take_all()
    expected = ttscale.solve_all(questions(150), 4, generator=FakeGenerator(say), progress=False)
    assert {row["id"]: row["answer"] for row in found} == {r.question.id: r.answer for r in expected}
    assert len(list(tmp_path.glob("loaded-*"))) in (1, 2)  # one may have done it all before the other was up


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"executor": "dask"}, 'executor must be "local" or "ray"'),
        ({"ray_options": {"num_gpus": 1}}, "ray_options need executor='ray'"),
        ({"executor": "ray", "resume": "trace.jsonl"}, "resume does not go with executor='ray'"),
        ({"executor": "ray", "total_limit": ttscale.Limit(tokens=9)}, "total_limit does not go with executor='ray'"),
        ({"executor": "ray", "total_budget": 90}, "total_budget does not go with executor='ray'"),
        ({"executor": "ray", "workers": 0}, "workers must be a positive integer"),
    ],
    ids=["unknown", "options", "resume", "total_limit", "total_budget", "workers"],
)
def test_what_does_not_go_together_is_refused(more: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ttscale.solve_all(["a"], 2, generator=FakeGenerator(say), progress=False, **more)
