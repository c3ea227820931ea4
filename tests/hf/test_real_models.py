"""Real checkpoints: what the model's own ``generate`` writes, ours writes, token for token."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from real_data import rows
from real_models import GEMMA, SMOLLM2, model_folder
from ttscale import Candidate, Key, Question
from ttscale.core.requests import Sample
from ttscale.hf import HFGenerator, HFModel
from ttscale.prompts.layouts import PromptFormat

NEW = 10


@pytest.mark.parametrize("name", [SMOLLM2, GEMMA])
def test_greedy_text_is_that_of_generate_on_fifty_questions(name: str) -> None:
    model = HFModel(str(model_folder(name)))
    questions = [row["question"] for row in rows("svamp.jsonl")[:50]]
    form = PromptFormat(chat=False, template="Question: {question}\nAnswer:")
    generator = HFGenerator(model, temperature=0, delimiter=None, prompt=form, max_new_tokens=NEW)
    roots = [Candidate(Question.of(question), Key((0, question))) for question in questions]
    replies = generator.sample([Sample(root, root.key.child(0)) for root in roots])
    wanted = [_greedy(model, f"Question: {question}\nAnswer:") for question in questions]
    got = [[token for step in reply.steps for token in step.tokens] for reply in replies]
    assert got == wanted


@torch.inference_mode()
def _greedy(model: HFModel, prompt: str) -> list[int]:
    """transformers' own greedy continuation, end-of-sequence left out."""
    ids = model.tokenizer(prompt, return_tensors="pt")["input_ids"]
    settings: Any = transformers.GenerationConfig(
        do_sample=False, max_new_tokens=NEW, eos_token_id=sorted(model.eos_ids), pad_token_id=0
    )
    out = model.module.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
    new: list[int] = out[0, ids.shape[1] :].tolist()
    return [token for token in new if token not in model.eos_ids]
