"""What the engine and the strategies cost per request, with a generator that does nothing.

    python benchmarks/engine_overhead.py [--out benchmarks/results/engine_overhead.json]

Prints microseconds per request (medians of interleaved runs) for 10 to 10,000 concurrent questions, and, where
treequest is installed (pip install treequest), its MCTS on a tree of as many nodes beside our beam search.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import ttscale
from ttscale import Candidate, Completion, Key, Question, Sample, Score, Step, Verdict
from ttscale.engine._core import Ended
from ttscale.engine._drive import Job, run

STEP = (Step("x\n", (7,)),)
LAST = (Step("Answer: 1", (8,)),)


class Nothing:
    """Ends a solution after eight steps; judges everything alike."""

    def sample(self, requests: Sequence[Sample]) -> list[Completion]:
        return [
            Completion(STEP, "open") if r.max_steps and len(r.prefix.steps) < 7 else Completion(LAST, "stop")
            for r in requests
        ]

    def score(self, requests: Sequence[Score]) -> list[Verdict]:
        return [Verdict((0.5,))] * len(requests)


def microseconds(strategy: ttscale.Strategy, questions: int, budget: int) -> float:
    """Per request, everything included."""
    nothing = Nothing()
    requests = 0

    def record(*_: object) -> None:
        nonlocal requests
        requests += 1

    def jobs() -> list[Job]:
        roots = [Candidate(Question(str(i), "q"), Key((0, str(i)))) for i in range(questions)]
        return [Job(root, strategy.search(root, budget)) for root in roots]

    def ignore(index: int, ended: Ended) -> None:
        assert ended.error is None, ended.error

    began = time.perf_counter()
    run(jobs(), {"generator": nothing, "verifier": nothing}, ignore, record, window=questions)
    return (time.perf_counter() - began) / requests * 1e6


def treequest_microseconds(nodes: int) -> float:
    """Per node of treequest's standard MCTS, with a generator that returns at once."""
    import treequest

    algorithm = treequest.StandardMCTS()
    tree = algorithm.init_tree()
    began = time.perf_counter()
    for _ in range(nodes):
        tree = algorithm.step(tree, {"action": lambda state: ("x", 0.5)})
    return (time.perf_counter() - began) / nodes * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    cases: dict[str, Callable[[], float]] = {}
    for questions in (10, 100, 1000, 10_000):
        cases[f"best-of-16, {questions} questions"] = lambda q=questions: microseconds(ttscale.BestOfN(), q, 16)
        cases[f"beam N=16 M=4, {questions} questions"] = lambda q=questions: microseconds(ttscale.Beam(), q, 16)
    cases["beam N=64 M=4, 1 question"] = lambda: microseconds(ttscale.Beam(), 1, 64)
    if importlib.util.find_spec("treequest"):
        cases["treequest MCTS, 256 nodes"] = lambda: treequest_microseconds(256)
    runs: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(options.repeats):
        for name, case in cases.items():
            runs[name].append(case())
    medians = {name: round(statistics.median(times), 1) for name, times in runs.items()}
    for name, median in medians.items():
        print(f"{name:36} {median:8.1f} us per request")
    if options.out:
        options.out.write_text(json.dumps(medians, indent=1) + "\n")


if __name__ == "__main__":
    main()
