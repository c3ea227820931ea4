"""The commands of ``ttscale train`` as data: what ``--help`` teaches, and the settings each takes.

Knows texts and defaults. Must not know argument parsing or how anything is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from ttscale.training.fit.recipe import IMPLICIT_RECIPE, PRM_RECIPE, REVISION_RECIPE, SFT_RECIPE, Recipe

FORMATS = ("own", "trl", "math-shepherd", "prm800k", "rlhflow", "omegaprm")

OVERVIEW = """\
Train verifiers and revisers for your own model, the way the paper does. From questions with answers
(one JSON object a line: {"question": ..., "answer": ...}) to a process reward model:

  ttscale train rollouts --generator MODEL --questions train.jsonl --out rollouts.jsonl
  ttscale train prm --base MODEL --data rollouts.jsonl --out my-prm
  ttscale train rollouts --generator MODEL --questions test.jsonl --samples 64 --estimate outcome --out test.rollouts
  ttscale train quality --verifier my-prm --data test.rollouts --out my-prm-quality
  ttscale solve "..." --generator MODEL --verifier my-prm

and to a reviser with its own verifier:

  ttscale train rollouts --generator MODEL --questions train.jsonl --samples 64 --estimate outcome \\
                         --temperature 1.2 --out samples.jsonl
  ttscale train revision-data --data samples.jsonl --out revisions.jsonl
  ttscale train reviser --base MODEL --data revisions.jsonl --out my-reviser
  ttscale train chains --reviser my-reviser --questions train.jsonl --out chains.jsonl
  ttscale train orm --base MODEL --data chains.jsonl --out my-revision-orm

A base model that does not write solutions yet learns it first, from worked ones ({"question": ..., "solution": ...}):

  ttscale train sft --base BASE --data solutions.jsonl --out MODEL

Every command can be stopped and started again with the same arguments: it goes on where it was.
Every flag may stand in a file instead (--config run.toml, .json or .yaml: learning_rate = 1e-5).
"""


@dataclass(frozen=True, slots=True)
class Flag:
    """One setting of a command: a flag with dashes on the command line, a name with underscores in a config file."""

    name: str
    kind: type
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    required: bool = False


def _path(name: str, help: str, required: bool = True) -> Flag:
    return Flag(name, str, None, help, required=required)


QUESTIONS = _path("questions", "JSONL of questions with reference answers")
OUT_FILE = _path("out", "JSONL to write; if it exists, its finished questions are kept")
OUT_MODEL = _path("out", "folder to save the model in; a run that was stopped goes on from its checkpoints there")
BASE = _path("base", 'causal LM to train from: a local folder, a Hugging Face id, or "bundled"')
TEST = _path("test_questions", "JSONL of questions you will measure on; one of them in the data is refused", False)
VALIDATION = _path("validation", "data to validate on, in the same format (default: a share of the questions)", False)
SEED = Flag("seed", int, 0, "seed of every draw")
TOGETHER = Flag("together", int, 16, "questions in flight; changes speed and what a kill loses, never the numbers")
SKIP_BAD = Flag(
    "skip_bad_references", bool, False, "leave out questions whose reference answer cannot be read, or that have two"
)
DATA = (
    _path("data", "step-labelled solutions"),
    Flag("format", str, "own", "format of the data", FORMATS),
    Flag(
        "neutral", str, None, "what a PRM800K rating of 0 means; must be said", ("positive", "negative", "unlabelled")
    ),
    Flag("allow_malformed", bool, False, "go on when rows are malformed (they are always counted and left out)"),
)
CALIBRATED = Flag("calibrated", bool, True, "fold a scale and bias fitted on held-out questions into the head")
PROMPT = _path("prompt", "JSON file of prompt settings (default: the base model's ttscale.json)", False)
SEPARATOR = Flag("separator", str, None, "text after each step (default: the base model's delimiter, else a newline)")

_RECIPE_HELP = {
    "learning_rate": "AdamW's",
    "batch": "examples per optimizer step",
    "micro_batch": "examples run at once; lower it when memory is short",
    "epochs": "at most; the validation loss usually ends it earlier",
    "dropout": "wherever the model has a dropout rate",
    "beta1": "AdamW's",
    "beta2": "AdamW's",
    "weight_decay": "AdamW's",
    "schedule": "of the learning rate",
    "warmup_steps": "of the learning rate",
    "held_out": "share of the questions to validate on",
    "evaluate_every": "optimizer steps between evaluations (default: four per epoch)",
    "patience": "evaluations without improvement before it stops",
    "after_best": "take the checkpoint this many evaluations after the best",
    "max_tokens": "leave out longer examples (default: what the model reads)",
    "lora_rank": "train adapters of this rank, merged at the end, instead of all weights",
    "lora_alpha": "default: twice the rank",
    "gradient_checkpointing": "less memory for more time",
    "seed": "of initialisation, shuffling, dropout and the split",
}


def _recipe(recipe: Recipe) -> tuple[Flag, ...]:
    kinds = {"int": int, "float": float, "bool": bool, "Schedule": str}
    flags = []
    for field in fields(Recipe):
        kind = kinds[str(field.type).removesuffix(" | None")]
        choices = ("constant", "linear", "cosine") if field.name == "schedule" else ()
        flags.append(Flag(field.name, kind, getattr(recipe, field.name), _RECIPE_HELP[field.name], choices))
    return tuple(flags)


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand: what ``--help`` says, and its flags. Its function is ``training.commands.<name>``."""

    name: str
    help: str
    description: str
    flags: Sequence[Flag]


