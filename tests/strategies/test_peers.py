"""Against other people's packages: the same tree, the same scores and the same luck give the same visits.

treequest and its_hub are installed with ``pip install -e '.[peers]'``; without them this file is skipped.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from scipy import stats

from ttscale import Candidate, Key, Question, Revise, Sample, Score
from ttscale.strategies import ABMCTS, MCTS, ParticleFilter, abmcts
from ttscale.testing import FakeGenerator, FakeReviser, FakeVerifier, waves

Path = tuple[int, ...]
"""Where a node is: the number among its siblings of each node from the root's child on."""


def score_of(path: Path, world: int) -> float:
    """A score that mostly follows the parent's, in steps of a hundredth so that ties happen."""
    score = 0.5
    for depth in range(len(path)):
        score = min(1.0, max(0.0, score + Random(f"{world} {path[: depth + 1]}").gauss(0.02, 0.2)))
    return round(score, 2)


def our_visits(strategy: Any, budget: int, world: int) -> list[Path]:
    """The paths of the nodes in the order in which they are added."""

    def path(key: Key) -> Path:
        return tuple(int(part) for part in key.path[2:])

    roles: Any = {
        "reviser": FakeReviser("Answer: 1"),
        "verifier": FakeVerifier(lambda request: score_of(path(request.candidate.key), world)),
    }
    seen, _ = waves(strategy, budget, roles=roles, question=Question(f"q{world}", "?"))
    return [path(request.key) for wave in seen for request, _ in wave if isinstance(request, Revise)]


def their_visits(algorithm: Any, budget: int, world: int) -> list[Path]:
    visits: list[Path] = []

    def generate(parent: Path | None) -> tuple[Path, float]:
        above = parent or ()
        number = sum(path[:-1] == above for path in visits)
        visits.append((*above, number))
        return visits[-1], score_of(visits[-1], world)

    state = algorithm.init_tree()
    for _ in range(budget):
        state = algorithm.step(state, {"refine": generate}, inplace=True)
    return visits


@pytest.mark.parametrize(("c", "children"), [(math.sqrt(2), 2), (0.5, 3), (0.0, 1), (3.0, 4)])
def test_mcts_visits_what_treequest_visits(c: float, children: int) -> None:
    treequest = pytest.importorskip("treequest")
    for world in range(30):
        theirs = treequest.StandardMCTS(samples_per_action=children, exploration_weight=c)
        wanted = their_visits(theirs, 40, world)
        assert our_visits(MCTS(c, children), 40, world) == wanted
        assert our_visits(MCTS(c, children), 17, world) == wanted[:17]


def luck(location: float, scale: float, degrees: float, number: int) -> float:
    """The draw of a posterior after ``number`` nodes, for both packages the same."""
    named = f"{location:.9f} {scale:.9f} {degrees:.0f} {number}"
    return location + scale * Random(named).gauss(0, 1)


def test_abmcts_visits_what_treequest_visits_with_the_same_luck(monkeypatch: pytest.MonkeyPatch) -> None:
    treequest = pytest.importorskip("treequest")
    from treequest.algos.ab_mcts_a.prob_state import ProbabilisticDist

    visits: list[Path] = []

    def their_draw(self: Any) -> float:
        p = self.params
        return luck(p["m"], math.sqrt(p["tau_square"] / p["kappa"]), p["nu"], len(visits))

    def our_draw(arms: Any, key: Key) -> int:
        number = int(key.path[key.path.index("decide") + 1])
        drawn = [luck(*arm.posterior(), number) for arm in arms]
        return drawn.index(max(drawn))

    monkeypatch.setattr(ProbabilisticDist, "draw_sample", their_draw)
    monkeypatch.setattr(abmcts, "thompson", our_draw)
    shapes = set()
    for world in range(30):
        visits.clear()
        state, theirs = None, treequest.ABMCTSA()
        state = theirs.init_tree()

        def generate(parent: Path | None, world: int = world) -> tuple[Path, float]:
            above = parent or ()
            visits.append((*above, sum(path[:-1] == above for path in visits)))
            return visits[-1], score_of(visits[-1], world)

        for _ in range(40):
            state = theirs.step(state, {"refine": generate}, inplace=True)
        assert our_visits(ABMCTS("A"), 40, world) == visits
        shapes.add((len({path[0] for path in visits}), max(map(len, visits))))
    assert len(shapes) > 5  # some went wide and some deep


