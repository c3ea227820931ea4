"""Brings an answer into one spelling: unicode, spacing, wrappers, commands that change nothing, units.

Text in, text out, each rule a regular expression over at most ``MAX_ANSWER`` characters. Knows no values. Only the
rules about units lose something on purpose. After a value they drop a percent sign, a degree sign, a currency sign and
``\\text{cm}^2`` (docs/answers.md says why).
"""

from __future__ import annotations

import re
import unicodedata

from ttscale.answers.parse import DEGREE, FUNCTIONS, SEVERAL
from ttscale.answers.units import is_unit
from ttscale.answers.wrappers import GOES_ON, unwrap

_GREEK = (
    "α alpha β beta γ gamma δ delta ε epsilon ζ zeta η eta θ theta κ kappa λ lambda μ mu ν nu ξ xi ρ rho σ sigma τ tau "
    "φ phi χ chi ψ psi ω omega Δ Delta Γ Gamma Θ Theta Λ Lambda Σ Sigma Φ Phi Ψ Psi Ω Omega π pi"
)
_SIGNS = (
    "× times ✕ times ⨯ times · cdot ⋅ cdot ∙ cdot • cdot ÷ div √ sqrt ∞ infty ≤ le ⩽ le ≥ ge ⩾ ge ≠ ne ± pm ∓ mp ∪ cup "
    "∩ cap ∈ in ∅ emptyset ≈ approx ∠ angle ⟨ langle ⟩ rangle ⌊ lfloor ⌋ rfloor ⌈ lceil ⌉ rceil … ldots ≡ equiv"
)
_PLAIN = "− - – - — - ‐ - ‑ - ‒ - ﹣ - ∕ / ⁄ / ’ ' ‘ ' “ \" ” \" ∣ | ° ^\\circ º ^\\circ ℝ \\mathbb{R}"
_HALVES = "½ 12 ⅓ 13 ⅔ 23 ¼ 14 ¾ 34 ⅕ 15 ⅖ 25 ⅗ 35 ⅘ 45 ⅙ 16 ⅚ 56 ⅛ 18 ⅜ 38 ⅝ 58 ⅞ 78"
_RAISED = "⁺ + ⁻ - ⁰ 0 ¹ 1 ² 2 ³ 3 ⁴ 4 ⁵ 5 ⁶ 6 ⁷ 7 ⁸ 8 ⁹ 9 ⁿ n"
_LOWERED = "₀ 0 ₁ 1 ₂ 2 ₃ 3 ₄ 4 ₅ 5 ₆ 6 ₇ 7 ₈ 8 ₉ 9"


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

_RAISE = str.maketrans(dict(_pairs(_RAISED)))

