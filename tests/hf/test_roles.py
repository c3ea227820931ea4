"""Generator, reviser and implicit verifier on tiny checkpoints: what each promises beyond the protocol's suites."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ttscale import Candidate, Key, Question, Step
from ttscale.core.errors import RoleError
from ttscale.core.requests import Revise, Sample, Score
from ttscale.hf import HFGenerator, HFModel, HFReviser, ImplicitVerifier
from ttscale.hf.verifiers.implicit import DIGITS
from ttscale.prompts.tokenize import PromptFormat, encode

PLAIN = PromptFormat(chat=False)
SETTINGS: dict[str, Any] = {"delimiter": "a", "max_new_tokens": 24, "prompt": PLAIN}


QUESTION = Question.of("two and three")
ROOT = Candidate(QUESTION, Key((0,)))


@pytest.fixture
def model(checkpoint: Any) -> HFModel:
    return HFModel(checkpoint("llama"), device="cpu")


def test_tokens_are_continued_as_they_were_sampled(model: HFModel) -> None:
    """A prefix whose tokens are not the tokenizer's choice for its text is continued from those tokens."""
    ids = model.tokenizer("an", add_special_tokens=False)["input_ids"]
    assert len(ids) == 1
    odd = tuple(model.tokenizer(c, add_special_tokens=False)["input_ids"][0] for c in "an")
    own = HFGenerator(model, **SETTINGS)
    texts = []
    for tokens in (odd, tuple(ids), ()):
        prefix = ROOT.extend(Key((1,)), [Step("an", tokens)], "open")
        (completion,) = own.sample([Sample(prefix, Key((2,)))])
        context = len(encode(model.tokenizer, PLAIN, QUESTION.prompt)) + (len(tokens) or 1)
        assert completion.cost.prompt_tokens + completion.cost.cached_tokens == context
        texts.append(completion.steps)
    assert texts[1] == texts[2] != texts[0]


def test_what_a_request_costs(model: HFModel) -> None:
    """By hand: 14 prompt tokens once, sampled tokens each run but the last, the head where a token is drawn."""
    model.eos_ids = frozenset()
    own = HFGenerator(model, delimiter=None, max_new_tokens=5, prompt=PLAIN)
    first, second = own.sample([Sample(ROOT, Key((i,))) for i in range(2)])
    prompt = len(encode(model.tokenizer, PLAIN, QUESTION.prompt))
    body, head, width = model.body_parameters, model.head_parameters, 4 * 8 * 2
    assert (model.attention_width, head, body) == (width, 32 * 261, 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48))
    decoding = 4 * 2 * (body + head) + 4 * width * sum(range(prompt + 1, prompt + 5))
    prefill = 2 * prompt * body + 4 * width * prompt * (prompt + 1) // 2 + 2 * head
    assert (first.cost.prompt_tokens, first.cost.cached_tokens, first.cost.sampled_tokens) == (prompt, 0, 5)
    assert (second.cost.prompt_tokens, second.cost.cached_tokens, second.cost.sampled_tokens) == (0, prompt, 5)
    assert (first.cost.flops, second.cost.flops) == (decoding + prefill, decoding)
    assert model.forwarded_tokens == prompt + 8
    assert first.cost.seconds > 0


def test_steps_carry_their_log_probability_and_certainty(model: HFModel) -> None:
    (completion,) = HFGenerator(model, temperature=0.5, **SETTINGS).sample([Sample(ROOT, Key((3,)))])
    context = encode(model.tokenizer, PLAIN, QUESTION.prompt)
    ids = context + [token for step in completion.steps for token in step.tokens]
    with torch.inference_mode():
        logs = model.module(torch.tensor([ids])).logits[0].log_softmax(-1)
    at = len(context)
    for step in completion.steps:
        rows = logs[at - 1 : at - 1 + len(step.tokens)]
        assert step.logprob == pytest.approx(float(rows.gather(-1, torch.tensor(step.tokens)[:, None]).sum()), abs=1e-3)
        assert step.certainty == pytest.approx(float((-rows.mean(-1) - math.log(261)).mean()), abs=1e-4)
        at += len(step.tokens)


