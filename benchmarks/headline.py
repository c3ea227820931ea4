"""The main job, measured: `ttscale.solve` with the bundled models and budget 64 on unseen questions.

    python benchmarks/headline.py [--questions 200] [--seed 0] [--out benchmarks/results/headline.json]

Prints accuracy on levels 1 to 3, and on levels 4 and 5 against budget 1, one sample of the generator, greedy decoding,
majority-of-64 and weighted best-of-64 over the same questions, with 95% paired bootstrap intervals of the difference;
then, over all of them, what `solve` does with a sixteenth and a quarter of the budget against weighted best-of-N with
all of it. Questions are of the test split, which no training run of the bundled models has seen.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import ttscale
from ttscale import reference
from ttscale.hf import HFGenerator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--budget", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    n, seed = options.questions, options.seed

    easy = [p for level in (1, 2, 3) for p in reference.questions(n // 3 + 1, split="test", level=level, seed=seed)][:n]
    hard = [p for level in (4, 5) for p in reference.questions(n // 2, split="test", level=level, seed=seed)]
    report: dict[str, object] = {"questions": n, "budget": options.budget, "seed": seed}
    report["levels 1-3"] = interval(right(easy, options.budget, seed))
    full = right(hard, options.budget, seed)
    report["levels 4-5"] = interval(full)
    greedy = HFGenerator(reference.load("generator").model, temperature=0.0)
    weighted = right(easy + hard, options.budget, seed, strategy="weighted_best_of_n")
    rivals = {
        "budget 1": right(hard, 1, seed),
        "one sample": right(hard, 1, seed, strategy="majority_vote"),
        "greedy": right(hard, 1, seed, generator=greedy, strategy="majority_vote"),
        f"majority of {options.budget}": right(hard, options.budget, seed, strategy="majority_vote"),
        f"weighted best-of-{options.budget}": weighted[len(easy) :],
    }
    for name, rival in rivals.items():
        report[f"levels 4-5, {name}"] = interval(rival)
        report[f"levels 4-5, gain over {name}"] = interval(full - rival)
    report[f"all levels, weighted best-of-{options.budget}"] = interval(weighted)
    for budget in (options.budget // 16, options.budget // 4):
        ours = right(easy + hard, budget, seed)
        report[f"all levels, budget {budget}"] = interval(ours)
        report[f"all levels, budget {budget}, gain over weighted best-of-{options.budget}"] = interval(ours - weighted)
    for name, value in report.items():
        print(f"{name:60} {value}")
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")


def right(problems: list[reference.Problem], budget: int, seed: int, **how: object) -> np.ndarray:
    """1.0 for every question answered correctly, else 0.0."""
    questions = [ttscale.Question(p.id, p.prompt) for p in problems]
    results = ttscale.solve_all(questions, budget, seed=seed, **how)  # type: ignore[arg-type]
    return np.array([float(r.answer == p.answer) for r, p in zip(results, problems, strict=True)])


def interval(values: np.ndarray, resamples: int = 10_000) -> dict[str, float]:
    """Mean with its 95% bootstrap interval over questions."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (resamples, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"mean": round(float(values.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


if __name__ == "__main__":
    main()
