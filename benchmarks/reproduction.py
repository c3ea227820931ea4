"""The paper's experiments on the reference benchmark: everything that docs/reproduction.md reports.

    python benchmarks/reproduction.py [--questions 500] [--out benchmarks/results/reproduction]

Draws what the folder lacks (hours on two cores; stop it and start it again as you like, or start it twice to use both),
then writes report.html, report.md, figures, the policy that ships with the bundled models, and summary.json. With the
stored results in place it only writes the report anew.
"""

from __future__ import annotations

import argparse
import json
import lzma
import shutil
import sys
from pathlib import Path

from ttscale import evaluation
from ttscale.evaluation.study import StudySettings, run_study
from ttscale.evaluation.study_report import study_report
from ttscale.evaluation.study_tables import Findings

SETTINGS = StudySettings(
    budgets=(1, 4, 16, 64),
    samples=64,
    chains=2,
    chain_length=8,
    seeds=(0, 1, 2),
    # The headline is measured with three seeds, what only figures show with one.
    figure_seeds=(0,),
    fit_budgets=(4, 16),
    menu=("weighted best-of-N", "beam, M = 4", "revisions all parallel", "revisions 1:1"),
    ratios=(0.25, 1.0, 4.0),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "reproduction")
    parser.add_argument("--work", type=Path, help="the folder of the raw results (default: OUT/raw)")
    options = parser.parse_args()
    raw: Path = options.work or options.out / "raw"
    unpack(options.out / "raw", raw)
    study = run_study(
        evaluation.load("reference", limit=options.questions), raw, SETTINGS, data="reference, test split"
    )
    findings = Findings(study)
    command = " ".join(["python", "benchmarks/reproduction.py", *sys.argv[1:]])
    evaluation.write_report(study_report(findings, command), options.out)
    study.fitted.final.save(options.out / "policy.json")
    pack(raw, options.out / "raw")
    print(json.dumps({"report": str(options.out / "report.md"), "questions": len(study.records.questions)}))


def pack(raw: Path, stored: Path) -> None:
    """Compress the raw results, a tenth of their size, to keep them with the report."""
    stored.mkdir(parents=True, exist_ok=True)
    for file in sorted(raw.glob("*.jsonl")):
        with open(file, "rb") as source, lzma.open(stored / f"{file.name}.xz", "wb") as target:
            shutil.copyfileobj(source, target)


def unpack(stored: Path, raw: Path) -> None:
    """Bring stored results back, where there are none yet."""
    raw.mkdir(parents=True, exist_ok=True)
    for file in sorted(stored.glob("*.jsonl.xz")):
        if not (raw / file.stem).exists():
            with lzma.open(file, "rb") as source, open(raw / file.stem, "wb") as target:
                shutil.copyfileobj(source, target)


if __name__ == "__main__":
    main()
