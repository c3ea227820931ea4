"""The tree says the same as the result, though it sees only the events."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import ttscale
from ttscale import viz
from ttscale.core.trace import read_events
from viz.toys import Toy

STRATEGIES = [
    ttscale.MajorityVote(),
    ttscale.BestOfN(),
    ttscale.WeightedBestOfN(),
    ttscale.Beam(),
    ttscale.DVTS(width=2),
    ttscale.Lookahead(k=1),
    ttscale.SequentialRevision(ratio=4.0),
    ttscale.ComputeOptimalScheduler(),
]


def solve(strategy: ttscale.Strategy, **settings: object) -> ttscale.Result:
    toy = Toy()
    return ttscale.solve("What?", 16, generator=toy, verifier=toy, reviser=toy, strategy=strategy, **settings)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
def test_tree_agrees_with_the_result(strategy: ttscale.Strategy) -> None:
    result = solve(strategy)
    tree = viz.tree(result.trace)
    at = {node.key: node for node in tree.nodes}

    assert (tree.prompt, tree.answer, tree.score) == ("What?", result.answer, result.score)
    assert (tree.strategy, tree.budget, tree.cost) == (result.strategy, 16, result.cost)
    for candidate, score in zip(result.candidates, result.scores, strict=True):
        node = at[candidate.key.path]
        assert (node.finish, node.answer) == (candidate.finish, candidate.answer)
        assert text_of(tree, node) == candidate.text
        if node.scores and score is not None:
            assert node.scores[-1] == score
    winner = max((node for node in tree.nodes if node.won), key=lambda node: len(text_of(tree, node)))
    assert text_of(tree, winner) == result.text
    for child, node in enumerate(tree.nodes[1:], 1):
        assert node.parent is not None
        assert node.parent < child


def text_of(tree: viz.Tree, node: viz.Node) -> str:
    above = "" if node.kind == "revise" or node.parent is None else text_of(tree, tree.nodes[node.parent])
    return above + "".join(node.steps)


def test_the_whole_tree_of_two_draws() -> None:
    class Two:
        def sample(self, requests: list[ttscale.Sample]) -> list[ttscale.Completion]:
            return [
                ttscale.Completion(
                    (ttscale.Step("so\n"), ttscale.Step(f"Answer: {r.key.path[-1]}")),
                    "stop" if r.key.path[-1] else "length",
                    ttscale.Cost(sampled_tokens=3),
                )
                for r in requests
            ]

    result = ttscale.solve(ttscale.Question("q", "What?"), 2, generator=Two(), strategy="majority_vote", seed=7)
    each = ttscale.Cost(generations=1, steps=2, sampled_tokens=3)
    assert viz.tree(result.trace) == viz.Tree(
        question="q",
        prompt="What?",
        strategy="MajorityVote()",
        budget=2,
        answer="1",
        score=1.0,
        stopped_by=None,
        error=None,
        cost=ttscale.Cost(generations=2, steps=4, sampled_tokens=6),
        nodes=(
            viz.Node((7, "q"), "root", None, ""),
            viz.Node((7, "q", 0), "sample", 0, "0", ("so\n", "Answer: 0"), "length", cost=each),
            viz.Node((7, "q", 1), "sample", 0, "1", ("so\n", "Answer: 1"), "stop", answer="1", won=True, cost=each),
        ),
    )


def test_subtrees_chains_and_probes_are_groups() -> None:
    dvts = viz.tree(solve(ttscale.DVTS(width=8)).trace)
    assert [node.label for node in dvts.nodes if node.kind == "group"] == ["tree/0", "tree/1"]
    chains = viz.tree(solve(ttscale.SequentialRevision(ratio=4.0)).trace)
    assert [node.label for node in chains.nodes if node.kind == "group"] == ["chain/0", "chain/1"]
    chain = [node for node in chains.nodes if node.parent == 1]
    assert [node.label for node in chain] == list("01234567")
    assert [[chains.nodes[i].label for i in node.saw] for node in chain[:7]] == [
        [],
        ["0"],
        ["0", "1"],
        ["0", "1", "2"],
        ["0", "1", "2", "3"],
        ["1", "2", "3", "4"],
        ["2", "3", "4", "5"],
    ]


def test_rollouts_hang_under_the_prefix_they_judge() -> None:
    tree = viz.tree(solve(ttscale.Lookahead(k=1)).trace)
    rollouts = [node for node in tree.nodes if node.label == "rollout"]
    assert rollouts
    for node in rollouts:
        assert tree.nodes[node.parent or 0].finish == "open"
        assert not tree.nodes[node.parent or 0].scores
        assert node.scores


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
def test_the_file_of_a_run_gives_the_same_tree(strategy: ttscale.Strategy, tmp_path: Path) -> None:
    tree = viz.tree(solve(strategy).trace)
    solve(strategy).trace.save(tmp_path / "saved.jsonl")
    events = [event for event in read_events(tmp_path / "saved.jsonl") if event["event"] != "run"]
    assert viz.tree(events) == tree
    toy = Toy()
    (kept,) = ttscale.solve_all(
        ["What?"], 16, generator=toy, verifier=toy, reviser=toy, strategy=strategy, resume=tmp_path / "run.jsonl"
    )
    assert viz.tree(kept.trace) == tree


def test_a_killed_run_gives_the_tree_so_far_and_a_resumed_one_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    solve(ttscale.Beam()).trace.save(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:30]) + lines[30][:20])  # torn in the middle of line 31
    events = [event for event in read_events(path) if event["event"] != "run"]
    part = viz.tree(events)
    assert part.answer is None
    assert not any(node.won for node in part.nodes)
    toy = Toy()
    (result,) = ttscale.solve_all(["What?"], 16, generator=toy, verifier=toy, strategy=ttscale.Beam(), resume=path)
    assert viz.tree(result.trace) == viz.tree(solve(ttscale.Beam()).trace)


def test_the_last_run_in_a_file_counts(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    toy = Toy()
    for seed in (1, 2):
        (result,) = ttscale.solve_all(["What?"], 4, generator=toy, strategy="majority_vote", seed=seed, resume=path)
    tree = viz.tree(result.trace)
    assert [node.key[0] for node in tree.nodes] == [2] * 5
    assert tree.answer == result.answer


def test_an_end_of_an_earlier_run_is_not_the_end_of_this_one() -> None:
    events = list(solve(ttscale.MajorityVote()).trace.events())
    assert viz.tree([*events, events[0]]).answer is None


def test_a_failed_search_and_one_cut_short_say_so() -> None:
    class Fails(Toy):
        def score(self, requests: list[ttscale.Score]) -> list[ttscale.Verdict]:
            raise OSError("gone")

    (failed,) = ttscale.solve_all(["What?"], 4, generator=Toy(), verifier=Fails(), strategy="best_of_n")
    tree = viz.tree(failed.trace)
    assert tree.error is not None
    assert "gone" in tree.error
    cut = viz.tree(solve(ttscale.BestOfN(), limit=ttscale.Limit(tokens=20)).trace)
    assert cut.stopped_by == "tokens"


def test_no_start_or_several_questions_is_an_error() -> None:
    with pytest.raises(ValueError, match="no start event"):
        viz.tree([])
    toy = Toy()
    results = ttscale.solve_all(["A?", "B?"], 2, generator=toy, strategy="majority_vote")
    with pytest.raises(ValueError, match="2 questions"):
        viz.tree([event for result in results for event in result.trace.events()])
    with pytest.raises(TypeError, match=r"this is a result: pass its \.trace"):
        viz.tree(results[0])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="this is a path"):
        viz.tree("trace.jsonl")  # type: ignore[arg-type]


def test_a_tree_is_plain_data() -> None:
    tree = viz.tree(solve(ttscale.Beam()).trace)
    events = json.loads(json.dumps(list(solve(ttscale.Beam()).trace.events())))
    assert viz.tree(events) == tree == replace(tree)
    assert hash(tree) == hash(viz.tree(events))
