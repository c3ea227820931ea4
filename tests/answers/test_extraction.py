"""Where the final answer stands: every marker, their precedence, and texts that state none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscale.answers import extract_answer, extraction, thoughts
from ttscale.answers.extraction import MAX_TEXT, extract_words
from ttscale.answers.thoughts import spoken_spans
from ttscale.answers.wrappers import MAX_ANSWER

BOXED = [
    (r"so $\boxed{42}$.", "42"),
    (r"\boxed{1} and then \boxed{2}", "2"),  # the last one
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),  # balanced braces
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),  # escaped braces are not grouping
    (r"\boxed{\text{Evelyn}}", "Evelyn"),
    (r"\boxed{\text{5 cm}^2}", r"\text{5 cm}^2"),
    (r"\fbox{7}", "7"),
    (r"\boxed {8}", "8"),
    ("\\boxed\n{8}", "8"),
    (r"$\boxed 9$", "9"),
    (r"$\boxed9$", "9"),
    (r"\\boxed{5}", "5"),  # a backslash too many, as in JSON
    (r"a \\ \boxed{5}", "5"),
    (r"\boxed{\boxed{5}}", "5"),
    (r"\boxed{x = \fbox{3}}", r"x = \fbox{3}"),  # of nested boxes the outermost
    (r"\boxed{3} or \boxed{}", "3"),  # an empty box states nothing
    (r"\boxed{3} or \boxed{ \; }", "3"),
    (r"\boxed{3} or \boxed{\frac{4}{5}", "3"),  # nor does one that never closes
    (r"} } \boxed{6} {", "6"),
    (r"\boxed{$11$.}", "11"),
    (r"\boxed{5!}", "5!"),
    (r"\boxed{\begin{pmatrix} 1 \\ 2 \end{pmatrix}}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
]
MARKED = [
    ("Answer: 5", "5"),
    ("work\nAnswer: 5\n", "5"),
    ("answer:5", "5"),
    ("ANSWER: B", "B"),
    ("Answer: 5\nAnswer: 6", "6"),
    ("**Answer:** 5", "5"),
    ("**Answer**: **5**", "5"),
    ("Final Answer: 3.14", "3.14"),
    ("### Final Answer\n\n42", "42"),
    ("**Final Answer**\n\n$$\n42\n$$", "42"),
    ("Answer:\n\n  7 apples\nmore", "7 apples"),
    ("Answer (in cm): 12", "12"),
    ("Answer: $x = 5$ cm, as shown", "$x = 5$".strip("$")),
    (r"Answer: \(\frac12\).", r"\frac12"),
    ("Answer: 1,234.5", "1,234.5"),
    ("Answer: $18.50", "$18.50"),
    ("Final Answer: The final answer is $\\frac{1}{2}$. I hope it is correct.", r"\frac{1}{2}"),
    ("Answer: the answer is (C).", "(C)"),
    ("<answer> 12 </answer>", "12"),
    ("<answer>1</answer> no, <answer>2</answer>", "2"),
    ("steps\n#### 72", "72"),
    ("#### 72\n", "72"),
    ("#### $1,080", "$1,080"),
    ("#### -3\nthat is all", "-3"),
    ("#### Step 3: add\nsum is 5\n#### 8", "8"),
    ("steps\nA: 26", "26"),
    ("Q: 2+2?\nA: 4\nQ: 3+3?\nA: 6", "6"),
    ("Answer: 5<|im_end|>", "5"),
    ("**Answer: 5**", "5"),
    ("*Answer: 5.*", "5"),
    ("__Final Answer: x^2__", "x^2"),
    ("Answer: 5 </s>\n", "5"),
    ("答案\nAnswer：5", "5"),
]
SENTENCES = [
    ("The answer is 5.", "5"),
    ("So the final answer is: $\\frac12$.", r"\frac12"),
    ("Therefore, the answer is **18 dollars**.", "18 dollars"),
    ("the answer to the question is 3.5, because", "3.5"),
    ("The answer is 19; For the last feeding she needs more.", "19"),
    ("The answer is 19; this is because she ate 3.", "19"),
    ("The answer is 8 (since 4 + 4 = 8).", "8"),
    ("The answer is 12 - this follows from the sum.", "12"),
    ("Answer: B; melted ice", "B"),
    ("Answer: 3; 4", "3; 4"),
    ("Answer: 3; infinity", "3; infinity"),
    ("Answer: 5 - pi", "5 - pi"),
    ("Answer: 5 - sin x", "5 - sin x"),
    ("Answer: x = 2; y = 3", "x = 2; y = 3"),
    ("The answer is $x = 2$ and $x = 3$.", "$x = 2$ and $x = 3$"),
    ("The answer is \\(7\\), since it is prime.", "7"),
    ("The answer is therefore equal to 12!", "12"),
    ("The answer is 5! + 3.", "5! + 3"),
    ("The correct option is (B).", "(B)"),
    ("The answer is option C.", "C"),
    ("The answer is Evelyn.", "Evelyn"),
    ("The answer is yes", "yes"),
    ("The answer is $18 per day.", "$18 per day"),
    ("The answer is 40%.", "40%"),
    ("The answer is $40$%.", "$40$%"),
    ("The answer is:\n\n$$x^2$$", "x^2"),
    ("The answer is 5. No wait, the answer is 6. Done", "6"),
    ("The answer is 6, not 5. The answer is not 5.", "6"),
    ("The final result is 11", "11"),
    ("**The answer is 5**", "5"),
    ("The answers are 2 and 3.", "2 and 3"),
    ("The solution is $x = 4$.", "x = 4"),
    ("The solutions are x = 1 and x = 2.", "x = 1 and x = 2"),
]
THINKING = [
    (r"<think>\boxed{3}</think> so \boxed{4}", "4"),
    (r"<think>\boxed{3}</think> so nothing", None),
    (r"<think>\boxed{3}", None),  # never closed: an answer inside does not count
    (r"\boxed{3} <think> or \boxed{4}?", "3"),
    (r"<think>a</think> \boxed{1} <think>\boxed{2}</think>", "1"),
    (r"we guess \boxed{3} </think> Answer: 7", "7"),  # the prompt opened the block
    (r"we guess \boxed{3} </think> hm", None),
    (r"<think>write <think> here: \boxed{1}</think>\boxed{2}", "2"),
    ("<thinking>Answer: 1</thinking>\nAnswer: 2", "2"),
    ("<reasoning>Answer: 1</reasoning>Answer: 2", "2"),
    ("[THINK]Answer: 1[/THINK]Answer: 2", "2"),
    ("<THINK>Answer: 1</THINK>Answer: 2", "2"),
    ("I think <that> is fine. Answer: 3", "3"),
]
PRECEDENCE = [
    (r"\boxed{1} Answer: 2", "2"),  # what is said last
    (r"\boxed{1} Answer: we add them as before", "1"),  # a box gives way to what can be an answer
    ("Answer: 2\n\\boxed{1}", "1"),
    ("The answer is 3.\nAnswer: 2", "2"),
    ("Answer: 2\nThe answer is 3.", "3"),
    ("#### 5\nAnswer: 6", "6"),  # among marks the last
    ("Answer: 6\n#### 5", "5"),
    ("\\boxed{}\nAnswer: 6", "6"),  # what is empty is not there
    ("\\boxed{1\nAnswer: 6", "6"),
    ("Answer:\n", None),
]
NONE = [
    "",
    "   \n",
    "We add 3 and 4 to get 7.",
    "I do not know.",
    "answer",
    "Answer:",
    r"\boxed{}",
    r"\boxed{ . }",
    r"\boxed",
    r"\boxed{1",
    "####",
    "#### Step 4: now add\n7",
    "A: apples\nB: pears",
    "A plan: 7",
    "The answer is not 5.",
    "The solution is as follows.",
    "A solution is to add them. The solution is a line.",
    "The answer is the same as before.",
    "The answer is correct.",
    "The answer is that we would have to know a good deal more about it",
    r"\boxed{" + "1" * (MAX_ANSWER + 1) + "}",  # no answer is this long
    "Answer: " + "1" * (MAX_ANSWER + 1),
]


@pytest.mark.parametrize(("text", "answer"), BOXED + MARKED + SENTENCES + THINKING + PRECEDENCE)
def test_finds_the_answer(text: str, answer: str | None) -> None:
    assert extract_answer(text) == answer


@pytest.mark.parametrize("text", NONE)
def test_no_answer_is_none(text: str) -> None:
    assert extract_answer(text) is None


def test_a_long_text_is_read_from_its_end() -> None:
    assert extract_answer("x" * (3 * MAX_TEXT) + r" \boxed{5}") == "5"
    assert extract_answer(r"\boxed{5} " + "x" * (3 * MAX_TEXT)) is None
    assert extract_answer("<think>" + "x" * (3 * MAX_TEXT) + r" \boxed{5}") is None


@given(st.recursive(st.text("ab 1=+", max_size=5), lambda inner: st.lists(inner, max_size=3).map("{%s}".__mod__)))
def test_what_is_boxed_is_found_whatever_its_braces(content: str) -> None:
    content = str(content)
    expected = extract_answer(rf"\boxed{{{content}}}")
    assert extract_answer(rf"first \boxed{{0}}, then {{ }} $\boxed{{{content}}}$ {{{{ .") == (expected or "0")


@given(st.text())
def test_an_answer_is_never_empty_and_stands_in_the_text(text: str) -> None:
    answer = extract_answer(text)
    assert answer is None or (answer and answer == answer.strip() and answer in text)


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="<[◁"), max_size=30))
def test_thoughts_change_nothing(thought: str) -> None:
    assert extract_answer(f"<think>{thought}</think>Answer: 7") == "7"
    assert extract_answer(f"{thought}</think>Answer: 7") == "7"
    assert extract_answer(f"<think>{thought} \\boxed{{1}}") is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: St. Louis", "St. Louis"), ("Answer: Mr. Smith", "Mr. Smith"), ("Answer: Dr. Jones.", "Dr. Jones"),
        ("Answer: J. K. Rowling", "J. K. Rowling"), ("Answer: U.S. Steel", "U.S. Steel"), ("Answer: No. 7", "No. 7"),
        ("The answer is B. Because x", "B"), ("The answer is No. We saw it", "No"), ("The answer is 5. So", "5"),
    ],
)  # fmt: skip
def test_an_abbreviation_ends_no_sentence(text, answer):
    assert extract_answer(text) == answer


PIECES = [text for text, _ in BOXED + MARKED + SENTENCES + THINKING + PRECEDENCE] + [
    *(
        "It is not B.",
        "I pick B.",
        "So, C is right.",
        "The best option is (D)",
        "La réponse est 4",
        "Die Antwort lautet 5",
    ),
    *("答案是7", "final value is 8", "A: 9", "#### 10", "Résultat : 11", "İstanbul İ", "First we add. ", "\n", " "),
    *("Solucion: 16", "SOLUTİON: 17", "The anſwer is 18.", "<THİNK>19</THİNK>"),
    *("\nAnswer: -5", "\nThe final answer is: 1,250.", "\n####7.5", "\nanswer is 3", '{"answer": "', r"\boxed{4}$."),
    *("<think>12</think>", "[THINK]13", "<|channel>thought 14<channel|>", "◁think▷15◁/think▷", "<", "["),
]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join))
def test_where_the_search_begins_and_ends_changes_no_answer(text: str) -> None:
    """Stems and a plain end are looked for first, since that is quick; here all patterns search the whole text, too."""
    found = extract_answer(text), extract_words(text), spoken_spans(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extraction, "_start", lambda small, stems: 0)
        patch.setattr(extraction, "_PLAIN", re.compile("(?!)"))
        patch.setattr(extraction, "_MAY_STATE", re.compile(""))
        patch.setattr(thoughts, "_STEMS", ("",))
        patch.setattr(thoughts, "_OPENINGS", ("",))
        assert (extract_answer(text), extract_words(text), spoken_spans(text)) == found
