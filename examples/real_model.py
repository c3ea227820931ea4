"""A real model on 20 real questions: ``python examples/real_model.py MODEL_FOLDER svamp.jsonl [--judge]``."""

import json
import logging
import sys

import ttscale
from ttscale.answers import equivalent
from ttscale.hf import HFGenerator, HFModel
from ttscale.prompts import FOUR_SHOT
from ttscale.verifiers import JudgeVerifier


def main(folder, questions, judged=""):
    logging.basicConfig(level=logging.INFO)  # shows progress where there is no terminal
    with open(questions, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][:20]
    model = HFGenerator(
        HFModel(folder), prompt=FOUR_SHOT.prompt, delimiter=FOUR_SHOT.delimiter, max_new_tokens=128, temperature=0.7
    )
    judge = JudgeVerifier(model) if judged else None
    results = ttscale.solve_all([row["question"] for row in rows], 8, generator=model, verifier=judge)
    right = sum(equivalent(str(row["answer"]), found.answer) for row, found in zip(rows, results, strict=True))
    print(f"{right} of {len(rows)} right with {results[0].strategy}")


main(*sys.argv[1:]) if len(sys.argv) > 2 else print(__doc__)
