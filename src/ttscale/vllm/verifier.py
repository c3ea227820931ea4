"""Reward models on vLLM in this process: token classification (one score per step) and reward heads (one score).

Knows which layout a family has and how pooled rows become scores; nothing of search. A failure is an error, never a
score of 0. Solutions are tokenised here, so that no step mark has to be found in the server's reply.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from ttscale.core.checks import check_choice
from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError, TooLongError
from ttscale.core.requests import Score, Verdict, where
from ttscale.core.selection import Aggregate
from ttscale.core.unscored import OnError, check_on_error, settle
from ttscale.prompts.verifier_layouts import Encoded, QwenPRMLayout, SequenceLayout, TRLLayout
from ttscale.vllm.engine import VLLMEngine

Family = Literal["token-classification", "qwen-prm", "reward"]
AGGREGATE: dict[Family, Aggregate] = {"token-classification": "last", "qwen-prm": "prod", "reward": "last"}


class VLLMVerifier:
    """Scores from a reward model on vLLM in this process.

    ``model``: a ``vllm.LLM`` that pools, or a model's name or folder, from which one is made with ``options``.
    ``family``: "token-classification" (as TRL trains them: one score per step, at the last token of ``separator``),
    "qwen-prm", or "reward" (one score for the whole solution: a sequence classifier). Layouts are those of
    ``HFVerifier``. Raw scores become probabilities by a sigmoid (one label) or a softmax (two). ``on_error``: a
    candidate that cannot be judged ends its question ("raise"), or competes without a score ("unscored"); None lets
    only what is too long compete so.
    """

    def __init__(
        self,
        model: Any,
        *,
        family: Family,
        separator: str = "\n",
        options: Mapping[str, Any] | None = None,
        on_error: OnError | None = None,
    ) -> None:
        self.on_error = check_on_error(on_error)
        check_choice("family", family, get_args(Family))
        given = dict(options or {})
        if isinstance(model, str | os.PathLike):
            given = {"runner": "pooling", **given}
        self.engine = VLLMEngine(model, given)
        self._task = "classify" if family == "reward" else "token_classify"
        self._layout: TRLLayout | QwenPRMLayout | SequenceLayout
        if family == "reward":
            config = getattr(self.engine.llm.llm_engine.model_config, "hf_config", None)
            self._layout = SequenceLayout(self.engine.tokenizer, getattr(config, "pad_token_id", None))
        elif family == "qwen-prm":
            self._layout = QwenPRMLayout(self.engine.tokenizer)
        else:
            self._layout = TRLLayout(self.engine.tokenizer, separator)
        self.name = self.engine.name
        self.worker = ("vllm", id(self.engine.llm))
        self.aggregate = AGGREGATE[family]
        self.sampling: dict[str, object] = {} if family == "token-classification" else {"family": family}
        """Settings that are not the usual ones: part of what stored results call this role."""
        if separator != "\n":
            self.sampling["separator"] = separator

    def __repr__(self) -> str:
        return f"VLLMVerifier({self.name!r})"

    def score(self, requests: Sequence[Score], /) -> list[Verdict]:
        """One verdict per request; raises for the first that cannot be scored, as far as ``on_error`` says."""
        laid = [self._lay_out(request) for request in requests]
        params = self.engine.vllm.PoolingParams(task=self._task, use_activation=False)
        names = {i: self.engine.add(one.ids, params) for i, one in enumerate(laid) if isinstance(one, Encoded)}
        found: dict[str, Any] = {}
        try:
            while len(found) < len(names):
                self.engine.step()
                found.update(self.engine.results([name for name in names.values() if name not in found]))
        finally:
            self.engine.abort(list(names.values()))
        replies = [
            self._verdict(request, one.reads, found[names[i]]) if isinstance(one, Encoded) else one
            for i, (request, one) in enumerate(zip(requests, laid, strict=True))
        ]
        return settle(replies, self.on_error)

    # Inside.

    def _lay_out(self, request: Score) -> Encoded | RoleError:
        """The tokens of a candidate, and where its scores stand; or why it cannot be judged."""
        candidate = request.candidate
        if not candidate.steps:
            return RoleError(f"cannot score a candidate without steps ({where(request)})")
        try:
            ids, reads = self._layout.encode(candidate.question.prompt, [step.text for step in candidate.steps])
        except ValueError as error:
            return RoleError(f"cannot lay out a solution for the verifier: {error} ({where(request)})")
        ids = ids[: reads[-1] + 1]  # where a classifier is read, and nothing behind it changes a score
        if len(ids) > self.engine.context_length:
            return TooLongError(
                f"the solution is {len(ids)} tokens long with its question, the verifier reads at most "
                f"{self.engine.context_length} ({where(request)})"
            )
        return Encoded(ids, reads)

    def _verdict(self, request: Score, reads: Sequence[int], output: Any) -> Verdict | RoleError:
        rows = output.outputs.data.tolist()
        count = len(output.prompt_token_ids)
        if self._task == "classify":
            rows = [rows]
        elif len(rows) == count:
            rows = [rows[read] for read in reads]
        elif len(rows) != len(reads):  # a model that pools at its step marks gives one row for each
            return RoleError(
                f"vLLM returned {len(rows)} rows for {len(reads)} steps in {count} tokens ({where(request)}); is "
                "this a token classifier, and is the family right?"
            )
        rows = [row if isinstance(row, list) else [row] for row in rows]
        for row in rows:
            if not 1 <= len(row) <= 2 or not all(map(math.isfinite, row)):
                return RoleError(f"vLLM returned {row!r} where one or two scores were expected ({where(request)})")
        cost = Cost(verifier_tokens=count - min(count, output.num_cached_tokens or 0))
        return Verdict(tuple(map(_probability, rows)), cost)


def _probability(row: Sequence[float]) -> float:
    """P(right): the sigmoid of one score, or label 1 of the softmax of two."""
    return 0.5 * (1 + math.tanh((row[0] if len(row) == 1 else row[1] - row[0]) / 2))
