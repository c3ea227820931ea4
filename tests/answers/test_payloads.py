"""What stands behind a marker: reasoning before the answer, lists, fences and quotes below it, options beside it."""

from __future__ import annotations

import pytest

from ttscale.answers import equal, extract

REASONED = [
    ("Answer: Janet's ducks lay 16 eggs per day. She eats 3. 16-3 = 13 eggs. So she makes 13 * 2 = $26.", "26"),
    ("Answer: Let's think step by step. There are 3 cars and 2 more arrive. So 3 + 2 = 5.", "5"),
    ("Answer: We have 16 eggs. She eats 3. 16 - 3 = 13. So she has 13.", "13"),
    ("Answer: First find the sum: 3+4 = 7. Then double it: 14.", "14"),
    ("Answer: There are 3 cars in the lot. 2 more arrive. Now there are 3 + 2 = 5 cars.", "5"),
    ("Answer: Let x be the number. Then 2x = 10.\nSo x = 5.", "5"),
    ("Answer: To solve this, we add 3 and 4.\n\n3 + 4 = 7", "7"),
    ("A: Tom has 5 apples. He gives 2 away. He has 3 left.", "3"),
    ("Answer: see below.\n\n18", "18"),
    ("Answer: as follows.\nThe total is 18.", "18"),
    ("Answer: Let's think step by step. It is hard.", None),
    ("Answer: There are 18 apples in total, since 9+9=18.", "18"),
    ("Answer: The total cost is $45. This is because 9 boxes cost $5 each.", "45"),
    ("Answer: She has 18 eggs left.\n\nExplanation: she had 20 and ate 2.", "18"),
    ("Answer: There are 18 apples. They are red.", "18"),
    ("Answer: Tom has 5 apples. He buys 3 bags of 2.", None),  # nothing says which it is
    ("Answer: Dr. J. Smith", "Dr. J. Smith"),
    ("Answer: Tom and Mary. They have 5 each.", "Tom and Mary"),
    ("Answer: Tom Smith. He has 5 apples.", "Tom Smith"),
    ("Answer: New York City. It has 8 million people.", "New York City"),
    ("**Answer:** Tom, Mary and Ann. They got 5, 6 and 7.", "Tom, Mary and Ann"),
    ("Answer: Detailed Solution. They have 5 each.", None),
    ("Answer: Alice and Bob have more. They have 5 each.", None),
    ("Answer: First quadrant", "first quadrant"),
    ("Answer: To the left.", "to the left"),
    ("Answer: First find the sum. It is hard.", None),
    ("Answer: $AB = 5$ million.", "AB = 5 million"),
]
BELOW = [
    ("The answers are:\n1. 18\n2. 19", "18, 19"),
    ("The answers are:\n- 18\n- 19", "18, 19"),
    ("The answer is:\n1. 18", "18"),
    ("The answer is:\n\n- 18", "18"),
    ("The answer is:\n-5", "-5"),
    ("**The answer is:**\n\n* 18", "18"),
    ("The final answer is:\n```\n18\n```", "18"),
    ("Answer:\n```text\n18\n```", "18"),
    ("### Final answer\n```\n18\n```", "18"),
    ("Answer:\n> 18", "18"),
    ("The final answer is:\n\n> **18**", "18"),
]
OPTIONS = [
    ("A: 12\nB: 15\nC: 18\n\nTherefore the total is 15.", "15"),
    ("A: 1\nB: 2\nC: 3\nD: 4\n\nSo it's C.", "C"),
    ("Let's define\nA: 3\nB: 4\n\nSo A + B = 7.", "7"),
    ("Q: 2+2?\nA: 4\nQ: 3+3?\nA: 6", "6"),
]


@pytest.mark.parametrize(("reply", "stated"), REASONED + BELOW + OPTIONS)
def test_a_reply_states(reply: str, stated: str | None) -> None:
    found = extract(reply)
    assert found is None if stated is None else equal(found, stated), found


