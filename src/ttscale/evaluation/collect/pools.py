"""Sample pools: K solutions of every question with their scores, drawn once and kept.

Knows how they are drawn and stored; what they are is in ``pool.py``. Must not know what is read off them. Two kinds:
``samples`` are independent solutions by the generator (their keys are those of ``BestOfN``, so the first N of a pool
are what best-of-N with that seed draws); ``chains`` are chains of revisions. A pool is a JSONL file that only ever
grows, in blocks; it can be killed at any time, written by several processes, and extended to more samples or questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

from ttscale.api.arguments import as_seed
from ttscale.api.load_roles import ModelSpec, ModelSpecs
from ttscale.core.checks import check_choice, check_count, differences
from ttscale.core.cost import Cost
from ttscale.core.errors import TtscaleError
from ttscale.core.protocols import METHOD_OF, Role
from ttscale.core.requests import Score, Search, Verdict, check_temperature
from ttscale.core.types import Candidate, Outcome
from ttscale.engine.core import Ended
from ttscale.evaluation.collect.pool import Drawn, Pool, PoolBlock, PoolKind, check_digest
from ttscale.evaluation.collect.result_store import Store, check_format, read_store
from ttscale.evaluation.collect.runner import MOST_TOGETHER, Piece, ShowProgress, run_claimed, run_pieces
from ttscale.evaluation.problems.problem import AnyProblem, Problem, as_problems
from ttscale.strategies.revision import _chain
from ttscale.strategies.waves import draw

FORMAT = "pool/1"
BLOCK = 16
"""Samples drawn, stored and claimed together: a kill loses at most this many per question in progress."""
CONTEXT = 4
"""Attempts a reviser sees: the paper's four, and the default of ``SequentialRevision``."""


def draw_pool(
    problems: Iterable[AnyProblem],
    path: str | Path | None,
    samples: int = 64,
    *,
    kind: PoolKind = "samples",
    length: int = 8,
    generator: ModelSpec = None,
    verifier: ModelSpec = None,
    reviser: ModelSpec = None,
    seed: int = 0,
    temperature: float | None = None,
    progress: ShowProgress = True,
) -> Pool:
    """Draw ``samples`` solutions of each problem, or that many chains of ``length`` revisions, and judge each.

    What ``path`` holds already is not drawn again; None keeps everything in memory. Several processes may call this
    with the same path and share the work. Without a verifier (a generator given, and none for judging) there are no
    scores. ``temperature`` None is the generator's own.

    Raises ``ValueError`` for bad arguments and for a file that was drawn with another seed, other models or other
    settings; ``TtscaleError`` when draws failed, after everything else is stored.
    """
    asked = as_problems(problems)
    check_count("samples", samples)
    check_choice("kind", kind, get_args(PoolKind))
    if kind == "chains":
        check_count("length", length)
        if temperature is not None:
            raise ValueError("a reviser has its own temperature; temperature= is for a pool of samples")
    check_temperature(temperature)
    seed = as_seed(seed)
    specs = ModelSpecs(generator, verifier, reviser).check()
    drawer: Role = "generator" if kind == "samples" else "reviser"
    if drawer not in specs.roles:
        raise ValueError(f"a pool of {kind} needs a {drawer}; pass {drawer}=...")
    models = specs.load({drawer, "verifier"})
    header = {
        "ttscale": FORMAT,
        "kind": kind,
        "seed": seed,
        "models": {role: models.labels.get(role) for role in METHOD_OF},
        "temperature": temperature,
    } | ({"length": length} if kind == "chains" else {})
    with Store(path, header, lambda found: _check_header(found, header, path), _read_block) as store:
        known = {problem.id: problem for problem in asked}
        for block in store.records.values():
            if block.question in known:
                check_digest(block.question, block.digest, known[block.question], str(path))
        while pieces := _missing(asked, store, samples, header, "verifier" in models.roles):
            # A chain has one attempt out at a time, a block of samples has all of them.
            most = MOST_TOGETHER * (BLOCK if kind == "chains" else 1)
            work = partial(run_claimed, models, store, _block_data, False, most)
            if failures := run_pieces(pieces, store, work, progress=progress, unit="block"):
                key, error = next(iter(failures.items()))
                raise TtscaleError(
                    f"{len(failures)} blocks failed; the first, {key}: {type(error).__name__}: "
                    f"{str(error).rstrip(' .')}. Everything else is stored; a second run tries only these again"
                ) from error
        return Pool(kind, seed, cast(dict[str, str | None], header["models"]), store.records.values()).of(asked)


