"""Chance, Thompson sampling and the mixed model of AB-MCTS-M, against scipy, numpy and integrals done another way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ttscale import Key
from ttscale.strategies import ABMCTS, MCTS
from ttscale.strategies.chance import normal, pick, student, subset, uniform
from ttscale.strategies.mixed_model import GROUPS, NOISE, next_scores, summary
from ttscale.strategies.thompson import NormalArm, thompson


def test_chance_has_the_distributions_it_is_named_after() -> None:
    keys = [Key(("chance", i)) for i in range(4000)]
    assert stats.kstest([uniform(key) for key in keys], "uniform").pvalue > 0.01
    assert stats.kstest([normal(key) for key in keys], "norm").pvalue > 0.01
    for degrees in (1, 2, 7, 300):
        assert stats.kstest([student(key, degrees) for key in keys], "t", (degrees,)).pvalue > 0.01
    picked = [pick([0.2, 0, 0.5, 0.3], uniform(key)) for key in keys]
    assert picked.count(1) == 0
    assert stats.chisquare([picked.count(i) for i in (0, 2, 3)], [800, 2000, 1200]).pvalue > 0.01
    sets = [tuple(subset(key, 2, 4)) for key in keys]
    assert {len(set(s)) for s in sets} == {2}
    assert stats.chisquare([sets.count(s) for s in sorted(set(sets))]).pvalue > 0.01
    assert len(set(sets)) == 6


def test_the_posterior_of_an_arm_by_the_textbook() -> None:
    """Normal-inverse-gamma with scipy: mu marginal of NIX2(m=0, kappa=1, nu=1, tau2=0.1) after four scores."""
    scores = np.array([0.9, 0.4, 0.7, 0.6])
    # Sequentially, one score at a time, another way round than the code's sums.
    m, kappa, nu, square = 0.0, 1.0, 1.0, 0.1
    for x in scores:
        square = (nu * square + kappa / (kappa + 1) * (x - m) ** 2) / (nu + 1)
        m, kappa, nu = (kappa * m + x) / (kappa + 1), kappa + 1, nu + 1
    location, scale, degrees = NormalArm.of(list(scores)).posterior()
    assert (location, scale, degrees) == pytest.approx((m, math.sqrt(square / kappa), nu))
    assert NormalArm.of([]).posterior() == pytest.approx((0.0, math.sqrt(0.1), 1))


def regret(pull: Any, runs: int, pulls: int) -> list[float]:
    """The summed regret of each run of two arms with means 0.4 and 0.6 and noise 0.1."""
    found = []
    for run in range(runs):
        noise = np.random.default_rng(run)
        seen: list[list[float]] = [[], []]
        for number in range(pulls):
            seen[arm := pull(seen, run, number)].append((0.4, 0.6)[arm] + 0.1 * noise.standard_normal())
        found.append(0.2 * len(seen[0]))
    return found


def test_regret_on_two_arms_is_that_of_an_independent_simulation() -> None:
    def ours(seen: Any, run: int, number: int) -> int:
        return thompson([NormalArm.of(scores) for scores in seen], Key(("regret", run, number)))

    dice = np.random.default_rng(12345)

    def theirs(seen: Any, run: int, number: int) -> int:
        """sigma^2 from an inverse gamma, then the mean from a normal: two draws where ours makes one of Student's."""
        drawn = []
        for scores in seen:
            n, mean = len(scores), float(np.mean(scores)) if scores else 0.0
            total = 0.1 + sum((x - mean) ** 2 for x in scores) + n / (n + 1) * mean**2
            variance = total / 2 / dice.gamma((n + 1) / 2)
            drawn.append(dice.normal(n * mean / (n + 1), math.sqrt(variance / (n + 1))))
        return int(drawn[1] > drawn[0])

    runs, pulls = 150, 60
    mine, other = regret(ours, runs, pulls), regret(theirs, runs, pulls)
    error = math.sqrt((np.var(mine) + np.var(other)) / runs)
    assert abs(np.mean(mine) - np.mean(other)) < 4 * error
    # Pulling at random costs 0.1 a pull.
    assert np.mean(mine) < 0.4 * 0.1 * pulls


def test_the_mixed_model_by_another_integral() -> None:
    """Full covariance matrices over quantiles of both sigmas, where the code has sums and a geometric grid."""
    scores = [[0.9, 0.8, 0.85], [0.2], [0.5, 0.6]]
    y = np.array([x for group in scores for x in group])
    member = np.array([i for i, group in enumerate(scores) for _ in group])
    grid = stats.norm.ppf(0.5 + (np.arange(60) + 0.5) / 120)
    logs, means, variances = [], [], []
    for a in GROUPS * grid:
        for noise in NOISE * grid:
            every = np.concatenate([member, [0, 1, 2, 3]])  # the scores, and the next of every group and of a new one
            cover = 0.04 + a * a * (every[:, None] == every[None, :]) + noise * noise * np.eye(len(every))
            n = len(y)
            logs.append(stats.multivariate_normal.logpdf(y, np.full(n, 0.5), cover[:n, :n]))
            gain = cover[n:, :n] @ np.linalg.inv(cover[:n, :n])
            means.append(0.5 + gain @ (y - 0.5))
            variances.append(np.diag(cover[n:, n:] - gain @ cover[:n, n:]))
    weights = np.exp(np.array(logs) - max(logs))
    weights /= weights.sum()
    mean = weights @ np.array(means)
    variance = weights @ (np.array(variances) + np.array(means) ** 2) - mean**2
    drawn = np.array([next_scores([summary(group) for group in scores], Key(("mixed", i))) for i in range(4000)])
    assert np.all(np.abs(drawn.mean(0) - mean) < 4 * np.sqrt(variance / 4000) + 0.01)
    assert np.all(np.abs(drawn.var(0) / variance - 1) < 0.12)
    # How often each is drawn highest, from the fine grid, every one on its own as the code does.
    dice = np.random.default_rng(0)
    cells = dice.choice(len(weights), p=weights, size=(20000, 4))
    columns = np.arange(4)
    fine = dice.normal(np.array(means)[cells, columns], np.sqrt(np.array(variances)[cells, columns]))
    shares = np.bincount(fine.argmax(1), minlength=4) / 20000
    assert np.all(np.abs(np.bincount(drawn.argmax(1), minlength=4) / 4000 - shares) < 0.03)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: MCTS(c=-1), "c, the weight of exploring, must be a number of at least 0; got -1"),
        (lambda: MCTS(c=math.nan), "c, the weight of exploring"),
        (lambda: MCTS(children=0), "children must be a positive integer; got 0"),
        (lambda: ABMCTS("B"), 'variant must be "A" .node aggregation. or "M" .mixed model.; got \'B\''),  # type: ignore[arg-type]
        (lambda: ABMCTS(wave=True), "wave must be a positive integer; got True"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make()