_CURRENCY = re.compile(r"\\\$|[$€£¥₹]|(?<![A-Za-z])(?:Rs\.?|USD|EUR|GBP|INR|US(?=\$))\s*(?=[$0-9])")
_MONEY = r"(?:\\?\$|€|£|EUR|euros?)"
_DECIMAL_COMMA = re.compile(
    rf"([-+]?)\s*(?P<before>{_MONEY})?\s*(?P<whole>[0-9]{{1,3}}(?P<groups>(?:[. ][0-9]{{3}})+)?|[0-9]{{4,}})"
    rf",(?P<part>[0-9]+)\s*(?P<after>{_MONEY})?"
)
"""12,50 € and 1.234,56; of the rest only what is neither a list nor has thousands: 1000,99 and 0,125."""
_OPEN_BOX = re.compile(r"^\s*\$*\\boxed\s*\{(?=[^{}]*(?:\{[^{}]*\}[^{}]*)*$)")
"""A box that never closes; in a solution it states nothing, as an answer it is what it holds."""
_GLUED = re.compile(r"(?<=[0-9)}])(or|and)(?=[A-Za-z](?:_\w|\([a-z]\))?\s*=)")
"""W(x)=1orW(x)=-1"""
_SPACE = re.compile(r"(?<!\\)\\[,;:!> ]|~|\\(?:quad|qquad|enspace|thinspace|medspace|thickspace)(?![A-Za-z])")
_WIDE = re.compile(r"(=[^,;=]*[^,;=\s])\s*\\q?quad(?![A-Za-z])\s*(?!and\b|or\b|,|;|\\)(?=[^,;=]*=)")
"""The gap between two equations, which separates them as a comma does."""
_BREAK = re.compile(
    r"(=[^,;=]*[^,;=\s])\s*[,;]?\s*(?:\\newline(?![A-Za-z])|\\\\(?![A-Za-z])|\\\\(?=\s*(?:[A-Za-z]|[A-Z]{2})(?:_\w)?\s*=))"
    r"(?=[^,;=]*=)"
)
"""The line break between two equations, which separates them too."""
_CHOICES = re.compile(
    r"(?i:(?:both|options?|choices?|answers?)\s+){0,3}"
    r"(\(?[A-J]\)?(?:(?:, (?:and|or)|,|\s(?:and|or|&))\s*\(?[A-J]\)?){0,9})(?i:\s+(?:only|(?:is|are) correct))?\.?"
)
"""both A and C, A and C only, option (A): the words beside letters say nothing more."""
_APPROXIMATELY = re.compile(
    r"^(?:\\approx|approximately|approx\.?|about|around|roughly|exactly|equal to|is|=|(?:an?|the)(?= [0-9]))"
    r"(?![A-Za-z])\s*",
    re.IGNORECASE,
)
_TEXT_TAIL = re.compile(r"(?<=[^\s_^])\s*\\text\{([^{}]*)\}(\^(?:\{-?[1-3]\}|-?[1-3]))?$")
_VALUE = re.compile(r"[0-9][a-z]?[^\w,;]*$|\\(?!text)[A-Za-z]+|[)\]]$|^[a-z]$|[+*/^=-]")
"""What a unit may stand behind: a number or a formula, not the A of \\text{A}, \\text{C}."""
_WORDS_TAIL = re.compile(
    r"(?:(?<=[0-9)}\]])|(?<=[0-9A-Za-z)}\]|])\s)\s*"
    r"([A-Za-z°][A-Za-z°/.' -]*(?:\^?\{?[23]\}?)?(?:/[a-z]+(?:\^?[23])?)?)$"
)
_TAIL = 80
"""Characters at the end of an answer in which a unit is looked for."""
_MEASURES = re.compile(r"[0-9]\s*(?:\\text\{)?\s*[A-Za-z°'\"]+\.?\s*\}?\s*,?\s*(?:and\s+)?[0-9]")
"""5 ft 6 in: the last unit says what the first number is not."""
_TIMES = re.compile(
    r"(?<=[0-9])\s[xX]\s(?=[0-9.](?:[0-9.()+*/^\sxX-]|,[0-9]{3})*=)(?!.*[0-9]\s?[xX]\s*(?:[-+^=]|$))", re.DOTALL
)
"""17 x 23 = 391, before "=" alone: 3 x 4 may be a size. An x behind a number and before a sign is a variable."""
_REMARK = re.compile(r"(?<=\S)\s+\(([^()\\]*)\)$")
_HEDGE = re.compile(
    r"(?:approximately|approx|about|or about|rounded|to the nearest|nearest|exact|in) ?[^0-9]*", re.IGNORECASE
)
_ORDINAL = re.compile(r"(?<=[0-9])\s*(?:\^\s*\{?\s*)?(?:\\text\{\s*)?(?:st|nd|rd|th)\s*\}?\s*\}?$")
_HAN_UNIT = re.compile(
    r"(?<=[0-9)%])\s*(?![^$]*[万億亿千百十兆半成折月日点](?!克|米|瓦))"
    r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]{1,6}[。.\s*]*$"
)
"""A measure word or unit after a number, but no word that multiplies it and no part of a date."""
_SQUARE_UNIT = re.compile(r"(?<=[0-9])\s?[mck]?m[²³]$")
_EXPONENTS = re.compile("[⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ]{2,}")
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")

