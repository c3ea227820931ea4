"""Chains of revisions: what each attempt saw, and the shares that measure a reviser, counted by hand."""

from __future__ import annotations

import json

import pytest

from ttscale.core.requests import Completion
from ttscale.core.types import Step
from ttscale.training.data.chains import collect_chains
from ttscale.training.data.readers import read_rollouts


class Scripted:
    """Writes the attempts of a script by position; a dash is cut off, a space is nothing."""

    name = "scripted"

    def __init__(self, *script):
        self.script = script
        self.asked = []

    def revise(self, requests):
        self.asked += requests
        replies = []
        for request in requests:
            _, _, _, chain, position = request.key.path
            mark = self.script[chain][position]
            text = "thinking" if mark == "-" else f"Answer: {mark}"
            steps = () if mark == " " else (Step(text, (1,)),)
            replies.append(Completion(steps, "length" if mark == "-" else "stop"))
        return replies


def test_attempts_see_the_most_recent_finished_ones(tmp_path):
    reviser = Scripted("8-87", "7 99")
    collect_chains(reviser, [("q?", "7")], tmp_path / "c.jsonl", chains=2, length=4, context=2, progress=False)
    rows = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
    shown = [(r["chain"], r["position"], r["attempts"], r["correct"], r["answer"]) for r in rows[1:-1]]
    assert shown == [
        (0, 0, [], False, "8"),
        (0, 1, ["Answer: 8"], False, None),
        (0, 2, ["Answer: 8"], False, "8"),
        (0, 3, ["Answer: 8", "Answer: 8"], True, "7"),
        (1, 0, [], True, "7"),
        (1, 2, ["Answer: 7"], False, "9"),
        (1, 3, ["Answer: 7", "Answer: 9"], False, "9"),
    ]
    assert all(not request.attempts[0].steps for request in reviser.asked[:2])  # the root: no attempt yet
    examples = read_rollouts(tmp_path / "c.jsonl")
    assert (len(examples.examples), examples.malformed) == (7, {})
    assert examples.examples[3].attempts == ("Answer: 8", "Answer: 8")
    assert examples.examples[3].labels == (1.0,)


def test_the_shares_of_the_summary(tmp_path):
    reviser = Scripted("8887", "7799")
    summary = collect_chains(reviser, [("q?", "7")], tmp_path / "c.jsonl", chains=2, length=4, progress=False)
    assert summary.right_at == (0.5, 0.5, 0.0, 0.5)
    assert summary.wrong_to_right == 1 / 4  # after 8, 8, 8 (once right) and after 9
    assert summary.right_to_wrong == 1 / 2
    assert summary.copies == 3 / 4  # saw a wrong one: the second to fourth of chain 0, the fourth of chain 1
    assert (summary.attempts, summary.cost.generations) == (8, 8)
    assert "right by position 0.500 0.500 0.000 0.500; wrong to right 0.250" in str(summary)


def test_chains_resume_and_refuse_other_settings(tmp_path):
    questions = [(f"q{i}?", "7") for i in range(4)]
    reviser = Scripted("87", "78")
    options = {"chains": 2, "length": 2, "progress": False}
    whole = collect_chains(reviser, questions, tmp_path / "a.jsonl", **options)
    collect_chains(reviser, questions[:2], tmp_path / "b.jsonl", together=1, **options)
    again = collect_chains(reviser, questions, tmp_path / "b.jsonl", **options)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert (whole.right_at, whole.copies) == (again.right_at, again.copies)
    with pytest.raises(ValueError, match=r"begun with other settings \(length: 2 there, 1 now\)"):
        collect_chains(reviser, questions, tmp_path / "a.jsonl", chains=2, length=1, progress=False)
    with pytest.raises(ValueError, match="length must be a positive integer"):
        collect_chains(reviser, questions, tmp_path / "c.jsonl", length=0, progress=False)
