"""One draw on its way, the seed it has, and which draws can share one request. Pure data.

A key's last part is often a number: the children of one node. Such a draw has the seed of its parent plus that number.
vLLM and llama.cpp give the n draws of one request the seeds s, s + 1 and so on. So each draw is the same, whether they
are asked for together, in parts or one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from ttscale.core.confidence import TOP
from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError
from ttscale.core.requests import Completion, FinishLine, Revise, Sample, where
from ttscale.core.seeds import child_number, counted_seed
from ttscale.core.types import Key, Step
from ttscale.openai.reply import Written
from ttscale.openai.server_kinds import Server
from ttscale.openai.step_records import confident_steps, given_up
from ttscale.prompts.layouts import PromptFormat, own_tags, shown_attempts


@dataclass(slots=True)
class Task:
    """One request of a search on its way: what to continue, and what has been written so far."""

    question: str
    attempts: Sequence[str]
    key: Key
    where: str
    prefix: tuple[Step, ...] = ()
    max_steps: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    window: int | None = None
    stop_below: float | None = None
    line: FinishLine | None = None
    """The race that it is part of; such a draw has a request of its own."""
    text: str = ""
    """The text of the prefix, and what was written after it."""
    steps: list[Step] = field(default_factory=list)
    cost: Cost = Cost()
    confidences: list[float] = field(default_factory=list)
    """Of each token drawn, where a window asks for them."""
    spelled: list[str] = field(default_factory=list)
    """What these tokens say."""
    asked: int = 0
    resent: bool = False
    """Whether the server has been sent this context before, in this wave or as a shorter one."""

    def next_seed(self, server: Server) -> int:
        """The seed of the next draw, in the bits that the server takes: the key's own for the first."""
        self.asked += 1
        if self.asked > 1:
            return self.key.child("draw", self.asked).seed >> (63 - server.seed_bits)
        if server.counts_seeds:
            return counted_seed(self.key, server.seed_bits)
        return self.key.seed >> (63 - server.seed_bits)

    def most(self, setting: int | None) -> int | None:
        """The tokens that its next request may draw: the role's setting, or what is left of the task's own."""
        if self.max_tokens is None:
            return setting
        left = self.max_tokens - self.cost.sampled_tokens
        return left if setting is None else min(setting, left)

    def note(self, written: Written, resent: bool, logprobs: bool) -> None:
        """Take in the cost of what was drawn, and its confidence where a window asks for it.

        ``resent``: whether the server had been sent the context before. ``RoleError`` where log-probabilities or
        confidences were asked for and none came.
        """
        drawn = written.text.removesuffix(written.stopped_by or "")
        if logprobs and drawn and not written.tokens:
            raise RoleError(
                f"the server returned no log-probabilities ({self.where}); leave logprobs=False, or use another server"
            )
        cost = written.cost
        if resent or self.asked > 1:
            cost = replace(cost, resent_tokens=cost.prompt_tokens + cost.cached_tokens)
        self.cost += cost
        if self.window is None:
            return
        if written.text and not written.confidences:
            raise RoleError(
                f"the server returned no log-probabilities of the {TOP} likeliest tokens ({self.where}), which a vote "
                "by confidence needs; use a server that does, such as vLLM or llama.cpp, or a vote without confidence"
            )
        begins = accumulate((len(text) for text, _ in written.tokens), initial=0)
        said = sum(begin < len(written.text) for begin in list(begins)[:-1])  # the end of sequence has no text
        self.confidences += written.confidences[:said]
        self.spelled += [text for text, _ in written.tokens[:said]]

    def with_confidence(self, reply: Completion, delimiter: str | None) -> Completion:
        """The reply with the confidence that was asked for, given up at the first window below the threshold."""
        if self.window is None or not reply.steps:
            return reply
        if self.stop_below is not None:
            kept = given_up(self.spelled, self.confidences, self.window, self.stop_below, delimiter)
            if kept is not None:
                return replace(reply, steps=kept, finish="length")
        return replace(reply, steps=confident_steps(reply.steps, self.confidences, self.window))

    @property
    def spent(self) -> bool:
        """Whether it may draw nothing more."""
        return self.max_tokens is not None and self.cost.sampled_tokens >= self.max_tokens

    def again(self, temperature: float) -> Task:
        """The same draw with another seed and temperature, before anything was written."""
        return Task(
            self.question,
            self.attempts,
            self.key.child("again"),
            self.where,
            self.prefix,
            temperature=temperature,
            text="".join(step.text for step in self.prefix),
            resent=True,
        )

    def context(self) -> Hashable:
        """What the server is sent before the new text; equal contexts can share a request."""
        return (self.question, tuple(self.attempts), self.text, tuple(step.tokens for step in self.prefix))


def sample_task(request: Sample, form: PromptFormat) -> Task:
    """The draw that answers a ``Sample``; its text has the tags that the model itself writes around a thought."""
    prefix = request.prefix
    steps = prefix.steps
    if form.thoughts:
        steps = tuple(replace(step, text=own_tags(form, step.text)) for step in steps)
    attempts = shown_attempts(form, prefix.attempts)
    return Task(
        request.question.prompt,
        attempts,
        request.key,
        where(request),
        steps,
        request.max_steps,
        request.temperature,
        request.max_tokens,
        request.window,
        request.stop_below,
        text="".join(step.text for step in steps),
    )


def revise_task(request: Revise, form: PromptFormat) -> Task:
    """The draw that answers a ``Revise``."""
    attempts = shown_attempts(form, request.attempts)
    return Task(request.question.prompt, attempts, request.key, where(request), max_tokens=request.max_tokens)


def share_requests(tasks: Sequence[Task], most: int) -> list[list[Task]]:
    """Groups that one request each can answer: one context and settings, seeds that follow each other.

    None has more than ``most`` tasks. Its first says whether the context was sent before (``resent``).
    """
    families: dict[Hashable, list[Task]] = defaultdict(list)
    for task in tasks:
        number = child_number(task.key)
        settings = (task.max_steps, task.temperature, task.max_tokens, task.window)
        family = (task.key.path[:-1], *settings) if number is not None else task.key
        families[task.context(), family].append(task)
    groups: list[list[Task]] = []
    for siblings in families.values():
        run: list[Task] = []
        for task in sorted(siblings, key=lambda task: child_number(task.key) or 0):
            alone = task.line is not None or task.stop_below is not None
            if run and len(run) < most and not alone and _follows(run[-1].key, task.key):
                run.append(task)
            else:
                run = [task]
                groups.append(run)
    seen: set[Hashable] = set()
    for group in groups:
        group[0].resent = bool(group[0].prefix) or group[0].context() in seen
        seen.add(group[0].context())
    return groups


def _follows(one: Key, other: Key) -> bool:
    """Whether ``other`` is the next sibling."""
    number, following = child_number(one), child_number(other)
    return number is not None and following == number + 1