def test_abmcts_with_luck_of_its_own_is_as_wide_and_deep_as_treequest() -> None:
    treequest = pytest.importorskip("treequest")
    import numpy as np

    np.random.seed(0)

    def shape(visits: list[Path]) -> tuple[int, int]:
        return len({path[0] for path in visits}), max(map(len, visits))

    runs = 600
    ours = Counter(shape(our_visits(ABMCTS("A"), 6, world)) for world in range(runs))
    theirs = Counter(shape(their_visits(treequest.ABMCTSA(), 6, world)) for world in range(runs))
    assert homogeneous(ours, theirs) > 0.01


def homogeneous(ours: Counter[Any], theirs: Counter[Any]) -> float:
    """How likely two samples of one distribution differ as much as these (the p-value); rare outcomes together."""
    common = [case for case in ours | theirs if ours[case] + theirs[case] >= 20]
    rare = [sum(found.values()) - sum(found[case] for case in common) for found in (ours, theirs)]
    table = [[found[case] for case in common] + [rest] for found, rest in zip((ours, theirs), rare, strict=True)]
    if not sum(rare):
        table = [row[:-1] for row in table]
    return float(stats.chi2_contingency(table).pvalue)


CHANCES: dict[str, float] = {"a": 0.5, "b": 0.3, "c": 0.2}
DEPTH = 3


def mark(text: str) -> float:
    """A process reward of a beginning: it likes some letters more the later they come."""
    return {"a": 0.35, "b": 0.6, "c": 0.75}[text[-1]] + 0.05 * (len(text) - 1)


def test_the_particle_filter_is_distributed_as_that_of_its_hub() -> None:
    """Which solutions there are when the last step is judged, over 2,000 runs of either."""
    pytest.importorskip("its_hub")
    from its_hub.api import AbstractLanguageModel, AbstractProcessRewardModel
    from its_hub.core.algorithms.particle_gibbs import ParticleFiltering
    from its_hub.core.lms.step_generation import StepGeneration

    judged: list[list[str]] = []
    dice = Random(1)

    class Model(AbstractLanguageModel):  # type: ignore[misc]
        async def agenerate(self, messages_lst: Any, **_: Any) -> Any:
            drawn = dice.choices(list(CHANCES), list(CHANCES.values()), k=len(messages_lst))
            done = [bool(m[1:]) and len(m[-1].content.replace("\n", "")) == DEPTH - 1 for m in messages_lst]
            return [{"role": "assistant", "content": one + "!" * end} for one, end in zip(drawn, done, strict=True)]

    class Rewards(AbstractProcessRewardModel):  # type: ignore[misc]
        score = None

        async def ascore(self, _: Any, texts: Any, **__: Any) -> Any:
            plain = [text.replace("\n", "").replace("!", "") for text in texts]
            judged.append(plain)
            return [mark(text) for text in plain]

    generation = StepGeneration(step_token="\n", max_steps=9, stop_token="!")
    filter_ = ParticleFiltering(generation, Rewards())
    theirs: Counter[Any] = Counter()

    async def run() -> None:
        for _ in range(2000):
            await filter_.ainfer(Model(), "?", 3)
            theirs[tuple(sorted(judged[-1]))] += 1

    asyncio.run(run())
    ours = populations(ParticleFilter("multinomial"), 3, 2000)
    assert {len(text) for case in theirs for text in case} == {DEPTH}
    assert homogeneous(ours, theirs) > 0.01
    # The test would see a filter that does not resample.
    assert homogeneous(populations(ParticleFilter(ess=0), 3, 2000), theirs) < 1e-6


def populations(strategy: Any, n: int, runs: int) -> Counter[Any]:
    def step(request: Sample) -> str:
        text, begun = request.prefix.text, len(request.prefix.steps)
        drawn = Random(request.key.seed).choices(list(CHANCES), list(CHANCES.values()))[0]
        return text + drawn + ("\n(more)" if begun + 1 < DEPTH else "")

    scored: Callable[[Score], float] = lambda request: mark(request.candidate.text.replace("\n", ""))  # noqa: E731
    roles: Any = {"generator": FakeGenerator(step), "verifier": FakeVerifier(scored)}
    found: Counter[Any] = Counter()
    for i in range(runs):
        candidates: tuple[Candidate, ...] = waves(strategy, n, roles=roles, question=Question(f"q{i}", "?"))[
            1
        ].candidates
        found[tuple(sorted(c.text.replace("\n", "") for c in candidates))] += 1
    return found
