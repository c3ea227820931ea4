"""The vote over a tree's finished solutions: who got what, and by which measure the winner won. Plain data."""

from __future__ import annotations

from dataclasses import dataclass

from ttscale.answers import answer_classes, rule_called
from ttscale.viz.tree import Node, Tree

HIERARCHICAL = "select='hierarchical'"
"""How a strategy prints that chooses within each chain of revisions first, then among the chains' winners."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What equal answers got together."""

    answer: str
    """As the first solution wrote it."""
    count: int
    total: float | None
    """Their last scores added up; None where nothing was scored."""
    best: float | None
    won: bool


def votes(tree: Tree) -> list[Vote]:
    """One row per answer of the finished solutions, the winner first, then by count and total score."""
    # Rollouts of lookahead only judge a prefix: they cannot win.
    solutions = [node for node in tree.nodes if node.finish == "stop" and not node.rollout]
    classes = answer_classes([node.answer for node in solutions], rule_called(tree.answers))
    groups: dict[int, list[Node]] = {}
    for node, group in zip(solutions, classes, strict=True):
        if group is not None:
            groups.setdefault(group, []).append(node)
    rows = [_vote(group) for group in groups.values()]
    return sorted(rows, key=lambda row: (not row.won, -row.count, -(row.total or 0.0)))


def why(tree: Tree) -> str:
    """One sentence that says by which measures the winner leads; empty where there is none."""
    rows = votes(tree)
    if not rows or not rows[0].won:
        return ""
    first, others = rows[0], rows[1:]
    solutions = sum(row.count for row in rows)
    if not others:
        return f"Every one of the {solutions} solutions with an answer says {first.answer}."
    leads = []
    total, best = max(row.total or 0.0 for row in others), max(row.best or 0.0 for row in others)
    if first.count > max(row.count for row in others):
        leads.append(f"most votes ({first.count} of {solutions})")
    if first.total is not None and first.total > total:
        leads.append(f"highest summed score ({first.total:.2f})")
    if first.best is not None and first.best > best:
        leads.append(f"highest single score ({first.best:.3f})")
    if leads:
        return f"{first.answer} won with the {', the '.join(leads)}."
    if HIERARCHICAL in tree.strategy:
        return (
            f"{first.answer} won the vote over the best answers of the chains; over all attempts another answer leads."
        )
    if first.total is None and first.count == max(row.count for row in others):
        return f"{first.answer} won a tie of {first.count} votes: the answer that came first counts."
    return f"{first.answer} won by the rule of its strategy; by no measure over all solutions does it lead."


def _vote(group: list[Node]) -> Vote:
    scores = [node.scores[-1] for node in group if node.scores]
    total, best = (sum(scores), max(scores)) if scores else (None, None)
    return Vote(group[0].answer or "", len(group), total, best, any(node.won for node in group))
