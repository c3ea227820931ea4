"""The vote table against a count by hand, and what became of each branch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import ttscale
from ttscale import viz
from ttscale.testing import FakeGenerator
from viz.toys import Toy


def solve(strategy: ttscale.Strategy, budget: int = 16) -> ttscale.Result:
    toy = Toy()
    return ttscale.solve("What?", budget, generator=toy, verifier=toy, reviser=toy, strategy=strategy)


def test_votes_are_counted_as_by_hand() -> None:
    result = solve(ttscale.WeightedBestOfN())
    rows = viz.votes(viz.tree(result.trace))
    pairs = list(zip(result.candidates, result.scores, strict=True))
    answers = Counter(candidate.answer for candidate in result.candidates)
    assert {row.answer: row.count for row in rows} == answers
    for row in rows:
        scores = [score for candidate, score in pairs if candidate.answer == row.answer and score is not None]
        assert (row.total, row.best) == (pytest.approx(sum(scores)), max(scores))
    assert [row.won for row in rows] == [True] + [False] * (len(rows) - 1)
    assert rows[0].answer == result.answer


def test_the_reason_names_what_the_winner_leads_in() -> None:
    rows = viz.votes(tree := viz.tree(solve(ttscale.WeightedBestOfN()).trace))
    reason = viz.why(tree)
    assert reason.startswith(f"{rows[0].answer} won with the ")
    assert ("most votes" in reason) == (rows[0].count > max(row.count for row in rows[1:]))
    assert f"highest summed score ({rows[0].total:.2f})" in reason


def test_a_winner_that_leads_in_nothing_is_not_said_to_lead() -> None:
    """By hand from the toy's replies: answer 1 has as many votes as 2, and a lower sum and best score."""
    toy = Toy()
    result = ttscale.solve(
        "What is 9 * (14 - 6) + 7 * (3 + 8) - 25?",
        16,
        generator=toy,
        verifier=toy,
        reviser=toy,
        strategy="sequential_revision",
    )
    tree = viz.tree(result.trace)
    first, second = viz.votes(tree)[:2]
    assert (first.answer, first.count, second.answer, second.count) == ("1", 6, "2", 6)
    assert (first.total or 0) < (second.total or 0)
    assert viz.why(tree).startswith("1 won the vote over the best answers of the chains;")


def test_a_tie_is_called_one() -> None:
    generator = FakeGenerator(["Answer: 4", "Answer: 5", "Answer: 5", "Answer: 4"])
    tree = viz.tree(ttscale.solve("What?", 4, generator=generator, strategy="majority_vote").trace)
    assert viz.why(tree) == "4 won a tie of 2 votes: the answer that came first counts."


def test_without_a_verifier_only_votes_are_shown() -> None:
    tree = viz.tree(ttscale.solve("What?", 9, generator=Toy(), strategy="majority_vote").trace)
    assert all(row.total is None for row in viz.votes(tree))
    assert "summed score" not in viz.html(tree)


@pytest.mark.parametrize("strategy", [ttscale.Beam(), ttscale.DVTS(), ttscale.Lookahead(k=1)], ids=lambda s: repr(s))
def test_every_branch_that_ends_says_why(strategy: ttscale.Strategy) -> None:
    tree = viz.tree(solve(strategy).trace)
    fates, below = tree.fates(), tree.children()
    for index, node in enumerate(tree.nodes):
        continued = [child for child in below[index] if not tree.nodes[child].rollout]
        if node.kind == "sample" and node.finish == "open" and not node.rollout:
            assert (fates[index] == "") == bool(continued)
    assert "pruned: not among the best" in fates or isinstance(strategy, ttscale.Lookahead)


def test_a_file_of_many_questions_has_a_tree_for_each(tmp_path: Path) -> None:
    toy, path = Toy(), tmp_path / "run.jsonl"
    questions = [f"What is {i}?" for i in range(5)]
    results = ttscale.solve_all(questions, 4, generator=toy, strategy="majority_vote", resume=path, progress=False)
    trees = viz.trees(path)
    assert [(tree.prompt, tree.answer) for tree in trees] == [(r.question.prompt, r.answer) for r in results]
    assert [tree.prompt for tree in viz.trees(path, "is 3")] == ["What is 3?"]
    page = viz.html(trees)
    assert page.count("<section ") == 5
    assert page.count('href="#q') == 5
    with pytest.raises(ValueError, match="none of its 5 questions matches 'nothing'"):
        viz.trees(path, "nothing")
    with pytest.raises(ValueError, match="at least one tree"):
        viz.html([])


def test_a_revision_shows_what_it_changed() -> None:
    class Reviser:
        def revise(self, requests: list[ttscale.Revise]) -> list[ttscale.Completion]:
            texts = [
                "two and <two>\nAnswer: 5" if len(r.attempts[0].steps) == 0 else "two and <three>\nAnswer: 5"
                for r in requests
            ]
            return [ttscale.Completion((ttscale.Step(text),), "stop") for text in texts]

    result = ttscale.solve(
        "?", 2, reviser=Reviser(), strategy=ttscale.SequentialRevision(ratio=256.0, select="majority")
    )
    page = viz.html(viz.tree(result.trace))
    assert "<del>&lt;two&gt;</del><ins>&lt;three&gt;</ins>" in page
