"""Splits by question: training, held-out and test data that share no question, whatever the order of the file.

Knows ids and texts of questions only. A question on both sides of a split is an error before anything is spent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

from ttscale.evaluation.problems.problem import WithQuestion, plain

E = TypeVar("E", bound=WithQuestion)


def split_questions(examples: Sequence[E], held_out: float = 0.1, seed: int = 0) -> tuple[list[E], list[E]]:
    """(training, held-out) examples, split by *question*: all solutions of a question stay together.

    Held out is the ``held_out`` share of the questions (at least one) with the lowest seeded hash of their text. So the
    choice does not depend on the order of the file, and the same text under two ids stays on one side.
    """
    if not 0.0 < held_out < 1.0:
        raise ValueError(f"held_out must be a share between 0 and 1, got {held_out}")
    first: dict[str, str] = {}  # the questions of an id are one, whatever their text
    same: dict[str, str] = {}
    for example in examples:
        text = plain(example.prompt)
        a, b = _root(same, text), _root(same, first.setdefault(example.id, text))
        same[max(a, b)] = min(a, b)
    group = {text: _root(same, text) for text in same}
    texts = sorted(set(group.values()), key=lambda text: _digest(f"{seed}/{text}"))
    if len(texts) < 2:
        raise ValueError(
            f"cannot hold out questions: the examples have {len(texts)} distinct question(s), and at least 2 are "
            "needed (1 to train on, 1 to validate on); pass a validation set of your own, or more questions"
        )
    chosen = set(texts[: min(max(1, round(held_out * len(texts))), len(texts) - 1)])
    training = [e for e in examples if group[plain(e.prompt)] not in chosen]
    return training, [e for e in examples if group[plain(e.prompt)] in chosen]


def _root(same: dict[str, str], text: str) -> str:
    while same.setdefault(text, text) != text:
        text = same[text]
    return text


def sides(
    examples: Sequence[E], validation: Iterable[E] | None, test: Iterable[WithQuestion], held_out: float, seed: int
) -> tuple[list[E], list[E]]:
    """(training, held-out) examples with no question on both sides, nor in ``test``."""
    if not examples:
        raise ValueError("there is nothing to train on: the examples are empty")
    measured = list(test)
    check_disjoint(examples, measured)
    if validation is None:
        return split_questions(examples, held_out, seed)
    training, validated = list(examples), list(validation)
    if not validated:
        raise ValueError("the validation set is empty; leave it out to hold out a share of the questions")
    check_disjoint(training, validated, "validation")
    check_disjoint(validated, measured, side="validation")
    return training, validated


def check_disjoint(
    training: Iterable[WithQuestion], other: Iterable[WithQuestion], name: str = "test", *, side: str = "training"
) -> None:
    """Refuse a question (by id or by text, white space aside) that is in the training data and in ``other``."""
    ids, texts = set(), set()
    for example in training:
        ids.add(example.id)
        texts.add(plain(example.prompt))
    shared = sorted({e.id for e in other if e.id in ids or plain(e.prompt) in texts})
    if shared:
        raise ValueError(
            f"{len(shared)} question(s) are in the {side} data and in the {name} data: "
            f"{', '.join(map(repr, shared[:5]))}{' ...' if len(shared) > 5 else ''}; "
            "numbers measured on them would mean nothing: take them out of one side"
        )


def fingerprints(examples: Iterable[WithQuestion]) -> list[str]:
    """Sorted hashes of the distinct question texts: what a checkpoint remembers of its training questions."""
    return sorted({_digest(plain(e.prompt)) for e in examples})


def shuffled(questions: Iterable[str], seed: int) -> list[str]:
    """Question ids in an order that depends on each id and the seed only, not on the order they come in."""
    return sorted(questions, key=lambda id_: hashlib.blake2b(f"{seed}/{id_}".encode(), digest_size=8).digest())


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
