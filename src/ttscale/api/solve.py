"""The entry points: from questions and models to results. The one place in the library that sees everything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from ttscale.answers import AnswerRule
from ttscale.api.arguments import check_questions
from ttscale.api.call import Call
from ttscale.api.keywords import INSTEAD
from ttscale.api.load_roles import ModelSpecs
from ttscale.api.result import Result
from ttscale.api.settings import CallSettings, Executor, Observe
from ttscale.core.chat import Message
from ttscale.core.errors import TtscaleError
from ttscale.core.keywords import helpful_keywords
from ttscale.core.limit import Limit
from ttscale.core.protocols import (
    AnyComparator,
    AnyGenerator,
    AnyReviser,
    AnyVerifier,
    Strategy,
    grows,
    needs_of,
)
from ttscale.core.types import Question
from ttscale.strategies.best_of_n import MajorityVote, WeightedBestOfN
from ttscale.strategies.names import STRATEGIES, strategy_from_text, strategy_named

Messages: TypeAlias = Sequence[Message]


@helpful_keywords(INSTEAD)
def solve(
    question: str | Question | Messages,
    budget: int = 64,
    *,
    generator: AnyGenerator | str | Path | None = None,
    verifier: AnyVerifier | str | Path | None = None,
    reviser: AnyReviser | str | Path | None = None,
    comparator: AnyComparator | str | Path | None = None,
    strategy: Strategy | str | None = None,
    seed: int = 0,
    limit: Limit | None = None,
    observe: Observe | None = None,
    progress: bool = True,
    answers: AnswerRule | str | None = None,
) -> Result:
    """Answer one question with up to ``budget`` solutions. The same arguments give the same result.

    - ``question``: a text, a ``Question``, or a list of chat messages with their history. Servers and models with a
      chat template get the messages as they are.
    - ``budget``: the paper's N, in whole solutions.
    - ``generator``, ``verifier``, ``reviser``: an object with the role's method, a Hugging Face id, or a local path.
      Without a generator and a reviser, the reference models that ship with the library fill the gaps.
    - ``comparator``: for strategies that ask which solution is the better one. A path or id stands for a model that is
      asked in words (``ttscale.verifiers.PromptedComparator``).
    - ``strategy``: an object or a name. By default the compute-optimal scheduler; without a verifier a vote, over
      revisions where there is a reviser, else over samples.
    - ``seed``: another one draws other solutions.
    - ``limit``: hard caps on tokens, FLOPs, seconds and dollars.
    - ``observe``: is called with every event of the trace.
    - ``progress``: shows a bar with solutions, tokens and time left where there is a terminal or a notebook. The logger
      "ttscale" says the same at level INFO.
    - ``answers``: what counts as an answer, instead of the question's own rule: a rule of ``ttscale.answers`` or its
      name.

    Raises ``ValueError`` for bad arguments, and ``StrategyError`` or ``RoleError`` when the search failed. The error's
    ``result`` has what was found and spent before.
    """
    settings = CallSettings(
        budget, generator, verifier, reviser, strategy, seed, limit, observe, progress, None, comparator, answers
    )
    return _only(solve_these([question], settings))


@helpful_keywords(INSTEAD)
def solve_all(
    questions: Iterable[str | Question | Messages],
    budget: int = 64,
    *,
    generator: AnyGenerator | str | Path | None = None,
    verifier: AnyVerifier | str | Path | None = None,
    reviser: AnyReviser | str | Path | None = None,
    comparator: AnyComparator | str | Path | None = None,
    strategy: Strategy | str | None = None,
    seed: int = 0,
    limit: Limit | None = None,
    observe: Observe | None = None,
    progress: bool = True,
    resume: str | Path | None = None,
    total_budget: int | None = None,
    answers: AnswerRule | str | None = None,
    total_limit: Limit | None = None,
    executor: Executor = "local",
    workers: int = 2,
    ray_options: Mapping[str, Any] | None = None,
) -> list[Result]:
    """Answer many questions, batched together; results come in the order of the questions.

    A question that fails has ``Result.error`` set and never costs the others anything. On Ctrl-C the questions in
    progress get ``stopped_by="interrupt"`` and their best so far. Those not begun are returned empty, likewise.

    The arguments are those of ``solve``, and these:

    - ``resume``: a trace file. Every reply is written to it as it comes, and what it holds already is not computed
      again.
    - ``total_budget``: all questions share so many solutions, and ``budget`` is the most that one of them may have.
      After each round those whose answer is settled are left alone and the others go on. The strategy must be one
      whose solutions can be added to: votes and best-of-N (weighted is the default with a verifier).
    - ``total_limit``: what all questions may sample, compute or cost together (``Limit(tokens=)``, ``flops=``,
      ``dollars=``). Once it is used up, questions in progress get their best so far and those not begun are returned
      empty, with ``stopped_by`` "total_tokens", "total_flops" or "total_dollars".
    - ``executor="ray"``: shards of the questions go to ``workers`` actors of a Ray cluster (extra ``ray``). Each loads
      the models once. ``ray_options`` are Ray's own for an actor, such as ``{"num_gpus": 0.5}``. Pass models as ids,
      paths, or functions that make them. Results equal those of a run here.
    """
    settings = CallSettings(
        *(budget, generator, verifier, reviser, strategy, seed, limit, observe, progress, resume, comparator),
        *(answers, total_limit, executor, workers, ray_options),
    )
    if executor == "ray":
        if total_budget is not None:
            raise ValueError("total_budget does not go with executor='ray': give each question a budget")
        return _on_ray(check_questions(questions), settings)
    if total_budget is not None and total_limit is not None:
        raise ValueError("give total_budget, in solutions, or total_limit, in tokens, FLOPs or dollars, and not both")
    if total_budget is not None:
        return _sharing(check_questions(questions), total_budget, settings)
    return solve_these(questions, settings, keep_on_interrupt=True)


@helpful_keywords(INSTEAD)
async def asolve(
    question: str | Question | Messages,
    budget: int = 64,
    *,
    generator: AnyGenerator | str | Path | None = None,
    verifier: AnyVerifier | str | Path | None = None,
    reviser: AnyReviser | str | Path | None = None,
    comparator: AnyComparator | str | Path | None = None,
    strategy: Strategy | str | None = None,
    seed: int = 0,
    limit: Limit | None = None,
    observe: Observe | None = None,
    progress: bool = True,
    answers: AnswerRule | str | None = None,
) -> Result:
    """``solve`` for an event loop."""
    settings = CallSettings(
        budget, generator, verifier, reviser, strategy, seed, limit, observe, progress, None, comparator, answers
    )
    return _only(await asolve_these([question], settings))


@helpful_keywords(INSTEAD)
async def asolve_all(
    questions: Iterable[str | Question | Messages],
    budget: int = 64,
    *,
    generator: AnyGenerator | str | Path | None = None,
    verifier: AnyVerifier | str | Path | None = None,
    reviser: AnyReviser | str | Path | None = None,
    comparator: AnyComparator | str | Path | None = None,
    strategy: Strategy | str | None = None,
    seed: int = 0,
    limit: Limit | None = None,
    observe: Observe | None = None,
    progress: bool = True,
    resume: str | Path | None = None,
    answers: AnswerRule | str | None = None,
    total_limit: Limit | None = None,
) -> list[Result]:
    """``solve_all`` for an event loop. Cancelling it leaves what was done in the ``resume`` file."""
    settings = CallSettings(
        *(budget, generator, verifier, reviser, strategy, seed, limit, observe, progress, resume, comparator),
        *(answers, total_limit),
    )
    return await asolve_these(questions, settings)


def solve_these(
    questions: Iterable[str | Question | Messages], settings: CallSettings, keep_on_interrupt: bool = False
) -> list[Result]:
    """One result per question, in order; a question asked twice is solved once.

    ``keep_on_interrupt`` returns what there is on Ctrl-C instead of raising.
    """
    asked = check_questions(questions)
    distinct, done = list(dict.fromkeys(asked)), dict[Question, Result]()
    with Call(settings, distinct) as call:
        try:
            call.run(iter(distinct), done.__setitem__)
            done |= _left_over(call, distinct, done)
        except KeyboardInterrupt:
            if not keep_on_interrupt:
                raise
            done |= {question: call.untouched(question) for question in distinct if question not in done}
    return [done[question] for question in asked]


async def asolve_these(questions: Iterable[str | Question | Messages], settings: CallSettings) -> list[Result]:
    """``solve_these`` in this event loop."""
    asked = check_questions(questions)
    distinct, done = list(dict.fromkeys(asked)), dict[Question, Result]()
    with Call(settings, distinct) as call:
        try:
            await call.arun(iter(distinct), done.__setitem__)
            done |= _left_over(call, distinct, done)
        except asyncio.CancelledError:
            for question in distinct:
                if question not in done:
                    call.untouched(question)
            raise
    return [done[question] for question in asked]


def _on_ray(questions: list[Question], settings: CallSettings) -> list[Result]:
    from ttscale.api.solve_on_ray import pairs_on_ray

    distinct = list(dict.fromkeys(questions))
    done = dict(pairs_on_ray(distinct, settings, len(distinct)))
    return [done[question] for question in questions]


def _left_over(call: Call, questions: list[Question], done: dict[Question, Result]) -> dict[Question, Result]:
    """Results of what a total limit left no room for."""
    by = call.used_up or ""
    return {question: call.untouched(question, by) for question in questions if question not in done}


def _sharing(questions: list[Question], total: int, settings: CallSettings) -> list[Result]:
    """Results of questions that share a budget; the trace keeps what a round has drawn for the next one."""
    from ttscale.api.elimination import spend  # most calls need neither
    from ttscale.api.rounds import Rounds

    roles = {"generator": settings.generator, "verifier": settings.verifier, "reviser": settings.reviser}
    models = ModelSpecs(**roles).opened().given  # loaded once, not once for every round
    strategy = settings.strategy or (
        MajorityVote() if models["generator"] and not models["verifier"] else WeightedBestOfN()
    )
    named = strategy_from_text(strategy) if isinstance(strategy, str) else strategy
    if not grows(named):
        names = ", ".join(name for name in STRATEGIES if grows(strategy_named(name)))
        raise ValueError(
            f"total_budget needs a strategy whose solutions can be added to, such as {names}; got {named!r}. A search "
            "that decides by N what it draws would have to begin anew each time a question gets more"
        )
    scored = "verifier" in needs_of(named, ())
    distinct = list(dict.fromkeys(questions))
    common = replace(settings, **models, strategy=strategy)

    def solved(some: list[Question], n: int, trace: Path) -> list[Result]:
        return solve_these(some, replace(common, budget=n, resume=trace), keep_on_interrupt=True)

    with Rounds(settings.resume, solved) as rounds:
        with suppress(KeyboardInterrupt):
            spend(distinct, total, settings.budget, rounds.solve, scored)
        found = rounds.results(distinct)
    by_question = dict(zip(distinct, found, strict=True))
    return [by_question[question] for question in questions]


def _only(results: list[Result]) -> Result:
    """The only result; raises its error if it failed, with the result in it."""
    (result,) = results
    if result.error is not None:
        if isinstance(result.error, TtscaleError):
            result.error.result = result
        raise result.error
    return result
