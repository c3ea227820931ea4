"""Brings an answer into one spelling: unicode, spacing, wrappers, commands that change nothing, units.

Text in, text out, each rule a regular expression over at most ``MAX_ANSWER`` characters. Knows no values. The rules
that lose something on purpose are the ones about units: a percent sign, a degree sign, a currency sign, and
``\\text{ cm}^2`` after a value are dropped (docs/answers.md says why).
"""

from __future__ import annotations

import re
import unicodedata

from ttscale.answers.parse import DEGREE, FUNCTIONS

MAX_ANSWER = 1_000
"""Characters of an answer that is read as more than text. The longest of MATH-500 has 53."""

_GREEK = (
    "α alpha β beta γ gamma δ delta ε epsilon ζ zeta η eta θ theta κ kappa λ lambda μ mu ν nu ξ xi ρ rho σ sigma τ tau "
    "φ phi χ chi ψ psi ω omega Δ Delta Γ Gamma Θ Theta Λ Lambda Σ Sigma Φ Phi Ψ Psi Ω Omega π pi"
)
_SIGNS = (
    "× times ✕ times ⨯ times · cdot ⋅ cdot ∙ cdot • cdot ÷ div √ sqrt ∞ infty ≤ le ⩽ le ≥ ge ⩾ ge ≠ ne ± pm ∓ mp ∪ cup "
    "∩ cap ∈ in ∅ emptyset ≈ approx ∠ angle ⟨ langle ⟩ rangle ⌊ lfloor ⌋ rfloor ⌈ lceil ⌉ rceil … ldots"
)
_PLAIN = "− - – - — - ‐ - ‑ - ‒ - ﹣ - ∕ / ⁄ / ’ ' ‘ ' “ \" ” \" ∣ | ° ^\\circ º ^\\circ ℝ \\mathbb{R}"
_HALVES = "½ 12 ⅓ 13 ⅔ 23 ¼ 14 ¾ 34 ⅕ 15 ⅖ 25 ⅗ 35 ⅘ 45 ⅙ 16 ⅚ 56 ⅛ 18 ⅜ 38 ⅝ 58 ⅞ 78"
_RAISED, _LOWERED = "⁰ 0 ¹ 1 ² 2 ³ 3 ⁴ 4 ⁵ 5 ⁶ 6 ⁷ 7 ⁸ 8 ⁹ 9 ⁿ n", "₀ 0 ₁ 1 ₂ 2 ₃ 3 ₄ 4 ₅ 5 ₆ 6 ₇ 7 ₈ 8 ₉ 9"


def _pairs(table: str) -> list[tuple[str, str]]:
    words = table.split(" ")
    return list(zip(words[::2], words[1::2], strict=True))


_UNICODE = str.maketrans(
    {sign: f"\\{name} " for sign, name in _pairs(f"{_GREEK} {_SIGNS}")}
    | dict(_pairs(_PLAIN))
    | {sign: rf"\frac{{{digits[0]}}}{{{digits[1]}}}" for sign, digits in _pairs(_HALVES)}
    | {sign: f"^{{{digit}}}" for sign, digit in _pairs(_RAISED)}
    | {sign: f"_{{{digit}}}" for sign, digit in _pairs(_LOWERED)}
)

_WRAPPERS = ((r"\(", r"\)"), (r"\[", r"\]"), *((sign, sign) for sign in ("$$", "$", "**", "__", "*", "`", '"')))
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_END = re.compile(r"(?:\\[,;:!]|[.,;:\s])+$")
_CURRENCY = re.compile(r"\\\$|[$€£¥₹]")
_SPACE = re.compile(r"(?<!\\)\\[,;:!> ]|~|\\(?:quad|qquad|enspace|thinspace|medspace|thickspace)(?![A-Za-z])")
_APPROXIMATELY = re.compile(
    r"^(?:\\approx|approximately|approx\.?|about|around|roughly|exactly|equal to|is|=)(?![A-Za-z])\s*", re.IGNORECASE
)
_UNIT = (
    r"degrees?|deg|percent(?:age)?|percentage points|pct|dollars?|cents?|usd|euros?|pounds?|rupees?|"
    r"(?:square |cubic |sq\.? |cu\.? )?(?:units?|inches|inch|in|feet|foot|ft|yards?|yd|miles?|mi|centimeters?|cm|"
    r"millimeters?|mm|kilometers?|km|meters?|metres?|nm)|kg|kilograms?|grams?|mg|lbs?|ounces?|oz|tons?|liters?|litres?|ml|"
    r"gallons?|seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?|yrs?|mph|km/h|km/hr|m/s|radians?|rad"
)
_UNIT_AFTER = re.compile(
    rf"(?:(?<=[0-9A-Za-z)}}\]])\s+|(?<=[0-9)}}\]]))(?:{_UNIT})\.?(?:\^?\{{?[23]\}}?)?$", re.IGNORECASE
)
_COUNTS = r"and|or|if|for|where|base|hundred|thousand|million|billion|trillion|dozen|[ap]\.?m"
_TEXT_AFTER = re.compile(
    rf"(?<=[^\s_^])\s*\\text\{{(?!\s*(?:{_COUNTS})\b)[^{{}}]*\}}(?:\^(?:\{{[23]\}}|[23]))?$", re.IGNORECASE
)

