"""A toy world whose chances are known: a model that slips, a verifier that may see it, a reviser that may mend it.

A solution is ``depth`` working steps and the answer. Each working step is right with a known chance; the first slip
decides which wrong answer comes out, and is never made good. Every draw comes from its key alone, every score from the
text alone, every cost from the request alone, so all laws hold to the last bit and closed forms can be checked.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from random import Random

from ttscale.core.confidence import falls_below, with_confidence
from ttscale.core.cost import Cost
from ttscale.core.requests import Compare, Completion, Preference, Revise, Sample, Score, Verdict
from ttscale.core.types import Candidate, Key, Question, Step

_WORK = re.compile(r"\d+\. (right|slip) (\d+)\n")


@dataclass(frozen=True, slots=True)
class ToyWorld:
    """What is true and how likely. ``chance`` is the probability that one drawn solution is right."""

    p: float | tuple[float, ...] = 0.7
    """Chance that a working step is right, for all steps or one for each."""
    depth: int = 3
    """Working steps; not used where ``p`` holds one chance for each."""
    wrong: int = 3
    """Different slips, equally likely, and so different wrong answers."""
    ways: int = 2
    """Different wordings of a right step."""
    hasty: float = 0.0
    """Chance, at each step after a slip, to give the answer at once. Makes lengths differ."""
    cut: float = 0.0
    """Chance, at each step, to be cut off at the length limit. Never at temperature 0."""

    def __post_init__(self) -> None:
        if not all(0 <= chance <= 1 for chance in (*self.chances, self.hasty, self.cut)):
            raise ValueError(f"p, hasty and cut are probabilities in [0, 1]; got {self}")
        if min(self.wrong, self.ways, len(self.chances)) < 1:
            raise ValueError(f"depth, wrong and ways must be positive; got {self}")

    @property
    def chances(self) -> tuple[float, ...]:
        """The chance of each working step."""
        return self.p if isinstance(self.p, tuple) else (self.p,) * self.depth

    @property
    def chance(self) -> float:
        """The probability that a solution, drawn in one go at temperature 1, is finished and right."""
        return math.prod(self.chances) * (1 - self.cut) ** (len(self.chances) + 1)

    @staticmethod
    def questions(n: int) -> list[Question]:
        """``n`` questions, always the same ones."""
        return [Question(f"toy-{i}", f"Toy question {i}?") for i in range(n)]

    @staticmethod
    def truth(question: Question) -> str:
        """The right answer: a number from 100 to 999."""
        return str(100 + Key(("truth", question.prompt)).seed % 900)

    def right(self, candidate: Candidate) -> bool:
        """Whether a candidate is finished and its answer right."""
        return candidate.answer == self.truth(candidate.question)

    def values(self, question: Question, steps: Sequence[Step]) -> list[float]:
        """After each step, the chance that the solution will be right, never being cut off."""
        chances, slipped, values = self.chances, False, []
        for number, step in enumerate(steps, 1):
            work = _WORK.fullmatch(step.text)
            slipped = slipped or (work is not None and work[1] == "slip")
            if work is None:
                values.append(float(step.text == f"Answer: {self.truth(question)}"))
            else:
                values.append(0.0 if slipped else math.prod(chances[number:]))
        return values


def first_slip(steps: Sequence[Step]) -> int | None:
    """The number of the first slip in a toy solution, or None."""
    for step in steps:
        work = _WORK.fullmatch(step.text)
        if work and work[1] == "slip":
            return int(work[2])
    return None


class ToyLM:
    """The generator of a ``ToyWorld``. Temperature 1 unless asked otherwise; 0 takes the likeliest step."""

    name = "toy"

    def __init__(self, world: ToyWorld | None = None) -> None:
        self.world = world or ToyWorld()
        self.calls = 0

    def sample(self, requests: Sequence[Sample], /) -> list[Completion]:
        """Continue each prefix, with noise from its key."""
        self.calls += 1
        return [_short(_sure(request, self._continue(request)), request.max_tokens) for request in requests]

    def _continue(self, request: Sample) -> Completion:
        world, random = self.world, Random(request.key.seed)
        steps = list(request.prefix.steps)
        begun = len(steps)
        while request.max_steps is None or len(steps) < begun + request.max_steps:
            if request.temperature != 0 and random.random() < world.cut:
                return _reply(request.question, begun, steps, "length")
            slip = first_slip(steps)
            if len(steps) >= len(world.chances) or (slip is not None and random.random() < world.hasty):
                steps.append(_answer(world, request.question, slip))
                return _reply(request.question, begun, steps, "stop")
            steps.append(_work(world, len(steps), random, 1.0 if request.temperature is None else request.temperature))
        return _reply(request.question, begun, steps, "open")


class ToyReviser:
    """The reviser of a ``ToyWorld``: mends a wrong last attempt with chance ``fix``, ruins a right one with ``spoil``.

    A first attempt is right with the chance that the world's steps have. Chains are Markov chains with two states.
    """

    name = "toy-reviser"

    def __init__(self, world: ToyWorld | None = None, fix: float = 0.5, spoil: float = 0.1) -> None:
        self.world = world or ToyWorld()
        self.fix, self.spoil = fix, spoil
        self.calls = 0

    def revise(self, requests: Sequence[Revise], /) -> list[Completion]:
        """A new solution for each request, with noise from its key."""
        self.calls += 1
        return [_short(self._attempt(request), request.max_tokens) for request in requests]

    def _attempt(self, request: Revise) -> Completion:
        world, random = self.world, Random(request.key.seed)
        chance = math.prod(world.chances)
        if request.attempts[-1].steps:
            chance = 1 - self.spoil if world.right(request.attempts[-1]) else self.fix
        depth = len(world.chances)
        slip_at = depth if random.random() < chance else random.randrange(depth)
        steps = [
            _right(i, random.randrange(world.ways)) if i != slip_at else _slip(i, random.randrange(world.wrong))
            for i in range(depth)
        ]
        steps.append(_answer(world, request.question, first_slip(steps)))
        context = sum(len(attempt.tokens) for attempt in request.attempts)
        return _reply(request.question, 0, steps, "stop", context)


class ToyVerifier:
    """The verifier of a ``ToyWorld``: the true chance of ending right, mixed with ``noise`` (0 none, 1 nothing else).

    A PRM with a score per step, each from the steps up to it, or with ``orm`` a single score for the whole. The noise
    comes from the text, so equal texts score the same.
    """

    def __init__(self, world: ToyWorld | None = None, noise: float = 0.0, *, orm: bool = False) -> None:
        self.world = world or ToyWorld()
        self.noise, self.orm = noise, orm
        self.name = f"toy-verifier({noise})"
        self.calls = 0

    def score(self, requests: Sequence[Score], /) -> list[Verdict]:
        """Judge each candidate, from its text alone."""
        self.calls += 1
        return [self._judge(request.candidate) for request in requests]

    def _judge(self, candidate: Candidate) -> Verdict:
        values = self.world.values(candidate.question, candidate.steps)
        seen = hashlib.blake2b(candidate.question.prompt.encode(), digest_size=8)
        scores = []
        for value, step in zip(values, candidate.steps, strict=True):
            seen.update(step.text.encode())
            guess = int.from_bytes(seen.digest(), "big") / 2**64
            scores.append((1 - self.noise) * value + self.noise * guess)
        if self.orm or not scores:
            scores = scores[-1:] or [math.prod(self.world.chances)]
        tokens = len(candidate.question.prompt.encode()) + len(candidate.tokens)
        return Verdict(tuple(scores), Cost(verifier_tokens=tokens, flops=2.0 * tokens))


class ToyComparator:
    """The comparator of a ``ToyWorld``: names one that is right with chance ``skill`` where some are and some are not.

    Else it names any; which, comes from the key. With ``skill`` 0.5 and two candidates it guesses.
    """

    def __init__(self, world: ToyWorld | None = None, skill: float = 0.8) -> None:
        self.world = world or ToyWorld()
        self.skill = skill
        self.name = f"toy-comparator({skill})"
        self.calls = 0

    def compare(self, requests: Sequence[Compare], /) -> list[Preference]:
        """Judge each group, with noise from its key."""
        self.calls += 1
        return [self._judge(request) for request in requests]

    def _judge(self, request: Compare) -> Preference:
        random = Random(request.key.seed)
        everyone = range(len(request.candidates))
        right = [i for i in everyone if self.world.right(request.candidates[i])]
        wrong = [i for i in everyone if i not in right]
        pool = (right if random.random() < self.skill else wrong) if right and wrong else everyone
        chosen = random.choice(pool)
        tokens = sum(len(c.tokens) for c in request.candidates) + len(request.question.prompt.encode())
        cost = Cost(verifier_tokens=tokens, flops=2.0 * tokens)
        return Preference(tuple(float(i == chosen) for i in everyone), cost)


def _sure(request: Sample, reply: Completion) -> Completion:
    """The reply with the confidence that was asked for: a token is worth 0 to 1 by chance, and 1 more before a slip."""
    if request.window is None:
        return reply
    random, sure, steps = Random(f"sure {request.key.seed}"), list[float](), list[Step]()
    for number, step in enumerate(reply.steps):
        fine = first_slip([*request.prefix.steps, *reply.steps[: number + 1]]) is None
        for i in range(len(step.tokens)):
            sure.append(fine + random.random())
            if request.stop_below is not None and falls_below(sure, request.window, request.stop_below):
                steps.append(_step(step.text[: i + 1]))
                spared = sum(len(step.tokens) for step in reply.steps) + (reply.finish == "stop") - len(sure)
                tokens = reply.cost.sampled_tokens - spared
                cost = replace(reply.cost, sampled_tokens=tokens, flops=reply.cost.flops - 2.0 * spared)
                return Completion(_recorded(steps, sure, request.window), "length", cost)
        steps.append(step)
    return replace(reply, steps=_recorded(steps, sure, request.window))


def _short(reply: Completion, most: int | None) -> Completion:
    """The reply of a draw that may sample ``most`` tokens."""
    if most is None or reply.cost.sampled_tokens <= most:
        return reply
    left, steps = most, list[Step]()
    for step in reply.steps:
        if left > 0:
            kept = step.tokens[:left]
            steps.append(step if kept == step.tokens else replace(step, text=bytes(kept).decode(), tokens=kept))
            left -= len(kept)
    spared = reply.cost.sampled_tokens - most
    cost = replace(reply.cost, sampled_tokens=most, flops=reply.cost.flops - 2.0 * spared)
    return Completion(tuple(steps), "length", cost)


def _recorded(steps: Sequence[Step], sure: Sequence[float], window: int) -> tuple[Step, ...]:
    return tuple(with_confidence(steps, sure, list(accumulate(len(step.tokens) for step in steps)), window))


def _work(world: ToyWorld, number: int, random: Random, temperature: float) -> Step:
    """A working step: right, or one of the slips, drawn at a temperature."""
    likely = world.chances[number]
    weights = [likely, *[(1 - likely) / world.wrong] * world.wrong]
    if temperature == 0:
        choice, way = max(range(len(weights)), key=lambda i: (weights[i], -i)), 0
    else:
        choice = random.choices(range(len(weights)), [weight ** (1 / temperature) for weight in weights])[0]
        way = random.randrange(world.ways)
    return _slip(number, choice - 1) if choice else _right(number, way)


def _right(number: int, way: int) -> Step:
    return _step(f"{number + 1}. right {way}\n")


def _slip(number: int, which: int) -> Step:
    return _step(f"{number + 1}. slip {which}\n")


def _answer(world: ToyWorld, question: Question, slip: int | None) -> Step:
    return _step(f"Answer: {int(world.truth(question)) + (0 if slip is None else slip + 1)}")


def _step(text: str) -> Step:
    return Step(text, tuple(text.encode()))


def _reply(question: Question, begun: int, steps: Sequence[Step], finish: str, attempts: int = 0) -> Completion:
    """The steps after the first ``begun``; what it cost is counted in bytes, and one for the end of the sequence."""
    new = tuple(steps[begun:])
    sampled = sum(len(step.tokens) for step in new) + (finish == "stop")
    context = len(question.prompt.encode()) + attempts + sum(len(step.tokens) for step in steps[:begun])
    cost = Cost(sampled_tokens=sampled, prompt_tokens=context, flops=2.0 * (sampled + context))
    return Completion(new, finish, cost)  # type: ignore[arg-type]
