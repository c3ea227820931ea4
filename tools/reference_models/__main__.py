"""``python -m tools.reference_models [stage...] --out DIR``: rebuild the bundled models from nothing.

Knows: the command line. Must not know: what the stages do. Every stage resumes where it was interrupted; on one CPU
core the whole takes about four hours. The models end in DIR/models.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # small matrices: a second thread costs more than it brings
    from tools.reference_models.stages import STAGES, run

    parser = argparse.ArgumentParser(prog="python -m tools.reference_models", description=__doc__)
    parser.add_argument("stage", nargs="*", help=f"stages to run, of {', '.join(STAGES)}; all when none is named")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints, data and models go")
    chosen = parser.parse_args(arguments)
    try:
        run(chosen.stage, chosen.out)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
