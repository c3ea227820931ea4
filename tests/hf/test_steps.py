"""Where steps and solutions end in sampled tokens."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from hf.tiny import byte_tokenizer
from ttscale.prompts.layouts import split_steps
from ttscale.prompts.steps import StepText

BYTES = byte_tokenizer(("\n\n", "an"))


def ids(text: str) -> list[int]:
    return list(BYTES(text, add_special_tokens=False)["input_ids"])


def cut(text: str, delimiter: str) -> list[str]:
    """Steps found token by token, as decoding does it."""
    steps, begin, tokens = StepText(BYTES, delimiter), 0, ids(text)
    found = []
    for end in range(1, len(tokens) + 1):
        if steps.may_end(tokens[end - 1]) and steps.ends(tokens[:begin], tokens[begin:end]):
            found.append(steps.text(tokens[:begin], tokens[begin:end]))
            begin = end
    rest = steps.text(tokens[:begin], tokens[begin:])
    if rest.strip() or not found:
        return [*found, rest] if rest else found
    return [*found[:-1], found[-1] + rest]


@settings(max_examples=50)
@given(st.text(alphabet="ab \n.é", max_size=30), st.sampled_from(["\n", ". ", "a.b", "é"]))
def test_steps_are_those_of_split_steps(text: str, delimiter: str) -> None:
    """Where no token holds more than one character of text, sampling and splitting agree to the letter."""
    single = byte_tokenizer()
    steps, begin, tokens = StepText(single, delimiter), 0, single(text, add_special_tokens=False)["input_ids"]
    found: list[str] = []
    for end in range(1, len(tokens) + 1):
        if steps.may_end(tokens[end - 1]) and steps.ends(tokens[:begin], tokens[begin:end]):
            found.append(steps.text(tokens[:begin], tokens[begin:end]))
            begin = end
    rest = steps.text(tokens[:begin], tokens[begin:])
    if rest:
        found = [*found, rest] if rest.strip() or not found else [*found[:-1], found[-1] + rest]
    assert found == split_steps(text, delimiter)


def test_a_token_with_more_than_the_delimiter_ends_the_step() -> None:
    assert cut("one\n\ntwo\nthree", "\n") == ["one\n\n", "two\n", "three"]


def test_blank_lines_are_no_steps() -> None:
    assert cut("\n\n  \none\n\n\n\ntwo", "\n") == ["\n\n  \none\n\n", "\n\ntwo"]


def test_characters_made_of_several_tokens() -> None:
    """The text of a step is the text of all tokens without what was there before."""
    steps, tokens = StepText(byte_tokenizer(), "\n"), byte_tokenizer()("é→x", add_special_tokens=False)["input_ids"]
    assert len(tokens) == 6
    assert "".join(steps.text(tokens[:i], tokens[i : i + 1]) for i in (5,)) == "x"
    assert steps.text(tokens[:2], tokens[2:]) == "→x"
    assert steps.text([], tokens) == "é→x"
    assert steps.text(tokens[:1], tokens[1:]) == "é→x"


def sentence_pieces() -> Any:
    """A tokenizer that writes spaces into its pieces and drops the first one of a text, as Llama 2 does."""
    words = ["<unk>", "▁the", "▁cat", "sat", "▁", "<0x0A>", "▁on"]
    core = Tokenizer(models.BPE({w: i for i, w in enumerate(words)}, [], unk_token="<unk>"))
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", clean_up_tokenization_spaces=False)


def test_a_leading_space_inside_a_solution_is_kept() -> None:
    pieces = sentence_pieces()
    assert pieces.decode([2]) == "cat"
    steps = StepText(pieces, "\n")
    assert steps.text([1], [2, 5]) == " cat\n"
    assert steps.may_end(5)
    assert steps.ends([1], [2, 5])
    assert StepText(pieces, " ").may_end(4)


def test_none_never_ends_a_step() -> None:
    steps = StepText(BYTES, None)
    assert not any(steps.may_end(token) for token in ids("a\nb"))
    assert not steps.ends([], ids("a\nb\n"))


def test_an_empty_delimiter_is_an_error() -> None:
    with pytest.raises(ValueError, match="delimiter"):
        StepText(BYTES, "")


@pytest.mark.parametrize(
    ("before", "new", "kept"),
    [
        ("", "so 4\n\nProblem: next", 4),
        ("x\n", "\nProblem:", 0),
        ("x", "y\n\nProblem", None),
        ("\n\nProblem: an", " old one", None),
        ("", "a STOP b\n\nProblem:", 2),
    ],
)
def test_stop_strings(before: str, new: str, kept: int | None) -> None:
    steps = StepText(BYTES, "\n", ("\n\nProblem:", "STOP"))
    assert steps.stops(ids(before), ids(new)) == kept
    assert steps.may_end(ids(":")[0])
