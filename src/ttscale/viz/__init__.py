"""Look at a search: ``tree`` turns a trace into plain data, ``html`` turns that into a page to open in a browser."""

from ttscale.viz.html import html
from ttscale.viz.tree import Node, Tree, tree

__all__ = ["Node", "Tree", "html", "tree"]
