"""A generator as comparator: it is shown several solutions of one question and asked which is the best.

It knows the question put to the model and how its replies are read; nothing of the model, or of tournaments.
"""

from __future__ import annotations

import asyncio
import re
import string
from collections.abc import Callable, Sequence
from typing import Any

from ttscale.answers.thoughts import without_thoughts
from ttscale.core.chat import Inquiry
from ttscale.core.checks import check_count
from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError
from ttscale.core.protocols import ChoosesFirstToken, is_async, name_of, shared_worker
from ttscale.core.requests import Compare, Completion, Preference, Sample, where
from ttscale.core.types import Candidate, Question
from ttscale.prompts.layouts import fill
from ttscale.verifiers.replies import as_verifier, received, text_of
from ttscale.verifiers.sync_or_async import Ask, Plan, relay

VOTES = 4
"""Replies to each order where the generator shows no probabilities."""
COMPARE_PROMPT = (
    "Here is a question and {number} solutions.\n\n"
    "Question:\n{question}\n\n{solutions}\n\n"
    "Which solution is the best: right in its answer, and in its steps? Reply with its letter alone, one of {letters}."
)
SOLUTION = "Solution {letter}:\n{solution}"
LETTERS = string.ascii_uppercase

_AT_A_LINE_S_END = re.compile(r"(?<![A-Za-z0-9'])([A-Z])(?=[\s.!)*\"'}\]]*(?:\Z|\n))")
_NAMED = re.compile(r"\b(?:solution|answer|option)\b[\s:*\"'(]*([A-Z])\b", re.IGNORECASE)
_OPENING = re.compile(r"\W*([A-Z])\b(?! [a-z])")


class PromptedComparator:
    """Asks ``generator`` which of several solutions is the best.

    Every comparison is asked in the order given and the other way round, and the two are averaged, since models prefer
    what stands first or last. The weights are the probabilities of the solutions' letters as the first word of the
    reply, where the generator shows probabilities; elsewhere, or with ``votes``, the shares of so many replies to each
    order. ``prompt`` holds ``{question}``, ``{solutions}``, ``{number}`` and ``{letters}``. The generator's default
    prompt, which asks for solutions, does not go with it. What is read and written is the verifier's cost. The noise
    comes from the key of the comparison. Solutions are shown without their thoughts, unless ``thoughts`` is True.
    """

    def __init__(
        self, generator: Any, *, votes: int | None = None, prompt: str = COMPARE_PROMPT, thoughts: bool = False
    ) -> None:
        if not hasattr(generator, "sample"):
            raise ValueError(f"PromptedComparator needs a generator, an object with sample(); got {generator!r}")
        check_count("votes", votes, none=True)
        if "{solutions}" not in prompt or "{question}" not in prompt:
            raise ValueError(
                f"the prompt of a comparator must contain {{question}} and {{solutions}}; got {prompt!r:.200}"
            )
        self._generator, self._votes, self._prompt, self._thoughts = generator, votes, prompt, thoughts
        self.members = (generator,)
        self.sampling: dict[str, Any] = {"votes": votes} if votes else {}
        self.sampling |= {"thoughts": True} if thoughts else {}
        self.sampling |= {"prompt": prompt} if prompt != COMPARE_PROMPT else {}
        self.name = f"compare({name_of(generator)})"
        self.worker = shared_worker(generator)
        methods = [generator.sample, *([generator.choose] if isinstance(generator, ChoosesFirstToken) else [])]
        self.compare: Callable[[Sequence[Compare]], Any] = relay(self._plan, is_async(*methods))

    def __repr__(self) -> str:
        return f"PromptedComparator({self._generator!r})"

    def _plan(self, requests: Sequence[Compare]) -> Plan[list[Preference | Exception]]:
        if most := next((r for r in requests if len(r.candidates) > len(LETTERS)), None):
            raise RoleError(
                f"at most {len(LETTERS)} solutions can be compared at once; got {len(most.candidates)} ({where(most)})"
            )
        replies: list[Preference | Exception] = []
        for request in requests:
            letters = LETTERS[: len(request.candidates)]
            if self._votes is None and isinstance(self._generator, ChoosesFirstToken):
                asked = [self._question(request, order, 0) for order in (1, -1)]
                odds = yield Ask(self._generator.choose, (asked, tuple(letters)))
                if odds is not None:
                    replies.append(_from_odds(request, odds))
                    continue
            votes = range(self._votes or VOTES)
            asked = [self._question(request, order, vote) for order in (1, -1) for vote in votes]
            said = yield Ask(self._generator.sample, (asked,))
            if len(said) != len(asked):
                raise RoleError(
                    f"{self._generator!r} gave {len(said)} replies to {len(asked)} questions of a comparator"
                )
            replies.append(_from_votes(request, letters, said))
        return replies

    def _question(self, request: Compare, order: int, vote: int) -> Sample:
        """What the model is asked, the candidates in their order (1) or backwards (-1)."""
        shown = [
            fill(SOLUTION, letter=letter, solution=(candidate.text if self._thoughts else candidate.spoken).strip())
            for letter, candidate in zip(LETTERS, request.candidates[::order], strict=False)
        ]
        text = fill(
            self._prompt,
            question=request.question.prompt,
            solutions="\n\n".join(shown),
            number=str(len(shown)),
            letters=", ".join(LETTERS[: len(shown)]),
        )
        key = request.key.child("judge", order, vote)
        return Sample(Candidate(Question.of(Inquiry(text)), key), key)


