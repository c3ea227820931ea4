"""Everything the paper measures, measured on one generator, verifier and reviser: drawn once, kept in one folder.

Knows what is drawn and where it is kept. Must not know what is shown (``contents.py``). Every file in the folder is
appended to as results come, so a study that was killed goes on where it stopped, and several processes may share it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ttscale.api.load_roles import ModelSpec, ModelSpecs
from ttscale.core.protocols import Strategy
from ttscale.evaluation.analyse.fitting import PROBED, CrossValidatedScheduler, cross_validate_scheduler, scheduled
from ttscale.evaluation.analyse.flops import Rung, read_ladder
from ttscale.evaluation.analyse.outcomes import Outcomes, of_arm, of_records
from ttscale.evaluation.collect.pool import Pool
from ttscale.evaluation.collect.pools import draw_pool
from ttscale.evaluation.collect.records import Records
from ttscale.evaluation.collect.sweeps import Arm, sweep
from ttscale.evaluation.problems.problem import AnyProblem, Problem, as_problems, problems_digest
from ttscale.evaluation.report.settings import StudyArms, StudySettings
from ttscale.strategies import AdaptiveScheduler, MajorityVote, Policy, SequentialRevision

FULL = StudySettings()
GIVEN = "compute-optimal, policy given"
StageProgress = Callable[[str, int, int], None]
"""Called with the name of the part, what is done of it, and how much it is."""


@dataclass(frozen=True, slots=True)
class Study:
    """What was measured."""

    settings: StudySettings
    pool: Pool
    chains: Pool | None
    records: Records
    """Every arm, at the figures' seeds and on the figures' questions."""
    headline: Records
    """What the scheduler is fitted on and compared with, at all seeds and on all questions."""
    arms: StudyArms
    fitted: CrossValidatedScheduler
    """The scheduler's policy: cross-validated, and fitted on all questions."""
    by_search: CrossValidatedScheduler
    """The same over the strategies that ask the generator only; what revisions add is the difference."""
    adaptive_fitted: Outcomes
    """The adaptive scheduler with the policy of the half that a question is not in."""
    given: Outcomes | None
    """The scheduler with a policy that was fitted elsewhere."""
    deep: Pool | None
    """A pool of many samples of fewer questions, and the step searches at as large a budget."""
    deep_records: Records | None
    deep_second: Pool | None
    """The same samples, judged by a second verifier."""
    large: Outcomes | None
    ladder: tuple[Rung, Rung] | None
    data: str


def run_study(
    problems: Iterable[AnyProblem],
    folder: str | Path,
    settings: StudySettings = FULL,
    *,
    generator: ModelSpec = None,
    verifier: ModelSpec = None,
    reviser: ModelSpec = None,
    second: ModelSpec = None,
    large: ModelSpec = None,
    ladder: str | Path | None = None,
    policy: Policy | None = None,
    data: str = "",
    progress: bool | StageProgress = True,
) -> Study:
    """Draw what ``folder`` lacks: a sample pool, chains of revisions, and a sweep of every strategy.

    ``second`` is another verifier, for an ensemble on the deep pool. ``large`` is a generator about 14 times as large,
    asked once per question and expected to decode greedily (``HFGenerator(..., temperature=0)``); ``ladder`` the JSON
    file with what both models cost (``read_ladder``). ``policy``, fitted on other questions over the same menu, is
    scored beside the ones that are cross-validated. ``data`` names the data set in the report.
    """
    asked = as_problems(problems)
    costs = None if ladder is None else read_ladder(ladder)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    specs = ModelSpecs(generator, verifier, reviser).check()
    if not {"generator", "verifier"} <= specs.roles:
        raise ValueError("a study compares verifier-guided strategies; pass verifier=... beside generator=...")
    models = specs.opened().given
    reviser_there = "reviser" in specs.roles
    arms = settings.arms(reviser_there)

    def swept(stage: str, some: Sequence[Arm], seeds: Sequence[int], asked: Sequence[Problem]) -> Records:
        return sweep(
            some,
            settings.budgets,
            asked,
            **models,
            seeds=seeds,
            resume=place / "sweep.jsonl",
            progress=_of(progress, stage),
        )

    headline = swept("headline", [*arms.headline, *arms.adaptive], settings.seeds, asked)
    asked = [problem for problem in asked if problem.id in headline.questions]  # the others failed, with a warning
    few = asked[: settings.figure_questions]
    draw = partial(draw_pool, seed=settings.pool_seed)
    solo = {role: models[role] for role in ("generator", "verifier")}
    pool = draw(asked, place / "pool.jsonl", settings.samples, **solo, progress=_of(progress, "pool"))
    chains = None
    if reviser_there:
        chains = draw(
            asked,
            place / "chains.jsonl",
            settings.chains,
            kind="chains",
            length=settings.chain_length,
            **models,
            progress=_of(progress, "chains"),
        )
    figure_seeds = settings.figure_seeds or settings.seeds
    records = swept("figures", [*arms.search, *arms.revisions], figure_seeds, few)
    deep = second_pool = deep_records = None
    if settings.deep_questions:
        some = asked[: settings.deep_questions]
        deep = draw(some, place / "pool.jsonl", settings.deep_samples, **solo, progress=_of(progress, "deep pool"))
        budgets = tuple(sorted({*settings.budgets, settings.deep_samples}))
        steps = [Arm(arm.name, arm.strategy, budgets) for arm in arms.search if arm.name in settings.deep]
        if steps:
            deep_records = swept("deep searches", steps, figure_seeds[:1], some)
        if second is not None:
            judged = {**solo, "verifier": second}
            second_pool = draw(
                some, place / "second.jsonl", settings.deep_samples, **judged, progress=_of(progress, "second verifier")
            )
    labels = pool.models if chains is None else pool.models | {"reviser": chains.models.get("reviser")}
    provenance = {
        "models": {role: name for role, name in labels.items() if name},
        "data": data,
        "problems": problems_digest(asked),
    }
    fitted = fit_as_fine(headline, arms.menu, settings, provenance, "compute-optimal, probe paid")
    searching = {name: one for name, one in arms.menu.items() if not isinstance(one, SequentialRevision)}
    by_search = fit_as_fine(headline, searching, settings, provenance, "compute-optimal search, probe paid")
    adaptive_fitted = _adaptive_by_halves(asked, fitted, arms, settings, place, models, _of(progress, "adaptive"))
    big = None
    if large is not None:
        once = sweep(
            [Arm("large, greedy", MajorityVote())],
            [1],
            asked,
            generator=large,
            resume=place / "large.jsonl",
            progress=_of(progress, "large model"),
        )
        big = of_arm(once, "large, greedy")
    return Study(
        settings=settings,
        pool=pool,
        chains=chains,
        records=records,
        headline=headline,
        arms=arms,
        fitted=fitted,
        by_search=by_search,
        adaptive_fitted=adaptive_fitted,
        given=None if policy is None else _by_policy(headline, policy, arms.menu, settings.fitted_at),
        deep=deep,
        deep_records=deep_records,
        deep_second=second_pool,
        large=big,
        ladder=costs,
        data=data,
    )


