"""Feeds mutated traces, policies, prompt and verifier settings, server replies and command lines to what reads them.

    python benchmarks/fuzz_inputs.py [--seconds 240] [--seed 0] [--out benchmarks/results/fuzz_inputs.json]

Starts from valid inputs and breaks them: bytes changed, lines torn, JSON values swapped for others, arguments shuffled.
Every reader may refuse its input in its own words (``ValueError`` and ttscale's errors; exit code 2 with a line on
standard error for the command), and may do nothing else: no other exception, nothing over five seconds of computing.
Prints how many inputs each reader was given. The answer reader has a fuzzer of its own (``fuzz_answers.py``).
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # names on the command line are looked up here only

import ttscale
from ttscale import (
    Beam,
    BestOfN,
    Completion,
    Policy,
    Sample,
    Score,
    SequentialRevision,
    Step,
    TtscaleError,
    Verdict,
    viz,
)
from ttscale.cli.main import main as command
from ttscale.core.trace import Trace, read_events
from ttscale.hf.verifiers.input_format import VerifierFormat
from ttscale.openai.failures import MalformedReply
from ttscale.openai.reply import read_first_token, read_owner, read_rows, read_written
from ttscale.prompts.layouts import PromptFormat
from ttscale.strategies.policy import default_policy

REFUSALS = (ValueError, TtscaleError, RuntimeError)
DEADLINE = 5.0
ODD: list[Any] = [None, True, -1, 0, 1e400, float("nan"), 10**30, "", "\x00", "\ud800", "x" * 5000, [], {}, [[]]]
ODD += [{"": 0}, "NaN", [1] * 50, {"a": {"a": {"a": 1}}}]


def broken_json(value: Any, rng: random.Random) -> Any:
    """A copy with up to three values replaced, removed, doubled or moved."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        places: list[tuple[Any, Any]] = []
        stack = [value]
        while stack:
            one = stack.pop()
            keys: Sequence[Any] = (
                list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
            )
            places += [(one, key) for key in keys]
            stack += [one[key] for key in keys]
        if not places:
            return rng.choice(ODD)
        holder, key = rng.choice(places)
        other, place = rng.choice(places)
        kind = rng.random()
        if kind < 0.5:
            holder[key] = copy.deepcopy(rng.choice(ODD))
        elif kind < 0.7:
            del holder[key]
        elif kind < 0.85:
            with contextlib.suppress(KeyError, IndexError):  # may have been removed
                holder[key] = copy.deepcopy(other[place])
        elif isinstance(holder, dict):
            holder[str(key) + "x"] = holder.pop(key)
        else:
            holder.append(copy.deepcopy(holder[key]))
    return value