def test_a_step_and_then_the_end(model: HFModel) -> None:
    """The end right after a delimiter adds no empty step."""
    model.eos_ids = frozenset()
    draws = HFGenerator(model, **SETTINGS).sample([Sample(ROOT, Key((i,)), max_steps=1) for i in range(64)])
    completion = next(draw for draw in draws if draw.finish == "open")
    prefix = ROOT.extend(Key((1,)), completion.steps, "open")
    own = HFGenerator(model, temperature=0, **SETTINGS)
    (after,) = own.sample([Sample(prefix, Key((2,)), max_steps=1)])
    model.eos_ids = frozenset({after.steps[0].tokens[0]})
    for reply in (own.sample([Sample(prefix, Key((2,)), max_steps=n)])[0] for n in (1, 2, None)):
        assert (reply.steps, reply.finish, reply.cost.sampled_tokens) == ((), "stop", 1)


def test_a_stop_string_ends_and_is_cut(model: HFModel) -> None:
    model.eos_ids = frozenset()
    plain = HFGenerator(model, delimiter=None, max_new_tokens=24, prompt=PLAIN).sample([Sample(ROOT, Key((1,)))])[0]
    text = plain.steps[0].text
    at = next(
        i for i in range(6, len(text)) if text[i].isascii() and text[i].isprintable() and text.index(text[i]) == i
    )
    form = PromptFormat(chat=False, stop=(text[at], "never this"))
    (cut,) = HFGenerator(model, delimiter=None, max_new_tokens=24, prompt=form).sample([Sample(ROOT, Key((1,)))])
    assert (cut.finish, cut.steps[0].text) == ("stop", text[:at])
    assert cut.cost.sampled_tokens < plain.cost.sampled_tokens


def test_a_temperature_that_is_none(model: HFModel) -> None:
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="temperature"):
            HFGenerator(model, temperature=bad)
        with pytest.raises(ValueError, match="temperature"):
            HFGenerator(model, **SETTINGS).sample([Sample(ROOT, Key((1,)), temperature=bad)])
    with pytest.raises(ValueError, match="max_new_tokens"):
        HFGenerator(model, max_new_tokens=0)


def test_settings_of_the_checkpoint(checkpoint: Any, tmp_path: Path) -> None:
    """``ttscale.json`` is obeyed, keywords go before it."""
    folder = tmp_path / "own"
    shutil.copytree(checkpoint("llama"), folder)
    saved = {
        "prompt": {"chat": False, "template": "Q {question} A"},
        "delimiter": None,
        "temperature": 0,
        "max_new_tokens": 7,
    }
    (folder / "ttscale.json").write_text(json.dumps(saved))
    model = HFModel(str(folder), device="cpu")
    (obeyed,) = HFGenerator(model).sample([Sample(ROOT, Key((1,)))])
    assert obeyed.cost.prompt_tokens == len(model.tokenizer("Q two and three A")["input_ids"])
    assert obeyed.cost.sampled_tokens <= 7
    form = PromptFormat(chat=False, template="Q {question} A")
    same = HFGenerator(
        HFModel(checkpoint("llama"), device="cpu"), delimiter=None, temperature=0, max_new_tokens=7, prompt=form
    )
    assert obeyed.steps == same.sample([Sample(ROOT, Key((9,)))])[0].steps
    assert HFGenerator(model, max_new_tokens=2).sample([Sample(ROOT, Key((1,)))])[0].cost.sampled_tokens <= 2


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        ({"max_tokens": 4}, "unknown setting 'max_tokens'; known: prompt, delimiter"),
        ({"delimiter": 5}, "delimiter must be a string or None; got 5"),
        ({"temperature": "warm"}, "temperature must be a finite number of at least 0, or None; got 'warm'"),
        ({"max_new_tokens": 1.5}, "max_new_tokens must be a positive integer; got 1.5"),
        ({"top_p": "x"}, "top_p must be in"),
        ({"top_k": "x"}, "top_k must be a positive integer"),
    ],
)
def test_settings_of_a_checkpoint_that_mean_nothing_are_named(
    model: HFModel, saved: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "settings", saved)
    with pytest.raises(ValueError, match=words):
        HFGenerator(model)


