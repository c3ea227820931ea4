"""Shards of answers as Parquet (extra ``parquet``): one schema for all, so that a folder of them is one table.

Knows pyarrow and what a row holds. Must not know which questions were asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ttscale.core.cost import FREE
from ttscale.core.idioms import needed


def check_installed() -> None:
    """``ImportError`` that says what to install, before anything is spent."""
    with needed("Parquet output needs pyarrow: pip install 'ttscale[parquet]'"):
        import pyarrow.parquet  # noqa: F401


def write(rows: Path, place: Path) -> None:
    """The JSON lines of ``rows`` as a Parquet file at ``place``, which is there whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with rows.open(encoding="utf-8") as lines:
        table = pa.Table.from_pylist([json.loads(line) for line in lines], schema=_schema())
    part = place.with_suffix(".parquet.tmp")
    pq.write_table(table, part, compression="zstd")
    part.replace(place)


def ids(path: Path) -> Iterator[tuple[str, str | None]]:
    """The id and the error of every row; ``ValueError`` for a file that is none of ours."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        for batch in pq.ParquetFile(path).iter_batches(columns=["id", "error"]):
            yield from zip(batch.column("id").to_pylist(), batch.column("error").to_pylist(), strict=True)
    except (pa.ArrowInvalid, KeyError) as error:
        raise ValueError(f"{path}: not a shard of ours; repair or remove it") from error


def drop_errors(path: Path) -> None:
    """Leave the rows that are no errors, in a file that takes the old one's place whole."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    part = path.with_suffix(".parquet.tmp")
    pq.write_table(table.filter(pc.is_null(table["error"])), part, compression="zstd")
    part.replace(path)


def _schema() -> Any:
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    vote = pa.struct({"answer": text, "count": pa.int64(), "share": number})
    cost = pa.struct({name: pa.int64() if isinstance(n, int) else number for name, n in FREE.to_dict().items()})
    candidate = pa.struct({"text": text, "answer": text, "finish": text, "score": number})
    return pa.schema(
        {
            **dict.fromkeys(("id", "question", "answer", "text"), text),
            "score": number,
            "votes": pa.list_(vote),
            **dict.fromkeys(("strategy", "stopped_by", "error"), text),
            "cost": cost,
            "candidates": pa.list_(candidate),
        }
    )