def broken_bytes(data: bytes, rng: random.Random) -> bytes:
    """A copy with up to five runs of bytes cut, repeated or overwritten."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(changed) + 1)
        run = rng.randint(1, 40)
        kind = rng.random()
        if kind < 0.3:
            del changed[at : at + run]
        elif kind < 0.6:
            changed[at:at] = bytes(rng.randrange(256) for _ in range(run % 6 + 1))
        elif kind < 0.8:
            changed[at:at] = changed[at : at + run]
        else:
            del changed[at:]
    return bytes(changed)


class Toy:
    """Two-step solutions; everything is rather good."""

    def sample(self, requests: Sequence[Sample]) -> list[Completion]:
        return [
            Completion((Step("a\n", (1,)),), "open")
            if request.max_steps and not request.prefix.steps
            else Completion((Step("Answer: 1", (2,), -0.5, 1.0),), "stop")
            for request in requests
        ]

    def score(self, requests: Sequence[Score]) -> list[Verdict]:
        return [Verdict((0.5,) * len(request.candidate.steps)) for request in requests]

    def revise(self, requests: Sequence[Any]) -> list[Completion]:
        return [Completion((Step("Answer: 2", (3,)),), "stop")] * len(requests)


STRATEGIES = (Beam(width=2), BestOfN(), SequentialRevision())


def solve(trace: Path, strategy: ttscale.Strategy) -> list[ttscale.Result]:
    toy = Toy()
    return ttscale.solve_all(
        ["q", "r"], 4, generator=toy, verifier=toy, reviser=toy, strategy=strategy, resume=trace, progress=False
    )


def resumed_trace(folder: Path, rng: random.Random, seeds: Sequence[bytes]) -> Callable[[], object]:
    """A trace that is read, drawn as a tree, and resumed from."""
    which = rng.randrange(len(seeds))
    data = seeds[which]
    if rng.random() < 0.5:
        lines = [json.loads(line) for line in data.splitlines()]
        at = rng.randrange(len(lines))
        lines[at] = broken_json(lines[at], rng)
        data = "".join(json.dumps(line) + "\n" for line in lines).encode(errors="replace")
    else:
        data = broken_bytes(data, rng)
    path = folder / "trace.jsonl"
    path.write_bytes(data)

    def read() -> None:
        with contextlib.suppress(*REFUSALS):
            list(read_events(path))
        with contextlib.suppress(*REFUSALS):
            viz.html(viz.tree(Trace(ttscale.Question.of("q"), path=path)))
        solve(path, STRATEGIES[which])

    return read


def policy(folder: Path, rng: random.Random, seed: Any) -> Callable[[], object]:
    path = folder / "policy.json"
    if rng.random() < 0.7:
        path.write_text(json.dumps(broken_json(seed, rng)), encoding="utf-8", errors="replace")
    else:
        path.write_bytes(broken_bytes(json.dumps(seed).encode(), rng))

    def read() -> None:
        loaded = Policy.load(path)
        loaded.lookup(0.5, 16)
        json.dumps(loaded.to_json())

    return read


def settings(rng: random.Random) -> Callable[[], object]:
    prompt = {"chat": False, "system": "s", "template": "{question}", "examples": [["a", "b"]], "stop": ["x"]}
    verifier = {"kind": "prm", "separator": "\n", "prompt": prompt, "attempts": True, "scale": 1.0}
    broken = broken_json(verifier, rng)

    def read() -> None:
        with contextlib.suppress(*REFUSALS):
            VerifierFormat.from_json(broken)
        PromptFormat.from_json(broken["prompt"] if isinstance(broken, dict) and "prompt" in broken else {})

    return read


def reply(rng: random.Random) -> Callable[[], object]:
    logprobs = {"content": [{"token": "a", "logprob": -1, "top_logprobs": [{"token": "Yes", "logprob": -0.1}]}]}
    choice = {
        "text": "a",
        "message": {"content": "a"},
        "finish_reason": "stop",
        "stop_reason": "\n",
        "logprobs": logprobs,
    }
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}}
    data = {"choices": [choice], "usage": usage, "data": [{"data": [[0.5, 0.5]], "owned_by": "vllm"}]}
    broken = broken_json(data, rng)

    def read() -> None:
        read_owner(broken)
        for chat in (False, True):
            for one in (lambda: read_written(broken, chat), lambda: read_first_token(broken)):  # noqa: B023
                with contextlib.suppress(MalformedReply, *REFUSALS):
                    one()
        with contextlib.suppress(MalformedReply, *REFUSALS):
            read_rows(broken)

    return read


WORDS = ["solve", "train", "eval", "sweep", "report", "fit-policy", "--budget", "--strategy", "--json", "--seed"]
WORDS += [
    "--generator",
    "--verifier",
    "--help",
    "--limit",
    "--resume",
    "Compute 2 + 3",
    "Compute 1 / 0",
    "",
    "-1",
    "64",
]
WORDS += ["beam", "nonsense", "/nowhere/at/all", "\x00", "é🙂", "--", "-", "x" * 3000, "1e9", "Compute (((", "NaN"]


def arguments(rng: random.Random) -> Callable[[], object]:
    words = [rng.choice(WORDS) for _ in range(rng.randint(0, 6))]
    # What is in order and does run is kept short; the other commands would work for minutes.
    words = ["2" if word == "64" else word for word in words]
    words = ["solve", *words] if rng.random() < 0.7 else [*words, "--no-such-option"]

    def run() -> None:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), contextlib.suppress(SystemExit):
            command(words)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    slowest: dict[str, float] = {}
    inputs: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        folder = Path(name)
        traces = []
        for i, strategy in enumerate(STRATEGIES):
            solve(folder / f"seed{i}.jsonl", strategy)
            traces.append((folder / f"seed{i}.jsonl").read_bytes())
        valid = default_policy(frozenset({"generator", "verifier", "reviser"})).to_json()
        targets: dict[str, Callable[[], Callable[[], object]]] = {
            "trace": lambda: resumed_trace(folder, rng, traces),
            "policy": lambda: policy(folder, rng, valid),
            "settings": lambda: settings(rng),
            "server reply": lambda: reply(rng),
            "command line": lambda: arguments(rng),
        }
        for target, make in targets.items():
            end = time.monotonic() + options.seconds / len(targets)
            inputs[target], slowest[target] = 0, 0.0
            while time.monotonic() < end:
                try_it = make()
                began = time.process_time()
                with contextlib.suppress(*REFUSALS):
                    try_it()
                took = time.process_time() - began
                inputs[target] += 1
                slowest[target] = max(slowest[target], round(took, 3))
                assert took < DEADLINE or inputs[target] < 50, f"{target} took {took:.1f} s"  # the first load models
    report = {"inputs": inputs, "slowest call, seconds of computing": slowest, "seed": options.seed}
    print(json.dumps(report, indent=1))
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
