"""Revisions from a model that was not trained to revise: it is shown its attempts and asked for a better one.

It knows the words of the request; any generator writes the reply. Models trained for it have ``HFReviser`` and
``OpenAIReviser``, which lay attempts out as in training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ttscale.core.checks import check_count
from ttscale.core.protocols import BoundedSession, Session, is_async, name_of, session_of, shared_worker
from ttscale.core.requests import Completion, Revise, Sample
from ttscale.core.types import Candidate, Question
from ttscale.prompts.layouts import fill
from ttscale.verifiers.sync_or_async import Ask, Plan, relay

REVISE_PROMPT = (
    "{question}\n\n"
    "Here are earlier attempts at this question; each may contain mistakes.\n\n{attempts}\n\n"
    "Find out where they go wrong, then write a new, complete solution that does not repeat their mistakes."
)
AGGREGATE_PROMPT = (
    "{question}\n\n"
    "Here are several independent attempts at this question. Some may be wrong, in part or all of it.\n\n{attempts}\n\n"
    "Take what is right in them, put right what is not, and write one better, complete solution."
)
ATTEMPT = "Attempt {number}:\n{attempt}"


class PromptedReviser:
    """Asks ``generator`` for a new solution, with the attempts that a strategy sends in the question.

    With a ``context`` it shows only the last so many of them; how many a strategy sends is a setting of its own.
    ``prompt`` holds ``{question}`` and ``{attempts}``. The root candidate (no steps) stands for "no attempt yet";
    without any attempt the bare question is asked. Attempts are shown without their thoughts, unless
    ``thoughts`` is True. Synchronous or asynchronous as the generator is, and with its
    continuous batching.
    """

    def __init__(
        self, generator: Any, *, prompt: str = REVISE_PROMPT, context: int | None = None, thoughts: bool = False
    ) -> None:
        if not hasattr(generator, "sample"):
            raise ValueError(f"PromptedReviser needs a generator, an object with sample(); got {generator!r}")
        if "{attempts}" not in prompt or "{question}" not in prompt:
            raise ValueError(f"the prompt of a reviser must contain {{question}} and {{attempts}}; got {prompt!r:.200}")
        check_count("context", context, none=True)
        self._generator, self._prompt, self._context, self._thoughts = generator, prompt, context, thoughts
        self.members = (generator,)
        self.sampling: dict[str, Any] = {"prompt": prompt} if prompt != REVISE_PROMPT else {}
        self.sampling |= {"context": context} if context is not None else {}
        self.sampling |= {"thoughts": True} if thoughts else {}
        self.name = f"revise({name_of(generator)})"
        self.worker = shared_worker(generator)
        opens = session_of(generator)
        self.session: Callable[[], Session] | None = opens and (lambda: _Session(opens(), self._sample))
        self.revise: Callable[[Sequence[Revise]], Any] = relay(self._plan, is_async(generator.sample))

    def __repr__(self) -> str:
        return f"PromptedReviser({self._generator!r})"

    def _plan(self, requests: Sequence[Revise]) -> Plan[Sequence[Completion]]:
        completions: Sequence[Completion] = yield Ask(
            self._generator.sample, ([self._sample(request) for request in requests],)
        )
        return completions

    def _sample(self, request: Revise) -> Sample:
        """The revision as a question of its own, under the same key."""
        shown = [attempt for attempt in request.attempts if attempt.steps][-(self._context or 0) :]
        attempts = [(attempt.text if self._thoughts else attempt.spoken).strip() for attempt in shown]
        question = request.question
        if attempts:
            listed = [fill(ATTEMPT, number=str(i), attempt=attempt) for i, attempt in enumerate(attempts, 1)]
            text = fill(self._prompt, question=question.prompt, attempts="\n\n".join(listed))
            question = Question(question.id, text)
        return Sample(Candidate(question, request.key), request.key, max_tokens=request.max_tokens)


class PromptedAggregator(PromptedReviser):
    """Asks ``generator`` for one better solution from several attempts, as recursive aggregation does (2509.26626).

    Like ``PromptedReviser``, in other words: the attempts are independent, not one after the other.
    """

    def __init__(self, generator: Any, *, prompt: str = AGGREGATE_PROMPT, context: int | None = None) -> None:
        super().__init__(generator, prompt=prompt, context=context)
        self.name = f"aggregate({name_of(generator)})"

    def __repr__(self) -> str:
        return f"PromptedAggregator({self._generator!r})"


class _Session:
    """The generator's session, spoken to in revisions."""

    def __init__(self, inner: Any, sample: Callable[[Revise], Sample]) -> None:
        self._inner = inner
        self._sample = sample

    @property
    def active(self) -> bool:
        """Whether any admitted request has not been answered yet."""
        return bool(self._inner.active)

    def admit(self, requests: Sequence[tuple[int, Any]], /) -> None:
        """Take in (ticket, revision) pairs."""
        self._inner.admit([(ticket, self._sample(request)) for ticket, request in requests])

    def bound(self, ticket: int, tokens: int, /) -> None:
        """Stop a revision that has lost its race, where the generator can."""
        if isinstance(self._inner, BoundedSession):
            self._inner.bound(ticket, tokens)

    def step(self) -> Sequence[tuple[int, Any]]:
        """One unit of the generator's work."""
        replies: Sequence[tuple[int, Any]] = self._inner.step()
        return replies
