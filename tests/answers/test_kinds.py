"""Pairs of answers by kind: those that are one answer, and near misses that are two. One line, one case."""

from __future__ import annotations

import pytest

from ttscale.answers import equivalent

TOGETHER = r"""
17 x 23 = 391 == 391
17 X 23 = 391 == 391
2 x 3 x 4 = 24 == 24
3 x 5 + 2 = 17 == 17
$12 x $0.50 = $6 == 6
12 x 1,000 = 12,000 == 12000
\text{12 x 5 = 60} == 60
x = 3 x 4 = 12 == 12
5 x 12 = 60 km == 60
|x-2| == |2-x|
\sqrt{x^2} == |x|
\sqrt{x^2+2x+1} == |x+1|
|x||y| == |xy|
|2x-4| == 2|x-2|
|x|^2 == x^2
\max(x,3) == \max(3,x)
\lfloor x \rfloor + 1 == \lfloor x+1 \rfloor
\lceil x \rceil == -\lfloor -x \rfloor
\sqrt{\sqrt{x}} == x^{1/4}
x\sqrt{x} == x^{3/2}
\frac{1}{\sqrt{x}} == \frac{\sqrt{x}}{x}
\sqrt{x^4} == x^2
\sqrt{9x^2} == 3|x|
\sqrt{e^x} == e^{x/2}
\max(x,y) == \frac{x+y+|x-y|}{2}
\sqrt{4x} == 2\sqrt{x}
17 \bmod 5 == 2
\gcd(12,18) == 6
\max\{3,5\} == 5
x(x+1) == x^2+x
n(n-1)/2 == \binom{n}{2}
\sqrt[3]{x^3} == x
\sqrt{x+1}\sqrt{x+1} == x+1
\sqrt{x^2+1} == (1+x^2)^{1/2}
\frac{1}{\sqrt{x}+1} == \frac{\sqrt{x}-1}{x-1}
\max(1,2,x) == \max(x,2,1)
|x|/x == x/|x|
x = 2, y = 3 == (2,3)
(x,y)=(2,3) == x=2,y=3
(y,x)=(3,2) == x=2,y=3
x=1 \quad y=2 == (1,2)
x=1 or x=2 == 1,2
p=5,q=2;p=7,q=2 == (5,2),(7,2)
n=1,2,3 == 1,2,3
x = \frac{1}{2}, x = \frac{-1 \pm \sqrt{13}}{4} == \frac12, \frac{-1+\sqrt{13}}{4}, \frac{-1-\sqrt{13}}{4}
x > 3 and x < 5 == (3,5)
x<3 or x>5 == (-\infty,3)\cup(5,\infty)
(A) and (C) == A, C
A and C == A,C
A) and C) == A, C
AB = 3, BC = 4 == BC = 4, AB = 3
AB = 7 == 7
m+n = 16 == 16
2\sqrt3 \approx 3.46 == 2\sqrt{3}
x=1/3\approx1.3 == 1/3
x\approx11 == 11
2x = 10 == 5
x - (y+2) = 0 == x = y + 2
\frac{NO}{BO}=\frac{1}{\sqrt{6}} == \frac{1}{\sqrt{6}}
S_{MBCN}:S=7:32 == 7:32
A:B=1 == 1
|AB|=1 == 1
\begin{vmatrix} 2 & 1 \\ 1 & 2 \end{vmatrix} = 3 == 3
\lim_{x \to 0} \frac{\sin x}{x} = 1 == 1
x \neq 3 == x != 3
\{1,2\}\cup\{3\} == \{1,2,3\}
\{5\} == 5
\pm 2021 == {-2021, 2021}
1 \pm \sqrt{2} == 1+\sqrt2, 1-\sqrt2
5 \text{ m} == 5
3:00 PM == 3 p.m.
\text{five} == 5
\angle ABC = 60^\circ == 60
x^2 = 4 == 2x^2 = 8
y = |x| + 2 == |x|+2
21,16 or 11 == 21,16,11
19, 46, and 82 == 19, 46, \text{ and } 82
k^2 = 4 == 4 = k^2
f(x) = 2x == 2x
12 \text{ apples} == 12
\{1,1,2\} == \{1,2\}
\text{Total} = 18 == 18
x_1 = 2, x_2 = 3 == x_2 = 3, x_1 = 2
\text{(A)} == A
"""
APART = r"""
3 x 4 == 12
3 x 4 == 2 x 6
A = 3 x 4, B = 5 == A = 2 x 6, B = 5
2 x 2 + 3 x = 5 == 7
3x2 = 12 == 12
2 x = 10 == 10
\lfloor x/3\rfloor == \lfloor x/5\rfloor
|x-2| == 2-x
\max(x,3) == 3
\sqrt{x^2} == x
\sqrt{(x-2)^2} == 2-x
|x-1000| == 1000-x
|x-3|+|x-4| == |2x-7|
\lfloor x+0.01\rfloor == \lfloor x+0.02\rfloor
\max(x,y) == x
\min(x,-100) == -100
||x|-1| == |x-1|
\arcsin(\sin x) == x
\arctan(\tan x) == x
H2O == HO2
x2 == 2x
N(2) == 2N
I(0)e^{-t/RC} == 0
\gcd(a,b) == 1
\gcd(a,b) == \gcd(a,c)
1 h 30 min == 2 h 15 min
5 ft 6 in == 6 ft 5 in
3 to 1 == 1 to 3
12 R 1 == 4 R 3
C6H12O6 == C12H6O6
2 by 6 == 3 by 4
10 for 2 == 5 for 4
|x+i| == x+i
|x-2|(x-3) == (x-2)|x-3|
\sqrt{xy} == \sqrt{x}\sqrt{-y}
|x| == x
\ln x^2 == 2 \ln x
AB = 3, BC = 4 == AB = 4, BC = 3
\sin\theta = 3/5, \cos\theta = 4/5 == \sin\theta = 4/5, \cos\theta = 3/5
x=1 \quad y=2 == 2
x=1 y=2 == 2
\neq 3 == 3
<5 == >5
< 5 == 5
6,6,6,5 == 5,6
\{1,2\},\{3,4\} == \{1,3\},\{2,4\}
A: 5, B: 6 == A: 7, B: 9
(A) and (C) == A
(A) and (C) == (A) and (D)
A. Einstein == A. Turing
E. coli == E
(A) 12, (C) 15 == A
x \bmod 3 = 1 == x \bmod 5 = 1
n \bmod 3 = 1 == n \bmod 5 = 1
2k = 10 == 10
x > 3 and x < 5 == x > 3 or x < 5
3 (mod 7) == 3 (mod 5)
3 (mod 7) == 3
3 \pmod 7 == 3 \pmod 5
12 (remainder 3) == 12 (remainder 4)
n \text{ even} == n \text{ odd}
3 halves == 3
12 noon == 12 midnight
20% increase == 20% decrease
x_1 = 2, x_2 = 3 == x_1 = 3, x_2 = 2
\gcd(a,b)=1 == 1
\gcd(x,6)=1 == \gcd(x,10)=1
10 - 15 == 20 - 25
1 h 30 min == 1 h 30 sec
5 north == 5 south
\det A = 5, \det B = 6 == \det A = 6, \det B = 5
x(x+1) = 6 == 6
H2O == H2o
"""


def cases(table: str) -> list[tuple[str, str]]:
    return [(a, b) for line in table.strip().splitlines() for a, b in [line.split(" == ")]]


@pytest.mark.parametrize(("a", "b"), cases(TOGETHER))
def test_one_answer(a: str, b: str) -> None:
    assert equivalent(a, b)
    assert equivalent(b, a)


@pytest.mark.parametrize(("a", "b"), cases(APART))
def test_two_answers(a: str, b: str) -> None:
    assert not equivalent(a, b)
    assert not equivalent(b, a)