def test_a_dtype_that_is_none_is_not_taken_for_a_broken_checkpoint(checkpoint: Any) -> None:
    with pytest.raises(ValueError, match=r"^dtype must be one of .*; got 'bf16'$"):
        HFModel(checkpoint("llama"), device="cpu", dtype="bf16")


def test_settings_may_be_numbers_of_numpys(model: HFModel) -> None:
    numpys: Any = {"temperature": np.float32(0.5), "max_new_tokens": np.int64(5), "top_k": np.int64(9)}
    plain: Any = {"temperature": 0.5, "max_new_tokens": 5, "top_k": 9}
    found, same = (
        HFGenerator(model, delimiter=None, prompt=PLAIN, **own).sample([Sample(ROOT, Key((1,)))])[0].steps
        for own in (numpys, plain)
    )
    assert found == same


def test_a_setting_of_null_is_the_usual_one(model: HFModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "settings", {"temperature": None, "max_new_tokens": None, "top_k": None})
    (plain,) = HFGenerator(model, delimiter=None, prompt=PLAIN).sample([Sample(ROOT, Key((1,)))])
    monkeypatch.setattr(model, "settings", {})
    (same,) = HFGenerator(model, delimiter=None, prompt=PLAIN).sample([Sample(ROOT, Key((1,)))])
    assert plain.steps == same.steps


def test_the_reviser_sees_the_attempts(model: HFModel) -> None:
    """The context is the one that training lays out; a root candidate stands for no attempt."""
    attempts = tuple(Candidate(QUESTION, Key((i,)), (Step(f"try {i}\n"),), "stop") for i in range(6))
    own = HFReviser(model, **SETTINGS)
    first, bare, revised = own.revise(
        [Revise((ROOT,), Key(("a",))), Revise((ROOT, attempts[0]), Key(("b",))), Revise(attempts, Key(("c",)))]
    )
    sizes = [c.cost.prompt_tokens + c.cost.cached_tokens for c in (first, bare, revised)]
    texts = [attempt.text for attempt in attempts]
    assert sizes == [len(encode(model.tokenizer, PLAIN, QUESTION.prompt, seen)) for seen in ([], texts[:1], texts)]
    assert sizes[2] == len(encode(model.tokenizer, PLAIN, QUESTION.prompt, texts[2:]))
    assert first.steps == HFGenerator(model, **SETTINGS).sample([Sample(ROOT, Key(("a",)))])[0].steps


# The implicit verifier.


def slow_scores(verifier: ImplicitVerifier, candidate: Candidate, weight: float) -> list[float]:
    """One whole forward of each model, nothing remembered."""
    tokenizer = verifier.model.tokenizer
    ids = encode(tokenizer, PLAIN, candidate.question.prompt)
    ends, begin = [], len(ids)
    for step in candidate.steps:
        ids += step.tokens
        ends.append(len(ids))
    if candidate.finish == "stop":
        ids.append(2)
        ends[-1] += 1
    ratio = torch.zeros(len(ids), dtype=torch.float64)
    with torch.inference_mode():
        for model, sign in ((verifier.model, 1.0), (verifier.reference, -weight)):
            if model is not None:
                logs = model.module(torch.tensor([ids])).logits[0].double().log_softmax(-1)
                ratio[1:] += sign * logs[:-1].gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]
    sums = [float(ratio[begin:end].sum()) for end in ends]
    return [round(1 / (1 + math.exp(-(verifier.bias + verifier.scale * total))), DIGITS) for total in sums]


