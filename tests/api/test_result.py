"""A result as text, as data, as a file, in a notebook."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ttscale
from ttscale import viz
from ttscale.cli.solve import as_text
from ttscale.testing import FakeGenerator, FakeVerifier
from ttscale.verifiers import FunctionVerifier


def scored() -> ttscale.Result:
    generator = FakeGenerator(["Answer: 18", "Answer: <b>19</b>", "Answer: 18"])
    verifier = FakeVerifier([0.5, 0.25, 0.75])
    return ttscale.solve("What?", 3, generator=generator, verifier=verifier, strategy="weighted_best_of_n")


def test_a_result_prints_in_three_lines() -> None:
    answer, strategy, cost = str(scored()).splitlines()
    assert answer == "answer    18  (score 0.750, 2 of 3 solutions)"
    assert strategy == "strategy  WeightedBestOfN(aggregate='last')"
    assert cost.startswith("cost      3 generations, 3 steps, ")


def test_without_an_answer_it_says_why() -> None:
    cut = ttscale.Completion((ttscale.Step("and so"),), "length")
    result = ttscale.solve("What?", 2, generator=FakeGenerator(cut), strategy="majority_vote")
    assert str(result).splitlines()[0] == "answer    none: 0 of 2 solutions were finished"
    (failed,) = ttscale.solve_all(["What?"], 1, generator=FakeGenerator(OSError("gone")), progress=False)
    assert "none: RoleError" in str(failed)


def test_an_answer_beside_an_error_is_the_best_so_far() -> None:
    def judge(candidate: ttscale.Candidate) -> float:
        raise OSError("gone")

    roles: dict[str, Any] = {"generator": FakeGenerator("Answer: 18"), "verifier": FunctionVerifier(judge)}
    (failed,) = ttscale.solve_all(["What?"], 2, **roles, strategy="best_of_n", progress=False)
    answer = str(failed).splitlines()[0]
    assert answer.startswith(
        "answer    18, the best so far: RoleError: the verifier judge raised OSError: gone (question "
    )
    assert answer.endswith('; on_error="unscored" lets the other solutions compete')
    assert answer.count("'What?'") == 1


def test_a_winner_without_an_answer_is_shown_as_such() -> None:
    roles: dict[str, Any] = {"generator": FakeGenerator("def f(): ..."), "verifier": FakeVerifier([0.25, 0.75])}
    result = ttscale.solve("Write f.", 2, **roles, strategy="best_of_n")
    line = "answer    none stated; see result.text  (score 0.750, 2 of 2 solutions were finished)"
    assert str(result).splitlines()[0] == line


def test_solutions_without_an_answer_are_counted_apart() -> None:
    generator = FakeGenerator(["Answer: 3", "I do not know.", "Answer: 3", "Answer: 4"])
    result = ttscale.solve("What?", 4, generator=generator, strategy="majority_vote")
    assert str(result).splitlines()[0] == "answer    3  (score 0.667, 2 of 4 solutions, 1 without an answer)"


def test_a_notebook_shows_the_votes_escaped() -> None:
    shown = scored()._repr_html_()
    assert "<td>18</td><td>2</td><td>83%</td>" in shown
    assert "<b>19</b>" not in shown


def test_a_notebook_shows_what_stands_in_the_place_of_an_answer() -> None:
    (failed,) = ttscale.solve_all(["What?"], 1, generator=FakeGenerator(OSError("<gone>")), progress=False)
    shown = failed._repr_html_()
    assert "none: RoleError: the generator fake raised OSError: &lt;gone&gt;" in shown
    assert "<table>" not in shown
    roles: dict[str, Any] = {"generator": FakeGenerator("def f(): <...>"), "verifier": FakeVerifier(0.5)}
    shown = ttscale.solve("Write f.", 1, **roles, strategy="best_of_n")._repr_html_()
    assert "none stated" in shown
    assert ">def f(): &lt;...&gt;</pre>" in shown


def test_a_search_that_a_limit_ended_without_an_answer_says_so() -> None:
    cut = ttscale.Completion((ttscale.Step("and so"),), "length", ttscale.Cost(sampled_tokens=5))
    limit = ttscale.Limit(tokens=5)
    result = ttscale.solve("What?", 2, generator=FakeGenerator(cut), strategy="majority_vote", limit=limit)
    assert ", stopped by the limit on tokens" in str(result).splitlines()[0]
    assert "stopped by the limit on tokens" in result._repr_html_()


def test_a_trace_is_shown_by_what_was_asked() -> None:
    trace = scored().trace
    assert trace._repr_html_().endswith("<tr><td>sample</td><td>3</td></tr><tr><td>score</td><td>3</td></tr></table>")
    assert "Answer" not in repr(trace)


def test_a_policy_takes_no_line_of_its_own() -> None:
    result = ttscale.solve("What?", 4, generator=FakeGenerator("Answer: 1"), strategy="majority_vote")
    long = "ComputeOptimalScheduler(policy=Policy(thresholds=(0.1, 0.4), probe=4), probe=None): hard -> Beam(width=4)"
    shown = str(replace(result, strategy=long)).splitlines()[1]
    assert shown == "strategy  ComputeOptimalScheduler(policy=Policy(...), probe=None): hard -> Beam(width=4)"


def test_to_dict_is_plain_json_data() -> None:
    result = scored()
    data = json.loads(json.dumps(result.to_dict()))
    assert (data["answer"], data["score"], data["error"]) == ("18", 0.75, None)
    assert next(vote["answer"] for vote in data["votes"]) == "18"
    assert [(c["answer"], c["score"]) for c in data["candidates"]] == [("18", 0.5), ("<b>19</b>", 0.25), ("18", 0.75)]


def test_save_by_the_name_of_the_file(tmp_path: Path) -> None:
    result = scored()
    assert json.loads(result.save(tmp_path / "r.json").read_text(encoding="utf-8")) == result.to_dict()
    (tree,) = viz.trees(result.save(tmp_path / "r.jsonl"))
    assert tree == viz.tree(result.trace)
    assert result.save(str(tmp_path / "r.html")).read_text(encoding="utf-8") == viz.html(tree)


def test_show_opens_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert opened == [scored().show().as_uri()] or len(opened) == 1
    assert opened[0].endswith("search.html")


def test_votes_are_not_weighed_by_votes() -> None:
    replies = ["Answer: 18"] * 6 + ["Answer: 19"] * 2
    result = ttscale.solve("What?", 8, generator=FakeGenerator(replies), strategy="majority_vote")
    assert [(vote.answer, vote.count, vote.share) for vote in result.votes()] == [("18", 6, 0.75), ("19", 2, 0.25)]


def shown_for(answers: list[str], scores: list[float], strategy: str) -> ttscale.Result:
    """The result of a search whose solutions got these answers and scores."""
    roles: dict[str, Any] = {"generator": FakeGenerator(answers), "verifier": FakeVerifier(scores)}
    return ttscale.solve("What?", len(answers), **roles, strategy=strategy)


def test_the_confidence_is_that_of_the_answer_shown() -> None:
    """The best single solution says 4, with .9 of 2.7 in weight; most say 3."""
    result = shown_for(["Answer: 4", "Answer: 3", "Answer: 3", "Answer: 3"], [0.9, 0.6, 0.6, 0.6], "best_of_n")
    assert result.answer == "4"
    assert "confidence  33% of the weighted votes, 1 of 4 solutions" in as_text(result)
    assert str(result).splitlines()[0] == "answer    4  (score 0.900, 1 of 4 solutions)"


def test_a_vote_is_that_of_an_answer_however_it_is_spelled() -> None:
    result = shown_for(["Answer: 0.5", "Answer: 7", r"Answer: \frac{1}{2}"], [0.3, 0.5, 0.9], "best_of_n")
    assert result.answer == r"\frac{1}{2}"
    assert str(result).splitlines()[0] == r"answer    \frac{1}{2}  (score 0.900, 2 of 3 solutions)"
    assert "confidence  71% of the weighted votes, 2 of 3 solutions" in as_text(result)


def test_a_winner_without_an_answer_has_no_confidence() -> None:
    result = shown_for(["Answer: 4", "Who knows."], [0.2, 0.9], "best_of_n")
    confidence = replace(result, answer=None, text="Who knows.")
    assert "confidence  none" in as_text(confidence)


def test_solutions_that_are_all_scored_0_have_no_weight() -> None:
    """The verifier has spoken, so that nothing is counted: the first candidate wins, and no answer has a share."""
    answers = ["Answer: 4", "Answer: 3", "Answer: 3", "Answer: 3"]
    result = shown_for(answers, [0.0, 0.0, 0.0, 0.0], "weighted_best_of_n")
    assert result.answer == "4"
    assert [(vote.answer, vote.count, vote.share) for vote in result.votes()] == [("4", 1, 0.0), ("3", 3, 0.0)]
    assert "confidence  0% of the weighted votes, 1 of 4 solutions" in as_text(result)


def test_half_a_character_in_a_question_can_be_saved(tmp_path: Path) -> None:
    result = ttscale.solve("What is \ud800?", 2, generator=FakeGenerator("Answer: 4"))
    for name in ("r.json", "r.jsonl", "r.html"):
        assert result.save(tmp_path / name).exists()


def test_caps_may_be_numbers_of_numpys(tmp_path: Path) -> None:
    limit = ttscale.Limit(tokens=np.int64(50), seconds=np.float64(60))  # type: ignore[arg-type]
    assert limit == ttscale.Limit(tokens=50, seconds=60)
    (result,) = ttscale.solve_all(
        ["What?"], 2, generator=FakeGenerator("Answer: 4"), limit=limit, resume=tmp_path / "t.jsonl", progress=False
    )
    assert result.answer == "4"
