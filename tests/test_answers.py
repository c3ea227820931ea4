"""What a user of answers relies on: which are the same, which are not, and that classes are classes."""

from __future__ import annotations

import itertools
import random
import re
import subprocess
import sys
import threading

import pytest

from ttscale.answers import answer_classes, equivalent, extract_answer, keys

# One class after another, "name: member ;; member ;; ..."; members are equivalent, no two classes meet.
TABLE = r"""
half: 0.5 ;; 1/2 ;; \frac{1}{2} ;; \frac12 ;; \dfrac 1 2 ;;
    .5 ;; ½ ;; 50/100 ;; $\tfrac{1}{2}$ ;; 2^{-1}
root: 2\sqrt{2} ;; \sqrt{8} ;; \sqrt8 ;; 2\sqrt2 ;; 2√2 ;; sqrt(8) ;; 8^{1/2} ;; \frac{4}{\sqrt{2}}
square: x^2+2x+1 ;; (x+1)^2 ;; (1+x)(x+1) ;; x(x+2)+1 ;; (x+1)**2 ;; \left(x+1\right)^{2} ;; x²+2x+1
point: (3,\frac{\pi}{2}) ;; (3,\pi/2) ;; \left( 3, \frac{\pi}{2} \right) ;; (3, pi/2) ;; (3;\,0.5\pi)
percent: 10\% ;; 10 ;; 10% ;; 10 percent ;; 10 \text{ percent} ;; $10 ;; \$10.00 ;; 10 dollars ;; 10.0
thousand: 1,000 ;; 1000 ;; $1,000.00 ;; 1{,}000 ;; 1,\!000 ;; 1 000 ;; 1\,000 ;; 10^3 ;; 1 \times 10^3 ;; 1e3
million: 11,111,111,100 ;; 11,\! 111,\! 111,\! 100 ;; 11111111100
units: 864 ;; 864 \mbox{ inches}^2 ;; 864 square inches ;; 864\text{ in}^2 ;; 864 cm^2 ;; 864^\circ ;; 864°
choice: (A) ;; A ;; a ;; \text{(A)} ;; A. ;; A) ;; \textbf{(A)}\ 12 ;; \mathrm{A} ;; (A) 12
name: Evelyn ;; \text{Evelyn} ;; evelyn ;; \textbf{Evelyn} ;; EVELYN ;; **Evelyn**
five: x = 5 ;; x = \boxed{5} ;; 5 ;; x=5 ;; \(x = 5\) ;;
    5 = x ;; 2x = 10 ;; \boxed{5} ;; 5. ;; \text{Area} = 5 ;; m+n=5 ;; AB = 5
mixed: 1\frac{4}{5} ;; \frac{9}{5} ;; 1.8 ;; 1 4/5 ;; 9/5 ;; 1\frac45 ;; \frac{18}{10}
interval: (3,4] ;; 3 < x <= 4 ;; \left( 3 , 4 \right] ;; 3 < x \le 4 ;; 4 \geq x > 3 ;; x \in (3,4]
ray: (5,\infty) ;; x>5 ;; 5<x ;; x \in (5, \infty) ;; 2x - 1 > 9 ;; -x < -5 ;; (5,∞) ;; (5, infinity)
union: (-\infty,2)\cup(3,\infty) ;; (3,\infty) \cup (-\infty,2) ;; x<2 \text{ or } x>3 ;; x > 3 or x < 2
set: \{1,2\} ;; {2, 1} ;; 1,2 ;; 2, 1 ;; 1 and 2 ;; 1 \text{ or } 2 ;; x=1, x=2 ;; x = 1 or x = 2 ;; \{1,2,1\}
sign: 1 \pm \sqrt{19} ;; 1-\sqrt{19}, 1+\sqrt{19} ;; \{1+\sqrt{19},1-\sqrt{19}\} ;; x = 1 \mp \sqrt{19}
symbolic: -a < x < a ;; (-a, a) ;; a > t > -a
list: [7] ;; (7) ;; 7 ;; {7}
pair: (1,2) ;; \left(1,2\right) ;; (x,y) = (1,2) ;; x=1, y=2 ;; y = 2, x = 1 ;; \langle 1, 2 \rangle ;; 0+1<x<2
matrix: \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} ;; \begin{bmatrix}1&2\\3&4\end{bmatrix} ;;
    \left(\begin{array}{cc}1&2\\3&\frac{8}{2}\end{array}\right) ;; [[1,2],[3,4]]
column: \begin{pmatrix}1\\2\end{pmatrix} ;; \begin{bmatrix} 1 \\ \frac{4}{2} \end{bmatrix} ;;
    \begin{pmatrix} 1 \\[2pt] 2 \end{pmatrix}
line: y = 2x + 3 ;; 2x+3 ;; 2x - y + 3 = 0 ;; y - 3 = 2x ;; y=2\left(x+\frac{3}{2}\right) ;; f(x) = 2x+3
plane: 5x - 7y + 11z + 4 = 0 ;; 10x-14y+22z=-8 ;; 7y = 5x + 11z + 4
circle: x^2+y^2=4 ;; 2x^2 + 2y^2 - 8 = 0 ;; 4 = x^2 + y^2
numeral: 52_8 ;; 52_{8} ;; 52_{\text{eight}} ;; 52 (base 8) ;; 052_8
complex: 6-5i ;; -5i+6 ;; 6 - 5\mathrm{i} ;; \frac{12-10i}{2}
third: \frac13 ;; 0.\overline{3} ;; 0.\bar{3} ;; 1/3
pi: \pi ;; π ;; pi ;; 2\arcsin 1 ;; 180\pi/180
trig: \cot x ;; \frac{\cos x}{\sin x} ;; \frac{1}{\tan x}
nothing: \emptyset ;; \varnothing ;; ∅ ;; \{\}
reals: \mathbb{R} ;; (-\infty,\infty) ;; ℝ
words: no solution ;; No solution. ;; \text{no  solution}
phrase: the ellipse ;; ellipse ;; \text{Ellipse}
date: \text{June 20} ;; june 20
sum: 55 ;; \frac{10 \cdot 11}{2} ;; \binom{11}{2}
infinity: \infty ;; +∞ ;; infinity
degrees: \cos 36^\circ ;; \cos \frac{\pi}{5} ;; \sin 54° ;; \frac{1+\sqrt5}{4}
time: 3 \text{ hours } 20 \text{ minutes} ;; 3 hours 20 minutes
remark: 18 (dollars) ;; 18 ;; *18* ;; 18 eggs (in total)
log: \ln 8 ;; 3\ln 2 ;; \log_e 8 ;; \ln{8}
"""
CLASSES = {
    name: [member.strip() for member in members.split(";;")]
    for name, members in re.findall(r"^(\w+): ((?:.*\n)(?:    .*\n)*)", TABLE, re.MULTILINE)
}


