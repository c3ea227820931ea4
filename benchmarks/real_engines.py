"""Real engines with SmolLM2 against the Hugging Face backend and against its_hub's client. See ``make engines``.

    python benchmarks/real_engines.py MODEL_FOLDER [--parts greedy,draws,best_of,speed] [--engine vllm] [--prompts 20]
        [--draws 1000] [--sizes 16,64] [--out benchmarks/results/real_engines.json]

1. greedy: the text of each prompt, whole and step by step through a beam of one, against the local backend: equal up to
   the first token where the two likeliest are within 1e-3 in logit.
2. draws: answers of ``--draws`` samples of one question through both, compared by a chi-square test.
3. best_of: 16 draws a question through this library and through its_hub on the same server, in turns: requests and
   prompt tokens as the server counts them, and time.
4. speed: solutions a second of a majority vote, by the local backend, the served engine and vLLM in a process.

``--engine llama.cpp`` runs 1 and 2 on the llama.cpp server with the weights of the model's GGUF file in fp32. Engines
are started from the environments that ``make engines`` sets up, one thread each. Part 3 needs ``pip install its_hub
backoff aiohttp``: its_hub's client imports both without asking for them. ``--parts in_process`` is what part 4 runs in
vLLM's own environment; ``--parts local`` and ``--parts served`` are its other thirds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _stored import RESULTS, keep

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import ttscale
from engines.engines import NAME, Engine, python_of
from engines.gguf_in_fp32 import in_fp32
from ttscale import Candidate, Key, Question, Sample
from ttscale.prompts.layouts import PromptFormat

ROOT = Path(__file__).parent.parent
FORM = PromptFormat(system=None)
NEAR = 1e-3
TOKENS = 40
THINGS = ("apples", "marbles", "books", "coins", "stamps")
AT_ONCE, BATCHED = 100, ("--max-num-batched-tokens", "8192")
"""Draws asked for together, and prompt tokens that vLLM reads together. Its CPU build ends itself where it cuts the
prompt of a draw with a seed in two."""
COLOUR = "Name one colour. Reply with one word."


def prompts(n: int) -> list[str]:
    return [f"Tom has {3 + i} {THINGS[i % 5]} and buys {2 + i % 4} more. How many has he? Explain." for i in range(n)]


def remote(server: Engine, **settings: Any) -> Any:
    from ttscale.openai import OpenAIGenerator

    given = {"prompt": FORM, "delimiter": "\n", "max_new_tokens": TOKENS, **settings}
    return OpenAIGenerator(NAME, server.url, server=server.kind, **given)


def reply(role: Any, request: Sample) -> Any:
    found = role.sample([request])
    return (asyncio.run(found) if asyncio.iscoroutine(found) else found)[0]


def whole(role: Any, question: Question) -> Candidate:
    root = Candidate(question, Key((0, question.id)))
    got = reply(role, Sample(root, root.key.child(0), None, 0.0))
    return root.extend(root.key.child(0), got.steps, got.finish)


def by_steps(role: Any, question: Question) -> Candidate:
    """A beam of one."""
    candidate = Candidate(question, Key((0, question.id)))
    while candidate.finish == "open" and len(candidate.tokens) < TOKENS:
        got = reply(role, Sample(candidate, candidate.key.child(0), 1, 0.0))
        candidate = candidate.extend(candidate.key.child(0), got.steps, got.finish)
    return candidate


def greedy(server: Engine, model: Any, n: int) -> dict[str, object]:
    """Part 1; ``model`` is an ``HFModel``."""
    from ttscale.hf import HFGenerator

    local, far = HFGenerator(model, prompt=FORM, delimiter="\n", max_new_tokens=TOKENS), remote(server)
    encode = model.tokenizer.apply_chat_template
    outcomes: dict[str, Counter[str]] = {"whole": Counter(), "step by step": Counter()}
    for prompt in prompts(n):
        question = Question.of(prompt)
        start = encode([{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=False)
        ours = by_steps(local, question)
        for name, theirs in (("whole", whole(far, question)), ("step by step", by_steps(far, question))):
            outcomes[name][compared(model, list(start), ours, theirs)] += 1
    return {"prompts": n, **{name: dict(counts) for name, counts in outcomes.items()}}


def compared(model: Any, start: list[int], ours: Candidate, theirs: Candidate) -> str:
    """Whether two texts agree, and if not, whether they part at a near tie."""
    short = min(len(ours.text), len(theirs.text))
    if ours.text[:short] == theirs.text[:short]:
        return "equal"
    mine, other = list(ours.tokens), list(theirs.tokens)
    if not other:  # a whole draw comes without the tokens of each step
        other = model.tokenizer(theirs.text, add_special_tokens=False)["input_ids"]
    at = next(i for i, (a, b) in enumerate(zip(mine, other, strict=False)) if a != b)
    with torch.no_grad():
        logits = model.model(torch.tensor([start + mine[:at]])).logits[0, -1]
    top = logits.topk(2).values
    return "near tie" if float(top[0] - top[1]) < NEAR else f"parted, {float(top[0] - top[1]):.3f} apart"


def draws(server: Engine, model: Any, n: int) -> dict[str, object]:
    """Part 2; ``model`` is an ``HFModel``."""
    from scipy.stats import chi2_contingency

    from ttscale.hf import HFGenerator

    question = Question.of(COLOUR)
    root = Candidate(question, Key((0, question.id)))
    requests = [Sample(root, root.key.child(i)) for i in range(n)]
    local = HFGenerator(model, prompt=FORM, delimiter=None, max_new_tokens=4).sample(requests)
    role = remote(server, delimiter=None, max_new_tokens=4)
    far = [one for at in range(0, n, AT_ONCE) for one in asyncio.run(role.sample(requests[at : at + AT_ONCE]))]
    counts = [Counter(first_word("".join(step.text for step in one.steps)) for one in some) for some in (local, far)]
    common = [word for word, count in (counts[0] + counts[1]).most_common() if count >= 10]
    table = [[*(count[word] for word in common), n - sum(count[word] for word in common)] for count in counts]
    test = chi2_contingency(table)
    return {
        "draws": n,
        "answers, local": dict(counts[0].most_common(5)),
        f"answers, {server.kind}": dict(counts[1].most_common(5)),
        "classes": len(table[0]),
        "chi-square": round(float(test.statistic), 2),
        "degrees of freedom": int(test.dof),
        "p": round(float(test.pvalue), 4),
        "requests": sum(one.cost.requests for one in far),
    }


def first_word(text: str) -> str:
    found = re.search(r"\w+", text)
    return found[0].lower() if found else ""


def best_of(server: Engine, n: int) -> dict[str, object]:
    """Part 3: 16 draws a question and a vote."""
    from its_hub.core.algorithms.self_consistency import SelfConsistency
    from its_hub.core.lms.openai_lm import OpenAICompatibleLanguageModel

    def ours(prompt: str) -> None:
        generator = remote(server, temperature=0.8, delimiter=None)
        ttscale.solve(prompt, 16, generator=generator, strategy="majority_vote", progress=False)

    def theirs(prompt: str) -> None:
        model = OpenAICompatibleLanguageModel(
            endpoint=server.url,
            api_key=os.environ.get("OPENAI_API_KEY", "none"),
            model_name=NAME,
            temperature=0.8,
            max_tokens=TOKENS,
        )
        asyncio.run(SelfConsistency().ainfer(model, prompt, budget=16))

    spent: dict[str, list[dict[str, float]]] = {"ttscale": [], "its_hub": []}
    ours(COLOUR)  # the first request of a server takes longer
    for i, prompt in enumerate(prompts(n)):
        pair = [("ttscale", ours), ("its_hub", theirs)]
        for mark, (name, run) in zip("ab", pair if i % 2 else pair[::-1], strict=True):
            # Prompts of one length that differ from the first word on: neither finds the other's in the cache.
            spent[name].append(measured(server, run, f"Case {mark}. {prompt}"))
    return {
        "questions": n,
        **{
            name: {field: round(statistics.median(one[field] for one in runs), 2) for field in runs[0]}
            for name, runs in spent.items()
        },
    }


def measured(server: Engine, run: Callable[[str], None], prompt: str) -> dict[str, float]:
    """What one call cost, as the server's own counters have it."""
    before, began = server.counters(), time.perf_counter()
    run(prompt)
    seconds = time.perf_counter() - began
    after = server.counters()
    named = {
        "prompt tokens": "vllm:prompt_tokens_total",
        "found in the cache": "vllm:prefix_cache_hits_total",
        "sampled tokens": "vllm:generation_tokens_total",
    }
    found = {name: after[field] - before.get(field, 0.0) for name, field in named.items()}
    answered = {
        name: value - before.get(name, 0.0) for name, value in after.items() if name.startswith("http_requests_total{")
    }
    requests = sum(count for name, count in answered.items() if 'completions"' in name)
    others = sum(count for name, count in answered.items() if 'tokenize"' in name or '/models"' in name)
    computed = found["prompt tokens"] - found["found in the cache"]
    return {
        "requests for draws": requests,
        "other requests": others,
        **found,
        "prompt tokens computed": computed,
        "seconds": seconds,
    }


