"""Prompts and draws as token ids, for servers that take and return them: vLLM and llama.cpp.

A prefix that goes back as text is tokenised anew, and not always into the tokens that were drawn. A model that wrote
two newlines as two tokens then goes on from one token that it never wrote. Here the very tokens go back. It knows the
endpoints of the two servers and their fields; nothing of steps or search.

vLLM: ``/tokenize`` lays a chat or text out, ``/v1/completions`` takes ids and gives ids, ``/detokenize`` spells them.
llama.cpp: ``/apply-template`` and ``/tokenize``, ``/completion``, ``/detokenize``.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError
from ttscale.openai.connection import Connection
from ttscale.openai.draws import Task
from ttscale.openai.failures import MalformedReply
from ttscale.openai.pool import home_of
from ttscale.openai.reply import (
    Written,
    cost_of_draws,
    entries,
    mapping,
    read_choices,
    read_ids,
    read_tokens,
    token_confidences,
    usage,
)
from ttscale.openai.server_kinds import Server
from ttscale.openai.streams import watch_of
from ttscale.prompts.layouts import Messages, whole_characters

REMEMBERED = 512
"""Layouts and texts kept, so that the waves of one question ask for them once."""
TAIL = 16
"""Tokens at the end of a prompt in which an opened thinking block is looked for."""


class TokenIds:
    """What one server makes of texts and ids, remembered; and how it is asked for draws in ids."""

    def __init__(self, connection: Connection, model: str, server: Server, kwargs: Mapping[str, object]) -> None:
        self._connection, self._model, self._server, self._kwargs = connection, model, server, dict(kwargs)
        self._vllm = server.ids == "vllm"
        self._layouts: OrderedDict[object, tuple[int, ...]] = OrderedDict()
        self._texts: OrderedDict[tuple[int, ...], str] = OrderedDict()

    async def of_chat(self, messages: Messages, where: str) -> tuple[int, ...]:
        """The ids of a chat that ends where the assistant begins. ``Rejected`` where the server cannot."""
        name = json.dumps(messages)
        if name not in self._layouts:
            kwargs: dict[str, object] = {"chat_template_kwargs": self._kwargs} if self._kwargs else {}
            if self._vllm:
                body = {"model": self._model, "messages": messages, "add_generation_prompt": True, **kwargs}
                self._keep(self._layouts, name, await self._tokens("/../tokenize", body, where))
            else:
                text = await self._ask("/../apply-template", {"messages": messages, **kwargs}, "prompt", where)
                self._keep(self._layouts, name, await self.of_text(text, where, start=True))
        return self._layouts[name]

    async def of_text(self, text: str, where: str, start: bool) -> tuple[int, ...]:
        """The ids of a text; at the ``start`` with what the server puts before every prompt."""
        name = (text, start)
        if name not in self._layouts:
            if self._vllm:
                body: dict[str, object] = {"model": self._model, "prompt": text, "add_special_tokens": start}
            else:
                body = {"content": text, "add_special": start, "parse_special": start}
            self._keep(self._layouts, name, await self._tokens("/../tokenize", body, where))
        return self._layouts[name]

    async def text_of(self, ids: Sequence[int], where: str) -> str:
        """What ids say."""
        name = tuple(ids)
        if name not in self._texts:
            body = {"model": self._model, "tokens": list(ids)} if self._vllm else {"tokens": list(ids)}
            answer = "prompt" if self._vllm else "content"
            self._keep(self._texts, name, whole_characters(await self._ask("/../detokenize", body, answer, where)))
        return self._texts[name]

    async def draw(
        self, settings: Mapping[str, object], ids: Sequence[int], tasks: Sequence[Task], seed: int
    ) -> list[Written]:
        """A draw for each task, from ``ids`` on; texts hold the stop string that ended them, ids the end of sequence.

        ``settings`` are named as in a completion request.
        """
        n, task = len(tasks), tasks[0]
        body = {**settings, "prompt": list(ids), **({"n": n} if n > 1 else {})}
        if self._vllm:
            path = "/completions"
            body |= {"return_token_ids": True, "include_stop_str_in_output": True}
        else:
            path = "/../completion"
            body |= {"return_tokens": True, "cache_prompt": True}
            for ours, theirs in (("max_tokens", "n_predict"), ("logprobs", "n_probs")):
                if ours in body:
                    body[theirs] = int(body.pop(ours))  # type: ignore[call-overload]
            body |= _native_form(body.pop("response_format", None))

        def read(data: Any) -> list[Written]:
            return read_choices(data, False, n) if self._vllm else _read_native(data, n)

        home = home_of(task.question)
        return await self._connection.post(
            path, body, read, where=task.where, seed=seed, home=home, watch=watch_of(task)
        )

    async def _tokens(self, path: str, body: Mapping[str, object], where: str) -> tuple[int, ...]:
        def read(data: Any) -> tuple[int, ...]:
            ids = read_ids(data.get("tokens")) if isinstance(data, dict) else None
            if ids is None:
                raise MalformedReply("the reply holds no list of tokens")
            return ids

        return await self._connection.post(path, body, read, where=where)

    async def _ask(self, path: str, body: Mapping[str, object], name: str, where: str) -> str:
        def read(data: Any) -> str:
            if not isinstance(data, dict) or not isinstance(data.get(name), str):
                raise MalformedReply(f"the reply holds no text in {name!r}")
            return str(data[name])

        return await self._connection.post(path, body, read, where=where)

    @staticmethod
    def _keep(store: OrderedDict[Any, Any], name: object, value: object) -> None:
        store[name] = value
        while len(store) > REMEMBERED:
            store.popitem(last=False)


def room(limit: int | None, ids: Sequence[int], most: int | None, where: str) -> int | None:
    """The tokens that may still be drawn after ``ids``; ``RoleError`` where there is no room left."""
    if limit is None:
        return most
    if len(ids) >= limit:
        raise RoleError(
            f"the context of {where} is {len(ids)} tokens long, the model reads at most {limit}; use a shorter "
            "question or prompt, or serve the model with a longer context"
        )
    return limit - len(ids) if most is None else min(most, limit - len(ids))


def _native_form(given: Any) -> dict[str, object]:
    """A chat's ``response_format`` as llama.cpp's own endpoint is told of it."""
    form = mapping(given)
    schemas = {"json_object": form.get("schema"), "json_schema": mapping(form.get("json_schema")).get("schema")}
    return {"json_schema": schemas[form["type"]] or {}} if form.get("type") in schemas else {}


def _read_native(data: Any, n: int) -> list[Written]:
    """The reply of llama.cpp's ``/completion``."""
    found = entries({"results": data if isinstance(data, list) else [data]}, "results", n)
    written = [_one_native(one) for one in sorted(found, key=lambda one: one.get("index") or 0)]
    cost, counted = usage(data)
    if not counted:
        raise MalformedReply("the reply does not say how many tokens it cost")
    return cost_of_draws(written, cost)


def _one_native(one: Mapping[str, Any]) -> Written:
    text, ids, kind = one.get("content"), read_ids(one.get("tokens")), one.get("stop_type")
    word = one.get("stopping_word")
    if not isinstance(text, str) or ids is None or kind not in ("eos", "word", "limit"):
        raise MalformedReply(f"the reply is no draw: {sorted(one)[:8]}, stop_type={kind!r}")
    stopped = word if kind == "word" and isinstance(word, str) else None
    return Written(
        whole_characters(text + (stopped or "")),
        "length" if kind == "limit" else "stop",
        True,
        stopped,
        tuple(read_tokens({"content": one.get("completion_probabilities")})),
        Cost(),
        True,
        ids,
        tuple(token_confidences(one)),
    )
