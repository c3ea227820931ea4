"""Our own Monte-Carlo format, as ``collect_rollouts`` writes it: counts beside values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ttscale.training.data.examples import StepExample, example_from_row
from ttscale.training.data.readers.rows import MalformedRow, Read, Source, read


def read_rollouts(source: Source) -> Read:
    """Examples from ``{prompt, steps, values, n_rollouts, n_correct, answer, correct, ...}`` rows.

    Labels are the values (null: no label); the header and the closing lines of a rollout file are passed over. A torn
    last line counts as malformed.
    """
    return read(source, _convert)


def _convert(row: Mapping[str, Any]) -> list[StepExample] | None:
    if row.get("ttscale") is not None or row.get("done") is not None:  # the datasets library gives rows every column
        return None
    try:
        return [example_from_row(row)]
    except ValueError as error:
        raise MalformedRow(str(error)) from error
