"""The scorer: nothing is run twice, memory is bounded, costs are what was run, errors say where."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ttscale
from hf.verifiers import checkpoints
from ttscale import Candidate, Key, Question, Score, Step, Verdict
from ttscale.core.errors import RoleError
from ttscale.hf import HFModel, HFVerifier
from ttscale.hf.memory import Budget
from ttscale.hf.pick_runner import open_shared_kv
from ttscale.hf.shared_kv import run_sequences
from ttscale.hf.shared_kv.prefix_tree import PrefixTree
from ttscale.hf.verifiers.families.detect import verifier_family


def candidate(question: str, *steps: str) -> Candidate:
    return Candidate(Question(question, question), Key((question, *steps)), tuple(Step(s) for s in steps), "stop")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("prm")
    checkpoints.trl(path)
    return str(path)


def shared_tree(verifier: HFVerifier) -> PrefixTree:
    own = open_shared_kv(verifier.model)
    assert own is not None
    return own.tree


def distinct(verifier: HFVerifier, candidates: Sequence[Candidate]) -> int:
    """Distinct prefixes of token sequences: what has to be run at least."""
    seen = set()
    for c in candidates:
        ids, _ = verifier.adapter.encode(c.question.prompt, [step.text for step in c.steps])
        seen |= {tuple(ids[: i + 1]) for i in range(len(ids))}
    return len(seen)


def test_a_beam_search_runs_every_distinct_token_once(folder: str) -> None:
    """16 survivors of 64 beams over six rounds, as a search would ask."""
    rng = random.Random(0)
    question = "What is " + " + ".join(str(rng.randint(1, 99)) for _ in range(20)) + "?"
    verifier = HFVerifier(folder)
    everything: list[Candidate] = []
    parents: list[tuple[str, ...]] = [()]
    spent = 0
    for round_ in range(6):
        steps = [
            (*parent, f"Round {round_}: {rng.random()} and {rng.random()}.") for parent in parents for _ in range(4)
        ]
        beams = [candidate(question, *each) for each in steps]
        everything += beams
        spent += sum(verdict.cost.verifier_tokens for verdict in verifier.score([Score(b) for b in beams]))
        parents = rng.sample(steps, min(len(steps), 8))
    least = distinct(verifier, everything)
    assert spent == verifier.model.forwarded_tokens
    assert least <= spent <= 1.05 * least


def test_what_was_scored_is_not_scored_again(folder: str) -> None:
    verifier = HFVerifier(folder)
    one = "One step of some length."
    requests = [Score(candidate("q", one, "Two.")), Score(candidate("q", one))]
    first = verifier.score(requests)
    ran = verifier.model.forwarded_tokens
    again = verifier.score(requests)
    assert again == [Verdict(verdict.step_scores) for verdict in first]
    assert verifier.model.forwarded_tokens == ran
    assert first[1].step_scores == first[0].step_scores[:1]
    assert first[1].cost.verifier_tokens == 0


def test_equal_candidates_of_a_call_are_paid_for_once(folder: str) -> None:
    verifier = HFVerifier(folder)
    verdicts = verifier.score([Score(candidate("q", "One.", "Two."))] * 3)
    ids, _ = verifier.adapter.encode("q", ["One.", "Two."])
    assert [verdict.cost.verifier_tokens for verdict in verdicts] == [len(ids), 0, 0]
    assert verdicts[0].cost.flops > 0
    assert len({verdict.step_scores for verdict in verdicts}) == 1


TREES = st.lists(
    st.tuples(
        st.sampled_from("pq"),
        st.lists(st.sampled_from(["A b c d e f g h.", "A b c d e f g i.", "B.", "C."]), min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(calls=st.lists(TREES, min_size=1, max_size=4), budget=st.sampled_from([0, 20_000, 10**9]))
def test_any_schedule_of_calls_gives_the_scores_of_each_alone(folder: str, calls: Any, budget: int) -> None:
    """Whatever is cached, shared or evicted."""
    verifier = SHARED.setdefault("tested", HFVerifier(folder))
    reference = SHARED.setdefault("alone", HFVerifier(folder))
    reference.model.shared_kv = False  # one by one, without a cache
    verifier.score([Score(candidate("warm", "up."))])
    shared_tree(verifier).max_bytes = budget
    verifier._scorer._scores.clear()
    for call in calls:
        candidates = [candidate(question, *steps) for question, steps in call]
        for got, c in zip(verifier.score([Score(c) for c in candidates]), candidates, strict=True):
            (wanted,) = reference.score([Score(c)])
            assert got.step_scores == pytest.approx(wanted.step_scores, abs=2e-6)
        assert shared_tree(verifier).bytes <= budget
        assert all(node.pins == 0 for node in shared_tree(verifier)._nodes())


SHARED: dict[str, HFVerifier] = {}


@pytest.mark.parametrize("shared_kv", [True, False])
def test_running_out_of_memory_halves_the_batch(folder: str, shared_kv: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = HFVerifier(folder)
    candidates = [candidate(f"question {i}", "One.", "Two.") for i in range(12)]
    wanted = HFVerifier(folder).score([Score(c) for c in candidates])
    if not shared_kv:
        verifier.model.shared_kv = False
    limit = 3

    def too_many(rows: int) -> None:
        if rows > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")

    original = run_sequences.extend

    def extend(own: Any, items: Any) -> Any:
        too_many(len(items))
        return original(own, items)

    monkeypatch.setattr(run_sequences, "extend", extend)
    trunk = verifier.model.module.base_model
    forward = trunk.forward

    def counted(*args: Any, **kwargs: Any) -> Any:
        if not shared_kv:
            too_many(kwargs["input_ids"].shape[0])
        return forward(*args, **kwargs)

    monkeypatch.setattr(trunk, "forward", counted)
    got = verifier.score([Score(c) for c in candidates])
    for a, b in zip(got, wanted, strict=True):
        assert a.step_scores == pytest.approx(b.step_scores, abs=1e-5)
    limit = 0
    with pytest.raises(torch.OutOfMemoryError):
        verifier.score([Score(candidate("another", "One."))])


def test_batches_stay_within_a_forward(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = HFVerifier(folder)
    verifier._scorer._budget = Budget(64)
    sizes: list[int] = []
    original = run_sequences.extend

    def extend(own: Any, items: Any) -> Any:
        sizes.append(len(items) * max(len(tokens) for _, tokens in items))
        return original(own, items)

    monkeypatch.setattr(run_sequences, "extend", extend)
    verifier.score([Score(candidate(f"{i}?", "One.", "Two.")) for i in range(20)])
    assert len(sizes) > 3
    assert max(sizes) <= 64


def test_a_long_call_keeps_within_the_memory_budget(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no budget, the tree holds what the batch at hand needs, and not every solution of the call."""
    verifier = HFVerifier(folder)
    verifier.score([Score(candidate("warm", "up."))])
    tree = shared_tree(verifier)
    tree.max_bytes = 0
    verifier._scorer._budget = Budget(64)
    held: list[int] = []
    original = run_sequences.extend

    def extend(own: Any, items: Any) -> Any:
        held.append(own.tree.tokens())
        return original(own, items)

    monkeypatch.setattr(run_sequences, "extend", extend)
    requests = [Score(candidate(f"{i} is another question?", "One.", "Two.")) for i in range(40)]
    ran = sum(verdict.cost.verifier_tokens for verdict in verifier.score(requests))
    assert len(held) >= 20
    assert max(held) < ran / 5


