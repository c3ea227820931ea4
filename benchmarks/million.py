"""A stream of many questions through fake roles: questions a second, and whether memory grows.

    python benchmarks/million.py [--questions 1000000]     # writes benchmarks/results/million.json

Questions are made as they are read, results are written to a folder of shards as they end, and nothing else is kept.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _stored import RESULTS

import ttscale
from ttscale.api.answer_files import AnswerFiles


class Reciter:
    """Says an answer at once."""

    def sample(self, requests: Any) -> Any:
        return [
            ttscale.Completion((ttscale.Step(f"Answer: {r.key.seed % 9}"),), "stop", ttscale.Cost(sampled_tokens=3))
            for r in requests
        ]


class Judge:
    """Finds everything fair."""

    def score(self, requests: Any) -> Any:
        return [ttscale.Verdict((0.5,)) for _ in requests]


def questions(n: int) -> Iterator[ttscale.Question]:
    return (ttscale.Question(str(i), "What is it?") for i in range(n))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=1_000_000)
    given = parser.parse_args()
    marks: list[tuple[int, float, int]] = []
    with tempfile.TemporaryDirectory() as folder, AnswerFiles(Path(folder) / "out", {}, resume=False) as answers:
        began = time.perf_counter()
        stream = ttscale.solve_stream(
            questions(given.questions), 1, generator=Reciter(), verifier=Judge(), strategy="best_of_n", progress=False
        )
        for i, (_, result) in enumerate(stream, 1):
            answers.write(result)
            if i in (10_000, given.questions):
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                marks.append((i, time.perf_counter() - began, peak))
        files = sorted((Path(folder) / "out").glob("part-*"))
        ids = {json.loads(line)["id"] for file in files for line in file.open(encoding="utf-8")}
        lines = sum(1 for file in files for _ in file.open(encoding="utf-8"))
    (_, _, early), (n, seconds, late) = marks
    found = {
        "questions": n,
        "seconds": round(seconds, 1),
        "questions a second": round(n / seconds),
        "peak MB after 10,000": round(early / 1024, 1),
        "peak MB at the end": round(late / 1024, 1),
        "growth": round(late / early, 3),
        "every id once": lines == len(ids) == n,
    }
    (RESULTS / "million.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
