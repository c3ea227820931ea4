"""Draws in token ids: a step search goes on from the very tokens that were drawn.

It knows where steps end in ids and text; not how the server is asked (``token_ids.py``), and nothing of search. The
rules are those of the local backend: a step ends with the token that completes the delimiter, all of its text kept. A
blank before the first word goes with what follows, one at the end of the solution with the step before.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ttscale.core.confidence import TOP
from ttscale.core.cost import Cost
from ttscale.core.errors import AnswerWarning, RoleError
from ttscale.core.requests import Completion
from ttscale.core.types import Step
from ttscale.openai.draws import Task
from ttscale.openai.failures import TOO_LONG, Rejected
from ttscale.openai.reply import Written
from ttscale.openai.server_kinds import Server
from ttscale.openai.settings import WriterSettings
from ttscale.openai.step_records import step_tokens
from ttscale.openai.tasks import together
from ttscale.openai.token_ids import TAIL, TokenIds, room
from ttscale.prompts.layouts import plain_text, split_steps

_OPENED = re.compile(r"[<\[](?:think|thinking|thought|reasoning)[>\]]\s*$", re.IGNORECASE)
"""A thinking block that a chat template opens for the assistant."""
NO_ROOM = Written("", "length", True, None, (), Cost(), True, ())
"""What there is to write where the model can read no further: what is begun ends there."""


@dataclass(slots=True)
class IdsWriter:
    """Writes through a server that deals in token ids; ``limit`` is its context length, where it says."""

    settings: WriterSettings
    server: Server
    tokens: TokenIds
    limit: int | None
    _opened: str | None = None
    """What the prompt already opened of the solution's text: a thinking tag, or nothing."""
    _said_full: bool = False
    """Whether ``no_room`` has warned; a search goes on with many solutions, and each would say the same."""

    async def prepare(self, task: Task) -> None:
        """Lay the prompt out, so that the draws of a wave do not each ask for it."""
        prompt = await self._prompt(task)
        if self._opened is None:
            tail = await self.tokens.text_of(prompt[-TAIL:], task.where) if prompt else ""
            own = next((tag for tag, _ in self.settings.prompt.thoughts if tail.rstrip().endswith(tag.rstrip())), None)
            found = _OPENED.search(tail)
            self._opened = tail[tail.rindex(own.rstrip()) :] if own else found[0] if found else ""

    async def write(self, group: Sequence[Task]) -> list[Completion]:
        """Answer tasks of one context by one request, and what each needs beyond it by requests of its own."""
        first = group[0]
        context = await self._context(first)
        if first.prefix and self._full(context):
            return [Completion((), "length", task.cost) for task in group]
        written = await self._draw(group, context, first.most(self.settings.max_new_tokens))
        return await together([self._finish(task, context, one) for task, one in zip(group, written, strict=True)])

    # Inside.

    async def _prompt(self, task: Task) -> tuple[int, ...]:
        settings = self.settings
        if settings.template is not None:
            return await self.tokens.of_text(settings.template(settings.turns(task)), task.where, start=True)
        if settings.chat:
            return await self.tokens.of_chat(settings.turns(task), task.where)
        text = plain_text(settings.prompt, task.question, task.attempts)
        return await self.tokens.of_text(text, task.where, start=True)

    async def _context(self, task: Task) -> tuple[int, ...]:
        """The prompt and the prefix as it was drawn; steps that came without tokens are tokenised."""
        ids = await self._prompt(task)
        for number, step in enumerate(task.prefix):
            text = step.text if number else step.text.removeprefix(self._opened or "")
            ids += step.tokens or (await self.tokens.of_text(text, task.where, start=False) if text else ())
        return ids

    def _full(self, context: Sequence[int]) -> bool:
        """Whether the model can read no further token: what is begun ends there, cut off."""
        return self.limit is not None and len(context) >= self.limit

    def _by_step(self, task: Task) -> bool:
        """Whether a draw ends with the step. llama.cpp's log-probabilities leave out the tokens of a stop string."""
        lost = (self.settings.logprobs or task.window) and self.server.ids == "llama.cpp"
        return task.max_steps is not None and self.settings.delimiter is not None and not lost

    async def _draw(self, group: Sequence[Task], context: tuple[int, ...], most: int | None) -> list[Written]:
        """One request for the whole group; its costs go to the tasks."""
        settings, task = self.settings, group[0]
        seeds = [one.next_seed(self.server) for one in group]
        stop = [settings.delimiter, *settings.stop] if self._by_step(task) else settings.stop
        body = settings.fields(
            self.server, task, seeds[0], [one for one in stop if one], room(self.limit, context, most, task.where)
        )
        if settings.logprobs or task.window:
            body["logprobs"] = TOP if task.window else 1
        body |= dict(self.server.extra) | dict(settings.extra)
        try:
            written = await self.tokens.draw(body, context, group, seeds[0])
        except Rejected as error:
            if not no_room(error, task, None if self._said_full else settings.max_new_tokens):
                raise
            self._said_full = True
            return [NO_ROOM] * len(group)
        for one, reply in zip(group, written, strict=True):
            one.note(reply, task.resent, settings.logprobs)
            if reply.ids is None:
                raise RoleError(
                    f"the server returned no token ids ({one.where}), which a server of kind {self.server.name!r} does "
                    "since 2025; update it, or pass token_ids=False"
                )
        return written

    async def _finish(self, task: Task, context: tuple[int, ...], written: Written) -> Completion:
        """The task's completion, from its first draw."""
        if not self._by_step(task):
            return await self._whole(task, written)
        delimiter, most = self.settings.delimiter or "", self.settings.max_new_tokens
        lead = "" if task.prefix else self._opened or ""
        ids: tuple[int, ...] = ()  # of the step on its way
        text = ""
        logprob = 0.0
        while True:
            new, said = await self._said(task, written)
            before = task.text + text
            context += new
            ids, text, logprob = ids + new, text + said, logprob + sum(p for _, p in written.tokens[: len(new)])
            cut = stop_place(self.settings.stop, before, said)
            ended = written.stopped_by == delimiter
            if cut is not None:
                self._add(task, lead, text[: max(0, len(text) - len(said) + cut)], (), logprob, len(ids))
                return Completion(tuple(task.steps), "stop", task.cost)
            if not ended:
                self._add(task, lead, text, ids, logprob)
                return Completion(tuple(task.steps), written.finish, task.cost)
            if text.strip():
                self._add(task, lead, text, ids, logprob)
                ids, text, logprob, lead = (), "", 0.0, ""
                if len(task.steps) == task.max_steps:
                    return Completion(tuple(task.steps), "open", task.cost)
            left = task.most(None if most is None else most - len(ids))
            if self._full(context) or (left is not None and left < 1):
                return Completion(tuple(task.steps), "length", task.cost)
            (written,) = await self._draw([task], context, left)

    def _add(
        self, task: Task, lead: str, text: str, ids: tuple[int, ...], logprob: float, drawn: int | None = None
    ) -> None:
        """Take a step in. A blank rest goes with the step before it, if this draw wrote one."""
        record = logprob if self.settings.logprobs else None
        if text.strip():
            task.steps.append(Step(lead + text, ids, record, drawn=None if ids else drawn))
            task.text += lead + text
        elif text and task.steps:
            last = task.steps[-1]
            total = None if record is None or last.logprob is None else last.logprob + record
            task.steps[-1] = Step(last.text + text, last.tokens + ids if ids else last.tokens, total)
            task.text += text

    async def _said(self, task: Task, written: Written) -> tuple[tuple[int, ...], str]:
        """The ids drawn without the end of sequence, and all that they say: a last token may say more than the stop
        string, and the server then cuts its text."""
        ids, text = written.ids or (), written.text
        if written.finish == "stop" and written.stopped_by is None and ids:
            end = await self.tokens.text_of(ids[-1:], task.where)
            return ids[:-1], text.removesuffix(end) if end else text
        if written.stopped_by and ids and not text.endswith(await self.tokens.text_of(ids[-1:], task.where)):
            whole = await self.tokens.text_of(ids, task.where)
            text = whole if whole.startswith(text) else text
        return ids, text

    async def _whole(self, task: Task, written: Written) -> Completion:
        """A draw to the end of the solution, cut into steps; each has its tokens where the reply spells them."""
        settings = self.settings
        lead = "" if task.prefix else self._opened or ""
        ids, text = await self._said(task, written)
        cut = stop_place(settings.stop, task.text, text)
        finish: Literal["open", "stop", "length"] = written.finish
        if cut is not None:
            text, finish = text[: max(0, cut)], "stop"
        pieces = [text] if settings.delimiter is None else split_steps(text, settings.delimiter)
        pieces = [piece for piece in pieces if piece.strip()]
        records = step_tokens(pieces, written.tokens[: len(ids)], ids)
        if len(pieces) == 1 and cut is None:
            records = [(records[0][0], len(ids), ids)]
        most = None if settings.delimiter is None else task.max_steps
        for number, (piece, (logprob, drawn, own)) in enumerate(zip(pieces, records, strict=True)):
            if most is not None and number == most:
                return Completion(tuple(task.steps), "open", task.cost)
            words = piece if number else lead + piece
            task.steps.append(Step(words, own, logprob, drawn=None if own else drawn))
        ended = bool(most is not None and pieces and (settings.delimiter or "") in pieces[-1].lstrip())
        if len(pieces) == most and finish == "length" and ended:
            finish = "open"
        return Completion(tuple(task.steps), finish, task.cost)


def no_room(error: Rejected, task: Task, most: int | None) -> bool:
    """Whether a server says that what is begun fills all that the model reads, if ``most`` new tokens go with it.

    Warns then, since such a solution is cut off like one that was too long, and more tokens would cut it off sooner;
    None warns of nothing.
    """
    full = bool(task.text) and TOO_LONG in str(error)
    if full and most is not None:
        warnings.warn(
            "the server refuses to go on with a solution, which is cut off there: what is begun and max_new_tokens "
            "together exceed what the model reads. Lower max_new_tokens, which limits each step of a step search, or "
            "shorten the prompt",
            AnswerWarning,
            stacklevel=2,
        )
    return full


def stop_place(stops: Sequence[str], before: str, new: str) -> int | None:
    """Where the first stop string begins, counted from the beginning of ``new`` (it may begin before); or None."""
    found = []
    for stop in stops:
        head = before[max(0, len(before) - len(stop) + 1) :] if len(stop) > 1 else ""
        at = (head + new).find(stop)
        if at >= 0:
            found.append(at - len(head))
    return min(found, default=None)
