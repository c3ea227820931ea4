"""Reads one formula, in LaTeX or as people type it, into a tree.

Knows a grammar of school mathematics: numbers, letters, + - * / ^, fractions, roots, powers, functions, factorials,
binomials, |x|, floor and ceiling. Knows no values (``evaluate.py``) and no lists, sets or equations (``keys.py``).
Time is linear in the text, nesting is limited, nothing is evaluated and no Python is run. What it cannot read raises
``Unreadable``; the caller then compares text. Over 300 lines because a grammar is read in one piece.
"""

from __future__ import annotations

import re
from fractions import Fraction

from ttscale.answers.tree import Formula, Unreadable, fraction, negative, number, product

MAX_DEPTH = 40
"""Nested groups allowed. The deepest answer of MATH-500 nests 3; 40 keeps Python's own stack out of danger."""

_TOKEN = re.compile(r"\\text\{[^{}]*\}|\\[A-Za-z]+|\\.|[0-9]+(?:\.[0-9]*)?|\.[0-9]+|[A-Za-z]{4,}|[A-Za-z]|\S")
_LETTERS = frozenset(
    re.findall(
        r"\w+",
        "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau "
        "upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell",
    )
)
FUNCTIONS = frozenset(
    ("sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "log", "ln", "exp")
)
SEVERAL = frozenset(("max", "min", "gcd", "lcm"))
"""Functions of several arguments, in parentheses or (max and min) braces."""
DEGREE = "\\degree"
"""Written by ``normalize.py`` where degrees are an argument of a function, as in \\sin 30^\\circ."""
_INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
_CLOSING = {"(": ")", "[": "]", "{": "}", "\\lfloor": "\\rfloor", "\\lceil": "\\rceil", "\\lvert": "\\rvert"}
_AROUND = {"\\lfloor": "floor", "\\lceil": "ceil", "\\lvert": "abs"}


def read(text: str) -> Formula:
    """The tree of a whole formula. Raises ``Unreadable``."""
    reader = _Reader(_TOKEN.findall(text))
    tree = reader.sum()
    if reader.peek():
        raise Unreadable(f"did not expect {reader.peek()!r}")
    return tree


class _Reader:
    """A recursive descent over the tokens; each method reads one level of the grammar and leaves the rest."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0
        self.bars = 0  # |...| that are open: inside, "|" closes
        self.indices: list[str] = []  # of the sums around: an i there is no imaginary unit
        self.known: set[int] = set()  # where a product was found, so that it is not tried again as a function

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        if not token:
            raise Unreadable("the formula stops too early")
        self.at += 1
        return token

    def expect(self, token: str) -> None:
        if self.take() != token:
            raise Unreadable(f"missing {token!r}")

    # sum := product (("+" | "-") product)*

    def sum(self) -> Formula:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        terms = [self.product()]
        while self.peek() in ("+", "-"):
            sign = self.take()
            term = self.product()
            terms.append(term if sign == "+" else negative(term))
        self.depth -= 1
        return terms[0] if len(terms) == 1 else Formula("add", tuple(terms))

    # product := signed (("*" | "/" | nothing) signed)*, from left to right: 1/2x is (1/2)x

    def product(self) -> Formula:
        factors = [self.signed()]
        while True:
            token = self.peek()
            if token in ("\\bmod", "\\mod"):
                self.take()
                factors = [Formula("mod", (product(factors), self.power()))]
            elif token in ("*", "\\times", "\\cdot", "\\ast"):
                self.take()
                factors.append(self.signed())
            elif token in ("/", "\\div"):
                self.take()
                factors.append(Formula("inverse", (self.signed(),)))
            elif self.starts_atom():
                before = self.tokens[self.at - 1]
                if token[0] in _DIGITS and (before[-1] in _DIGITS or before.isalpha()):
                    raise Unreadable("a number beside a number or after a letter: 2 3, H2O, 1 h 30")
                factors.append(self.power())
            else:
                return product(factors)

    def signed(self) -> Formula:
        minus = False
        while self.peek() in ("+", "-"):
            minus ^= self.take() == "-"
        node = self.power()
        return negative(node) if minus else node

    # power := atom ("!" | degree | "^" exponent)*

    def power(self) -> Formula:
        node = self.atom()
        for _ in range(MAX_DEPTH):
            if self.peek() == "!":
                self.take()
                node = Formula("factorial", (node,))
            elif self.peek() == DEGREE:
                self.take()
                node = Formula(
                    "mul", (node, Formula("constant", value="pi"), Formula("number", value=Fraction(1, 180)))
                )
            elif self.peek() == "^":
                self.take()
                node = Formula("pow", (node, self.exponent()))
            else:
                return node
        raise Unreadable("too many powers in a row")

    def exponent(self) -> Formula:
        """What stands after "^". Digits are read as one number (x^10), as people mean when they type it."""
        minus = False
        while self.peek() == "-":
            minus ^= self.take() == "-"
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        node = self.atom()
        if self.peek() == "^":
            self.take()
            node = Formula("pow", (node, self.exponent()))
        self.depth -= 1
        return negative(node) if minus else node

    def starts_atom(self) -> bool:
        token = self.peek()
        if not token:
            return False
        if token[0] == "\\":
            name = token[1:]
            return name in _LETTERS or name in FUNCTIONS | SEVERAL or token in _AROUND or name in _STARTERS
        return token.isalnum() or token[0] in _DIGITS or token in ("(", "[", "{") or (token == "|" and not self.bars)

    def atom(self) -> Formula:
        token = self.take()
        if token[0] in _DIGITS or (token[0] == "." and len(token) > 1):
            return self.mixed(token)
        if token in _CLOSING:
            node = self.sum()
            self.expect(_CLOSING[token])
            return Formula(_AROUND[token], (node,)) if token in _AROUND else node
        if token == "|":
            self.bars += 1
            node = self.sum()
            self.bars -= 1
            self.expect("|")
            return Formula("abs", (node,))
        if len(token) == 1 and token.isalpha() and token.isascii():
            return self.letter(token)
        name = token[1:]
        if name == "pi":
            return Formula("constant", value="pi")
        if name in ("frac", "binom"):
            upper, lower = self.argument(), self.argument()
            return fraction(upper, lower) if name == "frac" else Formula("binomial", (upper, lower))
        if name == "sqrt":
            return self.root()
        if name in ("floor", "ceil", "abs") and self.peek() == "(":
            return Formula(name, (self.atom(),))
        if name in ("sum", "prod"):
            return self.series(name)
        if name in FUNCTIONS:
            return self.function(name)
        if name in SEVERAL:
            return self.several(name)
        if name in _LETTERS:
            return self.applied(self.subscript(name))
        raise Unreadable(f"no value is known for {token!r}")

    def mixed(self, token: str) -> Formula:
        """A number; an integer before a fraction of two integers is a mixed number, 1\\frac{4}{5} = 9/5."""
        whole = number(token)
        start = self.at
        if self.peek() != "\\frac" or "." in token or start in self.known:
            return whole
        self.take()
        upper, lower = self.argument(), self.argument()
        if upper.op == lower.op == "number" and self.peek() != "^":
            return Formula("add", (whole, fraction(upper, lower)))
        self.at = start
        self.known.add(start)
        return whole

    def argument(self) -> Formula:
        """One argument of a command: a group, or like TeX a single token, of a number only the first digit."""
        token = self.peek()
        if token and token[0] in _DIGITS and len(token) > 1:
            self.tokens[self.at : self.at + 1] = [token[0], token[1:]]
            token = token[0]
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        node = self.atom()
        self.depth -= 1
        return node

    def root(self) -> Formula:
        degree = number("2")
        if self.peek() == "[":
            self.take()
            degree = self.sum()
            self.expect("]")
        return Formula("root", (self.argument(), degree))

    def letter(self, token: str) -> Formula:
        if self.peek() != "_" and token in ("e", "i") and token not in self.indices:
            applied = self.peek() == "(" and [each[:1] for each in self.tokens[self.at + 1 : self.at + 3]]
            if not (applied and len(applied) == 2 and applied[0] in _DIGITS and applied[1] == ")"):  # i(0), a current
                return Formula("constant", value=token)
        return self.applied(self.subscript(token))

    def applied(self, name: Formula) -> Formula:
        """f(x), N(2), \\phi(12): a function of which nothing is known. x(x + 1) is a product."""
        if self.peek() != "(" or self.at in self.known:
            return name
        start = self.at
        self.take()
        args = [self.sum()]
        while self.peek() == ",":
            self.take()
            args.append(self.sum())
        self.expect(")")
        if name.value in ("f", "g") or len(args) > 1 or args[0].op in ("number", "symbol", "constant"):
            return Formula("unknown", tuple(args), name.value)
        self.at = start
        self.known.add(start)
        return name

    def several(self, name: str) -> Formula:
        """max(x, 3), \\max\\{x, 3\\}, \\gcd(12, 18)."""
        opening = self.take()
        closing = {"(": ")", "\\{": "\\}"}.get(opening)
        args = [self.sum()]
        while self.peek() == ",":
            self.take()
            args.append(self.sum())
        if closing is None or self.take() != closing:
            raise Unreadable(f"\\{name} of what?")
        return Formula(name, tuple(args))

    def series(self, name: str) -> Formula:
        """\\sum_{k=1}^{n} with the product that follows as its term."""
        self.expect("_")
        self.expect("{")
        index = self.take()
        self.expect("=")
        first = self.sum()
        self.expect("}")
        self.expect("^")
        braced = self.tokens[self.at : self.at + 3] == ["{", "\\infty", "}"]
        if braced or self.peek() == "\\infty":
            self.at += 3 if braced else 1
            last = Formula("symbol", value="\\infty")
        else:
            last = self.argument()
        self.depth += 1
        if self.depth > MAX_DEPTH or not (len(index) == 1 and index.isalpha()):
            raise Unreadable("a sum over what?")
        self.indices.append(index)
        term = self.product()
        self.indices.pop()
        self.depth -= 1
        return Formula(name, (term, first, last), index)

    def subscript(self, name: str) -> Formula:
        """A variable with the subscript that belongs to its name: x_1, x_{12}, v_{\\text{max}}."""
        if self.peek() == "_":
            self.take()
            parts = [self.take()]
            if parts[0] == "{":
                parts = []
                while self.peek() != "}":
                    parts.append(self.take())
                self.take()
            name += "_" + "".join(parts)
        return Formula("symbol", value=name)

    def function(self, name: str) -> Formula:
        """A named function with an optional power or base before its argument: \\sin^2 x, \\log_2 8."""
        power: Formula | None = None
        base: tuple[Formula, ...] = ()
        while self.peek() in ("^", "_"):
            if self.take() == "^":
                power = self.exponent()
            else:
                base = (self.argument(),)
        if name in _INVERSE and power == negative(number("1")):
            name, power = _INVERSE[name], None
        if base and name != "log":
            raise Unreadable(f"a subscript of \\{name}")
        node = Formula(name, (self.function_argument(), *base))
        return node if power is None else Formula("pow", (node, power))

    def function_argument(self) -> Formula:
        """A group, or the factors that follow up to the next function: \\sin 2x \\cos x has the argument 2x."""
        if self.peek() in ("(", "[", "{"):
            return self.atom()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        minus = self.peek() == "-"
        if minus:
            self.take()
        factors = [self.power()]
        while self.starts_atom() and self.peek() not in ("(", "[") and self.peek()[1:] not in FUNCTIONS:
            factors.append(self.power())
        self.depth -= 1
        node = product(factors)
        return negative(node) if minus else node


_DIGITS = frozenset("0123456789")
_STARTERS = frozenset({"pi", "frac", "binom", "sqrt", "sum", "prod", "floor", "ceil", "abs"})
