"""From a question, and earlier attempts at it, to token ids: one function for training and for inference.

Knows: text, chat templates, the JSON a checkpoint carries. Must not know: models, tensors, search.

A checkpoint may hold a ``ttscale.json`` beside its weights; ``HFModel`` reads it, and keyword arguments of the roles go
before it. Every field may be left out::

    {
      "prompt": {"chat": true, "system": null, "template": "{question}\\n",
                 "examples": [["2 + 2", "Answer: 4"]], "example_template": "{question}\\n{solution}\\n\\n",
                 "attempt_template": "{attempt}{eos}", "revision_request": null, "max_attempts": 4},
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
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

SYSTEM_PROMPT = "Solve the problem step by step, one step per line. Put the final answer in \\boxed{} on the last line."
REVISION_REQUEST = "There may be a mistake in your solution. Look at it again and write a complete, corrected solution."


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """How a question and its earlier attempts are laid out for a model. Plain data, saved as JSON."""

    chat: bool | None = None
    """Use the tokenizer's chat template; None: if it has one."""
    system: str | None = SYSTEM_PROMPT
    """System turn of a chat, left out when None. A plain prompt has none."""
    template: str = "{question}\n"
    """Plain layout of the question; ``{question}``, ``{bos}`` and ``{eos}`` are filled in."""
    examples: tuple[tuple[str, str], ...] = ()
    """Solved questions shown first (few-shot): pairs of question and solution."""
    example_template: str = "{question}\n{solution}\n\n"
    attempt_template: str = "{attempt}{eos}"
    """Plain layout of an earlier attempt in front of a new one; trailing white space of the attempt is dropped."""
    revision_request: str | None = REVISION_REQUEST
    """User turn after each attempt of a chat, or None to let attempts follow each other."""
    max_attempts: int = 4
    """The most recent attempts kept in the context (paper, section 3.8 of the notes: 4)."""

    @staticmethod
    def from_json(data: dict[str, Any]) -> PromptFormat:
        """The format in a parsed ``ttscale.json``'s "prompt"; unknown names are a ``ValueError``."""
        known = {field.name for field in fields(PromptFormat)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise ValueError(f"unknown prompt setting {unknown[0]!r}; known: {', '.join(sorted(known))}")
        settings = dict(data)
        if "examples" in settings:
            settings["examples"] = tuple((str(q), str(s)) for q, s in settings["examples"])
        return PromptFormat(**settings)


def read_settings(folder: str | Path, name: str = "ttscale.json") -> dict[str, Any]:
    """The settings a local checkpoint carries, or {} when it has none."""
    path = Path(folder) / name
    if not path.is_file():
        return {}
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise ValueError(f"{path} must hold a JSON object, not a {type(data).__name__}")
    return data


def encode(tokenizer: Any, form: PromptFormat, question: str, attempts: Sequence[str] = ()) -> list[int]:
    """The context a model continues: the question, or the question with earlier attempts, oldest first.

    Only the last ``form.max_attempts`` attempts are kept. Raises ``ValueError`` where the chat template refuses.
    """
    recent = [attempt.rstrip() for attempt in attempts][-form.max_attempts :] if form.max_attempts else []
    if uses_chat(tokenizer, form):
        return _encode_chat(tokenizer, form, question, recent)
    return _encode_plain(tokenizer, form, question, recent)


def uses_chat(tokenizer: Any, form: PromptFormat) -> bool:
    """Whether this tokenizer's chat template lays the prompt out; asking for one that is not there is an error."""
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if form.chat and not has_template:
        raise ValueError("prompt setting chat=True, but the tokenizer has no chat template; set chat=False")
    return has_template if form.chat is None else form.chat


def _encode_chat(tokenizer: Any, form: PromptFormat, question: str, attempts: Sequence[str]) -> list[int]:
    turns: list[dict[str, str]] = []
    if form.system is not None:
        turns.append({"role": "system", "content": form.system})
    for example, solution in form.examples:
        turns += [{"role": "user", "content": example}, {"role": "assistant", "content": solution}]
    turns.append({"role": "user", "content": question})
    for attempt in attempts:
        turns.append({"role": "assistant", "content": attempt})
        if form.revision_request is not None:
            turns.append({"role": "user", "content": form.revision_request})
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # jinja raises whatever the template asks for
        raise ValueError(
            f"the tokenizer's chat template refused the turns {[turn['role'] for turn in turns]}: {error}; "
            "set system=None if it has no system turn, or chat=False"
        ) from error
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _encode_plain(tokenizer: Any, form: PromptFormat, question: str, attempts: Sequence[str]) -> list[int]:
    special = {"bos": tokenizer.bos_token or "", "eos": tokenizer.eos_token or "\n"}
    text = "".join(_fill(form.example_template, question=q, solution=s, **special) for q, s in form.examples)
    text += _fill(form.template, question=question, **special)
    text += "".join(_fill(form.attempt_template, attempt=attempt, **special) for attempt in attempts)
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    bos = leading_ids(tokenizer)
    return ids if ids[: len(bos)] == bos else bos + ids


def leading_ids(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before every text by itself: its BOS token, or nothing."""
    bare = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    full = list(tokenizer("a")["input_ids"])
    for cut in range(len(full)):
        if full[cut : cut + len(bare)] == bare:
            return full[:cut]
    return []


def _fill(template: str, **values: str) -> str:
    """Replace ``{name}`` for the given names only, so that braces in mathematics are left alone."""
    pieces = [template]
    for name, value in values.items():
        mark = "{" + name + "}"
        pieces = [part for piece in pieces for part in _split(piece, mark, value)]
    return "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)


class _Value:
    """A filled-in value: not searched for further names."""

    def __init__(self, text: str) -> None:
        self.text = text


def _split(piece: Any, mark: str, value: str) -> list[Any]:
    if isinstance(piece, _Value):
        return [piece]
    parts = piece.split(mark)
    filled: list[Any] = [parts[0]]
    for part in parts[1:]:
        filled += [_Value(value), part]
    return filled