def test_scores_of_weights_that_were_changed_are_forgotten(tmp_path: Path) -> None:
    checkpoints.trl(tmp_path)
    verifier = HFVerifier(str(tmp_path))
    requests = [Score(candidate("q", "One.", "Two."))]
    before = verifier.score(requests)
    with torch.no_grad():
        verifier.model.module.base_model.norm.weight.mul_(-1)
    after = verifier.score(requests)
    assert after[0].step_scores != before[0].step_scores
    verifier.model.module.save_pretrained(tmp_path)
    assert after[0].step_scores == HFVerifier(str(tmp_path)).score(requests)[0].step_scores


def test_memory_for_scores_is_bounded(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttscale.hf.known_logprobs.REMEMBERED", 5)
    verifier = HFVerifier(folder)
    verifier.score([Score(candidate("q", f"Step {i}.")) for i in range(20)])
    assert len(verifier._scorer._scores) == 5


def test_a_candidate_without_steps_is_an_error(folder: str) -> None:
    with pytest.raises(RoleError, match=r"without steps \(question 'q', candidate q\)"):
        HFVerifier(folder).score([Score(Candidate(Question("q", "q"), Key(("q",))))])


def test_broken_weights_are_an_error_and_not_a_score(tmp_path: Path) -> None:
    checkpoints.trl(tmp_path)
    verifier = HFVerifier(str(tmp_path))
    with torch.no_grad():
        verifier.adapter.head.layers[0].weight.fill_(float("nan"))
    with pytest.raises(RoleError, match=r"score is nan .*broken weights"):
        verifier.score([Score(candidate("q", "One."))])


def test_a_solution_that_cannot_be_laid_out_names_its_question(tmp_path: Path) -> None:
    folder = tmp_path / "PRM-Deepseek-Data"
    checkpoints.rlhflow(folder)
    verifier = HFVerifier(str(folder))
    verifier.model.tokenizer.chat_template = "{{ messages[0]['content'] }}"
    with pytest.raises(RoleError, match=r"shows 0 of 1 turns .*question 'q', candidate q/One"):
        verifier.score([Score(candidate("q", "One."))])


def test_a_search_takes_a_public_verifier(folder: str) -> None:
    from ttscale import reference
    from ttscale.hf import HFGenerator

    generator = HFGenerator(reference.load("generator").model)
    result = ttscale.solve(
        "Compute 8 + 5 - 4", 4, generator=generator, verifier=HFVerifier(folder), strategy=ttscale.Beam(width=2)
    )
    assert result.error is None
    assert result.cost.verifier_tokens > 0
    assert result.score is not None


# Which family.


@pytest.mark.parametrize(
    ("config", "name", "family"),
    [
        ({"architectures": ["Qwen2ForProcessRewardModel"]}, "x", "qwen-prm"),
        ({"architectures": ["Qwen2ForRewardModel"]}, "x", "qwen-rm"),
        ({"architectures": ["Qwen2ForPrmModel"]}, "x", "skywork"),
        ({"architectures": ["LlamaForTokenClassification"]}, "x", "trl"),
        ({"architectures": ["Gemma2ForSequenceClassification"]}, "x", "sequence"),
        ({"architectures": ["MistralForCausalLM"]}, "math-shepherd-mistral-7b-prm", "math-shepherd"),
        ({"architectures": ["LlamaForCausalLM"]}, "Llama3.1-8B-PRM-Deepseek-Data", "rlhflow"),
        ({"architectures": ["LlamaForCausalLM"]}, "Llama3.1-8B-ORM-Mistral-Data", "rlhflow-orm"),
        (
            {"architectures": ["MistralForCausalLM"], "_name_or_path": "peiyi9979/math-shepherd-mistral-7b-prm"},
            "copy",
            "math-shepherd",
        ),
    ],
)
def test_the_family_is_read_from_the_checkpoint(config: Any, name: str, family: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    assert verifier_family(str(folder)) == family
    (folder / "ttscale_verifier.json").write_text("{}")
    assert verifier_family(str(folder)) == "ttscale"


def test_what_is_no_verifier_gets_advice(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    with pytest.raises(ValueError, match=r"LlamaForCausalLM.*family=.*rlhflow.*JudgeVerifier"):
        verifier_family(str(tmp_path))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match=r"no config\.json"):
        verifier_family(str(empty))


def test_bad_arguments_are_refused(folder: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"family must be one of ttscale, math-shepherd"):
        HFVerifier(folder, family="qwen")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="belong to the HFModel"):
        HFVerifier(HFModel(folder, auto_class="AutoModelForTokenClassification"), device="cpu")
    with pytest.raises(ValueError, match="separator= belongs to the family 'trl'"):
        HFVerifier(folder, family="ttscale", separator="\n")
    checkpoints.sequence(tmp_path)
    model = HFModel(str(tmp_path), auto_class="AutoModelForSequenceClassification")
    with pytest.raises(ValueError, match="has 1 labels, and this family has 2"):
        HFVerifier(model, family="trl")


def test_pickles_are_not_opened_unless_asked_for(tmp_path: Path) -> None:
    checkpoints.qwen(tmp_path)
    from safetensors.torch import load_file

    tensors = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="safetensors"):
        HFVerifier(str(tmp_path))
    assert len(HFVerifier(str(tmp_path), allow_pickle=True).score([Score(candidate("q", "One."))])[0].step_scores) == 1


