"""Takes off what stands around an answer: dollars, bold marks, boxes, a full stop. Knows no values."""

from __future__ import annotations

import re

MAX_ANSWER = 1_000
"""Characters of an answer that is read as more than text. The longest of MATH-500 has 53."""

_WRAPPERS = ((r"\(", r"\)"), (r"\[", r"\]"), *((sign, sign) for sign in ("$$", "$", "**", "__", "*", "`", '"')))
_FIRST = {start[0] for start, _ in _WRAPPERS}
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_END = re.compile(r"(?:\\[,;:!]|[.,;:\s])+$")
GOES_ON = re.compile(r"(?<=[0-9])(?:\.{3,}|…)|(?<=,)\s{0,3}(?:\.{3,}|…)")
"""0.333... and 1, 2, ..., whose dots are no full stops."""


def unwrap(text: str) -> str:
    """Without what says "this is mathematics", "this is the answer" or "this is bold", and without a full stop."""
    for _ in range(8):
        before = text
        text = text.strip() if GOES_ON.search(text[-9:]) else _END.sub("", text.strip())
        for start, end in _WRAPPERS if text[:1] in _FIRST else ():
            inner = text[len(start) : -len(end)]
            if len(text) > len(start + end) and text == start + inner + end and start not in inner:
                text = inner.strip()
                break
        box = _BOX.match(text)
        if box and closing_brace(text, box.end() - 1) == len(text) - 1:
            text = text[box.end() : -1]
        if text == before:
            break
    return text


def closing_brace(text: str, opening: int) -> int:
    """Where the brace opened at ``opening`` closes; -1 if it does not."""
    depth = 0
    for brace in re.finditer(r"\\.|[{}]", text[opening:]):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0:
            return opening + brace.start()
    return -1
