"""Where steps and solutions end, and what text sampled tokens stand for.

Knows: one tokenizer, one delimiter, the stop strings. Must not know: models, batches, search.

A step ends with the first token after which its text contains the delimiter, so a delimiter may be split over several
tokens. Tokens are never cut: what the last of them says beyond the delimiter stays in the step. A delimiter with only
white space before it ends nothing: the blank goes with what follows (as in ``ttscale.prompts.layouts.split_steps``).
The text of a step is the text of all tokens up to its end, without the text up to its beginning. So tokenizers that
drop a leading space, or build one character out of several tokens, come out right. Step texts concatenate to the
solution. Special tokens have no text, but for thinking tags: whoever reads the solution must see where the thought
ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ttscale.core.errors import RoleError
from ttscale.core.requests import Revise, Sample, where
from ttscale.core.types import Step
from ttscale.prompts.layouts import PromptFormat, known_tags, own_tags, shown_attempts
from ttscale.prompts.tokenize import encode, piece_ids

CONTEXT_TOKENS = 8
"""Tokens before a step that are decoded with it, and more where these begin inside a character."""


THOUGHT = re.compile(
    r"[<\[◁](?P<close>/?)(?:think|thinking|thought|reasoning|seed:think)[>\]▷]|<\|channel>|(?P<shut><channel\|>)",
    re.IGNORECASE,
)
"""Tags around a thought, as public models write them."""
HARMONY = ("<|channel|>", "<|message|>", "<|start|>", "<|end|>")
"""Special tokens of the harmony format (gpt-oss) that say which channel a text belongs to."""


def special_tokens(tokenizer: Any) -> dict[str, int]:
    """Every special token of a tokenizer with its id, those included that are no bos, eos or the like."""
    added = getattr(tokenizer, "added_tokens_decoder", None) or {}
    found = {str(token): int(index) for index, token in added.items() if getattr(token, "special", False)}
    named = [token for token in getattr(tokenizer, "all_special_tokens", None) or () if token not in found]
    return found | {str(token): int(tokenizer.convert_tokens_to_ids(token)) for token in named}


def step_ids(tokenizer: Any, step: Step) -> list[int]:
    """The tokens of a step as sampled; for a step that came without, its text's."""
    return list(step.tokens) if step.tokens or not step.text else piece_ids(tokenizer, step.text)


def opened(steps: tuple[Step, ...], opening: str, form: PromptFormat) -> tuple[Step, ...]:
    """The steps, with the thinking tag that the prompt ended in before the first: else nobody sees where it began.

    Tags that are the format's own are named as everyone knows them.
    """
    if opening and steps:
        steps = (replace(steps[0], text=opening + steps[0].text), *steps[1:])
    return tuple(replace(step, text=known_tags(form, step.text)) for step in steps) if form.thoughts else steps


class FullContext(RoleError):
    """What is begun fills all that the model reads: a draw that goes on from it is cut off at once."""


def context_ids(
    tokenizer: Any, form: PromptFormat, request: Sample | Revise, longest: int
) -> tuple[int, tuple[int, ...]]:
    """(length of the prompt, its tokens and those of each step of the prefix as sampled).

    Raises ``FullContext`` where what is begun leaves no room below ``longest``, ``RoleError`` where the prompt alone
    does, or there are no tokens at all.
    """
    tried = request.prefix.attempts if isinstance(request, Sample) else request.attempts
    attempts = shown_attempts(form, tried)
    ids = encode(tokenizer, form, request.question.prompt, attempts)
    prompt = len(ids)
    for step in request.prefix.steps if isinstance(request, Sample) else ():
        ids += step_ids(tokenizer, replace(step, text=own_tags(form, step.text)) if form.thoughts else step)
    if not ids or len(ids) >= longest:
        what = f"is {len(ids)} tokens long, the model reads at most {longest}" if ids else "is empty"
        wrong = RoleError if prompt >= longest or not ids else FullContext
        raise wrong(
            f"the context of {where(request)} {what}; use a shorter question or prompt, or a model with a longer "
            "context"
        )
    return prompt, tuple(ids)


def _decoder(tokenizer: Any) -> Callable[..., str]:
    """What turns ids into text: the Rust tokenizer itself where ``decode`` would do nothing but ask it.

    Texts are decoded at every token that may end a step, and ``decode`` takes several times as long on its way there.
    """
    from transformers import PreTrainedTokenizerFast as Fast

    own = type(tokenizer)
    if issubclass(own, Fast) and own.decode is Fast.decode and own._decode is Fast._decode:
        return tokenizer.backend_tokenizer.decode  # type: ignore[no-any-return]
    return partial(tokenizer.decode, clean_up_tokenization_spaces=False)


