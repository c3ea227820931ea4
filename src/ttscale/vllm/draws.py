"""Draws on a ``vllm.LLM``: continuous batching, seeds from keys, token ids in and out.

Knows requests and where steps end; not how prompts are laid out. The rules of steps are those of the local backend
(``ttscale.prompts.steps``): a step ends with the token that completes the delimiter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ttscale.core.confidence import TOP, first_below, of_likeliest
from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError
from ttscale.core.requests import Completion, Revise, Sample
from ttscale.core.seeds import counted_seed
from ttscale.core.types import Finish, Key, Step
from ttscale.prompts.drawn_steps import Drawn, drawn_steps
from ttscale.prompts.layouts import stop_strings
from ttscale.prompts.steps import FullContext, StepText, context_ids, opened
from ttscale.prompts.tokenize import uses_chat
from ttscale.vllm.engine import VLLMEngine
from ttscale.vllm.settings import VLLMSettings


@dataclass(slots=True)
class _Draw(Drawn):
    """One request on its way."""

    ticket: int
    key: Key
    prompt: tuple[int, ...]
    max_steps: int | None
    temperature: float
    most: int
    opening: str
    """The thinking tag that the prompt ended in."""
    window: int | None
    """Tokens of a confidence window; None where nobody asked for confidence."""
    below: float | None
    """The confidence of a window at which the draw is given up."""
    context_tokens: int = 0
    cached: int = 0
    asked: int = 0
    bound: int | None = None
    """Tokens beyond which it has lost its race."""

    def seed(self) -> int:
        """The key's own for the first piece; each further one has another."""
        self.asked += 1
        return counted_seed(self.key) if self.asked == 1 else self.key.child("draw", self.asked).seed

    def give_up(self) -> bool:
        """Drop what was drawn after a window fell below the threshold; whether one did."""
        lost = None if not self.window or self.below is None else first_below(self.confidences, self.window, self.below)
        if lost is not None:
            del self.tokens[lost:], self.logprobs[lost:], self.confidences[lost:]
        return lost is not None


