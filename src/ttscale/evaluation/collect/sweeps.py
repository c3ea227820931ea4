"""Sweeps: strategies x budgets x seeds over the same questions, one record each, stored as they come.

Knows strategies, records and where they are kept. Must not know how a search runs (``runner.py``) or what the records
are read for. A sweep that was killed goes on where it stopped; several processes may work on one file.
Over 300 lines because every check that keeps stored records from being mixed stands beside the sweep that stores them.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from ttscale.api.arguments import as_seed, check_budget, choose_strategy, suited
from ttscale.api.batch import BatchAllocation
from ttscale.api.load_roles import ModelSpec, ModelSpecs, check_labels
from ttscale.api.role_labels import warn_other_models
from ttscale.api.settings import Executor
from ttscale.core.protocols import METHOD_OF, ROLE_OF, Role, Strategy, needs_of
from ttscale.core.selection import Aggregate
from ttscale.engine.core import Ended
from ttscale.evaluation.collect.ray_executor import RayExecutor
from ttscale.evaluation.collect.records import Record, Records, record_key
from ttscale.evaluation.collect.result_store import Store, check_format, read_store
from ttscale.evaluation.collect.runner import LocalExecutor, Piece, ShowProgress, run_pieces
from ttscale.evaluation.problems.grading import grade
from ttscale.evaluation.problems.problem import AnyProblem, Problem, as_problems
from ttscale.strategies.policy import policy_of

FORMAT = "sweep/1"


AnyStrategy: TypeAlias = Strategy | BatchAllocation | str


@dataclass(frozen=True, slots=True)
class Arm:
    """A strategy under the name it has in records and plots. ``budgets`` None: all budgets of the sweep."""

    name: str
    strategy: AnyStrategy
    budgets: tuple[int, ...] | None = None


def sweep(
    strategies: Mapping[str, AnyStrategy] | Sequence[Arm | AnyStrategy],
    budgets: Sequence[int],
    problems: Iterable[AnyProblem],
    *,
    generator: ModelSpec = None,
    verifier: ModelSpec = None,
    reviser: ModelSpec = None,
    comparator: ModelSpec = None,
    seeds: Sequence[int] = (0,),
    resume: str | Path | None = None,
    share_draws: bool = True,
    executor: Executor = "local",
    workers: int = 2,
    ray_options: Mapping[str, Any] | None = None,
    progress: ShowProgress = True,
) -> Records:
    """Run every strategy at every budget and seed on every problem.

    ``strategies``: names mapped to strategies, or a list of ``Arm``, strategies and names. ``resume``: the JSONL file
    of the records; what it holds is not run again. ``share_draws``: draws that several strategies of one question and
    seed have in common are made once (records still say what each costs alone; switch it off to measure seconds).
    ``executor="ray"`` spreads the questions over ``workers`` Ray workers (extra ``ray``), each of which loads the
    models once; pass models as ids, paths or functions that load them. ``ray_options`` are Ray's own for an actor.
    ``progress``: a bar where standard error is a terminal, or a function that is called with how many searches are
    done, of how many.

    A question that fails costs the others nothing: it is left out of the tables, named in ``Records.failed`` and in a
    warning, and tried again by the next run. Raises ``ValueError`` for bad arguments and for a file of another sweep.
    """
    asked = as_problems(problems)
    seeds = [as_seed(seed) for seed in _listed("seeds", seeds)]
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds must be distinct integers, at least one; got {list(seeds)}")
    specs = ModelSpecs(generator, verifier, reviser, comparator).check()
    if executor not in ("local", "ray"):
        raise ValueError(f'executor must be "local" or "ray"; got {executor!r}')
    arms = fitted_arms(strategies, budgets, dict.fromkeys(specs.roles), specs.bundled)
    if resume is not None:
        for arm in arms:
            _check_text(arm)
    # A strategy that does not say what it needs may ask whoever is there.
    wanted = frozenset(role for arm in arms for role in needs_of(arm.strategy, ROLE_OF.values()))
    with _running(specs, wanted, executor, workers, ray_options) as running:
        arms = fitted_arms(strategies, budgets, dict.fromkeys(specs.roles), specs.bundled, running.aggregate)
        for arm in arms:
            warn_other_models(arm.strategy, running.labels)
        header = {"ttscale": FORMAT, "models": running.labels}
        with Store(resume, header, partial(_check_header, running.labels, resume), Record.from_json) as store:
            store.amend(lambda found: {**found, "models": {**found.get("models", {}), **running.labels}})
            _check_arms(store.records.values(), arms, resume)
            failures: dict[str, Exception] = {}
            wanted_keys: list[str] = []
            for pieces in _rounds(arms, seeds, asked, store):
                for piece in pieces:
                    if piece.key in store.records:
                        _check_record(store.records[piece.key], piece, running.labels, resume)
                work = running.work(store, partial(record_data, labels=running.labels), share_draws)
                failures |= run_pieces(pieces, store, work, progress=progress, unit="search")
                wanted_keys += [piece.key for piece in pieces if not piece.probe]
            records = [store.records[key] for key in wanted_keys if key in store.records]
    if failures:
        key, error = next(iter(failures.items()))
        warnings.warn(
            f"{len(failures)} searches failed and are left out; the first, {key}: {type(error).__name__}: {error}",
            stacklevel=2,
        )
    order = {arm.name: place for place, arm in enumerate(arms)}
    records.sort(key=lambda record: (order[record.arm], record.budget))
    cells = [(arm.name, budget) for arm in arms for budget in arm.budgets or ()]
    return Records(records, [problem.id for problem in asked], failures, cells, seeds)


def _rounds(
    arms: Sequence[Arm], seeds: Sequence[int], asked: Sequence[Problem], store: Store[Record]
) -> Iterator[list[Piece]]:
    """What to run: searches of single questions and the probes of batch allocations, then what those allot."""
    pieces: list[Piece] = []
    batches: list[tuple[str, BatchAllocation, int, int]] = []
    for arm in arms:
        for budget in arm.budgets or ():
            for seed in seeds:
                if isinstance(arm.strategy, BatchAllocation):
                    batches.append((arm.name, arm.strategy, budget, seed))
                else:
                    assert not isinstance(arm.strategy, str)
                    pieces += [_piece(arm.name, budget, seed, problem, arm.strategy) for problem in asked]
    probes = {
        (f"{name}: probe", allocation.probe_of(budget), seed): allocation.strategy
        for name, allocation, budget, seed in batches
    }
    yield pieces + [
        replace(_piece(*cell, problem, strategy), probe=True) for cell, strategy in probes.items() for problem in asked
    ]
    rest: list[Piece] = []
    for name, allocation, budget, seed in batches:
        keys = {
            problem.id: record_key(f"{name}: probe", allocation.probe_of(budget), seed, problem.id) for problem in asked
        }
        probed = {id_: store.records[key].difficulty or 0.0 for id_, key in keys.items() if key in store.records}
        shares = allocation.shares(probed, budget)
        among = hashlib.blake2b("\x00".join(shares).encode(), digest_size=4).hexdigest()
        rest += [
            Piece(
                record_key(name, budget, seed, problem.id, among),
                problem,
                (seed, problem.id),
                allocation.strategy,
                shares[problem.id],
                repr(allocation),
            )
            for problem in asked
            if problem.id in shares
        ]
    if rest:
        yield rest


def _piece(name: str, budget: int, seed: int, problem: Problem, strategy: Strategy) -> Piece:
    return Piece(
        record_key(name, budget, seed, problem.id), problem, (seed, problem.id), strategy, budget, repr(strategy)
    )


@contextmanager
def _running(
    specs: ModelSpecs,
    wanted: frozenset[Role],
    executor: Executor,
    workers: int,
    ray_options: Mapping[str, Any] | None,
) -> Iterator[LocalExecutor | RayExecutor]:
    if executor == "local":
        yield LocalExecutor(specs.load(wanted))
        return
    with RayExecutor(specs, wanted, workers, ray_options) as running:
        yield running


def load_records(path: str | Path) -> Records:
    """The records in a file, whatever they were made with."""
    if not Path(path).is_file():
        raise ValueError(f"there are no records at {path}; make them with sweep(..., resume={str(path)!r})")
    return Records(read_store(path, FORMAT, Record.from_json)[1])


def fitted_arms(
    strategies: Mapping[str, AnyStrategy] | Sequence[Arm | AnyStrategy],
    budgets: Sequence[int],
    roles: Mapping[Role, Any],
    bundled: bool,
    aggregate: Aggregate | None = None,
) -> list[Arm]:
    """The arms with strategies fitted to the roles and budgets filled in; ``ValueError`` says what is wrong.

    ``aggregate`` is how the verifier wants its step scores aggregated, once it is loaded and says so.
    """
    if isinstance(strategies, str) or not strategies:
        raise ValueError(f"strategies must be a mapping of names to strategies or a list; got {strategies!r}")
    given = [Arm(name, own) for name, own in strategies.items()] if isinstance(strategies, Mapping) else strategies
    grid = _grid(budgets)
    arms: dict[str, Arm] = {}
    for one in given:
        arm = one if isinstance(one, Arm) else Arm(one if isinstance(one, str) else repr(one), one)
        strategy = arm.strategy
        if isinstance(strategy, BatchAllocation):
            choose_strategy(strategy.strategy, roles, bundled)  # raises where a role is missing
        else:
            strategy = suited(choose_strategy(strategy, roles, bundled), arm.strategy, aggregate)
        own = grid if arm.budgets is None else _grid(arm.budgets)
        if not own:
            raise ValueError(f"the arm {arm.name!r} has no budget to run at; give budgets=")
        if arm.name in arms:
            raise ValueError(f"two arms are called {arm.name!r}; their records could not be told apart")
        arms[arm.name] = Arm(arm.name, strategy, own)
    return list(arms.values())


def _check_text(arm: Arm) -> None:
    """``ValueError`` unless the strategy prints the same in every process: it is what its records are known by."""
    policy = policy_of(arm.strategy)
    for one in (arm.strategy, *(one for row in (policy.strategies if policy else ()) for one in row)):
        if re.search(r"\bat 0x[0-9a-fA-F]+", repr(one)):
            raise ValueError(
                f"the strategy of the arm {arm.name!r} prints as {one!r}, another text in every process, so its "
                "records could not be told from those of other strategies; make it a frozen dataclass or give it a "
                "__repr__ that shows its settings, or leave resume= out"
            )


def record_data(piece: Piece, ended: Ended, labels: Mapping[str, str]) -> dict[str, Any]:
    """The record of a search that has ended."""
    outcome = ended.outcome
    winner = None if outcome.chosen is None else outcome.candidates[outcome.chosen]
    answer = winner.answer if winner else None
    name, budget, seed, question, *among = json.loads(piece.key)
    return Record(
        arm=name,
        strategy=piece.spec,
        budget=budget,
        seed=seed,
        question=question,
        digest=piece.problem.digest,
        models=_models_digest(piece.strategy, labels),
        answer=answer,
        score=None if outcome.chosen is None else outcome.scores[outcome.chosen],
        correct=grade(answer, piece.problem.answer, piece.problem.answers),
        cost=ended.cost,
        difficulty=_difficulty(piece.strategy, labels, ended),
        note=outcome.note,
        among=among[0] if among else "",
    ).to_json()


def _grid(budgets: Any) -> tuple[int, ...]:
    return tuple(sorted({check_budget(budget) for budget in _listed("budgets", budgets)}))


def _listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{name} must be a list of integers; got {values!r}")
    return list(values)


def _check_arms(records: Iterable[Record], arms: Sequence[Arm], path: str | Path | None) -> None:
    """``ValueError`` where stored records of an arm, at whatever budget, are of another strategy than now."""
    specs = {arm.name: repr(arm.strategy) for arm in arms}
    for record in records:
        _check_strategy(record, specs.get(record.arm, record.strategy), path)


def _check_strategy(record: Record, spec: str, path: str | Path | None) -> None:
    if record.strategy != spec:
        raise ValueError(
            f"{path} has records of the arm {record.arm!r} with the strategy {record.strategy}, and this sweep has "
            f"{spec}; give the arm another name, or write to another file"
        )


def _check_record(record: Record, piece: Piece, labels: Mapping[str, str], path: str | Path | None) -> None:
    """``ValueError`` unless a stored record is one of this sweep's."""
    _check_strategy(record, piece.spec, path)
    if record.models != _models_digest(piece.strategy, labels):
        raise ValueError(
            f"{path} has records of the arm {record.arm!r} that other models made ({dict(labels)} now); go on with the "
            "same models, or write to another file"
        )
    if record.digest != piece.problem.digest:
        raise ValueError(
            f"{path} has records of a question {record.question!r} with another text or reference answer, or another "
            "answer rule; ids must mean the same question, so write to another file for another data set"
        )


