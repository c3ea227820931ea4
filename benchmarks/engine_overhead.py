"""What the engine and the strategies cost per request, with a generator that does nothing.

    python benchmarks/engine_overhead.py [--repeats 3] [--out benchmarks/results/engine_overhead.json]
    python benchmarks/engine_overhead.py --quick    # tiny sizes, to see that it works: stored nowhere without --out

Prints microseconds of CPU time per request (medians of interleaved runs) for 10 to 10,000 concurrent questions, and per
node of a tree beside the searches of treequest and its_hub on trees of the same size, where those are installed:

    pip install --target PEERS --no-deps treequest==0.3.3 ulid-py==1.1.0 its_hub==1.2.0
    PYTHONPATH=PEERS python benchmarks/engine_overhead.py
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from _stored import RESULTS, keep

import ttscale
from ttscale import Candidate, Completion, Key, Question, Sample, Score, Step, Verdict
from ttscale.engine.core import Ended
from ttscale.engine.drive import Job, run

STEPS = [Completion((Step(f"{i}\n", (i,)),), "open") for i in range(4096)]
LAST = Completion((Step("Answer: 1", (8,)),), "stop")
VERDICT = Verdict((0.5,))


class Nothing:
    """Ends a solution after so many steps, no two alike in a wave; judges everything alike."""

    def __init__(self, depth: int) -> None:
        self._open_until = depth - 1
        self.samples = self.scores = 0

    def sample(self, requests: Sequence[Sample]) -> list[Completion]:
        first, self.samples = self.samples, self.samples + len(requests)
        return [
            STEPS[(first + i) % len(STEPS)] if r.max_steps and len(r.prefix.steps) < self._open_until else LAST
            for i, r in enumerate(requests)
        ]

    def score(self, requests: Sequence[Score]) -> list[Verdict]:
        self.scores += len(requests)
        return [VERDICT] * len(requests)


def microseconds(
    strategy: ttscale.Strategy, questions: int, budget: int, depth: int = 8, per_node: bool = False
) -> float:
    """Per request, or per node (a sample and its score); everything included."""
    nothing = Nothing(depth)

    def jobs() -> list[Job]:
        roots = [Candidate(Question(str(i), "q"), Key((0, str(i)))) for i in range(questions)]
        return [Job(root, strategy.search(root, budget)) for root in roots]

    def ignore(index: int, ended: Ended) -> None:
        assert ended.error is None, ended.error

    began = time.process_time()
    run(jobs(), {"generator": nothing, "verifier": nothing}, ignore, window=questions)
    return (time.process_time() - began) / (nothing.samples + (0 if per_node else nothing.scores)) * 1e6


def bare_beam(nodes: int, depth: int) -> float:
    """Per node of our beam search, asked for its waves by a bare loop: no limits, no checks, no trace, no ledger."""
    nothing = Nothing(depth)
    began = time.process_time()
    search = ttscale.Beam().search(Candidate(Question("0", "q"), Key((0, "0"))), nodes // depth)
    wave: Any = next(search)
    try:
        while True:
            wave = search.send(nothing.sample(wave) if isinstance(wave[0], Sample) else nothing.score(wave))
    except StopIteration:
        return (time.process_time() - began) / nothing.samples * 1e6


def engine(rounds: int, tiny: bool = False) -> dict[str, dict[str, Any]]:
    """Engine and strategies, microseconds per request with a generator that does nothing."""
    cases: dict[str, Callable[[], float]] = {}
    for questions in (10, 100, 1000, 10_000) if not tiny else (2, 10):
        cases[f"best of 16, {questions:,} questions"] = partial(microseconds, ttscale.BestOfN(), questions, 16)
        cases[f"beam N = 4, {questions:,} questions"] = partial(microseconds, ttscale.Beam(), questions, 4)
    return {name: {"us per request": us} for name, us in medians(cases, rounds).items()}


def peers(rounds: int, tiny: bool = False) -> dict[str, dict[str, Any]]:
    """One question, microseconds per node (a sample and its score) of searches of 256 and 1,000 nodes."""
    found: dict[str, dict[str, Any]] = {}
    missing = {name: why for name in ("treequest", "its_hub") if (why := _missing(name))}
    beam, best = ttscale.Beam(), ttscale.BestOfN()
    for size in (256, 1000) if not tiny else (32,):
        cases: dict[str, Callable[[], float]] = {}
        for depth in (8, 40) if not tiny else (8,):
            ours = partial(microseconds, beam, 1, size // depth, depth, per_node=True)
            cases[f"{size:,} nodes: ttscale, beam M = 4, {depth} levels"] = ours
            cases[f"{size:,} nodes: ttscale, beam M = 4, {depth} levels, no engine"] = partial(bare_beam, size, depth)
            if "its_hub" not in missing:
                cases[f"{size:,} nodes: its_hub, beam M = 4, {depth} levels"] = partial(its_hub_beam, size, depth)
        cases[f"{size:,} nodes: ttscale, best of n"] = partial(microseconds, best, 1, size, per_node=True)
        if "its_hub" not in missing:
            cases[f"{size:,} nodes: its_hub, best of n"] = partial(its_hub_best_of_n, size)
        if "treequest" not in missing:
            cases[f"{size:,} nodes: treequest, breadth-first, in place"] = partial(treequest_bfs, size)
            cases[f"{size:,} nodes: treequest, MCTS, in place"] = partial(treequest_mcts, size, True)
            if size < 1000:  # it copies the whole tree for every node: 20 s at 1,000
                cases[f"{size:,} nodes: treequest, MCTS as it comes"] = partial(treequest_mcts, size, False)
        made = medians(cases, rounds)
        base = made[f"{size:,} nodes: ttscale, beam M = 4, 8 levels"]
        found |= {name: {"us per node": us, "slower": us / base} for name, us in made.items()}
    return found | {name: {"us per node": f"not installed: {why}"} for name, why in missing.items()}


def _missing(package: str) -> str:
    """Why a package cannot be used; empty if it can."""
    try:
        __import__(package)
    except ImportError as error:
        return str(error)
    return ""


def treequest_mcts(nodes: int, inplace: bool) -> float:
    """Per node of treequest's MCTS, with a generator that returns at once."""
    import treequest  # type: ignore[import-not-found]

    return _treequest(treequest.StandardMCTS(), nodes, inplace)


