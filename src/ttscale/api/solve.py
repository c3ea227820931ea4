"""The entry points: from questions and models to results. The one place in the library that sees everything."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ttscale.api.call import Call
from ttscale.api.settings import CallSettings, Observe
from ttscale.core.limit import Limit
from ttscale.core.protocols import AnyGenerator, AnyReviser, AnyVerifier, Strategy
from ttscale.core.result import Result
from ttscale.core.types import Question


def solve(
    question: str | Question,
    budget: int = 64,
    *,
    generator: AnyGenerator | str | Path | None = None,
    verifier: AnyVerifier | str | Path | None = None,
    reviser: AnyReviser | str | Path | None = None,
    strategy: Strategy | str | None = None,
    seed: int = 0,
    limit: Limit | None = None,
    observe: Observe | None = None,
) -> Result:
    """Answer one question with up to ``budget`` solutions.

    ``budget`` is the paper's N, in whole solutions. ``generator``, ``verifier`` and ``reviser`` are objects with the
    role's method, or a Hugging Face id or local path; without a generator and a reviser, the reference models that ship
    with the library fill the gaps. ``strategy`` is an object or a name; by default the compute-optimal scheduler,
    without a verifier a vote: over revisions where there is a reviser, else over samples. The same arguments give the
    same result. ``observe`` is called with every event of the trace.

    Raises ``ValueError`` for bad arguments, ``StrategyError`` or ``RoleError`` when the search failed; the error's
    ``result`` has what was found and spent before.
    """
    settings = CallSettings(budget, generator, verifier, reviser, strategy, seed, limit, observe)
    with Call([question], settings) as call:
        call.run()
    return call.only_result()


def solve_all(
    questions: Iterable[str | Question],
    budget: int = 64,
    *,
    generator: AnyGenerator | str | Path | None = None,
    verifier: AnyVerifier | str | Path | None = None,
    reviser: AnyReviser | str | Path | None = None,
    strategy: Strategy | str | None = None,
    seed: int = 0,
    limit: Limit | None = None,
    observe: Observe | None = None,
    progress: bool = True,
    resume: str | Path | None = None,
) -> list[Result]:
    """Answer many questions, batched together; results come in the order of the questions.

    A question that fails has ``Result.error`` set and never costs the others anything. ``resume`` names a trace file:
    every reply is written to it as it comes, and what it holds already is not computed again. On Ctrl-C the questions
    in progress get ``stopped_by="interrupt"`` and their best so far; those not begun are returned empty, likewise.
    """
    settings = CallSettings(budget, generator, verifier, reviser, strategy, seed, limit, observe, progress, resume)
    with Call(questions, settings) as call:
        try:
            call.run()
        except KeyboardInterrupt:
            call.interrupted()
    return call.results()


async def asolve(
    question: str | Question,
    budget: int = 64,
    *,
    generator: AnyGenerator | str | Path | None = None,
    verifier: AnyVerifier | str | Path | None = None,
    reviser: AnyReviser | str | Path | None = None,
    strategy: Strategy | str | None = None,
    seed: int = 0,
    limit: Limit | None = None,
    observe: Observe | None = None,
) -> Result:
    """``solve`` for an event loop."""
    settings = CallSettings(budget, generator, verifier, reviser, strategy, seed, limit, observe)
    with Call([question], settings) as call:
        await call.arun()
    return call.only_result()


async def asolve_all(
    questions: Iterable[str | Question],
    budget: int = 64,
    *,
    generator: AnyGenerator | str | Path | None = None,
    verifier: AnyVerifier | str | Path | None = None,
    reviser: AnyReviser | str | Path | None = None,
    strategy: Strategy | str | None = None,
    seed: int = 0,
    limit: Limit | None = None,
    observe: Observe | None = None,
    progress: bool = True,
    resume: str | Path | None = None,
) -> list[Result]:
    """``solve_all`` for an event loop. Cancelling it leaves what was done in the ``resume`` file."""
    settings = CallSettings(budget, generator, verifier, reviser, strategy, seed, limit, observe, progress, resume)
    with Call(questions, settings) as call:
        await call.arun()
    return call.results()
