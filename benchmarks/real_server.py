"""The remote backend against the local one, over a real server: ``transformers serve`` with the bundled generator.

    pip install 'ttscale[openai]' 'transformers[serving]'
    python benchmarks/real_server.py [--samples 2000] [--questions 100] [--out benchmarks/results/real_server.json]

1. The same question and keys through ``HFGenerator`` and through the server: the distributions of answers, compared
   by a chi-square test of homogeneity (not rejected at 1e-3; the draws themselves differ, since the noise does).
2. A run over ``--questions`` questions through a proxy that fails one request in twenty, equal to one without faults.
3. The server is killed in the middle of a search and started again; the results equal those of an undisturbed run.

About ten minutes on one CPU core; everything runs on loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from scipy.stats import chi2_contingency

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import ttscale
from fake_openai import serving
from ttscale import Candidate, Key, Question, Sample, reference
from ttscale.hf import HFGenerator
from ttscale.openai import Connection, OpenAIGenerator
from ttscale.prompts.layouts import PromptFormat

MODEL = str(reference.path("generator"))
PLAIN = PromptFormat(chat=False, template="{question}\n")
QUESTION = "Compute (17 + 5) * 3 - 48"
FAULTS = ("drop", "cut", "truncated", "none", "two", "html", "429", "500", "503")


class RealServer:
    """``transformers serve`` on a port of its own, in fp32 on the CPU."""

    def __init__(self) -> None:
        self.home = tempfile.TemporaryDirectory()
        (Path(self.home.name) / "hub").mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.start()

    def start(self) -> None:
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--device", "cpu", "--dtype", "float32"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve", MODEL, *options],
            env={**os.environ, "HF_HOME": self.home.name, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5).close()
                return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError("transformers serve did not start")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def forward(self, path: str, body: dict[str, Any]) -> Any:
        """Answer a request of the proxy."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.load(reply)


def generator(url: str) -> OpenAIGenerator:
    # One request at a time: this server reproduces a seed only then.
    return OpenAIGenerator(
        MODEL, connection=Connection(url, concurrency=1), server="transformers", prompt=PLAIN, delimiter="\n"
    )


def distributions(url: str, samples: int) -> dict[str, object]:
    """Part 1."""
    question = Question.of(QUESTION)
    root = Candidate(question, Key((0, question.id)))
    requests = [Sample(root, root.key.child(i)) for i in range(samples)]
    local = HFGenerator(MODEL).sample(requests)
    remote = asyncio.run(generator(url).sample(requests))
    counts = []
    for replies in (local, remote):
        candidates = [root.extend(r.key, c.steps, c.finish) for r, c in zip(requests, replies, strict=True)]
        counts.append(Counter(candidate.answer for candidate in candidates))
    common = [answer for answer, n in (counts[0] + counts[1]).most_common() if n >= 10]
    table = [[count[answer] for answer in common] for count in counts]
    rest = [samples - sum(row) for row in table]
    if sum(rest) >= 10:
        table = [[*row, left] for row, left in zip(table, rest, strict=True)]
    test = chi2_contingency(table)
    tokens = [sum(completion.cost.sampled_tokens for completion in replies) for replies in (local, remote)]
    return {
        "question": QUESTION,
        "samples": samples,
        "answers, local": dict(counts[0].most_common(6)),
        "answers, server": dict(counts[1].most_common(6)),
        "classes": len(table[0]),
        "chi-square": round(float(test.statistic), 2),
        "p": round(float(test.pvalue), 4),
        "tokens, local": tokens[0],
        "tokens, server": tokens[1],
    }


def solve(url: str, questions: int) -> list[ttscale.Result]:
    problems = reference.questions(questions, split="test", level=1, seed=5)
    asked = [Question(problem.id, problem.prompt) for problem in problems]
    return ttscale.solve_all(asked, 2, generator=generator(url), strategy="majority_vote", progress=False)


def through_faults(server: RealServer, questions: int) -> dict[str, object]:
    """Part 2."""
    seen: Counter[bytes] = Counter()

    def fault(n: int, body: dict[str, Any]) -> str | None:
        name = hashlib.blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=4).digest()
        seen[name] += 1
        number = int.from_bytes(name, "big")
        return FAULTS[number % len(FAULTS)] if number % 20 == 0 and seen[name] == 1 else None

    clean = solve(server.url, questions)
    with serving(answer=server.forward, fault=fault) as proxy:
        faulty = solve(proxy.url, questions)
    errors = sum(result.error is not None for result in faulty)
    return {"questions": questions, "faults": proxy.faulty, "errors": errors, "equal": faulty == clean}


def through_a_restart(server: RealServer) -> dict[str, object]:
    """Part 3: killed after the 10th reply, started again two seconds later."""
    clean = solve(server.url, 12)
    replies = 0

    def observe(event: Any) -> None:
        nonlocal replies
        replies += event["event"] == "reply"
        if replies == 10:
            server.stop()
            server.start()

    problems = reference.questions(12, split="test", level=1, seed=5)
    asked = [Question(problem.id, problem.prompt) for problem in problems]
    began = time.perf_counter()
    broken = ttscale.solve_all(
        asked, 2, generator=generator(server.url), strategy="majority_vote", progress=False, observe=observe
    )
    errors = sum(result.error is not None for result in broken)
    return {
        "questions": 12,
        "seconds": round(time.perf_counter() - began, 1),
        "errors": errors,
        "equal": broken == clean,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    server = RealServer()
    try:
        server.wait()
        report = {
            "distributions": distributions(server.url, options.samples),
            "through faults": through_faults(server, options.questions),
            "through a restart": through_a_restart(server),
        }
    finally:
        server.stop()
    print(json.dumps(report, indent=1))
    if options.out:
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n")
    assert report["distributions"]["p"] > 1e-3  # type: ignore[operator]
    assert report["through faults"]["equal"]
    assert report["through a restart"]["equal"]


if __name__ == "__main__":
    main()
