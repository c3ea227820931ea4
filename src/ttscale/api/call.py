"""One call of ``solve`` or ``solve_all``: its checked arguments, and its results as they come in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any, Literal, Self

from ttscale.api.arguments import check_questions, choose_strategy, suited
from ttscale.api.load_roles import BUNDLED, load_roles, roles_at_hand
from ttscale.api.role_labels import label, warn_other_models
from ttscale.api.settings import CallSettings
from ttscale.core.errors import TtscaleError
from ttscale.core.protocols import METHOD_OF, Role, aggregate_of, needs_of
from ttscale.core.requests import Reply, Request
from ttscale.core.result import Result
from ttscale.core.trace import Event, Trace, end_event, reply_event, start_event
from ttscale.core.types import Candidate, Key, Question
from ttscale.engine.core import Ended, blame_strategy
from ttscale.engine.drive import Job, arun, run
from ttscale.engine.trace_file import TraceFile


class Call:
    """The constructor checks the arguments and loads nothing. ``with`` loads the models and opens the trace file.

    Raises ``ValueError`` for bad arguments and ``MissingRoleError`` where the strategy needs a role that was not given.
    """

    def __init__(self, questions: Iterable[str | Question], settings: CallSettings) -> None:
        self._questions, self._settings = check_questions(questions), settings
        self._distinct = list(dict.fromkeys(self._questions))
        self._at_hand = roles_at_hand(settings.generator, settings.verifier, settings.reviser)
        bundled = self._at_hand.get("generator") == BUNDLED
        self._strategy = choose_strategy(settings.strategy, self._at_hand, bundled)
        self._prompts, self._refused = {q.id: q.prompt for q in self._distinct}, dict[str, Exception]()
        if bundled:
            self._spell_for_bundled()
        self._roles: dict[Role, Any] = {}
        self._described = ""
        self._done: dict[str, Result] = {}
        self._recorded: dict[str, list[tuple[Request, Reply]]] = {question.id: [] for question in self._distinct}
        self._file: TraceFile | None = None
        self._bar: Any = None

    def __enter__(self) -> Self:
        self._load()
        with ExitStack() as stack:
            if self._settings.resume is not None:
                names = {str(role): label(obj) for role, obj in self._roles.items()}
                self._file = stack.enter_context(TraceFile(self._settings.resume, names))
            if self._settings.progress and len(self._distinct) > 1:
                from tqdm import tqdm

                # disable=None: no bar where the output is not a terminal.
                self._bar = stack.enter_context(tqdm(total=len(self._distinct), unit="question", disable=None))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> Literal[False]:
        self._stack.close()
        return False

    def _load(self) -> None:
        """The models that will be asked; only a verifier that is loaded says which aggregation suits it."""
        wanted = needs_of(self._strategy, METHOD_OF)
        nothing_to_do = len(self._refused) == len(self._distinct)
        if nothing_to_do and self._settings.resume is None and all(obj == BUNDLED for obj in self._at_hand.values()):
            wanted = frozenset()  # a refusal comes at once, not after seconds of loading
        self._roles = load_roles(self._at_hand, wanted)
        how = aggregate_of(self._roles.get("verifier"))
        self._strategy = suited(self._strategy, self._settings.strategy, how)
        if self._settings.strategy is not None:
            warn_other_models(self._strategy, {role: label(obj) for role, obj in self._roles.items()})
        # Results hold this and must not differ by where in memory a strategy without a repr of its own happens to lie.
        plain = type(self._strategy).__repr__ is object.__repr__
        self._described = f"{type(self._strategy).__name__}()" if plain else repr(self._strategy)

    def run(self) -> None:
        """Solve everything, in this thread."""
        run(self._jobs(), self._roles, self._on_end, self._record, self._file.recall if self._file else None)

    async def arun(self) -> None:
        """Solve everything, in this event loop."""
        try:
            await arun(self._jobs(), self._roles, self._on_end, self._record, self._file.recall if self._file else None)
        except asyncio.CancelledError:
            self.interrupted()
            raise

    def interrupted(self) -> None:
        """Give the questions that were never begun a result as well."""
        for index, question in enumerate(self._distinct):
            if question.id not in self._done:
                self._on_end(index, Ended(stopped_by="interrupt"))

    def results(self) -> list[Result]:
        """One result per question, in order; a question asked twice has one result."""
        return [self._done[question.id] for question in self._questions]

    def only_result(self) -> Result:
        """The result of the only question; raises its error if it failed, with the result in it."""
        (result,) = self.results()
        if result.error is not None:
            if isinstance(result.error, TtscaleError):
                result.error.result = result
            raise result.error
        return result

    def _spell_for_bundled(self) -> None:
        """The prompts in the one spelling that the bundled models know, or why they refuse them."""
        from ttscale import reference

        for question in self._distinct:
            try:
                self._prompts[question.id] = reference.check(question.prompt)
            except reference.OutOfDomainError as refusal:
                self._refused[question.id] = refusal

    def _jobs(self) -> Iterator[Job]:
        for question in self._distinct:
            self._emit(self._start_event(question))
            error = self._refused.get(question.id)
            root = Candidate(Question(question.id, self._prompts[question.id]), Key((self._settings.seed, question.id)))
            search = None
            try:
                search = self._strategy.search(root, self._settings.budget)
            except Exception as failure:
                error = error or blame_strategy(failure, question)
            yield Job(root, search, self._settings.limit, error, self._settings.budget)

    def _start_event(self, question: Question) -> Event:
        return start_event(question, Key((self._settings.seed, question.id)), self._described, self._settings.budget)

    def _record(self, question: Question, request: Request, reply: Reply) -> None:
        if self._file is None:
            recorded = self._recorded.get(question.id)
            if recorded is None:  # it has ended, and its trace with it
                return
            recorded.append((request, reply))
        if self._file or self._settings.observe:
            self._emit(reply_event(request, reply))

    def _emit(self, event: Event) -> None:
        if self._file:
            self._file.write(event)
        if self._settings.observe:
            self._settings.observe(event)

    def _on_end(self, index: int, ended: Ended) -> None:
        question, outcome = self._distinct[index], ended.outcome
        winner = None if outcome.chosen is None else outcome.candidates[outcome.chosen]
        score = None if outcome.chosen is None else outcome.scores[outcome.chosen]
        strategy = f"{self._described}: {outcome.note}" if outcome.note else self._described
        end = end_event(question, winner, score, strategy, ended.stopped_by, ended.error)
        if self._file:
            trace = Trace(question, path=self._file.path)
        else:
            trace = Trace(question, self._start_event(question), tuple(self._recorded.pop(question.id)), end)
        self._done[question.id] = Result(
            question=question,
            answer=winner.answer if winner else None,
            text=winner.text if winner else "",
            score=score,
            candidates=outcome.candidates,
            scores=outcome.scores,
            strategy=strategy,
            cost=ended.cost,
            trace=trace,
            error=ended.error,
            stopped_by=ended.stopped_by,
        )
        self._emit(end)
        if self._bar is not None:
            self._bar.update()
