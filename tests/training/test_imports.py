"""The public names exist, and what needs no torch loads none."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ttscale.training


@pytest.mark.parametrize("name", ttscale.training.__all__)
def test_every_public_name_loads(name):
    assert getattr(ttscale.training, name) is not None


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="has no attribute 'train_everything'"):
        ttscale.training.train_everything  # noqa: B018


def test_rollouts_readers_and_reports_load_no_torch():
    code = (
        "import sys; from ttscale.training import collect_rollouts, collect_chains, read_trl, quality_report, judge, "
        "build_revision_data, load_problems, Recipe; import ttscale.cli.train; "
        "print(sorted({'torch', 'transformers', 'peft', 'datasets', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b"[]"
