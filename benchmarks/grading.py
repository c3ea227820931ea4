"""How our grading agrees with the labels of real data, and what it costs beside math-verify's pairwise verdicts.

    python benchmarks/grading.py [--data DIR] [--out benchmarks/results/grading.json]

DIR holds math500.jsonl and gsm8k_model_solutions.jsonl; by default TTSCALE_DATA, or shared/data beside the repository.
Prints every disagreement with the text it comes from, then the cost of grouping answers, then the pairs for which
math-verify's verdict is not one that classes can be made of (docs/answers.md).
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import statistics
import time
from pathlib import Path
from typing import Any

from ttscale.answers import answer_classes, equivalent, extract_answer
from ttscale.answers import keys as _keys
from ttscale.evaluation.problems.datasets import from_jsonl
from ttscale.evaluation.problems.grading import grade, grade_text

MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
PAIRS = [
    ("10", r"10\%"),
    (r"10\%", "0.1"),
    ("10", "0.1"),
    ("0.0000001", "0.0000002"),
    (r"\pi R^2 - \pi r^2", "0"),
    ("52_8", "52"),
    ("(-2,1)", "1,-2"),
    ("x=5", "5"),
    ("1 < x < 2", "(1,2)"),
]


def gsm8k(path: Path) -> dict[str, Any]:
    """Agreement with ``is_correct`` per model, and the disagreements."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    problems = from_jsonl(path)
    report: dict[str, Any] = {}
    for model in MODELS:
        verdicts = [grade_text(row[model]["solution"], p.answer) for row, p in zip(rows, problems, strict=True)]
        wrong = [
            {"question": row["question"], "answer": extract_answer(row[model]["solution"]), "reference": p.answer}
            | {"label": row[model]["is_correct"], "end of solution": row[model]["solution"][-200:]}
            for row, p, verdict in zip(rows, problems, verdicts, strict=True)
            if verdict != row[model]["is_correct"]
        ]
        unanswered = sum(extract_answer(row[model]["solution"]) is None for row in rows)
        report[model] = {
            "solutions": len(rows),
            "right": sum(verdicts),
            "unanswered": unanswered,
            "disagreements": wrong,
        }
    return report


def math500(path: Path) -> dict[str, Any]:
    """References that their own solutions do not state, by our reading."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    missed = [row["unique_id"] for row in rows if not grade_text(row["solution"], row["answer"])]
    return {"problems": len(rows), "own solution not recognised": missed}


def cost(path: Path, distinct: int) -> dict[str, float]:
    """Milliseconds to group ``distinct`` formulas of MATH-500: ours, and math-verify pair by pair."""
    from math_verify import LatexExtractionConfig, parse, verify

    answers = sorted({p.answer for p in from_jsonl(path) if not p.answer.lstrip("-").isdigit()})[:distinct]
    ours = []
    for _ in range(5):
        _keys._remembered.cache_clear()
        began = time.perf_counter()
        answer_classes(answers)
        ours.append(time.perf_counter() - began)
    began = time.perf_counter()
    parsed = [parse(f"${answer}$", [LatexExtractionConfig()], parsing_timeout=None) for answer in answers]
    read = time.perf_counter() - began
    for a, b in itertools.combinations(parsed, 2):
        verify(a, b, timeout_seconds=None)
    theirs = time.perf_counter() - began
    return {
        "distinct answers": len(answers),
        "ours, ms": statistics.median(ours) * 1e3,
        "math-verify: parsing, ms": read * 1e3,
        "math-verify: parsing and all pairs, ms": theirs * 1e3,
    }


def verdicts() -> list[dict[str, Any]]:
    """math-verify's verdict on ``PAIRS`` in both directions, beside ours."""
    from math_verify import LatexExtractionConfig, parse, verify

    def read(text: str) -> Any:
        return parse(f"${text}$", [LatexExtractionConfig()], parsing_timeout=None)

    return [
        {
            "a": a,
            "b": b,
            "math-verify (a, b)": verify(read(a), read(b), timeout_seconds=None),
            "math-verify (b, a)": verify(read(b), read(a), timeout_seconds=None),
            "ours": equivalent(a, b) and grade(a, b),
        }
        for a, b in PAIRS
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("TTSCALE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--distinct", type=int, default=32, help="answers to group in the comparison of cost")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # math-verify warns that its timeouts are off
    report = {
        "gsm8k": gsm8k(options.data / "gsm8k_model_solutions.jsonl"),
        "math500": math500(options.data / "math500.jsonl"),
        "cost": cost(options.data / "math500.jsonl", options.distinct),
        "verdicts": verdicts(),
    }
    print("GSM8K, labels of published model solutions")
    for model, found in report["gsm8k"].items():
        agree = found["solutions"] - len(found["disagreements"])
        print(f"  {model:18} {agree}/{found['solutions']} agree, {found['unanswered']} state no answer")
        for disagreement in found["disagreements"]:
            print(f"    {json.dumps(disagreement, ensure_ascii=False)}")
    missed = report["math500"]["own solution not recognised"]
    print(
        f"MATH-500: {report['math500']['problems'] - len(missed)} references recognised in their own solutions {missed}"
    )
    print("Grouping: " + ", ".join(f"{name} {value:.4g}" for name, value in report["cost"].items()))
    for row in report["verdicts"]:
        print(f"  {row['a']:22} {row['b']:10} " + ", ".join(f"{k} {v}" for k, v in row.items() if k not in "ab"))
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
