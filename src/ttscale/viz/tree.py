"""From the events of a trace to the tree of what was drawn, as plain data.

Reads events (``Trace.events()`` or the lines of a trace file) and nothing else: no model, no strategy, no ``Result``.
How it is drawn is ``html.py``'s business.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Literal

from ttscale.answers import AnswerRule, rule_called
from ttscale.core.cost import Cost
from ttscale.core.trace import Event, Trace

NodeKind = Literal["root", "group", "sample", "revise"]
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One draw, with what was said about it.

    A "group" was never drawn: it is a place in the tree under which others were (a subtree of DVTS, a revision chain,
    the scheduler's probe). Rollouts of lookahead are children of the prefix they judge.
    """

    key: Path
    kind: NodeKind
    parent: int | None
    """Index of the parent in ``Tree.nodes``; None for the root. Parents come before their children."""
    label: str
    """What the key adds to the parent's."""
    steps: tuple[str, ...] = ()
    """The texts of the steps drawn here; those of the prefix are the parents'."""
    finish: str = ""
    """"open", "stop" or "length"; empty for the root and groups."""
    scores: tuple[float, ...] = ()
    """The verifier's scores for the whole candidate, prefix included: one per step or a single one; empty if none."""
    answer: str | None = None
    saw: tuple[int, ...] = ()
    """For a revision: indices of the attempts in its context, oldest first."""
    won: bool = False
    """Whether it is the chosen solution or a prefix of it."""
    cost: Cost = Cost()
    """What drawing and judging it cost."""
    same_as: int | None = None
    """Index of an earlier node whose candidate has the same text and whose score it shares; None if it has its own."""

    @property
    def rollout(self) -> bool:
        """Whether it was sampled only to judge its prefix (lookahead)."""
        return self.key[-1] == "rollout"


@dataclass(frozen=True, slots=True)
class Tree:
    """A search: what was asked, what came out, and every draw in between (``nodes[0]`` is the root)."""

    question: str
    prompt: str
    strategy: str
    budget: int
    answer: str | None
    score: float | None
    stopped_by: str | None
    error: str | None
    cost: Cost
    """The sum over the events: ``Result.cost``, where the trace is of one strategy."""
    nodes: tuple[Node, ...]
    answers: str = "mathematics"
    """The name of the question's answer rule."""

    def fates(self) -> list[str]:
        """What became of each node, in a few words: why a branch ends where it does. Empty where it goes on."""
        goes_on = {node.parent for node in self.nodes if not node.rollout}
        return [_fate(node, index in goes_on) for index, node in enumerate(self.nodes)]

    def children(self) -> list[list[int]]:
        """For each node the indices of its children, in the order they were asked for."""
        below: list[list[int]] = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            if node.parent is not None:
                below[node.parent].append(index)
        return below


def tree(trace: Trace | Iterable[Event]) -> Tree:
    """The tree of one question's trace.

    ``trace`` is ``Result.trace`` or an iterable of events. Of several runs of the question in one file, the last start
    and end count, and at each key the last reply. Draws that another strategy left in it are shown and counted as well,
    so give each strategy a file of its own. A search that has not ended gives the tree so far. Raises ``ValueError``
    when there is no start event, or when the events belong to more than one question.
    """
    if isinstance(trace, str | PathLike) or hasattr(trace, "trace"):
        what = "a path: pass its lines, parsed" if isinstance(trace, str | PathLike) else "a result: pass its .trace"
        raise TypeError(f"tree takes a trace or its events (the JSON lines of a trace file); this is {what}")
    events = list(trace.events() if isinstance(trace, Trace) else trace)
    begins = [index for index, event in enumerate(events) if event["event"] == "start"]
    if not begins:
        raise ValueError("the trace has no start event, so there is nothing to show; was this question ever asked?")
    start = events[begins[-1]]
    asked = {event["question"] for event in events if event["event"] == "start"}
    if len(asked) > 1:
        raise ValueError(f"the events are of {len(asked)} questions; pass those of one, such as Result.trace")
    rule = str(start.get("answers", "mathematics"))
    builder = _Builder(tuple(start["key"]), rule_called(rule))
    # A draw arrives before its score and before what continues it, so one pass is enough.
    replies = {(event["op"] == "score", tuple(event["key"])): event for event in events if event["event"] == "reply"}
    for event in replies.values():
        builder.add(event)
    end = next((event for event in events[begins[-1] :] if event["event"] == "end"), {})
    builder.mark_shared_scores()
    builder.mark_winner(end.get("chosen"))
    return Tree(
        question=start["question"],
        prompt=start["prompt"],
        strategy=end.get("strategy") or start["strategy"],
        budget=start["budget"],
        answer=end.get("answer"),
        score=end.get("score"),
        stopped_by=end.get("stopped_by"),
        error=end.get("error"),
        cost=builder.cost,
        nodes=tuple(builder.nodes),
        answers=rule,
    )


