"""The gateway under load: many clients, an upstream that fails and restarts, clients that hang; and its overhead.

    python benchmarks/gateway_load.py [--part load|overhead] [--requests 5000] [--clients 200] [--quick]
        [--out benchmarks/results/gateway.json]

``load``: clients ask `ttscale serve` in front of a stand-in upstream (a process each) for a budget of 2; 5% of the
upstream's replies are faults, and half way it is killed and started again. Slow clients hold their connections all the
while: some send half a body, some never read their reply, some hang up. Every request must be answered with status 200
or with an error of OpenAI's form; at the end nothing may be in progress, no socket but the kept ones open, and memory
within 10% of what it was after a first tenth. ``overhead``: one client, requests in turns to the gateway at budget 1
and to the upstream; the medians, and the spread of the upstream's own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from _stored import RESULTS, keep

HERE = Path(__file__).parent
BUDGET = 2


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextlib.contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def wait_for(port: int) -> None:
    for _ in range(1200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def upstream(port: int, faults: float) -> tuple[str, ...]:
    return (str(HERE / "_upstream.py"), str(port), str(faults), "0")


def gateway(port: int, behind: int) -> tuple[str, ...]:
    return (
        "-m",
        "ttscale",
        "serve",
        "--port",
        str(port),
        "--upstream",
        f"http://127.0.0.1:{behind}/v1",
        "--model",
        "toy",
    )


class Client:
    """One connection of a client: the fewest bytes that make a request, so that the client's own time stays small."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, text: str, **more: Any) -> tuple[int, Any]:
        """Status and JSON of the reply."""
        body = json.dumps({"model": "toy", "messages": [{"role": "user", "content": text}], **more}).encode()
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        headers = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(headers.partition("content-length:")[2].split()[0])
        content = await reader.readexactly(length)
        return int(headers.split()[1]), json.loads(content)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


async def run_load(options: argparse.Namespace) -> dict[str, Any]:
    behind, port = free_port(), free_port()
    statuses: Counter[int] = Counter()
    wrong: list[Any] = []
    queue = iter(range(options.requests))
    done, times = 0, list[float]()
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(process(*upstream(behind, 0.05)))
        wait_for(behind)
        served = stack.enter_context(process(*gateway(port, behind)))
        wait_for(port)
        watched = psutil.Process(served.pid)
        memory: dict[str, float] = {}

        async def client() -> None:
            nonlocal done
            connection = Client(port)
            for number in queue:
                begun = time.perf_counter()
                status, reply = await connection.ask(f"question {number}", budget=BUDGET)
                times.append(time.perf_counter() - begun)
                statuses[status] += 1
                proper = reply.get("choices") if status == 200 else reply.get("error", {}).get("message")
                if not proper:
                    wrong.append((status, reply))
                done += 1
            connection.close()

        async def restart() -> None:
            while done < options.requests // 10:
                await asyncio.sleep(0.05)
            memory["after a tenth"] = watched.memory_info().rss / 2**20
            while done < options.requests // 2:
                await asyncio.sleep(0.05)
            first.kill()
            await asyncio.sleep(1.0)
            stack.enter_context(process(*upstream(behind, 0.05)))

        hanging = [await slow_client(port, kind) for kind in ("half a body", "never reads", "hangs up") * 10]
        begun = time.perf_counter()
        await asyncio.gather(restart(), *(client() for _ in range(options.clients)))
        seconds = time.perf_counter() - begun
        for _, writer in hanging:
            writer.close()
        await asyncio.sleep(2.0)
        memory["at the end"] = watched.memory_info().rss / 2**20
        left = Client(port)
        metrics = await asyncio.to_thread(fetch, port, "/metrics")
        left.close()
        inbound = [c for c in watched.net_connections("tcp") if c.laddr.port == port and c.status == "ESTABLISHED"]
        outbound = [c for c in watched.net_connections("tcp") if c.raddr and c.raddr.port == behind]
    in_progress = next(line for line in metrics.splitlines() if line.startswith("ttscale_requests_in_progress "))
    return {
        "requests": options.requests,
        "clients": options.clients,
        "slow clients": len(hanging),
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "not of OpenAI's form": len(wrong),
        "seconds": round(seconds, 1),
        "requests a second": round(options.requests / seconds, 1),
        "p50, p99 (s)": [round(x, 3) for x in statistics.quantiles(times, n=100)[49::49][:2]],
        "in progress at the end": int(in_progress.split()[1]),
        "open sockets: clients, upstream": [len(inbound), len(outbound)],
        "memory (MiB)": {name: round(value, 1) for name, value in memory.items()},
        "memory grew by": round(memory["at the end"] / memory["after a tenth"] - 1, 3),
    }


async def slow_client(port: int, kind: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps({"model": "toy", "messages": [{"role": "user", "content": "slow"}], "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + (body[: len(body) // 2] if kind == "half a body" else body))
    if kind == "hangs up":
        await writer.drain()
        writer.close()
    return reader, writer


def fetch(port: int, path: str) -> str:
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as reply:
        text: str = reply.read().decode()
        return text


async def run_overhead(options: argparse.Namespace) -> dict[str, Any]:
    behind, port = free_port(), free_port()
    with process(*upstream(behind, 0.0)):
        wait_for(behind)
        with process(*gateway(port, behind)) as served:
            wait_for(port)
            watched = psutil.Process(served.pid)
            direct, through = Client(behind), Client(port)
            times: dict[str, list[float]] = {"upstream": [], "gateway": []}
            for number in range(options.requests // 5 + 50):
                if number == 50:
                    begun_cpu = sum(watched.cpu_times()[:2])
                for name, client in (("upstream", direct), ("gateway", through)):
                    begun = time.perf_counter()
                    status, _ = await client.ask(f"question {number}", seed=number)
                    times[name].append(time.perf_counter() - begun)
                    assert status == 200
            cpu = sum(watched.cpu_times()[:2]) - begun_cpu
            direct.close()
            through.close()
    cut = {name: statistics.quantiles(one[50:], n=100) for name, one in times.items()}
    return {
        "requests each": len(times["gateway"]) - 50,
        "upstream p50, p90, p99 (ms)": [round(1000 * cut["upstream"][p], 2) for p in (49, 89, 98)],
        "gateway p50, p90, p99 (ms)": [round(1000 * cut["gateway"][p], 2) for p in (49, 89, 98)],
        "p50 overhead (ms)": round(1000 * (cut["gateway"][49] - cut["upstream"][49]), 2),
        "CPU time of the gateway's process a request (ms)": round(1000 * cpu / (len(times["gateway"]) - 50), 2),
        "load average": [round(x, 1) for x in os.getloadavg()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("load", "overhead"), help="only this one (default: both)")
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="a tiny run, whose numbers mean nothing")
    parser.add_argument("--out", type=Path, default=RESULTS / "gateway.json")
    options = parser.parse_args()
    if options.quick:
        options.requests, options.clients = 100, 10
    for part, run, title in (
        ("load", run_load, "Many clients, faults, a restart of the upstream, slow clients"),
        ("overhead", run_overhead, "What the gateway adds to one request at budget 1"),
    ):
        if options.part in (None, part):
            rows = asyncio.run(run(options))
            keep(options.out, part, title, {"measured": rows}, options.quick)
            print(json.dumps({part: rows}, indent=1))


if __name__ == "__main__":
    main()
