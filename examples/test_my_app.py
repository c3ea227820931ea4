"""Unit tests of code that uses ttscale, with scripted models: nothing is loaded, nothing is random. Run with pytest."""

import ttscale
from ttscale.testing import FakeGenerator, FakeVerifier


def reply(question, generator, verifier):  # the code under test
    result = ttscale.solve(question, 3, generator=generator, verifier=verifier, strategy="weighted_best_of_n")
    return result.answer if result.score > 0.5 else "I am not sure."


def test_the_answer_with_the_highest_sum_of_scores_is_given():
    generator = FakeGenerator(["Answer: 4", "Answer: 5", "Answer: 4"])
    assert reply("2 + 2?", generator, FakeVerifier([0.6, 0.8, 0.7])) == "4"


def test_doubt_is_admitted():
    assert reply("2 + 2?", FakeGenerator("Answer: 4"), FakeVerifier(0.1)) == "I am not sure."
