"""Generator and reviser over any OpenAI-compatible server: the two ways to ask a ``Writer``."""

from __future__ import annotations

from collections.abc import Sequence

from ttscale.core.cost import Cost
from ttscale.core.requests import Completion, FinishLine, Revise, Sample
from ttscale.openai.draws import revise_task, sample_task
from ttscale.openai.failures import Rejected
from ttscale.openai.reply import read_first_token
from ttscale.openai.tasks import together
from ttscale.openai.write_text import TextWriter
from ttscale.openai.writer import Writer

CHAT_ALTERNATIVES = 20
TEXT_ALTERNATIVES = 5
"""The most alternatives to a token that OpenAI lets one ask for, in chats and in completions."""


class OpenAIGenerator(Writer):
    """Samples continuations from a model behind one or more servers.

    ``model`` is the name the servers know it by. ``base_url``, ``weights``, ``api_key``: see ``Connection``; ``urls``
    is ``base_url`` for a pool of several; or pass a ``connection``, which several roles may share. A ``price`` (dollars
    per million tokens) makes ``Cost.dollars``. ``server``: what kind it is, a name from ``SERVERS``, a ``Server`` or
    "auto" to look. ``prompt`` and ``delimiter`` default to the model family's (a base model's, where the server has no
    chat template); a delimiter of None makes the whole solution one step. ``max_new_tokens`` limits one request (in
    step search: one step).

    ``api``: "chat", or "completions", where the prompt is plain text or, with ``template`` (a function from messages
    to text, or the name of a Hugging Face tokenizer), a chat laid out on this side; None takes what ``prompt`` says.
    ``token_ids``: write in token ids where the server takes them (vLLM, llama.cpp), so that a begun solution goes on
    from the very tokens that were drawn; False: in text only. ``chat_template_kwargs`` go to the chat template.
    ``lay_out`` changes the messages of a chat before they are sent.

    Sampling settings that are not given here are sent as neutral values, so that one call means the same on every
    engine. ``server_defaults=True`` leaves them to the server: its own, or the checkpoint's generation_config.json.
    ``temperature=None`` leaves the temperature to it. ``extra`` is added to every request body, for settings only your
    server knows (``{"cache_salt": ...}`` keeps a prefix cache apart from other users').
    """

    async def sample(self, requests: Sequence[Sample], /) -> list[Completion]:
        """Continue each prefix, all at once within the connection's limit; raises for the first that fails."""
        return await self._write([sample_task(request, self.settings.prompt) for request in requests])

    async def race(self, requests: Sequence[Sample], line: FinishLine, /) -> list[Completion]:
        """``sample`` for the draws of a race: each is streamed, and closed once it has lost, so that the server stops.

        What a closed draw sampled is in its cost as far as the stream showed it; its prompt's tokens are not known.
        """
        return await self._write([sample_task(request, self.settings.prompt) for request in requests], line)

    async def choose(
        self, requests: Sequence[Sample], options: Sequence[str], /
    ) -> list[tuple[tuple[float, ...], Cost]] | None:
        """For each request, how likely the reply is to begin with each of ``options``; they sum to at most 1.

        None where the server returns no log-probabilities, or rejects a request for them. An option is matched by its
        first token, in any case and with or without a space before it.
        """
        server = await self._server()
        if not server.logprobs or not requests:
            return None
        try:
            if self._way is None:
                await self._way_found(sample_task(requests[0], self.settings.prompt))
            tables = await together([self._first_token(request) for request in requests])
        except Rejected as error:
            why = str(error)
        else:
            why = f"{self.name} returned none" if any(not table for table, _ in tables) else ""
        if why:
            self._warn(f"a judge cannot read log-probabilities here and takes votes instead, which is dearer: {why}")
            return None
        wanted = [option.casefold() for option in options]
        return [
            (tuple(sum(p for token, p in table.items() if token.strip().casefold() == option) for option in wanted), c)
            for table, c in tables
        ]

    async def _first_token(self, request: Sample) -> tuple[dict[str, float], Cost]:
        task, chat = sample_task(request, self.settings.prompt), self.settings.chat
        way = TextWriter(self.settings, await self._server())
        body = way.body(task, task.next_seed(way.server), []) | {way.limit_name: 1, "temperature": 1.0}
        if chat:
            body |= {"logprobs": True, "top_logprobs": CHAT_ALTERNATIVES}
        else:
            body |= {"logprobs": TEXT_ALTERNATIVES}
        table, cost = await way.post(task, request.key.seed, body, read_first_token)
        return table, self._price.charge(cost) if self._price else cost


class OpenAIReviser(Writer):
    """Writes new attempts after earlier ones. Arguments: see ``OpenAIGenerator``; the prompt lays the attempts out.

    A root candidate (no steps) among the attempts stands for "no attempt yet" and is left out of the context.
    """

    async def revise(self, requests: Sequence[Revise], /) -> list[Completion]:
        """A new attempt for each request, all at once; raises for the first that fails."""
        return await self._write([revise_task(request, self.settings.prompt) for request in requests])

    async def race(self, requests: Sequence[Revise], line: FinishLine, /) -> list[Completion]:
        """``revise`` for the draws of a race: see ``OpenAIGenerator.race``."""
        return await self._write([revise_task(request, self.settings.prompt) for request in requests], line)
