"""What generator and reviser over servers share: settings, the kind of server, and which way to write.

It knows which draws share a request; not how a request is laid out (``write_text.py``, ``write_ids.py``), and nothing
of search.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import EllipsisType
from typing import Any, Literal
from weakref import WeakKeyDictionary

from ttscale.core.checks import check_count
from ttscale.core.cost import Price
from ttscale.core.errors import RoleError
from ttscale.core.keywords import helpful_keywords
from ttscale.core.requests import Completion, FinishLine, check_temperature
from ttscale.openai.connection import Connection, one_connection
from ttscale.openai.draws import Task, share_requests
from ttscale.openai.failures import Refused, Rejected
from ttscale.openai.reply import context_limit, count_of_slots, read_owner
from ttscale.openai.server_kinds import GENERIC, OWNED_BY, Server, named
from ttscale.openai.settings import WriterSettings, load_template
from ttscale.openai.tasks import together, told
from ttscale.openai.token_ids import TokenIds
from ttscale.openai.write_ids import IdsWriter
from ttscale.openai.write_text import TextWriter
from ttscale.prompts.layouts import FOUR_SHOT, Messages, PromptFormat, check_prompt, family_of, known_tags

log = logging.getLogger("ttscale.openai")

MAX_NEW_TOKENS = 2048
"""Limit on the tokens of one request, as in search-and-learn."""
PROBE_TEMPERATURE = 2.0
PROBE_TOKENS = 24
"""How a server that gave one text for several seeds is asked again: as hot as all of them take, and briefly."""


_OF_CONNECTION = "it is a setting of the connection: connection=Connection(url, {0}=...)"
INSTEAD = {
    **dict.fromkeys(("url", "api_base", "endpoint", "host"), "it is called base_url"),
    **dict.fromkeys(("key", "token"), "it is called api_key"),
    **dict.fromkeys(("max_tokens", "max_completion_tokens"), "the limit on a solution is max_new_tokens"),
    **dict.fromkeys(("timeout", "concurrency", "retries", "headers"), _OF_CONNECTION),
    "max_retries": "it is a setting of the connection: connection=Connection(url, retries=...)",
    "n": "the number of solutions is solve(..., budget=...)",
    "seed": "the seed is one of the call: solve(..., seed=...)",
    "stop": "stop strings stand in the prompt: prompt=PromptFormat(stop=('...',))",
    **dict.fromkeys(("system", "system_prompt"), "it stands in the prompt: prompt=PromptFormat(system=...)"),
    **dict.fromkeys(("top_k", "min_p", "reasoning_effort"), "send it as it is: extra={{'{0}': ...}}"),
}
"""Settings of other clients, and where they are here."""


class Writer:
    """Text from a model behind one or more servers. ``OpenAIGenerator`` explains the arguments."""

    @helpful_keywords(INSTEAD)
    def __init__(
        self,
        model: str,
        base_url: str | Sequence[str] | None = None,
        *,
        urls: Sequence[str] | None = None,
        weights: Sequence[float] | None = None,
        api_key: str | None = None,
        connection: Connection | None = None,
        price: Price | None = None,
        api: Literal["chat", "completions"] | None = None,
        server: Server | str = "auto",
        prompt: PromptFormat | None = None,
        delimiter: str | EllipsisType | None = ...,
        template: str | Callable[[Messages], str] | None = None,
        temperature: float | None = 1.0,
        top_p: float | None = None,
        max_new_tokens: int | None = MAX_NEW_TOKENS,
        logprobs: bool = False,
        token_ids: bool = True,
        server_defaults: bool = False,
        chat_template_kwargs: Mapping[str, object] | None = None,
        lay_out: Callable[[Messages], Messages] | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        if not isinstance(model, str) or not model:
            raise ValueError(f"model must be the name of a model; got {model!r}")
        if api not in (None, "chat", "completions"):
            raise ValueError(f'api must be "chat" or "completions"; got {api!r}')
        if api == "chat" and template is not None:
            raise ValueError('template lays a chat out as plain text and needs api="completions"')
        check_temperature(temperature)
        check_count("max_new_tokens", max_new_tokens, none=True)
        if not isinstance(delimiter, str | EllipsisType | None) or delimiter == "":
            raise ValueError(f"delimiter must be a text, or None for the whole solution as one step; got {delimiter!r}")
        if top_p is not None and (not isinstance(top_p, int | float) or not 0 < top_p <= 1):
            raise ValueError(f"top_p must be a number above 0 and up to 1, or None; got {top_p!r}")
        family = family_of(model)
        self.model, self.name = model, model
        self._price = price
        self.connection = one_connection(connection, base_url, api_key, urls, weights)
        form = family.prompt if prompt is None else check_prompt(prompt)
        mark = family.delimiter if isinstance(delimiter, EllipsisType) else delimiter
        extra = dict(extra or {})
        own_kwargs: Any = extra.pop("chat_template_kwargs", None)  # in token ids they go with another request
        kwargs = {**dict(form.chat_template_kwargs), **(own_kwargs or {}), **(chat_template_kwargs or {})}
        plain = template is not None or form.chat is False
        self._asked_chat = api or form.chat
        self._given_prompt, self._given_delimiter = prompt is not None, not isinstance(delimiter, EllipsisType)
        self._token_ids = token_ids
        self.settings = WriterSettings(
            model,
            self.connection,
            form,
            mark,
            (api or ("completions" if plain else "chat")) == "chat",
            load_template(template) if isinstance(template, str) else template,
            temperature,
            top_p,
            max_new_tokens,
            logprobs,
            server_defaults,
            kwargs,
            extra,
            lay_out,
        )
        self._given_server = named(server)
        known = self._given_server
        self.continues = not self.settings.chat or (
            known is not None and (known.continues != "no" or (known.ids is not None and token_ids))
        )
        """Whether it surely continues a begun solution, which decides what the default strategy may be."""
        usual: dict[str, tuple[object, object]] = {
            "temperature": (temperature, 1.0),
            "top_p": (top_p, None),
            "max_new_tokens": (max_new_tokens, MAX_NEW_TOKENS),
            "delimiter": (mark, family.delimiter),
            "prompt": (form, family.prompt),
            "server_defaults": (server_defaults, False),
            "chat_template_kwargs": (kwargs, dict(family.prompt.chat_template_kwargs)),
            "extra": (extra, {}),
        }
        self.sampling = {name: value for name, (value, default) in usual.items() if value != default}
        """Settings that are not the usual ones: part of what stored results call this role."""
        if logprobs and known and not known.logprobs:
            raise ValueError(f"server {known.name!r} returns no log-probabilities; leave logprobs=False")
        self._way: IdsWriter | TextWriter | None = None
        self._warned: set[str] = set()
        self._looking: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[IdsWriter | TextWriter]]
        self._looking = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r}, {', '.join(map(repr, self.connection.endpoints))})"

    async def _server(self) -> Server:
        if self._given_server is None:
            try:
                listed = await self.connection.models()
            except Refused as error:
                name = "name the kind of server (server='vllm', 'openai', 'generic', ...), so that it need not say it"
                raise RoleError(f"{error}; or {name}") from error
            self._given_server = OWNED_BY.get(read_owner(listed), GENERIC)
        return self._given_server

    async def _write(self, tasks: Sequence[Task], line: FinishLine | None = None) -> list[Completion]:
        """Continue each task's text by at most its ``max_steps`` steps (None: to the end).

        With ``line`` the tasks race: those that have lost are cut off, and their requests closed.
        """
        if not tasks:
            return []
        for task in tasks:
            task.line = line
        if any(task.window for task in tasks) and not (await self._server()).logprobs:
            raise RoleError(
                f"a server of kind {(await self._server()).name!r} returns no log-probabilities, which a vote by "
                f"confidence needs ({tasks[0].where}); use another server, or a vote without confidence"
            )
        way = self._way or await self._way_found(tasks[0])
        if isinstance(way, IdsWriter):
            for task in {(task.question, tuple(task.attempts)): task for task in tasks}.values():
                await way.prepare(task)
        # In text nobody says which draw of a shared request took how many tokens.
        shared = isinstance(way, IdsWriter) and way.server.counts_seeds
        groups = share_requests(tasks, way.server.most if shared else 1)
        written = await together([told(way.write(group), line) for group in groups])
        pairs = [pair for group, some in zip(groups, written, strict=True) for pair in zip(group, some, strict=True)]
        replies = {id(task): one for task, one in pairs}
        completions = [task.with_confidence(replies[id(task)], self.settings.delimiter) for task in tasks]
        self._check_counted(completions)
        if line is None and (extra := await self._check_seeds(way, tasks, completions)) is not None:
            completions[0] = extra
        if self._price:
            completions = [replace(one, cost=self._price.charge(one.cost)) for one in completions]
        return [self._tagged(one) for one in completions] if self.settings.prompt.thoughts else completions

    def _tagged(self, one: Completion) -> Completion:
        """With the known thinking tags for the model's own."""
        return replace(one, steps=tuple(replace(s, text=known_tags(self.settings.prompt, s.text)) for s in one.steps))

    async def _way_found(self, task: Task) -> IdsWriter | TextWriter:
        """The way that the first question finds. The others wait for it, and look for themselves where the server
        rejects the first. Where it is in trouble they fail with it."""
        loop = asyncio.get_running_loop()
        first = loop not in self._looking
        if first:
            self._looking[loop] = loop.create_task(self._find_way(task))
            self._looking[loop].add_done_callback(lambda _: self._looking.pop(loop, None))
        try:
            return await asyncio.shield(self._looking[loop])  # whoever asked first may be given up meanwhile
        except Rejected:
            if first:
                raise
            return await self._find_way(task)

    async def _find_way(self, task: Task) -> IdsWriter | TextWriter:
        """Token ids where the server takes them, else text."""
        server = await self._server()
        if server.ids is not None and self._token_ids:
            self._way = await self._find_ids(task, server) or TextWriter(self.settings, server)
        else:
            self._way = TextWriter(self.settings, server)
        return self._way

    async def _find_ids(self, task: Task, server: Server) -> IdsWriter | None:
        """The way in token ids; None where this server, or what stands before it, does not offer it."""
        if server.ids == "llama.cpp":
            server = replace(server, most=count_of_slots(await self.connection.look("/../props")))
        tokens = TokenIds(self.connection, self.model, server, self.settings.template_kwargs)
        way = IdsWriter(self.settings, server, tokens, context_limit(await self.connection.models()))
        try:
            await way.prepare(task)
        except Rejected as error:
            if error.status in (404, 405, 501) and "model" not in error.said.lower():
                log.warning("%s takes no token ids here (%s); text is sent instead", self.name, error)
                return None
            if error.status != 400 or not self.settings.chat or self._asked_chat is not None or self._given_prompt:
                raise
            # A base model without a chat template is shown solved examples instead.
            log.info("%s has no chat template: it is shown four solved examples", self.name)
            mark = self.settings.delimiter if self._given_delimiter else FOUR_SHOT.delimiter
            self.settings = replace(self.settings, chat=False, prompt=FOUR_SHOT.prompt, delimiter=mark)
            way = replace(way, settings=self.settings)
            await way.prepare(task)
        return way

    def _check_counted(self, completions: Sequence[Completion]) -> None:
        """Warn once where the server does not count tokens."""
        if any(one.cost.requests and not one.cost.sampled_tokens and one.steps for one in completions):
            self._warn(
                f"{self.name} at {', '.join(self.connection.endpoints)} reports no token usage: token counts of this "
                "run are too low, and limits on tokens do not hold"
            )

    async def _check_seeds(
        self, way: IdsWriter | TextWriter, tasks: Sequence[Task], completions: Sequence[Completion]
    ) -> Completion | None:
        """Warn where different seeds gave one text at a temperature above 0, and one more draw, hotter, gives it too.

        Such a server decodes greedily, and a vote over its draws counts one solution several times. Returns the first
        completion with the cost of that draw.
        """
        whole = [(task, reply) for task, reply in zip(tasks, completions, strict=True) if task.max_steps is None]
        texts = {"".join(step.text for step in reply.steps) for _, reply in whole}
        contexts = {(task.question, tuple(task.attempts), task.prefix) for task, _ in whole}
        # No temperature of ours to raise, or no tokens to spare.
        cold = any(not self.settings.temperature_of(task) or task.max_tokens for task, _ in whole)
        one = len(whole) > 1 and len(texts) == len(contexts) == 1 and len("".join(texts).split()) > 1
        if not one or cold or "seeds" in self._warned:  # a single word, as of a judge, may well be the same
            return None
        self._warned.add("seeds")  # one look is enough
        brief = replace(way, settings=replace(way.settings, max_new_tokens=PROBE_TOKENS))
        try:
            (hot,) = await brief.write([whole[0][0].again(PROBE_TEMPERATURE)])
        except RoleError as error:  # so hot a draw is refused here; what was drawn stands
            log.info("%s was not asked whether it heeds seeds: %s", self.name, error)
            return None
        again = "".join(step.text for step in hot.steps)
        if again and texts.pop().startswith(again):
            self._warn(
                f"{self.name} at {', '.join(self.connection.endpoints)} gave one text for {len(whole)} different seeds "
                f"at a temperature above 0, and began so again at {PROBE_TEMPERATURE:g}: it ignores seeds or decodes "
                f"greedily, and a vote counts one solution {len(whole)} times. Name the kind of server "
                "(server='transformers' for transformers serve), or set it up to sample"
            )
        return replace(completions[0], cost=completions[0].cost + hot.cost)

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            warnings.warn(message, RuntimeWarning, stacklevel=2)
