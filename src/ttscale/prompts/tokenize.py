"""From a question, and earlier attempts at it, to token ids: one function for training and for inference.

Knows: text, chat templates, the JSON a checkpoint carries. Must not know: models, tensors, search.

A checkpoint may hold a ``ttscale.json`` beside its weights; ``HFModel`` reads it, and keyword arguments of the roles go
before it. Every field may be left out::

    {
      "prompt": {"chat": true, "system": null, "template": "{question}\\n",
                 "examples": [["2 + 2", "Answer: 4"]], "example_template": "{question}\\n{solution}\\n\\n",
                 "attempt_template": "{attempt}{eos}", "revision_request": null, "max_attempts": 4,
                 "stop": ["\\n\\nQ:"], "chat_template_kwargs": {"enable_thinking": false}, "date": "2024-07-26"},
      "delimiter": "\\n", "temperature": 1.0, "top_k": null, "top_p": null, "min_p": null, "max_new_tokens": 256
    }

Two layouts, both written in one piece and tokenised once (so training and inference cannot differ):

* chat: the tokenizer's chat template over [system], (example question, example solution)..., question, and for a
  revision each attempt as an assistant turn, with ``revision_request`` as a user turn after each attempt unless it is
  null; then the generation prompt.
* plain: ``example_template`` for each example, ``template`` for the question, ``attempt_template`` for each attempt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from ttscale.core.chat import Chat, text_of
from ttscale.prompts.layouts import PromptFormat, chat_turns, plain_text

__all__ = ["PromptFormat", "encode", "leading_ids", "read_settings", "uses_chat"]

_TODAY = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")
SPACE = "\u2581"
"""How SentencePiece spells a space."""
_LEADS: WeakKeyDictionary[Any, tuple[int, ...]] = WeakKeyDictionary()
"""``_lead`` of tokenizers met before: steps are many."""
_LEADING: WeakKeyDictionary[Any, list[int]] = WeakKeyDictionary()
"""``leading_ids`` of tokenizers met before: prompts are many too."""


def read_settings(folder: str | Path, name: str = "ttscale.json") -> dict[str, Any]:
    """The settings a local checkpoint carries, or {} when it has none."""
    path = Path(folder) / name
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} must hold a JSON object, not a {type(data).__name__}")
    return data


def encode(tokenizer: Any, form: PromptFormat, question: str, attempts: Sequence[str] = ()) -> list[int]:
    """The context a model continues: the question, or the question with earlier attempts, oldest first.

    Only the last ``form.max_attempts`` attempts are kept. Raises ``ValueError`` where the chat template refuses.
    """
    if uses_chat(tokenizer, form):
        return _encode_chat(tokenizer, form, question, attempts)
    return _encode_plain(tokenizer, form, question, attempts)


def uses_chat(tokenizer: Any, form: PromptFormat) -> bool:
    """Whether this tokenizer's chat template lays the prompt out; asking for one that is not there is an error."""
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if form.chat and not has_template:
        raise ValueError("prompt setting chat=True, but the tokenizer has no chat template; set chat=False")
    return has_template if form.chat is None else form.chat


def _encode_chat(tokenizer: Any, form: PromptFormat, question: str, attempts: Sequence[str]) -> list[int]:
    if isinstance(question, Chat) and question.has_media:
        raise ValueError("the question has parts that are no text; models that run here read text, use a server")
    turns = chat_turns(form, question, attempts)
    for turn in turns:
        turn["content"] = text_of(turn)
    given: dict[str, Any] = dict(form.chat_template_kwargs)
    if isinstance(tokenizer.chat_template, str) and "strftime_now" in tokenizer.chat_template:
        given["chat_template"] = pinned(tokenizer.chat_template, date.fromisoformat(form.date))
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **given)
    except Exception as error:  # jinja raises whatever the template asks for
        raise ValueError(
            f"the tokenizer's chat template refused the turns {[turn['role'] for turn in turns]}: {error}; "
            "set system=None if it has no system turn, or chat=False"
        ) from error
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def pinned(template: str, day: date) -> str:
    """A chat template in which ``strftime_now("...")`` says this day, so that a prompt is the same tomorrow."""
    return _TODAY.sub(lambda call: repr(day.strftime(call[2])), template)


def _encode_plain(tokenizer: Any, form: PromptFormat, question: str, attempts: Sequence[str]) -> list[int]:
    text = plain_text(form, question, attempts, bos=tokenizer.bos_token or "", eos=tokenizer.eos_token or "\n")
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    bos = leading_ids(tokenizer)
    return ids if ids[: len(bos)] == bos else bos + ids


def piece_ids(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text that goes on from another, tokenised apart from it.

    Some tokenizers (Llama 2, Mistral 0.1) put a space before every text; in the middle of one nobody wrote it.
    """
    if tokenizer not in _LEADS:
        _LEADS[tokenizer] = _lead(tokenizer)
    if lead := _LEADS[tokenizer]:
        joined = list(tokenizer("\n" + text, add_special_tokens=False)["input_ids"])
        if tuple(joined[: len(lead)]) == lead:
            return joined[len(lead) :]
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _lead(tokenizer: Any) -> tuple[int, ...]:
    """The tokens of a newline alone, where the tokenizer puts a space before it; else nothing."""
    ids = tuple(tokenizer("\n", add_special_tokens=False)["input_ids"])
    return ids if len(ids) > 1 and tokenizer.convert_ids_to_tokens(ids[0]) == SPACE else ()


def leading_ids(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before every text by itself: its BOS token, or nothing."""
    if tokenizer not in _LEADING:
        _LEADING[tokenizer] = _leading(tokenizer)
    return list(_LEADING[tokenizer])


def _leading(tokenizer: Any) -> list[int]:
    bare = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    full = list(tokenizer("a")["input_ids"])
    for cut in range(len(full)):
        if full[cut : cut + len(bare)] == bare:
            return full[:cut]
    return []
