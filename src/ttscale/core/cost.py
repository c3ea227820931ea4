"""What a search spent: one record that adds up, and the formula for its FLOPs.

This file knows arithmetic only. Where each number is measured: the engine counts what can be seen from outside
(generations, steps, verifier calls); the backend that does the work reports tokens, FLOPs and seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace


@dataclass(frozen=True, slots=True)
class Cost:
    """What happened, in units that can be counted. Costs add with ``+``.

    ``budget`` is what the user asked for (the paper's N); a ``Cost`` is what was really spent. Two costs compare equal
    when everything but the clock agrees.
    """

    generations: int = 0
    """Solutions begun: draws from the bare question, and revisions. The paper's unit N.

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
    """Candidates judged by the verifier, and comparisons made by the comparator."""
    verifier_tokens: int = 0
    """Tokens the verifier and the comparator really ran, over all of their models."""
    flops: float = 0.0
    """Floating-point operations of every forward, verifier included; see ``forward_flops``. 0 where unknown."""
    requests: int = 0
    """Requests that a server answered. Several draws may share one; 0 for models in this process."""
    resent_tokens: int = 0
    """Context tokens that the server had been sent or had written before: the prefix of each continuation, and a prompt
    sent more than once for one wave. A cache spares computing them, not sending them."""
    dollars: float = 0.0
    """Money by the ``Price`` that a role was given; 0 where it has none."""
    seconds: float = field(default=0.0, compare=False)
    """Busy seconds of the workers, shared out over the requests they served together; waiting is not in it."""

    def __str__(self) -> str:
        counts = [
            f"{self.generations} generations, {self.steps} steps, {self.sampled_tokens} tokens sampled",
            f"{self.verifier_calls} verifier calls ({self.verifier_tokens} tokens)" if self.verifier_calls else "",
            f"{self.flops:.2g} FLOPs" if self.flops else "",
            f"${self.dollars:.4g}" if self.dollars else "",
            f"{self.seconds:.1f} s" if self.seconds else "",
        ]
        return ", ".join(filter(None, counts))

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
            self.requests + other.requests,
            self.resent_tokens + other.resent_tokens,
            self.dollars + other.dollars,
            self.seconds + other.seconds,
        )

    def to_dict(self) -> dict[str, float]:
        """The fields by name."""
        return {name: getattr(self, name) for name in FIELDS}

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
            self.requests,
            self.resent_tokens,
            self.dollars,
            self.seconds,
        )


FIELDS = tuple(field.name for field in fields(Cost))
FREE = Cost()
"""The cost of a reply that reports none."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a server takes, in dollars per million tokens: of the prompt, of the reply, of the prompt from its cache.

    ``cached`` None is the price of ``input``. A verifier's tokens are input.
    """

    input: float
    output: float
    cached: float | None = None

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
            if not number and not (name == "cached" and value is None):
                raise ValueError(f"Price({name}=...) must be dollars per million tokens, 0 or more; got {value!r}")

    def charge(self, cost: Cost) -> Cost:
        """The same cost with its dollars."""
        cached = self.input if self.cached is None else self.cached
        read = (cost.prompt_tokens + cost.verifier_tokens) * self.input + cost.cached_tokens * cached
        return replace(cost, dollars=(read + cost.sampled_tokens * self.output) / 1e6)


def forward_flops(matmul_parameters: int, attention_width: int, new_tokens: int, context: int) -> float:
    """FLOPs of one causal forward of ``new_tokens`` tokens after ``context`` earlier ones.

    A token costs ``2 * matmul_parameters``: a multiply and an add for each weight that takes part in a matrix product.
    The LM head counts, embedding look-ups do not. Attention comes on top, at the true context length: a token that sees
    ``n`` positions costs ``4 * attention_width * n``. ``attention_width`` is query heads x head size, summed over
    layers. Left out are norms, softmax, activations, rotary embeddings and sampling, together below 2% for models of
    more than a few layers.
    """
    seen = new_tokens * context + new_tokens * (new_tokens + 1) // 2
    return float(2 * matmul_parameters * new_tokens + 4 * attention_width * seen)
