"""From trees to one HTML page: no network, every text escaped, and a policy that lets no other script run.

Knows ``Tree``, ``Vote`` and HTML, nothing else.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from ttscale.core.cost import Cost
from ttscale.viz.tree import Node, Tree, label
from ttscale.viz.votes import Vote, votes, why

OPEN_ALL_BELOW = 200
"""Trees with more nodes start folded except on the way to the winner, so that the page stays readable."""
SNIPPET = 100
"""Characters of a draw shown on its own line; the whole text is inside."""
WON = ' class="won"'
SHADES = 5
"""Colours of scores, from red (0) to green (1)."""
VOTES_SHOWN = 10
"""Answers in the table of votes; further ones are folded, so that the search stays in sight."""
LONGEST_DIFF = 20_000
"""Characters of two attempts together beyond which no difference is worked out."""

STYLE, SCRIPT = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
_WORDS = re.compile(r"\s+|[^\s]+")


def html(trees: Tree | Sequence[Tree]) -> str:
    """A self-contained page that shows one search or many; write it to a file and open it in a browser.

    Raises ``ValueError`` when there is no tree.
    """
    shown = [trees] if isinstance(trees, Tree) else list(trees)
    if not shown:
        raise ValueError("there is no search to show: pass at least one tree")
    title = shown[0].prompt if len(shown) == 1 else f"{len(shown)} searches"
    policy = f"default-src 'none'; style-src '{_hash(STYLE)}'; script-src '{_hash(SCRIPT)}'; base-uri 'none'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}; form-action \'none\'">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>"
        f"{_list_of(shown) if len(shown) > 1 else ''}<main>"
        f"{''.join(_section(tree, i) for i, tree in enumerate(shown))}</main><script>{SCRIPT}</script></body></html>\n"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _list_of(trees: Sequence[Tree]) -> str:
    items = "".join(
        f'<li><a href="#q{i}">{escape(_short(tree.prompt))}</a> <span class="soft">{escape(tree.answer or "no answer")}'
        f"{f' · {tree.score:.3f}' if tree.score is not None else ''}</span></li>"
        for i, tree in enumerate(trees)
    )
    return f'<nav aria-label="Questions"><ol>{items}</ol></nav>'


def _section(tree: Tree, number: int) -> str:
    facts = [("answer", "none" if tree.answer is None else tree.answer)]
    if tree.score is not None:
        facts.append(("score", f"{tree.score:.3f}"))
    facts += [("strategy", tree.strategy), ("budget", str(tree.budget)), ("cost", _cost(tree.cost))]
    facts += [(name, text) for name, text in (("stopped by", tree.stopped_by), ("error", tree.error)) if text]
    table = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    return (
        f'<section id="q{number}"><h1>{escape(tree.prompt)}</h1><dl>{table}</dl>{_vote_table(votes(tree), why(tree))}'
        f'<h2>Search</h2>{_TOOLS}<div class="tree">\n{_nodes(tree)}</div></section>\n'
    )


_TOOLS = (
    '<form><label>answer <input type="search" name="answer" placeholder="contains"></label>'
    '<label>score at least <input type="number" name="score" min="0" max="1" step="0.05"></label>'
    '<button type="button" data-do="collapse">collapse all</button>'
    '<button type="button" data-do="expand">expand all</button>'
    '<button type="button" data-do="winner">go to the winner</button><output></output>'
    '<span class="soft">keys: j k move, enter open, c collapse, e expand, w winner, / filter, '
    "n p next and previous question</span>"
    "</form>"
)


def _vote_table(rows: Sequence[Vote], reason: str) -> str:
    if not rows:
        return ""
    more = len(rows) - VOTES_SHOWN
    folded = (
        f"<details><summary>{more} more answers</summary>{_table(rows[VOTES_SHOWN:])}</details>" if more > 0 else ""
    )
    return f"<h2>Votes</h2>{_table(rows[:VOTES_SHOWN])}{folded}<p>{escape(reason)}</p>"


def _table(rows: Sequence[Vote]) -> str:
    scored = any(row.total is not None for row in rows)
    head = "<th>answer</th><th>solutions</th>" + ("<th>summed score</th><th>best score</th>" if scored else "")
    body = "".join(
        f"<tr{WON if row.won else ''}><td>{escape(row.answer)}</td><td>{row.count}</td>"
        + (f"<td>{_number(row.total, 2)}</td><td>{_number(row.best, 3)}</td>" if scored else "")
        + "</tr>"
        for row in rows
    )
    frame = '<div class="scroll" tabindex="0" role="group" aria-label="Votes">'
    return f"{frame}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _nodes(tree: Tree) -> str:
    """All nodes but the root, nested; with a stack of its own, since a chain may be longer than Python's."""
    below, fates = tree.children(), tree.fates()
    unfold = len(tree.nodes) <= OPEN_ALL_BELOW
    parts: list[str] = []
    stack: list[int | None] = list(reversed(below[0]))
    while stack:
        index = stack.pop()
        if index is None:
            parts.append("</details>\n")
            continue
        parts.append(_opened(tree, tree.nodes[index], bool(below[index]), unfold, fates[index]))
        stack += [None, *reversed(below[index])]
    return "".join(parts)


