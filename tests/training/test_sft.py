"""Plain fine-tuning on worked solutions: what is read, what the loss falls on, what the trained model writes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import transformers

from training.test_resume import Killed
from ttscale.cli.main import main
from ttscale.core.requests import Sample
from ttscale.core.types import Candidate, Key, Question
from ttscale.hf import HFGenerator
from ttscale.prompts.layouts import PromptFormat
from ttscale.training import Recipe, RevisionExample, read_solutions, train_sft
from ttscale.training.fit import run
from ttscale.training.fit import trainer as _fit
from ttscale.training.fit.features import revision_feature
from ttscale.training.fit.objectives import TOKEN_CE

WORKED = {"up": "go up\nA: 1", "down": "go down\nA: 2"}
ROWS = [{"question": f"Q{n} {way}", "solution": text} for n in range(24) for way, text in WORKED.items()]
RECIPE = Recipe(learning_rate=5e-3, batch=16, micro_batch=16, epochs=20, dropout=0.0, evaluate_every=20)
PLAIN = PromptFormat(chat=False, template="{question}\n")


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def solve(model, question):
    root = Candidate(Question("x", question), Key((0, "x")))
    (reply,) = model.sample([Sample(root, root.key.child(0))])
    return tuple(step.text for step in reply.steps), reply.finish


@pytest.mark.parametrize("chat", [False, True])
def test_the_model_writes_what_it_was_shown_step_by_step(chat, base, chat_base, tmp_path):
    data = read_solutions(write(tmp_path / "data.jsonl", ROWS))
    prompt = PromptFormat(system=None) if chat else PLAIN
    out = tmp_path / "m"
    result = train_sft(chat_base if chat else base, data, out, recipe=RECIPE, prompt=prompt, progress=False)
    assert result.validation_loss < 0.05
    model = HFGenerator(str(out), temperature=0.0)
    assert solve(model, "Q3 up") == (("go up\n", "A: 1"), "stop")
    assert solve(model, "Q3 down") == (("go down\n", "A: 2"), "stop")


def test_the_head_is_given_the_places_before_labels_alone_and_the_losses_stay(base, tmp_path, monkeypatch):
    data = read_solutions(write(tmp_path / "data.jsonl", ROWS))
    recipe = Recipe(learning_rate=1e-3, batch=16, micro_batch=16, epochs=3, dropout=0.0, evaluate_every=2)
    curves, sizes = [], []
    for reads in (TOKEN_CE.reads, None):
        seen: list[int] = []

        def total(logits, batch, seen=seen):
            seen.append(logits.shape[0] * logits.shape[1])
            return TOKEN_CE.total(logits, batch)

        monkeypatch.setattr("ttscale.training.reviser.TOKEN_CE", replace(TOKEN_CE, total=total, reads=reads))
        result = train_sft(base, data, tmp_path / f"{reads is None}", recipe=recipe, prompt=PLAIN, progress=False)
        curves.append([point.loss for point in result.curve])
        sizes.append(sum(seen))
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)
    assert 0 < sizes[0] < 0.7 * sizes[1]


def test_the_delimiter_and_the_prompt_are_saved_for_every_role(base, tmp_path):
    recipe = Recipe(batch=16, epochs=1, dropout=0.0)
    data = [RevisionExample(f"{n}", f"Q{n}", (), "go;A: 1") for n in range(8)]
    train_sft(base, data, tmp_path / "m", recipe=recipe, prompt=PLAIN, delimiter=";", progress=False)
    saved = json.loads((tmp_path / "m" / "ttscale.json").read_text())
    assert saved["delimiter"] == ";"
    assert PromptFormat.from_json(saved["prompt"]) == PLAIN
    with pytest.raises(ValueError, match="delimiter: ';' there, '!' now"):
        train_sft(base, data, tmp_path / "m", recipe=recipe, prompt=PLAIN, delimiter="!", progress=False)


def test_the_loss_falls_on_the_solution_and_its_end_only(tokenizer):
    example = RevisionExample("a", "Q", (), "A: 1")
    feature = revision_feature(tokenizer, PLAIN, 100, example)
    context, target = tokenizer("Q\n")["input_ids"], tokenizer("A: 1")["input_ids"]
    assert feature["labels"] == [-100] * len(context) + [*target, tokenizer.eos_token_id]
    assert feature["input_ids"] == [*context, *target, tokenizer.eos_token_id]


def test_a_run_that_was_killed_goes_on_and_ends_the_same(base, tmp_path, monkeypatch):
    data = [RevisionExample(row["question"], row["question"], (), row["solution"]) for row in ROWS]
    recipe = Recipe(learning_rate=1e-3, batch=8, epochs=1, dropout=0.0, evaluate_every=2)
    whole = train_sft(base, data, tmp_path / "whole", recipe=recipe, progress=False)
    step = _fit.Trainer.training_step

    def dies(self, *arguments, **keywords):
        if self.state.global_step == 3:
            raise Killed
        return step(self, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(_fit.Trainer, "training_step", dies)
        with pytest.raises(Killed):
            train_sft(base, data, tmp_path / "m", recipe=recipe, progress=False)
    again = train_sft(base, data, tmp_path / "m", recipe=recipe, progress=False)
    assert (again.step, again.curve) == (whole.step, whole.curve)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "m")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    "row", [{"prompt": "Q", "target": "S"}, {"problem": "Q", "response": "S"}, {"question": "Q", "completion": "S"}]
)
def test_the_names_that_data_sets_use_are_read(row, tmp_path):
    (example,) = read_solutions(write(tmp_path / "d.jsonl", [row]))
    assert (example.prompt, example.attempts, example.target) == ("Q", (), "S")
    assert example.id == Question.of("Q").id


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ([1], "expected an object"),
        ({"question": "Q"}, "no text under solution"),
        ({"question": "Q", "solution": "  "}, "no text under solution"),
        ({"question": "Q", "solution": 7}, "no text under solution"),
        ({"solution": "S"}, "no text under problem"),
        ({"question": None, "solution": "S"}, "no text under problem"),
    ],
)
def test_a_bad_line_is_named(row, why, tmp_path):
    path = write(tmp_path / "d.jsonl", [ROWS[0], row])
    with pytest.raises(ValueError, match=f"line 2: .*{why}"):
        read_solutions(path)


def test_refusals(base, tmp_path):
    data = read_solutions(write(tmp_path / "data.jsonl", ROWS))
    with pytest.raises(ValueError, match="holds no worked solutions"):
        read_solutions(write(tmp_path / "empty.jsonl", []))
    with pytest.raises(ValueError, match="earlier attempts: train_reviser"):
        train_sft(base, [*data, RevisionExample("r", "Q", ("wrong",), "S")], tmp_path / "m", progress=False)
    with pytest.raises(ValueError, match="in the test data"):
        train_sft(base, data, tmp_path / "m", test=data[:1], progress=False)
    with pytest.raises(ValueError, match="delimiter must not be empty"):
        train_sft(base, data, tmp_path / "m", delimiter="", progress=False)
    with pytest.raises(TypeError, match="not the path"):
        train_sft(base, "data.jsonl", tmp_path / "m", progress=False)
    assert not (tmp_path / "m").exists()


def test_from_the_shell(base, tmp_path, capsys):
    data = write(tmp_path / "data.jsonl", ROWS)
    prompt = tmp_path / "prompt.json"
    prompt.write_text(json.dumps({"chat": False, "template": "{question}\n"}))
    flags = ["--base", base, "--data", str(data), "--out", str(tmp_path / "m"), "--prompt", str(prompt)]
    assert main(["train", "sft", *flags, "--batch", "16", "--lora-rank", "4"]) == 0
    assert "43 examples, 5 held out" in capsys.readouterr().out
    assert json.loads((tmp_path / "m" / "ttscale.json").read_text())["prompt"]["template"] == "{question}\n"


def test_what_is_measured_is_what_is_saved(bf16_base, tmp_path, monkeypatch):
    """A base in bf16 is saved in bf16, so its rounding comes before anything is measured or calibrated."""
    measured, real = {}, run._save

    def noted(base, folder, task, went, recipe, tokenizer, finish):
        def noting(model, out):
            measured.update({name: value.clone() for name, value in model.state_dict().items()})
            return finish(model, out)

        return real(base, folder, task, went, recipe, tokenizer, noting)

    monkeypatch.setattr(run, "_save", noted)
    rows = [{"question": f"{n} + 1?", "solution": f"Answer: {n + 1}"} for n in range(12)]
    given, recipe = read_solutions(write(tmp_path / "rows.jsonl", rows)), Recipe(batch=8, epochs=1, dropout=0.0)
    train_sft(bf16_base, given, tmp_path / "out", recipe=recipe, prompt=PLAIN, progress=False)
    saved = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).state_dict()
    assert all(torch.equal(measured[name], value) for name, value in saved.items())
    kept = transformers.AutoConfig.from_pretrained(tmp_path / "out")
    assert kept.dtype == torch.bfloat16


@pytest.fixture
def bf16_base(base, tmp_path):
    """The same base with its weights in bf16."""
    folder = tmp_path / "bf16"
    transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder
