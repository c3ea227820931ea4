"""What the Hugging Face backend saves, side by side with what one would write without it.

    python benchmarks/hf_backend.py [--part best_of_n beam ...] [--rounds 3] [--out benchmarks/results/hf_backend.json]
    python benchmarks/hf_backend.py --quick     # tiny shapes, to see that it works: stored nowhere without --out

Random weights or the bundled models, so nothing is downloaded. "slower" is the median over rounds of the ratio to the
first line of its group, all variants run in turn. Then ``python benchmarks/performance_page.py`` writes the tables of
docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from _hf_decode import Found, beam, best_of_n, memory, questions
from _hf_gpu import gpu
from _hf_kernels import roofline, sampling
from _hf_models import Size, table
from _hf_verify import trunk, verify
from _hf_whole import whole
from _stored import RESULTS, keep

PARTS: dict[str, Callable[[Size], Found]] = {
    "best_of_n": best_of_n,
    "beam": beam,
    "verify": verify,
    "trunk": trunk,
    "questions": questions,
    "whole": whole,
    "memory": memory,
    "sampling": sampling,
    "roofline": roofline,
    "gpu": gpu,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="tiny shapes, one round: shows that everything runs")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    size = Size(1, True) if options.quick else Size(options.rounds)
    out = options.out or (None if options.quick else RESULTS / "hf_backend.json")
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    versions = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }
    for name in options.part:
        rows = PARTS[name](size)
        title = (PARTS[name].__doc__ or name).splitlines()[0]
        table(title, rows)
        if out is not None:
            keep(out, name, title, rows, size.tiny, versions)


if __name__ == "__main__":
    main()
