"""Reward models on vLLM in this process: token classification (one score per step) and reward heads (one score).

Knows how a solution is laid out in tokens and where its scores stand; nothing of search. A failure is an error, never a
score of 0. Solutions are tokenised here, so that no step mark has to be found in the server's reply.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError, TooLongError
from ttscale.core.requests import Score, Verdict
from ttscale.core.selection import Aggregate
from ttscale.core.unscored import OnError, check_on_error, settle
from ttscale.prompts.layouts import QWEN_MATH, PromptFormat, without_marks
from ttscale.prompts.tokenize import encode, piece_ids
from ttscale.vllm.engine import Engine

Family = Literal["token-classification", "qwen-prm", "reward"]


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a family reads a solution."""

    prompt: PromptFormat
    separator: str
    """What follows each step; its last token carries the step's score."""
    strip: bool
    """Whether white space around a step is dropped first."""
    task: str
    """vLLM's name for what is pooled."""
    column: int
    """Which of two scores is the probability that all is well."""
    aggregate: Aggregate


LAYOUTS: dict[Family, _Layout] = {
    # As TRL trains them: the prompt, then each step and a newline.
    "token-classification": _Layout(
        PromptFormat(chat=False, template="{question}"), "\n", True, "token_classify", 1, "last"
    ),
    "qwen-prm": _Layout(QWEN_MATH.prompt, "<extra_0>", True, "token_classify", 1, "prod"),
    "reward": _Layout(PromptFormat(system=None), "", False, "classify", 1, "last"),
}


class VLLMVerifier:
    """Scores from a reward model on vLLM in this process.

    ``model``: a ``vllm.LLM`` that pools, or a model's name or folder, from which one is made with ``options``.
    ``family``: "token-classification" (one score per step, at the last token of ``separator``), "qwen-prm", or
    "reward" (one score for the whole solution: a sequence classifier). ``prompt`` lays the question out. Raw scores
    become probabilities by a sigmoid (one label) or a softmax (two). ``on_error``: a candidate that cannot be judged
    ends its question ("raise"), or competes without a score ("unscored"); None lets only what is too long compete so.
    """

    def __init__(
        self,
        model: Any,
        *,
        family: Family,
        separator: str | None = None,
        prompt: PromptFormat | None = None,
        options: Mapping[str, Any] | None = None,
        on_error: OnError | None = None,
    ) -> None:
        self.on_error = check_on_error(on_error)
        if family not in LAYOUTS:
            raise ValueError(f"family must be one of {', '.join(LAYOUTS)}; got {family!r}")
        self._layout = LAYOUTS[family]
        given = dict(options or {})
        if isinstance(model, str):
            given = {"runner": "pooling", **given}
        self.engine = Engine(model, given)
        self._separator = self._layout.separator if separator is None else separator
        self._prompt = self._layout.prompt if prompt is None else prompt
        self.name = self.engine.name
        self.worker = ("vllm", id(self.engine.llm))
        self.aggregate = self._layout.aggregate
        self.sampling = {
            name: value
            for name, value, usual in (
                ("family", family, "token-classification"),
                ("separator", self._separator, self._layout.separator),
                ("prompt", self._prompt, self._layout.prompt),
            )
            if value != usual
        }
        """Settings that are not the usual ones: part of what stored results call this role."""

    def __repr__(self) -> str:
        return f"VLLMVerifier({self.name!r})"

    def score(self, requests: Sequence[Score], /) -> list[Verdict]:
        """One verdict per request; raises for the first that cannot be scored, as far as ``on_error`` says."""
        laid = [self._lay_out(request) for request in requests]
        params = self.engine.vllm.PoolingParams(task=self._layout.task, use_activation=False)
        names = {i: self.engine.add(one[0], params) for i, one in enumerate(laid) if not isinstance(one, RoleError)}
        found: dict[str, Any] = {}
        try:
            while len(found) < len(names):
                self.engine.step()
                found.update(self.engine.results([name for name in names.values() if name not in found]))
        finally:
            self.engine.abort(list(names.values()))
        replies = [
            one if isinstance(one, RoleError) else self._verdict(request, one[1], found[names[i]])
            for i, (request, one) in enumerate(zip(requests, laid, strict=True))
        ]
        return settle(replies, self.on_error)

    # Inside.

    def _lay_out(self, request: Score) -> tuple[list[int], list[int]] | RoleError:
        """The tokens of a candidate, and where its scores stand; or why it cannot be judged."""
        candidate, tokenizer, layout = request.candidate, self.engine.tokenizer, self._layout
        if not candidate.steps:
            return RoleError(f"cannot score a candidate without steps ({_where(request)})")
        marks = [mark for mark in (*tokenizer.all_special_tokens, self._separator.strip()) if mark]
        clean: Callable[[str], str] = lambda text: without_marks(text, marks)  # noqa: E731
        try:
            ids = encode(tokenizer, self._prompt, clean(candidate.question.prompt))
        except ValueError as error:
            return RoleError(f"cannot lay out a solution for the verifier: {error} ({_where(request)})")
        places = []
        for step in candidate.steps:
            text = clean(step.text)
            ids += piece_ids(tokenizer, text.strip() if layout.strip else text)
            ids += piece_ids(tokenizer, self._separator) if self._separator else []
            places.append(len(ids) - 1)
        if len(ids) > self.engine.context_length:
            return TooLongError(
                f"the solution is {len(ids)} tokens long with its question, the verifier reads at most "
                f"{self.engine.context_length} ({_where(request)})"
            )
        return ids, places

    def _verdict(self, request: Score, places: Sequence[int], output: Any) -> Verdict | RoleError:
        rows = output.outputs.data.tolist()
        count = len(output.prompt_token_ids)
        if self._layout.task == "classify":
            rows = [rows]
        elif len(rows) == count:
            rows = [rows[place] for place in places]
        elif len(rows) != len(places):  # a model that pools at its step marks gives one row for each
            return RoleError(
                f"vLLM returned {len(rows)} rows for {len(places)} steps in {count} tokens ({_where(request)}); is "
                "this a token classifier, and is the family right?"
            )
        rows = [row if isinstance(row, list) else [row] for row in rows]
        for row in rows:
            if not 1 <= len(row) <= 2 or not all(map(math.isfinite, row)):
                return RoleError(f"vLLM returned {row!r} where one or two scores were expected ({_where(request)})")
        scores = tuple(map(self._probability, rows))
        return Verdict(scores, Cost(verifier_tokens=count - min(count, output.num_cached_tokens or 0)))

    def _probability(self, row: Sequence[float]) -> float:
        logit = row[0] if len(row) == 1 else row[self._layout.column] - row[1 - self._layout.column]
        return 0.5 * (1 + math.tanh(logit / 2))


def _where(request: Score) -> str:
    return f"question {request.question.label}, candidate {request.key}"
