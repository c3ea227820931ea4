"""Draws in text, for servers that deal in nothing else. A prefix goes back as text, which the server tokenises anew.

It knows prompts, the ways servers differ and where steps end; not connections, and nothing of search.

A server is asked for one step at a time with the delimiter as stop string, where its replies tell the end of a step
from the end of the solution. Where they do not, it writes on to the end and the text is cut at the delimiter.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ttscale.core.confidence import TOP
from ttscale.core.errors import RoleError
from ttscale.core.requests import Completion
from ttscale.core.types import Finish, Step
from ttscale.openai.draws import Task
from ttscale.openai.failures import Rejected
from ttscale.openai.pool import home_of
from ttscale.openai.reply import Written, read_choices
from ttscale.openai.server_kinds import Server
from ttscale.openai.settings import WriterSettings
from ttscale.openai.step_records import step_logprobs
from ttscale.openai.streams import watch_of
from ttscale.openai.tasks import together
from ttscale.openai.write_ids import NO_ROOM, no_room, stop_place
from ttscale.prompts.layouts import THINKING, family_of, plain_text, split_steps

T = TypeVar("T")

_THINKS = re.compile(r"[<\[]/?(?:think|thinking|thought|reasoning)[>\]]", re.IGNORECASE)


@dataclass(slots=True)
class TextWriter:
    """Writes through a server that deals in text."""

    settings: WriterSettings
    server: Server
    _trims: bool = False
    """Whether its chat template was seen to drop white space at the end of a partial message."""
    _warned: bool = False
    _said_full: bool = False
    """Whether ``no_room`` has warned."""

    async def write(self, group: Sequence[Task]) -> list[Completion]:
        """Answer tasks of one context by one request, and what each needs beyond it by requests of its own."""
        self._check_continues(group[0])
        step_end = self._step_end(group[0])
        stop = self.settings.stop if step_end is None else (step_end, *self.settings.stop)
        written = await self.ask(group, stop)
        return await together([self._finish(task, one) for task, one in zip(group, written, strict=True)])

    async def ask(self, group: Sequence[Task], stop: Sequence[str]) -> list[Written]:
        """One request for the whole group; its costs go to the tasks."""
        task, n = group[0], len(group)
        seeds = [one.next_seed(self.server) for one in group]
        body = self.body(task, seeds[0], stop) | ({"n": n} if n > 1 else {})
        try:
            written = await self.post(task, seeds[0], body, lambda data: read_choices(data, self.settings.chat, n))
        except Rejected as error:
            if not no_room(error, task, None if self._said_full else self.settings.max_new_tokens):
                raise
            self._said_full = True
            return [NO_ROOM] * n
        for one, reply in zip(group, written, strict=True):
            one.note(reply, task.resent, self.settings.logprobs)
        return [self._without_echo(task, one) for task, one in zip(group, written, strict=True)]

    def body(self, task: Task, seed: int, stop: Sequence[str]) -> dict[str, object]:
        """The request that continues the task's text."""
        settings, server = self.settings, self.server
        body = settings.fields(server, task, seed, stop, task.most(settings.max_new_tokens), self.limit_name)
        if settings.chat:
            messages: list[Mapping[str, object]] = [*settings.turns(task)]
            if task.text:
                last: dict[str, object] = {"role": "assistant", "content": task.text}
                if server.continues == "flag":
                    body |= {"continue_final_message": True, "add_generation_prompt": False}
                elif server.continues == "prefix":
                    last["prefix"] = True
                messages.append(last)
            body["messages"] = messages
            if settings.template_kwargs:
                body["chat_template_kwargs"] = dict(settings.template_kwargs)
        else:
            body["prompt"] = self._prompt(task) + task.text
        if settings.logprobs or task.window:
            body["logprobs"] = True if settings.chat else TOP if task.window else 1
        if task.window and settings.chat:
            body["top_logprobs"] = TOP
        return body | dict(server.extra) | dict(settings.extra)

    async def post(self, task: Task, seed: int, body: Mapping[str, object], read: Callable[[Any], T]) -> T:
        """What ``read`` makes of the reply to a body."""
        path, home = "/chat/completions" if self.settings.chat else "/completions", home_of(task.question)
        return await self.settings.connection.post(
            path, body, read, where=task.where, seed=seed, home=home, watch=watch_of(task)
        )

    @property
    def limit_name(self) -> str:
        """What the limit on new tokens is called."""
        return self.server.chat_limit if self.settings.chat else "max_tokens"

    # Inside.

    def _prompt(self, task: Task) -> str:
        settings = self.settings
        if settings.template is not None:
            return settings.template(settings.turns(task))
        return plain_text(settings.prompt, task.question, task.attempts)

    def _check_continues(self, task: Task) -> None:
        """``RoleError`` where the server cannot go on from a begun solution; a warning where it does so in text."""
        server, settings = self.server, self.settings
        if not task.text and task.max_steps is None:
            return
        if settings.chat and server.continues == "no":
            raise RoleError(
                f"step search continues partial solutions, and a server of kind {server.name!r} cannot continue a "
                f"partial assistant message ({task.where}); use api='completions' (with template=... for a chat "
                "model), name a server that can (server='vllm', 'sglang', 'llama.cpp', ...), or choose a strategy that "
                "samples whole solutions, such as BestOfN"
            )
        if settings.chat and (_THINKS.search(task.text) or family_of(settings.model) is THINKING):
            raise RoleError(
                f"step search cannot go on exactly where a thinking model stopped over a chat of a server of kind "
                f"{server.name!r} ({task.where}): its chat template opens or strips the thinking block again; use "
                "api='completions' with template=..., a server that takes token ids (vLLM, llama.cpp), or a strategy "
                "that samples whole solutions, such as BestOfN"
            )
        if task.text and not self._warned:
            self._warned = True
            warnings.warn(
                f"step search over a server of kind {server.name!r} sends what was written back as text, which the "
                "server tokenises anew: it may go on from other tokens than were drawn, and drift. vLLM and llama.cpp "
                "(server='vllm', 'llama.cpp') take the very tokens back; so does HFGenerator",
                RuntimeWarning,
                stacklevel=2,
            )

    def _step_end(self, task: Task) -> str | None:
        """The delimiter, where the end of a step can be told; one that is a stop string too ends the solution."""
        trimmed = self._trims and bool(task.text)
        if task.max_steps is None or self.server.stop == "hidden" or trimmed:
            return None
        return None if self.settings.delimiter in self.settings.stop else self.settings.delimiter

    async def _finish(self, task: Task, written: Written) -> Completion:
        delimiter = self._step_end(task)
        if delimiter is None:
            return await self._to_the_end(task, written, task.max_steps)
        return await self._step_by_step(task, written, delimiter)

    async def _to_the_end(self, task: Task, written: Written | None, max_steps: int | None) -> Completion:
        """Let the model finish, then keep the first ``max_steps`` steps of what it wrote."""
        delimiter, stops = self.settings.delimiter, list(self.settings.stop)
        if written is None and task.spent:
            return Completion(tuple(task.steps), "length", task.cost)
        if written is None:
            (written,) = await self.ask([task], stops)
        if self._stopped_too_early(task, written, stops) and not task.spent:
            (written,) = await self.ask([task], [])
        new = written.text
        if self.settings.chat and delimiter and task.text.endswith(delimiter):
            # Chat templates drop white space at the end of the prefix; the model then begins with the delimiter.
            new = new.removeprefix(delimiter)
        new, finish = _cut_at(stops, task.text, new, written.finish)
        if delimiter is None:
            pieces, max_steps = [new], None
        else:
            pieces = split_steps(new, delimiter)
        pieces = [piece for piece in pieces if piece.strip()]
        _add(task, pieces, written, max_steps)
        if max_steps is not None and pieces and delimiter:
            ended = delimiter in pieces[-1].lstrip()
            if len(pieces) > max_steps or (len(pieces) == max_steps and finish == "length" and ended):
                return Completion(tuple(task.steps), "open", task.cost)
        return Completion(tuple(task.steps), finish, task.cost)

    async def _step_by_step(self, task: Task, written: Written, delimiter: str) -> Completion:
        """One request per step, stopped by the delimiter."""
        server, stops, most = self.server, list(self.settings.stop), task.max_steps or 1
        for done in range(most):
            if done and task.spent:
                return Completion(tuple(task.steps), "length", task.cost)
            if done:
                (written,) = await self.ask([task], [delimiter, *stops])
            if self._stopped_too_early(task, written, [delimiter, *stops]):
                return await self._to_the_end(task, None, most - done)
            new = written.text
            if server.stop == "named":
                if not written.names_stop:
                    raise RoleError(
                        f"the server does not say which stop string ended its reply ({task.where}), which a server of "
                        f"kind {server.name!r} does; name the right kind, or pass server='generic'"
                    )
                ended = written.stopped_by == delimiter
                new += delimiter * ended
            else:
                ended = stop_place([delimiter], task.text, new) is not None
            echo = self.settings.chat and ended and not new.strip()
            cut, finish = (new, written.finish) if echo else _cut_at(stops, task.text, new, written.finish)
            ended = ended and cut == new
            if ended and not new.strip():
                self._trims = self._trims or (echo and bool(task.text))
                return await self._to_the_end(task, None, most - done)
            _add(task, [cut] if cut.strip() else [], written, 1)
            if not ended:
                return Completion(tuple(task.steps), finish, task.cost)
        return Completion(tuple(task.steps), "open", task.cost)

    def _stopped_too_early(self, task: Task, written: Written, stops: Sequence[str]) -> bool:
        """Whether a server that keeps stop strings in its text took one that began in the prompt (transformers serve
        does): then nothing has ended yet."""
        if self.server.stop != "kept" or self.settings.chat or written.finish != "stop" or written.text.strip():
            return False
        if not written.text or any(stop in task.text + written.text for stop in stops):
            return False
        tail = self._prompt(task)[-max(map(len, stops), default=1) :] if not task.text else ""
        return any(stop in tail + task.text + written.text and stop not in tail for stop in stops)

    def _without_echo(self, task: Task, written: Written) -> Written:
        """The new text: llama.cpp's chat returns the begun message too."""
        echoed = self.server.continues == "trailing" and self.settings.chat and task.text.strip()
        if echoed:
            for begun in (task.text, task.text.rstrip()):
                if written.text.startswith(begun):
                    return replace(written, text=written.text[len(begun) :])
        return written


def _add(task: Task, pieces: Sequence[str], written: Written, most: int | None) -> None:
    """Take in the first ``most`` of the steps that a reply was cut into."""
    records = step_logprobs(pieces, written.tokens)
    for piece, (logprob, drawn) in list(zip(pieces, records, strict=True))[:most]:
        task.steps.append(Step(piece, logprob=logprob, drawn=drawn))
        task.text += piece


def _cut_at(stops: Sequence[str], before: str, new: str, finish: Finish) -> tuple[str, Finish]:
    """The new text before the first stop string, with which the solution has ended. Servers look for one in their own
    reply only, and some leave it in; it may have begun ``before``, in a step that they were sent back."""
    at = stop_place(stops, before, new)
    return (new, finish) if at is None else (new[: max(0, at)], "stop")
