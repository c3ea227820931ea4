"""What callers hand to training by mistake: a path for examples, a model for its folder, pairs for questions."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.toys import TwoStep
from ttscale.training import (
    Read,
    RevisionExample,
    StepExample,
    collect_chains,
    collect_rollouts,
    judge,
    train_implicit_prm,
    train_orm,
    train_prm,
    train_reviser,
    verifier_scores,
)

EXAMPLES = [StepExample(f"q{i}", f"{i}?", ("1\n", "Answer: 1"), (0.5, 1.0), True, "1") for i in range(4)]
REVISIONS = [RevisionExample(f"q{i}", f"{i}?", (), "Answer: 1") for i in range(4)]
TRAINERS = [(train_prm, EXAMPLES), (train_orm, EXAMPLES), (train_implicit_prm, EXAMPLES), (train_reviser, REVISIONS)]


@pytest.mark.parametrize(("train", "good"), TRAINERS)
@pytest.mark.parametrize("path", ["rollouts.jsonl", Path("rollouts.jsonl")])
def test_a_path_is_no_list_of_examples(train, good, path, tmp_path):
    with pytest.raises(TypeError, match=r"examples must be a list of \w+, not the path .*rollouts.jsonl.*: read it"):
        train("base", path, tmp_path / "out")
    with pytest.raises(TypeError, match=r"validation must be a list of .*, not the path"):
        train("base", good, tmp_path / "out", validation=path)
    with pytest.raises(TypeError, match="test must be a list of questions, not the path"):
        train("base", good, tmp_path / "out", test=path)


@pytest.mark.parametrize(("train", "good"), TRAINERS)
def test_other_things_are_named(train, good, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(TypeError, match=r"not a Read: pass its \.examples"):
        train("base", Read(EXAMPLES, 4, {}, {}), out)
    with pytest.raises(TypeError, match=r"examples\[1\] is a dict, not a"):
        train("base", [good[0], {"prompt": "1?"}], out)
    with pytest.raises(TypeError, match="examples must be a list, not a NoneType"):
        train("base", None, out)
    with pytest.raises(TypeError, match=r"test\[0\] is a tuple without id and prompt; as_problems"):
        train("base", good, out, test=[("1?", "1")])
    with pytest.raises(TypeError, match="base must be a folder or Hugging Face id, not a TwoStep"):
        train(TwoStep(), good, out)
    with pytest.raises(TypeError, match="out must be a folder, not a NoneType"):
        train("base", good, None)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match=r"out is the file .*; name a folder"):
        train("base", good, tmp_path / "file")


def test_roles_may_be_named_and_are_checked(tmp_path):
    """As everywhere else: an object, a path or an id."""
    file = tmp_path / "rollouts.jsonl"
    wrong: list[tuple[object, str]] = [
        (None, "generator is missing: give an object with a method sample"),
        (TwoStep, "generator must be an object with a method sample"),
        (5, "generator must be an object with a method sample"),
    ]
    for generator, message in wrong:
        with pytest.raises(ValueError, match=message):
            collect_rollouts(generator, [("1?", "1")], file, progress=False)
    with pytest.raises(ValueError, match="reviser must be an object with a method revise"):
        collect_chains(TwoStep(), [("1?", "1")], file, progress=False)
    with pytest.raises(ValueError, match="verifier must be an object with a method score"):
        verifier_scores(TwoStep(), EXAMPLES)
    with pytest.raises(TypeError, match="examples must be a list of StepExample, not the path"):
        judge("bundled", "rollouts.jsonl")
    with pytest.raises(ValueError, match="together must be a positive integer; got '4'"):
        collect_rollouts(TwoStep(), [("1?", "1")], file, together="4", progress=False)


def test_bundled_models_are_named_like_others(tmp_path):
    found = collect_rollouts(
        "bundled", [("Compute 2 + 3 * 4", "14")], tmp_path / "r.jsonl", samples=2, rollouts=2, progress=False
    )
    assert found.questions == 1
    assert len(verifier_scores("bundled", [StepExample("q", "Compute 2 + 3", ("Answer: 5",), (1.0,), True, "5")])) == 1
