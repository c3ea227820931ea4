"""A generator as judge: it is asked whether a solution is correct (a generative verifier, arXiv 2408.15240).

It knows the question put to the judge and how its replies are read; nothing of the model that replies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ttscale.answers.thoughts import without_thoughts
from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError
from ttscale.core.protocols import ChoosesFirstToken, is_async, name_of, shared_worker
from ttscale.core.requests import Completion, Sample, Score, Verdict
from ttscale.core.selection import Aggregate
from ttscale.core.types import Candidate, Question
from ttscale.prompts.layouts import fill
from ttscale.verifiers.replies import received
from ttscale.verifiers.sync_or_async import Ask, Plan, relay

VOTES = 8
"""Votes where the generator shows no probabilities: they tell apart what differs by about a third."""

JUDGE_PROMPT = (
    "Here is a question and a solution.\n\n"
    "Question:\n{question}\n\nSolution:\n{solution}\n\n"
    "Is the solution correct, step by step and in its answer? Reply with Yes or No."
)
_VERDICT = re.compile(r"\b(yes|no)\b(?=[^\w\n.,;:!})\]*—–]*(?:\Z|[\n.,;:!})\]*—–]))", re.IGNORECASE)
"""A Yes or No that stands alone: "no error" and "no mistakes" are no verdicts."""
_OPENING = re.compile(r"\W*(yes|no(?=\s+(?:because|since|as|the|it|this|that)\b))\b", re.IGNORECASE)
"""A reply that begins with one, for want of a better."""
_AROUND = " \n\t*_#>\"'([{$"
"""What may stand before the first word of a reply."""


class JudgeVerifier:
    """Asks ``generator`` whether a solution is correct; one score for the whole of it.

    The score is P(Yes) / (P(Yes) + P(No)) for the first word of the reply, where the generator shows probabilities
    (the Hugging Face backend; servers that return log-probabilities). Where it does not, or with ``votes``, it is the
    share of Yes among so many replies; the last Yes or No of a reply that stands alone counts, so a judge may reason
    first. A reply that was cut off counts only where it begins with its verdict: what is said on the way is none.
    ``prompt`` holds ``{question}`` and ``{solution}``. What the judge reads and writes is the verifier's cost. The same
    candidate gets the same votes, whatever else is judged.
    """

    aggregate: Aggregate = "last"

    def __init__(self, generator: Any, *, votes: int | None = None, prompt: str = JUDGE_PROMPT) -> None:
        if not hasattr(generator, "sample"):
            raise ValueError(f"JudgeVerifier needs a generator, an object with sample(); got {generator!r}")
        if votes is not None and (not isinstance(votes, int) or isinstance(votes, bool) or votes < 1):
            raise ValueError(f"votes must be a positive integer or None; got {votes!r}")
        if "{solution}" not in prompt or "{question}" not in prompt:
            raise ValueError("the prompt of a judge must contain {question} and {solution}")
        self._generator, self._votes, self._prompt = generator, votes, prompt
        self.members = (generator,)
        self.sampling: dict[str, Any] = {"votes": votes} if votes else {}
        self.sampling |= {"prompt": prompt} if prompt != JUDGE_PROMPT else {}
        self.name = f"judge({name_of(generator)})"
        self.worker = shared_worker(generator)
        methods = [generator.sample, *([generator.choose] if isinstance(generator, ChoosesFirstToken) else [])]
        self.score: Callable[[Sequence[Score]], Any] = relay(self._plan, is_async(*methods))

    def __repr__(self) -> str:
        return f"JudgeVerifier({self._generator!r})"

    def _plan(self, requests: Sequence[Score]) -> Plan[list[Verdict | Exception]]:
        if self._votes is None and isinstance(self._generator, ChoosesFirstToken):
            asked = [self._question(request, 0) for request in requests]
            chosen = yield Ask(self._generator.choose, (asked, ("Yes", "No")))
            if chosen is not None:
                self._check_number(chosen, asked)
                return [_from_odds(request, *reply) for request, reply in zip(requests, chosen, strict=True)]
        votes = self._votes or VOTES
        asked = [self._question(request, vote) for request in requests for vote in range(votes)]
        replies: Sequence[Completion] = yield Ask(self._generator.sample, (asked,))
        self._check_number(replies, asked)
        return [_from_votes(request, replies[i * votes : (i + 1) * votes]) for i, request in enumerate(requests)]

    def _check_number(self, replies: Sequence[Any], asked: Sequence[Sample]) -> None:
        if len(replies) != len(asked):
            raise RoleError(f"{self._generator!r} gave {len(replies)} replies to {len(asked)} questions of a judge")

    def _question(self, request: Score, vote: int) -> Sample:
        """What the judge is asked: a question of its own, with noise that belongs to the candidate."""
        candidate = request.candidate
        text = fill(self._prompt, question=candidate.question.prompt, solution=candidate.text.strip())
        key = candidate.key.child("judge", vote)
        return Sample(Candidate(Question.of(text), key), key)


def _from_odds(request: Score, odds: tuple[float, float], cost: Cost) -> Verdict | Exception:
    yes, no = odds
    if not yes + no > 0:
        return RoleError(f"the judge would say neither Yes nor No ({_where(request)}); pass votes={VOTES}, or a prompt")
    return Verdict((yes / (yes + no),), _as_verifier(cost))


def _from_votes(request: Score, replies: Sequence[Completion | Exception]) -> Verdict | Exception:
    given = received(replies, Completion, "the judge's generator")
    if isinstance(given, Exception):
        return given
    said = [verdict for verdict in map(_verdict, given) if verdict]
    if not said:
        return RoleError(
            f"the judge said neither Yes nor No in {len(replies)} replies ({_where(request)}); the first was "
            f"{_text(given[0])[:200]!r}; give it room to finish (max_tokens, max_new_tokens) or another prompt"
        )
    cost = Cost()
    for reply in given:
        cost += reply.cost
    return Verdict((said.count("yes") / len(said),), _as_verifier(cost))


def _verdict(reply: Completion) -> str | None:
    """ "yes", "no", or None where the reply is neither."""
    text = without_thoughts(_text(reply))
    if reply.finish == "stop" and (found := _VERDICT.findall(text)):
        return str(found[-1]).lower()
    opening = _OPENING.match(text) or _VERDICT.match(text, len(text) - len(text.lstrip(_AROUND)))
    return opening[1].lower() if opening else None


def _text(reply: Completion) -> str:
    return "".join(step.text for step in reply.steps)


def _as_verifier(cost: Cost) -> Cost:
    """What a generator spent, as the verifier's spending."""
    return Cost(verifier_tokens=cost.sampled_tokens + cost.prompt_tokens, flops=cost.flops, seconds=cost.seconds)


def _where(request: Score) -> str:
    return f"question {request.question.label}, candidate {request.key}"
