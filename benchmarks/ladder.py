"""What the small and the 14 times larger generator cost, in FLOPs: training from its records, answers as counted.

    python benchmarks/ladder.py --build DIR [--questions 200] [--out benchmarks/results/ladder.json]

DIR is where ``python -m tools.reference_models ladder`` left the larger model. Training of the small one is read from
``benchmarks/results/reference_build.json``. Per question: one solution with its judging for the small model, the greedy
answer for the large one, on test questions.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import ttscale
from ttscale import reference
from ttscale.hf import HFGenerator

RECORDS = Path(__file__).parent / "results" / "reference_build.json"
PRETRAINING = ("arithmetic/solutions", "arithmetic/drills", "generator")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    training = json.loads(RECORDS.read_text())["training"]
    grown = json.loads((options.build / "ladder" / "record.json").read_text())
    pretraining = sum(training[name]["flops"] for name in PRETRAINING)
    large = HFGenerator(str(options.build / "models" / "large"), temperature=0.0)
    problems = reference.questions(options.questions, split="test", seed=0)
    ladder = {
        "small": {
            "name": "bundled",
            "parameters": training["generator"]["parameters"],
            "pretraining": pretraining,
            "finetuning": sum(
                record["flops"] for name, record in training.items() if name.startswith(("verifier/", "reviser/"))
            ),
            "inference": per_question(problems, strategy="best_of_n"),
        },
        "large": {
            "name": "14 times larger",
            "parameters": grown["parameters"],
            "pretraining": pretraining + grown["flops"],
            "finetuning": 0.0,
            "inference": per_question(problems, strategy="majority_vote", generator=large),
        },
    }
    print(json.dumps(ladder, indent=1))
    if options.out:
        options.out.write_text(json.dumps(ladder, indent=1) + "\n")


def per_question(problems: list[reference.Problem], **how: object) -> float:
    """Mean FLOPs of answering once."""
    results = ttscale.solve_all([problem.prompt for problem in problems], 1, **how)  # type: ignore[arg-type]
    return float(np.mean([result.cost.flops for result in results]))


if __name__ == "__main__":
    main()
