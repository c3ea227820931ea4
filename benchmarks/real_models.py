"""A real model beside transformers' own ``generate``, and its threads beside a busy process.

    python benchmarks/real_models.py [--part best_of_16 memory threads busy] [--rounds 3] [--model FOLDER]

The model is SmolLM2-135M-Instruct (``tests/real_models.py`` says where it lies), in fp32. Variants run in turn in one
process, medians count; ``memory`` and ``busy`` start a process for each. ``best_of_16`` takes CPU seconds, which
another process on the machine changes little; ``threads`` and ``busy`` take clock seconds, which it does change, so
their ratios count and not the seconds. Rows are stored in benchmarks/results/real_models.json part by part.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from _stored import RESULTS, keep

PATH = RESULTS / "real_models.json"
FOLDER = Path.home() / ".cache" / "ttscale" / "models" / "smollm2-135m-instruct"
PARTS = {
    "best_of_16": "SmolLM2, 16 solutions of up to 24 tokens after a prompt of about 200, one thread, CPU seconds.",
    "memory": "The same, the most memory of a process that does nothing else, in MiB, and beyond the loaded model.",
    "threads": "SmolLM2, a batch of 16, 8 tokens, on 1 and on 2 threads, clock seconds.",
    "busy": "Four `solve` calls of the bundled model after the first, beside one busy process, clock seconds.",
}
ROWS, NEW = 16, 24
SHOT = (
    "Question: Tom has {a} apples and buys {b} more. How many apples does he have?\n"
    "Answer: {a} + {b} = {c}. He has {c} apples.\n\n"
)


def few_shot(number: int) -> str:
    """About 200 tokens of solved examples, other ones for each number, so that nobody finds them in a cache."""
    return "".join(SHOT.format(a=a + number, b=b, c=a + number + b) for a, b in ((3, 4), (12, 9), (7, 15), (20, 31)))


QUESTION = "Question: Ann has 14 books and buys 27 more. How many books does she have?\nAnswer:"


def ours(model: Any, new: int = NEW, number: int = 0) -> int:
    """Best of 16, as drawn by ``solve``; the tokens drawn."""
    from ttscale import Candidate, Key, Question, Sample
    from ttscale.hf import HFGenerator
    from ttscale.prompts import PromptFormat

    form = PromptFormat(chat=False, template=few_shot(number) + "{question}")
    generator = HFGenerator(model, prompt=form, delimiter=None, temperature=1.0, max_new_tokens=new)
    root = Candidate(Question.of(QUESTION), Key((0, QUESTION)))
    return sum(r.cost.sampled_tokens for r in generator.sample([Sample(root, root.key.child(i)) for i in range(ROWS)]))


def theirs(model: Any, new: int = NEW, number: int = 0) -> int:
    """The same by ``generate(num_return_sequences=16)``; the tokens drawn, padding left out."""
    import torch

    ids = model.tokenizer(few_shot(number) + QUESTION, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        out = model.module.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            num_return_sequences=ROWS,
            max_new_tokens=new,
            eos_token_id=sorted(model.eos_ids),
            pad_token_id=0,
        )
    return int((out[:, ids.shape[1] :] != 0).sum())


VARIANTS: dict[str, Callable[..., int]] = {"ttscale": ours, "generate": theirs}


def loaded(folder: Path) -> Any:
    """The model."""
    from ttscale.hf import HFModel

    return HFModel(str(folder))


def best_of_16(folder: Path, rounds: int) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    tokens = dict.fromkeys(VARIANTS, 0)
    model = loaded(folder)
    for number in range(rounds + 1):  # the first round warms both up
        for name, draw in VARIANTS.items():
            began = time.process_time()
            tokens[name] = draw(model, NEW if number else 2, number)
            seconds[name].append(time.process_time() - began)
    prompt = len(model.tokenizer(few_shot(1) + QUESTION)["input_ids"])
    seconds = {name: some[1:] for name, some in seconds.items()}
    first = median(seconds["ttscale"])
    return {
        name: {
            "CPU seconds": median(some),
            "slower": median(some) / first,
            "tokens": tokens[name],
            "prompt tokens": prompt,
        }
        for name, some in seconds.items()
    }


def memory(folder: Path, rounds: int) -> dict[str, Any]:
    found = {}
    for name in VARIANTS:
        said = [
            child(["--child", name, "--model", str(folder)], {"OMP_NUM_THREADS": "1"}).split() for _ in range(rounds)
        ]
        peak, base = (median(float(one[i]) for one in said) for i in (0, 1))
        found[name] = {"peak MiB": peak, "beyond the loaded model": peak - base}
    return found


def threads(folder: Path, rounds: int) -> dict[str, Any]:
    import torch

    model = loaded(folder)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds + 1):
        for count in seconds:
            torch.set_num_threads(count)
            began = time.perf_counter()
            ours(model, 8)
            seconds[count].append(time.perf_counter() - began)
    one = median(seconds[1][1:])
    return {
        f"{count} threads": {"seconds": median(some[1:]), "of 1 thread": median(some[1:]) / one}
        for count, some in seconds.items()
    }


def busy(folder: Path, rounds: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {"OMP_NUM_THREADS=1": [], "no variable": []}
    beside = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        for _ in range(rounds):
            for name, some in seconds.items():
                some.append(float(child(["--child", "solve"], {"OMP_NUM_THREADS": "1"} if "=" in name else {})))
    finally:
        beside.kill()
        beside.wait()
    one = median(seconds["OMP_NUM_THREADS=1"])
    return {
        name: {"seconds": median(some), "of OMP_NUM_THREADS=1": median(some) / one} for name, some in seconds.items()
    }


def child(arguments: Sequence[str], variables: dict[str, str]) -> str:
    """What a process of this file prints, with these thread variables and no others."""
    rest = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, env={**rest, **variables}, check=True, capture_output=True, text=True).stdout


def as_child(what: str, folder: Path) -> None:
    """Do one thing and print what it took."""
    if what == "solve":
        import ttscale
        from ttscale import reference

        first, *others = (problem.prompt for problem in reference.questions(5, level=3, seed=1))
        ttscale.solve(first, 16, progress=False)
        began = time.perf_counter()
        for prompt in others:
            ttscale.solve(prompt, 16, progress=False)
        print(time.perf_counter() - began)
        return
    model = loaded(folder)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    VARIANTS[what](model)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, base)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, default=FOLDER)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        as_child(options.child, options.model)
        return
    for part in options.part:
        rows = globals()[part](options.model, options.rounds)
        for name, row in rows.items():
            print(part, name, {key: round(value, 2) for key, value in row.items()}, flush=True)
        keep(PATH, part, PARTS[part], rows, tiny=options.rounds < 3)


if __name__ == "__main__":
    main()
