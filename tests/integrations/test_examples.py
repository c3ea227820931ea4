"""The examples of the adapters run as they stand, where their packages are installed."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from docs.test_examples import LINES, code_lines

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "integrations"
NEEDS = {
    "litellm_provider.py": "litellm",
    "langchain_chat.py": "langchain_core",
    "dspy_module.py": "dspy",
    "inspect_task.py": "inspect_ai",
    "harness_task.py": "lm_eval",
    "grpo_reward.py": "trl",
}


def test_every_example_is_known() -> None:
    assert {path.name for path in FOLDER.glob("*.py")} == NEEDS.keys()


@pytest.mark.parametrize("name", NEEDS)
def test_example(name: str, tmp_path: Path) -> None:
    assert len(code_lines((FOLDER / name).read_text(encoding="utf-8"))) <= LINES + 2
    if find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed: make integrations")
    done = subprocess.run(
        [sys.executable, str(FOLDER / name)], cwd=tmp_path, capture_output=True, text=True, env=os.environ, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip(), "an example shows something"
