"""How a question is put to a model, and where its solutions fall into steps: prompts as data, one per model family.

Pure text. This file knows no tokenizer, chat template or server: backends turn ``messages`` or ``text`` into tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

Messages: TypeAlias = list[dict[str, str]]
"""Chat messages as every chat template and server takes them: {"role": ..., "content": ...}."""

BLANK = "{question}"


@dataclass(frozen=True, slots=True)
class Prompt:
    """The words around a question. ``{question}`` in ``user`` and ``document`` stands for it; nothing else is filled.

    ``user`` and ``system`` make a chat, ``document`` a plain text for models without a chat template; ``shots`` are
    worked examples (question, solution) that go before the question in both. A step of a solution ends with
    ``delimiter``. ``stop`` holds strings that end a solution in a document, where a model may go on with the next
    question by itself.
    """

    system: str = ""
    user: str = BLANK
    document: str = BLANK + "\n"
    shots: tuple[tuple[str, str], ...] = ()
    between: str = "\n\n"
    delimiter: str = "\n\n"
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("user", "document"):
            if BLANK not in getattr(self, name):
                raise ValueError(f"a prompt's {name} must contain {BLANK!r}; got {getattr(self, name)!r}")
        if not self.delimiter:
            raise ValueError('a prompt needs a delimiter that ends a step, such as "\\n\\n"')

    def messages(self, question: str) -> Messages:
        """The chat that asks ``question``; it ends with the user's turn."""
        turns = [{"role": "system", "content": self.system}] if self.system else []
        for shot, solution in self.shots:
            turns.append({"role": "user", "content": self.user.replace(BLANK, shot)})
            turns.append({"role": "assistant", "content": solution})
        return [*turns, {"role": "user", "content": self.user.replace(BLANK, question)}]

    def text(self, question: str) -> str:
        """The document that asks ``question``; the solution follows directly."""
        parts = [self.document.replace(BLANK, shot) + solution for shot, solution in self.shots]
        head = [self.system] if self.system else []
        return self.between.join([*head, *parts, self.document.replace(BLANK, question)])


_BOXED = "Please reason step by step, and put your final answer within \\boxed{}."

QWEN_MATH = Prompt(system=_BOXED)
"""What Qwen2.5-Math and its PRMs were trained with; a safe choice for other instruction-tuned models."""

THINKING = Prompt(user=BLANK + "\n" + _BOXED)
"""For models that think in ``<think>`` tags (DeepSeek-R1 and its distillations, QwQ, Qwen3): no system prompt, as their
cards advise."""

SEARCH_AND_LEARN = Prompt(
    system="Solve the following math problem efficiently and clearly:\n\n"
    "- For simple problems (2 steps or fewer):\n"
    "Provide a concise solution with minimal explanation.\n\n"
    "- For complex problems (3 steps or more):\n"
    "Use this step-by-step format:\n\n"
    "## Step 1: [Concise description]\n[Brief explanation and calculations]\n\n"
    "## Step 2: [Concise description]\n[Brief explanation and calculations]\n\n...\n\n"
    "Regardless of the approach, always conclude with:\n\n"
    "Therefore, the final answer is: $\\boxed{answer}$. I hope it is correct.\n\n"
    "Where [answer] is just the final number or expression that solves the problem."
)
"""The step-by-step prompt of huggingface/search-and-learn (Apache-2.0), word for word, so that its results compare."""

_SHOTS = (
    (
        "A rectangle is 3 times as long as it is wide and its perimeter is 48. What is its area?",
        "Let the width be $w$, so the length is $3w$.\n"
        "The perimeter is $2(w + 3w) = 8w$, and $8w = 48$ gives $w = 6$.\n"
        "The length is $3 \\cdot 6 = 18$.\n"
        "The area is $6 \\cdot 18 = 108$.\n"
        "# Answer\n\\boxed{108}",
    ),
    (
        "How many positive divisors does 72 have?",
        "Factor: $72 = 2^3 \\cdot 3^2$.\n"
        "A divisor takes an exponent of 2 from 0 to 3 and an exponent of 3 from 0 to 2.\n"
        "That is $4 \\cdot 3 = 12$ choices.\n"
        "# Answer\n\\boxed{12}",
    ),
    (
        "If $f(x) = 2x^2 - 3x$, what is $f(f(2))$?",
        "First $f(2) = 2 \\cdot 4 - 3 \\cdot 2 = 2$.\nSo $f(f(2)) = f(2) = 2$.\n# Answer\n\\boxed{2}",
    ),
    (
        "Two fair dice are rolled. What is the probability that their sum is 9?",
        "There are $6 \\cdot 6 = 36$ equally likely outcomes.\n"
        "The sum is 9 for $(3,6), (4,5), (5,4), (6,3)$: 4 outcomes.\n"
        "The probability is $\\frac{4}{36} = \\frac{1}{9}$.\n"
        "# Answer\n\\boxed{\\frac{1}{9}}",
    ),
)

FOUR_SHOT = Prompt(
    user="Problem:\n" + BLANK,
    document="Problem:\n" + BLANK + "\n\nSolution:\n",
    shots=_SHOTS,
    delimiter="\n",
    stop=("\n\nProblem:",),
)
"""The shape of the paper's 4-shot prompt for base models: four worked solutions, one step a line, the answer last.

The paper's four examples (random correct answers of PRM800K phase 1) are not published; these are our own.
"""

_FAMILIES: tuple[tuple[str, Prompt], ...] = (
    (r"-base\b|-pt\b|pythia|gpt2|llemma", FOUR_SHOT),
    (r"\br1\b|qwq|qwen3(?!.*instruct)|thinking|reason", THINKING),
    (r"qwen", QWEN_MATH),
    (r"llama.*instruct|smollm.*instruct", SEARCH_AND_LEARN),
    (r"llama", FOUR_SHOT),
)


def prompt_for(model: str) -> Prompt:
    """The prompt of the model family that ``model`` (an id or a path) names; ``QWEN_MATH`` for a family not known here.

    A guess by name, for convenience: pass ``prompt=`` where it matters.
    """
    name = model.rstrip("/").rsplit("/", 1)[-1].lower()
    return next((prompt for pattern, prompt in _FAMILIES if re.search(pattern, name)), QWEN_MATH)


def without_thinking(text: str) -> str:
    """The part of a solution that is meant for the reader: what follows the last ``</think>``.

    A text that opens ``<think>`` and never closes it is all thinking and gives "". The opening tag may be part of the
    prompt, as in the chat template of DeepSeek-R1, and is then missing here.
    """
    rest = text.rpartition("</think>")[2]
    return rest.partition("<think>")[0]


def split_steps(text: str, delimiter: str) -> list[str]:
    """``text`` cut after each delimiter, every character kept; no step is only white space (but for a blank text).

    A delimiter with nothing but white space before it does not end a step: the blank goes with what follows, as it
    does when steps are sampled one by one. A blank end goes with the last step. The last step may lack its delimiter.
    """
    steps: list[str] = []
    start = read = 0
    blank = True
    while read < len(text):
        end = text.find(delimiter, read)
        end = len(text) if end < 0 else end + len(delimiter)
        blank = blank and not text[read:end].strip()
        read = end
        if not blank:
            steps.append(text[start:end])
            start, blank = end, True
    if start < len(text):
        steps[-1:] = ["".join(steps[-1:]) + text[start:]]
    return steps
