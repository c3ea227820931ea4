"""Cuts what a model thought out of what it said. Text in, text out; each pattern is linear in the text.

Shapes: ``<think>...</think>`` and its relatives, ``[THINK]`` (other words in square brackets are headings and links),
``<|channel>thought...<channel|>``, harmony's channels, ``<|begin_of_thought|>``, ``<|START_THINKING|>``. A block that
is never closed goes to the end: then nothing was said. A closing tag alone ends a block that the prompt opened: what
stands before it was thought. A prompt that opens a block which the reply never closes is told with ``opened``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NAMES = "think|thinking|thought|thoughts|reasoning|seed:think|scratchpad|analysis|reflection"
_TAGS = re.compile(
    rf"(?:<\|?\s?|◁)(?P<close>/?)\|?\s?(?:{_NAMES})(?:\s[^<>\n]{{0,60}})?\|?[>▷]|\[(?P<square>/?)think(?:ing)?\]"
    r"|<\|(?P<begin>begin|end)_of_thought\|>|<\|(?P<start>START|END)_THINKING\|>"
    r"|(?P<opening><\|channel>|<unused94>)|(?P<closing><channel\|>|<unused95>)",
    re.IGNORECASE,
)
_OPENINGS = ("<", "[", "◁")
_STEMS = ("think", "thought", "reasoning", "scratchpad", "analysis", "reflection", "channel", "<unused9")
"""A text without any of the former, or any of the latter, holds no tag, which is quicker to find out than to search."""
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w*)[^<]{0,200}(?:<\|message\|>)?")
_TURN_ENDS = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
_BARE_HARMONY = re.compile(r"analysis(?=[A-Z])")
"""Harmony whose special tokens were left out when it was decoded: "analysisWe add...assistantfinalAnswer: 5"."""


def without_thoughts(text: str, delimiters: Sequence[tuple[str, str]] = (), *, opened: bool = False) -> str:
    """``text`` without thinking blocks; "" where all of it was thought.

    ``delimiters`` are pairs of opening and closing tags beside the usual ones; ``opened`` says that the prompt ended
    inside a block.
    """
    return "".join(text[start:end] for start, end in spoken_spans(text, delimiters, opened=opened))


def spoken_spans(
    text: str, delimiters: Sequence[tuple[str, str]] = (), *, opened: bool = False
) -> list[tuple[int, int]]:
    """(begin, end) of each part of ``text`` that is no thought."""
    if "<|channel|>" in text:
        return _final_channel(text)
    if _BARE_HARMONY.match(text):
        at = text.rfind("assistantfinal")
        return [(at + len("assistantfinal"), len(text))] if at >= 0 else []
    tags = sorted(_marks(text, delimiters))
    kept: list[tuple[int, int]] = []
    start, thinking = 0, opened
    for begin, end, closes in tags:
        if closes:
            kept = kept if thinking and not (opened and not kept) else []
            start, thinking = end, False
        elif not thinking:
            kept.append((start, begin))
            thinking = True
    return kept if thinking else [*kept, (start, len(text))]


def lowered(text: str) -> str:
    """``text`` in small letters, no longer than it was, with an i or s for what ``re.IGNORECASE`` takes for one."""
    return text.replace("İ", "i").replace("ı", "i").replace("ſ", "s").lower()


def _marks(text: str, delimiters: Sequence[tuple[str, str]]) -> list[tuple[int, int, bool]]:
    """(start, end, whether it closes) of each tag."""
    found = []
    small = lowered(text) if any(map(text.__contains__, _OPENINGS)) else ""
    for tag in _TAGS.finditer(text) if any(map(small.__contains__, _STEMS)) else ():
        closes = (
            tag["closing"]
            or tag["close"]
            or tag["square"]
            or (tag["begin"] or "").lower() == "end"
            or (tag["start"] or "").upper() == "END"
        )
        found.append((tag.start(), tag.end(), bool(closes)))
    for pair in delimiters:
        for closes, mark in enumerate(pair):
            if mark:
                found += [(m.start(), m.end(), bool(closes)) for m in re.finditer(re.escape(mark), text)]
    return found


def _final_channel(text: str) -> list[tuple[int, int]]:
    """Of harmony's channels the last one called final; what stands before the first channel counts if there is none."""
    channels = list(_CHANNEL.finditer(text))
    said = [channel for channel in channels if channel[1] == "final"]
    if not said:
        return [(0, channels[0].start())] if channels and not channels[0][1] else []
    end = _TURN_ENDS.search(text, said[-1].end())
    return [(said[-1].end(), end.start() if end else len(text))]
