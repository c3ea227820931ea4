"""Every adapter against an oracle that runs one prefix at a time, alone, exactly as the family's own code does.

The oracles are written from the families' formats and share nothing with the adapters: they tokenise the whole text,
search for positions by token id, and run the model's own class once per step.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from hf.verifiers import checkpoints
from ttscale import Candidate, Key, Question, Score, Step
from ttscale.hf import HFVerifier
from ttscale.hf.pick_runner import found

Oracle = Callable[[str, Sequence[str]], list[float]]
WORDS = (
    *("So", "the", "sum", "of", "12", "and", "7", "is", "19,", "hence", "x", "=", "3/4", "-", "y", "+", "2."),
    *("We", "get:", "(a+b)", "Then", "her", "answer"),
)


def solutions(count: int, seed: int = 0) -> list[Candidate]:
    """Random step sequences of mixed lengths; about a quarter share the beginning of an earlier one."""
    rng = random.Random(seed)

    def words(least: int, most: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(least, most)))

    made: list[Candidate] = []
    for i in range(count):
        question = Question(str(i), f"What is {words(2, 8)}?")
        steps = [Step(words(1, 9) + ".\n\n") for _ in range(rng.randint(1, 6))]
        if made and rng.random() < 0.25:
            other = rng.choice(made)
            question, steps = other.question, [*other.steps[: rng.randint(1, len(other.steps))], *steps[:2]]
        made.append(Candidate(question, Key((i,)), tuple(steps), "stop"))
    return made


def load(folder: Path, auto_class: str = "AutoModelForCausalLM") -> tuple[Any, Any]:
    model = getattr(transformers, auto_class).from_pretrained(folder, dtype=torch.float32).eval()
    return model, transformers.AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
def hidden_of(trunk: Any, ids: list[int]) -> torch.Tensor:
    last: torch.Tensor = trunk(torch.tensor([ids])).last_hidden_state[0]
    return last


def shepherd_oracle(folder: Path) -> Oracle:
    model, tokenizer = load(folder)
    good, bad = tokenizer.encode("+ -", add_special_tokens=False)
    tag = tokenizer.encode("ки", add_special_tokens=False)[-1]

    @torch.no_grad()
    def oracle(question: str, steps: Sequence[str]) -> list[float]:
        scores = []
        for k in range(1, len(steps) + 1):
            ids = torch.tensor([tokenizer.encode(f"{question} " + "".join(f"{step} ки\n" for step in steps[:k]))])
            logits = model(ids).logits[0][:, [good, bad]]
            tags = logits.softmax(-1)[:, 0][ids[0] == tag]
            assert len(tags) == k
            scores.append(float(tags[-1]))
        return scores

    return oracle


def rlhflow_oracle(folder: Path) -> Oracle:
    model, tokenizer = load(folder)
    plus, minus = tokenizer.encode("+")[-1], tokenizer.encode("-")[-1]

    @torch.no_grad()
    def oracle(question: str, steps: Sequence[str]) -> list[float]:
        conversation: list[dict[str, str]] = []
        scores = []
        for k, step in enumerate(steps):
            conversation.append({"role": "user", "content": f"{question} {step}" if k == 0 else step})
            conversation.append({"role": "assistant", "content": "+"})
            text = tokenizer.apply_chat_template(conversation, tokenize=False)
            ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
            scores.append(float(model(ids).logits[0, -3, [plus, minus]].softmax(-1)[0]))
        return scores

    return oracle


def rlhflow_orm_oracle(folder: Path) -> Oracle:
    one = rlhflow_oracle(folder)
    return lambda question, steps: one(question, ["".join(f"{step}\n\n" for step in steps).strip()])


def skywork_oracle(folder: Path) -> Oracle:
    model, tokenizer = load(folder)
    tensors = load_file(folder / "model.safetensors")
    weight, bias = tensors["v_head.summary.weight"], tensors["v_head.summary.bias"]

    def oracle(question: str, steps: Sequence[str]) -> list[float]:
        ids = tokenizer.encode(tokenizer.bos_token + question + "\n")
        scores = []
        for step in steps:
            ids = ids + tokenizer.encode(step) + tokenizer.encode("\n")
            scores.append(float(torch.sigmoid(hidden_of(model.model, ids)[-1] @ weight[0] + bias[0])))
        return scores

    return oracle


def qwen_oracle(folder: Path) -> Oracle:
    trunk, tokenizer = load(folder, "AutoModel")
    tensors = load_file(folder / "model.safetensors")
    mark = tokenizer.convert_tokens_to_ids("<extra_0>")

    def head(hidden: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(hidden @ tensors["score.0.weight"].T + tensors["score.0.bias"])
        return inner @ tensors["score.2.weight"].T + tensors["score.2.bias"]

    def oracle(question: str, steps: Sequence[str]) -> list[float]:
        scores = []
        for k in range(1, len(steps) + 1):
            messages = [
                {
                    "role": "system",
                    "content": "Please reason step by step, and put your final answer within \\boxed{}.",
                },
                {"role": "user", "content": question},
                {"role": "assistant", "content": "<extra_0>".join(steps[:k]) + "<extra_0>"},
            ]
            ids = tokenizer.encode(tokenizer.apply_chat_template(messages, tokenize=False))
            last = max(i for i, token in enumerate(ids) if token == mark)
            scores.append(float(head(hidden_of(trunk, ids)[last]).softmax(-1)[1]))
        return scores

    return oracle


def qwen_rm_oracle(folder: Path) -> Oracle:
    trunk, tokenizer = load(folder, "AutoModel")
    tensors = load_file(folder / "model.safetensors")

    def oracle(question: str, steps: Sequence[str]) -> list[float]:
        messages = [
            {"role": "system", "content": "Please reason step by step, and put your final answer within \\boxed{}."},
            {"role": "user", "content": question},
            {"role": "assistant", "content": "".join(f"{step}\n\n" for step in steps).strip()},
        ]
        ids = tokenizer.encode(tokenizer.apply_chat_template(messages, tokenize=False))
        inner = torch.relu(hidden_of(trunk, ids)[-1] @ tensors["score.0.weight"].T + tensors["score.0.bias"])
        return [float(torch.sigmoid(inner @ tensors["score.2.weight"][0] + tensors["score.2.bias"][0]))]

    return oracle


def trl_oracle(folder: Path, separator: str = "\n") -> Oracle:
    model, tokenizer = load(folder, "AutoModelForTokenClassification")

    @torch.no_grad()
    def oracle(question: str, steps: Sequence[str]) -> list[float]:
        # TRL's tokenize_row
        ids = tokenizer(question, add_special_tokens=False)["input_ids"]
        if tokenizer.bos_token_id is not None:
            ids = [tokenizer.bos_token_id, *ids]
        scores = []
        for step in steps:
            ids = ids + tokenizer(step, add_special_tokens=False)["input_ids"]
            ids = ids + tokenizer.encode(separator, add_special_tokens=False)
            scores.append(float(model(torch.tensor([ids])).logits[0, -1].softmax(-1)[1]))
        return scores

    return oracle


def sequence_oracle(folder: Path) -> Oracle:
    model, tokenizer = load(folder, "AutoModelForSequenceClassification")

    @torch.no_grad()
    def oracle(question: str, steps: Sequence[str]) -> list[float]:
        messages = [
            {"role": "user", "content": question},
            {"role": "assistant", "content": "".join(f"{step}\n\n" for step in steps).strip()},
        ]
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
        return [float(torch.sigmoid(model(ids).logits[0, 0]))]

    return oracle


FAMILIES: dict[str, tuple[Callable[[Path], None], Callable[[Path], Oracle], str, str, dict[str, Any]]] = {
    # name of the folder: how it is saved, its oracle, its family, the default aggregation, settings
    "math-shepherd-tiny": (checkpoints.math_shepherd, shepherd_oracle, "math-shepherd", "min", {}),
    "RLHFlow-PRM-Deepseek-Data": (checkpoints.rlhflow, rlhflow_oracle, "rlhflow", "mean", {}),
    "RLHFlow-ORM-Deepseek-Data": (checkpoints.rlhflow, rlhflow_orm_oracle, "rlhflow-orm", "mean", {}),
    "Skywork-o1-Open-PRM-tiny": (checkpoints.skywork, skywork_oracle, "skywork", "last", {}),
    "Qwen2.5-Math-PRM-tiny": (checkpoints.qwen, qwen_oracle, "qwen-prm", "prod", {}),
    "Qwen2.5-Math-RM-tiny": (
        lambda folder: checkpoints.qwen(folder, 1, "Qwen2ForRewardModel"),
        qwen_rm_oracle,
        "qwen-rm",
        "last",
        {},
    ),
    "trl-prm": (checkpoints.trl, trl_oracle, "trl", "last", {}),
    "trl-prm-bos": (lambda folder: checkpoints.trl(folder, bos_token="<|im_start|>"), trl_oracle, "trl", "last", {}),
    "Qwen2.5-Math-1.5B-Instruct-PRM-0.2": (
        checkpoints.trl,
        lambda folder: trl_oracle(folder, "\n\n"),
        "trl",
        "last",
        {},
    ),
    "trl-other-separator": (
        checkpoints.trl,
        lambda folder: trl_oracle(folder, " ки\n"),
        "trl",
        "last",
        {"separator": " ки\n"},
    ),
    "orm": (checkpoints.sequence, sequence_oracle, "sequence", "last", {}),
    "orm-padded-with-eos": (
        lambda folder: checkpoints.sequence(folder, pad_token_id=262, eos_token_id=262),
        sequence_oracle,
        "sequence",
        "last",
        {},
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_an_adapter_equals_its_oracle(name: str, tmp_path: Path) -> None:
    """200 random step sequences of mixed lengths, in one batch and, in another order, alone."""
    save, make_oracle, family, aggregate, settings = FAMILIES[name]
    folder = tmp_path / name
    save(folder)
    candidates = solutions(200)
    oracle = make_oracle(folder)
    wanted = [oracle(c.question.prompt, [step.text.strip() for step in c.steps]) for c in candidates]
    batched = HFVerifier(str(folder), **settings)
    assert (batched.family, batched.aggregate) == (family, aggregate)
    verdicts = batched.score([Score(candidate) for candidate in candidates])
    for got, expected in zip(verdicts, wanted, strict=True):
        assert got.step_scores == pytest.approx(expected, abs=1e-5)
    alone = HFVerifier(str(folder), **settings)
    for candidate, expected in reversed(list(zip(candidates, wanted, strict=True))):
        (got,) = alone.score([Score(candidate)])
        assert got.step_scores == pytest.approx(expected, abs=1e-5)
    assert found(batched.model).unshared_because is None
    # The models are random, but not indifferent: a score read elsewhere would be another.
    flat = [score for expected in wanted for score in expected]
    assert max(flat) - min(flat) > 0.05


@pytest.mark.parametrize("name", ["math-shepherd-tiny", "Qwen2.5-Math-PRM-tiny", "orm"])
def test_the_forward_without_shared_keys_and_values_gives_the_same(name: str, tmp_path: Path) -> None:
    """For architectures the fast path does not know: whole sequences, padded, with a mask."""
    save, make_oracle, _, _, _ = FAMILIES[name]
    folder = tmp_path / name
    save(folder)
    candidates = solutions(40)
    oracle = make_oracle(folder)
    verifier = HFVerifier(str(folder))
    verifier.model.shared_kv = False
    for candidate, verdict in zip(candidates, verifier.score([Score(c) for c in candidates]), strict=True):
        expected = oracle(candidate.question.prompt, [step.text.strip() for step in candidate.steps])
        assert verdict.step_scores == pytest.approx(expected, abs=1e-5)
    assert found(verifier.model).unshared_because == "shared_kv=False"
