"""A judge's first word: probabilities against a plain forward, and the whole judge on the Hugging Face backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hf.verifiers import checkpoints
from ttscale import Candidate, Cost, Key, Question, Sample, Score, Step
from ttscale.hf import HFGenerator, HFModel
from ttscale.hf import option_probabilities as choose_module
from ttscale.hf.option_probabilities import first_token_odds
from ttscale.prompts.layouts import PromptFormat
from ttscale.verifiers import JudgeVerifier


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    folder = tmp_path_factory.mktemp("judge")
    tokenizer = checkpoints.qwen_tokenizer()
    tokenizer.add_tokens(["Yes", "No", "yes"])
    checkpoints.save(folder, tokenizer, "qwen2", "AutoModelForCausalLM")
    return HFModel(str(folder))


def plain(model: HFModel, context: tuple[int, ...]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.module(torch.tensor([context])).logits[0, -1].softmax(-1)
    return found


def test_odds_are_the_probabilities_of_the_first_word_in_any_spelling(model: HFModel) -> None:
    contexts = [tuple(range(5, 5 + n)) for n in (3, 9, 3, 6)]
    got = first_token_odds(model, contexts, ("Yes", "No"))
    assert got is not None
    yes = [model.tokenizer.convert_tokens_to_ids(word) for word in ("Yes", "yes")]
    no = [model.tokenizer.convert_tokens_to_ids("No")]
    for context, (odds, _) in zip(contexts, got, strict=True):
        wanted = plain(model, context)
        assert odds == pytest.approx((float(wanted[yes].sum()), float(wanted[no].sum())), abs=1e-6)
    assert [cost.prompt_tokens for _, cost in got] == [3, 9, 0, 6]
    assert got[0][1].flops > 0


def test_words_that_begin_alike_cannot_be_told_apart(model: HFModel) -> None:
    assert first_token_odds(model, [(5, 6)], ("Maybe", "Maybe not")) is None


def test_batches_are_cut_to_size_and_halved(model: HFModel, monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = [tuple(range(5, 5 + n)) for n in range(2, 12)]
    wanted = first_token_odds(model, contexts, ("Yes", "No"))
    sizes: list[int] = []
    trunk = model.module.base_model
    forward = trunk.forward

    def small(*args: Any, **kwargs: Any) -> Any:
        sizes.append(kwargs["input_ids"].numel())
        if kwargs["input_ids"].shape[0] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(*args, **kwargs)

    monkeypatch.setattr(trunk, "forward", small)
    monkeypatch.setattr(choose_module, "FORWARD_TOKENS", 40)
    got = first_token_odds(model, contexts, ("Yes", "No"))
    assert got is not None
    assert wanted is not None
    assert [odds for odds, _ in got] == [pytest.approx(odds, abs=1e-6) for odds, _ in wanted]
    assert max(sizes) <= 40


def test_a_judge_reads_the_model_s_mind(model: HFModel) -> None:
    form = PromptFormat(chat=False, template="{question}\n")
    generator = HFGenerator(model, prompt=form)
    solution = Candidate(Question("q", "2 + 2"), Key((0,)), (Step("So 4."),), "stop")
    judge = JudgeVerifier(generator, prompt="{question}: {solution} Right?", least_mass=0)
    (verdict,) = judge.score([Score(solution)])
    question = Question.of("2 + 2: So 4. Right?")
    key = solution.key.child("judge", 0)
    ids = generator._sampler.draw(Sample(Candidate(question, key), key)).context
    wanted = plain(model, tuple(ids))
    yes = wanted[[model.tokenizer.convert_tokens_to_ids(word) for word in ("Yes", "yes")]].sum()
    no = wanted[model.tokenizer.convert_tokens_to_ids("No")]
    assert verdict.step_scores == pytest.approx((float(yes / (yes + no)),), abs=1e-5)
    assert verdict.cost == Cost(verifier_tokens=len(ids), flops=verdict.cost.flops)
    assert judge.worker == model.worker


def test_votes_on_the_same_backend(model: HFModel, tmp_path: Path) -> None:
    generator = HFGenerator(model, prompt=PromptFormat(chat=False), max_new_tokens=4)
    solution = Candidate(Question("q", "2 + 2"), Key((0,)), (Step("So 4."),), "stop")
    scores = {JudgeVerifier(generator, votes=64).score([Score(solution)])[0].step_scores for _ in range(2)}
    assert len(scores) == 1
    ((score,),) = scores
    assert 0 <= score <= 1
