"""Real engines on loopback, started for tests and benchmarks: vLLM and the llama.cpp server. See ``make engines``.

TTSCALE_ENGINES is the folder with the two virtual environments (``vllm``, ``llamacpp``); by default ``.venv-engines``
beside the Makefile.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
NAME = "smollm2"


def folder() -> Path:
    """Where the environments of the engines lie."""
    return Path(os.environ.get("TTSCALE_ENGINES", HERE.parents[1] / ".venv-engines"))


def python_of(engine: str) -> Path:
    """The interpreter that runs an engine."""
    return folder() / engine / "bin" / "python"


@contextmanager
def engine(kind: str, model: Path, *options: str) -> Iterator[str]:
    """The base URL of a running "vllm" or "llama.cpp"; it ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    if kind == "vllm":
        script = str(HERE / "vllm_server.sh")
        command = [script, str(python_of("vllm")), str(model), port, "--served-model-name", NAME, *options]
    else:
        script = str(HERE / "llama_cpp_server.py")
        command = [str(python_of("llamacpp")), script, str(model), "--port", port, *options]
    process = subprocess.Popen(command, stdout=sys.stderr, start_new_session=True)
    try:
        _wait(process, f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


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
