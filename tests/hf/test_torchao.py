"""Models that torchao quantised in memory write what their own ``generate`` writes, and count as what they are.

Needs the package ``torchao``.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from ttscale import Candidate, Key, Question, Sample
from ttscale.hf import HFGenerator, HFModel

quantization: Any = pytest.importorskip("torchao.quantization")

NEW = 12


@pytest.mark.parametrize("config", ["Int8WeightOnlyConfig", "Float8WeightOnlyConfig"])
@pytest.mark.parametrize("variant", ["llama", "qwen2-sliding"])
def test_a_quantised_model_writes_as_its_generate_and_counts_its_matrices(
    checkpoint: Any, variant: str, config: str
) -> None:
    folder = checkpoint(variant)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    module = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    plain = HFModel(folder)
    quantization.quantize_(module, getattr(quantization, config)())
    model = HFModel(module, tokenizer=tokenizer)
    assert model.matmul_parameters == plain.matmul_parameters
    assert model.attention_width == plain.attention_width
    generator = HFGenerator(model, temperature=0, delimiter=None, max_new_tokens=NEW)
    root = Candidate(Question("q", "Say something"), Key((0, "q")))
    replies = generator.sample([Sample(root, root.key.child(i)) for i in range(3)])
    ids = torch.tensor([generator._sampler.draw(Sample(root, root.key)).context])
    with torch.inference_mode():
        out = module.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=NEW,
            eos_token_id=sorted(model.eos_ids),
            pad_token_id=0,
        )
    wanted = [token for token in out[0, ids.shape[1] :].tolist() if token not in model.eos_ids]
    for reply in replies:
        assert [token for step in reply.steps for token in step.tokens] == wanted
        assert reply.cost.flops > 0
