"""A thousand questions over a server that fails 5% of the time: nothing lost, nothing doubled, memory flat.

    python benchmarks/soak.py [--questions 1000] [--budget 8] [--out benchmarks/results/soak.json]

The server is the toy one of the tests, in a process of its own; one request in twenty is dropped, cut, answered with
429, 500 or 503, truncated, or has no choice or two. Replies are streamed to a trace file. Checked: every question has a
result without an error, in order; the trace holds every key once; the results equal those of a run without faults; and
the peak memory of this process, sampled as questions end, grows by less than 10% between question 200 and the last.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import ttscale
from ttscale import Beam, Score, Verdict
from ttscale.openai import Connection, OpenAIGenerator
from ttscale.prompts.layouts import PromptFormat

PLAIN = PromptFormat(chat=False, template="{question}\n<assistant>")
FAULTS = ("drop", "cut", "truncated", "none", "two", "html", "429", "500", "503")


def serve(pipe: Pipe, share: float) -> None:
    """The toy server, failing ``share`` of the requests, each twice at most; says how often when told to end."""
    from fake_openai import serving

    tries: dict[bytes, int] = {}

    def fault(n: int, body: dict[str, object]) -> str | None:
        name = hashlib.blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=8).digest()
        tries[name] = tries.get(name, 0) + 1
        chance = hashlib.blake2b(name + bytes([tries[name]]), digest_size=4).digest()
        if tries[name] > 2 or int.from_bytes(chance, "big") >= share * 2**32:
            return None
        return FAULTS[chance[0] % len(FAULTS)]

    with serving(fault=fault) as server:
        server.requests = Counted()
        pipe.send(server.url)
        pipe.recv()
        pipe.send((len(server.requests), server.faulty))


class Counted(list[object]):
    """Counts what it is given and keeps nothing, so that the server's memory is flat too."""

    total = 0

    def append(self, item: object) -> None:
        self.total += 1

    def __len__(self) -> int:
        return self.total


class Toy:
    """Scores a step by a hash of the text up to it."""

    def score(self, requests: Sequence[Score]) -> list[Verdict]:
        verdicts = []
        for request in requests:
            texts = [step.text for step in request.candidate.steps]
            prefixes = ["".join(texts[: i + 1]).encode() for i in range(len(texts))]
            verdicts.append(Verdict(tuple(hashlib.blake2b(p, digest_size=1).digest()[0] / 255 for p in prefixes)))
        return verdicts


def memory() -> float:
    """Peak resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def run(questions: list[str], budget: int, share: float, trace: Path) -> tuple[list[ttscale.Result], dict[str, object]]:
    """Solve everything over a fresh server; returns the results and what was measured."""
    parent, child = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(child, share))
    process.start()
    url = parent.recv()

    async def nap(seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))

    peaks: list[float] = []

    def observe(event: ttscale.core.trace.Event) -> None:
        if event["event"] == "end":
            peaks.append(memory())

    role = OpenAIGenerator("toy", connection=Connection(url, sleep=nap), server="vllm", prompt=PLAIN, delimiter="\n")
    began = time.perf_counter()
    results = ttscale.solve_all(
        questions,
        budget,
        generator=role,
        verifier=Toy(),
        strategy=Beam(width=2),
        resume=trace,
        observe=observe,
        progress=False,
    )
    seconds = time.perf_counter() - began
    parent.send("end")
    requests, faulty = parent.recv()
    process.join()
    measured = {
        "requests": requests,
        "faulty": faulty,
        "seconds": round(seconds, 1),
        "peak MiB at question 200": round(peaks[min(199, len(peaks) - 1)], 1),
        "peak MiB at the end": round(peaks[-1], 1),
    }
    return results, measured


def keys_in(trace: Path) -> tuple[int, int]:
    """(replies in the trace, distinct requests among them)."""
    seen: set[str] = set()
    replies = 0
    with open(trace, encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            if event["event"] == "reply":
                replies += 1
                seen.add(json.dumps([event["op"], event["key"], event["digest"]]))
    return replies, len(seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--budget", type=int, default=4)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    questions = [f"question {i}" for i in range(options.questions)]
    report: dict[str, object] = {"questions": len(questions), "budget": options.budget, "strategy": "Beam(width=2)"}
    with tempfile.TemporaryDirectory() as folder:
        faulty, report["with 5% faults"] = run(questions, options.budget, 0.05, Path(folder) / "faulty.jsonl")
        replies, distinct = keys_in(Path(folder) / "faulty.jsonl")
        clean, report["without faults"] = run(questions, options.budget, 0.0, Path(folder) / "clean.jsonl")
    lost = sum(result.error is not None or not result.candidates for result in faulty)
    measured = report["with 5% faults"]
    assert isinstance(measured, dict)
    growth = measured["peak MiB at the end"] / measured["peak MiB at question 200"] - 1
    report |= {
        "lost": lost,
        "replies in the trace": replies,
        "of which doubled": replies - distinct,
        "equal to the run without faults": faulty == clean,
        "growth of peak memory after question 200": f"{growth:.1%}",
    }
    print(json.dumps(report, indent=1))
    if options.out:
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n")
    in_order = [result.question.prompt for result in faulty] == questions
    assert lost == 0
    assert in_order
    assert replies == distinct
    assert faulty == clean
    assert growth < 0.1


if __name__ == "__main__":
    main()
