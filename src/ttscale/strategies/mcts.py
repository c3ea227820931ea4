"""Monte-Carlo tree search over whole solutions and their refinements.

Knows which node is expanded next; ``solution_tree.py`` grows it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ttscale.core.checks import check_count
from ttscale.core.protocols import Role
from ttscale.core.requests import Search
from ttscale.core.selection import Aggregate, check_aggregate
from ttscale.core.types import Candidate, Outcome
from ttscale.strategies.chance import softmax
from ttscale.strategies.solution_tree import SolutionNode, best_of, expand


@dataclass(frozen=True, slots=True)
class MCTS:
    """Go down from the root to a leaf by UCT, refine it ``children`` times, add their scores up the path; N solutions.

    The root's children are first attempts, and those of a solution are revisions of it, which see the ``context`` last
    solutions above. A child is chosen by mean score + c P sqrt(ln n_parent / n_child). The scores are the verifier's
    over the child's whole subtree. n counts solutions; the root's own visit is none. The prior P is the softmax of the
    siblings' own scores. That and the defaults are treequest's ``StandardMCTS``. The highest score wins.
    """

    c: float = math.sqrt(2)
    children: int = 2
    context: int = 4
    aggregate: Aggregate = "last"
    needs: ClassVar[frozenset[Role]] = frozenset({"reviser", "verifier"})

    def __post_init__(self) -> None:
        check_aggregate(self.aggregate)
        if not isinstance(self.c, (int, float)) or not 0 <= self.c < math.inf:
            raise ValueError(f"c, the weight of exploring, must be a number of at least 0; got {self.c!r}")
        check_count("children", self.children)
        check_count("context", self.context)

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        top = SolutionNode(root)
        nodes: list[SolutionNode] = []
        visits: dict[SolutionNode, int] = {}
        totals: dict[SolutionNode, float] = {}
        while len(nodes) < budget:
            leaf = top
            while leaf.children:
                leaf = most_promising(leaf, visits, totals, self.c)
            born = yield from expand([leaf] * min(self.children, budget - len(nodes)), self.context, self.aggregate)
            nodes += born
            for child in born:
                for node in child.lineage():
                    visits[node] = visits.get(node, 0) + 1
                    totals[node] = totals.get(node, 0.0) + child.reward
        return best_of(nodes)


def most_promising(
    parent: SolutionNode, visits: dict[SolutionNode, int], totals: dict[SolutionNode, float], c: float
) -> SolutionNode:
    """The child with the highest upper confidence bound; the first of equal ones."""
    priors = softmax([child.reward for child in parent.children])
    bounds = [
        totals[child] / visits[child] + c * prior * math.sqrt(math.log(visits[parent]) / visits[child])
        for child, prior in zip(parent.children, priors, strict=True)
    ]
    return parent.children[bounds.index(max(bounds))]
