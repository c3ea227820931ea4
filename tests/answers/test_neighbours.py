"""More pairs of each kind of ``test_kinds.py``, from units and ratios to bases and dates.

Over 300 lines because it is two tables: one line, one case.
"""

from __future__ import annotations

import pytest

from answers.test_kinds import cases
from ttscale.answers import equivalent

TOGETHER = r"""
1 h 30 min == 1 hour 30 minutes
1 h 30 min == 1 hr 30 mins
5 ft 6 in == 5 feet 6 inches
1 hour and 30 minutes == 1 hour 30 minutes
3 to 1 == 3:1
3 : 1 == 3:1
12 R 1 == 12 r 1
12 R 1 == 12 remainder 1
12 remainder 3 == 12 R 3
12 R1 == 12 R 1
20% increase == 20\% increase
20\% \text{ increase} == 20% increase
12 noon == noon
n \text{ is even} == n is even
3 (mod 7) == 3 \pmod 7
3 \pmod{7} == 3 \pmod 7
x \equiv 3 \pmod{7} == x \equiv 3 \pmod 7
x \equiv 3 \pmod{7} == x \equiv 3 (mod 7)
A, C == C, A
A and C == C and A
(A), (C) == (A) and (C)
A, B and D == A, B, D
A & C == A, C
\text{A and C} == A, C
\text{(A) and (C)} == A, C
A,C,D == (A), (C), and (D)
A: 5, B: 6 == B: 6, A: 5
AB=3, BC=4 == BC=4 and AB=3
x=1, y=2 == y=2, x=1
x=1 and y=2 == x=1, y=2
x = 1, y = 2, z = 3 == (1,2,3)
\alpha = 1, \beta = 2 == \beta = 2, \alpha = 1
a=1;b=2 == a=1, b=2
\sin\theta = 3/5, \cos\theta = 4/5 == \cos\theta = 4/5, \sin\theta = 3/5
x < 3 or x > 5 == x > 5 or x < 3
x < 3 and x > 1 == 1 < x < 3
x > 1, x < 3 == x < 3, x > 1
x \ge 2 == [2, \infty)
x \in (1, 2) == (1,2)
f(2) = 7 == 7
P(A) = 0.5 == 1/2
\gcd(a,b) == \gcd(b,a)
\text{lcm}(4,6) == 12
lcm(4, 6) == 12
gcd(12, 18) == 6
\operatorname{lcm}(4,6) == 12
\max(3, 7) == 7
\min\{3,7\} == 3
floor(3.7) == 3
ceil(3.2) == 4
\lfloor 3.7 \rfloor == 3
\{(1,2),(3,4)\} == \{(3,4),(1,2)\}
\{\{1\},\{2\}\} == \{\{2\},\{1\}\}
((1,2),3) == ((1,2),3)
\emptyset == \{\}
(-\infty, 3) \cup (5, \infty) == (5, \infty) \cup (-\infty, 3)
[1,2] \cup [3,4] == [3,4] \cup [1,2]
\pm 3 == 3, -3
\pm\sqrt{2} == \sqrt 2, -\sqrt 2
x = \pm 3 == x = 3 \text{ or } x = -3
x = 3, -3 == \pm 3
2 \pm \sqrt{3} == 2 - \sqrt{3}, 2 + \sqrt{3}
\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix} == [[1,2],[3,4]]
101_2 == 101_{2}
101_{\text{two}} == 101_2
101 base 2 == 101_2
FF_{16} == ff_{16}
0xFF == 0xff
July 4, 1776 == 4 July 1776
Jul 4, 1776 == July 4th, 1776
1776-07-04 == July 4, 1776
3 PM == 15:00
3:00 PM == 3 p.m.
3:30 pm == 15:30
12 noon == 12:00 PM
12th == 12
12^{th} == 12
21st == 21
0.(3) == 0.\overline{3}
0.333... == 1/3
0.1(6) == 1/6
0.16666... == 1/6
0.\dot{3} == 1/3
0.\overline{142857} == 1/7
10⁻³ == 10^{-3}
x² + 1 == x^2+1
2³ == 8
1.5 × 10⁻³ == 0.0015
1.5e-3 == 0.0015
3/4 of a mile == 3/4 \text{ mile}
5 dollars == \$5
five dollars == 5 dollars
seven == 7
twenty-one == 21
one hundred == 100
one hundred twenty-three == 123
a dozen == 12
half == 1/2
one half == 1/2
two thirds == 2/3
5 \times 10^3 == 5000
5,000,000 == 5 million
\frac{3}{4} == 0.75
2\frac{1}{2} == 2.5
2 1/2 == 2.5
(x+1)(x-1) == x^2-1
x(x-1) == x^2 - x
\log_2 8 == 3
\sqrt[3]{27} == 3
3+4i == 4i+3
i^2 == -1
90^\circ == 90 degrees
90° == 90
\frac{\pi}{2} == 0.5\pi
\frac{\pi}{2} \text{ radians} == \pi/2
72 km/h == 72 kilometers per hour
25 cm² == 25 cm^2
25 square centimeters == 25 \text{ cm}^2
H_2O == H2O
CO_2 == CO2
C_6H_{12}O_6 == C6H12O6
\text{H}_2\text{O} == H2O
H₂O == H2O
yes == Yes
True == true
\text{True} == True
J. Smith == J. Smith.
U.S. == U.S.
y = 2x + 3 == 2x+3
y = 2x+3 == y - 2x = 3
x^2 + y^2 = 1 == y^2 + x^2 = 1
7, 8, and 9 == 7,8,9
7 and 8 == 8 and 7
7 & 8 == 7, 8
\{x \mid x > 3\} == (3,\infty)
\{x : x > 3\} == x > 3
\{x \in \mathbb{R} \mid x \neq 3\} == x \neq 3
\mathbb{R} == (-\infty,\infty)
all real numbers == \mathbb{R}
-\frac{1}{2} == \frac{-1}{2}
-\frac12 == -0.5
1/2 mile == 0.5 miles
$1,234.50 == 1234.5
\$1{,}234 == 1234
50 cents == 50 cents
"""
APART = r"""
1 h 30 min == 1 h 15 min
1 h 30 min == 130
1 h 30 min == 90
2 h 5 min == 5 h 2 min
2h5m == 5h2m
1h30m == 30h1m
2 lb 3 oz == 3 lb 2 oz
2 m 3 cm == 3 m 2 cm
5'6" == 6'5"
5 ft 6 == 6 ft 5
$3 and 50 cents == $50 and 3 cents
3 dollars 50 cents == 50 dollars 3 cents
2 days 3 hours == 3 days 2 hours
3^\circ 20' == 20^\circ 3'
3:1 == 1:3
3:1 == 3
3:4 == 3:5
1:2:3 == 3:2:1
2 to 3 == 3 to 2
2 out of 3 == 3 out of 2
2 of 3 == 3 of 2
2 over 3 == 3 over 2
2 for 3 == 3 for 2
2-3 == 3-2
12 R 1 == 1 R 12
12 R 1 == 12
12 R 3 == 12 R 4
12 r 1 == 4 r 3
12 rem 1 == 4 rem 3
12 with remainder 1 == 12 with remainder 2
quotient 3 remainder 1 == quotient 1 remainder 3
quotient 3, remainder 1 == quotient 1, remainder 3
CO2 == C2O
CO == OC
NaCl == ClNa
H2O2 == H2O
H2SO4 == H4SO2
Fe2O3 == Fe3O2
CH4 == C4H
NO2 == NO3
C_2H_4 == C_4H_2
Fe^{2+} == Fe^{3+}
Na^+ == Na^-
O2 == 2O
2H2O == H2O
x_2 == 2x
x2 == x^2
x1 == x2
a1 == 1a
20% increase == 20%
20% more == 20% less
up 20% == down 20%
increase of 20% == decrease of 20%
increases by 5 == decreases by 5
5 more == 5 less
5 more than x == 5 less than x
twice == thrice
5 below zero == 5 above zero
+5 == -5
A and B == A and C
A, B == A
A, B, C == A, B
AB == A
A or B == A
A and B == A or B
both A and B == A
neither A nor B == A
not A == A
None of the above == All of the above
A: 5 == A: 7
A = 5, B = 6 == A = 6, B = 5
(A) 5 == (B) 5
A. Lincoln == A
A. Lincoln == A. Jackson
B. subtilis == B. cereus
B. subtilis == B
C. difficile == C
AB = 3, BC = 4 == 3, 4
PQ = 5, QR = 12 == PQ = 12, QR = 5
AB=3, BC=4, CA=5 == AB=5, BC=4, CA=3
m = 3, n = 4 == m = 4, n = 3
a_1 = 2, a_2 = 5 == a_1 = 5, a_2 = 2
\alpha = 30^\circ, \beta = 60^\circ == \alpha = 60^\circ, \beta = 30^\circ
r = 3, h = 4 == r = 4, h = 3
length = 3, width = 4 == length = 4, width = 3
length 3, width 4 == length 4, width 3
Length: 3, Width: 4 == Length: 4, Width: 3
Tom: 3, Ann: 4 == Tom: 4, Ann: 3
Tom 3, Ann 4 == Tom 4, Ann 3
3 apples and 4 pears == 4 apples and 3 pears
3 red, 4 blue == 4 red, 3 blue
3 boys and 4 girls == 4 boys and 3 girls
mean 3, median 4 == mean 4, median 3
max = 3, min = 1 == max = 1, min = 3
maximum 3 at x = 1 == maximum 1 at x = 3
x = 1 \quad y = 2 == x = 2 \quad y = 1
x=1,\ y=2 == x=2,\ y=1
x=1 y=2 == x=2 y=1
\sin x = 1 == \cos x = 1
\ne 3 == 3
\neq 3 == 4
\ge 3 == \le 3
\ge 3 == 3
> 3 == < 3
> 3 == >= 3
\approx 3 == 4
at least 3 == at most 3
more than 3 == less than 3
more than 3 == 3
at least 3 == 3
x > 3 == x < 3
x \ge 3 == x > 3
x < 3 or x > 5 == x < 3 and x > 5
x > 1 and x < 3 == x > 1 or x < 3
1 < x < 3 == 1 < y < 4
x \ne 3 == x = 3
x \ne 1, 2 == x = 1, 2
x \neq 0 == x \neq 1
?? = 3 == 4
\int f = 3 == 4
N(2) == 2N
f(2) == 2f
f(2) == f(3)
f(x) == g(x)
f(x) == f(y)
P(3) == 3P
I(0) == 0
I(0)e^{-t} == I(1)e^{-t}
T(n-1) == T(n+1)
a(b+c) == a(b-c)
\phi(12) == \phi(10)
\gcd(a,b) == \text{lcm}(a,b)
\gcd(4,6) == \text{lcm}(4,6)
\max(a,b) == \min(a,b)
\max(a,b) == a
\max(x, y, 3) == \max(x, y, 4)
\min(x, 3) == 3
\lfloor x \rfloor == \lceil x \rceil
\lfloor x \rfloor == x
\lfloor 2x \rfloor == 2\lfloor x \rfloor
\lceil x \rceil == \lfloor x \rfloor + 1
\lfloor -x \rfloor == -\lfloor x \rfloor
|x| == -|x|
|x-1| == |x+1|
|x-1| == x-1
|x|+|y| == |x+y|
\{1,2\} == \{1,3\}
\{1,2\} == \{1,2,3\}
\{(1,2)\} == \{(2,1)\}
\{(1,2),(3,4)\} == \{(1,4),(3,2)\}
\{\{1,2\},\{3\}\} == \{\{1\},\{2,3\}\}
\{1\},\{2\} == \{1,2\}
((1,2),3) == (1,(2,3))
(1,2),(3,4) == (1,3),(2,4)
(1,2,3) == (3,2,1)
(0,1) == [0,1]
(0,1] == [0,1)
[0,1] \cup [2,3] == [0,3]
(0,1) \cup (2,3) == (0,1) \cap (2,3)
(-\infty,3) == (-\infty,3]
(1,\infty) == (-\infty,1)
\pm 3 == 3
1 \pm 2 == 1 \pm 3
\pm 1 \pm 2 == \pm 3
5 \pm 0.1 == 5 \pm 0.2
a \pm b == a \mp c
\begin{pmatrix}1&2\\3&4\end{pmatrix} == \begin{pmatrix}1&3\\2&4\end{pmatrix}
\begin{pmatrix}1&2\end{pmatrix} == \begin{pmatrix}1\\2\end{pmatrix}
\begin{vmatrix}1&2\\3&4\end{vmatrix} == \begin{vmatrix}1&3\\3&4\end{vmatrix}
\int_0^1 x dx == \int_0^2 x dx
\int x dx == \int x^2 dx
\sum_{k=1}^n k == \sum_{k=1}^n k^2
\lim_{x\to 0} f == \lim_{x\to 1} f
\frac{dy}{dx} == \frac{dx}{dy}
101_2 == 101_3
101_2 == 101
101_2 == 5
1A_{16} == 1B_{16}
0xFF == 0xFE
0b101 == 0b110
12 base 5 == 12 base 6
July 4 == July 5
July 4, 1776 == July 4, 1777
July 4, 1776 == June 4, 1776
4 Jul 1776 == 1776 Jul 5
1/2/2020 == 2/1/2020
Monday == Tuesday
May 5 == May 6
3 PM == 3 AM
3:30 == 3:45
3:30 PM == 3:30 AM
12:30 == 30:12
10:15 a.m. == 10:15 p.m.
noon == midnight
12 AM == 12 PM
quarter past 3 == quarter to 3
1st == 2nd
third == fourth
3rd == 3/4
0.\overline{3} == 0.3
0.\overline{12} == 0.1\overline{2}
0.(12) == 0.1(2)
0.333... == 0.3
10⁻³ == 10³
10^{-3} == 10^3
x² == x³
x^{10} == x^10 0
5 million == 5 billion
5 thousand == 5
5 dozen == 5
5 hundred == 5
5k == 5
5K == 5M
3 halves == 3
3 thirds == 3
3 pairs == 3 dozen
2 squared == 2 cubed
north == south
left == right
n even == n odd
n is prime == n is composite
even == odd
positive == negative
5 BC == 5 AD
5 north == 5 east
5^\circ N == 5^\circ S
5 N == 5 S
N 5 E == N 5 W
30° north of east == 30° east of north
R^2 == r^2
\pi R^2 == \pi r^2
G == g
ab == AB
Smith == Smyth
J. Smith == K. Smith
no == yes
true == false
red == blue
to be == not to be
possible == impossible
converges == diverges
rational == irrational
dog bites man == man bites dog
John and Mary == Mary and Paul
"""


@pytest.mark.parametrize(("a", "b"), cases(TOGETHER))
def test_one_answer(a: str, b: str) -> None:
    assert equivalent(a, b)
    assert equivalent(b, a)


@pytest.mark.parametrize(("a", "b"), cases(APART))
def test_two_answers(a: str, b: str) -> None:
    assert not equivalent(a, b)
    assert not equivalent(b, a)
