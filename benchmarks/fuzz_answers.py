"""Feeds the answer reader mutated answers, mutated solutions and joined pieces of LaTeX for as long as you like.

    python benchmarks/fuzz_answers.py [--seconds 270] [--seed 0] [--data DIR]

DIR holds math500.jsonl; by default TTSCALE_DATA, or shared/data beside the repository. Ends with the number of inputs
and the slowest call, in seconds of CPU time; stops at the first exception. In small, with hypothesis:
tests/answers/test_hostile.py.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ttscale.answers import answer_classes, equivalent, extract_answer
from ttscale.answers.keys import value_key
from ttscale.answers.normalize import clean
from ttscale.answers.tree import Unreadable
from ttscale.answers.wrappers import MAX_ANSWER
from ttscale.evaluation.problems.datasets import from_jsonl

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from answers.test_hostile import UNITS, WORDS

PIECES = UNITS + WORDS


def mutated(text: str, rng: random.Random) -> str:
    """``text`` with up to six characters or pieces taken out, put in or repeated."""
    letters = list(text)
    for _ in range(rng.randint(1, 6)):
        at, kind = rng.randrange(len(letters) + 1), rng.random()
        if kind < 0.3:
            letters[at : at + rng.randint(1, 4)] = []
        elif kind < 0.6:
            letters[at:at] = rng.choice(PIECES)
        elif kind < 0.8:
            letters[at:at] = chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x110000))))
        else:
            other = rng.randrange(len(letters) + 1)
            letters[at:at] = letters[other : other + rng.randint(1, 30)] * rng.randint(1, 5)
    return "".join(letters)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("TTSCALE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--seconds", type=float, default=270)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    problems = from_jsonl(options.data / "math500.jsonl")
    answers, prompts = [p.answer for p in problems], [p.prompt for p in problems]
    slowest, slowest_call, inputs = 0.0, "", 0

    def timed(function: Callable[..., Any], *arguments: object) -> Any:
        nonlocal slowest, slowest_call
        began = time.process_time()
        result = function(*arguments)
        seconds = time.process_time() - began
        if seconds > slowest:
            slowest, slowest_call = seconds, f"{function.__name__}{arguments!r}"[:200]
        return result

    equivalent(r"\pi", r"\sqrt{2}")  # loads mpmath, once a process
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        kind = rng.random()
        if kind < 0.4:
            text = mutated(rng.choice(answers), rng)
        elif kind < 0.6:
            text = mutated(rng.choice(prompts), rng)
        elif kind < 0.8:
            text = "".join(rng.choices(PIECES, k=rng.randint(1, 60)))
        else:
            text = "".join(rng.choices(PIECES, k=rng.randint(1, 4))) * rng.randint(1, 250)
        for whole in (text, f"\\boxed{{{text}}}"):
            answer = timed(extract_answer, whole)
            timed(answer_classes, [whole, answer, rng.choice(answers)])
            try:  # the reader itself may raise Unreadable and nothing else
                value_key(clean((answer or whole)[:MAX_ANSWER]))
            except Unreadable:
                pass
            except Exception:
                print(f"input {inputs}: {whole!r}")
                raise
            inputs += 1
    print(f"{inputs:,} inputs, no exception; the slowest call took {slowest:.2f} s: {slowest_call}")


if __name__ == "__main__":
    main()
