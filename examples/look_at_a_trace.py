"""What happened in a search: as data, and as a page for the browser."""

from pathlib import Path

import ttscale
from ttscale import viz

result = ttscale.solve("Compute 7 * (12 - 5) + 36 - 9 * 4", budget=16, strategy="beam")
tree = viz.tree(result.trace)
for node in tree.nodes:
    if node.won:
        print(f"{node.label:>3}  score {node.scores[-1] if node.scores else 0:.3f}  {''.join(node.steps)!r}")
Path("search.html").write_text(viz.html(tree), encoding="utf-8")
print(f"{len(tree.nodes) - 1} draws in search.html")
