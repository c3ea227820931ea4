"""What the checkpoint of a verifier trained by ttscale says of its input.

Knows: the JSON beside its weights. Must not know: tokens, models, search.

``ttscale_verifier.json`` lies beside the weights; every field may be left out::

    {"kind": "prm", "separator": "\\n", "attempts": false, "prompt": {"chat": false, "template": "{question}\\n"}}

``prompt`` holds the fields of ``PromptFormat``; ``"template"`` alone is short for a plain prompt with that template.
``kind`` is "prm" (a score per step) or "orm" (one score, after the last step). With ``attempts`` the earlier attempts
of a revision stand in the prompt. (Kind "implicit" is another kind of checkpoint: see ``implicit.py``.)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from ttscale.core.checks import check_choice
from ttscale.prompts.layouts import PromptFormat
from ttscale.prompts.tokenize import read_settings

VerifierKind: TypeAlias = Literal["prm", "orm"]
FILE = "ttscale_verifier.json"


@dataclass(frozen=True, slots=True)
class VerifierFormat:
    """What a verifier's checkpoint says about its input and its scores. Plain data, saved as JSON."""

    kind: VerifierKind = "prm"
    separator: str = "\n"
    """Written after every step, whatever the step ended in; the score is read at its last token."""
    prompt: PromptFormat = PromptFormat(chat=False)
    attempts: bool = False
    """Whether the earlier attempts of a revision are shown, as the reviser saw them."""

    def __post_init__(self) -> None:
        check_choice("verifier kind", self.kind, get_args(VerifierKind))
        if not isinstance(self.separator, str) or not self.separator:
            raise ValueError(f"the separator of a verifier must be a string that is not empty; got {self.separator!r}")
        if not isinstance(self.attempts, bool):
            raise ValueError(f"the setting attempts of a verifier must be true or false; got {self.attempts!r}")

    @staticmethod
    def from_json(data: dict[str, Any]) -> VerifierFormat:
        """The format in a parsed ``ttscale_verifier.json``; unknown names are a ``ValueError``."""
        if not isinstance(data, dict) or not isinstance(data.get("prompt", {}), dict):
            raise ValueError(f"{FILE} and its prompt must be JSON objects; got {data!r}")
        settings = dict(data)
        if settings.get("kind") == "implicit":
            raise ValueError(f'{FILE} says "kind": "implicit"; load the checkpoint with ttscale.hf.ImplicitVerifier')
        template = settings.pop("template", None)
        prompt = {"chat": False} | ({} if template is None else {"template": template}) | settings.pop("prompt", {})
        unknown = sorted(set(settings) - {"kind", "separator", "attempts"})
        if unknown:
            raise ValueError(
                f"unknown setting {unknown[0]!r} in {FILE}; known: attempts, kind, prompt, separator, template"
            )
        return VerifierFormat(prompt=PromptFormat.from_json(prompt), **settings)

    def to_json(self) -> dict[str, Any]:
        """Plain data that ``from_json`` reads back."""
        return asdict(self)

    @staticmethod
    def of_checkpoint(folder: str | Path) -> VerifierFormat:
        """The format a local checkpoint carries, or the default when it has none."""
        return VerifierFormat.from_json(read_settings(folder, FILE))
