"""The bundled verifier on test questions: does it tell right from wrong within one question, and what that buys.

    python benchmarks/verifier_quality.py [--questions 500] [--seeds 3] [--out benchmarks/results/verifier_quality.json]
    python benchmarks/verifier_quality.py --verifier prm --out benchmarks/results/prm_quality.json

For every seed of the question generator: 16 samples per question at temperature 1, judged with the calibration that
ships; accuracy of one, of the majority, of the best and of the weighted vote; pair accuracy within questions and ECE;
and the gain of the weighted vote over majority and over greedy decoding, with 95% paired bootstrap intervals. Seeds
that the file holds already are not measured again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tools.reference_models import quality
from tools.reference_models.quality import Draw

import ttscale
from ttscale import reference
from ttscale.hf import HFGenerator

SAMPLES = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--verifier", choices=("verifier", "prm"), default="verifier")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    report: dict[str, object] = {}
    if options.out and options.out.is_file():
        stored = json.loads(options.out.read_text())
        report = stored["by seed"] if stored["questions"] == options.questions else {}
    for seed in (seed for seed in range(options.seeds) if str(seed) not in report):
        problems = reference.questions(options.questions, split="test", seed=seed)
        report[str(seed)] = measured(problems, seed, str(reference.path(options.verifier)))
        print(seed, json.dumps(report[str(seed)]), flush=True)
        if options.out:
            options.out.write_text(json.dumps({"questions": options.questions, "by seed": report}, indent=1) + "\n")


def measured(problems: list[reference.Problem], seed: int, verifier: str) -> dict[str, object]:
    """All numbers of one seed."""
    questions = [ttscale.Question(problem.id, problem.prompt) for problem in problems]
    results = ttscale.solve_all(questions, SAMPLES, verifier=verifier, strategy="best_of_n", seed=seed)
    groups = [
        [
            Draw(candidate.answer or "", candidate.answer == problem.answer, score)
            for candidate, score in zip(result.candidates, result.scores, strict=True)
        ]
        for problem, result in zip(problems, results, strict=True)
    ]
    greedy_model = HFGenerator(reference.load("generator").model, temperature=0.0)
    answers = ttscale.solve_all(questions, 1, generator=greedy_model, strategy="majority_vote")
    greedy = [float(r.answer == problem.answer) for r, problem in zip(answers, problems, strict=True)]
    voted, majority = [quality.weighted(g) for g in groups], [quality.majority(g) for g in groups]
    return {
        "pass@1": quality.mean([float(draw.right) for group in groups for draw in group]),
        "greedy": quality.mean(greedy),
        **{f"{how} of {SAMPLES}": value for how, value in quality.selection(groups, [SAMPLES])[str(SAMPLES)].items()},
        "pair accuracy": quality.pair_accuracy(groups),
        "ECE": quality.calibration_error(groups),
        "weighted minus majority": quality.interval([a - b for a, b in zip(voted, majority, strict=True)]),
        "weighted minus greedy": quality.interval([a - b for a, b in zip(voted, greedy, strict=True)]),
    }


if __name__ == "__main__":
    main()
