"""Everything the paper measures, measured on one generator, verifier and reviser: drawn once, kept in one folder.

Knows what to draw and where to keep it. Must not know what is shown (``study_report.py``). Every file in the folder is
appended to as results come, so a study that was killed goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ttscale._arguments import check_budget, check_seed
from ttscale._roles import Strategy
from ttscale._select import Aggregate
from ttscale.evaluation._models import ModelSpec, ModelSpecs
from ttscale.evaluation._pool import Pool
from ttscale.evaluation._problems import AnyProblem, Gold, check_problems, problems_digest
from ttscale.evaluation.flops import Rung
from ttscale.evaluation.menus import adaptive_arms, policy_menu, ratio_grid, revision_arms, search_arms
from ttscale.evaluation.outcomes import Outcomes, of_arm, of_records
from ttscale.evaluation.policies import CrossValidatedScheduler, cross_validate_scheduler, probed
from ttscale.evaluation.pools import draw_pool
from ttscale.evaluation.records import Records
from ttscale.evaluation.sweeps import Arm, sweep
from ttscale.strategies import AdaptiveScheduler, MajorityVote, SequentialRevision

COMPARED = ("majority", "best-of-N", "weighted best-of-N")
"""The search arms that the scheduler is compared with."""
PAID = "probe, then "
"""How the arms of a probed menu are called in the sweep: this before the strategy's name."""


