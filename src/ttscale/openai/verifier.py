"""A verifier that vLLM serves: a PRM under /pooling, an ORM under /classify.

It knows how public verifiers want a solution laid out (their model cards and public code)
and what the two endpoints return; nothing of search. A failure is an error, never a score of 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ttscale.core.cost import Cost, Price
from ttscale.core.errors import RoleError, TooLongError
from ttscale.core.requests import Score, Verdict
from ttscale.core.selection import Aggregate
from ttscale.core.types import said_steps
from ttscale.core.unscored import OnError, check_on_error, settle
from ttscale.openai.connection import Connection, one_connection
from ttscale.openai.failures import Rejected, says_too_long
from ttscale.openai.pool import home_of
from ttscale.openai.reply import read_rows
from ttscale.openai.tasks import together
from ttscale.prompts.layouts import QWEN_MATH, chat_turns, without_marks

Activation = Literal["none", "sigmoid", "softmax"]
OF_ONE_INPUT = (400, 413, 422)
"""Statuses that say something of the input, and nothing of the others."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a served verifier wants a solution, and how its reply is read."""

    path: str
    """Where it is served, relative to the base URL; "/.." goes to the server's root."""
    write: Callable[[str, Sequence[str]], dict[str, object]]
    """From the question and the texts of the steps to what the request holds: "messages" or "input"."""
    per_step: bool
    column: int
    """Which number of a row is the probability that all is well, where a row has several."""
    aggregate: Aggregate
    """What suits its step scores."""
    serve: str
    """How to serve it, for error messages."""


CONTROL = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "</s>"),
    *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>"),
)
"""What ends a turn for the models that verifiers are built on; servers read it in any text. Their tokenizers are not at
hand here, so this is a list: the tokens of Qwen, Llama and Mistral."""


def _qwen(question: str, steps: Sequence[str]) -> dict[str, object]:
    marks = ("<extra_0>", *CONTROL)
    text = "".join(without_marks(step, marks).strip() + "<extra_0>" for step in steps)
    turns = chat_turns(QWEN_MATH.prompt, without_marks(question, marks))
    return {"messages": [*turns, {"role": "assistant", "content": text}]}


def _shepherd(question: str, steps: Sequence[str]) -> dict[str, object]:
    marks = ("ки", *CONTROL)
    text = "".join(without_marks(step, marks).strip() + " ки\n" for step in steps)
    return {"input": without_marks(question, marks) + " " + text}


def _whole(question: str, steps: Sequence[str]) -> dict[str, object]:
    solution = without_marks("".join(steps), CONTROL).strip()
    asked = {"role": "user", "content": without_marks(question, CONTROL)}
    return {"messages": [asked, {"role": "assistant", "content": solution}]}


LAYOUTS = {
    "qwen-prm": Layout("/../pooling", _qwen, True, 1, "prod", "vllm serve Qwen/Qwen2.5-Math-PRM-7B"),
    "math-shepherd": Layout(
        "/../pooling",
        _shepherd,
        True,
        0,
        "min",
        "vllm serve peiyi9979/math-shepherd-mistral-7b-prm --runner pooling --convert classify --hf-overrides "
        '\'{"classifier_from_token": ["▁+", "▁-"], "method": "no_post_processing"}\' --pooler-config '
        '\'{"task": "token_classify", "pooling_type": "STEP", "step_tag_id": 12902}\'',
    ),
    "orm": Layout("/../classify", _whole, False, 1, "last", "vllm serve MODEL --runner pooling --convert classify"),
}