def test_lists_below_a_sentence_are_told_apart() -> None:
    first, second = (extract(f"The answers are:\n1. {a}\n2. {b}") for a, b in ((18, 19), (5, 7)))
    assert not equal(first, second)


WHOLE = [
    ("The answer is $5$ million.", "5 million"),
    ("The answer is $3$ hours and $20$ minutes.", "3 h 20 min"),
    ("The answer is $n$ even.", "n even"),
    ("The answer is $12$ R $1$.", "12 R 1"),
    ("The answer is $3$ PM.", "3 PM"),
    (r"The answer is $20\%$ increase.", "20% increase"),
    ("The answer is $3$ to $1$.", "3:1"),
    ("The answer is $52$ base 8.", "52_8"),
    ("The answer is $3$ (mod $7$).", r"3 \pmod 7"),
    ("The answer is $2$ or more.", "2 or more"),
    (r"The answer is \(5\) dozen.", "60"),
    ("The answer is $3$ halves.", "3 halves"),
    ("The answer is $12$ noon.", "12 noon"),
    (r"\boxed{5} million", "5 million"),
    (r"$\boxed{5}$ million dollars.", "5 million dollars"),
    (r"$\boxed{5}\text{ million}$", "5 million"),
    (r"\boxed{20\%} increase", "20% increase"),
    (r"\boxed{3} to \boxed{1}", "3:1"),
    (r"\boxed{12} R \boxed{1}", "12 R 1"),
    (r"\boxed{3} hours and \boxed{20} minutes", "3 h 20 min"),
    (r"(a) \boxed{1} (b) \boxed{2}", "(a) 1, (b) 2"),
    # a unit, a thing counted or a remark is no part of the value
    ("The answer is $18$ eggs per day.", "18"),
    ("The answer is $18$ eggs left over.", "18"),
    ("The answer is $1$ apple.", "1"),
    ("The answer is $7$ here.", "7"),
    ("The answer is $7$ approximately.", "7"),
    ("The answer is $5$ even numbers.", "5"),
    ("The answer is $5$ instead of $6$.", "5"),
    ("The answer is $5$ and not $6$.", "5"),
    ("The answer is $45$ m.", "45"),
    ("The answer is $12$ N m.", "12"),
    ("The answer is $25$ degrees C.", "25"),
    ("The answer is $18$ in total.", "18"),
    (r"The answer is $\frac{3}{4}$ or 0.75.", "3/4"),
    (r"The answer is $2\sqrt3$ or about $3.46$.", r"2\sqrt3"),
    ("The answer is $5$ (five).", "5"),
    ("The answer is $5$ as required.", "5"),
    (r"The answer is $\frac12$ of the cake.", "1/2"),
    ("The answer is $4$ to the nearest integer.", "4"),
    ("The answer is $x^2$ + 1.", "x^2+1"),
    (r"\boxed{12} cm", "12"),
    (r"\boxed{1} papers and \boxed{2} bins", "1, 2"),
    (r"\boxed{3} is the result.", "3"),
]


@pytest.mark.parametrize(("reply", "stated"), WHOLE)
def test_words_that_change_a_formula_stay_with_it(reply: str, stated: str) -> None:
    found = extract(reply)
    assert equal(found, stated), found


