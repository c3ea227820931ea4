"""One call of ``solve`` or its siblings: its checked arguments, its models, and its results as they come in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Literal, Self, TypeAlias

from ttscale.answers import rule_named
from ttscale.api.arguments import choose_strategy, suited
from ttscale.api.load_roles import BUNDLED, is_bundled, load_roles, roles_at_hand
from ttscale.api.progress import Progress
from ttscale.api.result import Result
from ttscale.api.role_labels import label, warn_other_models
from ttscale.api.settings import CallSettings
from ttscale.api.warn_unanswered import Unanswered
from ttscale.core.protocols import METHOD_OF, ROLE_OF, Role, aggregate_of, is_async, needs_of
from ttscale.core.requests import Reply, Request
from ttscale.core.trace import Event, Trace, end_event, reply_event, start_event
from ttscale.core.types import Candidate, Key, Question
from ttscale.core.watch import WATCHES
from ttscale.engine.batch_limit import BatchLimit
from ttscale.engine.core import Ended, Recall, blame_strategy
from ttscale.engine.drive import WINDOW, Job, OnEnd, arun, run
from ttscale.engine.trace_file import TraceFile
from ttscale.strategies.best_of_n import BestOfN

OnResult: TypeAlias = Callable[[Question, Result], None]


class Call:
    """The constructor checks the arguments and loads nothing. ``with`` loads the models and opens the trace file.

    ``known`` are the questions, where there is a list of them: a call that refuses them all loads no model. Memory
    holds the questions in progress and no others. Raises ``ValueError`` for bad arguments and ``MissingRoleError``
    where the strategy needs a role that was not given.
    """

    def __init__(self, settings: CallSettings, known: Sequence[Question] | None = None) -> None:
        self._settings = settings
        self._at_hand = roles_at_hand(settings.generator, settings.verifier, settings.reviser, settings.comparator)
        self._bundled = is_bundled(self._at_hand.get("generator"))
        self._strategy = choose_strategy(settings.strategy, self._at_hand, self._bundled)
        # A refusal comes at once, not after seconds of loading.
        self._refuses_all = known is not None and all(self._spelled(question)[1] for question in known)
        self._roles: dict[Role, Any] = {}
        self._described = ""
        self._open: dict[int, Question] = {}
        self._refused: set[int] = set()
        """Jobs whose question has the id of another in progress, which keeps its replies."""
        self._recorded: dict[str, list[tuple[Request, Reply]]] = {}
        self._file: TraceFile | None = None
        total = None if known is None else len(known)
        self._progress = Progress(total, settings.budget, f"budget {settings.budget}", bar=settings.progress)
        self._unanswered = Unanswered()
        self._shared = None if settings.total_limit is None else BatchLimit(settings.total_limit)

    def __enter__(self) -> Self:
        self._load()
        with ExitStack() as stack:
            if self._settings.resume is not None:
                names = {str(role): label(obj) for role, obj in self._roles.items()}
                self._file = stack.enter_context(TraceFile(self._settings.resume, names))
            self._progress.roles = tuple(self._roles.values())
            stack.enter_context(self._progress)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> Literal[False]:
        self._stack.close()
        self._unanswered.warn()
        return False

    def _load(self) -> None:
        """The models that will be asked; only a verifier that is loaded says which aggregation suits it."""
        wanted = needs_of(self._strategy, METHOD_OF)
        if self._refuses_all and self._settings.resume is None and all(o == BUNDLED for o in self._at_hand.values()):
            wanted = frozenset()
        self._roles = load_roles(self._at_hand, wanted)
        how = aggregate_of(self._roles.get("verifier"))
        self._strategy = suited(self._strategy, self._settings.strategy, how)
        if self._settings.strategy is not None:
            warn_other_models(self._strategy, {role: label(obj) for role, obj in self._roles.items()})
        # Results hold this text. The default repr of a strategy has a memory address in it, which differs between runs.
        plain = type(self._strategy).__repr__ is object.__repr__
        self._described = f"{type(self._strategy).__name__}()" if plain else repr(self._strategy)

    @property
    def in_progress(self) -> int:
        """How many questions are in progress."""
        return len(self._open)

    @property
    def is_async(self) -> bool:
        """Whether a role is asynchronous; known once the models are loaded."""
        return is_async(*(getattr(obj, METHOD_OF[role]) for role, obj in self._roles.items()))

    @property
    def shares_limit(self) -> bool:
        """Whether a total limit is shared out, by which questions are in progress together."""
        return self._shared is not None

    @property
    def used_up(self) -> str | None:
        """Which cap of the total limit is used up, as ``Result.stopped_by`` names it."""
        return f"total_{self._shared.reached}" if self._shared and self._shared.reached else None

    def run(self, questions: Iterable[Question | None], on_result: OnResult, window: int = WINDOW) -> None:
        """Solve everything in this thread; ``on_result`` gets each question with its result as it ends.

        Yield None among the questions to wait until one in progress ends. Questions in progress together must differ in
        their ids. Ctrl-C reports what is in progress with the best so far, and is raised again.
        """
        parts = (self._jobs(questions), self._roles, self._reporting(on_result), self._record, self._recall)
        run(*parts, window, self._shared)

    async def arun(self, questions: Iterable[Question | None], on_result: OnResult, window: int = WINDOW) -> None:
        """``run`` in this event loop."""
        parts = (self._jobs(questions), self._roles, self._reporting(on_result), self._record, self._recall)
        await arun(*parts, window, self._shared)

    def untouched(self, question: Question, by: str = "interrupt") -> Result:
        """The result of a question that was never begun: an interrupt or the end of the total limit came first."""
        result, end = self._result(question, Ended(stopped_by=by), ())
        self._emit(end)
        return result

    def _spelled(self, question: Question) -> tuple[str, Exception | None]:
        """The prompt as the models are asked it, or why the bundled ones refuse it."""
        if not self._bundled:
            return question.prompt, None
        from ttscale import reference

        try:
            return reference.check(question.prompt), None
        except reference.OutOfDomainError as refusal:
            return question.prompt, refusal

    def _jobs(self, questions: Iterable[Question | None]) -> Iterator[Job | None]:
        index = -1
        for question in questions:
            if question is None:
                yield None
                continue
            if self._settings.answers is not None:
                question = replace(question, answers=rule_named(self._settings.answers))
            index += 1
            self._open[index] = question
            prompt, error = self._spelled(question)
            if question.id in self._recorded:
                self._refused.add(index)
                twice = f"two questions in progress have the id {question.id!r}; ids must be unique"
                yield Job(Candidate(question, self._key(question)), None, error=ValueError(twice))
                continue
            self._recorded[question.id] = []
            for watch in WATCHES:
                watch.began(question, self._described, self._settings.budget)
            self._emit(self._start_event(question))
            root = Candidate(replace(question, prompt=prompt), self._key(question))
            search = None
            try:
                search = self._strategy.search(root, self._settings.budget)
            except Exception as failure:
                error = error or blame_strategy(failure, question)
            how = aggregate_of(self._strategy)
            yield Job(root, search, self._settings.limit, error, self._settings.budget, how)

    def _key(self, question: Question) -> Key:
        return Key((self._settings.seed, question.id))

    def _start_event(self, question: Question) -> Event:
        return start_event(question, self._key(question), self._described, self._settings.budget)

    @property
    def _recall(self) -> Recall | None:
        if self._file is None or not WATCHES:
            return self._file.recall if self._file else None
        return _watched(self._file.recall)

    def _record(self, question: Question, request: Request, reply: Reply) -> None:
        self._progress.reply(question, reply)
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

    def _reporting(self, on_result: OnResult) -> OnEnd:
        def on_end(index: int, ended: Ended) -> None:
            question = self._open.pop(index)
            began = index not in self._refused
            self._refused.discard(index)
            recorded = self._recorded.pop(question.id, ()) if began else None
            result, end = self._result(question, ended, recorded)
            self._progress.end(question)
            for watch in WATCHES if began else ():
                watch.ended(question, ended.cost, ended.stopped_by, ended.error)
            on_result(question, result)  # before an observer, which Ctrl-C may interrupt, hears of it
            if began:  # the end of a question under this id is that of the one in progress
                self._emit(end)

        return on_end

    def _result(
        self, question: Question, ended: Ended, recorded: Sequence[tuple[Request, Reply]] | None
    ) -> tuple[Result, Event]:
        """The result of a question, and the event that ends its trace. ``recorded`` is None where none was begun."""
        outcome = ended.outcome
        winner = None if outcome.chosen is None else outcome.candidates[outcome.chosen]
        whole = ended.error is None and ended.stopped_by is None  # what a limit cut says nothing of the generator
        if whole and isinstance(self._strategy, BestOfN):
            self._unanswered.add_best(outcome)
        elif whole and "comparator" not in needs_of(self._strategy, ()):
            self._unanswered.add_vote(outcome)
        score = None if outcome.chosen is None else outcome.scores[outcome.chosen]
        strategy = f"{self._described}: {outcome.note}" if outcome.note else self._described
        end = end_event(question, winner, score, strategy, ended.stopped_by, ended.error)
        if self._file and recorded is not None:
            trace = Trace(question, path=self._file.path)
        else:
            trace = Trace(question, self._start_event(question), tuple(recorded or ()), end)
        result = Result(
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
            weights=outcome.weights,
        )
        return result, end


def _watched(recall: Recall) -> Recall:
    """The same; watchers are told of every reply that it finds."""

    def told(request: Request) -> Reply | None:
        reply = recall(request)
        for watch in WATCHES if reply is not None else ():
            watch.recalled(ROLE_OF[type(request)])
        return reply

    return told