@pytest.mark.parametrize("name", CLASSES)
def test_every_two_ways_to_write_an_answer_are_equivalent(name: str) -> None:
    members = CLASSES[name]
    assert answer_classes(members) == [0] * len(members)
    assert all(equivalent(a, b) and equivalent(b, a) for a, b in itertools.product(members, members))


def test_different_answers_are_in_different_classes() -> None:
    members = [(name, member) for name in CLASSES for member in CLASSES[name]]
    classes = answer_classes([member for _, member in members])
    assert len(set(classes)) == len(CLASSES)
    assert len({(name, number) for (name, _), number in zip(members, classes, strict=True)}) == len(CLASSES)


DIFFERENT = [
    (r"10\%", "0.1"),  # a percent sign is a unit: docs/answers.md
    ("1/3", "0.3333"),  # decimals are exact
    (r"\pi", "3.14"),
    (".0000672", ".0000674"),  # equal to math-verify, which rounds to 6 places
    ("0.0000001", "0.0000002"),
    ("R^2", "r^2"),  # equal to math-verify, which ignores case
    (r"\pi R^2 - \pi r^2", "0"),
    ("52_8", "52"),  # equal to math-verify, which ignores the base
    ("52_8", "42"),
    ("52_8", "52_9"),
    ("(1,2)", "(2,1)"),
    ("(1,2)", "1,2"),
    ("[1,2]", "(1,2)"),
    ("(1,2]", "[1,2)"),
    ("(100,200)", "100200"),
    ("100, 200", "100200"),
    ("x", "|x|"),
    (r"\sqrt{x^2}", "x"),
    ("|w|", "w"),
    ("|xy|", "xy"),
    ("|ab|", "ab"),
    ("|x||z|", "xz"),
    ("10 a.m.", "10 p.m."),
    ("x+y=5", "x+2y=5"),
    ("x+y=5", "5"),
    ("x<2", r"x \le 2"),
    ("x<2", "x>2"),
    ("x > 0 and y > 0", "x > 0"),
    ("2^{100}", "2^{100}+1"),
    ("9^{9^{9^9}}", "9^{9^{9^8}}"),
    ("5 million", "5"),
    (r"\infty", r"-\infty"),
    ("x=1,y=2", "x=2,y=1"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", "(1,2)"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1&2\end{pmatrix}"),
    ("1,2", "1,2,3"),
    ("2:3", "2/3"),
    ("2k", "2n"),
    ("5!", "5"),
    ("no", "on"),
    ("yes", "no"),
    ("x^2 = 4", "4"),
    ("|x-4| - 10 = 2", "-8"),  # two solutions
    ("s^2 - 2 = s", "s^2 - 2"),
    (r"\log(kx) = 2\log(x+2)", r"2\log(x+2)"),
    (r"(a+b)^2 \ge 4ab", r"(a-b)^2 \ge ab"),
    (r"\sqrt{45} \ge 4", r"\sqrt{46} \ge 4"),
]


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_answers_that_only_look_alike_differ(a: str, b: str) -> None:
    assert not equivalent(a, b)
    assert not equivalent(b, a)