COMMANDS = (
    Command(
        "rollouts",
        "sample solutions and estimate the value of every step",
        "Sample solutions of each question, cut them into steps, and estimate each step's value: the share of right "
        "answers among continuations of the prefix. 16 x 16 are the paper's numbers. --estimate outcome costs no "
        "continuations (the solution's own outcome on all of its steps) and suits pre-training a PRM on many more "
        "questions, ORMs, implicit PRMs and revision data; --estimate shared averages solutions that share a prefix.",
        (
            QUESTIONS,
            OUT_FILE,
            Flag("generator", str, "bundled", "local folder or Hugging Face id of the model to sample from"),
            Flag("samples", int, 16, "solutions per question"),
            Flag("rollouts", int, 16, "continuations per distinct prefix"),
            Flag("estimate", str, "rollouts", "how step values are estimated", ("rollouts", "shared", "outcome")),
            Flag("temperature", float, None, "of sampling (default: the model's own)"),
            Flag("unparsable", str, "drop", "solutions without a final answer", ("drop", "wrong")),
            Flag("unparsable_rollouts", str, "wrong", "continuations without a final answer", ("wrong", "drop")),
            TOGETHER,
            SEED,
            SKIP_BAD,
        ),
    ),
    Command(
        "chains",
        "write chains of revisions, to measure a reviser and to train its verifier",
        "Let a reviser write chains of attempts at each question. Prints the share of right answers at each position, "
        "of wrong ones turned right, right ones turned wrong, and copies. The file trains a revision ORM.",
        (
            QUESTIONS,
            OUT_FILE,
            Flag("reviser", str, "bundled", "local folder or Hugging Face id of the reviser"),
            Flag("chains", int, 4, "chains per question"),
            Flag("length", int, 8, "attempts per chain"),
            Flag("context", int, 4, "attempts kept in the context"),
            TOGETHER,
            SEED,
            SKIP_BAD,
        ),
    ),
    Command(
        "prm",
        "train a process reward model (a score after every step)",
        "Train a process reward model with soft-label cross-entropy at the end of each step. The result is served by "
        "HFVerifier and loads as a plain AutoModelForTokenClassification. --labels hard calls a step right if any of "
        "its rollouts was; --consensus-with keeps solutions whose first error a second verifier sees in the same "
        "place; --distill-from takes another PRM's scores (an implicit one's, say) as labels.",
        (
            BASE,
            *DATA,
            OUT_MODEL,
            Flag(
                "labels",
                str,
                "soft",
                "soft: as they are; hard: any rollout right; outcome",
                ("soft", "hard", "outcome"),
            ),
            _path("consensus_with", "verifier whose opinion must agree on the first error", False),
            _path("distill_from", "verifier whose scores become the labels", False),
            VALIDATION,
            TEST,
            SEPARATOR,
            PROMPT,
            CALIBRATED,
            *_recipe(PRM_RECIPE),
        ),
    ),
    Command(
        "orm",
        "train an outcome reward model (one score per solution)",
        "Train an outcome reward model: the PRM's recipe with a label on the last step only. Data from 'ttscale train "
        "chains' makes it a revision ORM, which sees the earlier attempts in its context.",
        (BASE, *DATA, OUT_MODEL, VALIDATION, TEST, SEPARATOR, PROMPT, CALIBRATED, *_recipe(PRM_RECIPE)),
    ),
    Command(
        "implicit",
        "train an implicit PRM from outcome labels only",
        "Train a causal LM whose log-likelihood ratio to a reference values every prefix (arXiv 2412.01981): outcome "
        "labels are enough. Serve it with ImplicitVerifier(out, reference).",
        (
            BASE,
            *DATA,
            OUT_MODEL,
            _path("reference", 'model to compare with, or "bundled" (default: the base model)', False),
            Flag(
                "goal", str, "ratio", "train the ratio on outcomes, or the likelihood of right ones", ("ratio", "right")
            ),
            Flag("beta", float, 0.05, "scale of the log-ratio inside the sigmoid"),
            VALIDATION,
            TEST,
            PROMPT,
            *_recipe(IMPLICIT_RECIPE),
        ),
    ),
    Command(
        "revision-data",
        "make revision training data from sampled solutions",
        "For each right solution, put 0 to 4 wrong ones of the same question in front of it, the last of them the one "
        "nearest in character edit distance (section 6.1 of the paper).",
        (
            _path("data", "rollouts (64 samples per question at a higher temperature in the paper)"),
            _path("out", "JSONL to write"),
            Flag("max_attempts", int, 4, "wrong attempts in context, at most"),
            Flag("last", str, "nearest", "which wrong attempt stands last", ("nearest", "random")),
            Flag("keep", float, 0.0, "share of right solutions that stand last in their own context, to be kept"),
            SEED,
        ),
    ),
    Command(
        "reviser",
        "train a reviser",
        "Fine-tune a causal LM, chat or plain, to write a right solution after wrong ones; loss on the right one only. "
        "The checkpoint is taken slightly after the validation loss turns, as in the paper.",
        (BASE, _path("data", "revision data"), OUT_MODEL, VALIDATION, TEST, PROMPT, *_recipe(REVISION_RECIPE)),
    ),
    Command(
        "sft",
        "fine-tune a generator on worked solutions",
        "Plain supervised fine-tuning: a causal LM learns to write your solutions, one step a line, the final answer "
        "last. One JSON object a line with question (or prompt, problem) and solution (or target, response, "
        "completion). Loss on the solution only.",
        (
            BASE,
            _path("data", "worked solutions"),
            OUT_MODEL,
            Flag("delimiter", str, None, "text that ends a step (default: the base model's, else a newline)"),
            VALIDATION,
            TEST,
            PROMPT,
            *_recipe(SFT_RECIPE),
        ),
    ),
    Command(
        "quality",
        "measure a verifier on solutions whose outcome is known",
        "Report how good a verifier is: pair accuracy within a question (what decides best-of-N), AUC, AUC per step, "
        "calibration, and selection accuracy against majority and oracle. Writes OUT.json, OUT.md and, with "
        "matplotlib, OUT.png.",
        (
            Flag("verifier", str, "bundled", "local folder or Hugging Face id of the verifier"),
            _path("data", "rollouts of questions it was not trained on"),
            _path("out", "path to write to, without suffix"),
            Flag("aggregate", str, "last", "from step scores to one score", ("last", "min", "prod", "mean")),
            Flag("bins", int, 10, "bins of the reliability table"),
            SEED,
        ),
    ),
    Command(
        "convert",
        "convert step-labelled data between formats",
        "Read a published format and write ours or TRL's. Malformed rows are counted and reported, never guessed at.",
        (
            *DATA,
            _path("out", "JSONL to write"),
            Flag("to", str, "own", "format to write", ("own", "trl")),
            Flag("threshold", float, 0.0, "for TRL: a step is true when its label is above"),
        ),
    ),
)