class FunctionComparator:
    """Prefers by ``fn(candidates)``: the index of the best, or a weight of at least 0 for each; it may be ``async``.

    What it raises is an error of that question.
    """

    def __init__(self, fn: Callable[[tuple[Candidate, ...]], Any], *, name: str | None = None) -> None:
        if not callable(fn):
            raise ValueError(f"FunctionComparator needs a function of a tuple of candidates; got {fn!r}")
        self._fn = fn
        self.name = name or str(getattr(fn, "__name__", type(fn).__name__))
        self.compare: Callable[[Sequence[Compare]], Any] = self._acompare if is_async(fn) else self._compare

    def __repr__(self) -> str:
        return f"FunctionComparator({self.name})"

    def _compare(self, requests: Sequence[Compare], /) -> list[Preference]:
        return [_preference(self.name, request, self._fn(request.candidates)) for request in requests]

    async def _acompare(self, requests: Sequence[Compare], /) -> list[Preference]:
        results = await asyncio.gather(*(self._fn(request.candidates) for request in requests))
        return [_preference(self.name, request, result) for request, result in zip(requests, results, strict=True)]


def _preference(name: str, request: Compare, said: Any) -> Preference:
    n = len(request.candidates)
    said = said.tolist() if hasattr(said, "tolist") else said  # numpy, torch
    if isinstance(said, int) and not isinstance(said, bool) and 0 <= said < n:
        return Preference(tuple(float(i == said) for i in range(n)))
    try:
        weights = [float(weight) for weight in said]
    except (TypeError, ValueError):
        weights = []
    total = sum(weights)
    if len(weights) != n or not all(weight >= 0 for weight in weights) or not 0 < total < float("inf"):
        raise RoleError(
            f"{name} returned {said!r} for {n} candidates ({where(request)}); return the index of the "
            "best, or a weight of at least 0 for each"
        )
    return Preference(tuple(weight / total for weight in weights))


def _from_odds(request: Compare, odds: Sequence[tuple[tuple[float, ...], Cost]]) -> Preference | Exception:
    weights = [0.0] * len(request.candidates)
    cost = Cost()
    for order, (found, spent) in zip((1, -1), odds, strict=True):
        total = sum(found)
        if not total > 0:
            return RoleError(f"the comparator would name no solution ({where(request)}); pass votes=, or a prompt")
        weights = [weight + share / total / 2 for weight, share in zip(weights, found[::order], strict=True)]
        cost += spent
    return Preference(_adding_up(weights), as_verifier(cost))


def _from_votes(request: Compare, letters: str, said: Sequence[Any]) -> Preference | Exception:
    given = received(said, Completion, "the comparator's generator")
    if isinstance(given, Exception):
        return given
    weights = [0.0] * len(letters)
    orders = []
    for replies in (given[: len(given) // 2], given[len(given) // 2 :]):
        named = [letters.index(letter) for reply in replies if (letter := chosen_letter(reply, letters))]
        orders.append([named.count(i) / len(named) for i in range(len(letters))] if named else None)
    heard = [shares[::order] for order, shares in zip((1, -1), orders, strict=True) if shares]
    if not heard:
        return RoleError(
            f"the comparator named none of the solutions {', '.join(letters)} in {len(given)} replies "
            f"({where(request)}); the first was {text_of(given[0])[:200]!r}; give it room to finish, or another prompt"
        )
    weights = [sum(shares[i] for shares in heard) / len(heard) for i in range(len(letters))]
    cost = sum((reply.cost for reply in given), Cost())
    return Preference(_adding_up(weights), as_verifier(cost))


def chosen_letter(reply: Completion, letters: str) -> str | None:
    """The letter that a reply settles on: the last that ends a line, else is called a solution, else begins the reply.

    Of a reply that was cut off, only its beginning counts.
    """
    text = without_thoughts(text_of(reply))
    if reply.finish == "stop":
        for pattern in (_AT_A_LINE_S_END, _NAMED):
            found = [letter.upper() for letter in pattern.findall(text) if letter.upper() in letters]
            if found:
                return str(found[-1])
    opening = _OPENING.match(text)
    return opening[1] if opening and opening[1] in letters else None


def _adding_up(weights: Sequence[float]) -> tuple[float, ...]:
    total = sum(weights)
    return tuple(min(1.0, weight / total) for weight in weights)