def test_classes_are_numbered_in_order_of_appearance() -> None:
    assert answer_classes(["1/2", "3", None, "0.5", "x", "3.0", ""]) == [0, 1, None, 0, 2, 1, None]
    assert answer_classes([]) == []


def test_classes_do_not_depend_on_order() -> None:
    answers = [member for members in CLASSES.values() for member in members]
    expected = dict(zip(answers, answer_classes(answers), strict=True))
    for seed in range(5):
        shuffled = random.Random(seed).sample(answers, len(answers))
        found = answer_classes(shuffled)
        pairs = {(expected[a], c) for a, c in zip(shuffled, found, strict=True)}
        assert len(pairs) == len(CLASSES)


def test_each_distinct_answer_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 answers of which 40 are distinct: 40 keys, the rest look-ups."""
    read: list[str] = []
    monkeypatch.setattr("ttscale.answers.keys.key_of", lambda answer: read.append(answer) or ("text", answer))
    keys._remembered.cache_clear()
    try:
        answers = [rf"\sqrt{{{n % 40}}}" for n in range(10_000)]
        assert answer_classes(answers) == [n % 40 for n in range(10_000)]
        assert len(read) == 40
    finally:
        keys._remembered.cache_clear()


def test_results_do_not_depend_on_the_process() -> None:
    """Another hash seed, same classes (points are drawn from a hash of the names, not from ``hash``)."""
    code = f"import ttscale.answers as a; print(hash('x'), a.answer_classes({CLASSES['square'] + CLASSES['trig']!r}))"
    outputs = [
        subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split(" ", 1)
        for seed in ("1", "2")
    ]
    assert outputs[0][0] != outputs[1][0]
    assert outputs[0][1] == outputs[1][1] == f"{[0] * 7 + [1] * 3}\n"


# Weaknesses of other libraries (see docs/answers.md), each with a test named after it.


def test_string_votes_split_equal_answers() -> None:
    """openr, compute-optimal-tts: vote keys are raw strings, so 1/2 and 0.5 split the vote."""
    assert answer_classes(["1/2", "2", "0.5"]) == [0, 1, 0]


def test_no_canonical_form_for_expanded_percent_and_nested_fractions() -> None:
    """search-and-learn: three pairs that its canonical form does not group."""
    assert equivalent("x^2+2x+1", "(x+1)^2")
    assert equivalent(r"10\%", "10")
    assert equivalent(r"(3,\frac{\pi}{2})", r"(3,\pi/2)")


def test_empty_answers_form_no_group() -> None:
    """search-and-learn: candidates without an answer vote together and can win."""
    assert answer_classes(["", None, "  ", "7"]) == [None, None, None, 0]
    assert not equivalent("", "")
    assert not equivalent(None, None)


def test_works_off_the_main_thread() -> None:
    """search-and-learn, math-verify: timeouts by SIGALRM raise in any other thread."""
    found: list[object] = []

    def work() -> None:
        found.append(answer_classes([r"\sqrt{8}", r"2\sqrt2", "1/2", "0.5", r"\boxed"]))
        found.append(extract_answer("so \\boxed{7}"))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [[0, 0, 1, 1, 2], "7"]


def test_no_thread_and_no_algebra_library() -> None:
    """search-and-learn: a Manager() process starts at import; sympy alone takes half a second."""
    code = (
        "import sys, threading; import ttscale.answers as a; "
        "a.answer_classes(['1/2', '0.5', 'x=5', '(1,2)', 'Evelyn', '10%']); a.extract_answer('Answer: 5'); "
        "heavy = {'sympy', 'math_verify', 'latex2sympy2_extended', 'mpmath', 'torch', 'transformers'}; "
        "print(heavy & set(sys.modules), threading.active_count())"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "set() 1\n"


def test_similar_texts_are_not_the_same_answer() -> None:
    """optillm: whole responses that difflib finds 80% alike are one vote."""
    a = "We add the two numbers and then multiply by three, so after simplification the result follows. Answer: 17"
    b = "We add the two numbers and then multiply by three, so after simplification the result follows. Answer: 71"
    assert not equivalent(extract_answer(a), extract_answer(b))
    assert equivalent(extract_answer(a), extract_answer("17 it is: \\boxed{17}"))
