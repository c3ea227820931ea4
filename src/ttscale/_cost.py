"""What a search spent: one record that adds up, and the formula for its FLOPs.

This file knows arithmetic only. Where each number is measured: the engine counts what can be seen from outside
(generations, steps, verifier calls); the backend that does the work reports tokens, FLOPs and seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Real


@dataclass(frozen=True, slots=True)
class Cost:
    """What happened, in units that can be counted. Costs add with ``+``.

    ``budget`` is what the user asked for (the paper's N); a ``Cost`` is what was really spent. Two costs compare equal
    when everything but the clock agrees.
    """

    generations: int = 0
    """Solutions begun: draws from the bare question, and revisions. The paper's unit N (section 3.6 of the notes).

    A continuation of a prefix is not another generation, so a beam search over N beams is N, as in the paper."""
    steps: int = 0
    """Steps sampled, rollout steps of lookahead included."""
    sampled_tokens: int = 0
    """Tokens drawn from the model, including each end-of-sequence token and rollouts. Padding never counts."""
    prompt_tokens: int = 0
    """Context tokens run through the generator or reviser for these requests (not found in a cache)."""
    cached_tokens: int = 0
    """Context tokens whose keys and values were reused instead. ``prompt_tokens + cached_tokens`` is the context."""
    verifier_calls: int = 0
    """Candidates judged by the verifier."""
    verifier_tokens: int = 0
    """Tokens the verifier really ran, over all of its models."""
    flops: float = 0.0
    """Floating-point operations of every forward, verifier included; see ``forward_flops``. 0 where unknown."""
    seconds: float = field(default=0.0, compare=False)
    """Busy seconds of the workers, shared out over the requests they served together; waiting is not in it."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.generations + other.generations,
            self.steps + other.steps,
            self.sampled_tokens + other.sampled_tokens,
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.verifier_calls + other.verifier_calls,
            self.verifier_tokens + other.verifier_tokens,
            self.flops + other.flops,
            self.seconds + other.seconds,
        )

    def counted(self, generations: int = 0, steps: int = 0, verifier_calls: int = 0) -> Cost:
        """The same work with these three counts, which the engine takes from requests and replies."""
        return Cost(
            generations,
            steps,
            self.sampled_tokens,
            self.prompt_tokens,
            self.cached_tokens,
            verifier_calls,
            self.verifier_tokens,
            self.flops,
            self.seconds,
        )


FREE = Cost()
"""What replies cost that say nothing of it."""


def forward_flops(matmul_parameters: int, attention_width: int, new_tokens: int, context: int) -> float:
    """FLOPs of one causal forward of ``new_tokens`` tokens after ``context`` earlier ones.

    ``2 * matmul_parameters`` per token (a multiply and an add for each weight that takes part in a matrix product, the
    LM head included, embedding look-ups not), plus attention at the true context length: a token that sees ``n``
    positions costs ``4 * attention_width * n``, where ``attention_width`` is query heads x head size summed over
    layers (scores and weighted values, a multiply and an add each). Left out: norms, softmax, activations, rotary
    embeddings and sampling, together below 2% for models of more than a few layers.
    """
    seen = new_tokens * context + new_tokens * (new_tokens + 1) // 2
    return float(2 * matmul_parameters * new_tokens + 4 * attention_width * seen)


@dataclass(frozen=True, slots=True)
class Limit:
    """Hard caps on one question: sampled tokens, FLOPs, wall-clock seconds. None is no cap.

    Reaching one ends the search with the best so far and ``Result.stopped_by`` naming it. Requests are let out only as
    far as the cap can pay for another one as dear as the dearest so far, so what goes beyond it is the first one, of
    which nobody knows what it will cost, and what others cost more than any before them. At the token cap the strategy
    still has its finished candidates judged; at the cap on FLOPs what is out is waited for, since it is being paid for;
    the cap on seconds ends everything at once. Like the clock, FLOPs that were really run depend on what else was in a
    batch or a cache, so a search that one of these two caps has ended may end elsewhere the next time.
    """

    tokens: int | None = None
    flops: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("tokens", "flops", "seconds"):
            value = getattr(self, name)
            number = isinstance(value, Real) and not isinstance(value, bool)
            if value is not None and not (number and 0 < value < math.inf):
                raise ValueError(f"Limit({name}=...) must be positive and finite, or None for no cap; got {value!r}")

    def reached(self, spent: Cost, next_one: Cost, drawing: bool) -> str | None:
        """Which cap is used up or cannot pay for ``next_one``; None while there is room.

        ``drawing`` says whether the next request samples; judging is free of the token cap.
        """
        if drawing and self.tokens is not None and spent.sampled_tokens + max(1, next_one.sampled_tokens) > self.tokens:
            return "tokens"
        if self.flops is not None and (spent.flops >= self.flops or spent.flops + next_one.flops > self.flops):
            return "flops"
        return None

    def affordable(self, spent: Cost, dearest: Cost, drawing: bool) -> float:
        """How many requests may be out at once without passing a cap if each is as dear as the dearest so far."""
        room = math.inf
        if drawing and self.tokens is not None:
            room = (self.tokens - spent.sampled_tokens) // dearest.sampled_tokens if dearest.sampled_tokens else 1
        if self.flops is not None:
            room = min(room, (self.flops - spent.flops) // dearest.flops if dearest.flops else 1)
        return max(1, room)
