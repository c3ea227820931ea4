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
    questions = sorted((row["question"] for row in rows("svamp.jsonl")), key=len)[:50]  # to read them takes the time
    form = PromptFormat(chat=False, template="Question: {question}\nAnswer:")
    generator = HFGenerator(model, temperature=0, delimiter=None, prompt=form, max_new_tokens=NEW)
    roots = [Candidate(Question.of(question), Key((0, question))) for question in questions]
    replies = generator.sample([Sample(root, root.key.child(0)) for root in roots])
    wanted = _greedy(model, [f"Question: {question}\nAnswer:" for question in questions])
    got = [[token for step in reply.steps for token in step.tokens] for reply in replies]
    assert got == wanted


@torch.inference_mode()
def _greedy(model: HFModel, prompts: list[str]) -> list[list[int]]:
    """transformers' own greedy continuations in one padded batch, end-of-sequence left out."""
    model.tokenizer.padding_side, model.tokenizer.pad_token = "left", model.tokenizer.eos_token
    batch = model.tokenizer(prompts, return_tensors="pt", padding=True)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    settings: Any = transformers.GenerationConfig(
        do_sample=False, max_new_tokens=NEW, eos_token_id=sorted(model.eos_ids), pad_token_id=0
    )
    out = model.module.generate(ids, attention_mask=mask, generation_config=settings)
    continuations: list[list[int]] = out[:, ids.shape[1] :].tolist()
    ends = [next((i for i, token in enumerate(new) if token in model.eos_ids), NEW) for new in continuations]
    return [new[:end] for new, end in zip(continuations, ends, strict=True)]