def speed(role: Any, sizes: list[int]) -> dict[str, object]:
    """Part 4, for one backend: the mean of two questions at each N, after a first one that counts for nothing."""

    def solve(prompt: str, n: int) -> tuple[float, int]:
        began = time.perf_counter()
        result = ttscale.solve(prompt, n, generator=role, strategy="majority_vote", progress=False)
        return time.perf_counter() - began, result.cost.sampled_tokens

    solve(COLOUR, 16)
    table: dict[str, object] = {}
    for n in sizes:
        runs = [solve(f"Case {n}. {prompt}", n) for prompt in prompts(2)]
        table[f"solutions a second, N = {n}"] = round(2 * n / sum(seconds for seconds, _ in runs), 2)
        table[f"tokens a second, N = {n}"] = round(
            sum(tokens for _, tokens in runs) / sum(seconds for seconds, _ in runs), 1
        )
    return table


def local_speed(folder: str, sizes: list[int]) -> dict[str, object]:
    from ttscale.hf import HFGenerator

    return speed(HFGenerator(folder, prompt=FORM, delimiter="\n", temperature=0.8, max_new_tokens=TOKENS), sizes)


def in_process_speed(folder: str, sizes: list[int]) -> dict[str, object]:
    """In vLLM's own environment."""
    from ttscale.vllm import VLLMGenerator

    options = {"dtype": "float32", "enforce_eager": True, "max_model_len": 2048}
    settings: dict[str, Any] = {"prompt": FORM, "delimiter": "\n", "temperature": 0.8, "max_new_tokens": TOKENS}
    return speed(VLLMGenerator(folder, options=options, **settings), sizes)


