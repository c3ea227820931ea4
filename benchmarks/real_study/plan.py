"""How large the study is, and where it keeps what it makes: the full study and the reduced one that tests run.

Knows numbers and paths. Must not know models. Everything that decides a figure stands here or in ``contrasts.py``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.real_study import questions

from ttscale.prompts.layouts import PromptFormat
from ttscale.training import Recipe

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "real_study.json"
PAGE = ROOT / "docs" / "real-study.md"

PROMPT = PromptFormat(chat=False, system=None, template="Question: {question}\n")
DELIMITER = "\n"
TEMPERATURE = 0.8
PAPER, KEEPING, WORKED = "reviser as in the paper", "reviser that keeps", "reviser that keeps, worked solutions too"
KEEP = {PAPER: 0.0, KEEPING: 0.5, WORKED: 0.5}
"""The revisers, and the share of their examples whose last attempt in context is right already."""


MEAN, SUM, HEAD, ORM, RIGHT, RIGHT_ALONE = (
    "generator's log-probability, mean",
    "generator's log-probability, sum",
    "PRM head, soft labels",
    "ORM head",
    "implicit, right solutions",
    "implicit, right solutions, no reference",
)
"""The verifiers, by name."""
FREE = (MEAN, SUM)
BLENDS = {
    "blend of two sums": ("sum",),
    "blend of sums, means, weakest and last steps": ("sum", "mean", "weakest", "last"),
}
"""Logistic regressions on what two models' log-likelihoods of a solution say, the generator's and that of the model of
right solutions, fitted on pairs of a right and a wrong one of a question: the features of each."""


_ONCE = Recipe(
    learning_rate=5e-5,
    batch=16,
    micro_batch=16,
    epochs=1,
    dropout=0.0,
    schedule="linear",
    warmup_steps=10,
    held_out=0.03,
    evaluate_every=50,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Numbers of one study. Counts of questions are (natural, templated of each number of steps)."""

    sft: tuple[int, int] = (1600, 100)
    train: tuple[int, int] = (807, 75)
    validation: tuple[int, int] = (180, 30)
    test: tuple[int, int] = (360, 60)
    worked: tuple[int, int] = (0, 250)
    train_samples: int = 4
    validation_samples: int = 8
    test_samples: int = 16
    many_samples: int = 64
    many_questions: int = 300
    """As many samples of so many test questions, the first in the order of their hashes. Searches that no contrast
    reads are drawn on these."""
    transfer: tuple[int, int, int] = (150, 100, 16)
    """Questions of SVAMP, of GSM8K, and samples of each."""
    layers: int | None = 24
    """Of the smaller model, cut from the pre-trained one, whose samples are compared with the generator's first answers
    at the same FLOPs; None: no such. It is judged by its own likelihood, on as many questions as have more samples."""
    longest: int = 96
    """Tokens of a solution at most; worked ones have about 20."""
    attempts: int = 16
    """Of the reviser at each test question, in chains of every length."""
    lessons: int = 1600
    """Solutions that a verifier is trained on."""
    revisions: int = 1200
    """Examples that a reviser is trained on."""
    revisers: tuple[str, ...] = (WORKED,)
    validation_chains: int = 0
    """Of each reviser at each validation question, to choose between several; 0: there is one, and no choice."""
    lengths: tuple[int, ...] = (4, 1)
    """Of chains on the test questions, in the order in which they are drawn; ``attempts`` in all at each length."""
    judge_attempts: bool = False
    """Whether the verifier reads the reviser's attempts too."""
    main_arms: int = 3
    """How many of the searches that the choice by difficulty has are drawn, those of contrasts first."""
    more_arms: int = 4
    """How many of the other searches are drawn."""
    recipes: tuple[str, ...] = (RIGHT, HEAD, ORM)
    """Verifiers to train."""
    budgets: tuple[int, ...] = (4, 16)
    rounds: int = 40
    """Steps of a search at most."""
    seeds: tuple[int, ...] = (0, 1)
    sft_recipe: Recipe = replace(_ONCE, learning_rate=1e-4, evaluate_every=61)
    prm_recipe: Recipe = _ONCE
    reviser_recipe: Recipe = replace(_ONCE, micro_batch=4, evaluate_every=25, after_best=1)

    @property
    def gate_budgets(self) -> tuple[int, ...]:
        """N at which verifiers are compared on the validation questions."""
        return tuple(sorted({4, self.validation_samples}))

    def rows(self, folder: Path, part: str) -> list[questions.Row]:
        """The rows of a part that this study uses."""
        counts: tuple[int, int] = getattr(self, part)
        return questions.of_each_kind(questions.read(folder / "questions", part), *counts)


FULL = Plan()
_SHORT = Recipe(
    learning_rate=1e-3, batch=2, micro_batch=2, epochs=1, dropout=0.0, lora_rank=8, held_out=0.1, evaluate_every=100
)
REDUCED = Plan(
    sft=(0, 14), train=(4, 4), validation=(4, 2), test=(8, 3), train_samples=8, validation_samples=4, test_samples=4,
    worked=(0, 2), many_samples=4, layers=None, lessons=16, revisions=16, attempts=2, lengths=(2,), longest=32,
    budgets=(4,), rounds=2, seeds=(0,), main_arms=2, more_arms=0, recipes=(RIGHT,), transfer=(1, 0, 4),
    judge_attempts=True, sft_recipe=_SHORT, prm_recipe=_SHORT, reviser_recipe=replace(_SHORT, after_best=1),
)  # fmt: skip


def model_folder(name: str = "smollm2-135m-instruct") -> Path:
    """A pre-trained model: in ``TTSCALE_MODELS``, else ~/.cache/ttscale/models."""
    folder = Path(os.environ.get("TTSCALE_MODELS") or Path.home() / ".cache" / "ttscale" / "models")
    return folder / name


def natural_questions() -> Path:
    """The word problems: in ``TTSCALE_DATA``, else in shared/data beside the repository."""
    return Path(os.environ.get("TTSCALE_DATA") or ROOT.parent / "shared" / "data") / "word_problems_train.jsonl"
