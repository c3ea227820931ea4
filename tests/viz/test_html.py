"""The page holds the whole tree, escaped, and nothing that reaches outside it. Pixels are not tested."""

import base64
import hashlib
from html.parser import HTMLParser

import ttscale
from ttscale import viz
from ttscale.viz.html import OPEN_ALL_BELOW, SCRIPT
from viz.toys import Toy


class Page(HTMLParser):
    """What a browser would see: tags with attributes, the text, and that every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.depth = self.deepest = 0
        self.own = ""
        """The text outside of our own style sheet and script."""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open and self._open[-1] not in ("style", "script"):
            self.own += data


def beam(budget: int = 16) -> viz.Tree:
    toy = Toy()
    return viz.tree(ttscale.solve("What?", budget, generator=toy, verifier=toy, strategy="beam").trace)


def test_every_node_is_on_the_page_and_the_way_to_the_winner_is_marked() -> None:
    tree = beam()
    page = Page(viz.html(tree))
    details = [attributes for tag, attributes in page.tags if tag == "details"]
    assert len(details) == len(tree.nodes) - 1
    assert sum("won" in (a.get("class") or "") for a in details) == sum(node.won for node in tree.nodes) > 1
    for node in tree.nodes:
        assert "".join(node.steps) in page.text


def test_nothing_is_loaded_and_only_our_own_script_may_run() -> None:
    page = Page(viz.html(beam()))
    tags = [tag for tag, _ in page.tags]
    assert set(tags).isdisjoint({"link", "img", "iframe", "object"})
    assert tags.count("script") == 1
    (policy,) = [a["content"] or "" for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert (rules["default-src"], rules["script-src"]) == ("'none'", f"'sha256-{digest}'")
    assert "unsafe" not in policy
    assert "url(" not in page.text


def test_text_of_models_and_users_is_escaped() -> None:
    evil = '</style><script>alert("x")</script>'

    class Evil:
        def sample(self, requests: list[ttscale.Sample]) -> list[ttscale.Completion]:
            return [ttscale.Completion((ttscale.Step(f"{evil}\nAnswer: <b>1</b>"),), "stop") for _ in requests]

    result = ttscale.solve(evil, 2, generator=Evil(), strategy="majority_vote")
    page = Page(viz.html(viz.tree(result.trace)))
    assert {tag for tag, _ in page.tags}.isdisjoint({"b"})
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert page.own.count(evil) == 2 + 2 * 2  # title, heading; each draw's line and whole text


def test_large_trees_start_folded_except_on_the_way_to_the_winner() -> None:
    tree = beam(256)
    assert len(tree.nodes) > OPEN_ALL_BELOW
    opened = [a for tag, a in Page(viz.html(tree)).tags if tag == "details" and "open" in a]
    assert opened
    assert all("won" in (a.get("class") or "") for a in opened)
    small = beam(16)
    folded = [a for tag, a in Page(viz.html(small)).tags if tag == "details" and "open" not in a]
    assert all("leaf" in (a.get("class") or "") for a in folded)


def test_deeper_than_pythons_own_stack() -> None:
    nodes = [viz.Node((0, "q"), "root", None, "")]
    for depth in range(1, 5000):
        nodes.append(viz.Node((0, "q") + (0,) * depth, "sample", depth - 1, "0", ("a\n",), "open"))
    tree = viz.Tree("q", "What?", "s", 1, None, None, None, None, ttscale.Cost(), tuple(nodes))
    assert viz.html(tree).count("<details") == 4999


def test_a_failed_search_shows_its_error() -> None:
    tree = viz.Tree("q", "?", "s", 1, None, None, "tokens", "boom <1>", ttscale.Cost(), beam().nodes[:1])
    text = Page(viz.html(tree)).text
    assert "tokens" in text
    assert "boom <1>" in text
