"""Beam search, lookahead and DVTS against weighted best-of-N, drawn with the paper's beam (copies compete).

    python benchmarks/step_search.py [--work build/step_search] [--out benchmarks/results/step_search.json]

Every contrast below was fixed before its questions were drawn (test split, seed 21, which no other file uses); how many
questions each has was cut for time before any result was read. Stop it
at any moment and start it again: it goes on. One core needs about 5 minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from _contrasts import Expected, corrected, judged, paired_p_value

from ttscale import evaluation, reference
from ttscale.evaluation import Arm, paired_difference
from ttscale.evaluation.analyse.fitting import versions
from ttscale.strategies import DVTS, Beam, Lookahead, WeightedBestOfN

ROOT = Path(__file__).parent.parent
SEED = 21
BEAM, MERGED, WEIGHTED = "beam, M = 4", "beam, M = 4, merged", "weighted best-of-N"
DVTS_ARM, LOOKAHEAD = "DVTS, M = 4", "lookahead k = 3, M = 4"
ARMS = {
    WEIGHTED: WeightedBestOfN(),
    BEAM: Beam(4),
    MERGED: Beam(4, merge=True),
    DVTS_ARM: DVTS(4),
    LOOKAHEAD: Lookahead(3, 4),
}
CONTRASTS: tuple[tuple[str, str, str, str, int, Expected, int], ...] = (
    ("beam, low budget", "beam search is far ahead of best-of-N", BEAM, WEIGHTED, 4, "ahead", 100),
    ("beam, high budget", "beam search is level with best-of-N or behind", BEAM, WEIGHTED, 64, "behind", 40),
    ("lookahead", "lookahead is the worst at equal budget", LOOKAHEAD, BEAM, 16, "behind", 100),
    ("beam, N = 16", "(not in the paper: all questions)", BEAM, WEIGHTED, 16, "level", 100),
    ("copies in the beam", "(not in the paper: our earlier beam merged copies)", BEAM, MERGED, 16, "ahead", 100),
    ("DVTS", "(not in the paper)", DVTS_ARM, BEAM, 16, "ahead", 100),
)
"""Name, the paper's finding, ours, theirs, N, which side the paper is on, questions."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "step_search", help="the folder of raw results")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "step_search.json")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    models = {role: reference.load(role) for role in ("generator", "verifier")}
    problems = evaluation.from_reference(300, seed=SEED)
    found, accuracy = [], {}
    for name, paper, one, other, n, expected, questions in CONTRASTS:
        arms = [Arm(arm, ARMS[arm], (n,)) for arm in (one, other)]
        file = options.work / "sweep.jsonl"
        records = evaluation.sweep(arms, [n], problems[:questions], **models, resume=file, progress=False)
        ours, theirs = records.correct(one, n), records.correct(other, n)
        difference = paired_difference(ours, theirs)
        p = paired_p_value(ours, theirs)
        found.append(judged(name, paper, f"{one} minus {other} at N = {n}", difference, expected, questions, 1, p))
        for arm in (one, other):
            accuracy[f"{arm}, N = {n}, {questions} questions"] = str(records.accuracy(arm, n))
        print(found[-1], flush=True)
    results = {
        "command": "python benchmarks/step_search.py",
        "versions": versions(),
        "seed of the questions": SEED,
        "accuracy": accuracy,
        "contrasts": [one.to_json() for one in corrected(found)],
    }
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
