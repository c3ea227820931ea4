"""What the tests of engines ask, and of which roles."""

from __future__ import annotations

import asyncio
from typing import Any

from engines.engines import KEY, NAME, Engine
from ttscale import Candidate, Key, Question, Sample
from ttscale.openai import Connection, OpenAIGenerator
from ttscale.prompts.layouts import PromptFormat

FORM = PromptFormat(system=None)
QUESTION = Question.of("Tom has 3 apples and buys 4 more. How many apples has he? Explain.")
ROOT = Candidate(QUESTION, Key((0, QUESTION.id)))
MOST = 32


def connection(server: Engine, concurrency: int = 1, **settings: Any) -> Connection:
    return Connection(server.url, **{"api_key": KEY, "concurrency": concurrency, **settings})


def generator(server: Engine, concurrency: int = 1, **settings: Any) -> OpenAIGenerator:
    given = {"prompt": FORM, "delimiter": "\n", "temperature": 0.8, "max_new_tokens": MOST, **settings}
    return OpenAIGenerator(NAME, connection=connection(server, concurrency), **given)


def sample(role: Any, *requests: Sample) -> list[Any]:
    """The replies of a role that is awaited, or is not."""
    found = role.sample(list(requests))
    return list(asyncio.run(found) if asyncio.iscoroutine(found) else found)


def by_steps(role: Any, root: Candidate = ROOT, most: int = MOST) -> Candidate:
    """A greedy beam of one."""
    candidate = root
    while candidate.finish == "open" and len(candidate.tokens) < most and len(candidate.steps) < most:
        (reply,) = sample(role, Sample(candidate, candidate.key.child(0), 1, 0.0))
        candidate = candidate.extend(candidate.key.child(0), reply.steps, reply.finish)
    return candidate


def whole(role: Any, root: Candidate = ROOT) -> Candidate:
    """A greedy draw to the end."""
    (reply,) = sample(role, Sample(root, root.key.child(0), None, 0.0))
    return root.extend(root.key.child(0), reply.steps, reply.finish)


def alike(one: Candidate, other: Candidate) -> bool:
    """Whether two texts agree as far as both go: limits on tokens cut them in different places."""
    short = min(len(one.text), len(other.text))
    return short > 0 and one.text[:short] == other.text[:short]
