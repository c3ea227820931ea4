"""From a question to a request body, and from replies to steps: what generator and reviser share.

It knows prompts, the ways servers differ and where steps end; not connections, and nothing of search.

A server is asked for one step at a time with the delimiter as stop string, where its replies tell the end of a step
from the end of the solution. Where they do not, it writes on to the end and the text is cut at the delimiter.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any, Literal, TypeVar

from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError
from ttscale.core.requests import Completion, check_temperature
from ttscale.core.types import Finish, Key, Step
from ttscale.openai.connection import Connection
from ttscale.openai.reply import Written, read_owner, read_written, step_logprobs
from ttscale.openai.server_kinds import GENERIC, OWNED_BY, Server, named
from ttscale.prompts.layouts import Messages, PromptFormat, chat_turns, check_prompt, family_of, plain_text, split_steps

T = TypeVar("T")

MAX_TOKENS = 2048
"""Limit on the tokens of one request, as in search-and-learn."""


class Writer:
    """Text from a model behind one or more servers.

    ``model`` is the name the servers know it by. ``base_url``, ``api_key``: see ``Connection``; or pass a
    ``connection``, which several roles may share. ``api``: "chat", or "completions", where the prompt is plain text
    or, with ``template`` (a function from messages to text, or the name of a Hugging Face tokenizer), a chat laid out
    on this side; None takes what ``prompt`` says. ``server``: what kind it is, a name from ``SERVERS``, a ``Server``
    or "auto" to look. ``prompt`` and ``delimiter`` default to the model family's; a delimiter of None makes the whole
    solution one step. ``max_tokens`` limits one request (in step search: one step). ``temperature`` None leaves the
    server's own. ``extra`` is added to every request body, for settings only your server knows.
    """

    def __init__(
        self,
        model: str,
        base_url: str | Sequence[str] | None = None,
        *,
        api_key: str | None = None,
        connection: Connection | None = None,
        api: Literal["chat", "completions"] | None = None,
        server: Server | str = "auto",
        prompt: PromptFormat | None = None,
        delimiter: str | EllipsisType | None = ...,
        template: str | Callable[[Messages], str] | None = None,
        temperature: float | None = 1.0,
        top_p: float | None = None,
        max_tokens: int | None = MAX_TOKENS,
        logprobs: bool = False,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        if not isinstance(model, str) or not model:
            raise ValueError(f"model must be the name of a model; got {model!r}")
        if api not in (None, "chat", "completions"):
            raise ValueError(f'api must be "chat" or "completions"; got {api!r}')
        if api == "chat" and template is not None:
            raise ValueError('template lays a chat out as plain text and needs api="completions"')
        check_temperature(temperature)
        if max_tokens is not None and (not isinstance(max_tokens, int) or max_tokens < 1):
            raise ValueError(f"max_tokens must be a positive integer or None; got {max_tokens!r}")
        if not isinstance(delimiter, str | EllipsisType | None) or delimiter == "":
            raise ValueError(f"delimiter must be a text, or None for the whole solution as one step; got {delimiter!r}")
        if top_p is not None and (not isinstance(top_p, int | float) or not 0 < top_p <= 1):
            raise ValueError(f"top_p must be a number above 0 and up to 1, or None; got {top_p!r}")
        family = family_of(model)
        self.model, self.name = model, model
        self.connection = one_connection(connection, base_url, api_key)
        self._prompt = family.prompt if prompt is None else check_prompt(prompt)
        self._delimiter = family.delimiter if isinstance(delimiter, EllipsisType) else delimiter
        plain = template is not None or self._prompt.chat is False
        self._chat = (api or ("completions" if plain else "chat")) == "chat"
        self._template = load_template(template) if isinstance(template, str) else template
        self._given_server = named(server)
        self.continues = not self._chat or (self._given_server is not None and self._given_server.continues != "no")
        """Whether it surely continues a begun solution, which decides what the default strategy may be."""
        self._temperature, self._top_p, self._max_tokens = temperature, top_p, max_tokens
        self._logprobs, self._extra = logprobs, dict(extra or {})
        usual: dict[str, tuple[object, object]] = {
            "temperature": (temperature, 1.0),
            "top_p": (top_p, None),
            "max_tokens": (max_tokens, MAX_TOKENS),
            "delimiter": (self._delimiter, family.delimiter),
            "prompt": (self._prompt, family.prompt),
            "extra": (self._extra, {}),
        }
        self.sampling = {name: value for name, (value, default) in usual.items() if value != default}
        """Settings that are not the usual ones: part of what stored results call this role."""
        if logprobs and self._given_server and not self._given_server.logprobs:
            raise ValueError(f"server {self._given_server.name!r} returns no log-probabilities; leave logprobs=False")
        self._warned = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r}, {', '.join(map(repr, self.connection.endpoints))})"

    async def _server(self) -> Server:
        if self._given_server is None:
            self._given_server = OWNED_BY.get(read_owner(await self.connection.models()), GENERIC)
        return self._given_server

    async def _write(self, task: Task, max_steps: int | None) -> Completion:
        """Continue the task's text by at most ``max_steps`` steps (None: to the end)."""
        server = await self._server()
        if (task.text or max_steps is not None) and self._chat and server.continues == "no":
            raise RoleError(
                f"step search continues partial solutions, and a server of kind {server.name!r} cannot continue a "
                f"partial assistant message ({task.where}); use api='completions' (with template=... for a chat "
                "model), name a server that can (server='vllm', 'sglang', 'llama.cpp', ...), or choose a strategy that "
                "samples whole solutions, such as BestOfN"
            )
        if max_steps is None or self._delimiter is None or server.stop == "hidden":
            return await self._to_the_end(server, task, max_steps)
        return await self._step_by_step(server, task, max_steps, self._delimiter)

    async def _to_the_end(self, server: Server, task: Task, max_steps: int | None) -> Completion:
        """Let the model finish, then keep the first ``max_steps`` steps of what it wrote."""
        written = await self._ask(server, task, list(self._prompt.stop))
        new, finish = _cut_at(self._prompt.stop, written)
        if self._chat and self._delimiter and task.text.endswith(self._delimiter):
            # Chat templates drop white space at the end of the prefix; the model then begins with the delimiter.
            new = new.removeprefix(self._delimiter)
        if self._delimiter is None:
            pieces, max_steps = [new], None
        else:
            pieces = split_steps(new, self._delimiter)
        pieces = [piece for piece in pieces if piece.strip()]
        task.add(pieces, written, max_steps)
        if max_steps is not None and pieces and self._delimiter:
            ended = self._delimiter in pieces[-1].lstrip()
            if len(pieces) > max_steps or (len(pieces) == max_steps and finish == "length" and ended):
                return Completion(tuple(task.steps), "open", task.cost)
        return Completion(tuple(task.steps), finish, task.cost)

    async def _step_by_step(self, server: Server, task: Task, max_steps: int, delimiter: str) -> Completion:
        """One request per step, stopped by the delimiter."""
        for done in range(max_steps):
            written = await self._ask(server, task, [delimiter, *self._prompt.stop])
            new, finish = _cut_at(self._prompt.stop, written)
            if server.stop == "named":
                if not written.names_stop:
                    raise RoleError(
                        f"the server does not say which stop string ended its reply ({task.where}), which a server of "
                        f"kind {server.name!r} does; name the right kind, or pass server='generic'"
                    )
                ended = written.stopped_by == delimiter
                new += delimiter * ended
            else:
                # The stop string may have begun in the prefix.
                ended = delimiter in task.text[len(task.text) - len(delimiter) + 1 :] + new
            if ended and not new.strip():
                return await self._to_the_end(server, task, max_steps - done)
            task.add([new] if new.strip() else [], written, 1)
            if not ended:
                return Completion(tuple(task.steps), finish, task.cost)
        return Completion(tuple(task.steps), "open", task.cost)

    async def _ask(self, server: Server, task: Task, stop: list[str]) -> Written:
        """One request; its cost goes to the task."""
        seed = task.next_seed()
        body = self._body(server, task, seed, stop)
        path = "/chat/completions" if self._chat else "/completions"
        written = await self.connection.post(
            path, body, lambda data: read_written(data, self._chat), where=task.where, seed=seed
        )
        if not written.counted and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.name} at {', '.join(self.connection.endpoints)} reports no token usage: token counts of this "
                "run are too low, and limits on tokens do not hold",
                RuntimeWarning,
                stacklevel=2,
            )
        if self._logprobs and written.text and not written.tokens:
            raise RoleError(
                f"the server returned no log-probabilities ({task.where}); leave logprobs=False, or use another server"
            )
        task.cost += written.cost
        return written

    def _body(self, server: Server, task: Task, seed: int, stop: list[str]) -> dict[str, object]:
        """The request that continues the task's text. A seed has 63 bits; the server gets the top ones."""
        body: dict[str, object] = {"model": self.model}
        if self._chat:
            messages: list[Mapping[str, object]] = [*chat_turns(self._prompt, task.question, task.attempts)]
            if task.text:
                last: dict[str, object] = {"role": "assistant", "content": task.text}
                if server.continues == "flag":
                    body |= {"continue_final_message": True, "add_generation_prompt": False}
                elif server.continues == "prefix":
                    last["prefix"] = True
                messages.append(last)
            body["messages"] = messages
        elif self._template:
            body["prompt"] = self._template(chat_turns(self._prompt, task.question, task.attempts)) + task.text
        else:
            body["prompt"] = plain_text(self._prompt, task.question, task.attempts) + task.text
        temperature = self._temperature if task.temperature is None else task.temperature
        optional = {
            self._limit(server): self._max_tokens,
            "temperature": temperature,
            "top_p": self._top_p,
            "stop": stop or None,
            "seed": seed >> (63 - server.seed_bits) if server.seed_bits else None,
        }
        body |= {name: value for name, value in optional.items() if value is not None}
        if self._logprobs:
            body["logprobs"] = True if self._chat else 1
        return body | dict(server.extra) | self._extra

    def _limit(self, server: Server) -> str:
        return server.chat_limit if self._chat else "max_tokens"