class _Builder:
    """The nodes so far and where each key is."""

    def __init__(self, root: Path, rule: AnswerRule) -> None:
        self._rule = rule
        self.nodes = [Node(root, "root", None, "")]
        self.cost = Cost()
        self._root = root
        self._index = {root: 0}
        self._texts = [""]
        self._judged: dict[str, int] = {}

    def add(self, event: Event) -> None:
        """Take in one reply."""
        key = tuple(event["key"])
        if key[: len(self._root)] != self._root:
            return  # another seed's run in the same file
        reported = Cost(**event["cost"])
        if event["op"] == "score":
            self.cost += reported.counted(verifier_calls=1)
            index = self._at(key)
            node = self.nodes[index]
            scored = replace(node, scores=tuple(event["scores"]), cost=node.cost + reported.counted(verifier_calls=1))
            self.nodes[index] = scored
            self._judged.setdefault(self._texts[index], index)
            return
        if event["op"] == "compare":
            self.cost += reported.counted(verifier_calls=1)
            return
        revision = event["op"] == "revise"
        above = self._at(key[:-1] if revision else tuple(event["prefix"]))
        begun = revision or self.nodes[above].kind in ("root", "group")
        spent = reported.counted(generations=int(begun), steps=len(event["steps"]))
        self.cost += spent
        steps = tuple(step[0] for step in event["steps"])
        text = ("" if revision else self._texts[above]) + "".join(steps)
        self._put(
            Node(
                key=key,
                kind="revise" if revision else "sample",
                parent=above,
                label=label(key, self.nodes[above].key),
                steps=steps,
                finish=event["finish"],
                answer=self._rule.extract(text) if event["finish"] == "stop" else None,
                saw=tuple(self._index[path] for path in map(tuple, event.get("attempts", ())) if self._drawn(path)),
                cost=spent,
            ),
            text,
        )

    def mark_shared_scores(self) -> None:
        """Point draws without a score of their own to the judged one with the same text."""
        by_rollout = {node.parent for node in self.nodes if node.rollout}
        for index, node in enumerate(self.nodes):
            other = None if index in by_rollout else self._judged.get(self._texts[index])
            if other is not None and node.kind in ("sample", "revise") and not node.scores:
                self.nodes[index] = replace(node, scores=self.nodes[other].scores, same_as=other)

    def mark_winner(self, chosen: Sequence[str | int] | None) -> None:
        """Mark the chosen node and its prefixes."""
        index = None if chosen is None else self._index.get(tuple(chosen))
        while index is not None:
            node = self.nodes[index]
            if node.kind in ("sample", "revise"):
                self.nodes[index] = replace(node, won=True)
            index = node.parent

    def _at(self, key: Path) -> int:
        """The node at ``key``; one that was never drawn becomes a group under its nearest ancestor."""
        if key not in self._index:
            above = next((key[:n] for n in range(len(key) - 1, -1, -1) if key[:n] in self._index), None)
            if above is None:
                named = "/".join(map(str, key))
                raise ValueError(f"the trace names the key {named!r}, which is not below its question's")
            self._put(Node(key, "group", self._index[above], label(key, above)), "")
        return self._index[key]

    def _drawn(self, key: Path) -> bool:
        return key in self._index and self.nodes[self._index[key]].kind in ("sample", "revise")

    def _put(self, node: Node, text: str) -> None:
        self._index[node.key] = len(self.nodes)
        self.nodes.append(node)
        self._texts.append(text)


def _fate(node: Node, goes_on: bool) -> str:
    if node.kind in ("root", "group") or goes_on:
        return ""
    if node.rollout:
        return "rollout: judges its prefix"
    if node.finish == "length":
        return "cut off at the length limit"
    if node.finish == "open":
        return "pruned: not among the best" if node.scores else "not continued"
    return "no answer found" if node.answer is None else ""


def label(key: Path, above: Path) -> str:
    """What a key adds to the one above it."""
    rest = key[len(above) :] if key[: len(above)] == above else key
    return "/".join(map(str, rest))