_END_OF_NAME = "(?![A-Za-z])"
_TEXT = "textup|textrm|textbf|textit|textsf|texttt|textnormal|mathrm|mathbf|mathit|mathsf|mbox|hbox"
_SIZES = "left|right|bigl|bigr|Bigl|Bigr|biggl|biggr|big|Big|bigg|Bigg|mleft|mright"
_STYLES = "displaystyle|textstyle|scriptstyle|limits|nolimits|boldsymbol|rm|bf|it"
_NAMES = "|".join(sorted(FUNCTIONS | SEVERAL))
_GAP = r"(?:\s|\\[ ,;:!])*"
_ARGUMENT = rf"{_GAP}\{{?{_GAP}([0-9]+|[a-z]){_GAP}\}}?"
_REPLACE = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:boxed|fbox)\s*(?=\{)", ""),
        (r"(?<!\\)\\!\s*", ""),
        (r"\s*\{\s*,\s*\}\s*", ","),
        (r"\\(?:left|right)\s*\.", ""),
        (rf"\\(?:{_SIZES}|{_STYLES}){_END_OF_NAME}", ""),
        (rf"\\[dtc]frac{_END_OF_NAME}", r"\\frac"),
        (rf"\\[dt]binom{_END_OF_NAME}", r"\\binom"),
        (rf"\\(?:leq|leqslant|leqq){_END_OF_NAME}", r"\\le "),
        (rf"\\(?:geq|geqslant|geqq){_END_OF_NAME}", r"\\ge "),
        (rf"\\neq{_END_OF_NAME}|!=|\\not\s*=", r"\\ne "),
        (rf"\\not\s*(?:<|\\lt{_END_OF_NAME})", r"\\nless "),
        (rf"\\not\s*(?:>|\\gt{_END_OF_NAME})", r"\\ngtr "),
        (r"\\not\s*\\(?=[A-Za-z])", r"\\not"),
        (r"\\(?:dots[cbmio]?|cdots)(?![A-Za-z])", r"\\ldots "),
        (r"(?<![A-Za-z\\])(floor|ceil|abs)(?:ing)?\s*(?=\()", r"\\\1 "),
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
        (r"\\text\{\s*\(?\s*mod(?:ulo)?\s+([0-9]+|[a-z])\s*\)?\s*\}", r"\\pmod{\1}"),
        (r"\\text\{\s*mod(?:ulo)?\s*\}|(?<![A-Za-z\\])mod(?:ulo)?(?![A-Za-z])", r"\\mod "),
        (rf"\({_GAP}\\[bp]?mod{_ARGUMENT}{_GAP}\)|\\p?mod{_ARGUMENT}(?![0-9a-z]|\s*=)", r"\\pmod{\1\2}"),
        (rf"(\\equiv(?![A-Za-z])[^=]*)\\bmod{_ARGUMENT}(?![0-9a-z])", r"\1\\pmod{\2}"),
        (r"(?<![0-9)}\]| ])\\text\{\s*([A-Za-z])\s*\}|\\text\{\s*([eixyz])\s*\}", r"\1\2"),
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
    letters = _CHOICES.fullmatch(re.sub(r"^\\text\{([^{}]*)\}$", r"\1", answer.strip()))
    answer = letters[1] if letters else answer
    answer = _SQUARE_UNIT.sub("", _HAN_UNIT.sub("", answer))
    if r"\begin" not in answer:
        answer = _BREAK.sub(r"\1, ", answer)
        answer = re.sub(r"(?<=\S) \\?& (?=\S)", " and ", answer)
        answer = re.sub(r"\\\\(?=[A-Za-z])", r"\\", answer)  # escaped twice, as in JSON
    answer = _OPEN_BOX.sub("", answer)
    text = GOES_ON.sub(r"\\ldots ", _EXPONENTS.sub(lambda run: f"^{{{run[0].translate(_RAISE)}}}", answer))
    text = unicodedata.normalize("NFKC", text.translate(_UNICODE))
    text = _CURRENCY.sub("", _decimal_comma(unwrap(text.replace(r"\"", '"'))))
    text = re.sub(r"(?<!\\)\\[()\[\]]", " ", text)
    for pattern, replacement in _REPLACE:
        text = pattern.sub(replacement, text)
    text = _TIMES.sub(r" \\times ", text) if "=" in text else text
    if not _TRIGONOMETRY.search(text):
        text = text.replace(DEGREE, "")
    text = _GLUED.sub(r" \1 ", text)
    text = re.sub(r"\s+", " ", _SPACE.sub(" ", _WIDE.sub(r"\1, ", text))).strip()
    text = _APPROXIMATELY.sub("", _thousands(text))
    for _ in range(2):
        text = _without_unit(text).rstrip(" .,;\\") or text
    return _ORDINAL.sub("", text)


def _decimal_comma(text: str) -> str:
    """The number with a point where its comma can only be a decimal one; else the text."""
    found = _DECIMAL_COMMA.fullmatch(text)
    if not found:
        return text
    whole, part = found["whole"], found["part"]
    sum_of_money = (found["before"] or found["after"]) and len(part) == 2
    other = found["groups"] or (len(whole) > 3 and len(part) == 2) or (whole == "0" and len(part) > 2)
    return f"{found[1]}{re.sub('[. ]', '', whole)}.{part}" if sum_of_money or other else text


def _without_unit(text: str) -> str:
    """``text`` without a unit, a counted thing or a remark that ends it."""
    remark = _REMARK.search(text)
    if remark and (is_unit(remark[1]) or _HEDGE.fullmatch(remark[1])):
        return text[: remark.start()]
    tail = _TEXT_TAIL.search(text)
    if tail and is_unit(tail[1], marked=True) and not _MEASURES.search(text) and _VALUE.search(text[: tail.start()]):
        return text[: tail.start()]
    first = max(0, len(text) - _TAIL)
    for _ in range(8):
        words = _WORDS_TAIL.search(text, first)
        if not words:
            break
        value = text[: words.start()]
        if is_unit(words[1]) and re.search(r"[0-9\\]|^[A-Za-z]$", value) and not _MEASURES.search(text):
            return value
        first = words.start() + 1
    return text


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
