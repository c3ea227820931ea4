"""The study on a real model: its parts against independent sums, its page against what is stored."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from benchmarks.real_study import __main__ as study
from benchmarks.real_study import (
    analyse,
    blend,
    contrasts,
    drawn,
    matched,
    page,
    questions,
    solutions,
    times,
    verifiers,
)
from benchmarks.real_study.plan import FULL, PAGE, RESULTS
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import real_data
import real_models
from ttscale.core.cost import Cost
from ttscale.evaluation.analyse.flops import matched_multiplier
from ttscale.evaluation.statistics import Graded
from ttscale.training import StepExample


def test_no_question_is_in_two_parts_and_every_templated_answer_is_right() -> None:
    parts = questions.split(real_data.data_file("word_problems_train.jsonl"))
    texts = [row.question for rows in parts.values() for row in rows]
    assert len(texts) == len({*texts}) > 3000
    for row in itertools.chain.from_iterable(parts.values()):
        if row.kind != "natural":
            *lines, last = row.solution.split("\n")
            assert len(lines) == int(row.kind[-1])
            assert all(eval(line.split(" = ")[0]) == int(line.split(" = ")[1]) for line in lines)
            assert last == f"Answer: {row.answer}" == f"Answer: {lines[-1].split(' = ')[1]}"


def test_a_question_keeps_its_part_when_others_go(tmp_path: Path) -> None:
    rows = [{"question": f"Q{n}?", "solution": f"{n}\nAnswer: {n}", "answer": str(n)} for n in range(2400)]
    file = tmp_path / "natural.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0], {**rows[1], "answer": "other"}]))
    parts = questions.split(file)
    natural = {part: {r.question for r in rows if r.kind == "natural"} for part, rows in parts.items()}
    assert {part: len(found) for part, found in natural.items()} == {
        "sft": 1600, "train": 2400 - 1 - 1600 - 540, "validation": 180, "test": 360, "worked": 0,
    }  # fmt: skip
    assert not any("Q1?" in found for found in natural.values())  # asked twice with two answers
    assert questions.split(file) == parts


@pytest.mark.parametrize("ps", [[0.01, 0.04, 0.03, 0.005], [0.2, 0.01], [0.05], [0.06], []])
def test_holm_rejects_what_the_adjusted_p_values_do(ps: list[float]) -> None:
    order = sorted(ps)
    adjusted = {p: max(min(1.0, (len(ps) - at) * q) for at, q in enumerate(order[: order.index(p) + 1])) for p in ps}
    assert contrasts.holm(ps) == [adjusted[p] <= 0.05 for p in ps]


def test_verdicts_follow_the_side_of_the_paper() -> None:
    names = [one.name for one in contrasts.CONTRASTS]
    rng = np.random.default_rng(1)

    def found(mean: float) -> tuple[float, np.ndarray, int]:
        return mean, rng.normal(mean, 0.01, 10_000), 100

    means = dict(zip(names, [0.1, -0.1, 0.0, -0.1, 0.0, 0.001, 0.1, 0.1], strict=True))
    rows = contrasts.judge({name: found(mean) for name, mean in means.items()}, {names[1]: (0, 1)})
    assert [row["verdict"] for row in rows] == [
        "same", "opposite", "not shown", "same", "not shown", "not shown", "same", "same",
    ]  # fmt: skip
    assert all(row["low"] < row["difference"] < row["high"] and row["questions"] == 100 for row in rows)
    assert [row["seeds"] for row in rows] == [[0], [0, 1], *[[0]] * 6]
    level = contrasts.judge({names[4]: found(0.03)})
    assert [row["verdict"] for row in level] == ["same"]


def test_differences_are_those_of_the_means() -> None:
    ours, theirs = np.array([1.0, 0.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0, 0.0])
    difference, draws = contrasts.of_pairs(ours, theirs)
    assert difference == 0.5
    assert abs(draws.mean() - 0.5) < 0.02
    difference, draws = contrasts.of_groups(ours, theirs)
    assert difference == 0.5
    assert abs(draws.std() - np.sqrt(ours.var() / 4 + theirs.var() / 4)) < 0.01


def test_the_compute_optimal_choice_is_scored_on_questions_it_was_not_made_on() -> None:
    ids = [f"q{n:x}" for n in range(16)]
    even = np.array([int(id[-1], 16) % 2 == 0 for id in ids])
    arms = {"a": even.astype(float), "b": (~even).astype(float)}
    found, choices = analyse.optimal(arms, np.zeros(16, dtype=int), ids)
    assert choices == [["a", "b"]]
    assert found.sum() == 0  # each half chose what fails on the other


def test_difficulty_is_read_off_samples_that_no_strategy_chooses_from() -> None:
    """Questions that differ by luck alone: independent draws find no strategy better on the hard ones."""
    rng = np.random.default_rng(0)

    def one(id: str, count: int) -> Graded:
        right = rng.random(count) < 0.5
        return Graded(id, right, right.astype(int), np.full(count, 0.5), np.ones(count, dtype=int))

    graded = [one(f"q{n:x}", 64 if n < 300 else 16) for n in range(600)]
    rows = [SimpleNamespace(id=one.question) for one in graded]
    everything = drawn.Drawn(rows, {"v": graded}, "v", None, {}, frozenset(), {}, {})  # type: ignore[arg-type]
    part, first, others = analyse.apart(everything, FULL)
    assert len(part.rows) == len(first) == len(others) == 300
    assert {len(one.correct) for one in first} == {16}
    assert {len(one.correct) for one in others} == {48}
    assert all(
        np.array_equal(np.r_[a.correct, b.correct], whole.correct)
        for a, b, whole in zip(first, others, graded, strict=False)
    )
    shares = np.array([one.correct.mean() for one in first])
    own, apart = (analyse.bins_of(analyse.difficulties(source)["oracle"], first, 2) == 1 for source in (first, others))
    assert shares[~own].mean() - shares[own].mean() > 0.15  # luck, were it read off the same samples
    assert abs(shares[~apart].mean() - shares[apart].mean()) < 0.05


def test_revisions_are_compared_at_every_ratio_that_was_drawn() -> None:
    rng = np.random.default_rng(0)

    def graded(id: str, count: int) -> Graded:
        right = rng.random(count) < 0.5
        return Graded(
            id, right, np.where(right, 0, rng.integers(1, 4, count)), np.full(count, 0.5), np.ones(count, int)
        )

    ids = [f"q{n:x}" for n in range(40)]
    chains = {length: [[graded(id, length) for _ in range(16 // length)] for id in ids] for length in (4, 1, 16)}
    together = {
        length: [
            Graded(
                id,
                *(
                    np.concatenate([getattr(one, part) for one in chain])
                    for part in ("correct", "classes", "scores", "tokens")
                ),
            )
            for id, chain in zip(ids, own, strict=True)
        ]
        for length, own in chains.items()
    }
    rows = [SimpleNamespace(id=id) for id in ids]
    everything = drawn.Drawn(rows, {"v": [graded(id, 16) for id in ids]}, "v", None, {}, frozenset(), chains, together)  # type: ignore[arg-type]
    found = analyse.revised(everything)
    assert found["N"] == 16
    assert {*found["large N"]} == {"1:16", "4:4", "16:1"}
    firsts = np.mean([chain.correct[0] for own in chains[4] for chain in own])
    assert found["steps"][0]["pass_at_1"]["value"] == pytest.approx(firsts)


def test_lessons_are_distinct_and_as_often_right_as_wrong() -> None:
    given = [
        StepExample(id, id, (text,), (float(good),), good, text)
        for id in ("a", "b")
        for text, good in [("x", True), ("x", True), ("y", True), ("z", False), ("w", False), ("v", False)]
    ]
    kept = solutions.lessons([*given, StepExample("c", "c", ("x",), (1.0,), True, "x")], 99)
    assert sorted((e.id, e.text) for e in kept) == [(id, t) for id in "ab" for t in "wxyz"]
    assert len(solutions.lessons(given, 3)) == 3


def test_a_blend_finds_the_weights_that_made_the_outcomes() -> None:
    rng = np.random.default_rng(0)
    given = rng.normal(size=(20_000, 2)) * [1.0, 20.0]
    outcomes = rng.random(20_000) < blend.sigmoid(given @ np.array([2.0, -0.05]) + 0.5)
    weights, bias = blend.fit_outcomes(given, outcomes)
    assert np.allclose(np.array([*weights, bias]) * [1, 20, 1], [2.0, -1.0, 0.5], atol=0.1)


def test_a_blend_of_pairs_ignores_what_is_the_same_for_all_solutions_of_a_question() -> None:
    """The second feature is the question's: it decides most outcomes and no pair."""
    rng = np.random.default_rng(0)
    questions = np.repeat(np.arange(300), 8)
    given = np.stack([rng.normal(size=2400), rng.normal(size=300)[questions]], axis=1)
    outcomes = rng.random(2400) < blend.sigmoid(given @ np.array([1.0, 4.0]))
    (own, of_question), _ = blend.fit_pairs(given, outcomes, questions)
    assert own > 0
    assert abs(of_question) < 1e-6
    (_, of_question), _ = blend.fit_outcomes(given, outcomes)
    assert of_question > 3