def _needs(strategy: Strategy, labels: Mapping[str, str]) -> frozenset[Role]:
    return needs_of(strategy, [role for role in METHOD_OF if role in labels])


def _models_digest(strategy: Strategy, labels: Mapping[str, str]) -> str:
    made_by = {role: labels.get(role) for role in sorted(_needs(strategy, labels))}
    return hashlib.blake2b(json.dumps(made_by).encode(), digest_size=4).hexdigest()


def _difficulty(strategy: Strategy, labels: Mapping[str, str], ended: Ended) -> float | None:
    """1 minus the mean score of the probe where the strategy has one, else of all candidates; a cut-off one counts 0.

    None where no verifier took part.
    """
    if "verifier" not in _needs(strategy, labels):
        return None
    pairs = list(zip(ended.outcome.candidates, ended.outcome.scores, strict=True))
    probe = [score or 0.0 for candidate, score in pairs if candidate.key.path[2:3] == ("probe",)]
    scores = probe or [score or 0.0 for _, score in pairs]
    return 1 - sum(scores) / len(scores) if scores else None


def _check_header(labels: Mapping[str, str], path: str | Path | None, found: Mapping[str, Any]) -> None:
    check_format(found, FORMAT, path)
    check_labels(found.get("models", {}), labels, f"the sweep {path}")
