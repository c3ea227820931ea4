"""A real vLLM server with SmolLM2 against the Hugging Face backend and against its_hub's client. See ``make engines``.

    python benchmarks/real_engines.py MODEL_FOLDER [--url http://127.0.0.1:8000/v1] [--prompts 20] [--draws 1000]
        [--parts greedy,draws,best_of] [--out benchmarks/results/real_engines.json]

1. greedy: the text of each prompt, whole and step by step through a beam of one, against the local backend: equal up to
   the first token where the two likeliest are within 1e-3 in logit.
2. draws: answers of ``--draws`` samples of one question through both, compared by a chi-square test.
3. best_of: 16 draws a question through this library and through its_hub on the same server: requests and prompt
   tokens as the server counts them, and time, in turns.

Without ``--url`` a server is started, from the environment that ``make engines`` sets up. Part 3 needs ``pip install
its_hub aiohttp``: its_hub's client imports aiohttp without asking for it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from scipy.stats import chi2_contingency

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "engines"))
import engines
import ttscale
from ttscale import Candidate, Key, Question, Sample
from ttscale.hf import HFGenerator, HFModel
from ttscale.openai import OpenAIGenerator
from ttscale.prompts.layouts import PromptFormat

FORM = PromptFormat(system=None)
NEAR = 1e-3
TOKENS = 40
THINGS = ("apples", "marbles", "books", "coins", "stamps")
COLOUR = "Name one colour. Reply with one word."


def prompts(n: int) -> list[str]:
    return [f"Tom has {3 + i} {THINGS[i % 5]} and buys {2 + i % 4} more. How many has he? Explain." for i in range(n)]


def remote(url: str, **settings: Any) -> OpenAIGenerator:
    given = {"prompt": FORM, "delimiter": "\n", "max_new_tokens": TOKENS, **settings}
    return OpenAIGenerator(engines.NAME, url, server="vllm", **given)


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


def greedy(url: str, folder: str, n: int) -> dict[str, object]:
    """Part 1."""
    model = HFModel(folder)
    local, far = HFGenerator(model, prompt=FORM, delimiter="\n", max_new_tokens=TOKENS), remote(url)
    encode = model.tokenizer.apply_chat_template
    outcomes: dict[str, Counter[str]] = {"whole": Counter(), "step by step": Counter()}
    for prompt in prompts(n):
        question = Question.of(prompt)
        start = encode([{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=False)
        ours = {"whole": whole(local, question), "step by step": by_steps(local, question)}
        theirs = {"whole": whole(far, question), "step by step": by_steps(far, question)}
        for name in outcomes:
            outcomes[name][compared(model, list(start), ours[name], theirs[name])] += 1
    return {name: dict(counts) for name, counts in outcomes.items()}


def compared(model: HFModel, start: list[int], ours: Candidate, theirs: Candidate) -> str:
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


def draws(url: str, folder: str, n: int) -> dict[str, object]:
    """Part 2."""
    question = Question.of(COLOUR)
    root = Candidate(question, Key((0, question.id)))
    requests = [Sample(root, root.key.child(i)) for i in range(n)]
    local = HFGenerator(HFModel(folder), prompt=FORM, delimiter=None, max_new_tokens=4).sample(requests)
    far = asyncio.run(remote(url, delimiter=None, max_new_tokens=4).sample(requests))
    counts = [Counter(first_word("".join(step.text for step in one.steps)) for one in some) for some in (local, far)]
    common = [word for word, count in (counts[0] + counts[1]).most_common() if count >= 10]
    table = [[*(count[word] for word in common), n - sum(count[word] for word in common)] for count in counts]
    test = chi2_contingency(table)
    return {
        "draws": n,
        "answers, local": dict(counts[0].most_common(5)),
        "answers, vLLM": dict(counts[1].most_common(5)),
        "classes": len(table[0]),
        "chi-square": round(float(test.statistic), 2),
        "p": round(float(test.pvalue), 4),
        "requests": sum(one.cost.requests for one in far),
    }


def first_word(text: str) -> str:
    found = re.search(r"\w+", text)
    return found[0].lower() if found else ""


def best_of(url: str, n: int) -> dict[str, object]:
    """Part 3: a vote over 16 draws."""
    from its_hub.core.algorithms.self_consistency import SelfConsistency
    from its_hub.core.lms.openai_lm import OpenAICompatibleLanguageModel

    def ours(prompt: str) -> None:
        generator = remote(url, temperature=0.8)
        ttscale.solve(prompt, 16, generator=generator, strategy="majority_vote", progress=False)

    def theirs(prompt: str) -> None:
        model = OpenAICompatibleLanguageModel(
            endpoint=url, api_key="none", model_name=engines.NAME, temperature=0.8, max_tokens=TOKENS
        )
        asyncio.run(SelfConsistency().ainfer(model, prompt, budget=16))

    spent: dict[str, list[dict[str, float]]] = {"ttscale": [], "its_hub": []}
    for prompt in prompts(n):
        for name, run in (("ttscale", ours), ("its_hub", theirs)):
            spent[name].append(measured(url, run, prompt + f" ({name})"))
    return {
        name: {field: round(statistics.median(one[field] for one in runs), 2) for field in runs[0]}
        for name, runs in spent.items()
    }


def measured(url: str, run: Callable[[str], None], prompt: str) -> dict[str, float]:
    """What one call cost, as the server's own counters have it."""
    before, began = counters(url), time.perf_counter()
    run(prompt)
    seconds = time.perf_counter() - began
    after = counters(url)
    return {name: after[name] - before[name] for name in after} | {"seconds": seconds}


def counters(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/metrics") as page:
        text = page.read().decode()

    def total(pattern: str) -> float:
        return sum(float(value) for value in re.findall(pattern, text, re.MULTILINE))

    return {
        "requests": total(r'^http_requests_total\{handler="/v1/(?:chat/)?completions".*\} (\S+)$'),
        "prompt tokens": total(r"^vllm:prompt_tokens_total\{.*\} (\S+)$"),
        "prompt tokens in the cache": total(r"^vllm:prefix_cache_hits_total\{.*\} (\S+)$"),
        "sampled tokens": total(r"^vllm:generation_tokens_total\{.*\} (\S+)$"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the folder of SmolLM2-135M-Instruct")
    parser.add_argument("--url")
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--parts", default="greedy,draws,best_of")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    parts = options.parts.split(",")
    report: dict[str, object] = {}
    if options.out and options.out.is_file():
        report = json.loads(options.out.read_text())
    with nullcontext(options.url) if options.url else engines.engine("vllm", Path(options.model)) as url:
        if "greedy" in parts:
            report["greedy"] = greedy(url, options.model, options.prompts)
        if "draws" in parts:
            report["draws"] = draws(url, options.model, options.draws)
        if "best_of" in parts:
            report["best_of"] = {"questions": options.prompts, **best_of(url, options.prompts)}
    print(json.dumps(report, indent=1))
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