def test_features_are_those_of_every_prefix() -> None:
    rng = np.random.default_rng(0)
    tokens, models = rng.integers(1, 9, 5).astype(float), tuple(-rng.random((2, 5)))
    found = blend.features(("sum", "mean", "weakest", "last"), blend.Reading(tokens, models))
    for end in range(1, 6):
        wanted = [
            value
            for steps in models
            for value in (steps[:end].sum(), steps[:end].sum() / tokens[:end].sum(), steps[:end].min(), steps[end - 1])
        ]
        assert np.allclose(found[end - 1], wanted)


def test_a_blend_scores_requests_as_it_scores_readings() -> None:
    own, right, tokens = np.array([-1.0, -3.0]), np.array([-0.5, -2.0]), np.array([2.0, 3.0])
    steps = [SimpleNamespace(logprob=-1.0, tokens=(1, 2)), SimpleNamespace(logprob=-3.0, tokens=(3, 4, 5))]
    said = SimpleNamespace(step_scores=tuple(blend.sigmoid(blend.FLAT * np.cumsum(right))), cost=Cost())
    judge = SimpleNamespace(worker="here", weights=(), score=lambda requests: [said] * len(requests))
    served = blend.Blend("both", ("sum", "weakest"), judge, [0.5, 0.25, 1.0, 0.125], 0.75)
    (verdict,) = served.score([SimpleNamespace(candidate=SimpleNamespace(steps=steps))])  # type: ignore[list-item]
    margins = [
        0.5 * -1.0 + 0.25 * -1.0 + 1.0 * -0.5 + 0.125 * -0.5 + 0.75,
        0.5 * -4.0 + 0.25 * -3.0 + 1.0 * -2.5 + 0.125 * -2.0 + 0.75,
    ]
    assert np.allclose(verdict.step_scores, [1 / (1 + np.exp(-margin)) for margin in margins])
    assert np.allclose(verdict.step_scores, served.scores(blend.Reading(tokens, (own, right))))