class StepText:
    """Finds the ends of steps and solutions in token sequences, and turns tokens into text."""

    def __init__(
        self,
        tokenizer: Any,
        delimiter: str | None,
        stop: Sequence[str] = (),
        thoughts: Sequence[tuple[str, str]] = (),
    ) -> None:
        if delimiter == "":
            raise ValueError("delimiter must not be empty; None makes the whole solution one step")
        special = special_tokens(tokenizer)
        held = next((token for token in special if delimiter is not None and token in delimiter), None)
        if held is not None:
            raise ValueError(
                f"the delimiter {delimiter!r} holds a special token, {held!r}, which has no text to cut at; take one "
                "of text"
            )
        self.delimiter = delimiter
        self._tokenizer = tokenizer
        self._text_of = _decoder(tokenizer)
        harmony = HARMONY if HARMONY[0] in special else ()
        tags = {tag for pair in thoughts for tag in pair}
        self._opening = tuple(opening for opening, _ in thoughts)
        self._shown = {
            index for token, index in special.items() if THOUGHT.fullmatch(token) or token in harmony or token in tags
        }
        self._hidden = set(special.values()) - self._shown
        self.stop_ids = {special[mark] for mark in stop if mark in special and special[mark] in self._hidden}
        """Stop strings that are special tokens."""
        self._stop = tuple(mark for mark in stop if special.get(mark) not in self.stop_ids)
        self._in_stop = {token: index for token, index in special.items() if any(token in mark for mark in self._stop)}
        """Special tokens inside a stop string: looking for that, they are read too."""
        self._last = {mark[-1] for mark in (*self._stop, *([delimiter] if delimiter else []))}
        self._may_end: dict[int, bool] = {}
        self._partials: dict[int, bool] = {}

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens, special tokens left out but for thinking tags, white space untouched."""
        return self._decode(tokens, self._shown)

    def _decode(self, tokens: Sequence[int], shown: set[int]) -> str:
        """Text of tokens, of the special ones only those that are to be shown."""
        ids, skip = list(tokens), True
        if not shown.isdisjoint(ids):
            silent = (self._hidden | self._shown) - shown
            ids, skip = [token for token in ids if token not in silent], False
        return str(self._text_of(ids, skip_special_tokens=skip))

    def opens_thought(self, prompt: Sequence[int]) -> str:
        """The thinking tag that a prompt ends in, as templates write it for models that think; else nothing."""
        text = str(self._tokenizer.decode(list(prompt[-CONTEXT_TOKENS:]), skip_special_tokens=False))
        own = next((tag for tag in self._opening if text.rstrip().endswith(tag.rstrip())), None)
        if own is not None:
            return text[text.rindex(own.rstrip()) :]
        found = [tag for tag in THOUGHT.finditer(text) if not text[tag.end() :].strip()]
        opens = bool(found) and not found[-1]["close"] and not found[-1]["shut"]
        return text[found[-1].start() :] if opens else ""

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
        before = self._tail(context, max(map(len, self._stop)))
        if self._in_stop:
            return self._stops_with_special(before, tokens)
        head = self.decode(before)
        new = self.text(context, tokens)
        found = [(head + new).find(mark, max(0, len(head) - len(mark) + 1)) for mark in self._stop]
        return min((max(0, at - len(head)) for at in found if at >= 0), default=None)

    def _stops_with_special(self, before: Sequence[int], tokens: Sequence[int]) -> int | None:
        """``stops`` where a stop string holds special tokens: found in a text that shows them, counted in ours."""
        shown = self._shown | set(self._in_stop.values())
        head = self._decode(before, shown)
        whole = self._decode([*before, *tokens], shown)
        found = [whole.find(mark, max(0, len(head) - len(mark) + 1)) for mark in self._stop]
        at = min((place for place in found if place >= 0), default=None)
        if at is None:
            return None
        new = whole[len(head) : max(at, len(head))]
        for token, index in self._in_stop.items():
            new = new if index in self._shown else new.replace(token, "")
        return len(new)

    def _could_end(self, token: int) -> bool:
        if not self._last:
            return False
        if token in self._in_stop.values():
            return True
        alone = self.decode([token])
        twice = self.decode([token, token])[len(alone) :]  # a leading space is dropped from the first only
        return any(not self._last.isdisjoint(text) or "\ufffd" in text for text in (alone, twice))
