"""A seeded toy model of three to five steps, its verifier and its reviser: every reply is a function of its request."""

from collections.abc import Sequence
from random import Random

from ttscale import Completion, Cost, Revise, Sample, Score, Step, Verdict


def write(seed: int, begun: int, most: int | None) -> Completion:
    """Steps up to ``most`` of a solution that has ``begun`` steps and ends at random after its third, at its fifth."""
    random, steps = Random(seed), list[Step]()
    while most is None or len(steps) < most:
        length = begun + len(steps)
        if length >= 5 or (length >= 3 and random.random() < 0.5):
            steps.append(Step(f"Answer: {random.randint(1, 3)}", (9,)))
            return Completion(tuple(steps), "stop", Cost(sampled_tokens=len(steps)))
        steps.append(Step(f"{random.randint(1, 9)}\n", (random.randint(1, 9),)))
    return Completion(tuple(steps), "open", Cost(sampled_tokens=len(steps)))


class Toy:
    """All three roles in one object."""

    def sample(self, requests: Sequence[Sample]) -> list[Completion]:
        return [write(r.key.seed, len(r.prefix.steps), r.max_steps) for r in requests]

    def revise(self, requests: Sequence[Revise]) -> list[Completion]:
        return [write(r.key.seed, 0, None) for r in requests]

    def score(self, requests: Sequence[Score]) -> list[Verdict]:
        return [
            Verdict(
                tuple(round(Random(r.candidate.text + str(i)).random(), 3) for i in range(len(r.candidate.steps))),
                Cost(verifier_tokens=len(r.candidate.steps), flops=10.0),
            )
            for r in requests
        ]