def in_vllms_environment(options: argparse.Namespace) -> None:
    """``--parts in_process`` there; it writes to the same file."""
    command = [str(python_of("vllm")), __file__, options.model, "--parts", "in_process"]
    command += ["--sizes", options.sizes, "--out", str(options.out)]
    usual = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_WAIT_POLICY": "passive"}
    subprocess.run(command, check=True, env={"PYTHONPATH": str(ROOT / "src"), **usual, **os.environ})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the folder of SmolLM2-135M-Instruct")
    parser.add_argument("--engine", choices=("vllm", "llama.cpp"), default="vllm")
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--sizes", default="16,64")
    parser.add_argument("--parts", default="greedy,draws,best_of,speed")
    parser.add_argument("--out", type=Path, default=RESULTS / "real_engines.json")
    options = parser.parse_args()
    parts = options.parts.split(",")
    sizes = [int(n) for n in options.sizes.split(",")]

    def store(part: str, title: str, rows: dict[str, object]) -> None:
        print(part, json.dumps(rows, indent=1), flush=True)
        keep(options.out, part, title, {"measured": rows}, False)

    if {"local", "speed"} & set(parts):
        store("speed, Hugging Face backend", "Solutions a second", local_speed(options.model, sizes))
    if "in_process" in parts:
        store("speed, vLLM in a process", "Solutions a second", in_process_speed(options.model, sizes))
    if "speed" in parts:
        in_vllms_environment(options)
    if not {"greedy", "draws", "best_of", "speed", "served"} & set(parts):
        return
    file = Path(options.model)
    if options.engine == "llama.cpp":
        file = in_fp32(file.parent / "gguf" / "SmolLM2-135M-Instruct.Q4_1.gguf")
    server = Engine(options.engine, file, BATCHED if options.engine == "vllm" else ())
    try:
        server.start()
        model = None
        if {"greedy", "draws"} & set(parts):
            from ttscale.hf import HFModel

            model = HFModel(options.model)
        if "greedy" in parts:
            rows = greedy(server, model, options.prompts)
            store(f"greedy, {server.kind}", "Greedy texts beside the Hugging Face backend's", rows)
        if "draws" in parts:
            rows = draws(server, model, options.draws)
            store(f"draws, {server.kind}", "Answers of one question beside the Hugging Face backend's", rows)
        if "best_of" in parts:
            store("best of 16", "A vote over 16 draws, beside its_hub's client", best_of(server, options.prompts))
        if {"speed", "served"} & set(parts):
            role = remote(server, temperature=0.8)
            store(f"speed, {server.kind} served", "Solutions a second", speed(role, sizes))
    finally:
        server.stop()


if __name__ == "__main__":
    main()