def test_a_head_is_found_in_a_sharded_checkpoint(tmp_path: Path) -> None:
    checkpoints.qwen(tmp_path)
    wanted = HFVerifier(str(tmp_path)).score([Score(candidate("q", "One.", "Two."))])
    from safetensors.torch import load_file, save_file

    tensors = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    index = {name: f"model-{1 + name.startswith('score')}-of-2.safetensors" for name in tensors}
    for shard in set(index.values()):
        part = {name: tensor for name, tensor in tensors.items() if index[name] == shard}
        save_file(part, tmp_path / shard, metadata={"format": "pt"})
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    assert HFVerifier(str(tmp_path)).score([Score(candidate("q", "One.", "Two."))]) == wanted


def test_a_solution_is_scored_without_its_thoughts_unless_told_otherwise(folder: str) -> None:
    thought = candidate("2+2?", "<think>is it 5?\n", "no</think>\n", "It is 4.\n", "Done.")
    said = candidate("2+2?", "It is 4.\n", "Done.")
    verifier = HFVerifier(folder)
    first, second = (verdict.step_scores for verdict in verifier.score([Score(thought), Score(said)]))
    assert first == (1.0, 1.0, *second)
    whole = HFVerifier(folder, thoughts=True)
    (scores,) = (verdict.step_scores for verdict in whole.score([Score(thought)]))
    plain = candidate("2+2?", *(step.text.replace("think>", "thunk>") for step in thought.steps))
    assert len(scores) == 4
    assert scores != first
    assert whole.score([Score(plain)])[0].step_scores != scores
    assert (verifier.sampling, whole.sampling) == ({}, {"thoughts": True})


def test_a_search_over_thoughts_gets_scores_for_what_is_not_said_yet(folder: str) -> None:
    open_ = Candidate(Question.of("2+2?"), Key((0,)), (Step("<think>is it 5?\n"), Step("no\n")))
    (verdict,) = HFVerifier(folder).score([Score(open_)])
    assert len(verdict.step_scores) == 2
    assert all(0 < score < 1 for score in verdict.step_scores)
