"""A generator as judge: it is asked whether a solution is correct, or how good it is (arXiv 2408.15240, 2303.16634).

It knows the question put to the judge; how its replies are read is in ``judge_replies.py``. Nothing of the model that
replies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ttscale.core.chat import Inquiry
from ttscale.core.checks import check_count
from ttscale.core.errors import RoleError
from ttscale.core.protocols import ChoosesFirstToken, is_async, name_of, shared_worker
from ttscale.core.requests import Completion, Sample, Score, Verdict
from ttscale.core.selection import Aggregate
from ttscale.core.types import Candidate, Question
from ttscale.core.unscored import OnError, check_on_error, in_place
from ttscale.prompts.layouts import fill
from ttscale.verifiers.judge_replies import Scale, from_odds, from_votes
from ttscale.verifiers.sync_or_async import Ask, Plan, relay

VOTES = 8
"""Votes where the generator shows no probabilities: they tell apart what differs by about a third."""
TINY = 1e-30
"""A probability of which nothing can be said."""
LEAST_MASS = 0.1
"""Least probability that the first token is a verdict; below, the judge begins otherwise (it thinks first)."""

JUDGE_PROMPT = (
    "Here is a question and a solution.\n\n"
    "Question:\n{question}\n\nSolution:\n{solution}\n\n"
    "{criteria} Reply with Yes or No."
)
GRADE_PROMPT = (
    "Here is a question and a solution.\n\n"
    "Question:\n{question}\n\nSolution:\n{solution}\n\n"
    "{criteria}\nGrade the solution from {lowest} (worst) to {highest} (best). Reply with the number only."
)
CRITERIA = "Is the solution correct, step by step and in its answer?"


class JudgeVerifier:
    """Asks ``generator`` whether a solution is correct; one score for the whole of it.

    The score is P(Yes) / (P(Yes) + P(No)) for the first word of the reply. That needs a generator that shows
    probabilities: the Hugging Face backend, or a server that returns log-probabilities. The judge must begin with one
    of the two words: together they must have ``least_mass`` of the probability (0: any). The score is the share of Yes
    among several replies instead with ``votes``, where there are no probabilities, and for a judge that begins
    otherwise (it thinks first). The last Yes or No that stands alone in a reply counts; in a reply that was cut off,
    only one at its beginning.

    ``grades=(1, 5)``: the judge gives a number from 1 to 5 (0 to 9 at most), and the score is its expectation, scaled
    to [0, 1]; ``criteria`` says by what it should judge. ``prompt`` holds ``{question}`` and ``{solution}``. The
    prompts that ask for solutions (the default one, those of ``ttscale.prompts``) do not go with it; a system prompt of
    your own does. A solution is shown without its thoughts, unless ``thoughts`` is True. What the judge reads and
    writes is the verifier's cost. The same candidate gets the same votes, whatever else is judged. ``on_error``: a
    candidate whose judge says nothing that can be read ends its question ("raise", the default), or competes without a
    score ("unscored").
    """

    aggregate: Aggregate = "last"
    whole_only = True
    """It is asked about a solution: the default strategies do not show it begun ones."""

    def __init__(
        self,
        generator: Any,
        *,
        votes: int | None = None,
        prompt: str | None = None,
        criteria: str = CRITERIA,
        grades: tuple[int, int] | None = None,
        least_mass: float = LEAST_MASS,
        thoughts: bool = False,
        on_error: OnError | None = None,
    ) -> None:
        if not hasattr(generator, "sample"):
            raise ValueError(f"JudgeVerifier needs a generator, an object with sample(); got {generator!r}")
        check_count("votes", votes, none=True)
        if not isinstance(least_mass, int | float) or not 0 <= least_mass <= 1:
            raise ValueError(f"least_mass must be a probability; got {least_mass!r}")
        self._scale, self._least_mass, self._thoughts = Scale(grades), least_mass, thoughts
        usual = JUDGE_PROMPT if grades is None else GRADE_PROMPT
        given = usual if prompt is None else prompt
        if "{solution}" not in given or "{question}" not in given:
            raise ValueError(f"the prompt of a judge must contain {{question}} and {{solution}}; got {given!r:.200}")
        self._generator, self._votes, self._prompt, self._criteria = generator, votes, given, criteria
        self.on_error = check_on_error(on_error)
        self.members = (generator,)
        named = {
            "votes": (votes, None),
            "prompt": (given, usual),
            "criteria": (criteria, CRITERIA),
            "mass": (least_mass, LEAST_MASS),
            "thoughts": (thoughts, False),
        }
        self.sampling: dict[str, Any] = {name: value for name, (value, default) in named.items() if value != default}
        self.sampling |= {} if grades is None else {"grades": f"{grades[0]}-{grades[1]}"}
        self.name = f"judge({name_of(generator)})"
        self.worker = shared_worker(generator)
        methods = [generator.sample, *([generator.choose] if isinstance(generator, ChoosesFirstToken) else [])]
        self.score: Callable[[Sequence[Score]], Any] = relay(self._plan, is_async(*methods))

    def __repr__(self) -> str:
        return f"JudgeVerifier({self._generator!r})"

    def _plan(self, requests: Sequence[Score]) -> Plan[list[Verdict | Exception]]:
        read: list[Verdict | Exception | None] = [None] * len(requests)
        spent: list[Any] = [None] * len(requests)
        if self._votes is None and isinstance(self._generator, ChoosesFirstToken):
            asked = [self._question(request, 0) for request in requests]
            chosen = yield Ask(self._generator.choose, (asked, self._scale.words))
            if chosen is not None:
                self._check_number(chosen, asked)
                spent = [cost for _, cost in chosen]
                least = max(self._least_mass, TINY)
                read = [from_odds(self._scale, odds, cost) if sum(odds) >= least else None for odds, cost in chosen]
        left = [i for i, verdict in enumerate(read) if verdict is None]
        votes = self._votes or VOTES
        asked = [self._question(requests[i], vote) for i in left for vote in range(votes)]
        if asked:
            replies: Sequence[Completion] = yield Ask(self._generator.sample, (asked,))
            self._check_number(replies, asked)
            for n, i in enumerate(left):
                read[i] = from_votes(self._scale, requests[i], replies[n * votes : (n + 1) * votes], spent[i])
        return in_place([verdict for verdict in read if verdict is not None], self.on_error)

    def _check_number(self, replies: Sequence[Any], asked: Sequence[Sample]) -> None:
        if len(replies) != len(asked):
            raise RoleError(f"{self._generator!r} gave {len(replies)} replies to {len(asked)} questions of a judge")

    def _question(self, request: Score, vote: int) -> Sample:
        """What the judge is asked: a question of its own, with noise that belongs to the candidate."""
        candidate = request.candidate
        text = fill(
            self._prompt,
            question=candidate.question.prompt,
            solution=(candidate.text if self._thoughts else candidate.spoken).strip(),
            criteria=self._criteria,
            lowest=self._scale.words[0],
            highest=self._scale.words[-1],
        )
        key = candidate.key.child("judge", vote)
        return Sample(Candidate(Question.of(Inquiry(text)), key), key)