def treequest_bfs(nodes: int) -> float:
    """Per node of treequest's breadth-first search, four nodes of four children per level."""
    import treequest

    return _treequest(treequest.TreeOfThoughtsBFSAlgo(breadth_limit=4, size_limit=4), nodes, True)


def _treequest(algorithm: Any, nodes: int, inplace: bool) -> float:
    state = algorithm.init_tree()
    began = time.process_time()
    for _ in range(nodes):
        state = algorithm.step(state, {"action": lambda parent: ("x", 0.5)}, inplace=inplace)
    return (time.process_time() - began) / nodes * 1e6


def its_hub_beam(nodes: int, depth: int) -> float:
    """Per node of its_hub's beam search over so many levels, with models that answer at once."""
    from its_hub.api import AbstractLanguageModel, AbstractProcessRewardModel  # type: ignore[import-not-found]
    from its_hub.core.algorithms.beam_search import BeamSearch  # type: ignore[import-not-found]
    from its_hub.core.lms.step_generation import StepGeneration  # type: ignore[import-not-found]

    made = 0

    class Model(AbstractLanguageModel):  # type: ignore[misc]
        async def agenerate(self, messages: Any, stop: Any = None, **_: Any) -> Any:
            nonlocal made
            made += len(messages)
            return [{"role": "assistant", "content": "x"}] * len(messages)

    class Reward(AbstractProcessRewardModel):  # type: ignore[misc]
        def score(self, prompt_or_messages: Any, steps: Any) -> Any:
            return [0.5] * len(steps)

        async def ascore(self, prompt_or_messages: Any, steps: Any) -> Any:
            return self.score(prompt_or_messages, steps)

    search = BeamSearch(StepGeneration(max_steps=depth - 1, step_token="\n"), Reward(), beam_width=4)
    began = time.process_time()
    asyncio.run(search.ainfer(Model(), "q", max(4, nodes // depth // 4 * 4), return_response_only=False))
    return (time.process_time() - began) / made * 1e6


def its_hub_best_of_n(nodes: int) -> float:
    """Per sample of its_hub's best-of-n, with models that answer at once."""
    from its_hub.api import AbstractLanguageModel, AbstractOutcomeRewardModel
    from its_hub.core.algorithms.bon import BestOfN  # type: ignore[import-not-found]

    made = 0

    class Model(AbstractLanguageModel):  # type: ignore[misc]
        async def agenerate(self, messages: Any, stop: Any = None, **_: Any) -> Any:
            raise NotImplementedError

        async def agenerate_single(self, messages: Any, stop: Any = None, **_: Any) -> Any:
            nonlocal made
            made += 1
            return {"role": "assistant", "content": f"x {made}"}

    class Reward(AbstractOutcomeRewardModel):  # type: ignore[misc]
        def score(self, messages: Any, **_: Any) -> Any:
            return [0.5] * len(messages)

        async def ascore(self, messages: Any, orchestrator: Any = None, **_: Any) -> Any:
            return self.score(messages)

    began = time.process_time()
    asyncio.run(BestOfN(Reward()).ainfer(Model(), "q", nodes, return_response_only=False))
    return (time.process_time() - began) / nodes * 1e6


def medians(cases: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median of each case over rounds in which every case is run once, in turn."""
    runs: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            runs[name].append(case())
    return {name: statistics.median(times) for name, times in runs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, once: shows that everything runs")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    out = options.out or (None if options.quick else RESULTS / "engine_overhead.json")
    for part in (engine, peers):
        found = part(1 if options.quick else options.repeats, options.quick)
        for name, row in found.items():
            cells = (f"{key} {cell:.1f}" if isinstance(cell, float) else f"{key} {cell}" for key, cell in row.items())
            print(f"{name:44}" + "  ".join(cells))
        if out is not None:
            keep(out, part.__name__, (part.__doc__ or "").strip(), found, options.quick)


if __name__ == "__main__":
    main()
