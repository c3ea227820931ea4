"""What a study draws: budgets, seeds, how many questions each part gets, and the arms that follow from them.

Knows strategies and budgets. Must not know models, files or results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ttscale.api.arguments import as_seed, check_budget
from ttscale.core.checks import check_count
from ttscale.core.protocols import Strategy
from ttscale.evaluation.analyse.fitting import PROBED, probed
from ttscale.evaluation.collect.arms import (
    MIXED,
    PARALLEL,
    adaptive_arms,
    policy_menu,
    ratio_grid,
    revision_arms,
    search_arms,
)
from ttscale.evaluation.collect.sweeps import Arm
from ttscale.strategies import SequentialRevision

CHIEF = ("majority", "best-of-N", "weighted best-of-N")
"""The search arms that the scheduler is compared with, at all seeds."""
LEAST_ADAPTIVE = 4
"""Below this there is nothing to adapt."""


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
    figure_questions: int | None = None
    """How many questions, from the first on, those arms get (None: all)."""
    deep_questions: int = 0
    """How many questions get a pool of ``deep_samples``, and the strategies of ``deep`` at as large a budget."""
    deep_samples: int = 256
    deep: tuple[str, ...] = ("beam, M = 4", "DVTS, M = 4")
    bins: int = 5
    probe: int = 4
    """Solutions the scheduler's difficulty estimate costs."""
    fit_budgets: tuple[int, ...] | None = None
    """Budgets at which every strategy of the menu is run, with a probe and without (None: ``budgets``)."""
    adaptive_budgets: tuple[int, ...] | None = None
    """Budgets of the strategies that decide while they spend (None: those of ``fit_budgets`` from 4 on)."""
    pool_seed: int = 1000
    """Not one of ``seeds``: a question's bin must not depend on the samples that it is scored on."""
    search: tuple[str, ...] | None = None
    """Names of the search arms to run (None: all of ``search_arms``)."""
    menu: tuple[str, ...] | None = None
    """Names of the strategies that a policy is fitted over (None: all of ``policy_menu``)."""
    ratios: tuple[float, ...] | None = None
    """Sequential : parallel ratios of revisions, beside those of one chain and of N (None: the paper's grid)."""

    def __post_init__(self) -> None:
        for budget in self.budgets:
            ratio_grid(check_budget(budget))
        for budget in (*(self.fit_budgets or ()), *(self.adaptive_budgets or ())):
            check_budget(budget)
        if list(self.budgets) != sorted(set(self.budgets)) or len(self.budgets) < 2:
            raise ValueError(f"budgets must be at least two ascending powers of 2; got {self.budgets}")
        seeds = (*self.seeds, *(self.figure_seeds or ()))
        if not self.seeds or as_seed(self.pool_seed) in [as_seed(seed) for seed in seeds]:
            raise ValueError(f"pool_seed = {self.pool_seed} must not be one of the seeds {seeds}")
        for name in ("samples", "chains", "chain_length", "bins", "probe", "deep_samples"):
            check_count(name, getattr(self, name))
        if max(self.fitted_at) <= self.probe:
            raise ValueError(f"a probe of {self.probe} leaves nothing to spend of any budget in {self.fitted_at}")

    @property
    def fitted_at(self) -> tuple[int, ...]:
        """``fit_budgets``, or ``budgets``."""
        return self.fit_budgets or self.budgets

    def arms(self, reviser: bool) -> StudyArms:
        """What to sweep over."""
        search = [arm for arm in search_arms() if self.search is None or arm.name in self.search]
        revisions: list[Arm] = []
        if reviser:
            revisions = revision_arms(self.budgets, self.ratios)
            revisions += revision_arms(self.budgets[-1:], self.ratios, "majority")
        menu = {name: one for name, one in policy_menu(reviser).items() if self.menu is None or name in self.menu}
        everywhere = tuple(sorted({*self.budgets, *self.fitted_at, *(self.adaptive_budgets or ())}))
        chief = [replace(arm, budgets=everywhere) for arm in search if arm.name in CHIEF]
        if reviser:
            chief.append(Arm(PARALLEL, SequentialRevision(0.0), everywhere))
        chief += [Arm(MIXED, menu[MIXED], everywhere)] if MIXED in menu else []
        late = tuple(budget for budget in self.fitted_at if budget >= LEAST_ADAPTIVE) or self.fitted_at[-1:]
        late = self.adaptive_budgets or late
        adaptive = [replace(arm, budgets=late) for arm in adaptive_arms()]
        return StudyArms(
            menu, search, revisions, adaptive, merged([*chief, *menu_arms(menu, self.probe, self.fitted_at)])
        )


@dataclass(frozen=True, slots=True)
class StudyArms:
    """The arms of a study's parts."""

    menu: Mapping[str, Strategy]
    search: Sequence[Arm]
    revisions: Sequence[Arm]
    adaptive: Sequence[Arm]
    headline: Sequence[Arm]
    """What the scheduler is fitted on and compared with."""


def menu_arms(menu: Mapping[str, Strategy], probe: int, budgets: Sequence[int]) -> list[Arm]:
    """The arms that a policy over ``menu`` is fitted on; with a probe where that leaves something to spend."""
    left = tuple(budget for budget in budgets if budget > probe)
    return [
        Arm(name, strategy, left if name.startswith(PROBED) else tuple(budgets))
        for name, strategy in probed(menu, probe).items()
    ]


def merged(arms: Iterable[Arm]) -> list[Arm]:
    """Arms of one name as one, with the budgets of all of them."""
    found: dict[str, Arm] = {}
    for arm in arms:
        known = found.get(arm.name, arm)
        found[arm.name] = replace(arm, budgets=tuple(sorted({*(known.budgets or ()), *(arm.budgets or ())})))
    return list(found.values())


def reduced() -> StudySettings:
    """Budgets up to 16, one seed, a small pool: minutes on one core for 50 questions of the reference benchmark."""
    return StudySettings(
        (1, 4, 16),
        samples=16,
        chains=1,
        seeds=(0,),
        search=("majority", "best-of-N", "weighted best-of-N", "beam, M = 4", "lookahead k = 1, M = sqrt(N)"),
        menu=("weighted best-of-N", "beam, M = 4", "revisions 1:1"),
        ratios=(1.0,),
    )
