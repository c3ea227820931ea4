"""What a role or a strategy that offers nothing beside its method is taken for, and what one that does."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ttscale.core import protocols
from ttscale.core.protocols import (
    aggregate_of,
    continues,
    fits_roles,
    fitted_to,
    is_async,
    max_batch_of,
    members_of,
    name_of,
    needs_of,
    sampling_of,
    session_of,
    shared_worker,
    weights_of,
    worker_of,
)
from ttscale.strategies import Beam, BestOfN, ComputeOptimalScheduler, Policy, SequentialRevision

READERS = (shared_worker, max_batch_of, session_of, members_of, weights_of, sampling_of, aggregate_of, continues)


class Plain:
    """A role and a strategy in one, with nothing but the methods."""

    def sample(self, requests: Any) -> Any: ...
    def search(self, root: Any, budget: int) -> Any: ...


def test_what_is_left_out_has_one_default() -> None:
    assert [read(Plain()) for read in READERS] == [None, None, None, (), (), {}, None, True]
    assert name_of(Plain()) == "Plain"
    own = Plain()
    assert worker_of(own) == worker_of(own) != worker_of(Plain())
    assert needs_of(Plain(), ("generator", "verifier")) == {"generator", "verifier"}
    plain: Any = Plain()
    assert fitted_to(plain, ("generator",)) is plain
    assert not fits_roles(plain)


def test_the_defaults_said_outright_mean_the_same() -> None:
    """A wrapper may hand on what its inner role does not offer."""
    said: Any = SimpleNamespace(
        name="", worker=None, max_batch=None, session=None, members=None, weights=None, sampling=None, aggregate=None,
        continues=True, needs=None, for_roles=None,
    )  # fmt: skip
    assert [read(said) for read in READERS] == [read(Plain()) for read in READERS]
    assert name_of(said) == "SimpleNamespace"
    assert needs_of(said, ("reviser",)) == {"reviser"}
    assert fitted_to(said, ("generator",)) is said


def test_what_is_offered_is_read() -> None:
    offers: Any = SimpleNamespace(
        name="m", worker="gpu", max_batch=3, session=list, members=[Plain], weights=["w"], sampling={"t": 1},
        aggregate="min", continues=False, needs=frozenset({"verifier"}), for_roles=sorted,
    )  # fmt: skip
    assert [read(offers) for read in READERS] == ["gpu", 3, list, (Plain,), ("w",), {"t": 1}, "min", False]
    assert name_of(offers) == "m"
    assert worker_of(offers) == "gpu"
    assert needs_of(offers, ()) == {"verifier"}
    assert fitted_to(offers, ("verifier", "generator")) == ["generator", "verifier"]  # type: ignore[comparison-overlap]


def test_a_method_is_awaited_however_it_is_written() -> None:
    async def plain(requests: Any) -> Any: ...

    class Called:
        async def __call__(self, requests: Any) -> Any: ...

    assert is_async(plain)
    assert is_async(Called())
    assert is_async(Plain().sample, plain)
    assert not is_async(Plain().sample, lambda requests: requests)
    assert not is_async()


def test_a_policy_needs_what_any_of_its_strategies_asks_and_any_role_where_one_does_not_say() -> None:
    def scheduler(*strategies: Any) -> ComputeOptimalScheduler:
        return ComputeOptimalScheduler(Policy((), tuple(range(1, len(strategies) + 1)), (strategies,)))

    both = frozenset({"generator", "verifier"})
    assert scheduler(BestOfN()).needs == scheduler(Beam()).needs == both
    assert scheduler(BestOfN(), SequentialRevision(select="majority")).needs == both | {"reviser"}
    unknown = scheduler(BestOfN(), Plain())
    assert unknown.needs is None
    assert needs_of(unknown, ("generator", "verifier", "reviser")) == both | {"reviser"}


def test_every_option_is_read_in_one_place() -> None:
    """No reader of an option with a default of its own lies elsewhere in the package."""
    options = {
        name
        for declared in (
            protocols.RoleOptions, protocols.GeneratorOptions, protocols.VerifierOptions, protocols.StrategyOptions
        )
        for name in declared.__annotations__
    }  # fmt: skip
    root = Path(protocols.__file__).parents[1]
    found = [
        f"{file.relative_to(root)}:{node.lineno} {node.args[1].value}"
        for file in root.rglob("*.py")
        if file != Path(protocols.__file__)
        and file.parent.name != "answers"  # an answer rule has a name too, and is no role
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr"
        if len(node.args) == 3 and isinstance(node.args[1], ast.Constant) and node.args[1].value in options
    ]
    assert found == []
