"""A tree of whole solutions, each a refinement of the one above it: what MCTS and AB-MCTS grow.

Knows nodes and how one more is drawn and judged. Must not know which node is expanded next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from ttscale.core.requests import Completion, Revise, Search
from ttscale.core.selection import Aggregate, best
from ttscale.core.types import Candidate, Outcome
from ttscale.strategies.waves import judge


@dataclass(slots=True, eq=False)
class SolutionNode:
    """A solution, its verifier's score (None for the root and what was cut off), and its refinements."""

    candidate: Candidate
    score: float | None = None
    parent: SolutionNode | None = None
    children: list[SolutionNode] = field(default_factory=list)

    @property
    def reward(self) -> float:
        """The score; 0 where there is none."""
        return self.score or 0.0

    def lineage(self) -> list[SolutionNode]:
        """This node and those above it, up to the root."""
        nodes, node = [self], self.parent
        while node is not None:
            nodes.append(node)
            node = node.parent
        return nodes

    def rewards(self) -> list[float]:
        """The rewards of this node and of all below it, its own first."""
        found, waiting = [], [self]
        while waiting:
            node = waiting.pop()
            found.append(node.reward)
            waiting += node.children
        return found


def expand(nodes: Sequence[SolutionNode], context: int, how: Aggregate) -> Search[list[SolutionNode]]:
    """A refinement of each node (one named twice gets two), which sees the ``context`` last finished ones above it."""
    root = nodes[0].lineage()[-1].candidate
    asked, born = [], list[SolutionNode]()
    for node in nodes:
        above = [replace(n.candidate, attempts=()) for n in reversed(node.lineage()) if n.candidate.done]
        seen = tuple(attempt for attempt in above if attempt.steps)[-context:]
        key = node.candidate.key.child(len(node.children))
        born.append(SolutionNode(Candidate(root.question, key, attempts=seen), parent=node))
        node.children.append(born[-1])
        asked.append(Revise(seen or (root,), key))
    replies = cast(Sequence[Completion], (yield asked))
    for node, reply in zip(born, replies, strict=True):
        node.candidate = replace(node.candidate, steps=reply.steps, finish=reply.finish)
    scores = yield from judge([node.candidate for node in born], how)
    for node, score in zip(born, scores, strict=True):
        node.score = score
    return born


def best_of(nodes: Sequence[SolutionNode]) -> Outcome:
    """All solutions in the order they were drawn; the one with the highest score wins."""
    candidates, scores = tuple(node.candidate for node in nodes), tuple(node.score for node in nodes)
    return Outcome(candidates, scores, best(candidates, scores))
