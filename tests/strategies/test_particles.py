"""Particle filters against the posterior itself: every solution of a small world, with its probability and its odds."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from random import Random
from typing import Any

import pytest
from scipy import stats

from ttscale import Candidate, Key, Question, Sample, Score, Step
from ttscale.strategies import ParticleFilter, ParticleGibbs
from ttscale.strategies.filter_pass import log_mean_exp, run_filter
from ttscale.strategies.particles import Particle, choose
from ttscale.strategies.resampling import effective_size, resampled
from ttscale.testing import FakeGenerator, FakeVerifier, waves

SEEDS = 2000
STEPS = {"": {"a": 0.6, "b": 0.3, "c!": 0.1}, "a": {"a": 0.5, "b!": 0.5}, "b": {"a": 0.8, "b!": 0.2}}
"""What may follow a last step, with its chance; a step with ! ends the solution, and so does the third one."""


def odds(text: str) -> float:
    """The odds of a prefix: some are liked, some are not, the last step alone does not decide."""
    return (1.5, 0.7, 2.5)[sum(map(ord, text)) % 3]


def world(text: str) -> dict[str, float]:
    lines = text.splitlines()
    following = STEPS[lines[-1] if lines else ""]
    if len(lines) < 2:
        return following
    merged: Counter[str] = Counter()
    for step, chance in following.items():
        merged[step.rstrip("!") + "!"] += chance  # type: ignore[assignment]
    return dict(merged)


def posterior() -> dict[str, float]:
    """Unnormalised: for every whole solution the chance to draw it times the odds after each of its steps."""
    found: dict[str, float] = {}

    def go(text: str, weight: float) -> None:
        for step, chance in world(text).items():
            longer = f"{text}{step}\n"
            if step.endswith("!"):
                found[longer] = weight * chance * odds(longer)
            else:
                go(longer, weight * chance * odds(longer))

    go("", 1.0)
    return found


def step(request: Sample) -> str:
    following = world(request.prefix.text)
    drawn = Random(request.key.seed).choices(list(following), list(following.values()))[0]
    return f"{request.prefix.text}{drawn}\n" + ("" if drawn.endswith("!") else "(more)")


def mark(request: Score) -> float:
    r = odds(request.candidate.text)
    return r / (1 + r)


def roles() -> dict[Any, Any]:
    return {"generator": FakeGenerator(step), "verifier": FakeVerifier(mark)}


def passed(seed: int, n: int, resample: Any, ess: float) -> Any:
    """The particles of one pass, run by hand."""
    root = Candidate(Question("q", "?"), Key((seed, "q")))

    class Pass:
        def search(self, root: Candidate, budget: int) -> Any:
            return (yield from run_filter(root, budget, resample, ess, 40, "last"))

    search = Pass().search(root, n)
    wave = next(search)
    given = roles()
    while True:
        try:
            wave = search.send(
                [
                    given["generator"].sample([r])[0] if isinstance(r, Sample) else given["verifier"].score([r])[0]
                    for r in wave
                ]
            )
        except StopIteration as stop:
            return stop.value


@pytest.mark.parametrize(
    ("resample", "ess", "n"),
    [("multinomial", 1.0, 3), ("systematic", 1.0, 4), ("systematic", 0.7, 4), ("systematic", 0, 2)],
)
def test_the_weights_are_unbiased_for_the_posterior(resample: Any, ess: float, n: int) -> None:
    """However few particles, the mean weight of a solution is its unnormalised posterior, lengths differing."""
    wanted = posterior()
    sums: dict[str, list[float]] = {text: [] for text in wanted}
    for seed in range(SEEDS):
        found: Counter[str] = Counter()
        for particle in passed(seed, n, resample, ess):
            found[particle.candidate.text] += math.exp(particle.log_weight) / n  # type: ignore[assignment]
        for text, values in sums.items():
            values.append(found[text])
    for text, values in sums.items():
        error = math.sqrt(stats.tvar(values) / SEEDS)
        assert abs(sum(values) / SEEDS - wanted[text]) < 4 * error, text


def chi_square(found: Counter[str], wanted: dict[str, float]) -> float:
    """How likely counts as odd as these are (the p-value)."""
    total = sum(wanted.values())
    texts = list(wanted)
    expected = [sum(found.values()) * wanted[text] / total for text in texts]
    return float(stats.chisquare([found[text] for text in texts], expected).pvalue)


def winners(strategy: Any, n: int, seeds: int = SEEDS) -> Counter[str]:
    given = roles()
    found: Counter[str] = Counter()
    for i in range(seeds):
        outcome = waves(strategy, n, roles=given, question=Question(f"q{i}", "?"))[1]
        assert outcome.chosen is not None
        found[outcome.candidates[outcome.chosen].text] += 1
    return found


def test_a_sample_of_many_particles_is_a_draw_from_the_posterior() -> None:
    found = winners(ParticleFilter(select="sample"), 48)
    assert chi_square(found, posterior()) > 0.01
    # Which is not what the generator draws: the test would see the difference.
    assert chi_square(winners(ParticleFilter(select="sample"), 1), posterior()) < 1e-9


def test_particle_gibbs_goes_to_the_posterior_with_few_particles() -> None:
    """Where a filter of as few is biased."""
    assert chi_square(winners(ParticleGibbs(iterations=12, select="sample"), 24), posterior()) > 0.01
    assert chi_square(winners(ParticleFilter(resample="multinomial", select="sample"), 2), posterior()) < 1e-3


def test_the_filter_of_two_by_brute_force() -> None:
    """Everything that can happen to two particles of two steps, against what happens."""
    first, liked = {"x": 0.3, "y": 0.7}, {"x": 3.0, "y": 1.0}
    second = {"x": {"l": 0.9, "r": 0.1}, "y": {"l": 0.2, "r": 0.8}}
    wanted: Counter[tuple[str, ...]] = Counter()
    for one, two in itertools.product(first, repeat=2):
        share = liked[one] / (liked[one] + liked[two])
        for (a, pa), (b, pb) in itertools.product(((one, share), (two, 1 - share)), repeat=2):
            for s, t in itertools.product("lr", repeat=2):
                chance = first[one] * first[two] * pa * pb * second[a][s] * second[b][t]
                wanted[tuple(sorted((a + s, b + t)))] += chance  # type: ignore[assignment]

    def reply(request: Sample) -> str:
        text = request.prefix.text
        following = second[text[0]] if text else first
        drawn = Random(request.key.seed).choices(list(following), list(following.values()))[0]
        return text + drawn + ("" if text else "\n(more)")

    given: Any = {
        "generator": FakeGenerator(reply),
        "verifier": FakeVerifier(lambda q: liked[q.candidate.text[0]] / (1 + liked[q.candidate.text[0]])),
    }
    found: Counter[tuple[str, ...]] = Counter()
    for i in range(SEEDS):
        outcome = waves(ParticleFilter("multinomial"), 2, roles=given, question=Question(f"q{i}", "?"))[1]
        found[tuple(sorted(c.text.replace("\n", "") for c in outcome.candidates))] += 1
    pairs = list(wanted)
    assert math.isclose(sum(wanted.values()), 1)
    assert stats.chisquare([found[p] for p in pairs], [SEEDS * wanted[p] for p in pairs]).pvalue > 0.01


@pytest.mark.parametrize("how", ["systematic", "multinomial"])
def test_resampling_takes_each_in_proportion(how: Any) -> None:
    weights = [0.5, 0.0, 0.2, 0.3]
    counts = [0] * 4
    for seed in range(SEEDS):
        taken = resampled(weights, 7, how, Key((seed,)))
        assert len(taken) == 7
        if how == "systematic":
            assert all(abs(taken.count(i) - 7 * weight) < 1 for i, weight in enumerate(weights))
        for i in taken:
            counts[i] += 1
    for count, weight in zip(counts, weights, strict=True):
        assert abs(count / SEEDS - 7 * weight) < 4 * math.sqrt(7 * weight * (1 - weight) / SEEDS) + 1e-9


@pytest.mark.parametrize("select", ["sample", "vote", "best"])
def test_a_finished_particle_is_chosen_however_heavy_the_open_ones_are(select: Any) -> None:
    """Two say 1 and 2, in odds of 1 to 9, and one that has not ended outweighs them by more than a float can hold."""
    question, weights = Question("q", "?"), {1: -2000 + math.log(0.1), 2: -2000 + math.log(0.9)}
    ended = [
        Particle(((Candidate(question, Key((i,)), (Step(f"Answer: {i}"),), "stop"), 0.1 * i),), weights[i])
        for i in (1, 2)
    ]
    open_ = Particle(((Candidate(question, Key((3,)), (Step("so far"),)), 0.9),), 0.0)
    picked = Counter(choose([open_, *ended], select, Key(("seed", i))) for i in range(2000))
    if select == "sample":
        assert picked.keys() == {1, 2}
        assert picked[1] == pytest.approx(200, abs=5 * math.sqrt(2000 * 0.1 * 0.9))
    else:
        assert picked == {2: 2000}
    assert choose([open_], select, Key(("seed",))) is None


def test_sizes_of_weights() -> None:
    assert effective_size([1, 1, 1, 1]) == pytest.approx(4)
    assert effective_size([0, 5, 0]) == pytest.approx(1)
    assert log_mean_exp([-math.inf, -math.inf]) == -math.inf
    assert log_mean_exp([math.log(1), math.log(3)]) == pytest.approx(math.log(2))


def test_what_is_resampled_away_has_left_no_solution_unpaid() -> None:
    """A finished particle keeps its place: of N solutions begun, at most N are ever finished, and all come back."""
    for n in range(1, 20):
        seen, outcome = waves(ParticleFilter(), n, roles=roles())
        ended = [q.key for wave in seen for q, a in wave if isinstance(q, Sample) and a.finish == "stop"]  # type: ignore[union-attr]
        assert sorted(map(str, ended)) == sorted(str(c.key) for c in outcome.candidates)
        assert len(ended) == n


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: ParticleFilter("residual"), "resample must be one of systematic, multinomial; got 'residual'"),  # type: ignore[arg-type]
        (lambda: ParticleFilter(ess=1.5), "ess must be a share of the particles"),
        (lambda: ParticleFilter(select="mean"), "select must be one of best, vote, sample; got 'mean'"),  # type: ignore[arg-type]
        (lambda: ParticleFilter(max_rounds=0), "max_rounds must be a positive integer; got 0"),
        (lambda: ParticleGibbs(0), "iterations must be a positive integer; got 0"),
        (lambda: ParticleGibbs(True), "iterations must be a positive integer; got True"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make()