_REMARK = re.compile(r"(?<=\S)\s+\((?!\s*(?:in )?base\b)[^()\\]*[A-Za-z]{3}[^()\\]*\)$")
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")

_END_OF_NAME = "(?![A-Za-z])"
_TEXT = "textup|textrm|textbf|textit|textsf|texttt|textnormal|mathrm|mathbf|mathit|mathsf|mbox|hbox"
_SIZES = "left|right|bigl|bigr|Bigl|Bigr|biggl|biggr|big|Big|bigg|Bigg|mleft|mright"
_STYLES = "displaystyle|textstyle|scriptstyle|limits|nolimits|boldsymbol|rm|bf|it"
_NAMES = "|".join(sorted(FUNCTIONS))
_REPLACE = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:boxed|fbox)\s*(?=\{)", ""),
        (r"(?<!\\)\\!\s*", ""),
        (r"\{,\}", ","),
        (r"\\(?:left|right)\s*\.", ""),
        (rf"\\(?:{_SIZES}|{_STYLES}){_END_OF_NAME}", ""),
        (rf"\\[dtc]frac{_END_OF_NAME}", r"\\frac"),
        (rf"\\[dt]binom{_END_OF_NAME}", r"\\binom"),
        (rf"\\(?:leq|leqslant|leqq){_END_OF_NAME}", r"\\le "),
        (rf"\\(?:geq|geqslant|geqq){_END_OF_NAME}", r"\\ge "),
        (rf"\\neq{_END_OF_NAME}", r"\\ne "),
        (r"<=", r"\\le "),
        (r">=", r"\\ge "),
        (r"==", "="),
        (rf"\\lt{_END_OF_NAME}", "<"),
        (rf"\\gt{_END_OF_NAME}", ">"),
        (rf"\\lbrace{_END_OF_NAME}", r"\\{"),
        (rf"\\rbrace{_END_OF_NAME}", r"\\}"),
        (rf"\\(?:lparen|langle){_END_OF_NAME}", "("),
        (rf"\\(?:rparen|rangle){_END_OF_NAME}", ")"),
        (rf"\\lbrack{_END_OF_NAME}", "["),
        (rf"\\rbrack{_END_OF_NAME}", "]"),
        (rf"\\(?:vert|rvert|lvert|mid){_END_OF_NAME}", "|"),
        (rf"\\varnothing{_END_OF_NAME}", r"\\emptyset "),
        (rf"\\cdotp{_END_OF_NAME}", r"\\cdot "),
        (rf"\\(?:{_TEXT})\s*\{{|\\operatorname\*?\s*\{{|\\text\s+\{{", r"\\text{"),
        (rf"\\text\{{\s*({_NAMES})\s*\}}", r"\\\1 "),
        (r"\\text\{\s*([A-Za-z])\s*\}", r"\1"),
        (r"\\text\{(\s*(?:and|or)\s*)\}", r" \1 "),
        (r"\\text\{\s*\}", ""),
        (rf"\^\s*(?:\{{\s*\\circ\s*\}}|\\circ{_END_OF_NAME})|\\degrees?{_END_OF_NAME}", r" \\degree "),
        (r"\\?%", ""),
        (r"\*\*", "^"),
        (r"(?<![A-Za-z\\])(?:infinity|inf|oo)(?![A-Za-z])", r"\\infty "),
        (rf"(?<![A-Za-z\\])(sqrt|pi|theta|{_NAMES})(?![A-Za-z])", r"\\\1 "),
    )
)


def clean(answer: str) -> str:
    """The answer in one spelling; may be empty. ``answer`` has at most ``MAX_ANSWER`` characters."""
    text = unicodedata.normalize("NFKC", answer.translate(_UNICODE))
    text = _CURRENCY.sub("", unwrap(text))
    text = re.sub(r"(?<!\\)\\[()\[\]]", " ", text)
    for pattern, replacement in _REPLACE:
        text = pattern.sub(replacement, text)
    if not _TRIGONOMETRY.search(text):
        text = text.replace(DEGREE, "")
    text = re.sub(r"\s+", " ", _SPACE.sub(" ", text)).strip()
    text = _APPROXIMATELY.sub("", _thousands(text))
    for _ in range(2):
        shorter = _TEXT_AFTER.sub("", _UNIT_AFTER.sub("", _REMARK.sub("", text))).rstrip(" .,;")
        text = shorter or text
    return text


def unwrap(text: str) -> str:
    """Without what says "this is mathematics", "this is the answer" or "this is bold", and without a full stop."""
    for _ in range(8):
        before = text
        text = _END.sub("", text.strip())
        for start, end in _WRAPPERS:
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


def _thousands(text: str) -> str:
    """1,234,567 and 1 234 567 as one number, outside brackets: (100,200) stays a pair, and "100, 200" a list."""
    depth = 0
    parts: list[str] = []
    for part in re.split(r"(\\?[(\[{}\])])", text):
        depth += (part in ("(", "[", r"\{")) - (part in (")", "]", r"\}"))
        if depth <= 0:
            part = re.sub(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])", _digits, part)
            part = re.sub(r"(?<![0-9.,])(?<![0-9.,] )[0-9]{1,3}(?: [0-9]{3})+(?! ?[0-9,/])", _digits, part)
        parts.append(part)
    return "".join(parts)


def _digits(match: re.Match[str]) -> str:
    return re.sub(r"[ ,]", "", match.group())
