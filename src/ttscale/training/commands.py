"""What each ``ttscale train`` command does with its settings: read, call the library, say what came out.

Knows files, formats and what to print. Must not know argument parsing (``cli/train_flags.py`` does). A function per
command, named like it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from ttscale.api.load_roles import BUNDLED
from ttscale.evaluation.problems.datasets import from_jsonl
from ttscale.evaluation.problems.problem import Problem
from ttscale.evaluation.problems.splits import check_disjoint
from ttscale.prompts.layouts import PromptFormat
from ttscale.training.data import readers
from ttscale.training.data.examples import (
    StepExample,
    consensus_filter,
    hard_labels,
    outcome_labels,
    relabel,
    write_examples,
)
from ttscale.training.fit.recipe import Recipe

Settings = Mapping[str, Any]


def rollouts(settings: Settings) -> None:
    from ttscale.training.data.rollouts import collect_rollouts

    names = ("samples", "rollouts", "estimate", "temperature", "unparsable", "unparsable_rollouts", "together", "seed")
    options = {name: settings[name] for name in names}
    print(collect_rollouts(settings["generator"], _questions(settings), settings["out"], **options))


def chains(settings: Settings) -> None:
    from ttscale.training.data.chains import collect_chains

    names = ("chains", "length", "context", "together", "seed")
    options = {name: settings[name] for name in names}
    print(collect_chains(settings["reviser"], _questions(settings), settings["out"], **options))


def prm(settings: Settings) -> None:
    from ttscale.training.prm import train_prm

    train = partial(train_prm, separator=settings["separator"], calibrated=settings["calibrated"])
    _train(train, settings, prepare=partial(_labelled, settings=settings))


def orm(settings: Settings) -> None:
    from ttscale.training.prm import train_orm

    _train(partial(train_orm, separator=settings["separator"], calibrated=settings["calibrated"]), settings)


def implicit(settings: Settings) -> None:
    from ttscale.training.implicit import train_implicit_prm

    reference = None if settings["reference"] is None else _base(settings["reference"])
    _train(partial(train_implicit_prm, reference=reference, goal=settings["goal"], beta=settings["beta"]), settings)


def revision_data(settings: Settings) -> None:
    from ttscale.training.data.revision_data import build_revision_data, write_revision_data

    solutions = _say(readers.read_rollouts(settings["data"]), settings["data"], allow_malformed=False)
    names = ("max_attempts", "last", "keep", "seed")
    data = build_revision_data(solutions, **{name: settings[name] for name in names})
    write_revision_data(data, settings["out"])
    counts = [sum(len(example.attempts) == n for example in data) for n in range(settings["max_attempts"] + 1)]
    shares = ", ".join(f"{count} with {n}" for n, count in enumerate(counts))
    print(f"{settings['out']}: {len(data)} examples of {len({e.id for e in data})} questions; attempts: {shares}")


def reviser(settings: Settings) -> None:
    from ttscale.training.data.revision_data import read_revision_data
    from ttscale.training.reviser import train_reviser

    _train(train_reviser, settings, read=read_revision_data)


def sft(settings: Settings) -> None:
    from ttscale.training.sft import read_solutions, train_sft

    _train(partial(train_sft, delimiter=settings["delimiter"]), settings, read=read_solutions)


def quality(settings: Settings) -> None:
    from ttscale.evaluation.verifier_quality.markdown import plot_reliability, quality_markdown
    from ttscale.evaluation.verifier_quality.report import quality_report
    from ttscale.training.fit.run import check_untrained
    from ttscale.training.score_examples import judge

    examples = _say(readers.read_rollouts(settings["data"]), settings["data"], allow_malformed=False)
    if os.path.isdir(settings["verifier"]):
        check_untrained(settings["verifier"], examples)
    if settings["verifier"] == BUNDLED:
        _check_split(examples)
    judged = judge(settings["verifier"], examples)
    report = quality_report(judged, aggregate=settings["aggregate"], bins=settings["bins"], seed=settings["seed"])
    out = Path(settings["out"])
    out.parent.mkdir(parents=True, exist_ok=True)
    text = quality_markdown(report, f"Quality of {settings['verifier']}")
    out.with_name(out.name + ".json").write_text(report.to_json() + "\n", encoding="utf-8")
    out.with_name(out.name + ".md").write_text(text, encoding="utf-8")
    print(text)
    try:
        plot_reliability(report, out.with_name(out.name + ".png"))
    except ImportError as error:
        print(f"no reliability plot: {error}")


def convert(settings: Settings) -> None:
    examples = _read(settings["data"], settings)
    if settings["to"] == "trl":
        readers.write_trl(examples, settings["out"], threshold=settings["threshold"])
    else:
        write_examples(examples, settings["out"])
    print(f"{settings['out']}: {len(examples)} examples")


def _train(
    train: Callable[..., object],
    settings: Settings,
    *,
    read: Callable[[str], list[Any]] | None = None,
    prepare: Callable[[list[Any]], list[Any]] = list,
) -> None:
    """Train on what ``read`` (None: the reader that ``--format`` names) and ``prepare`` make of the data."""
    recipe, prompt = Recipe(**{field.name: settings[field.name] for field in fields(Recipe)}), _prompt(settings)
    test = () if settings["test_questions"] is None else from_jsonl(settings["test_questions"])
    read = read or partial(_read, settings=settings)
    examples = read(settings["data"])
    validation = None if settings["validation"] is None else read(settings["validation"])
    check_disjoint([*examples, *(validation or ())], test)  # before a teacher is asked about all of them
    result = train(
        _base(settings["base"]),
        prepare(examples),
        settings["out"],
        validation=None if validation is None else prepare(validation),
        test=test,
        recipe=recipe,
        prompt=prompt,
    )
    print(result)


def _labelled(examples: list[StepExample], settings: Settings) -> list[StepExample]:
    """The examples with the labels a PRM is to learn: filtered, then distilled, hardened or left as they are."""
    from ttscale.training.score_examples import verifier_scores

    if settings["consensus_with"] is not None:
        opinions = verifier_scores(settings["consensus_with"], examples)
        kept = consensus_filter(examples, opinions)
        print(f"consensus on the first error: {len(kept)} of {len(examples)} solutions")
        examples = kept
    if settings["distill_from"] is not None:
        if settings["labels"] != "soft":
            raise ValueError("--distill-from gives the labels itself; leave --labels out")
        return relabel(examples, verifier_scores(settings["distill_from"], examples))
    labels: dict[str, Callable[[list[StepExample]], list[StepExample]]] = {
        "soft": list,
        "hard": hard_labels,
        "outcome": outcome_labels,
    }
    return labels[settings["labels"]](examples)


def _read(path: str, settings: Settings) -> list[StepExample]:
    name = settings["format"]
    if name == "prm800k" and settings["neutral"] is None:
        raise ValueError("--format prm800k needs --neutral positive, negative or unlabelled: what a rating of 0 means")
    read: dict[str, Callable[[str], readers.Read]] = {
        "own": readers.read_rollouts,
        "trl": readers.read_trl,
        "math-shepherd": readers.read_math_shepherd,
        "rlhflow": readers.read_rlhflow,
        "omegaprm": readers.read_omegaprm,
        "prm800k": partial(readers.read_prm800k, neutral=settings["neutral"]),
    }
    return _say(read[name](path), path, settings["allow_malformed"])


def _say(found: readers.Read, path: str, allow_malformed: bool) -> list[StepExample]:
    print(f"{path}: {found}")
    if found.malformed and not allow_malformed:
        raise ValueError(
            f"{path} has malformed rows (see above); repair them, or leave them out with --allow-malformed where the "
            "command has it"
        )
    if not found.examples:
        raise ValueError(f"{path} holds no examples")
    return found.examples


def _questions(settings: Settings) -> list[Problem]:
    return from_jsonl(settings["questions"], bad_references="skip" if settings["skip_bad_references"] else "raise")


def _prompt(settings: Settings) -> PromptFormat | None:
    if settings["prompt"] is None:
        return None
    try:
        return PromptFormat.from_json(json.loads(Path(settings["prompt"]).read_text(encoding="utf-8")))
    except (ValueError, AttributeError) as error:
        raise ValueError(f"--prompt {settings['prompt']}: no prompt format in JSON: {error}") from error


def _check_split(examples: Sequence[StepExample]) -> None:
    """Refuse to measure the bundled verifier on the questions that it was taught with."""
    from ttscale import reference

    taught = sorted({e.id for e in examples if reference.split_of(e.prompt) == "train"})
    if taught:
        raise ValueError(
            f"{len(taught)} of the questions, {taught[0]!r} first, are of the split that the bundled verifier learned "
            "from; numbers measured on them would mean nothing: use the splits validation and test"
        )


def _base(name: str) -> str:
    """A folder or id; "bundled" is the bundled generator."""
    if name != BUNDLED:
        return name
    from ttscale import reference

    return str(reference.path("generator"))
