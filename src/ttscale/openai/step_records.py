"""What each step of a reply keeps of the tokens that were drawn for it: log-probability, number, ids, confidence.

Pure functions of texts and numbers; nothing of replies or servers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from ttscale.core.confidence import first_below, with_confidence
from ttscale.core.types import Step
from ttscale.prompts.layouts import split_steps


def step_logprobs(steps: Sequence[str], tokens: Sequence[tuple[str, float]]) -> list[tuple[float | None, int | None]]:
    """For each step the sum of its tokens' log-probabilities and their number.

    A token belongs to the step in which it begins; those behind the text (the end of sequence, a stripped stop string)
    to none, but for a last step that has no other. Where characters are split over tokens, which then hold "\ufffd",
    both are compared without what is not ASCII. (None, None) for every step where the tokens do not spell the text, or
    none begins in the step.
    """
    text, spelled = "".join(steps), "".join(token for token, _ in tokens)
    fits = exact = spelled.startswith(text) or text.startswith(spelled)
    if not fits and "\ufffd" in spelled:
        steps, tokens = [_ascii(step) for step in steps], [(_ascii(token), logprob) for token, logprob in tokens]
        fits = _ascii(spelled).startswith(_ascii(text))
    if not tokens or not fits:
        return [(None, None)] * len(steps)
    sums, counts, length = [0.0] * len(steps), [0] * len(steps), sum(map(len, steps))
    step, end, at = 0, len(steps[0]) if steps else 0, 0
    for token, logprob in tokens:
        while at >= end and step + 1 < len(steps):
            step += 1
            end += len(steps[step])
        behind = at >= length and (bool(token) or exact)
        if steps and not (behind and counts[step]):
            sums[step] += logprob
            counts[step] += 1
        at += len(token)
    return [(total, count) if count else (None, None) for total, count in zip(sums, counts, strict=True)]


def step_tokens(
    steps: Sequence[str], tokens: Sequence[tuple[str, float]], ids: Sequence[int]
) -> list[tuple[float | None, int | None, tuple[int, ...]]]:
    """For each step (log-probability, number of tokens, their ids), as far as the reply says so.

    A step has ids where its tokens spell it and nothing more; a token across two steps leaves both without.
    """
    records = step_logprobs(steps, tokens)
    counted = [count for _, count in records]
    if not ids or len(ids) > len(tokens) or None in counted:
        return [(logprob, count, ()) for logprob, count in records]
    found, begin = [], 0
    for step, (logprob, count) in zip(steps, records, strict=True):
        end = begin + (count or 0)
        spelled = "".join(token for token, _ in tokens[begin : min(end, len(ids))])
        found.append((logprob, count, tuple(ids[begin:end]) if spelled == step else ()))
        begin = end
    return found


def _ascii(text: str) -> str:
    return text.encode("ascii", "ignore").decode()


def confident_steps(steps: Sequence[Step], confidences: Sequence[float], window: int) -> tuple[Step, ...]:
    """The steps with the confidence of their windows. Where tokens do not spell a step, it ends at its share of the
    text, which moves no window: only the step that it is noted in."""
    counts = [len(step.tokens) or step.drawn for step in steps]
    if None in counts:
        sizes = list(accumulate(len(step.text) for step in steps))
        ends = [round(len(confidences) * size / max(1, sizes[-1])) for size in sizes]
    else:
        ends = [min(end, len(confidences)) for end in accumulate(count or 0 for count in counts)]
    return tuple(with_confidence(steps, confidences, ends, window))


def given_up(
    spelled: Sequence[str], confidences: Sequence[float], window: int, below: float, delimiter: str | None
) -> tuple[Step, ...] | None:
    """What was drawn up to the first window below a threshold, as steps; None where there is none."""
    lost = first_below(confidences, window, below)
    if lost is None:
        return None
    text = "".join(spelled[:lost])
    pieces = [piece for piece in ([text] if delimiter is None else split_steps(text, delimiter)) if piece.strip()]
    tokens = [(word, 0.0) for word in spelled[:lost]]
    steps = [Step(piece, drawn=n) for piece, (_, n) in zip(pieces, step_logprobs(pieces, tokens), strict=True)]
    return confident_steps(steps, confidences[:lost], window)