def fit_as_fine(
    records: Records, menu: Mapping[str, Strategy], settings: StudySettings, provenance: Mapping[str, Any], title: str
) -> CrossValidatedScheduler:
    """The fit with as many difficulty bins, up to the wanted number, as the ties among predictions allow."""
    own = records.only([*menu, *(PROBED + name for name in menu)])
    fit = partial(cross_validate_scheduler, own, menu, probe=settings.probe, provenance=provenance, name=title)
    for bins in range(settings.bins, 1, -1):
        with suppress(ValueError):
            return fit(thresholds=bins)
    return fit(thresholds=1)


def _by_policy(records: Records, policy: Policy, menu: Mapping[str, Strategy], budgets: Sequence[int]) -> Outcomes:
    """What the scheduler with this policy did, read off the arms of its menu."""
    foreign = {strategy for row in policy.strategies for strategy in row}.difference(menu.values())
    if foreign:
        raise ValueError(
            f"the policy names {', '.join(map(repr, foreign))}, which the study does not run; fit it over the same menu"
        )
    return of_records(GIVEN, records.questions, records.seeds, budgets, partial(scheduled, records, policy, menu))


def _adaptive_by_halves(
    asked: Sequence[Problem],
    fitted: CrossValidatedScheduler,
    arms: StudyArms,
    settings: StudySettings,
    place: Path,
    models: Mapping[str, Any],
    progress: bool | Callable[[int, int], None],
) -> Outcomes:
    """The adaptive scheduler on every question, with the policy that was fitted on the other half.

    More questions or seeds, or one that had failed, may change that policy: then its records are in another file.
    """
    found: dict[str, Records] = {}
    name = "adaptive scheduler"
    budgets = arms.adaptive[0].budgets or settings.fitted_at
    for half in (0, 1):
        own = [problem for problem in asked if fitted.folds.get(problem.id) == half]
        policy = fitted.policies[1 - half]
        known_as = hashlib.blake2b(repr(policy).encode(), digest_size=4).hexdigest()  # by what it does alone
        records = sweep(
            [Arm(name, AdaptiveScheduler(policy, settings.probe))],
            budgets,
            own,
            **models,
            seeds=settings.seeds,
            resume=place / f"adaptive-{half}-{known_as}.jsonl",
            progress=progress,
        )
        found |= dict.fromkeys(records.questions, records)
    return of_records(
        name,
        list(found),
        settings.seeds,
        budgets,
        lambda budget, seed, question: found[question].get(name, budget, seed, question),
    )


def _of(progress: bool | StageProgress, stage: str) -> bool | Callable[[int, int], None]:
    return partial(progress, stage) if callable(progress) else progress
