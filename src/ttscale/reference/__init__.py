"""The benchmark and the model family that ship with the library.

Knows: the domain (problems, grammar, layout) and where the bundled weights lie. Must not know: strategies, engines,
backends; importing it loads no torch.

**Domain.** ``Compute <expression>`` with 1 to 9 operations + - *, parentheses, numbers up to 99 and intermediate values
up to 199 in size. :func:`check` returns the canonical spelling of a question (feed *that* to the models) or raises
:class:`OutOfDomainError`. A solution has one operation per line and ends in ``Answer: n``::

    <bos>Compute (17 + 5) * 3 - 48\\n
    22 * 3 - 48\\n
    66 - 48\\n
    18\\n
    Answer: 18<eos>

**Models.** ``path("generator")``, ``path("verifier")``, ``path("reviser")``: folders that
``AutoModelForCausalLM.from_pretrained`` and ``AutoTokenizer.from_pretrained`` load. The tokenizer adds ``<bos>``; its
tokens include ``<bos>``, ``<eos>`` (end of a solution), ``<pad>`` and ``"\\n"`` (end of a step, always one token). The
last step, ``Answer: n``, is closed by ``<eos>`` and has no newline. :func:`prompt` and :func:`revision_prompt` define
the layout; the tokenizer's chat template writes the same (user = question, assistant = earlier attempt, oldest first).
``path("prm")`` is a verifier of steps with a head, for ``HFVerifier`` and ``AutoModelForTokenClassification``.

**Verifier.** Implicit: the verifier is a causal LM taught by outcomes, read against the generator (the reference).
``ttscale.hf.verifiers.implicit`` says what a step's score is, and what ``ttscale_verifier.json`` beside the weights
holds. Here the curve is logarithmic, and <eos> does not count: the verifier was not taught with it. The reference has
the weight w. With w = 1 the score is the log-ratio of arXiv 2412.01981; with w = 0, which ranks best here (see the
model card), the reference need not be loaded or run at all.
"""

from __future__ import annotations

from pathlib import Path

from ttscale.reference.expressions import PREFIX, OutOfDomainError, read, show
from ttscale.reference.layout import (
    BOS,
    DELIMITER,
    EOS,
    MAX_ATTEMPTS,
    answer_of,
    prompt,
    revision_prompt,
)
from ttscale.reference.load import load, scheduler
from ttscale.reference.problems import LEVELS, SPLITS, Problem, questions, split_of

__all__ = [
    "BOS",
    "DELIMITER",
    "EOS",
    "LEVELS",
    "MAX_ATTEMPTS",
    "MODELS",
    "SPLITS",
    "OutOfDomainError",
    "Problem",
    "answer_of",
    "check",
    "load",
    "path",
    "prompt",
    "questions",
    "revision_prompt",
    "scheduler",
    "split_of",
]

MODELS = ("generator", "verifier", "reviser", "prm")
"""The names that ``path`` knows."""


def path(name: str) -> Path:
    """The folder of a bundled model."""
    if name not in MODELS:
        raise ValueError(f"there is no bundled model {name!r}; choose one of {', '.join(MODELS)}")
    folder = Path(__file__).parent / "models" / name
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(
            f"the bundled {name} is missing from this installation ({folder}); reinstall ttscale, or rebuild "
            "the models: python -m tools.reference_models --out DIR"
        )
    return folder


def check(question: str) -> str:
    """The question in the one spelling that the models know; ``OutOfDomainError`` if it is not one of theirs."""
    return PREFIX + show(read(question))
