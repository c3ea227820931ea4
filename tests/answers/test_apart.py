"""Answers that a loose reading made one: chains of "=", congruences, labelled parts, alternatives, Roman numerals."""

from __future__ import annotations

import pytest

from ttscale.answers import equal

APART = r"""
x=1\\ y=2 == 2
x=1 \newline y=2 == 2
x=1 | y=2 == 2
x=1. y=2 == 2
x=1: y=2 == 2
x=1 → y=2 == 2
x=\pi y=2 == 2
x=1 when y=2 == 2
x=1 with y=2 == 2
x=1 but y=2 == 2
x=1 of y=2 == 2
x = 50% of 30 == 30
10 choose 2 == 2
10 choose 2 == 20
17 plus 3 \equiv 5 == 5
x=1\text{ with }y=2 == 2
AB=3 \\ BC=4 == AB=5 \\ BC=4
AB=3\\BC=4 == AB=4\\BC=3
3+4=7\\7-2=5 == 5
x \equiv 3 \mod 7 == x \equiv 3 \mod 5
x \equiv 3 \mod 7 == 3
x \equiv 3 \bmod 7 == 3
x \equiv 3 \text{ mod } 7 == x \equiv 3 \text{ mod } 5
3 \mod 7 == 3 \mod 5
n \equiv 1, 3 \mod 8 == n \equiv 1, 3 \mod 9
2x \equiv 3 \mod 7 == 2x \equiv 3 \mod 5
x \not= 3 == x = 3
x \not= 3 == 3
\not= 3 == 3
x \not\equiv 3 == x \equiv 3
x \not> 3 == x > 3
x \not\in \{1\} == x \in \{1\}
(a) 7 (b) 8 == (a) 8 (b) 7
(a) 2 (b) 6 == (a) 3 (b) 4
(a) x+1 (b) x-1 == (a) x-1 (b) x+1
(1) 2 (2) 6 == (1) 3 (2) 4
(1) 2 (2) 6 == 24
1) 2 2) 6 == 1) 3 2) 4
(i) 2 (ii) 6 == (i) 3 (ii) 4
(A) 5, (B) 6 == (A) 6, (B) 5
(A) 5 and (B) 6 == (A) 6 and (B) 5
(A) 5; (B) 6 == (A) 6; (B) 5
A) 5, B) 6 == A) 6, B) 5
A. 5, B. 6 == A. 6, B. 5
A. 5, B. 6 == A
(a) yes (b) no == (a) no (b) yes
x=1 or y=2 == x=1, y=2
x=1 or y=2 == (1,2)
AB=3 or BC=4 == AB=3 and BC=4
x=1 \lor y=2 == x=2 \lor y=1
x>1 \lor y>2 == y>1 \lor x>2
x\in(1,2), y\in(3,4) == x\in(3,4), y\in(1,2)
1,2;3,4 == 1,3;2,4
1, 2, 3, ... == 1, 2, 3
12 5 == 12_5
12 (5) == 12_5
12 five == 12_5
20% 80% == 20_{80}
7 % 3 == 7_3
(iv) == (vi)
ix == xi
i, iv == i, vi
xiv == xvi
\text{(iv)} == \text{(vi)}
i(0) == 0
i(2) == 2i
e(2) == 2e
A only == B only
A and C only == A
"""
TOGETHER = r"""
AB=3 \\ BC=4 == AB = 3, BC = 4
x=1, \\ y=2 == x=1, y=2
x = 3 + 4 = 7 == 7
x = y = 2 == 2
C = 2\pi r = 10\pi == 10\pi
S = 1 + 2 + \cdots + 10 = 55 == 55
S = 1 + 2 + ... + 10 = 55 == 55
A = \text{base} \cdot \text{height} = 12 == 12
\sum_{k=1}^n k = \frac{n(n+1)}{2} = 55 == 55
x = 50% of 30 = 15 == 15
x = 50\% \text{ of } 30 = 15 == 15
x = 20 percent of $30 = $6 == 6
n = 10 choose 2 = 45 == 45
n = 10 choose 2 = (10)(9)/2 = 45 == 45
x = 3 out of 5 = 60% == 60%
x = 17 mod 5 = 2 == 2
50% of 30 = 15 == 15
10 choose 2 = 45 == 45
x ≡ 3 (mod 7) == x \equiv 3 \pmod 7
x \equiv 3\ (\text{mod}\ 7) == x \equiv 3 \pmod{7}
x \equiv 3 \text{ (mod 7)} == x \equiv 3 \pmod{7}
x \equiv 3 \bmod 7 == x \equiv 3 \pmod{7}
3 mod 7 == 3 \pmod 7
17 \bmod 5 == 2
17 \mod 5 = 2 == 2
x \not= 3 == x \ne 3
(a) 7 (b) 8 == (a) 7, (b) 8
(a) 7 (b) 8 == a) 7; b) 8
(A) 5, (B) 6 == A: 5, B: 6
(A) Paris and (B) Rome == A, B
(A) and (C) == A, C
x=1 or x=2 == 1, 2
x=1, y=2 or x=3, y=4 == (1,2), (3,4)
1,2;3,4 == 2,1;4,3
1; 2; 3 == 1, 2, 3
1, 2, 3, ... == 1, 2, 3, \ldots
101 base 2 == 101_2
101 in base two == 101_2
(iv) == iv
e^{(2)} == e^2
both A and C == A, C
A and C only == A, C
Option (A) == A
options B and C == B, C
i(x+1) == ix+i
\max(x,y,z) == \max(z,y,x)
\max(x,3) == \frac{x+3+|x-3|}{2}
\min(x,y) == -\max(-x,-y)
x \bmod 5 == x - 5\lfloor x/5 \rfloor
(x+3) \bmod 3 == x \bmod 3
2\begin{pmatrix}1&1\\0&1\end{pmatrix}\begin{pmatrix}1&1\\0&1\end{pmatrix} == \begin{pmatrix}2&4\\0&2\end{pmatrix}
"""


def pairs(table: str) -> list[tuple[str, str]]:
    return [(a, b) for a, b in (line.split(" == ") for line in table.strip().splitlines())]


@pytest.mark.parametrize(("a", "b"), pairs(APART))
def test_apart(a: str, b: str) -> None:
    assert not equal(a, b)
    assert not equal(b, a)


@pytest.mark.parametrize(("a", "b"), pairs(TOGETHER))
def test_together(a: str, b: str) -> None:
    assert equal(a, b)
    assert equal(b, a)
