"""How public verifiers read a question and its solution: token ids, and where each score stands.

One place for every backend, so that a model reads the same on each. Knows tokenizers and text; not models, heads or how
a score is made of logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ttscale.prompts.layouts import QWEN_MATH, Messages, chat_turns, without_marks
from ttscale.prompts.steps import special_tokens

EXTRA = "<extra_0>"
"""The step mark of Qwen2.5-Math-PRM and its kin."""


class Encoded(NamedTuple):
    """Token ids, and the position to read each score at: one per step, or a single one for the whole solution."""

    ids: list[int]
    reads: list[int]


class Cleaner:
    """Takes out of steps what would be read as something else than text (trap T5): a solution cannot smuggle in scores.

    ``marks`` and every special token of the tokenizer go; a ``separator`` inside a step becomes a space. White space
    around a step goes too, since steps come with their delimiter.
    """

    def __init__(self, tokenizer: Any, *marks: str, separator: str = "") -> None:
        self._marks = sorted({*marks, *(token for token in special_tokens(tokenizer) if len(token) > 2)})
        self._separator = separator if separator.strip(" ") else ""

    def step(self, text: str) -> str:
        """A step, or a whole solution."""
        text = self.question(text).strip()
        while self._separator and self._separator in text:
            text = text.replace(self._separator, " ")
        return text

    def question(self, text: str) -> str:
        """The question keeps its white space and its newlines."""
        return without_marks(text, self._marks)


def tokens_at(tokenizer: Any, text: str, places: Sequence[int], special: bool) -> tuple[list[int], list[int]]:
    """(ids of ``text``, index of the token that holds the character at each of ``places``).

    ``special``: let the tokenizer add its BOS. Needs a fast tokenizer, the only kind that records where tokens stand.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError("this verifier needs a fast tokenizer (tokenizer.json); convert it with AutoTokenizer")
    encoding = tokenizer(text, add_special_tokens=special, return_offsets_mapping=True)
    ids, offsets = list(encoding["input_ids"]), encoding["offset_mapping"]
    found: list[int] = []
    index = 0
    for place in places:
        while index < len(ids) and not offsets[index][0] <= place < offsets[index][1]:
            index += 1
        if index == len(ids):
            raise ValueError(f"the tokenizer drops the character {text[place]!r} that a score is read at")
        found.append(index)
    return ids, found


def single_id(tokenizer: Any, text: str) -> int:
    """The one token that ``text`` is; an error where the tokenizer has no such token."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if len(ids) != 1:
        raise ValueError(
            f"the tokenizer turns {text!r} into {len(ids)} tokens instead of one; it is not the one this verifier was "
            "trained with, or the verifier is of another family"
        )
    return int(ids[0])


class TRLLayout:
    """As TRL's trainer of process reward models: BOS if there is one, the prompt's ids, then for each step its own and
    the separator's, whose last carries the score. No separator after the prompt, no chat template. (TRL's documentation
    shows another layout, which is not what its trainer does.)"""

    def __init__(self, tokenizer: Any, separator: str = "\n") -> None:
        self._tokenizer = tokenizer
        self._cleaner = Cleaner(tokenizer, separator=separator)
        self._separator_ids = list(tokenizer(separator, add_special_tokens=False)["input_ids"])
        if not self._separator_ids:
            raise ValueError(f"the tokenizer turns the separator {separator!r} into no token at all")

    def encode(self, question: str, steps: Sequence[str], attempts: Sequence[str] = (), /) -> Encoded:
        """Attempts are not part of the format."""
        bos = self._tokenizer.bos_token_id
        ids = [] if bos is None else [bos]
        ids += self._tokenizer(self._cleaner.question(question), add_special_tokens=False)["input_ids"]
        reads = []
        for step in steps:
            text = self._cleaner.step(step)
            ids += [*self._tokenizer(text, add_special_tokens=False)["input_ids"], *self._separator_ids]
            reads.append(len(ids) - 1)
        return Encoded(ids, reads)


class QwenPRMLayout:
    """A chat: the system prompt the model was trained with, the question, and an assistant turn of all steps, each
    followed by ``<extra_0>``, where its score stands."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._cleaner = Cleaner(tokenizer, EXTRA)
        self._mark = single_id(tokenizer, EXTRA)

    def encode(self, question: str, steps: Sequence[str], attempts: Sequence[str] = (), /) -> Encoded:
        """Attempts are not part of the format."""
        said = "".join(self._cleaner.step(step) + EXTRA for step in steps)
        turns = [
            *chat_turns(QWEN_MATH.prompt, self._cleaner.question(question)),
            {"role": "assistant", "content": said},
        ]
        text: str = self._tokenizer.apply_chat_template(turns, tokenize=False)
        places = [i for i in range(len(text)) if text.startswith(EXTRA, i)]
        if len(places) != len(steps):
            raise ValueError(f"the chat template shows {len(places)} of {len(steps)} step marks")
        ids, reads = tokens_at(self._tokenizer, text, places, special=False)
        if any(ids[read] != self._mark for read in reads):
            raise ValueError(f"the tokenizer does not keep {EXTRA} as one token inside a text")
        return Encoded(ids, reads)


class SequenceLayout:
    """The chat template over question and solution, end of the turn included; one score at the last token that is not
    ``pad``. (transformers reads there; where padding and end of sequence are one id, that is not the last token of the
    text, and the model was trained so.) ``system`` puts the system prompt of Qwen2.5-Math before the question."""

    def __init__(self, tokenizer: Any, pad: int | None, system: bool = False) -> None:
        self._tokenizer, self._pad, self._system = tokenizer, pad, system
        self._cleaner = Cleaner(tokenizer)

    def encode(self, question: str, steps: Sequence[str], attempts: Sequence[str] = (), /) -> Encoded:
        """One position for the whole solution. Attempts are not part of the format."""
        question, solution = self._cleaner.question(question), self._cleaner.step("".join(steps))
        turns: Messages = chat_turns(QWEN_MATH.prompt, question) if self._system else []
        turns = turns or [{"role": "user", "content": question}]
        turns = [*turns, {"role": "assistant", "content": solution}]
        if self._tokenizer.chat_template:
            text = self._tokenizer.apply_chat_template(turns, tokenize=False)
            # The template has written the BOS token already.
            ids = list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        else:
            ids = list(self._tokenizer(f"{question}\n{solution}")["input_ids"])
        read = len(ids) - 1
        while read > 0 and self._pad is not None and ids[read] == self._pad:
            read -= 1
        return Encoded(ids, [read])
