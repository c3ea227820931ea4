"""Builds the wheel, looks into it, and answers a question with it where only its own dependencies are installed.

Run by ``make test``. The clean environment is kept in .venv/clean until pyproject.toml or constraints.txt changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CLEAN = REPOSITORY / ".venv" / "clean"
LARGEST_MODEL = 6_000_000
MUST_HOLD = [
    "ttscale/py.typed",
    *(
        f"ttscale/reference/models/{role}/{name}"
        for role in ("generator", "verifier", "reviser", "prm")
        for name in ("model.safetensors", "config.json", "tokenizer.json")
    ),
]
QUESTION, ANSWER = "Compute (17 + 5) * 3 - 48", "18"


def main() -> None:
    wheel = build()
    look_into(wheel)
    install(wheel)
    answer_a_question()
    print(f"wheel ok: {wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB")


def build() -> Path:
    """The wheel of the working tree, in dist/."""
    shutil.rmtree(REPOSITORY / "dist", ignore_errors=True)
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", "dist", ".")
    (wheel,) = (REPOSITORY / "dist").glob("*.whl")
    return wheel


def look_into(wheel: Path) -> None:
    """Everything is in it that a user needs, and nothing that only we do."""
    with zipfile.ZipFile(wheel) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    missing = [name for name in MUST_HOLD if name not in sizes]
    if missing:
        sys.exit(f"the wheel lacks {', '.join(missing)}")
    strays = [name for name in sizes if not name.startswith(("ttscale/", "ttscale-"))]
    if strays:
        sys.exit(f"the wheel holds what is not the library's: {', '.join(strays)}")
    heavy = [name for name, size in sizes.items() if name.endswith(".safetensors") and size > LARGEST_MODEL]
    if heavy:
        sys.exit(f"a bundled model is larger than {LARGEST_MODEL / 1e6:.0f} MB: {', '.join(heavy)}")


def install(wheel: Path) -> None:
    """The wheel in an environment that holds its dependencies and nothing else."""
    wanted = "".join(
        hashlib.sha256((REPOSITORY / f).read_bytes()).hexdigest() for f in ("pyproject.toml", "constraints.txt")
    )
    stamp = CLEAN / "installed"
    python = CLEAN / "bin" / "python"
    if not stamp.is_file() or stamp.read_text() != wanted:
        shutil.rmtree(CLEAN, ignore_errors=True)
        run(sys.executable, "-m", "venv", str(CLEAN))
        run(str(python), "-m", "pip", "install", "-q", "--no-compile", "-c", "constraints.txt", str(wheel))
        stamp.write_text(wanted)
    run(str(python), "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", str(wheel))
    run(str(python), "-m", "pip", "check")


def answer_a_question() -> None:
    """Through the installed command, from a folder that is not the repository."""
    with tempfile.TemporaryDirectory() as empty:
        command = [str(CLEAN / "bin" / "ttscale"), "solve", QUESTION, "--budget", "16", "--json"]
        done = subprocess.run(command, cwd=empty, stdout=subprocess.PIPE, text=True, check=True, env=clean_env())
    answer = json.loads(done.stdout)["answer"]
    if answer != ANSWER:
        sys.exit(f"the installed wheel answers {QUESTION!r} with {answer!r} instead of {ANSWER!r}")


def run(*command: str) -> None:
    subprocess.run(command, cwd=REPOSITORY, check=True, env=clean_env())


def clean_env() -> dict[str, str]:
    """This environment without what would let the source tree or another environment shine through."""
    return {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }


if __name__ == "__main__":
    main()
