"""A stream of many questions through fake roles: questions a second, whether memory grows, what a kill costs.

    python benchmarks/million.py [--questions 1000000]              # speed and memory
    python benchmarks/million.py --kills 10 [--questions 1000000]   # killed at random moments and resumed

Questions are made as they are read, results are written to a folder of shards as they end, and nothing else is kept.
Both write into benchmarks/results/million.json.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _stored import RESULTS

import ttscale
from ttscale.api.answer_files import AnswerFiles

EVERY = 10_000
"""Rows between two lines of the worker."""


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


def work(out: Path, questions: int) -> None:
    """Answer what has no row yet; every 10,000 rows a line with rows, seconds, CPU seconds, peak kilobytes."""
    with AnswerFiles(out, {}, resume=True) as answers:
        began = time.perf_counter()
        asked = (ttscale.Question(str(i), "What is it?") for i in range(questions))
        stream = ttscale.solve_stream(
            (question for question in asked if question not in answers),
            1,
            generator=Reciter(),
            verifier=Judge(),
            strategy="best_of_n",
            progress=False,
        )
        rows = 0
        for rows, (_, result) in enumerate(stream, 1):
            answers.write(result)
            if rows % EVERY == 0:
                _tell(rows, began)
        _tell(rows, began)


def _tell(rows: int, began: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([rows, time.perf_counter() - began, time.process_time(), peak]), flush=True)


def ids_of(out: Path) -> Iterator[int]:
    """The id of every row."""
    for file in sorted(out.glob("part-*")):
        with file.open(encoding="utf-8") as lines:
            yield from (int(json.loads(line)["id"]) for line in lines)


def once_each(out: Path, questions: int) -> bool:
    """Whether the ids of the rows are those of the questions, each once."""
    seen = bytearray(questions)
    for id_ in ids_of(out):
        seen[id_] += 1
    return seen == bytearray(b"\1") * questions


def whole(questions: int) -> dict[str, Any]:
    """Speed and memory of one run."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        lines = _worker(out, questions).communicate()[0].splitlines()
        first, last = json.loads(lines[0]), json.loads(lines[-1])
        return {
            "questions": last[0],
            "seconds": round(last[1], 1),
            "CPU seconds": round(last[2], 1),
            "questions a second": round(last[0] / last[1]),
            f"peak MB after {EVERY:,}": round(first[3] / 1024, 1),
            "peak MB at the end": round(last[3] / 1024, 1),
            "growth": round(last[3] / first[3], 3),
            "every id once": once_each(out, questions),
        }


def killed(questions: int, kills: int) -> dict[str, Any]:
    """A run that is killed (SIGKILL) ``kills`` times, each time resumed."""
    dice = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        rows_at_kill: list[int] = []
        for _ in range(kills):
            worker = _worker(out, questions)
            assert worker.stdout is not None
            for _ in range(dice.randint(1, max(1, questions // EVERY // kills))):
                worker.stdout.readline()
            time.sleep(dice.random() * 2)  # a random moment, most likely in the middle of a batch
            done = worker.poll() is not None
            worker.kill()
            worker.wait()
            assert not done, "the run was over before it could be killed"
            rows_at_kill.append(sum(1 for file in out.glob("part-*") for _ in file.open("rb")))
        _worker(out, questions).communicate()
        return {"questions": questions, "rows at each kill": rows_at_kill, "every id once": once_each(out, questions)}


def _worker(out: Path, questions: int) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--work", str(out), "--questions", str(questions)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.questions)
        return
    found = killed(given.questions, given.kills) if given.kills else whole(given.questions)
    stored = RESULTS / "million.json"
    results = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else {}
    results["killed" if given.kills else "whole"] = found
    stored.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
