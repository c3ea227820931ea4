"""A language model that vLLM serves as process reward model (see ``docs/engines.md``), against transformers' logits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
import transformers

from engines.engines import NAME, Engine, python_of
from engines.roles import QUESTION, ROOT
from real_models import model_folder
from ttscale import Key, Score, Step
from ttscale.core.errors import RoleError
from ttscale.openai import Connection, Layout, OpenAIVerifier

WORDS = ["Ġgood", "Ġbad"]
"""As the vocabulary spells " good" and " bad". vLLM takes a word that it does not hold for the unknown one."""
SOLUTION = ROOT.extend(Key((1,)), [Step("He has 3 + 4 apples.\n"), Step("Answer: 7")], "stop")
LONG = ROOT.extend(Key((2,)), [Step("many words " * 2000)], "stop")


def write(question: str, steps: Sequence[str]) -> dict[str, object]:
    return {"input": question + " " + "".join(step.strip() + "\n" for step in steps)}


LAYOUT = Layout("/../pooling", write, True, 0, "last", "vllm serve ... (docs/engines.md)")


@pytest.fixture(scope="module")
def served() -> Iterator[Engine]:
    """SmolLM2 as a classifier of two of its words, read at each newline."""
    if not python_of("vllm").exists():
        pytest.skip("vllm is not set up here: make engines")
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model_folder())
    overrides = {"classifier_from_token": WORDS, "method": "no_post_processing"}
    mark = tokenizer("\n", add_special_tokens=False)["input_ids"][0]
    pooler = {"task": "token_classify", "pooling_type": "STEP", "step_tag_id": mark}
    options = ("--runner", "pooling", "--convert", "classify", "--hf-overrides", json.dumps(overrides))
    server = Engine("vllm", model_folder(), (*options, "--pooler-config", json.dumps(pooler)))
    try:
        server.start()
        yield server
    finally:
        server.stop()


def verifier(server: Engine, **settings: Any) -> OpenAIVerifier:
    return OpenAIVerifier(NAME, connection=Connection(server.url, retries=0), layout=LAYOUT, **settings)


def test_scores_are_the_models_own_odds_of_the_two_words(served: Engine) -> None:
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model_folder())
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(model_folder(), dtype=torch.float32)
    text = str(write(QUESTION.prompt, [step.text for step in SOLUTION.steps])["input"])
    ids = tokenizer(text)["input_ids"]
    newline = tokenizer("\n", add_special_tokens=False)["input_ids"][0]
    words = [tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in (" good", " bad")]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    expected = [float(logits[at, words].softmax(-1)[0]) for at, token in enumerate(ids) if token == newline]
    (verdict,) = asyncio.run(verifier(served).score([Score(SOLUTION)]))
    assert verdict.step_scores == pytest.approx(expected, abs=1e-3)
    assert verdict.cost.verifier_tokens == len(ids)


def test_a_solution_too_long_for_it_competes_without_a_score(served: Engine) -> None:
    first, second = asyncio.run(verifier(served).score([Score(LONG), Score(SOLUTION)]))
    assert first.unscored is not None
    assert len(second.step_scores) == 2
    with pytest.raises(RoleError, match="2048"):
        asyncio.run(verifier(served, on_error="raise").score([Score(LONG)]))
