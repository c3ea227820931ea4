"""Our own roles on real checkpoints, tiny and random, held to the suites that third parties use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ttscale
from hf.verifiers import checkpoints
from ttscale.hf import HFGenerator, HFModel, HFReviser, HFVerifier, ImplicitVerifier
from ttscale.prompts.tokenize import PromptFormat
from ttscale.revisers import PromptedReviser
from ttscale.testing import FakeGenerator, GeneratorTests, ReviserTests, VerifierTests
from ttscale.verifiers import ConfidenceVerifier, EnsembleVerifier, JudgeVerifier

PLAIN = PromptFormat(chat=False)
SETTINGS: dict[str, Any] = {"delimiter": "a", "max_new_tokens": 24, "prompt": PLAIN}


def model(checkpoint: Any, variant: str, **settings: Any) -> HFModel:
    return HFModel(checkpoint(variant), device="cpu", **settings)


class TestGenerator(GeneratorTests):
    @pytest.fixture
    def generator(self, checkpoint: Any) -> HFGenerator:
        return HFGenerator(model(checkpoint, "qwen2"), **SETTINGS)


class TestGeneratorWithoutTheFastPath(GeneratorTests):
    @pytest.fixture
    def generator(self, checkpoint: Any) -> HFGenerator:
        return HFGenerator(model(checkpoint, "llama", shared_kv=False), **SETTINGS)


class TestGeneratorOfFewRows(GeneratorTests):
    """Two rows at a time, and no room to remember anything."""

    @pytest.fixture
    def generator(self, checkpoint: Any) -> HFGenerator:
        return HFGenerator(model(checkpoint, "qwen2-sliding", max_batch=2, kv_bytes=0), top_k=20, **SETTINGS)


class TestReviser(ReviserTests):
    @pytest.fixture
    def reviser(self, checkpoint: Any) -> HFReviser:
        return HFReviser(model(checkpoint, "mistral-sliding"), **SETTINGS)


class TestPromptedReviser(ReviserTests):
    @pytest.fixture
    def attempt(self) -> str:
        return "It is 7."

    @pytest.fixture
    def reviser(self, checkpoint: Any) -> PromptedReviser:
        prompt = "{question} Not\n{attempts}"  # short: the tiny models read 256 tokens
        return PromptedReviser(HFGenerator(model(checkpoint, "llama"), **SETTINGS), prompt=prompt)


class _ReadByBatch(VerifierTests):
    """fp32 sums carry the rounding noise of the batch they were made in."""

    tolerance = 1e-4


class TestImplicitVerifier(_ReadByBatch):
    @pytest.fixture
    def verifier(self, checkpoint: Any) -> ImplicitVerifier:
        models = (model(checkpoint, variant) for variant in ("llama", "qwen2"))
        return ImplicitVerifier(*models, scale=0.05, prompt=PLAIN)


@pytest.fixture(scope="module", params=["math_shepherd", "rlhflow", "skywork", "qwen", "trl", "sequence"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of each family of public verifiers."""
    made: Path = tmp_path_factory.mktemp(request.param.replace("_", "-"))
    getattr(checkpoints, request.param)(made)
    return made


class TestPublicVerifiers(_ReadByBatch):
    @pytest.fixture
    def verifier(self, folder: Path) -> HFVerifier:
        # A folder says what it holds, but for RLHFlow's, which are plain language models and known by their names.
        return HFVerifier(str(folder), family="rlhflow" if "rlhflow" in folder.name else None)


class TestJudge(_ReadByBatch):
    """A prompt in which both words can be told apart by their first letter."""

    @pytest.fixture
    def verifier(self, checkpoint: Any) -> JudgeVerifier:
        return JudgeVerifier(
            HFGenerator(model(checkpoint, "qwen2"), **SETTINGS), prompt="{question}{solution} ok?", least_mass=0
        )


class TestEnsembleOnOneModel(_ReadByBatch):
    @pytest.fixture
    def verifier(self, checkpoint: Any) -> EnsembleVerifier:
        shared = model(checkpoint, "llama")
        judge = JudgeVerifier(HFGenerator(shared, **SETTINGS), prompt="{question}{solution} ok?", least_mass=0)
        return EnsembleVerifier([ImplicitVerifier(shared, reference_weight=0, scale=0.01, prompt=PLAIN), judge])


@pytest.mark.parametrize("measure", ["logprob", "certainty"])
@pytest.mark.parametrize("strategy", ["best_of_n", "beam"])
def test_confidence_reads_what_the_generator_recorded(checkpoint: Any, measure: Any, strategy: str) -> None:
    """It has nothing to say of solutions that were not drawn here, so the suite cannot ask it."""
    generator = HFGenerator(model(checkpoint, "llama"), **SETTINGS)
    verifier = ConfidenceVerifier(measure)
    first, again = (
        ttscale.solve("What is 1 + 1?", 6, generator=generator, verifier=verifier, strategy=strategy) for _ in range(2)
    )
    assert first == again
    assert {c.done for c, score in zip(first.candidates, first.scores, strict=True) if score is not None} <= {True}


def test_a_verifier_named_by_its_path_says_how_its_scores_are_aggregated(tmp_path: Path) -> None:
    """Known only once it is loaded: a Qwen PRM is read by the product of its steps."""
    checkpoints.qwen(tmp_path)
    said = FakeGenerator("First.\nThen.\nAnswer: 1")
    for strategy, described in (
        ("best_of_n", "BestOfN(aggregate='prod')"),
        (ttscale.BestOfN(), "BestOfN(aggregate='last')"),
    ):
        result = ttscale.solve("Why?", 2, generator=said, verifier=str(tmp_path), strategy=strategy)
        assert result.strategy == described
    scheduled = ttscale.solve("Why?", 8, generator=said, verifier=str(tmp_path))
    assert "aggregate='prod'" in scheduled.strategy.rsplit("-> ", 1)[1]
