"""Where problems come from: a JSONL file, the Hugging Face hub, the benchmark that ships with the library.

Knows sources. What a row means is ``problem.read_problems``, so MATH, GSM8K and plain files of questions and answers
need no setting.
"""

from __future__ import annotations

from pathlib import Path

from ttscale.core.checks import check_count
from ttscale.core.idioms import needed
from ttscale.evaluation.problems.jsonl import read_rows
from ttscale.evaluation.problems.problem import BadReferences, Problem, read_problems

HUB = {"math-500": ("HuggingFaceH4/MATH-500", None), "gsm8k": ("openai/gsm8k", "main")}
"""Short names of data sets on the hub: id and configuration. Both have a split "test"."""


def load(source: str | Path, *, limit: int | None = None) -> list[Problem]:
    """Problems by name: "reference", "math-500", "gsm8k", a JSONL file, or the id of a data set on the hub."""
    name = str(source)
    if name == "reference":
        check_count("limit", limit, none=True)
        return from_reference(500 if limit is None else limit)
    if Path(source).is_file():
        return from_jsonl(source, limit=limit)
    hub_id, configuration = HUB.get(name, (name, None))
    if name not in HUB and (name.count("/") != 1 or name.endswith((".jsonl", ".json")) or name[0] in "./~"):
        raise ValueError(
            f"there is no file {name!r} and no such data set; give a JSONL file, the id of a data set on the hub "
            f"(owner/name), or one of: reference, {', '.join(HUB)}"
        )
    return from_hub(hub_id, configuration=configuration, limit=limit)


def from_jsonl(path: str | Path, *, bad_references: BadReferences = "raise", limit: int | None = None) -> list[Problem]:
    """Problems from a file of one JSON object per line, in UTF-8; empty lines are skipped.

    ``as_problems`` names the fields. ``ValueError``, with file and line, for what is not JSON and for what
    ``as_problems`` refuses.
    """
    return read_problems(read_rows(path), str(path), bad_references=bad_references, limit=limit)


def from_hub(
    hub_id: str, *, split: str = "test", configuration: str | None = None, limit: int | None = None
) -> list[Problem]:
    """Problems from a data set on the Hugging Face hub, by the package ``datasets``; fields as in ``as_problems``."""
    with needed(
        f"loading {hub_id!r} from the hub needs the package datasets: pip install 'ttscale[train]'; or give a local "
        "JSONL file"
    ):
        import datasets
    try:
        rows = datasets.load_dataset(hub_id, configuration, split=split)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"could not load the data set {hub_id!r} (split {split!r}): {error}; check its id and the network, or give "
            "a local JSONL file"
        ) from error
    placed = ((f"{hub_id}, row {number}", row) for number, row in enumerate(rows, start=1))
    return read_problems(placed, hub_id, limit=limit)


def from_reference(n: int = 500, *, split: str = "test", level: int | None = None, seed: int = 0) -> list[Problem]:
    """``n`` problems of the benchmark that ships with the library, levels 1 to 5 in turn unless ``level`` is given."""
    from ttscale import reference

    return [Problem(p.id, p.prompt, p.answer, p.level) for p in reference.questions(n, split, level, seed)]
