"""The layout of prompts and the tokenizer agree with each other and with what the models were trained on."""

from __future__ import annotations

from tools.reference_models import tokenizer
from tools.reference_models.documents import encode
from tools.reference_models.tokenizer import pieces

from ttscale import reference

QUESTION = "Compute 5 - (3 - 8) * 12"
ATTEMPT = "5 - -5 * 12\n5 - -60\n65\nAnswer: 65"


def test_the_tokenizer_cuts_as_data_preparation_does() -> None:
    made = tokenizer.make()
    for text in (QUESTION, ATTEMPT, reference.revision_prompt(QUESTION, [ATTEMPT, ATTEMPT])):
        ids = made(text, add_special_tokens=False)["input_ids"]
        assert ids == encode(text)
        assert made.convert_ids_to_tokens(ids) == pieces(text)
        assert made.decode(ids) == text


def test_a_sign_and_an_operation_are_different_tokens() -> None:
    assert pieces("5 - -5 * 12") == ["5", " - ", "-", "5", " * ", "1", "2"]


def test_the_tokenizer_adds_bos_itself_and_knows_its_special_tokens() -> None:
    made = tokenizer.make()
    assert made(QUESTION + "\n")["input_ids"] == encode(reference.prompt(QUESTION))
    assert (made.bos_token, made.eos_token, made.pad_token, made.unk_token) == ("<bos>", "<eos>", "<pad>", "<unk>")
    assert len(made.encode("\n", add_special_tokens=False)) == 1


def test_all_of_printable_ascii_survives_a_round_trip() -> None:
    made = tokenizer.make()
    text = "".join(chr(code) for code in range(32, 127)) + "\n"
    assert made.decode(made.encode(text, add_special_tokens=False)) == text


def test_the_chat_template_writes_the_revision_prompt() -> None:
    messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ATTEMPT}]
    written = tokenizer.make().apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert written == reference.revision_prompt(QUESTION, [ATTEMPT])


def test_only_the_last_four_attempts_are_shown_to_the_reviser() -> None:
    attempts = [f"Answer: {n}" for n in range(6)]
    assert reference.revision_prompt("Q", attempts) == (
        "<bos>Q\nAnswer: 2<eos>Answer: 3<eos>Answer: 4<eos>Answer: 5<eos>"
    )
    assert reference.revision_prompt("Q", []) == reference.prompt("Q") == "<bos>Q\n"


def test_answers_are_read_from_the_last_line_only() -> None:
    assert reference.answer_of(ATTEMPT) == "65"
    assert reference.answer_of("Answer: -3") == "-3"
    assert reference.answer_of("Answer: 65\n12") is None
    assert reference.answer_of("65") is None
