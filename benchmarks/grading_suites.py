"""Our agreement with the test suites of public graders beside math-verify's, suite by suite, in one run.

    python benchmarks/grading_suites.py [--data DIR] [--ours] [--show]

DIR holds grading_cases.jsonl; by default TTSCALE_DATA, or shared/data beside the repository. ``--ours`` leaves
math-verify out, ``--show`` prints each case that we decide otherwise than its suite, as rows of the table in
docs/grading-suites.md, which has the rule for each; tests/benchmarks/test_grading_suites.py holds the two together.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ttscale.answers import answer_classes, equal, equivalent, extract, extract_answer
from ttscale.evaluation.problems.grading import final_answer

Case = dict[str, Any]


def ours(case: Case) -> bool:
    """Whether we count the two as the same; the suite of choices is read by the rule for choices."""
    gold, text = case["gold"], case["pred"]
    if case["suite"] == "lighteval (choices)":
        return equal(extract(gold, "choice"), extract(text, "choice"), "choice")
    if case["kind"] == "equal":
        return equivalent(gold, text)
    stated = extract_answer(text)
    if case["kind"] == "extract" and gold is None:
        return stated is None
    return equivalent(final_answer(gold) if case["kind"] == "text" else gold, stated)


def theirs(case: Case) -> bool:
    """Whether math-verify does; answers without a sign of mathematics are put between dollars, letters are choices."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, StringExtractionConfig, parse, verify

    gold, text = case["gold"], case["pred"]
    kinds: list[Any] = [LatexExtractionConfig(), ExprExtractionConfig()]
    if gold is not None and gold.strip("() ") in tuple("ABCDEFGHIJ"):
        kinds = [StringExtractionConfig(strings=tuple("ABCDEFGHIJ"))]

    def read(answer: str, whole: bool) -> Any:
        bare = whole and not any(sign in answer for sign in ("$", r"\boxed", r"\(", r"\["))
        text = f"${answer}$" if bare and len(kinds) == 2 else answer
        return parse(text, kinds, parsing_timeout=2)

    stated = read(text, case["kind"] == "equal")
    if gold is None:
        return not stated
    return bool(
        verify(read(gold, True), stated, float_rounding=case.get("precision", 6), strict=True, timeout_seconds=2)
    )


def agreement(cases: list[Case], grader: Callable[[Case], bool]) -> list[bool]:
    """For each case whether ``grader`` decides as the suite does."""
    verdicts = []
    for case in cases:
        try:
            verdicts.append(grader(case) == case["expected"])
        except Exception:  # math-verify on other people's text
            verdicts.append(False)
    return verdicts


def row(case: Case) -> list[str]:
    """Suite, reference, reply, and whether the suite calls them the same, as cells of a Markdown table."""

    def cell(text: str | None) -> str:
        text = " ".join((text or "").replace("`", "'").split())
        return "`" + (text if len(text) <= 70 else f"...{text[-67:]}").replace("|", r"\|") + "`" if text else "(empty)"

    return [case["suite"], cell(case["gold"]), cell(case["pred"]), "same" if case["expected"] else "different"]


def disagreements(cases: list[Case]) -> list[list[str]]:
    """The rows of the cases that we decide otherwise than their suite."""
    return [row(case) for case, right in zip(cases, agreement(cases, ours), strict=True) if not right]


def table(cases: list[Case], verdicts: list[bool]) -> list[tuple[str, int, int]]:
    """(suite, cases, verdicts that agree) of each suite and of all."""
    suites = [*dict.fromkeys(case["suite"] for case in cases), "total"]
    chosen = {
        name: [v for c, v in zip(cases, verdicts, strict=True) if name in (c["suite"], "total")] for name in suites
    }
    return [(name, len(found), sum(found)) for name, found in chosen.items()]


def slowest(cases: list[Case]) -> tuple[float, str]:
    """The longest that reading and comparing 64 answers of one case takes, in seconds of CPU time, and which."""
    answer_classes([r"\pi", r"x\sqrt{2}"])  # loads mpmath, once a process
    found = []
    for case in cases:
        texts = [f"{case['pred']}\n{' ' * n}" for n in range(63)] + [case["gold"] or ""]
        began = time.process_time()
        answer_classes([extract_answer(text) for text in texts])
        answer_classes([text.strip() + "." * n for n, text in enumerate(texts)])
        found.append((time.process_time() - began, case["id"]))
    return max(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("TTSCALE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--ours", action="store_true")
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    lines = (options.data / "grading_cases.jsonl").read_text(encoding="utf-8").splitlines()
    cases = [json.loads(line) for line in lines]
    mine = agreement(cases, ours)
    other = [] if options.ours else agreement(cases, theirs)
    print("| Suite | Cases | Ours | math-verify |\n|---|---|---|---|")
    counted = table(cases, other) if other else []
    for n, (suite, total, right) in enumerate(table(cases, mine)):
        print(f"| {suite} | {total} | {right} | {counted[n][2] if other else '-'} |")
    forged = sum(not right and not case["expected"] for case, right in zip(cases, mine, strict=True))
    print(f"that must differ and we call the same: {forged}")
    seconds, which = slowest(cases)
    print(f"slowest extraction and comparison of 64 answers: {seconds:.3f} s, {which}")
    if options.show:
        print("\n".join(f"| {' | '.join(cells)} |" for cells in disagreements(cases)))


if __name__ == "__main__":
    main()
