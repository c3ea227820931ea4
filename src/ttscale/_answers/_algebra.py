"""The child process behind ``_helper.py``: formulas come in as JSON lines, keys go out.

The only file that loads math-verify's parser and sympy. Runs nowhere else, so that its limits, its recursion and its
crashes are nobody's problem.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ttscale._answers._helper import SECONDS, encode
from ttscale._answers._value import Key, Value, function_key, number_of

MEMORY = 2 * 2**30
"""Bytes of address space; sympy needs 0.2 GB."""


def main() -> None:
    """Answer one formula per line until the parent goes away."""
    replies = os.fdopen(os.dup(1), "wb")
    sys.stdout = sys.stderr  # whatever a library prints is not a reply
    logging.disable()
    _limit_memory()
    formula_key(r"\sum_{k=1}^{3} \frac{x^k}{k}")  # loads everything, which is not the first formula's time

    replies.write(b"ready\n")
    replies.flush()
    for line in sys.stdin.buffer:
        _limit_time()
        try:
            key = formula_key(json.loads(line))
        except Exception:
            # Any failure of the computer algebra system means the same: no value is known.
            key = None
        replies.write(json.dumps(encode(key)).encode() + b"\n")
        replies.flush()


def formula_key(latex: str) -> Key:
    """The key of a formula, in the terms of ``_value.py``. Raises whatever the parser or sympy raises."""
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig, NormalizationConfig, latex2sympy
    from sympy import I
    from sympy.matrices import MatrixBase

    tree = latex2sympy(
        re.sub(r"\\text\{(gcd|lcm|max|min|det)\}", r"\\operatorname{\1}", latex),
        is_real=True,
        normalization_config=NormalizationConfig(basic_latex=True, malformed_operators=True, boxed="none"),
        conversion_config=ConversionConfig(lowercase_symbols=False),  # R and r are two radii
    )
    tree = tree.doit()
    tree = tree.subs({symbol: I for symbol in tree.free_symbols if symbol.name == "i"}).doit()
    if isinstance(tree, MatrixBase):
        return ("matrix", *(tuple(_scalar_key(cell) for cell in row) for row in tree.tolist()))
    return _scalar_key(tree)


def _scalar_key(tree: Any) -> Key:
    names = {symbol.name: symbol for symbol in tree.free_symbols}
    return function_key(set(names), lambda at: _number(tree, names, at))


def _number(tree: Any, names: Mapping[str, Any], at: Mapping[str, Fraction]) -> Value:
    from sympy import Float, N, Rational

    tree = tree.xreplace({decimal: Rational(str(decimal)) for decimal in tree.atoms(Float)})
    value = tree.subs({names[name]: Rational(x.numerator, x.denominator) for name, x in at.items()}).doit()
    if value.is_Rational:
        return Fraction(int(value.p), int(value.q))
    real, imaginary = N(value, 65).as_real_imag()
    return number_of(str(real), str(imaginary))


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _limit_time() -> None:
    """The kernel ends this process if it goes on computing after its parent has given up or died."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = int(used.ru_utime + used.ru_stime + SECONDS) + 2
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))