class VLLMSession:
    """Requests enter and completions leave at any time; see ``ttscale.core.protocols.Session``."""

    def __init__(self, engine: VLLMEngine, settings: VLLMSettings) -> None:
        self._engine, self._settings = engine, settings
        self._stop = stop_strings(settings.prompt, uses_chat(engine.tokenizer, settings.prompt))
        self._text = StepText(engine.tokenizer, settings.delimiter, self._stop, settings.prompt.thoughts)
        self._running: dict[str, _Draw] = {}
        self._failed: list[tuple[int, Completion | Exception]] = []

    @property
    def active(self) -> bool:
        """Whether any admitted request has not been answered yet."""
        return bool(self._failed or self._running)

    def admit(self, requests: Sequence[tuple[int, Any]]) -> None:
        """Take in (ticket, request) pairs; one that cannot be served is answered with its exception."""
        for ticket, request in requests:
            try:
                self._enter(self._begin(ticket, request))
            except FullContext:
                self._failed.append((ticket, Completion((), "length")))
            except (RoleError, ValueError) as error:
                self._failed.append((ticket, error))

    def step(self) -> Sequence[tuple[int, Completion | Exception]]:
        """One step of the engine; returns what was finished in it."""
        done, self._failed = self._failed, []
        if self._running:
            self._engine.step()
        for name, output in list(self._engine.results(list(self._running))):
            draw = self._running.pop(name)
            reply = self._take(draw, output, output.outputs[0].finish_reason)
            if reply is None:
                self._enter(draw)
            else:
                done.append((draw.ticket, reply))
        for name, draw in list(self._running.items()):
            output = self._engine.so_far.get(name)
            if draw.bound is not None and output and draw.bound < len(draw.tokens) + len(output.outputs[0].token_ids):
                del self._running[name]
                self._engine.abort([name])
                reply = self._take(draw, output, "length")
                assert reply is not None
                done.append((draw.ticket, replace(reply, finish="length")))
        return done

    def bound(self, ticket: int, tokens: int, /) -> None:
        """Stop the draw of this ticket once it has sampled more than ``tokens``: see ``BoundedSession``."""
        for draw in self._running.values():
            if draw.ticket == ticket:
                draw.bound = tokens

    def close(self) -> None:
        """Abort whatever is still running."""
        self._engine.abort(list(self._running))
        self._running.clear()

    # Inside.

    def _begin(self, ticket: int, request: Sample | Revise) -> _Draw:
        """The draw that answers a request."""
        longest = self._engine.context_length
        length, context = context_ids(self._engine.tokenizer, self._settings.prompt, request, longest)
        room = longest - len(context)
        given = request.temperature if isinstance(request, Sample) else None
        max_steps = request.max_steps if isinstance(request, Sample) and self._settings.delimiter else None
        heat = self._settings.temperature if given is None else given
        begins = not isinstance(request, Sample) or not request.prefix.steps
        opening = self._text.opens_thought(context[:length]) if begins else ""
        most = min(self._settings.max_new_tokens, room, request.max_tokens or room)
        window, below = (request.window, request.stop_below) if isinstance(request, Sample) else (None, None)
        return _Draw(ticket, request.key, context, max_steps, heat, most, opening, window, below)

    def _enter(self, draw: _Draw) -> None:
        """Ask the engine to go on from the tokens drawn so far."""
        stop = list(self._stop)
        if draw.max_steps is not None and self._settings.delimiter:
            stop.append(self._settings.delimiter)
        params = self._engine.vllm.SamplingParams(
            temperature=draw.temperature,
            top_p=self._settings.top_p,
            top_k=self._settings.top_k,
            min_p=self._settings.min_p,
            seed=draw.seed(),
            max_tokens=draw.most - len(draw.tokens),
            stop=stop or None,
            stop_token_ids=sorted(self._text.stop_ids) or None,
            include_stop_str_in_output=True,
            logprobs=TOP if draw.window else 0,
        )
        self._running[self._engine.add((*draw.prompt, *draw.tokens), params)] = draw

    def _take(self, draw: _Draw, output: Any, why: str | None) -> Completion | None:
        """The reply that a draw stands for now, ended by ``why``; None where it must go on."""
        (one,) = output.outputs
        ids = list(one.token_ids)
        drawn_logprobs = [float(record[token].logprob) for token, record in zip(ids, one.logprobs or (), strict=False)]
        draw.context_tokens += len(output.prompt_token_ids)
        draw.cached += min(output.num_cached_tokens or 0, len(output.prompt_token_ids))
        ended = why == "stop" and not isinstance(one.stop_reason, str)
        sampled = len(ids)
        if ended and ids:
            ids.pop()  # the end of sequence
        draw.tokens += ids
        draw.logprobs += drawn_logprobs[: len(ids)]
        if draw.window:
            shown = [of_likeliest(float(of.logprob) for of in record.values()) for record in one.logprobs]
            draw.confidences += shown[: len(ids)]
        cost = Cost(
            sampled_tokens=len(draw.tokens) + (sampled - len(ids)),
            prompt_tokens=draw.context_tokens - draw.cached,
            cached_tokens=draw.cached,
        )
        if why not in ("stop", "length"):
            raise RoleError(f"vLLM ended the draw {draw.key} with {why!r} instead of 'stop' or 'length'")
        unsure = draw.give_up()
        cut = self._text.stops(draw.prompt, draw.tokens)
        ends = self._ends(draw)
        if cut is not None:
            return Completion(self._steps(draw, ends, cut), "stop", cost)
        if draw.max_steps is not None and len(ends) >= draw.max_steps:
            del draw.tokens[ends[draw.max_steps - 1] :]
            return Completion(self._steps(draw, ends[: draw.max_steps]), "open", cost)
        if why == "stop" and not ended and not unsure and len(draw.tokens) < draw.most:
            return None  # a step of several, or a blank that goes with what follows
        finish: Finish = "stop" if ended and not unsure else "length"
        return Completion(self._steps(draw, ends), finish, cost)

    def _ends(self, draw: _Draw) -> list[int]:
        """The number of tokens up to the end of each complete step."""
        ends, begin, text = list[int](), 0, self._text
        for end in range(1, len(draw.tokens) + 1):
            if text.may_end(draw.tokens[end - 1]) and text.ends(
                text.before(draw.prompt, draw.tokens, begin), draw.tokens[begin:end]
            ):
                ends.append(end)
                begin = end
        return ends

    def _steps(self, draw: _Draw, ends: Sequence[int], cut: int | None = None) -> tuple[Step, ...]:
        steps = drawn_steps(self._text, draw.prompt, draw, ends, cut, draw.window)
        return opened(steps, draw.opening, self._settings.prompt)