@dataclass(slots=True)
class Task:
    """One request of a search on its way: what to continue, and what has been written so far."""

    question: str
    attempts: Sequence[str]
    text: str
    """The prefix, and what was written after it."""
    key: Key
    where: str
    temperature: float | None = None
    steps: list[Step] = field(default_factory=list)
    cost: Cost = Cost()
    asked: int = 0

    def next_seed(self) -> int:
        """The seed of the next draw: the key's own for the first."""
        self.asked += 1
        return self.key.seed if self.asked == 1 else self.key.child("draw", self.asked).seed

    def add(self, pieces: Sequence[str], written: Written, most: int | None) -> None:
        """Take in the first ``most`` of the steps that a reply was cut into."""
        records = step_logprobs(pieces, written.tokens)
        for piece, (logprob, drawn) in list(zip(pieces, records, strict=True))[:most]:
            self.steps.append(Step(piece, logprob=logprob, drawn=drawn))
            self.text += piece


async def together(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order; the first failure cancels the rest and is raised as it is."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def load_template(name: str) -> Callable[[Messages], str]:
    """The chat template of a Hugging Face tokenizer, without the BOS token that servers add to every prompt."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(name)
    if not tokenizer.chat_template:
        raise ValueError(f"the tokenizer {name!r} has no chat template; leave template=None for a plain prompt")
    bos = tokenizer.bos_token or ""

    def render(messages: Messages) -> str:
        text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return text.removeprefix(bos)

    return render


def one_connection(
    connection: Connection | None, base_url: str | Sequence[str] | None, api_key: str | None
) -> Connection:
    if connection is None:
        return Connection(base_url, api_key=api_key)
    if base_url is not None or api_key is not None:
        raise ValueError("pass base_url and api_key to the Connection, or no connection")
    return connection


def _cut_at(stops: Sequence[str], written: Written) -> tuple[str, Finish]:
    """The text before the first stop string in it, which some servers leave in; then the solution has ended."""
    found = [at for at in map(written.text.find, stops) if at >= 0]
    return (written.text[: min(found)], "stop") if found else (written.text, written.finish)
