"""Chains of revisions of the bundled reviser, which are not all the same chain: whose attempt comes first, how hot.

    python benchmarks/chains.py [--questions 500] [--seed 0] [--out benchmarks/results/chains.json]

Each chain is one first attempt (of the reviser, or of the generator) and seven revisions of it, each seeing the four
attempts before it. Prints pass@1 at every attempt with its 95% bootstrap interval over test questions, and how often a
revision turned a right attempt wrong, a wrong one right, and repeated a wrong answer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from ttscale import Candidate, Key, Question, reference
from ttscale.core.requests import Revise, Sample
from ttscale.evaluation import ChainStep, along_the_chain
from ttscale.evaluation.statistics import Graded
from ttscale.hf import HFGenerator, HFReviser

LENGTH, CONTEXT, SEED = 8, 4, 0
KINDS = [(first, temperature) for first in ("reviser", "generator") for temperature in (1.0, 0.5)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    problems = reference.questions(options.questions, split="test", seed=options.seed)
    generator, model = reference.load("generator"), reference.load("reviser").model
    report: dict[str, Any] = {"questions": options.questions, "seed": options.seed, "chains": []}
    for first, temperature in KINDS:
        reviser = HFReviser(model, temperature=temperature)
        steps = along_the_chain(written(problems, generator if first == "generator" else None, reviser))
        row = {"first attempt": first, "temperature": temperature, "steps": [rounded(step) for step in steps]}
        print(json.dumps(row), flush=True)
        report["chains"].append(row)
        if options.out:
            options.out.write_text(json.dumps(report, indent=1) + "\n")


def written(problems: list[reference.Problem], first: HFGenerator | None, reviser: HFReviser) -> list[list[Graded]]:
    """One graded chain for every question; the first attempt is the generator's where one is given."""
    roots = [Candidate(Question(p.id, p.prompt), Key((SEED, p.id))) for p in problems]
    chains: list[list[Candidate]] = [[] for _ in problems]
    for at in range(LENGTH):
        keys = [root.key.child("chain", 0, at) for root in roots]
        if at == 0 and first is not None:
            replies = first.sample([Sample(root, key) for root, key in zip(roots, keys, strict=True)])
        else:
            finished = [tuple(attempt for attempt in chain if attempt.done)[-CONTEXT:] for chain in chains]
            asked = [Revise(own or (root,), key) for own, root, key in zip(finished, roots, keys, strict=True)]
            replies = reviser.revise(asked)
        for chain, root, key, reply in zip(chains, roots, keys, replies, strict=True):
            chain.append(root.extend(key, reply.steps, reply.finish))
    return [[graded(problem, chain)] for problem, chain in zip(problems, chains, strict=True)]


def graded(problem: reference.Problem, chain: list[Candidate]) -> Graded:
    answers = [attempt.answer for attempt in chain]
    classes = [-1 if answer is None else answers.index(answer) for answer in answers]
    unknown = np.full(len(chain), np.nan)
    right = np.array([answer == problem.answer for answer in answers])
    return Graded(problem.id, right, np.array(classes), unknown, np.zeros(len(chain), np.int64))


def rounded(step: ChainStep) -> dict[str, Any]:
    def three(value: float | None) -> float | None:
        return None if value is None else round(value, 3)

    interval = [three(bound) for bound in (step.pass_at_1.low, step.pass_at_1.high)]
    shares = {name: three(getattr(step, name)) for name in ("broken", "repaired", "repeated")}
    return {"step": step.step, "pass@1": three(step.pass_at_1.value), "interval": interval, **shares}


if __name__ == "__main__":
    main()
