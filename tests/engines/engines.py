"""Real engines on loopback, started for tests and benchmarks: vLLM and the llama.cpp server. See ``make engines``.

TTSCALE_ENGINES is the folder with the two virtual environments (``vllm``, ``llamacpp``); by default ``.venv-engines``
beside the Makefile.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
NAME = "smollm2"
KEY = "secret"
"""The key of engines that tests start with one."""
WITH_KEY = {"Authorization": f"Bearer {KEY}"}


def folder() -> Path:
    """Where the environments of the engines lie."""
    return Path(os.environ.get("TTSCALE_ENGINES", HERE.parents[1] / ".venv-engines"))


def python_of(engine: str) -> Path:
    """The interpreter that runs an engine."""
    return folder() / engine / "bin" / "python"


@dataclass
class Engine:
    """A "vllm" or "llama.cpp" on a port of its own; ``options`` go to its script."""

    kind: str
    model: Path
    options: tuple[str, ...] = ()
    port: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Ends in /v1."""
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Start it, on the same port as before if there was one, and wait until it answers."""
        if not self.port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        if self.kind == "vllm":
            script = [str(HERE / "vllm_server.sh"), str(python_of("vllm")), str(self.model), str(self.port)]
            command = [*script, "--served-model-name", NAME, *self.options]
        else:
            script = [str(python_of("llamacpp")), str(HERE / "llama_cpp_server.py"), str(self.model)]
            command = [*script, "--port", str(self.port), *self.options]
        self._process = subprocess.Popen(command, stdout=sys.stderr, start_new_session=True)
        _wait(self._process, f"http://127.0.0.1:{self.port}/health")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it and what it started; with SIGKILL, as a machine that fails does."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def counters(self) -> dict[str, float]:
        """What it counts of itself (/metrics), by name: with its labels, and summed over them."""
        request = urllib.request.Request(self.url.removesuffix("/v1") + "/metrics", headers=WITH_KEY)
        with urllib.request.urlopen(request, timeout=60) as page:
            lines = page.read().decode().splitlines()
        found: dict[str, float] = {}
        for line in lines:
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                for key in {name, name.partition("{")[0]}:
                    found[key] = found.get(key, 0.0) + float(value)
        return found


@contextmanager
def engine(kind: str, model: Path, *options: str) -> Iterator[str]:
    """The base URL of a running engine; it ends with the block."""
    running = Engine(kind, model, options)
    try:
        running.start()
        yield running.url
    finally:
        running.stop()


def _wait(process: subprocess.Popen[bytes], url: str, seconds: float = 600) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            if process.poll() is not None:
                raise RuntimeError(f"the engine ended by itself with code {process.returncode}") from None
            time.sleep(0.5)
    raise RuntimeError(f"the engine did not answer within {seconds:g} s")
