"""Adaptive branching Monte-Carlo tree search: at every node, one child more or down into one (arXiv 2503.04412).

Knows the choice; ``solution_tree.py`` grows the tree, ``thompson.py`` and ``mixed_model.py`` have the two posteriors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ttscale.core.checks import check_count
from ttscale.core.protocols import Role
from ttscale.core.requests import Search
from ttscale.core.selection import Aggregate, check_aggregate
from ttscale.core.types import Candidate, Key, Outcome
from ttscale.strategies.mixed_model import next_scores, summary
from ttscale.strategies.solution_tree import SolutionNode, best_of, expand
from ttscale.strategies.thompson import NormalArm, thompson


@dataclass(frozen=True, slots=True)
class ABMCTS:
    """Wider or deeper by Thompson sampling: from the root on, add a child here or go down into the best.

    ``variant`` "A" (node aggregation): at a node, GEN has seen the scores of its children, CONT those of everything
    below them; normal-inverse-chi-squared posteriors with treequest's Gaussian prior (m 0, kappa 1, nu 1, tau^2 0.1).
    Where CONT draws higher, the child whose own posterior, over its whole subtree, draws highest is entered. "M" (mixed
    model): the children's subtrees are groups of a random-effects model, a new child is a new group, and the highest
    draw of a next score decides; priors mu ~ N(0.5, 0.2), sigmas half-normal 0.2 and 0.3, summed over a grid where
    treequest samples, and no subtree is pruned. Children of the root are first attempts, those of a solution revisions
    of it. ``wave`` solutions are chosen before any is judged. The highest score wins.
    """

    variant: Literal["A", "M"] = "A"
    wave: int = 1
    context: int = 4
    aggregate: Aggregate = "last"
    needs: ClassVar[frozenset[Role]] = frozenset({"reviser", "verifier"})

    def __post_init__(self) -> None:
        check_aggregate(self.aggregate)
        if self.variant not in ("A", "M"):
            raise ValueError(f'variant must be "A" (node aggregation) or "M" (mixed model); got {self.variant!r}')
        check_count("wave", self.wave)
        check_count("context", self.context)

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        top = SolutionNode(root)
        nodes: list[SolutionNode] = []
        decide = aggregated if self.variant == "A" else mixed
        while len(nodes) < budget:
            chosen = []
            for number in range(len(nodes), min(budget, len(nodes) + self.wave)):
                node, key = top, root.key.child("decide", number)
                while node.children and (child := decide(node, key.child(len(node.lineage())))) is not None:
                    node = child
                chosen.append(node)
            nodes += yield from expand(chosen, self.context, self.aggregate)
        return best_of(nodes)


def aggregated(node: SolutionNode, key: Key) -> SolutionNode | None:
    """The child to go down into, or None to add one (AB-MCTS-A)."""
    subtrees = [child.rewards() for child in node.children]
    wider = NormalArm.of([own for own, *_ in subtrees])
    deeper = NormalArm.of([reward for _, *below in subtrees for reward in below])
    if thompson([wider, deeper], key.child("wider or deeper")) == 0:
        return None
    return node.children[thompson([NormalArm.of(subtree) for subtree in subtrees], key.child("which"))]


def mixed(node: SolutionNode, key: Key) -> SolutionNode | None:
    """The child to go down into, or None to add one (AB-MCTS-M)."""
    drawn = next_scores([summary(child.rewards()) for child in node.children], key)
    highest = drawn.index(max(drawn))
    return node.children[highest] if highest < len(node.children) else None
