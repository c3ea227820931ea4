"""Loss masks, token by token: what is learned, where, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import transformers
from tokenizers import Tokenizer, models, normalizers

from training.conftest import make_tokenizer
from ttscale.hf.verifiers.families.ttscale import StepEncoder
from ttscale.hf.verifiers.input_format import VerifierFormat
from ttscale.prompts.layouts import PromptFormat
from ttscale.prompts.tokenize import encode
from ttscale.training.data.examples import StepExample, last_step_labels
from ttscale.training.data.revision_data import RevisionExample
from ttscale.training.fit.features import (
    revision_feature,
    rows_of,
    solution_row,
    step_row,
    text_feature,
)

EXAMPLE = StepExample("q", "1+1", ("2\n", "Answer: 2"), (0.9, None), correct=True, answer="2")


def spaced_tokenizer():
    letters = ["<eos>", "\u2581", *sorted(set("Question: 1+2\nAnswer".replace(" ", "")))]
    made = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>")


def shown(tokenizer, feature):
    """(character or special token, label) for every position."""
    return [(tokenizer.decode([id]), label) for id, label in zip(feature["input_ids"], feature["labels"], strict=True)]


def test_a_prm_label_stands_on_the_separator_and_nowhere_else(tokenizer):
    form = VerifierFormat(prompt=PromptFormat(chat=False, template="Q: {question}\n"))
    row = step_row(StepEncoder(tokenizer, form), 256, EXAMPLE)
    text = "Q: 1+1\n2\nAnswer: 2\n"
    expected = [(character, -100.0) for character in text]
    expected[8] = ("\n", 0.9)  # after "2"; the last step has no label
    assert shown(tokenizer, row.feature) == expected
    assert list(row.reads) == [8, len(text) - 1]


def test_a_soft_label_stays_soft(tokenizer):
    for label in (0.9, 1 / 3, 0.0, 1.0):
        row = step_row(StepEncoder(tokenizer, VerifierFormat()), 256, StepExample("q", "1", ("2\n",), (label,)))
        assert [value for value in row.feature["labels"] if value != -100.0] == [label]


def test_an_orm_label_stands_on_the_last_step_only(tokenizer):
    (example,) = last_step_labels([EXAMPLE])
    row = step_row(StepEncoder(tokenizer, VerifierFormat(kind="orm")), 256, example)
    assert [label for label in row.feature["labels"] if label != -100.0] == [1.0]
    assert row.feature["labels"][-1] == 1.0


def test_control_tokens_are_taken_out_of_a_text(tokenizer):
    """As they are at inference, with the same encoder."""
    example = StepExample("q", "1<eos>+1", ("2<pad>\n", "\ud800<e<eos>os>"), (0.5, 1.0), attempts=("3<bos>",))
    row = step_row(StepEncoder(tokenizer, VerifierFormat(attempts=True)), 256, example)
    assert tokenizer.decode(row.feature["input_ids"]) == "1+1\n3<eos>2\n\ufffd\n"


def test_attempts_stand_in_the_context_of_a_revision_orm_only(tokenizer):
    example = StepExample("q", "1+1", ("2\n",), (1.0,), attempts=("3\n", "4"))
    with_attempts = step_row(StepEncoder(tokenizer, VerifierFormat(attempts=True)), 256, example)
    assert tokenizer.decode(with_attempts.feature["input_ids"]) == "1+1\n3<eos>4<eos>2\n"
    without = step_row(StepEncoder(tokenizer, VerifierFormat()), 256, example)
    assert tokenizer.decode(without.feature["input_ids"]) == "1+1\n2\n"


@pytest.mark.parametrize("chat", [False, True])
def test_a_reviser_learns_the_last_answer_and_its_end_only(chat):
    tokenizer = make_tokenizer(chat)
    form = PromptFormat(system=None, revision_request="<again>" if chat else None)
    example = RevisionExample("q", "1+1", ("3\n", "4"), "2\n")
    feature = revision_feature(tokenizer, form, 256, example)
    context = encode(tokenizer, form, "1+1", ("3\n", "4"))
    target = [*tokenizer("2\n", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    assert feature["input_ids"] == context + target
    assert feature["labels"] == [-100] * len(context) + target
    text = tokenizer.decode(context)
    if chat:
        assert text == "<bos><user>1+1<assistant>3<eos><user><again><assistant>4<eos><user><again><assistant>"
    else:
        assert text == "1+1\n3<eos>4<eos>"


def test_the_wrong_attempts_are_never_learned(tokenizer):
    example = RevisionExample("q", "1+1", ("wrong",), "right")
    feature = revision_feature(tokenizer, PromptFormat(), 256, example)
    learned = tokenizer.decode([id for id in feature["labels"] if id != -100])
    assert learned == "right<eos>"


def test_an_implicit_prm_reads_the_end_of_each_step_and_eos(tokenizer):
    row = solution_row(tokenizer, PromptFormat(), 256, EXAMPLE)
    assert tokenizer.decode(row.feature["input_ids"]) == "1+1\n2\nAnswer: 2<eos>"
    assert [tokenizer.decode([row.feature["input_ids"][position]]) for position in row.reads] == ["\n", "<eos>"]
    assert list(row.reads) == [5, 15]
    assert row.feature["outcome"] == 1.0
    assert row.feature["labels"][:4] == [-100] * 4
    assert row.feature["labels"][4:] == row.feature["input_ids"][4:]


def test_nobody_wrote_an_end_of_sequence_where_a_solution_was_cut_off(tokenizer):
    row = solution_row(tokenizer, PromptFormat(), 256, replace(EXAMPLE, finish="length"))
    assert tokenizer.decode(row.feature["input_ids"]) == "1+1\n2\nAnswer: 2"
    assert list(row.reads) == [5, 14]


def test_a_tokenizer_that_puts_a_space_before_every_text_puts_none_before_a_step():
    """As Llama 2's. The text as a whole has one space, in front."""
    spaced = spaced_tokenizer()
    whole = spaced("1+1\n2\nAnswer: 2", add_special_tokens=False)["input_ids"]
    row = solution_row(spaced, PromptFormat(), 256, replace(EXAMPLE, finish="length"))
    assert row.feature["input_ids"] == whole
    ids, reads = StepEncoder(spaced, VerifierFormat())(EXAMPLE.prompt, EXAMPLE.steps)
    assert ids == [*whole, spaced.convert_tokens_to_ids("\n")]
    assert [spaced.convert_ids_to_tokens(ids[read]) for read in reads] == ["\n", "\n"]


def test_a_step_without_tokens_has_no_likelihood(tokenizer):
    example = StepExample("q", "1+1", ("", "2"), (None, None), correct=True)
    with pytest.raises(ValueError, match=r"question 'q' has no tokens \(''\)"):
        solution_row(tokenizer, PromptFormat(), 256, example)


def test_long_and_unlabelled_examples_are_left_out_and_counted_never_cut(tokenizer):
    blank = StepExample("q", "1+1", ("2\n",), (None,))
    encode_steps = StepEncoder(tokenizer, VerifierFormat())
    rows, skipped = rows_of(partial(step_row, encode_steps, 16), [EXAMPLE, blank], "training")
    assert (len(rows), dict(skipped)) == (1, {"without any label": 1})
    with pytest.raises(ValueError, match=r"nothing left in the training data: left out 1 longer.*, 1 without"):
        rows_of(partial(step_row, encode_steps, 15), [EXAMPLE, blank], "training")


def test_pieces_are_tokenised_apart():
    tokenizer = make_tokenizer()
    whole = text_feature(tokenizer, [1], ["ab", "c"])
    assert tokenizer.decode(whole["input_ids"]) == "<bos>abc<eos>"
    assert whole["labels"][0] == -100