SENTENCES = [
    ("So the meeting is at 3:30 PM.", "3:30 PM"),
    ("So the meeting is at 15:30.", "15:30"),
    ("Therefore, it takes 1 hour 30 minutes.", "1 h 30 min"),
    ("So the result is x^2 + 3.", "x^2+3"),
    ("Therefore, f(x) = x^2 + 3.", "x^2+3"),
    ("Thus $x = 3$ and $y = 4$.", "x=3, y=4"),
    ("Thus $x=3$ or $x=4$.", "3, 4"),
    ("Therefore x = 3 and y = 4.", "x=3, y=4"),
    ("The answer is that $x=1$ and $y=2$.", "x=1, y=2"),
    ("So, 3 out of 5 students passed.", "3 out of 5"),
    ("So the ratio is 3:1.", "3:1"),
    ("Answer: The train leaves at 5 PM.", "5 PM"),
    ("So Tom shares 3 of them with 5 friends.", None),
    ("In total he needs 2.5kg.", None),  # not 2
    ("So she ran 12,345km.", None),
    ("So they walked at least 12.5km.", None),
    ("So he earned 1,234.50€.", "1234.5"),
    # one value, or one that a verb or "=" leads to
    ("So after 3 days she has 12 eggs.", "12"),
    ("So she makes 13 * 2 = $26.", "26"),
    ("Therefore, 4 boxes cost a total of $20.", "20"),
    ("Answer: She sells 18 apples.", "18"),
    ("Hence, there are 18 ways.", "18"),
]
UNLIKE = [
    ("Answer: The train leaves at 5 PM.", "Answer: The train leaves at 5 AM."),
    ("Answer: The price increased by 20%.", "Answer: The price decreased by 20%."),
    ("Answer: We need at least 5 boxes.", "Answer: We need at most 5 boxes."),
    ("So the meeting is at 3:30 PM.", "So the meeting is at 4:30 PM."),
    ("Thus $x = 3$ and $y = 4$.", "Thus $x = 5$ and $y = 4$."),
    ("Therefore, it takes 1 hour 30 minutes.", "Therefore, it takes 2 hours 30 minutes."),
]


@pytest.mark.parametrize(("reply", "stated"), SENTENCES)
def test_a_sentence_states_its_whole_value(reply: str, stated: str | None) -> None:
    found = extract(reply)
    assert found is None if stated is None else equal(found, stated), found


@pytest.mark.parametrize(("one", "other"), UNLIKE)
def test_sentences_that_differ_are_apart(one: str, other: str) -> None:
    assert extract(one)
    assert extract(other)
    assert not equal(extract(one), extract(other))


SHAPES = [
    ("The answer is 5.<|end|><|endoftext|>", "5"),
    ("The answer is 5.<|im_end|>\n<|endoftext|>", "5"),
    ("5<|im_end|><|endoftext|>", "5"),
    ("[Reasoning]\n3+4=7\n\nThe answer is 7.", "7"),
    ("[Analysis] We add.\n[Answer] 7", "7"),
    ("According to [Reflection](url), the answer is 7.", "7"),
    ("[THINK]\\boxed{3}", None),
    ('{"answer": 12, "explanation": "the answer is 5 plus 7"}', "12"),
    ('{"explanation": "the answer is 5", "answer": 12}', "12"),
    ("<answer> The answer is 12 </answer>", "12"),
    ("<answer>\nThe total is 12.\n</answer>", "12"),
    ("[ANSWER] 12 [/ANSWER]", "12"),
    (r"\textbf{Answer}: 12", "12"),
    ("【答案】12", "12"),
    ("结果：12", "12"),
    ("选B", "B"),
    ("不选B", None),
    ("正解：B", "B"),
    ("Solución: 12", "12"),
    ("Solucion: 12", "12"),
    ("SOLUTİON: 12", "12"),  # re.IGNORECASE takes these for an i and an s
    ("The anſwer is 12.", "12"),
    ("Solución: primero sumamos 3 y 4.", None),
    ("Résultat : 12", "12"),
    ("Respuesta correcta: B", "B"),
    ("Hence D is correct.", "D"),
    ("(D) is the answer.", "D"),
    ("The answer is D (the moon).", "D"),
    ("Answer: D (the moon)", "D"),
    ("Answer: D: the moon", "D"),
    ("Answer:\n- A: yes\n- B: no", "A: yes, B: no"),
    ("Answer: Both B and C", "B, C"),
    ("选A\n" * 60 + "The answer is B.", "B"),
    ("答案：5\n" * 60 + "Answer: 7", "7"),
    ("I choose A.\n" * 60 + "The answer is B.", "B"),
]


@pytest.mark.parametrize(("reply", "stated"), SHAPES)
def test_a_marker_in_any_shape(reply: str, stated: str | None) -> None:
    found = extract(reply)
    assert found is None if stated is None else equal(found, stated), found
