"""From a tree to one HTML page: no script, no network, every text escaped. Knows ``Tree`` and HTML, nothing else."""

from __future__ import annotations

from html import escape

from ttscale.viz.tree import Node, Tree

OPEN_ALL_BELOW = 200
"""Trees with more nodes start folded except on the way to the winner, so that the page stays readable."""
SNIPPET = 100
"""Characters of a draw shown on its own line; the whole text is inside."""

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1c2430; }
h1 { font-size: 1.3rem; white-space: pre-wrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; }
dt { color: #667; } dd { margin: 0; }
details { margin-left: 1.1rem; border-left: 1px solid #dde; padding-left: .5rem; }
summary { cursor: pointer; padding: .1rem 0; }
summary:hover { background: #f3f5f9; }
.leaf > summary { list-style: none; padding-left: .95rem; }
.won > summary { background: #e4f4e6; }
.key { color: #889; font-size: .85em; } .text { font-family: ui-monospace, monospace; }
.answer { font-weight: 600; } .cut { color: #b04; }
meter { width: 5rem; height: .7rem; }
pre { background: #f6f7fa; margin: .2rem 0 .4rem; padding: .4rem .6rem; white-space: pre-wrap; }
"""


def html(tree: Tree) -> str:
    """A self-contained page that shows ``tree``; write it to a file and open it in a browser."""
    facts = [("answer", "none" if tree.answer is None else tree.answer)]
    if tree.score is not None:
        facts.append(("score", f"{tree.score:.3f}"))
    facts += [("strategy", tree.strategy), ("budget", str(tree.budget)), ("cost", _cost(tree))]
    facts += [(name, text) for name, text in (("stopped by", tree.stopped_by), ("error", tree.error)) if text]
    table = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(tree.prompt)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(tree.prompt)}</h1><dl>{table}</dl>\n{_nodes(tree)}</body></html>\n"
    )


def _nodes(tree: Tree) -> str:
    """All nodes but the root, nested; with a stack of its own, since a chain may be longer than Python's."""
    below = tree.children()
    unfold = len(tree.nodes) <= OPEN_ALL_BELOW
    parts: list[str] = []
    stack: list[int | None] = list(reversed(below[0]))
    while stack:
        index = stack.pop()
        if index is None:
            parts.append("</details>\n")
            continue
        parts.append(_opened(tree, tree.nodes[index], bool(below[index]), unfold))
        stack += [None, *reversed(below[index])]
    return "".join(parts)


def _opened(tree: Tree, node: Node, has_children: bool, unfold: bool) -> str:
    classes = " ".join(name for name, on in (("won", node.won), ("leaf", not has_children)) if on)
    attributes = (f' class="{classes}"' if classes else "") + (" open" if has_children and (unfold or node.won) else "")
    inside = f"<pre>{escape(''.join(node.steps))}</pre>" if node.steps else ""
    if node.saw:
        names = ", ".join("/".join(map(str, tree.nodes[i].key[len(tree.nodes[0].key) :])) for i in node.saw)
        inside += f'<div class="key">saw {escape(names)}</div>'
    return f"<details{attributes}><summary>{_summary(node)}</summary>{inside}\n"


def _summary(node: Node) -> str:
    parts = [f'<span class="key">{escape(node.label)}</span>']
    if node.scores:
        shown = " ".join(f"{score:.3f}" for score in node.scores)
        parts.append(f'<meter min="0" max="1" value="{node.scores[-1]:.4f}" title="{shown}"></meter>')
        parts.append(f"{node.scores[-1]:.3f}")
    snippet = " ".join("".join(node.steps).split())
    if snippet:
        short = snippet if len(snippet) <= SNIPPET else snippet[: SNIPPET - 1] + "…"
        parts.append(f'<span class="text">{escape(short)}</span>')
    if node.answer is not None:
        parts.append(f'<span class="answer">= {escape(node.answer)}</span>')
    if node.finish == "length":
        parts.append('<span class="cut">cut off</span>')
    return " ".join(parts)


def _cost(tree: Tree) -> str:
    cost = tree.cost
    return (
        f"{cost.generations} generations, {cost.steps} steps, {cost.sampled_tokens} tokens sampled, "
        f"{cost.verifier_calls} verifier calls, {cost.flops:.3g} FLOPs, {cost.seconds:.1f} s"
    )
