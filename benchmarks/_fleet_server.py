"""A stand-in server of ``fleet.py``: answers completions after a while, fails now and then, logs what it was asked.

    python benchmarks/_fleet_server.py PORT LOG LATENCY FAULTS

Loads the standard library alone, so that eight of them start at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

SPREAD = (0.6, 1.4)
"""Of the latency."""


def digest(*parts: object) -> float:
    """A number in [0, 1) that stands for chance."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=6).digest(), "big") / 2**48


async def serve(port: int, log: Path, latency: float, faults: float) -> None:
    """Answers completions; logs the time, the prompt and whether it failed."""
    count = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = [line.partition(":") for line in head.lower().splitlines()]
                length = next((int(value) for name, _, value in lines if name == "content-length"), 0)
                body = json.loads(await reader.readexactly(length)) if length else {}
                if "prompt" not in body:
                    writer.write(_reply({"object": "list", "data": [{"id": "toy", "owned_by": "someone"}]}))
                    continue
                count += 1
                chance = digest(port, os.getpid(), count)
                bad = chance < faults
                with log.open("a") as file:
                    file.write(json.dumps([time.time(), body["prompt"], bad]) + "\n")
                if bad and chance < faults / 2:
                    break
                if bad:
                    writer.write(_reply({"error": "fault"}, "500 Error"))
                    continue
                prompt, seed = body["prompt"], body["seed"]
                low, high = SPREAD
                await asyncio.sleep(latency * (low + (high - low) * digest("latency", prompt, seed)))
                text = f"Answer: {int(5 * digest(prompt, seed))}"
                usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": 3}
                writer.write(_reply({"choices": [{"index": 0, "text": text, "finish_reason": "stop"}], "usage": usage}))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


def _reply(data: Any, status: str = "200 OK") -> bytes:
    body = json.dumps(data).encode()
    return f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