class OpenAIVerifier:
    """Scores from a reward model behind vLLM.

    ``layout`` is "qwen-prm", "math-shepherd", "orm" or a ``Layout``. ``activation`` turns raw scores into
    probabilities where the server does not ("none" expects that it does: a score outside [0, 1] is an error).
    ``base_url`` is the one that ends in /v1, ``urls`` and ``weights`` are a pool, sized as this role needs it. A
    ``price`` makes ``Cost.dollars``. Thoughts are left out unless ``thoughts`` is True; a step that was all thought
    scores 1. Text that would look like a step mark or a control token is taken out.
    ``on_error``: a candidate that cannot be judged ends its question ("raise"), or competes without a score
    ("unscored"); None lets only what is too long compete so. A server that fails is no fault of a candidate.
    """

    def __init__(
        self,
        model: str,
        base_url: str | Sequence[str] | None = None,
        *,
        layout: Layout | str,
        urls: Sequence[str] | None = None,
        weights: Sequence[float] | None = None,
        api_key: str | None = None,
        connection: Connection | None = None,
        price: Price | None = None,
        activation: Activation = "none",
        on_error: OnError | None = None,
        thoughts: bool = False,
    ) -> None:
        self.on_error = check_on_error(on_error)
        if isinstance(layout, str) and layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {', '.join(LAYOUTS)} or a Layout; got {layout!r}")
        if activation not in ("none", "sigmoid", "softmax"):
            raise ValueError(f'activation must be "none", "sigmoid" or "softmax"; got {activation!r}')
        self.model, self.name = model, model
        self.connection = one_connection(connection, base_url, api_key, urls, weights)
        self._layout = LAYOUTS[layout] if isinstance(layout, str) else layout
        self._activation, self._thoughts, self._price = activation, thoughts, price
        self.sampling: dict[str, object] = {"thoughts": True} if thoughts else {}
        self.aggregate = self._layout.aggregate

    def __repr__(self) -> str:
        return f"OpenAIVerifier({self.model!r}, {', '.join(map(repr, self.connection.endpoints))})"

    async def score(self, requests: Sequence[Score], /) -> list[Verdict]:
        """One verdict per request, asked for all at once within the connection's limit."""
        return settle(await together([self._score(request) for request in requests]), self.on_error)

    async def _score(self, request: Score) -> Verdict | RoleError:
        """The verdict, or what is wrong with this candidate alone; raises where the server is at fault."""
        candidate, layout = request.candidate, self._layout
        where = f"question {candidate.question.label}, candidate {candidate.key}"
        if not candidate.steps:
            return RoleError(f"cannot score a candidate without steps ({where})")
        shown = said_steps(candidate, self._thoughts)
        steps = [step for step in shown if step is not None]
        body = {"model": self.model, **layout.write(candidate.question.prompt, steps)}
        try:
            rows, cost = await self.connection.post(
                layout.path,
                body,
                read_rows,
                where=where,
                seed=candidate.key.seed,
                home=home_of(candidate.question.prompt),
            )
        except Rejected as error:
            if error.status not in OF_ONE_INPUT:
                raise
            return TooLongError(str(error)) if says_too_long(error.said) else error
        try:
            return self._verdict(rows, cost, shown, where)
        except RoleError as error:
            return error

    def _verdict(self, rows: list[Any], cost: Cost, shown: Sequence[str | None], where: str) -> Verdict:
        layout, steps = self._layout, sum(step is not None for step in shown)
        cost = self._price.charge(cost) if self._price else cost
        nested = [row if isinstance(row, list) else [row] for row in rows]
        if layout.per_step:
            if len(nested) != steps:
                raise RoleError(
                    f"the server returned {len(nested)} rows for {steps} steps ({where}); serve the model so that "
                    f"it pools at the step marks only: {layout.serve}"
                )
        else:
            nested = [nested[-1] if isinstance(rows[-1], list) else rows]
        scores = [self._probability(row, where) for row in nested]
        if len(scores) == 1:
            return Verdict((scores[0],), cost)
        said = iter(scores)
        return Verdict(tuple(1.0 if step is None else next(said) for step in shown), cost)

    def _probability(self, row: Sequence[Any], where: str) -> float:
        if not row or not all(isinstance(x, (int, float)) and math.isfinite(x) for x in row):
            raise RoleError(f"the server returned {row!r} as scores ({where}); finite numbers were expected")
        values = [float(x) for x in row]
        column = self._layout.column if len(values) > 1 else 0
        if column >= len(values) or len(values) > 2:
            raise RoleError(
                f"the server returned {len(values)} scores where one or two were expected ({where}); is this a reward "
                f"model with the layout given? serve it like this: {self._layout.serve}"
            )
        if self._activation == "sigmoid":
            value = 0.5 * (1 + math.tanh(values[column] / 2))
        elif self._activation == "softmax":
            exps = [math.exp(x - max(values)) for x in values]
            value = exps[column] / sum(exps)
        else:
            value = values[column]
        if not 0 <= value <= 1:
            raise RoleError(
                f"the server returned the score {value:.4g} ({where}), which is no probability; pass "
                f'activation="sigmoid" (one raw score) or "softmax" (two)'
            )
        return value