def test_log_probabilities_are_scored_as_they_stand() -> None:
    steps = [SimpleNamespace(logprob=-1.0, tokens=(1, 2)), SimpleNamespace(logprob=-3.0, tokens=(3, 4, 5))]
    request = SimpleNamespace(candidate=SimpleNamespace(steps=steps))
    for mean, wanted in ((False, [-1.0, -4.0]), (True, [-0.5, -0.8])):
        (verdict,) = verifiers.LogProbability(mean).score([request])  # type: ignore[list-item]
        assert np.allclose(np.log(verdict.step_scores), wanted)


@pytest.mark.parametrize(("scale", "ratio"), [(2.0, 0.16), (2.0, 22.0), (14.0, 0.79)])
def test_matched_flops_are_the_paper_s_multiplier_where_only_sampling_costs(scale: float, ratio: float) -> None:
    """Both models then read and write as many tokens, and the larger one's cost ``scale`` times as much."""
    alone = 3e9
    found = matched.affordable(scale * alone, alone, scale, ratio)
    assert found == pytest.approx(matched_multiplier(scale, ratio))


def test_a_cut_model_keeps_its_first_layers_and_its_last(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=8, **shape)).save_pretrained(tmp_path / "whole")
    words = {f"w{number}": number for number in range(8)}
    plain = Tokenizer(WordLevel(words, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=plain).save_pretrained(tmp_path / "whole")
    matched.cut(tmp_path / "whole", tmp_path / "cut", 3)
    whole, cut = (LlamaForCausalLM.from_pretrained(tmp_path / name) for name in ("whole", "cut"))
    ids, places = torch.arange(1, 7)[None], torch.arange(6)[None]
    hidden = whole.model.embed_tokens(ids)
    turns, mask = whole.model.rotary_emb(hidden, places), torch.full((6, 6), -torch.inf).triu(1)[None, None]
    for layer in (0, 1, 3):
        hidden = whole.model.layers[layer](hidden, attention_mask=mask, position_embeddings=turns)
    wanted = whole.lm_head(whole.model.norm(hidden))
    assert torch.allclose(cut(ids).logits, wanted, atol=1e-5)
    assert AutoTokenizer.from_pretrained(tmp_path / "cut").get_vocab() == words


def test_time_in_which_two_stages_ran_counts_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    began = rng.integers(0, 200, 12)
    ended = began + rng.integers(0, 30, 12)
    lines = [
        {"stage": f"s{n % 5}", "began": int(a), "ended": int(b), "cpu": 1.0}
        for n, (a, b) in enumerate(zip(began, ended, strict=True))
    ]
    (tmp_path / "times.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert times.elapsed(tmp_path) == len({s for a, b in zip(began, ended, strict=True) for s in range(a, b)})
    assert times.cpu_seconds(tmp_path) == {"s0": 3, "s1": 3, "s2": 2, "s3": 2, "s4": 2}
    assert times.timed(tmp_path, "s9", lambda: None).startswith("s9: 0 CPU seconds")
    assert times.cpu_seconds(tmp_path)["s9"] == 0


def test_stages_side_by_side_begin_after_those_they_build_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lock, begun, done = threading.Lock(), list[str](), set[str]()

    def call(command: list[str], env: dict[str, str]) -> int:
        name = command[-1]
        with lock:
            assert done >= {*study.STAGES[name][1]}
            assert len(begun) - len(done) < 2
            assert env["OMP_NUM_THREADS"] == "1"
            begun.append(name)
        with lock:
            done.add(name)
        return int(name == failing)

    monkeypatch.setattr(study.subprocess, "call", call)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")  # which the study sets, and other tests would see
    monkeypatch.setattr(sys, "argv", ["study", "--work", str(tmp_path), "--jobs", "2"])
    failing = ""
    study.main()
    assert sorted(begun) == sorted(study.STAGES)
    failing = "gate"
    begun.clear()
    done.clear()
    with pytest.raises(SystemExit, match="stage gate failed"):
        study.main()
    assert "searches" not in begun


def test_the_page_shows_what_is_stored() -> None:
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    text = PAGE.read_text(encoding="utf-8")
    assert {match[2] for match in page.MARK.finditer(text)} == set(page.PARTS)
    assert page.write_page(text, found) == text


def test_the_figures_in_the_readme_are_stored_ones() -> None:
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    own = found["test"][found["gate"]["chosen"]]
    wanted = [own["1"]["majority"], own["16"]["majority"], own["16"]["best_of_n"]]
    text = (RESULTS.parents[2] / "README.md").read_text(encoding="utf-8")
    sentences = rf"SmolLM2-135M-Instruct, fine-tuned, on {own['16']['questions']} test questions: .*?\. "
    (sentence,) = re.findall(sentences, text, re.DOTALL)
    assert re.findall(r"\d+%", sentence) == [f"{one['value']:.0%}" for one in wanted]


def test_the_stored_contrasts_are_the_planned_ones() -> None:
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    planned = [one.name for one in contrasts.CONTRASTS]
    assert [row["name"] for row in found["planned"]] == planned
    names = [row["name"] for row in found["contrasts"]]
    assert names == [name for name in planned if name in names]
    for row in found["contrasts"]:
        assert {"name", "paper", "difference", "low", "high", "verdict", "questions", "seeds"} <= set(row)
        assert row["low"] <= row["difference"] <= row["high"]
        deep = row["name"] in (planned[2], planned[4])  # difficulty, or a vote, needs more than 16 samples
        assert row["questions"] == (FULL.many_questions if deep else FULL.test[0] + 4 * FULL.test[1])


def test_a_reduced_study_runs_from_the_split_to_the_results(tmp_path: Path) -> None:
    models = real_models.model_folder()
    data = real_data.data_file("word_problems_train.jsonl").parent
    environment = {
        **os.environ, "TTSCALE_MODELS": str(models.parent), "TTSCALE_DATA": str(data), "OMP_NUM_THREADS": "1"
    }  # fmt: skip
    command = [sys.executable, "-m", "benchmarks.real_study", "--reduced", "--work", str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "real_study.json").read_text())
    assert {"contrasts", "gate", "test", "searches", "reviser"} <= set(found)
    assert all(row["questions"] == 20 for row in found["contrasts"])
