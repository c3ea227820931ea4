"""The step search that beam search, lookahead and DVTS share: draw one step, score, allocate children, again.

Snell et al., section 5.2. It knows when a search ends and what is judged; an ``Allocation`` decides who gets children.
Where the paper is silent: a finished solution keeps its slot, so at most N solutions ever exist.
"""

from __future__ import annotations

from ttscale.core.requests import Search
from ttscale.core.selection import Aggregate, weighted_vote
from ttscale.core.types import Candidate, Outcome
from ttscale.strategies.allocation import Allocation
from ttscale.strategies.waves import draw, judge


def step_search(
    root: Candidate,
    beams: int,
    *,
    allocate: Allocation,
    max_rounds: int,
    aggregate: Aggregate,
    lookahead: int = 0,
    merge: bool = False,
) -> Search[Outcome]:
    """Search with ``beams`` slots; each round ``allocate`` shares out the slots that no finished solution holds.

    ``lookahead`` is the number of greedy steps rolled out from a prefix before it is scored. Equal prefixes are scored
    once and share that score. ``merge`` hands them to ``allocate`` as one prefix, else each copy competes on its own.
    """
    ended: list[Candidate] = []
    ended_scores: list[float | None] = []
    open_beams: list[Candidate] = []
    parents, groups, children = [root], [0], [beams]
    for round_ in range(1, max_rounds + 1):
        family = [(p, i) for p, n in enumerate(children) for i in range(n)]
        drawn = yield from draw(
            [parents[p] for p, _ in family], [parents[p].key.child(i) for p, i in family], max_steps=1
        )
        just_ended = [candidate for candidate in drawn if candidate.finish != "open"]
        open_beams = [candidate for candidate in drawn if candidate.finish == "open"]
        # In the last round nobody needs the scores of open beams any more.
        last = round_ == max_rounds
        of_parent = [groups[p] for (p, _), candidate in zip(family, drawn, strict=True) if candidate.finish == "open"]
        distinct, copies = ([], []) if last else _distinct(of_parent, open_beams)
        seen = (yield from _roll_out(distinct, lookahead)) if lookahead and distinct else distinct
        scores = yield from judge([*just_ended, *seen], aggregate)
        ended += just_ended
        ended_scores += scores[: len(just_ended)]
        if not distinct:
            break
        prefix_scores = [-1.0 if score is None else score for score in scores[len(just_ended) :]]
        if merge:
            parents, groups = distinct, list(range(len(distinct)))
        else:
            parents, groups, prefix_scores = open_beams, copies, [prefix_scores[group] for group in copies]
        children = allocate(prefix_scores, len(open_beams))
    candidates = (*ended, *open_beams)
    all_scores = (*ended_scores, *[None] * len(open_beams))
    return Outcome(candidates, all_scores, weighted_vote(candidates, all_scores))


def _distinct(groups: list[int], prefixes: list[Candidate]) -> tuple[list[Candidate], list[int]]:
    """The first of each group of equal prefixes, and for every prefix the index of its group.

    Prefixes are equal if their parents are (the same number in ``groups``) and their last steps are.
    """
    found: dict[tuple[object, ...], int] = {}
    distinct: list[Candidate] = []
    copies: list[int] = []
    for group, prefix in zip(groups, prefixes, strict=True):
        step = prefix.steps[-1]
        copies.append(found.setdefault((group, step.text, step.tokens), len(distinct)))
        if copies[-1] == len(distinct):
            distinct.append(prefix)
    return distinct, copies


def _roll_out(prefixes: list[Candidate], k: int) -> Search[list[Candidate]]:
    """Each prefix continued greedily by up to ``k`` steps, only to be scored."""
    keys = [prefix.key.child("rollout") for prefix in prefixes]
    return (yield from draw(prefixes, keys, max_steps=k, temperature=0.0))