@dataclass(frozen=True, slots=True)
class StudySettings:
    """What a study draws. The defaults are a full one; ``reduced`` is for a quick look and for tests."""

    budgets: tuple[int, ...] = (1, 4, 16, 64)
    """Powers of 2, for which the paper gives the ratios of sequential to parallel revisions."""
    samples: int = 64
    """K of the pool of independent samples that oracle difficulty is read off."""
    chains: int = 2
    chain_length: int = 8
    seeds: tuple[int, ...] = (0, 1, 2)
    figure_seeds: tuple[int, ...] | None = None
    """Seeds of the arms that only figures show (None: ``seeds``); the scheduler is fitted and measured on all."""
    bins: int = 5
    probe: int = 4
    """Solutions the scheduler's difficulty estimate costs."""
    fit_budgets: tuple[int, ...] | None = None
    """Budgets that the scheduler's policy is fitted at (None: ``budgets``)."""
    pool_seed: int = 1000
    """Not one of ``seeds``: a question's bin must not depend on the samples that it is scored on."""
    aggregate: Aggregate = "last"
    search: tuple[str, ...] | None = None
    """Names of the search arms to run (None: all of ``search_arms``)."""
    menu: tuple[str, ...] | None = None
    """Names of the strategies that a policy is fitted over (None: all of ``policy_menu``)."""
    ratios: tuple[float, ...] | None = None
    """Sequential : parallel ratios of revisions, beside those of one chain and of N (None: the paper's grid)."""

    def __post_init__(self) -> None:
        for budget in (*self.budgets, *(self.fit_budgets or ())):
            ratio_grid(check_budget(budget))
        if list(self.budgets) != sorted(set(self.budgets)) or len(self.budgets) < 2:
            raise ValueError(f"budgets must be at least two ascending powers of 2; got {self.budgets}")
        seeds = (*self.seeds, *(self.figure_seeds or ()))
        if not self.seeds or check_seed(self.pool_seed) in [check_seed(seed) for seed in seeds]:
            raise ValueError(f"pool_seed = {self.pool_seed} must not be one of the seeds {seeds}")
        for name in ("samples", "chains", "chain_length", "bins", "probe"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a positive integer; got {value!r}")


def reduced(seeds: Sequence[int] = (0,)) -> StudySettings:
    """Budgets up to 16, one seed, a small pool: minutes on one core for 50 questions of the reference benchmark."""
    return StudySettings(
        (1, 4, 16),
        samples=16,
        chains=1,
        seeds=tuple(seeds),
        search=("majority", "best-of-N", "weighted best-of-N", "beam, M = 4", "lookahead k = 1, M = sqrt(N)"),
        menu=("weighted best-of-N", "beam, M = 4", "revisions 1:1"),
        ratios=(1.0,),
    )


@dataclass(frozen=True, slots=True)
class Study:
    """What was measured."""

    settings: StudySettings
    pool: Pool
    chains: Pool | None
    records: Records
    """Every arm, at the figures' seeds."""
    headline: Records
    """What the scheduler is fitted on and compared with, at all seeds."""
    menu: Mapping[str, Strategy]
    """The strategies that a policy is fitted over, by the names they have in ``records`` (after ``PAID``)."""
    search: tuple[str, ...]
    revisions: tuple[str, ...]
    adaptive: tuple[str, ...]
    fitted: CrossValidatedScheduler
    """The scheduler's policy: cross-validated, and fitted on all questions."""
    by_search: CrossValidatedScheduler
    """The same over the strategies that ask the generator only; what revisions add is the difference."""
    adaptive_fitted: Outcomes
    """The adaptive scheduler with the policy of the half that a question is not in."""
    large: Outcomes | None
    ladder: tuple[Rung, Rung] | None
    questions: int
    data: str


def run_study(
    problems: Iterable[AnyProblem],
    folder: str | Path,
    settings: StudySettings = StudySettings(),
    *,
    generator: ModelSpec = None,
    verifier: ModelSpec = None,
    reviser: ModelSpec = None,
    large: ModelSpec = None,
    ladder: str | Path | None = None,
    data: str = "",
    progress: bool = True,
) -> Study:
    """Draw what ``folder`` lacks: a sample pool, chains of revisions, and a sweep of every strategy.

    ``large`` is a generator about 14 times as large, asked once per question and expected to decode greedily
    (``HFGenerator(..., temperature=0)``); ``ladder`` the JSON file with what both models cost (``read_ladder``).
    ``data`` names the data set in the report.
    """
    golds = check_problems(problems)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    specs = ModelSpecs(generator, verifier, reviser).check()
    if not {"generator", "verifier"} <= specs.roles:
        raise ValueError("a study compares verifier-guided strategies; pass verifier=... beside generator=...")
    models = specs.opened().given
    search = [arm for arm in search_arms(settings.aggregate) if settings.search is None or arm.name in settings.search]
    revisions: list[Arm] = []
    if "reviser" in specs.roles:
        revisions = [
            *revision_arms(settings.budgets, settings.ratios, aggregate=settings.aggregate),
            *revision_arms(settings.budgets[-1:], settings.ratios, "majority"),
        ]
    fit_budgets = settings.fit_budgets or settings.budgets
    adaptive = [replace(arm, budgets=fit_budgets) for arm in adaptive_arms()]
    menu = policy_menu("reviser" in specs.roles, settings.aggregate)
    menu = {name: menu[name] for name in menu if settings.menu is None or name in settings.menu}
    paid = [Arm(PAID + name, strategy, fit_budgets) for name, strategy in probed(menu, settings.probe).items()]

    def swept(some: Sequence[Arm], seeds: Sequence[int]) -> Records:
        file = place / "sweep.jsonl"
        return sweep(some, settings.budgets, golds, **models, seeds=seeds, resume=file, progress=progress)

    headline = swept([*_chief(search, revisions), *adaptive, *paid], settings.seeds)
    pool = draw_pool(
        golds,
        place / "pool.jsonl",
        settings.samples,
        generator=models["generator"],
        verifier=models["verifier"],
        seed=settings.pool_seed,
        progress=progress,
    )
    chains = None
    if "reviser" in specs.roles:
        chains = draw_pool(
            golds,
            place / "chains.jsonl",
            settings.chains,
            kind="chains",
            length=settings.chain_length,
            **models,
            seed=settings.pool_seed,
            progress=progress,
        )
    records = swept([*search, *adaptive, *revisions, *paid], settings.figure_seeds or settings.seeds)
    provenance = {
        "models": {str(role): name for role, name in pool.models.items() if name} | _reviser_label(chains),
        "data": data,
        "problems": problems_digest(golds),
    }
    fitted = _fit(headline, menu, settings, provenance, "compute-optimal, probe paid")
    searching = {name: strategy for name, strategy in menu.items() if not isinstance(strategy, SequentialRevision)}
    by_search = _fit(headline, searching, settings, provenance, "compute-optimal search, probe paid")
    adaptive_fitted = _adaptive_by_halves(golds, fitted, settings, place, models, progress)
    big = None
    if large is not None:
        once = sweep(
            [Arm("large, greedy", MajorityVote())],
            [1],
            golds,
            generator=large,
            resume=place / "large.jsonl",
            progress=progress,
        )
        big = of_arm(once, "large, greedy")
    return Study(
        settings,
        pool,
        chains,
        records,
        headline,
        menu,
        tuple(arm.name for arm in search),
        tuple(arm.name for arm in revisions),
        tuple(arm.name for arm in adaptive),
        fitted,
        by_search,
        adaptive_fitted,
        big,
        None if ladder is None else read_ladder(ladder),
        len(golds),
        data,
    )


def _fit(
    records: Records, menu: Mapping[str, Strategy], settings: StudySettings, provenance: Mapping[str, Any], title: str
) -> CrossValidatedScheduler:
    """The fit with as many difficulty bins, up to the wanted number, as the ties among predictions allow."""
    own = records.only([PAID + name for name in menu])
    named = {PAID + name: strategy for name, strategy in menu.items()}
    for bins in range(settings.bins, 0, -1):
        try:
            return cross_validate_scheduler(
                own, named, thresholds=bins, probe=settings.probe, provenance=provenance, name=title
            )
        except ValueError:
            if bins == 1:
                raise
    raise AssertionError("unreachable: settings.bins is at least 1")


def _adaptive_by_halves(
    golds: Sequence[Gold],
    fitted: CrossValidatedScheduler,
    settings: StudySettings,
    place: Path,
    models: Mapping[str, Any],
    progress: bool,
) -> Outcomes:
    """The adaptive scheduler on every question, with the policy that was fitted on the other half."""
    found: dict[str, Records] = {}
    arm = "adaptive scheduler"
    for half in (0, 1):
        own = [gold for gold in golds if fitted.folds.get(gold.id) == half]
        records = sweep(
            [Arm(arm, AdaptiveScheduler(fitted.policies[1 - half], settings.probe))],
            settings.fit_budgets or settings.budgets,
            own,
            **models,
            seeds=settings.seeds,
            resume=place / f"adaptive-{half}.jsonl",
            progress=progress,
        )
        found |= dict.fromkeys(records.questions, records)
    cells = {
        budget: [
            [records.get(arm, budget, seed, question) for seed in settings.seeds] for question, records in found.items()
        ]
        for budget in settings.fit_budgets or settings.budgets
    }
    return of_records(arm, cells)


def _chief(search: Sequence[Arm], revisions: Sequence[Arm]) -> list[Arm]:
    """What the scheduler is compared with: best-of-N of solutions, and of revisions (1:N, chains of one)."""
    chief = [arm for arm in search if arm.name in COMPARED]
    for arm in revisions:
        strategy = arm.strategy
        if isinstance(strategy, SequentialRevision) and strategy.select == "hierarchical":
            parallel = tuple(budget for budget in arm.budgets or () if strategy.ratio * budget == 1)
            chief += [replace(arm, budgets=parallel)] if parallel else []
    return chief


def _reviser_label(chains: Pool | None) -> dict[str, str]:
    name = None if chains is None else chains.models.get("reviser")
    return {} if name is None else {"reviser": name}


def read_ladder(path: str | Path) -> tuple[Rung, Rung]:
    """What the small and the large model cost, from JSON: {"small": {...}, "large": {...}}, the fields of ``Rung``."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        return Rung(**found["small"]), Rung(**found["large"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} is no ladder: expected {{"small": {{...}}, "large": {{...}}}}, each with name, parameters, '
            f"pretraining, finetuning and inference in FLOPs ({type(error).__name__}: {error})"
        ) from error
