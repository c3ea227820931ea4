"""The generator: questions and steps in, sampled steps out, on a shared ``HFModel``.

Knows: requests and replies, prompts, settings. Must not know: KV, batching (``decode.py`` does), strategies.
Over 300 lines because generator and reviser share one sampler and its settings.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from numbers import Integral, Real
from typing import Any, NamedTuple

from ttscale.core.confidence import by_step
from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError
from ttscale.core.requests import Completion, Revise, Sample, check_temperature
from ttscale.core.types import Candidate, Step
from ttscale.hf.decode import Decoder, Draw, Row
from ttscale.hf.model import REMEMBERED, HFModel, step_names
from ttscale.hf.option_probabilities import Odds, first_token_odds
from ttscale.hf.sampling import Filters
from ttscale.prompts.layouts import check_prompt
from ttscale.prompts.steps import StepText
from ttscale.prompts.tokenize import PromptFormat, encode, piece_ids

MAX_NEW_TOKENS = 2048
OWN = ("prompt", "delimiter", "temperature", "max_new_tokens")
SETTINGS = (*OWN, *(field.name for field in fields(Filters)))
"""What a checkpoint's ``ttscale.json`` may hold."""
UNSET: Any = object()


def _special(tokenizer: Any, text: str) -> bool:
    """Whether a text holds a special token of this tokenizer."""
    return any(token in text for token in getattr(tokenizer, "all_special_tokens", ()) if token)


class Settings:
    """Sampling and prompt settings of a role: given by keyword, else by the checkpoint's JSON, else the default."""

    def __init__(
        self,
        model: HFModel,
        delimiter: Any,
        temperature: float | None,
        top_k: Any,
        top_p: Any,
        min_p: Any,
        max_new_tokens: int | None,
        prompt: PromptFormat | None,
    ) -> None:
        own = model.settings
        if unknown := sorted(set(own) - set(SETTINGS)):
            raise ValueError(
                f"the ttscale.json of {model.name} has an unknown setting {unknown[0]!r}; known: {', '.join(SETTINGS)}"
            )
        mark: Any = own.get("delimiter", "\n") if delimiter is UNSET else delimiter
        if mark is not None and not isinstance(mark, str):
            raise ValueError(f"delimiter must be a string or None; got {mark!r}")
        self.delimiter: str | None = mark
        heat = _first(temperature, own.get("temperature"), 1.0)
        self.temperature = float(heat) if isinstance(heat, Real) else heat
        check_temperature(self.temperature)
        self.filters = Filters(
            own.get("top_k") if top_k is UNSET else top_k,
            own.get("top_p") if top_p is UNSET else top_p,
            own.get("min_p") if min_p is UNSET else min_p,
        )
        most = _first(max_new_tokens, own.get("max_new_tokens"), MAX_NEW_TOKENS)
        if not isinstance(most, Integral) or most < 1:
            raise ValueError(f"max_new_tokens must be a positive integer; got {most!r}")
        self.max_new_tokens = int(most)
        self.prompt = PromptFormat.from_json(own.get("prompt", {})) if prompt is None else check_prompt(prompt)
        self.text = StepText(model.tokenizer, self.delimiter, self.prompt.stop)
        if self.delimiter is not None and _special(model.tokenizer, self.delimiter):
            raise ValueError(
                f"the delimiter {self.delimiter!r} holds a special token, which has no text to cut at; take one of text"
            )

    def unusual(self, model: HFModel) -> dict[str, Any]:
        """Those that are not the checkpoint's own."""
        own = Settings(model, UNSET, None, UNSET, UNSET, UNSET, None, None)._named()
        return {name: value for name, value in self._named().items() if value != own[name]}

    def _named(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in OWN} | asdict(self.filters)


def _first(*values: Any) -> Any:
    """The first value that is not None."""
    return next(value for value in values if value is not None)


