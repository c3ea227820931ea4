"""The page in a real browser, with a trace written by an enemy; and its colours against WCAG's AA."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import ttscale
from ttscale import viz
from ttscale.viz.html import STYLE

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
HOSTILE = [
    '</style></script><script>document.documentElement.id = "owned"</script>',
    "<img src=x onerror='document.documentElement.id = \"owned\"'>",
    '"><svg onload=\'document.documentElement.id = "owned"\'></svg><b title="',
    '<a href=\'javascript:document.documentElement.id="owned"\'>x</a><iframe srcdoc="<b>1</b>"></iframe>',
]


class Enemy:
    def sample(self, requests: list[ttscale.Sample]) -> list[ttscale.Completion]:
        steps = tuple(ttscale.Step(text) for text in HOSTILE)
        return [ttscale.Completion((*steps, ttscale.Step("\nAnswer: <u>1</u>")), "stop") for _ in requests]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_hostile_text_does_not_run_and_our_script_does(tmp_path: Path) -> None:
    trees = [
        viz.tree(ttscale.solve(HOSTILE[i], 2, generator=Enemy(), strategy="majority_vote").trace)
        for i in range(len(HOSTILE))
    ]
    page = tmp_path / "page.html"
    page.write_text(viz.html(trees), encoding="utf-8")
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert 'id="owned"' not in done.stdout.partition("<body>")[0]
    assert '<a href="#q0" aria-current="true">' in done.stdout  # set by our own script
    assert done.stdout.count("<section ") == 4
    assert len(re.findall(r"<section [^>]*hidden", done.stdout)) == 3


PRESS = """
const press = key => document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
const said = [], say = () => said.push(document.activeElement.textContent.trim().split(/\\s+/)[0]);
const type = (name, text) => {
  const field = document.querySelector(`[name=${name}]`);
  field.value = text;
  field.dispatchEvent(new Event('input', {bubbles: true}));
  said.push(document.querySelector('output').textContent);
};
KEYS
document.documentElement.dataset.said = said.join(' | ');
"""


def told(page: str, keys: str, folder: Path) -> list[str]:
    """What the page's lines and counts say while ``keys``, a script, presses and types."""
    assert CHROMIUM is not None
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)  # it would keep the keys out
    copy = folder / "keys.html"
    copy.write_text(f"{page}<script>{PRESS.replace('KEYS', keys)}</script>", encoding="utf-8")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", copy.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<html[^>]* data-said="([^"]*)"', done.stdout)
    assert found, "the keys did not end"
    return found[1].split(" | ")


def nested() -> viz.Tree:
    """Three first steps, each with two answers; the second answer of the second step won."""
    nodes = [viz.Node((0, "q"), "root", None, "")]
    for i in range(3):
        above = len(nodes)
        nodes.append(viz.Node((0, "q", i), "sample", 0, f"step{i}", ("x",), "open", (0.5,), won=i == 1))
        for j in range(2):
            answer, won = str(10 * i + j), (i, j) == (1, 1)
            node = viz.Node((0, "q", i, j), "sample", above, f"end{i}{j}", ("y",), "stop", (i / 4,), answer, won=won)
            nodes.append(node)
    return viz.Tree("q", "?", "s", 6, "11", 0.25, None, None, ttscale.Cost(), tuple(nodes))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_keys_move_over_the_lines_that_can_be_seen(tmp_path: Path) -> None:
    keys = "for (const key of ['j', 'j', 'c', 'j', 'j', 'k', 'w', 'c', 'e', 'j', 'j']) { press(key); say(); }"
    expected = ["step0", "end00", "step0", "step1", "step2", "step1", "end11", "step1", "step1", "end10", "end11"]
    assert told(viz.html(nested()), keys, tmp_path) == expected


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_filters_count_and_the_winner_clears_them(tmp_path: Path) -> None:
    keys = "type('answer', '1'); type('score', '.2'); type('answer', '7'); press('w'); say(); type('score', '.5');"
    assert told(viz.html(nested()), keys, tmp_path) == ["4 found", "3 found", "nothing found", "end11", "5 found"]


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.1 defines it."""
    digits = colour.lstrip("#")
    digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def palettes() -> list[dict[str, str]]:
    """The light and the dark colours by name."""
    return [
        dict(re.findall(r"--(\w+): (#[0-9a-f]+)", part)) for part in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    ]


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_text_is_readable_on_what_lies_under_it(mode: int) -> None:
    colours = palettes()[mode]
    pairs = [(ink, under) for ink in ("ink", "soft", "link", "won", "cut") for under in ("page", "box")]
    pairs += [("score", f"s{i}") for i in range(5)] + [("ink", "add"), ("ink", "del")]
    for ink, under in pairs:
        assert contrast(colours[ink], colours[under]) >= 4.5, (ink, under)


def test_scores_far_apart_have_colours_far_apart() -> None:
    nodes = [viz.Node((0, "q"), "root", None, "")]
    nodes += [viz.Node((0, "q", i), "sample", 0, str(i), ("x",), "stop", (s,)) for i, s in enumerate((0.02, 0.99))]
    page = viz.html(viz.Tree("q", "?", "s", 1, None, None, None, None, ttscale.Cost(), tuple(nodes)))
    assert '<span class="score s0" title="0.020">' in page
    assert '<span class="score s4" title="0.990">' in page
