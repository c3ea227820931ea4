"""The data every part of ttscale speaks: keys, questions, steps, candidates, outcomes.

Everything here is frozen and compares with ``==``. This file knows nothing of models, strategies or time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Literal

from ttscale.answers import MATHEMATICS, AnswerRule, rule_named, without_thoughts
from ttscale.answers.thoughts import spoken_spans
from ttscale.core.chat import identity_of

Finish = Literal["open", "stop", "length"]
_HASH = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Key:
    """The address of a draw in its search tree, and therefore its seed (law 2).

    ``path`` starts with the user's seed and the question's id; each step down the tree appends parts. Parts are
    strings or integers.
    """

    path: tuple[str | int, ...]

    def child(self, *parts: str | int) -> Key:
        """The address one or more parts further down."""
        return Key(self.path + parts)

    @property
    def seed(self) -> int:
        """A 63-bit hash of the path: the same in every process, whatever PYTHONHASHSEED says."""
        text = "".join(f"{type(part).__name__[0]}{len(str(part))}:{part}" for part in self.path)
        return (
            int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> 1
        )

    def __str__(self) -> str:
        return "/".join(str(part) for part in self.path)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and what counts as an answer. It holds no reference answer, so a strategy cannot peek.

    ``answers`` is a rule or the name of one (``ttscale.answers``); it takes no part in ``==``.
    """

    id: str
    prompt: str
    answers: AnswerRule = field(default=MATHEMATICS, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "answers", rule_named(self.answers))

    @staticmethod
    def of(prompt: str) -> Question:
        """A question whose id is a hash of its text, so that asking it alone or among others draws the same.

        Of a ``Chat`` all its messages are hashed.
        """
        content = identity_of(prompt).encode("utf-8", "surrogatepass")
        return Question(hashlib.blake2b(content, digest_size=8).hexdigest(), prompt)

    @property
    def label(self) -> str:
        """How messages name it: by its id, with the beginning of its text where the id is a hash that says nothing."""
        if not _HASH.fullmatch(self.id):
            return repr(self.id)
        return f"{self.id!r} ({self.prompt if len(self.prompt) <= 60 else self.prompt[:57] + '...'!r})"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a solution, with its delimiter if it ended in one.

    ``tokens`` are the ids as sampled, never re-tokenised. The log-probability and certainty are optional records of
    the draw for verifiers that use them; they carry the rounding noise of a batch and do not take part in ``==``.
    """

    text: str
    tokens: tuple[int, ...] = ()
    logprob: float | None = field(default=None, compare=False)
    """Sum over the tokens of the log-probability under the model at temperature 1."""
    certainty: float | None = field(default=None, compare=False)
    """Mean over the tokens of KL(uniform || model), the self-certainty of arXiv 2502.18581."""
    drawn: int | None = field(default=None, compare=False)
    """How many tokens were drawn where their ids are not known (servers); None where ``tokens`` holds them."""
    tail: float | None = field(default=None, compare=False)
    """Mean token confidence over the last window up to the end of this step, where ``Sample.window`` asked for it."""
    lowest: float | None = field(default=None, compare=False)
    """Lowest mean of a whole window that ends in this step; None where there is none. See ``core/confidence.py``."""


def tokens_drawn(steps: Sequence[Step]) -> int:
    """How many tokens were drawn for these steps, without the end of the sequence; bytes of text where nobody knows."""
    return sum(len(step.tokens) or step.drawn or len(step.text.encode("utf-8", "surrogatepass")) for step in steps)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A solution, whole or begun: the steps from the question on.

    ``finish`` is "open" (can be continued), "stop" (the model ended it) or "length" (cut off: not finished).
    ``attempts`` are the earlier solutions a revision saw in its context, oldest first, each without its own.
    """

    question: Question
    key: Key
    steps: tuple[Step, ...] = ()
    finish: Finish = "open"
    attempts: tuple[Candidate, ...] = ()
    _answer: str | EllipsisType | None = field(default=..., init=False, repr=False, compare=False)
    """The answer once it was looked for: every vote asks for it again."""

    @property
    def text(self) -> str:
        return "".join([step.text for step in self.steps])

    @property
    def tokens(self) -> tuple[int, ...]:
        return tuple(token for step in self.steps for token in step.tokens)

    @property
    def answer(self) -> str | None:
        """The final answer found in the text, or None. Open and cut-off candidates have none."""
        if isinstance(self._answer, EllipsisType):
            found = self.question.answers.extract(self.text) if self.finish == "stop" else None
            object.__setattr__(self, "_answer", found)
            return found
        return self._answer

    @property
    def spoken(self) -> str:
        """The text without thoughts: what judges, revisers and later attempts see."""
        return without_thoughts(self.text)

    @property
    def spoken_steps(self) -> tuple[str, ...]:
        """The text of each step without thoughts, "" for a step that was all thought: what verifiers see."""
        spans, begin, texts = spoken_spans(self.text), 0, []
        for step in self.steps:
            end = begin + len(step.text)
            texts.append("".join(self.text[max(a, begin) : min(b, end)] for a, b in spans if a < end and b > begin))
            begin = end
        return tuple(texts)

    @property
    def done(self) -> bool:
        """Whether the model ended the solution itself. One cut off at the length limit is not done."""
        return self.finish == "stop"

    def extend(self, key: Key, steps: Sequence[Step], finish: Finish) -> Candidate:
        """This candidate continued by ``steps``, under a key of its own."""
        return Candidate(self.question, key, (*self.steps, *steps), finish, self.attempts)


def said_steps(candidate: Candidate, thoughts: bool = False) -> tuple[str | None, ...]:
    """The steps as a verifier sees them: without thoughts, None for one that was all thought, unless ``thoughts``.

    A candidate that has said nothing yet is shown as it stands: a search over thoughts needs scores, too.
    """
    whole = tuple(step.text for step in candidate.steps)
    said = whole if thoughts else candidate.spoken_steps
    if said == whole or not any(step.strip() for step in said):
        return whole
    first = next(n for n, step in enumerate(said) if step.strip())
    shown = [step.lstrip() if n == first else step for n, step in enumerate(said)]
    return tuple(step if step.strip() or step == old else None for step, old in zip(shown, whole, strict=True))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a strategy returns: its candidates, a score for each (None where none was asked for) and the winner.

    ``chosen`` is an index into ``candidates``, or None when no candidate was finished. ``note`` says in a few words
    what was decided on the way (the scheduler names the strategy it went on with). ``weights`` are what the candidates'
    votes weighed, None for one that had no vote, where that is not the scores.
    """

    candidates: tuple[Candidate, ...]
    scores: tuple[float | None, ...]
    chosen: int | None
    note: str = ""
    weights: tuple[float | None, ...] | None = None