class Sampler:
    """What generator and reviser share: contexts to draws, rows to completions."""

    def __init__(self, model: HFModel, settings: Settings) -> None:
        self.model = model
        self.settings = settings

    def draw(self, request: Sample | Revise) -> Draw:
        """The draw that answers this request; ``RoleError`` where the context is too long."""
        settings = self.settings
        if isinstance(request, Sample):
            prompt, context = self.prefix(request.prefix)
            max_steps, temperature = request.max_steps, request.temperature
        else:
            attempts = [attempt.text for attempt in request.attempts if attempt.steps]
            context = tuple(encode(self.model.tokenizer, settings.prompt, request.question.prompt, attempts))
            prompt, max_steps, temperature = len(context), None, None
        limit = self.model.context_length
        room = limit - len(context)
        label = f"question {request.question.label} (key {request.key})"
        if room < 1 or not context:
            what = f"is {len(context)} tokens long, the model reads at most {limit}" if context else "is empty"
            raise RoleError(
                f"the context of {label} {what}; use a shorter question or prompt, or a model with a longer context"
            )
        if temperature is None:
            temperature = settings.temperature
        check_temperature(temperature)
        most = min(settings.max_new_tokens, room)
        window, below = (request.window, request.stop_below) if isinstance(request, Sample) else (None, None)
        return Draw(context, prompt, request.key.seed, temperature, max_steps, most, label, window, below)

    def prefix(self, prefix: Candidate) -> tuple[int, tuple[int, ...]]:
        """(length of the prompt, its tokens and those of each step as sampled); text without tokens is tokenised."""
        tokenizer, attempts = self.model.tokenizer, [attempt.text for attempt in prefix.attempts if attempt.steps]
        ids = encode(tokenizer, self.settings.prompt, prefix.question.prompt, attempts)
        prompt = len(ids)
        for step in prefix.steps:
            ids += step_ids(tokenizer, step)
        return prompt, tuple(ids)

    def completion(self, row: Row) -> Completion:
        """The reply a finished row stands for."""
        assert row.finish is not None
        forwarded = self.model.flops(row.forwarded, len(row.draw.context), row.forwarded)
        cost = Cost(
            sampled_tokens=row.sampled,
            prompt_tokens=row.ran,
            cached_tokens=row.cached or 0,
            flops=row.ran_flops + forwarded,
            seconds=row.seconds,
        )
        steps = tuple(_steps(self.settings.text, row))
        if self.model.drawn is not None:
            self._remember(row, steps)
        return Completion(steps, row.finish, cost)

    def _remember(self, row: Row, steps: Sequence[Step]) -> None:
        """Note the steps' log-probabilities, so that a verifier which reads this model need not run them."""
        drawn = self.model.drawn
        if drawn is None or not steps or row.cut is not None:
            return
        ids, spans, sums = list(row.draw.context), [], []
        for step in steps:
            spans.append((len(ids), len(ids) + len(step.tokens)))
            sums.append(step.logprob or 0.0)
            ids += step.tokens
        if row.eos is not None:
            ids.append(row.eos[0])
            spans[-1] = (spans[-1][0], len(ids))
            sums[-1] += row.eos[1]
        drawn.update(zip(step_names(ids, spans), sums, strict=True))
        while len(drawn) > REMEMBERED:
            drawn.popitem(last=False)


def step_ids(tokenizer: Any, step: Step) -> list[int]:
    """The tokens of a step as sampled; for a step that came without, its text's."""
    return list(step.tokens) if step.tokens or not step.text else piece_ids(tokenizer, step.text)


def _steps(text: StepText, row: Row) -> list[Step]:
    """The steps a finished row holds. A blank rest goes with the step before it, a stop string is cut off."""
    spans: list[_Piece] = []
    begin = 0
    for end in [*row.ends, len(row.tokens)]:
        if end > begin:
            words = text.text(text.before(row.draw.context, row.tokens, begin), row.tokens[begin:end])
            spans.append(_Piece(begin, end, words))
        begin = end
    if row.cut is not None:
        spans = _cut(text, row, spans, row.cut)
    if spans and row.finish != "open" and not spans[-1].words.strip():
        rest = spans.pop()
        if spans:
            last = spans[-1]
            spans[-1] = _Piece(last.begin, rest.end, last.words + rest.words, last.whole and rest.whole)
    steps = [piece.step(row) for piece in spans]
    if row.draw.window is None:
        return steps
    records = by_step(row.confidences, [piece.end for piece in spans], row.draw.window)
    return [replace(step, tail=sure.tail, lowest=sure.lowest) for step, sure in zip(steps, records, strict=True)]


class _Piece(NamedTuple):
    """A step to be: the places of its tokens, and its text."""

    begin: int
    end: int
    words: str
    whole: bool = True
    """Whether the tokens spell the text, and not more."""

    def step(self, row: Row) -> Step:
        drawn = self.end - self.begin
        return Step(
            self.words,
            tuple(row.tokens[self.begin : self.end]) if self.whole else (),
            sum(row.logprobs[self.begin : self.end]),
            sum(row.certainties[self.begin : self.end]) / max(1, drawn),
            drawn=None if self.whole else drawn,
        )