def _opened(tree: Tree, node: Node, has_children: bool, unfold: bool, fate: str) -> str:
    classes = " ".join(name for name, on in (("won", node.won), ("leaf", not has_children)) if on)
    attributes = (f' class="{classes}"' if classes else "") + (" open" if has_children and (unfold or node.won) else "")
    attributes += f' data-answer="{escape(node.answer)}"' if node.answer is not None else ""
    attributes += f' data-score="{node.scores[-1]:.4f}"' if node.scores else ""
    return f"<details{attributes}><summary>{_summary(node, fate)}</summary>{_inside(tree, node)}\n"


def _summary(node: Node, fate: str) -> str:
    parts = [f'<span class="key">{escape(node.label)}</span>']
    if node.scores:
        shade = min(SHADES - 1, int(node.scores[-1] * SHADES))
        shown = " ".join(f"{score:.3f}" for score in node.scores)
        parts.append(f'<span class="score s{shade}" title="{shown}">{node.scores[-1]:.3f}</span>')
    snippet = _short("".join(node.steps))
    if snippet:
        parts.append(f'<span class="text">{escape(snippet)}</span>')
    if node.answer is not None:
        parts.append(f'<span class="answer">= {escape(node.answer)}</span>')
    if fate:
        parts.append(f'<span class="cut">{escape(fate)}</span>')
    return " ".join(parts)


def _inside(tree: Tree, node: Node) -> str:
    """What unfolding a node shows: its text, what it saw and changed, and what it cost."""
    parts = []
    if node.steps:
        parts.append(f"<pre>{escape(''.join(node.steps))}</pre>")
    if node.saw:
        names = [_name(tree, i) for i in node.saw]
        parts.append(f'<div class="key">saw {escape(", ".join(names))}</div>')
        changes = "".join(_changes("".join(tree.nodes[node.saw[-1]].steps), "".join(node.steps)))
        if changes:
            parts.append(f'<div class="key">changed from {escape(names[-1])}:</div><pre>{changes}</pre>')
    if node.same_as is not None:
        parts.append(f'<div class="key">same text as {escape(_name(tree, node.same_as))}: one score</div>')
    if node.cost != Cost():
        parts.append(f'<div class="key">{escape(_cost(node.cost))}</div>')
    return "".join(parts)


def _name(tree: Tree, index: int) -> str:
    return label(tree.nodes[index].key, tree.nodes[0].key)


def _changes(before: str, after: str) -> Iterator[str]:
    """The words that went and came, as HTML; none where the attempts are too long to compare."""
    if len(before) + len(after) > LONGEST_DIFF:
        return
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        went, came = escape("".join(old[a:b])), escape("".join(new[c:d]))
        if kind == "equal":
            yield came
            continue
        yield (f"<del>{went}</del>" if went else "") + (f"<ins>{came}</ins>" if came else "")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SNIPPET else line[: SNIPPET - 1] + "…"


def _cost(cost: Cost) -> str:
    """The counts that are not 0, in words."""
    counted = [
        (cost.generations, _counted(cost.generations, "generation")),
        (cost.steps, _counted(cost.steps, "step")),
        (cost.sampled_tokens, f"{_counted(cost.sampled_tokens, 'token')} sampled"),
        (cost.verifier_calls, _counted(cost.verifier_calls, "verifier call")),
        (cost.flops, f"{cost.flops:.3g} FLOPs"),
        (cost.seconds, f"{cost.seconds:.2g} s"),
    ]
    return ", ".join(text for count, text in counted if count) or "nothing"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
