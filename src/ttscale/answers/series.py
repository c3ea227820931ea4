"""Sums and products over a range, \\sum_{k=1}^{n} a_k: added up where the range is short and known, else compared.

Of one that is not added up nothing is known but that equal terms over equal ranges give equal values, whatever the
index is called. So \\sum_{k=1}^n 2k is not n(n+1) here: they are kept apart, which costs a vote and forges none.
"""

from __future__ import annotations

import re
from fractions import Fraction

from ttscale.answers.arithmetic import Value, add, mul, number_key
from ttscale.answers.corners import At, Evaluate, Signature, draw
from ttscale.answers.tree import Formula, operations, renamed, symbols

SERIES = frozenset(("sum", "prod"))
MAX_TERMS = 200
"""Terms that are added up. Enough for what is written in an answer; costs milliseconds."""
_INDEX = "\\index"


def series(node: Formula, at: At, evaluate: Evaluate, signature: Signature) -> Value:
    """The value of a sum or product node: (term, first, last) with the index's name as its value."""
    term, index = node.args[0], str(node.value)
    ends = [evaluate(end, at) for end in node.args[1:]]
    used = symbols(term)
    subscripts = any(re.search(rf"_.*(?<![A-Za-z]){index}", name) for name in used)  # F_k is no known function of k
    known = not any(map(symbols, node.args[1:])) and all(isinstance(end, Fraction) for end in ends)
    if known and not subscripts and not operations(term) & SERIES:
        first, last = ends
        if first.denominator == last.denominator == 1 and last - first < MAX_TERMS:
            terms = [evaluate(term, {**at, index: Fraction(k)}) for k in range(int(first), int(last) + 1)]
            return (add if node.op == "sum" else mul)(*terms) if terms else Fraction(int(node.op == "prod"))
    free = [number_key(at[name]) for name in sorted(used - {index})]
    of = [node.op, *map(number_key, signature(renamed(term, index, _INDEX))), *map(number_key, ends), *free]
    return Fraction(1 + draw(of) % 2**32, 2**31)
