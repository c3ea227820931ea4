"""Slow and obvious: what each strategy should do, written a second time with nothing but lists and loops.

Kept beside the real ones for ever, which must agree to the last candidate.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ttscale import Candidate, Outcome, Revise, Sample, Score
from ttscale.answers import equivalent


def draw(
    generator: Any, prefix: Candidate, key: Any, max_steps: int | None = None, temperature: Any = None
) -> Candidate:
    (reply,) = generator.sample([Sample(prefix, key, max_steps, temperature)])
    return Candidate(prefix.question, key, prefix.steps + reply.steps, reply.finish, prefix.attempts)


def score(verifier: Any, candidate: Candidate, how: str) -> float | None:
    """None for what was cut off or is empty: it is not judged."""
    if candidate.finish == "length" or not candidate.steps:
        return None
    (verdict,) = verifier.score([Score(candidate)])
    scores = verdict.step_scores
    if how == "last":
        return float(scores[-1])
    if how == "min":
        return float(sorted(scores)[0])
    if how == "mean":
        return float(sum(map(Fraction, scores))) / len(scores)
    product = 1.0
    for one in scores:
        product *= one
    return product


def vote(candidates: Any, scores: Any) -> int | None:
    """Weighted best-of-N: for each candidate, add up the scores of all whose answer says the same.

    Sums within one part in a billion of the largest tie with it; of those the highest score wins, then the first.
    """
    totals: dict[int, Fraction] = {}
    for i, candidate in enumerate(candidates):
        if candidate.finish == "stop" and candidate.answer is not None and scores[i] is not None:
            totals[i] = sum(
                Fraction(scores[j])
                for j, other in enumerate(candidates)
                if other.finish == "stop" and scores[j] is not None and equivalent(candidate.answer, other.answer)
            ) + Fraction(0)
    if not totals:
        return choose_best(candidates, scores)
    leading = [i for i, total in totals.items() if total >= max(totals.values()) * (1 - Fraction(1, 10**9))]
    return max(leading, key=lambda i: (scores[i], -i))


def choose_best(candidates: Any, scores: Any) -> int | None:
    """Best-of-N: the highest score; the first of those; whoever states an answer goes first. Unscored, a plain vote."""
    chosen: int | None = None
    for answering in (True, False):
        for i, candidate in enumerate(candidates):
            if candidate.finish != "stop" or scores[i] is None or (candidate.answer is not None) != answering:
                continue
            if chosen is None or scores[i] > scores[chosen]:
                chosen = i
        if chosen is not None:
            return chosen
    # Nothing finished has a score: the most frequent answer, else the first that is finished.
    finished = [1.0 if candidate.finish == "stop" else None for candidate in candidates]
    return vote(candidates, finished) if any(c.steps for c in candidates if c.finish == "stop") else None


def best_of_n(roles: Any, root: Candidate, n: int, how: str, weighted: bool) -> Outcome:
    candidates = tuple(draw(roles["generator"], root, root.key.child(i)) for i in range(n))
    scores = tuple(score(roles["verifier"], candidate, how) for candidate in candidates)
    return Outcome(candidates, scores, (vote if weighted else choose_best)(candidates, scores))


def beam(
    roles: Any, root: Candidate, n: int, m: int, how: str, rounds: int = 40, k: int = 0, merge: bool = False
) -> Outcome:
    """N beams, M children for each of the N/M best; with ``k``, judged at the end of a greedy rollout of k steps."""
    generator, verifier = roles["generator"], roles["verifier"]
    finished: list[Candidate] = []
    finished_scores: list[float | None] = []
    still_open: list[Candidate] = []
    families: list[tuple[Candidate, int]] = [(root, n)]
    for number in range(1, rounds + 1):
        still_open = []
        for parent, children in families:
            for i in range(children):
                child = draw(generator, parent, parent.key.child(i), 1)
                if child.finish == "open":
                    still_open.append(child)
                else:
                    finished.append(child)
                    finished_scores.append(score(verifier, child, how))
        if not still_open or number == rounds:
            break
        # Every copy competes, unless copies are merged; in both cases the first one is judged for all.
        competing: list[Candidate] = []
        judged: list[float] = []
        for candidate in still_open:
            first = next(other for other in still_open if other.steps == candidate.steps)
            if merge and first is not candidate:
                continue
            seen = draw(generator, first, first.key.child("rollout"), k, 0.0) if k else first
            found = score(verifier, seen, how)
            competing.append(candidate)
            judged.append(-1.0 if found is None else found)
        # Best first; of equals the first.
        ranking = sorted(range(len(competing)), key=lambda i: -judged[i])
        survivors = ranking[: max(1, len(still_open) // m)]
        # The slots are dealt out like cards, so the best get what is left over.
        dealt = [0] * len(competing)
        for slot in range(len(still_open)):
            dealt[survivors[slot % len(survivors)]] += 1
        families = [(candidate, dealt[i]) for i, candidate in enumerate(competing) if dealt[i]]
    candidates = tuple(finished + still_open)
    scores = tuple(finished_scores) + (None,) * len(still_open)
    return Outcome(candidates, scores, vote(candidates, scores))


def dvts(roles: Any, root: Candidate, n: int, m: int, how: str, merge: bool = False) -> Outcome:
    """N/M trees, one after the other, each a beam that keeps one."""
    trees = max(1, n // m)
    sizes = [0] * trees
    for slot in range(n):
        sizes[slot % trees] += 1
    outcomes = [
        beam(roles, Candidate(root.question, root.key.child("tree", i)), size, size, how, merge=merge)
        for i, size in enumerate(sizes)
    ]
    candidates = tuple(c for outcome in outcomes for c in outcome.candidates)
    scores = tuple(s for outcome in outcomes for s in outcome.scores)
    return Outcome(candidates, scores, vote(candidates, scores))


def revision(roles: Any, root: Candidate, n: int, chains: int, context: int, how: str) -> Outcome:
    """Chains, one after the other, n attempts in all; the winner of each chain, then the winner of those."""
    candidates: list[Candidate] = []
    lengths = [0] * chains
    for slot in range(n):
        lengths[slot % chains] += 1
    for c, length in enumerate(lengths):
        chain: list[Candidate] = []
        for i in range(length):
            recent = [a for a in chain if a.finish == "stop" and a.steps]
            recent = recent[max(0, len(recent) - context) :]
            bare = [Candidate(a.question, a.key, a.steps, a.finish) for a in recent]
            key = root.key.child("chain", c, i)
            (reply,) = roles["reviser"].revise([Revise(tuple(bare) or (root,), key)])
            chain.append(Candidate(root.question, key, reply.steps, reply.finish, tuple(bare)))
        candidates += chain
    scores = [score(roles["verifier"], candidate, how) for candidate in candidates]
    winners: list[int] = []
    for c, length in enumerate(lengths):
        mine = list(range(sum(lengths[:c]), sum(lengths[:c]) + length))
        winner = vote([candidates[i] for i in mine], [scores[i] for i in mine])
        if winner is not None:
            winners.append(mine[winner])
    last = vote([candidates[i] for i in winners], [scores[i] for i in winners])
    weights = tuple(score if i in winners else None for i, score in enumerate(scores))
    return Outcome(tuple(candidates), tuple(scores), None if last is None else winners[last], weights=weights)
