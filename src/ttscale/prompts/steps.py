"""Where steps and solutions end, and what text sampled tokens stand for.

Knows: one tokenizer, one delimiter, the stop strings. Must not know: models, batches, search.

A step ends with the first token after which its text contains the delimiter, so a delimiter may be split over several
tokens; what the last of them says beyond the delimiter stays in the step, because tokens are never cut. A delimiter
with only white space before it ends nothing: the blank goes with what follows (as in
``ttscale.prompts.layouts.split_steps``).
The text of a step is the text of all tokens up to its end without the text up to its beginning: tokenizers that drop a
leading space or build one character out of several tokens come out right, and step texts concatenate to the solution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

CONTEXT_TOKENS = 8
"""Tokens before a step that are decoded with it, and more where these begin inside a character."""


class StepText:
    """Finds the ends of steps and solutions in token sequences, and turns tokens into text."""

    def __init__(self, tokenizer: Any, delimiter: str | None, stop: Sequence[str] = ()) -> None:
        if delimiter == "":
            raise ValueError("delimiter must not be empty; None makes the whole solution one step")
        self.delimiter = delimiter
        self._stop = tuple(stop)
        self._tokenizer = tokenizer
        self._last = {mark[-1] for mark in (*self._stop, *([delimiter] if delimiter else []))}
        self._may_end: dict[int, bool] = {}
        self._partials: dict[int, bool] = {}
        special = getattr(tokenizer, "all_special_tokens", None) or []
        self.stop_ids = {tokenizer.convert_tokens_to_ids(mark) for mark in self._stop if mark in special}
        """Stop strings that are special tokens, which text does not show."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens, special tokens left out, white space untouched."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def text(self, before: Sequence[int], tokens: Sequence[int]) -> str:
        """What ``tokens`` add to the text of ``before``."""
        context = self._tail(before, CONTEXT_TOKENS)
        head = self.decode(context)
        whole = self.decode(context + list(tokens))
        if not whole.startswith(head):  # the context ended inside a character that these tokens complete
            head = head.rstrip("\ufffd")
        return whole[len(head) :]

    def before(self, context: Sequence[int], tokens: Sequence[int], begin: int) -> list[int]:
        """The tokens just before a step that begins at ``tokens[begin]``: enough to decode it in its context."""
        return self._tail([*context, *tokens[:begin]], CONTEXT_TOKENS)

    def _tail(self, tokens: Sequence[int], count: int) -> list[int]:
        """The last tokens, at least ``count``, from where a character begins.

        Where characters are spelled in bytes, a run of them that begins inside a character decodes to nothing readable.
        """
        start = max(0, len(tokens) - count)
        while 0 < start < len(tokens) and self._partial(tokens[start]):
            start -= 1
        return list(tokens[start:])

    def _partial(self, token: int) -> bool:
        """Whether a token alone is no whole characters."""
        known = self._partials.get(token)
        if known is None:
            known = self._partials[token] = "\ufffd" in self.decode([token])
        return known

    def may_end(self, token: int) -> bool:
        """Whether a step or a solution could end with this token: a cheap test that is never wrong with False."""
        known = self._may_end.get(token)
        if known is None:
            known = self._may_end[token] = self._could_end(token)
        return known

    def ends(self, before: Sequence[int], tokens: Sequence[int]) -> bool:
        """Whether the step made of ``tokens``, after ``before``, is complete."""
        if self.delimiter is None:
            return False
        text = self.text(before, tokens)
        blank = len(text) - len(text.lstrip())
        return blank < len(text) and self.delimiter in text[max(0, blank - len(self.delimiter) + 1) :]

    def stops(self, context: Sequence[int], tokens: Sequence[int]) -> int | None:
        """The characters of the new text in front of the first stop string, or None where there is none.

        A stop string may begin in the text before; then nothing of the new text is left.
        """
        if not self._stop:
            return None
        head = self.decode(self._tail(context, max(map(len, self._stop))))
        new = self.text(context, tokens)
        found = [(head + new).find(mark, max(0, len(head) - len(mark) + 1)) for mark in self._stop]
        return min((max(0, at - len(head)) for at in found if at >= 0), default=None)

    def _could_end(self, token: int) -> bool:
        if not self._last:
            return False
        alone = self.decode([token])
        twice = self.decode([token, token])[len(alone) :]  # a leading space is dropped from the first only
        return any(not self._last.isdisjoint(text) or "\ufffd" in text for text in (alone, twice))
