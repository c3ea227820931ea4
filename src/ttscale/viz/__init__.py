"""Look at a search: ``tree`` turns a trace into plain data, ``html`` turns that into a page to open in a browser."""

from ttscale.viz.files import trees
from ttscale.viz.html import html
from ttscale.viz.tree import Node, Tree, tree
from ttscale.viz.votes import Vote, votes, why

__all__ = ["Node", "Tree", "Vote", "html", "tree", "trees", "votes", "why"]