@pytest.mark.parametrize("shared_kv", [True, False])
@pytest.mark.parametrize("weight", [1.0, 0.5, 0.0])
def test_incremental_scores_are_those_of_whole_forwards(checkpoint: Any, weight: float, shared_kv: bool) -> None:
    """Over a beam search, with duplicates; the reference is the generator, whose draws are not run again."""
    model = HFModel(checkpoint("llama"), device="cpu", shared_kv=shared_kv)
    reference = HFModel(checkpoint("mistral-sliding"), device="cpu", shared_kv=shared_kv)
    verifier = ImplicitVerifier(model, reference, scale=0.03, bias=0.2, reference_weight=weight, prompt=PLAIN)
    own = HFGenerator(reference, **SETTINGS)
    beams, ran = [ROOT] * 6, 0
    for wave in range(3):
        requests = [Sample(beam, Key((wave, i)), max_steps=1) for i, beam in enumerate(beams)]
        grown = [r.prefix.extend(r.key, c.steps, c.finish) for r, c in zip(requests, own.sample(requests), strict=True)]
        scored = [candidate for candidate in grown if candidate.steps]
        before = reference.forwarded_tokens
        verdicts = verifier.score([Score(candidate) for candidate in (*scored, scored[0])])
        ran += reference.forwarded_tokens - before
        assert verdicts[-1].step_scores == verdicts[0].step_scores
        assert verdicts[-1].cost.verifier_tokens == 0
        for candidate, verdict in zip(scored, verdicts, strict=False):
            # Both are rounded to five digits, and the last one may fall on the other side.
            assert verdict.step_scores == pytest.approx(slow_scores(verifier, candidate, weight), abs=2e-5)
        beams = [candidate for candidate in scored if candidate.finish == "open"][:2] * 3
        if not beams:
            break
    assert wave > 0
    assert ran == 0


def test_the_verifier_runs_new_tokens_only(checkpoint: Any) -> None:
    model = HFModel(checkpoint("llama"), device="cpu")
    verifier = ImplicitVerifier(model, reference_weight=0, scale=0.03, prompt=PLAIN)
    prompt = len(encode(model.tokenizer, PLAIN, QUESTION.prompt))
    steps: tuple[Step, ...] = ()
    for i in range(4):
        steps = (*steps, Step("x", tuple(range(20 + i, 30 + i))))
        (verdict,) = verifier.score([Score(Candidate(QUESTION, Key((i,)), steps))])
        assert len(verdict.step_scores) == i + 1
        assert verdict.cost.verifier_tokens == (prompt + 9 if i == 0 else 10)
    assert model.forwarded_tokens == prompt + 39
    assert verifier.score([Score(Candidate(QUESTION, Key((9,)), steps))])[0].cost.verifier_tokens == 0


def test_the_reference_comes_from_the_checkpoint(checkpoint: Any, tmp_path: Path) -> None:
    for name, variant in (("verifier", "llama"), ("generator", "qwen2")):
        shutil.copytree(checkpoint(variant), tmp_path / name)
    saved = {"kind": "implicit", "reference": "../generator", "scale": 0.5, "bias": -1}
    (tmp_path / "verifier" / "ttscale_verifier.json").write_text(json.dumps(saved))
    verifier = ImplicitVerifier(str(tmp_path / "verifier"))
    assert verifier.reference is not None
    assert (verifier.scale, verifier.bias, verifier.reference_weight) == (0.5, -1.0, 1.0)
    assert verifier.reference.name.endswith("generator")
    with pytest.raises(ValueError, match="give reference="):
        ImplicitVerifier(checkpoint("llama"))


def test_what_cannot_be_scored_is_an_error(checkpoint: Any) -> None:
    model = HFModel(checkpoint("llama"), device="cpu")
    verifier = ImplicitVerifier(model, reference_weight=0, prompt=PLAIN)
    with pytest.raises(RoleError, match="without steps"):
        verifier.score([Score(ROOT)])
    long = Score(Candidate(QUESTION, Key((1,)), (Step("x", (9,) * 300),)))
    (unscored,) = verifier.score([long])
    assert unscored.step_scores == ()
    assert "reads at most 256" in str(unscored.unscored)
    with pytest.raises(RoleError, match=r"reads at most 256"):
        ImplicitVerifier(model, reference_weight=0, prompt=PLAIN, on_error="raise").score([long])
    with torch.no_grad():
        model.module.lm_head.weight.fill_(math.nan)
    with pytest.raises(RoleError, match="is nan"):
        verifier.score([Score(Candidate(QUESTION, Key((2,)), (Step("x", (9, 10)),)))])
