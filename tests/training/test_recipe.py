"""Numbers that cannot be trained with are refused where they are written."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields

import numpy as np
import pytest

from ttscale.training.fit.recipe import Recipe

NUMBERS = [field.name for field in fields(Recipe) if field.name not in ("schedule", "gradient_checkpointing", "seed")]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1])
def test_what_is_no_number_to_train_with_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must "):
        Recipe(**{name: value})


def test_numbers_of_numpy_become_plain_ones():
    recipe = Recipe(batch=np.int64(8), learning_rate=np.float32(0.5), lora_rank=np.int32(4))
    assert json.loads(json.dumps(asdict(recipe))) == asdict(Recipe(batch=8, learning_rate=0.5, lora_rank=4))


def test_none_is_a_default_where_there_is_one():
    assert Recipe(evaluate_every=None, max_tokens=None, lora_rank=None, lora_alpha=None) == Recipe()
    for name in ("evaluate_every", "max_tokens", "lora_rank", "lora_alpha"):
        assert getattr(Recipe(**{name: 1}), name) == 1


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("batch", 2.5, "an integer"), ("batch", True, "an integer"), ("lora_rank", 1.5, "an integer"),
        ("seed", -1, r"in \[0, 2"), ("seed", 2**40, r"in \[0, 2"), ("learning_rate", "1e-3", "a number"),
        ("warmup_steps", 0.5, "an integer"),
    ],
)  # fmt: skip
def test_settings_of_the_wrong_kind_are_named(name, value, what):
    with pytest.raises(ValueError, match=f"{name} must be {what}"):
        Recipe(**{name: value})
