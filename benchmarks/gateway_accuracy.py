"""Accuracy and usage through the gateway beside the library's own call, in front of a real engine.

    python benchmarks/gateway_accuracy.py [--engine transformers|vllm|llama.cpp] [--model PATH --questions FILE.jsonl]
        [--count 40] [--budget 4] [--max-tokens 64] [--out benchmarks/results/gateway.json]

Without a model, the bundled generator and its own questions, by `transformers serve`. With one, questions of a JSONL
file ("question" and "answer"), four worked examples before each. The official client asks the gateway; the library asks
the same server with the same seeds. Texts must be equal one by one, and the usage of the gateway's replies what the
upstream reported to the library; for vLLM also what its own counters say. Requests go one at a time but to vLLM:
the others reproduce a seed only then. vLLM and llama.cpp are those of ``make engines``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import openai
from _stored import RESULTS, keep
from gateway_load import free_port

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import ttscale
from engines.engines import NAME, Engine
from engines.gguf_in_fp32 import in_fp32
from ttscale import reference
from ttscale.answers import equivalent
from ttscale.openai import Connection, OpenAIGenerator
from ttscale.prompts.layouts import PromptFormat

SHOTS = (
    ("Tom has 5 apples and eats 2. How many apples are left?", "5 - 2 = 3\nAnswer: 3"),
    ("A box holds 4 pens. How many pens are in 6 boxes?", "4 * 6 = 24\nAnswer: 24"),
    ("Ann has 7 cards, and Bob has 9. How many cards do they have together?", "7 + 9 = 16\nAnswer: 16"),
    ("18 sweets are shared by 3 children. How many sweets does each get?", "18 / 3 = 6\nAnswer: 6"),
)


def started(command: list[str], url: str, home: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, env={**os.environ, "HF_HOME": home}, stderr=subprocess.DEVNULL)
    for _ in range(3000):
        try:
            urlopen(url, timeout=5).close()
            return process
        except OSError:
            if process.poll() is not None:
                raise SystemExit(f"it ended by itself: {command}") from None
            time.sleep(0.2)
    raise SystemExit(f"it does not answer: {command}")


def questions(options: argparse.Namespace) -> list[tuple[str, str]]:
    if options.questions is None:
        made = reference.questions(options.count, seed=7)
        return [(one.prompt, one.answer) for one in made]
    rows = [json.loads(line) for line in Path(options.questions).read_text().splitlines()[: options.count]]
    return [(row["question"], str(row["answer"])) for row in rows]


@contextmanager
def upstream_of(options: argparse.Namespace, model: str) -> Iterator[tuple[str, str, Callable[[], dict[str, float]]]]:
    """(URL, the model's name there, what it counts) of the running upstream."""
    if options.engine == "transformers":
        with tempfile.TemporaryDirectory() as home:
            Path(home, "hub").mkdir()
            port = free_port()
            run = "from transformers.cli.transformers import main; main()"
            serve = [sys.executable, "-c", run, "serve", model, "--host", "127.0.0.1", "--port", str(port)]
            process = started(
                [*serve, "--device", "cpu", "--dtype", "float32"], f"http://127.0.0.1:{port}/health", home
            )
            try:
                yield f"http://127.0.0.1:{port}/v1", model, dict
            finally:
                process.kill()
                process.wait()
        return
    gguf = Path(model).parent / "gguf" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    server = Engine(options.engine, Path(model) if options.engine == "vllm" else in_fp32(gguf))
    try:
        server.start()
        yield server.url, NAME, server.counters
    finally:
        server.stop()


def measure(
    options: argparse.Namespace, upstream: str, gateway: str, model: str, counters: Callable[[], dict[str, float]]
) -> dict[str, Any]:
    shots = SHOTS if options.model else ()
    form = PromptFormat(system=None, examples=shots, stop=("\n\n",))
    connection = Connection(upstream, concurrency=options.concurrency)
    generator = OpenAIGenerator(
        model,
        connection=connection,
        server=options.engine,
        prompt=form,
        max_new_tokens=options.max_tokens,
        token_ids=False,  # as the gateway draws whole solutions
    )
    key = os.environ.get("OPENAI_API_KEY", "none")
    client = openai.OpenAI(base_url=gateway, api_key=key, timeout=3600, max_retries=0)
    before = [
        {"role": role, "content": text}
        for pair in shots
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    equal = right = own_right = 0
    usage = counted = (0, 0)
    logged = [0.0, 0.0]
    asked = questions(options)
    for question, answer in asked:
        before_it = counters()
        reply = client.chat.completions.create(
            model=f"{model}@majority_vote:{options.budget}",
            messages=[*before, {"role": "user", "content": question}],  # type: ignore[list-item]
            seed=1,
            max_tokens=options.max_tokens,
            stop=["\n\n"],
        )
        after_it = counters()
        for i, name in enumerate(("vllm:prompt_tokens_total", "vllm:generation_tokens_total")):
            logged[i] += after_it.get(name, 0.0) - before_it.get(name, 0.0)
        own = ttscale.solve(question, options.budget, generator=generator, strategy="majority_vote", seed=1)
        found = reply.choices[0].ttscale["answer"]  # type: ignore[attr-defined]
        shown = own.text if own.text or own.answer else own.candidates[0].text
        equal += reply.choices[0].message.content == shown and found == own.answer
        right += equivalent(found, answer)
        own_right += equivalent(own.answer, answer)
        assert reply.usage is not None
        usage = (usage[0] + reply.usage.prompt_tokens, usage[1] + reply.usage.completion_tokens)
        cost = own.cost
        counted = (counted[0] + cost.prompt_tokens + cost.cached_tokens, counted[1] + cost.sampled_tokens)
    return {
        "questions": len(asked),
        "budget": options.budget,
        "equal replies": equal,
        "accuracy of the gateway": round(right / len(asked), 3),
        "accuracy of the library": round(own_right / len(asked), 3),
        "usage of the gateway's replies": usage,
        "usage the upstream reported to the library": counted,
        **({"usage the upstream counted itself for the gateway": [int(x) for x in logged]} if any(logged) else {}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("transformers", "vllm", "llama.cpp"), default="transformers")
    parser.add_argument("--model", help="folder of a chat model")
    parser.add_argument("--questions", help='JSONL file with "question" and "answer"')
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--budget", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--out", type=Path, default=RESULTS / "gateway.json")
    options = parser.parse_args()
    if (options.model is None) != (options.questions is None):
        parser.error("--model and --questions go together")
    options.concurrency = 4 if options.engine == "vllm" else 1
    path = options.model or str(reference.path("generator"))
    with upstream_of(options, path) as (behind, model, counters), tempfile.TemporaryDirectory() as home:
        settings, port = Path(home, "serve.toml"), free_port()
        settings.write_text(
            f'[upstream]\nurl = "{behind}"\nmodel = "{model}"\nkind = "{options.engine}"\n'
            f"concurrency = {options.concurrency}\n[caps]\nseconds = 3600\n"
        )
        command = [sys.executable, "-m", "ttscale", "serve", "--port", str(port), "--config", str(settings)]
        gateway = started(command, f"http://127.0.0.1:{port}/health", home)
        try:
            rows = measure(options, behind, f"http://127.0.0.1:{port}/v1", model, counters)
        finally:
            gateway.kill()
            gateway.wait()
    name = Path(path).name if options.model else "bundled generator"
    name += "" if options.engine == "transformers" else f", {options.engine}"
    keep(options.out, f"accuracy, {name}", "The gateway beside the library's own call", {"measured": rows}, False)
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
