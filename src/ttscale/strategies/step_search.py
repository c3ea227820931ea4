"""The loop that beam search and lookahead share: sample one step, score, decide who gets children, again.

Paper sections 3.4 and 3.5 of the notes. Where the paper is silent: a finished beam keeps its slot and is not refilled,
so at most N solutions ever exist; open prefixes with equal steps are merged before they are scored, so that copies
neither pay twice nor crowd out the beam, and their slots stay in play.
"""

from __future__ import annotations

from ttscale.core.requests import Search
from ttscale.core.selection import Aggregate, weighted_vote
from ttscale.core.types import Candidate, Outcome, Step
from ttscale.strategies.allocation import top_share
from ttscale.strategies.waves import draw, judge


def step_search(
    root: Candidate, beams: int, *, width: int, max_rounds: int, aggregate: Aggregate, lookahead: int = 0
) -> Search[Outcome]:
    """Search with ``beams`` slots, ``width`` children per survivor, a rollout of ``lookahead`` steps before scoring."""
    ended: list[Candidate] = []
    ended_scores: list[float | None] = []
    parents = [root]
    children = [beams]
    open_beams: list[Candidate] = []
    for round_ in range(1, max_rounds + 1):
        family = [(p, i) for p, n in enumerate(children) for i in range(n)]
        drawn = yield from draw(
            [parents[p] for p, _ in family], [parents[p].key.child(i) for p, i in family], max_steps=1
        )
        open_beams = [candidate for candidate in drawn if candidate.finish == "open"]
        just_ended = [candidate for candidate in drawn if candidate.finish != "open"]
        # In the last round nobody needs the scores of open beams any more.
        distinct = _merge([p for p, _ in family], drawn) if round_ < max_rounds else []
        seen = (yield from _roll_out(distinct, lookahead)) if lookahead and distinct else distinct
        scores = yield from judge([*just_ended, *seen], aggregate)
        ended += just_ended
        ended_scores += scores[: len(just_ended)]
        if not distinct:
            break
        parents = distinct
        prefix_scores = [-1.0 if score is None else score for score in scores[len(just_ended) :]]
        children = top_share(prefix_scores, slots=len(open_beams), width=width)
    candidates = (*ended, *open_beams)
    all_scores = (*ended_scores, *[None] * len(open_beams))
    return Outcome(candidates, all_scores, weighted_vote(candidates, all_scores))


def _merge(parents: list[int], children: list[Candidate]) -> list[Candidate]:
    """The first of each group of equal open children: of one parent (parents differ), with an equal last step."""
    distinct: dict[tuple[int, Step], Candidate] = {}
    for parent, child in zip(parents, children, strict=True):
        if child.finish == "open":
            distinct.setdefault((parent, child.steps[-1]), child)
    return list(distinct.values())


def _roll_out(prefixes: list[Candidate], k: int) -> Search[list[Candidate]]:
    """Each prefix continued greedily by up to ``k`` steps, only to be scored."""
    keys = [prefix.key.child("rollout") for prefix in prefixes]
    return (yield from draw(prefixes, keys, max_steps=k, temperature=0.0))
