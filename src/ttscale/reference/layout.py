"""How questions, solutions and earlier attempts are laid out for the reference models: one place, used everywhere.

Knows: text. Must not know: tokenizers' classes, tensors, models. The docstring of ``ttscale.reference`` shows a
solution. A reviser sees its earlier attempts, oldest first, between the prompt and the new one, each closed by <eos>.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

BOS = "<bos>"
"""The token before a question."""
EOS = "<eos>"
"""The token after a solution."""
DELIMITER = "\n"
"""The end of a step."""
MAX_ATTEMPTS = 4
"""How many earlier attempts the reviser has learned to read (the paper's four)."""


def prompt(question: str) -> str:
    """What the generator reads, special tokens spelled out: tokenize it with ``add_special_tokens=False``."""
    return f"{BOS}{question}{DELIMITER}"


def revision_prompt(question: str, attempts: Sequence[str]) -> str:
    """What the reviser reads: the prompt, then the last ``MAX_ATTEMPTS`` attempts, oldest first, each with its end."""
    recent = list(attempts)[-MAX_ATTEMPTS:] if attempts else []
    return prompt(question) + "".join(attempt.rstrip(DELIMITER) + EOS for attempt in recent)


def answer_of(solution: str) -> str | None:
    """The number after the last ``Answer: ``, or ``None``."""
    found = re.search(r"Answer: (-?\d+)\s*$", solution)
    return found[1] if found else None