def load_pool(path: str | Path) -> Pool:
    """The pool in a file, whatever it was drawn with; ``pool.of(problems)`` brings in the references."""
    if not Path(path).is_file():
        raise ValueError(f"there is no pool at {path}; draw one with draw_pool")
    header, blocks = read_store(path, FORMAT, _read_block)
    return Pool(header["kind"], header["seed"], header["models"], blocks)


class BlockOfSolutions:
    """Draws one block and keeps all step scores, which an ``Outcome`` has no place for."""

    def __init__(self, kind: PoolKind, first: int, count: int, judged: bool, temperature: float | None) -> None:
        self._kind, self._first, self._count, self._judged = kind, first, count, judged
        self._temperature = temperature
        self.verdicts: dict[int, Verdict] = {}

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        if self._kind == "chains":
            drawn = yield from _chain(root, self._first, self._count, CONTEXT)
        else:
            keys = [root.key.child(self._first + i) for i in range(self._count)]
            drawn = yield from draw([root] * self._count, keys, temperature=self._temperature)
        asked = [i for i, one in enumerate(drawn) if one.steps and one.finish != "length"]
        if self._judged and asked:
            verdicts = cast(Sequence[Verdict], (yield [Score(drawn[i]) for i in asked]))
            self.verdicts = dict(zip(asked, verdicts, strict=True))
        return Outcome(tuple(drawn), (None,) * len(drawn), None)


def _missing(
    asked: Sequence[Problem], store: Store[PoolBlock], samples: int, header: Mapping[str, Any], judged: bool
) -> list[Piece]:
    """The blocks still to draw so that every question has ``samples``."""
    reach: dict[str, dict[int, int]] = {}
    for block in store.records.values():
        reach.setdefault(block.question, {})[block.first] = len(block.drawn)
    pieces = []
    chains = header["kind"] == "chains"
    for problem in asked:
        blocks = reach.get(problem.id, {})
        begin = 0
        while begin < samples:
            count = 1 if chains else blocks.get(begin) or min(BLOCK - begin % BLOCK, samples - begin)
            if begin not in blocks:
                drawn = header["length"] if chains else count
                strategy = BlockOfSolutions(header["kind"], begin, drawn, judged, header["temperature"])
                pieces.append(Piece(f"{problem.id}|{begin}", problem, (header["seed"], problem.id), strategy, drawn))
            begin += count
    return pieces


def _block_data(piece: Piece, ended: Ended) -> dict[str, Any]:
    assert isinstance(piece.strategy, BlockOfSolutions)
    verdicts = piece.strategy.verdicts
    drawn = []
    for i, one in enumerate(ended.outcome.candidates):
        scores = verdicts[i].step_scores if i in verdicts else ()
        tokens = sum(len(step.tokens) or step.drawn or 0 for step in one.steps)
        drawn.append(Drawn(one.answer, one.finish, scores, one.text, tokens))
    first = int(piece.key.rpartition("|")[2])
    return asdict(PoolBlock(piece.problem.id, piece.problem.digest, first, tuple(drawn), ended.cost))


def _read_block(data: Mapping[str, Any]) -> PoolBlock:
    drawn = tuple(
        Drawn(one["answer"], one["finish"], tuple(one["scores"]), one["text"], one["tokens"]) for one in data["drawn"]
    )
    return PoolBlock(data["question"], data["digest"], data["first"], drawn, Cost(**data["cost"]))


def _check_header(found: Mapping[str, Any], header: Mapping[str, Any], path: str | Path | None) -> None:
    check_format(found, FORMAT, path)
    if changed := differences(found, header):
        raise ValueError(
            f"the pool {path} was drawn with other settings ({'; '.join(changed)}). Samples of different models or "
            "seeds must not be mixed: use the same settings, or another file"
        )
