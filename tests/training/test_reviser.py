"""A reviser trained end to end, plain and chat, served by ``HFReviser`` with the prompt it was trained with."""

from __future__ import annotations

import json

import pytest

from ttscale.core.requests import Revise
from ttscale.core.types import Candidate, Key, Question, Step
from ttscale.hf import HFReviser
from ttscale.prompts.layouts import PromptFormat
from ttscale.training.data.revision_data import RevisionExample
from ttscale.training.fit.recipe import REVISION_RECIPE, Recipe
from ttscale.training.fit.run import check_untrained
from ttscale.training.reviser import train_reviser

# Which answer is right can only be known by reading the attempt.
RIGHT_AFTER = {"A: up": "A: 1", "A: down": "A: 2"}
DATA = [RevisionExample(f"{q}{w}", f"Q{q}", (w,), RIGHT_AFTER[w]) for q in range(24) for w in RIGHT_AFTER]
RECIPE = Recipe(learning_rate=5e-3, batch=16, micro_batch=16, epochs=20, dropout=0.0, evaluate_every=20, after_best=1)


def revise(reviser, question, attempt):
    asked = Question("x", question)
    before = Candidate(asked, Key((0, "x", "a")), (Step(attempt),), "stop")
    (reply,) = reviser.revise([Revise((before,), Key((0, "x", "b")))])
    return "".join(step.text for step in reply.steps), reply.finish


@pytest.mark.parametrize("chat", [False, True])
def test_a_reviser_reads_the_attempt(chat, base, chat_base, tmp_path):
    prompt = PromptFormat(system=None, revision_request=None)
    result = train_reviser(
        chat_base if chat else base, DATA, tmp_path / "m", recipe=RECIPE, prompt=prompt, progress=False
    )
    assert result.validation_loss < 0.05
    reviser = HFReviser(str(result.path), temperature=0.0)
    for wrong, right in RIGHT_AFTER.items():
        assert revise(reviser, "Q3", wrong) == (right, "stop")
    saved = json.loads((result.path / "ttscale.json").read_text())
    assert PromptFormat.from_json(saved["prompt"]) == prompt


def test_the_questions_of_a_validation_set_are_remembered_too(base, tmp_path):
    recipe = Recipe(learning_rate=1e-3, batch=16, micro_batch=16, epochs=1, dropout=0.0)
    train_reviser(base, DATA[8:24], tmp_path / "m", validation=DATA[:2], recipe=recipe, progress=False)
    check_untrained(tmp_path / "m", DATA[2:4])
    with pytest.raises(ValueError, match="were in the training data"):
        check_untrained(tmp_path / "m", DATA[:1])


def test_the_papers_numbers_are_the_defaults():
    recipe = REVISION_RECIPE
    assert (recipe.learning_rate, recipe.batch, recipe.dropout) == (1e-5, 128, 0.0)
    assert (recipe.beta1, recipe.beta2, recipe.after_best) == (0.9, 0.95, 1)


def test_refusals(base, tmp_path):
    with pytest.raises(ValueError, match="examples are empty"):
        train_reviser(base, [], tmp_path / "m", progress=False)
    with pytest.raises(ValueError, match="in the test data"):
        train_reviser(base, DATA, tmp_path / "m", test=DATA[:1], progress=False)
    with pytest.raises(ValueError, match="validation data and in the test data"):
        train_reviser(base, DATA[2:], tmp_path / "m", validation=DATA[:2], test=DATA[:1], progress=False)
    with pytest.raises(ValueError, match="the validation set is empty"):
        train_reviser(base, DATA, tmp_path / "m", validation=[], progress=False)
    with pytest.raises(ValueError, match="in the validation data"):
        train_reviser(base, DATA, tmp_path / "m", validation=DATA[:1], progress=False)
    with pytest.raises(ValueError, match="no chat template"):
        train_reviser(base, DATA, tmp_path / "m", prompt=PromptFormat(chat=True), progress=False)
    with pytest.raises(ValueError, match="left out 44 longer than the model reads"):
        train_reviser(base, DATA, tmp_path / "m", recipe=Recipe(max_tokens=3), progress=False)
    assert not (tmp_path / "m").exists()