def _cut(text: StepText, row: Row, spans: list[_Piece], keep: int) -> list[_Piece]:
    """The first ``keep`` characters of the spans; a step cut inside a token keeps its text and what its tokens' draws
    say, and loses the tokens, which spell more."""
    kept: list[_Piece] = []
    for piece in spans:
        if keep <= 0:
            break
        if len(piece.words) > keep:
            begin, words = piece.begin, piece.words[:keep]
            before = text.before(row.draw.context, row.tokens, begin)
            found = {n: text.text(before, row.tokens[begin:n]) for n in range(begin, piece.end + 1)}
            spelled = [n for n, said in found.items() if said == words]
            covering = next((n for n, said in found.items() if said.startswith(words)), piece.end)
            end = spelled[-1] if spelled else covering
            piece = _Piece(begin, end, words, bool(spelled))
        kept.append(piece)
        keep -= len(piece.words)
    return kept


class SamplerSession:
    """Continuous batching for a role: see ``ttscale.core.protocols.Session``."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._decoder = Decoder(sampler.model, sampler.settings.text, sampler.settings.filters)
        self._failed: list[tuple[int, Completion | Exception]] = []

    @property
    def active(self) -> bool:
        """Whether any admitted request has not been answered yet."""
        return bool(self._failed) or self._decoder.active

    def admit(self, requests: Sequence[tuple[int, Any]]) -> None:
        """Take in (ticket, request) pairs; one that cannot be served is answered with its exception."""
        rows = []
        for ticket, request in requests:
            try:
                rows.append(Row(ticket, self._sampler.draw(request)))
            except (RoleError, ValueError) as error:
                self._failed.append((ticket, error))
        self._decoder.admit(rows)

    def bound(self, ticket: int, tokens: int, /) -> None:
        """Stop the draw of this ticket once it has sampled more than ``tokens``: see ``BoundedSession``."""
        self._decoder.bound(ticket, tokens)

    def step(self) -> Sequence[tuple[int, Completion | Exception]]:
        """One pass of the decode loop; returns what was finished in it."""
        done, self._failed = self._failed, []
        if self._decoder.active:
            done += [(row.ticket, row.error or self._sampler.completion(row)) for row in self._decoder.step()]
        return done

    @property
    def kv_bytes(self) -> int:
        """Bytes of keys and values held now: the model's prefix tree and the running rows."""
        return self._decoder.kv_bytes

    def close(self) -> None:
        """Give up whatever is still running and let go of its memory."""
        if hasattr(self, "_decoder"):  # there is none where opening failed
            self._decoder.close()

    def __del__(self, exiting: Callable[[], bool] = sys.is_finalizing) -> None:
        if not exiting():
            self.close()


def run_all(session: SamplerSession, requests: Sequence[Any]) -> list[Completion]:
    """Answer a batch through a session; the first request that cannot be served raises."""
    replies: dict[int, Completion | Exception] = {}
    try:
        session.admit(list(enumerate(requests)))
        while session.active:
            replies.update(session.step())
    finally:
        session.close()
    completions = []
    for index in range(len(requests)):
        reply = replies[index]
        if isinstance(reply, Exception):
            raise reply
        completions.append(reply)
    return completions


class HFGenerator:
    """Samples continuations from a causal LM.

    ``delimiter`` ends a step (None: the whole solution is one step); ``temperature`` 0 is greedy; ``prompt`` lays the
    question out. What is left out comes from the checkpoint's ``ttscale.json``, else from the defaults there;
    ``sampling`` holds the settings that are not those, and is part of what stored results call this generator.
    """

    def __init__(
        self,
        model: HFModel | str,
        *,
        delimiter: str | None = UNSET,
        temperature: float | None = None,
        top_k: int | None = UNSET,
        top_p: float | None = UNSET,
        min_p: float | None = UNSET,
        max_new_tokens: int | None = None,
        prompt: PromptFormat | None = None,
    ) -> None:
        self.model = model if isinstance(model, HFModel) else HFModel(model)
        settings = Settings(self.model, delimiter, temperature, top_k, top_p, min_p, max_new_tokens, prompt)
        self.model.warn_of_unapplied()
        self._sampler = Sampler(self.model, settings)
        self.sampling = settings.unusual(self.model)
        self.name = self.model.name
        self.worker = self.model.worker
        self.weights = (self.model.name,)

    def sample(self, requests: Sequence[Sample], /) -> list[Completion]:
        """Continue each prefix; raises for the first request that cannot be served."""
        return run_all(self.session(), requests)

    def choose(self, requests: Sequence[Sample], options: Sequence[str], /) -> list[Odds] | None:
        """For each request, how likely the reply is to begin with each of ``options`` (for judges), and its cost.

        None where the tokenizer cannot tell the options apart by their first token.
        """
        contexts = [tuple(self._sampler.draw(request).context) for request in requests]
        return first_token_odds(self.model, contexts, options)

    def session(self) -> SamplerSession:
        """Continuous batching: requests enter and completions leave at any time."""
        return SamplerSession(self._sampler)

    def __repr__(self) -> str:
        return f"HFGenerator({self.name!r})"
