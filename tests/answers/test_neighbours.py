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
5 feet 6 inches == 5 ft. 6 in.
2 hours and 15 minutes == 2 h 15 m
1 hour, 30 minutes == 1 h 30 min
3 lbs 2 oz == 3 pounds 2 ounces
5' 6" == 5 ft 6 in
12 R 3 == 12 R3
12 \text{ R } 3 == 12 R 3
12 \text{ remainder } 3 == 12 R 3
20\% \text{ decrease} == 20% decrease
a 20% increase == 20% increase
\text{(A), (C)} == A, C
\text{A, C} == A and C
\text{A}, \text{C} == A, C
A and B and C == A, B, C
x = 2 \text{ and } y = 3 == x = 2, y = 3
(x, y) = (2, 3) == x=2, y=3
x=2; y=3 == y=3; x=2
\text{AB} = 3, \text{BC} = 4 == AB=3, BC=4
\sin A = \frac35, \cos A = \frac45 == \cos A = 0.8, \sin A = 0.6
x \neq 2 == x \ne 2
\neq 2 == \ne 2
\gcd(a, b) == \gcd(b, a)
\max(a, b) == \max(b, a)
\lfloor \pi \rfloor == 3
\lceil \sqrt{2} \rceil == 2
|{-5}| == 5
\left|x\right| == |x|
\{2, 1\} == \{1, 2\}
\{ x : x > 2 \} == (2, \infty)
x > 2 == 2 < x
2 < x < 5 == x > 2 \text{ and } x < 5
[2,5] == 2 \le x \le 5
(-\infty, 2] == x \le 2
x \in [2, 5] == [2,5]
x \in \{1, 2\} == 1, 2
3 \pm \sqrt{5} == \{3+\sqrt5, 3-\sqrt5\}
x = 3 \pm \sqrt{5} == 3 \pm \sqrt 5
\begin{bmatrix}1\\2\end{bmatrix} == \left[\begin{array}{c}1\\2\end{array}\right]
\left(\begin{array}{cc}1&2\\3&4\end{array}\right) == \begin{pmatrix}1&2\\3&4\end{pmatrix}
\int_0^1 x\,dx == \int_0^1 x dx
\int_{0}^{1} x dx == \int_0^1 x dx
\sum_{i=1}^{n} i^2 == \sum_{k=1}^n k^2
1010_2 == 1010_{\text{two}}
1010_{2} == (1010)_2
3/4/2020 == 3/4/2020
March 4, 2020 == 4 March 2020
March 4th, 2020 == 2020-03-04
5:30 p.m. == 5:30 PM
17:30 == 5:30 PM
22nd == 22
\frac{1}{3} == 0.\overline{3}
0.\overline{09} == 1/11
0.(142857) == 1/7
x^{2} == x²
10^{-2} == 0.01
2^{10} == 1024
6.02 \times 10^{23} == 6.02e23
6.02 × 10^23 == 6.02 \times 10^{23}
100\,000 == 100000
100 000 == 100,000
\text{yes} == Yes
Yes. == yes
\text{no solution} == no solution
\varnothing == \emptyset
\infty == \infty
+\infty == \infty
-3 == −3
\frac{-3}{4} == -\frac{3}{4}
\tfrac{1}{2} == 0.5
\sqrt[4]{16} == 2
\sqrt{12} == 2\sqrt{3}
\log_{10} 100 == 2
\ln e == 1
\sin 30^\circ == 0.5
\tan 45° == 1
e^{i\pi} == -1
\frac{\sqrt{2}}{2} == \frac{1}{\sqrt{2}}
2\cdot 3 == 6
5! == 120
\binom52 == 10
C(5,2) == C(5, 2)
y=mx+b == mx+b
x^2+y^2=4 == x^2 + y^2 - 4 = 0
2x+3y=6 == 4x+6y=12
3.0 == 3
007 == 7
.5 == 0.5
1,234,567 == 1234567
\$5.00 == 5
€5 == 5
5 € == 5
25 percent == 25\%
45 degrees == 45^\circ
12 cm == 12
12\text{ cm}^3 == 12
12 cubic cm == 12
60 miles per hour == 60 mph
3 \text{ hours} == 3
\frac{1}{2} \text{ m} == 1/2
2\pi \text{ m} == 2\pi
3x \text{ inches} == 3x
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
1 h 30 min == 1 h 3 min
2 h 15 m == 15 h 2 m
5' 6" == 6' 5"
1:30 == 30:1
3 cm 4 mm == 4 cm 3 mm
2 kg 500 g == 500 kg 2 g
3 gal 2 qt == 2 gal 3 qt
1 week 2 days == 2 weeks 1 day
12 R 3 == 3 R 12
R 3 == 3
12 remainder 3 == 12
7 r 2 == 2 r 7
3 out of 4 == 4 out of 3
1 in 6 == 6 in 1
1 in 6 == 1 in 5
2 parts to 3 parts == 3 parts to 2 parts
2x to 3y == 3y to 2x
a to b == b to a
a : b == b : a
a per b == b per a
x by y == y by x
K2O == KO2
N2O == NO2
C3H8 == C8H3
Al_2O_3 == Al_3O_2
CaCO_3 == CaCO_2
CH_3OH == CH_3HO
C_2H_5OH == C_2H_6O
NaCl == NaF
SO_4^{2-} == SO_3^{2-}
2H_2O == H_2O
Ca^{2+} == Ca^+
20% increase == 20% decrease
20% off == 20% more
increase by 20% == decrease by 20%
increased == decreased
doubles == halves
5% loss == 5% profit
gain of $5 == loss of $5
loss of 5 == 5
A, C == A, D
A and C == B and C
A,B,C == A,B
(A) and (B) == (A)
A or C == A, C
A: 1, B: 2 == A: 2, B: 1
A-1, B-2 == A-2, B-1
A1, B2 == A2, B1
A→1, B→2 == A→2, B→1
1-A, 2-B == 1-B, 2-A
x = 2, y = 3 == x = 3, y = 2
(x,y) = (2,3) == (x,y)=(3,2)
a = 2, b = 3, c = 4 == a = 2, b = 4, c = 3
AB = 5, CD = 6 == AB = 5, EF = 6
\sin A = 3/5, \cos A = 4/5 == \sin B = 3/5, \cos B = 4/5
\angle A = 30, \angle B = 60 == \angle A = 60, \angle B = 30
P(A) = 0.2, P(B) = 0.3 == P(A) = 0.3, P(B) = 0.2
f(1) = 2, f(2) = 1 == f(1) = 1, f(2) = 2
mean = 5, median = 6 == mean = 6, median = 5
\mu = 5, \sigma = 2 == \mu = 2, \sigma = 5
\neq 0 == 0
\ne 1 == \ne 2
\leq 5 == \geq 5
\leq 5 == < 5
\ge 0 == > 0
=5 == <5
x = 5 == x < 5
x \leq 5 == x < 5
x > 0 and x < 1 == x > 1
x < 0 or x > 1 == 0 < x < 1
x<1, x>2 == x>1, x<2
x \ne 1 and x \ne 2 == x \ne 1
f(3) == 3f
f(3) == f(4)
f(2x) == 2f(x)
f(x+1) == f(x)+1
g(2) == h(2)
A(2) == 2A
P(X=2) == P(X=3)
I(0) == I(1)
v(0) == 0
I_0 e^{-t} == I_1 e^{-t}
\gcd(a,b) == \gcd(a,b,c)
\gcd(m,n) == m
\text{lcm}(a,b) == ab
\max(x,0) == x
\min(x,0) == 0
\max(a,b)+\min(a,b) == a
\lfloor x \rfloor == \lfloor y \rfloor
\lfloor \frac{n}{2} \rfloor == \frac{n}{2}
\lfloor \frac{n}{2} \rfloor == \lceil \frac{n}{2} \rceil
\lfloor \frac{n+1}{2} \rfloor == \lfloor \frac{n}{2} \rfloor
\lfloor 10x \rfloor == \lfloor 11x \rfloor
|x - 5| == |x - 6|
|x - 100| == 100 - x
|x|^3 == x^3
\sqrt{(x+3)^2} == x+3
\sqrt{x^2+1} == x+1
\text{sgn}(x) == x
\{1,2,3\} == (1,2,3)
\{1,2\} == [1,2]
\{1,2\} == \{-1,2\}
\{a,b\} == \{a,c\}
\{\} == \{0\}
\{\emptyset\} == \emptyset
\{1,\{2\}\} == \{1,2\}
\{\{1\}\} == \{1\}
((1,2),(3,4)) == ((1,3),(2,4))
(1,(2,3)) == (1,2,3)
[1,2),(3,4] == [1,2],(3,4)
(1,2] == [1,2)
(1,3) \cup (3,5) == (1,5)
[0,1]\cup[2,3] == [0,1]\cup[2,4]
(-\infty,0) == (0,\infty)
(-\infty,\infty) == [0,\infty)
\pm 2 == 2
\pm 2 == -2
\pm \sqrt{3} == \sqrt{3}
1 \pm \sqrt{2} == 1 + \sqrt{2}
\pm i == i
3 \pm 2 == 2 \pm 3
\begin{pmatrix}1&0\\0&1\end{pmatrix} == \begin{pmatrix}0&1\\1&0\end{pmatrix}
\begin{pmatrix}1\\2\\3\end{pmatrix} == \begin{pmatrix}3\\2\\1\end{pmatrix}
\int_0^1 x^2 dx == \int_0^1 x^3 dx
\int_0^1 f(x) dx == \int_1^0 f(x) dx
\int x dy == \int y dx
\sum_{k=1}^n k == \sum_{k=2}^n k
\sum_{k=1}^n k x^k == \sum_{k=1}^n x^k
\prod_{k=1}^n k == \sum_{k=1}^n k
\lim_{x\to0} f(x) == \lim_{x\to\infty} f(x)
1010_2 == 1010_3
1010_2 == 1010
A1_{16} == 1A_{16}
AB_{16} == BA_{16}
ABC_{16} == BAC_{16}
12_5 == 21_5
March 4 == April 4
March 4 == March 14
4 March == 4 May
2020 == 2021
1776-07-04 == 1776-04-07
3/4/2020 == 4/3/2020
5:30 AM == 5:30 PM
5:30 PM == 5:03 PM
5:30 == 5.30
Monday, March 4 == Tuesday, March 5
2nd == 3rd
second == third
fourth == 4/5
0.\overline{3} == 0.\overline{33}4
0.1\overline{6} == 0.\overline{16}
0.\overline{9} == 0.9
10^{-3} == 10^{-2}
10³ == 10²
2^{3} == 3^{2}
x_1 == x_2
x_1 == x^1 + 1
x_{12} == x_{21}
a_n == a_m
a_{n+1} == a_n
5 thousand == 5 million
2.5 billion == 2.5 million
5k == 5m
5 dozen == 5 score
half == double
one half == one third
two thirds == three halves
ten == tenth
New York == York
Paris == London
J. Smith == J. Jones
A. Smith == B. Smith
D. Trump == D
C. elegans == C
B. F. Skinner == B
E. coli == E. faecalis
Dr. No == No
U.S. == U.K.
even == not even
is prime == is not prime
always == never
sometimes == always
both == neither
I and II == I and III
I, II == II, III
I only == II only
II == III
I == II
IV == VI
only I == only II
3 red 4 blue == 4 red 3 blue
3 apples, 4 pears == 4 apples, 3 pears
1/2 cup == 2 cups
2:00 == 2
5°C == -5°C
5 m/s north == 5 m/s south
5 left == 5 right
point A == point B
A to B == B to A
AB || CD == AB ⊥ CD
p implies q == q implies p
p \to q == q \to p
p \land q == p \lor q
\neg p == p
A \cap B == A \cup B
A \subset B == B \subset A
A \setminus B == B \setminus A
A^c == A
\forall x == \exists x
\vec{a} == \vec{b}
\hat{i} == \hat{j}
2\hat{i}+3\hat{j} == 3\hat{i}+2\hat{j}
\langle 1,2 \rangle == \langle 2,1 \rangle
\overline{AB} == \overline{CD}
\triangle ABC == \triangle ABD
z = 1+i == z = 1-i
\bar{z} == z
f' == f
f'(x) == f(x)
f^{-1}(x) == f(x)
\frac{dy}{dx} = 2x == \frac{dy}{dx} = 3x
y' = y == y' = 2y
n! == n
(n+1)! == n!+1
n!! == n!
x \equiv 1 \pmod 2 == x \equiv 1 \pmod 3
x \equiv 1 \pmod 2 == x \equiv 0 \pmod 2
1 \pmod 2 == 1
n = 2k == n = 2k+1
2k, k \in \mathbb{Z} == 3k, k \in \mathbb{Z}
x = n\pi == x = 2n\pi
\frac{\pi}{4} + n\pi == \frac{\pi}{4} + 2n\pi
\mathbb{R} == \mathbb{Q}
\mathbb{R} \setminus \{0\} == \mathbb{R} \setminus \{1\}
x \in \mathbb{R}, x \ne 0 == x \in \mathbb{R}, x \ne 1
all real numbers except 0 == all real numbers except 1
\text{A}, \text{C} == A
\text{A} \text{C} == A
\{\{1,2\}\} == \{1,2\}
0xFF == 0
3, \text{m} == 3
"""


@pytest.mark.parametrize(("a", "b"), cases(TOGETHER))
def test_one_answer(a: str, b: str) -> None:
    assert equivalent(a, b)
    assert equivalent(b, a)


@pytest.mark.parametrize(("a", "b"), cases(APART))
def test_two_answers(a: str, b: str) -> None:
    assert not equivalent(a, b)
    assert not equivalent(b, a)
