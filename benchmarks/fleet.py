"""A fleet of eight servers against one: every question once, the same results, throughput, prefix affinity.

    python benchmarks/fleet.py     # writes benchmarks/results/fleet.json

The servers are stand-ins on loopback, each a process of its own that takes from 0.6 to 1.4 seconds over a reply. In the
fleet 5% of all requests fail (dropped, or status 500), and one server is killed (SIGKILL) in the middle and started
again. The one server never fails. Both are allowed the same number of requests in flight at each server.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from _stored import RESULTS

import ttscale
from ttscale.openai import Connection, OpenAIGenerator
from ttscale.openai.pool import home_of
from ttscale.prompts.layouts import PromptFormat

SERVERS, FLIGHT, BUDGET = 8, 4, 4
LATENCY = 1.0
FAULTS = 0.05
PLAIN = PromptFormat(chat=False, template="{question}\n")


class Server:
    """A stand-in in a process of its own."""

    def __init__(self, log: Path, latency: float = LATENCY, faults: float = 0.0) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        script = Path(__file__).with_name("_fleet_server.py")
        self._command = [sys.executable, str(script), str(self.port), str(log), str(latency), str(faults)]
        self.log = log
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command)
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def requests(self) -> list[tuple[float, str, bool]]:
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return [tuple(json.loads(line)) for line in lines]


def questions(n: int) -> list[ttscale.Question]:
    return [ttscale.Question(f"q{i}", f"Question number {i}?") for i in range(n)]


def run(servers: list[Server], n: int, on_result: Any = lambda done: None) -> tuple[list[Any], float, Any]:
    """(id, result) of every question as it ended, the seconds, and the pool."""
    connection = Connection([server.url for server in servers], api_key="none", concurrency=FLIGHT)
    model = OpenAIGenerator("toy", connection=connection, server="generic", prompt=PLAIN, delimiter=None)
    began, found = time.perf_counter(), list[Any]()
    for question, result in ttscale.solve_stream(questions(n), BUDGET, generator=model, progress=False):
        found.append((question.id, result))
        on_result(len(found))
    return found, time.perf_counter() - began, connection.pool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=640, help="of the fleet; one server gets an eighth of them")
    given = parser.parse_args()
    found = measure(given.questions)
    (RESULTS / "fleet.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


def measure(n: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        few = n // SERVERS
        alone = Server(Path(folder) / "alone")
        _, slow, _ = run([alone], few)
        alone.kill()
        quick = Server(Path(folder) / "quick", latency=0.0)
        began = time.process_time()
        expected, _, _ = run([quick], n)
        milliseconds = 1000 * (time.process_time() - began) / len(quick.requests())
        quick.kill()
        fleet = [Server(Path(folder) / str(i), faults=FAULTS) for i in range(SERVERS)]
        times: dict[str, float] = {}

        def events(done: int) -> None:
            if done == n // 3:
                times["killed"] = time.time()
                fleet[0].kill()
            if done == n // 2:
                fleet[0].start()
                times["back"] = time.time()

        results, fast, pool = run(fleet, n, events)
        logs = [server.requests() for server in fleet]
        for server in fleet:
            server.kill()
        healthy = [(i, p) for i, log in enumerate(logs) for at, p, _ in log if at < times["killed"]]
        home = {q.prompt + "\n": pool.home(home_of(q.prompt)) for q in questions(n)}
        again = sum(at > times["back"] for at, _, _ in logs[0])
        asked, failed = sum(map(len, logs)), sum(bad for log in logs for _, _, bad in log)
        by_id = dict(results)
        return {
            "servers": SERVERS,
            "requests in flight at each": FLIGHT,
            "questions": n,
            "solutions of each": BUDGET,
            "every question once": Counter(id_ for id_, _ in results) == Counter(q.id for q in questions(n)),
            "errors": sum(result.error is not None for _, result in results),
            "requests": asked,
            "that failed": round(failed / asked, 3),
            "equal to one server without faults": by_id == dict(expected),
            "solutions a second, one server": round(few * BUDGET / slow, 2),
            "solutions a second, fleet": round(n * BUDGET / fast, 2),
            "speedup": round(n * BUDGET / fast / (few * BUDGET / slow), 2),
            "affinity while healthy": round(sum(home[p] == i for i, p in healthy) / len(healthy), 3),
            "requests at the killed server after its return": again,
            "CPU milliseconds a request in this process": round(milliseconds, 2),
            "ejections": pool.counts["ejections"],
            "returns": pool.counts["returns"],
        }


if __name__ == "__main__":
    main()
