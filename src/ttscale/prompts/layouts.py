"""How a question is put to a model, and where its solutions fall into steps: prompts as data, one per model family.

Pure text. This file knows no tokenizer, chat template, server or checkpoint: backends turn what it lays out into
tokens, the same way for training and for inference. Over 300 lines because the prompts of all families are data in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any, NamedTuple, TypeAlias

from ttscale.answers.thoughts import without_thoughts
from ttscale.core.chat import Chat, Inquiry
from ttscale.core.checks import check_count
from ttscale.core.types import Candidate

Messages: TypeAlias = list[dict[str, Any]]
"""Chat messages as every chat template and server takes them: {"role": ..., "content": ...}."""

SYSTEM_PROMPT = "Solve the problem step by step, one step per line. Put the final answer in \\boxed{} on the last line."
"""What a chat model is told, unless its prompt says otherwise."""
REVISION_REQUEST = "There may be a mistake in your solution. Look at it again and write a complete, corrected solution."
"""What a chat model is asked after each earlier attempt."""


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """How a question and its earlier attempts are laid out for a model. Plain data, saved as JSON.

    Templates are filled by name (``{question}`` and so on) and nothing else in braces is touched.
    """

    chat: bool | None = None
    """Lay out as a chat, or as plain text; None: as a chat where the model or server has a chat template."""
    system: str | None = SYSTEM_PROMPT
    """System turn of a chat, left out when None. Plain text has none."""
    user: str = "{question}"
    """User turn of a chat."""
    template: str = "{question}\n"
    """Plain layout of the question; ``{question}``, ``{bos}`` and ``{eos}`` are filled in."""
    examples: tuple[tuple[str, str], ...] = ()
    """Solved questions shown first (few-shot): pairs of question and solution."""
    example_template: str = "{question}\n{solution}\n\n"
    """Plain layout of an example."""
    attempt_template: str = "{attempt}{eos}"
    """Plain layout of an earlier attempt in front of a new one; trailing white space of the attempt is dropped."""
    revision_request: str | None = REVISION_REQUEST
    """User turn after each attempt of a chat, or None to let attempts follow each other."""
    max_attempts: int = 4
    """The most recent attempts kept in the context (Snell et al., section 6.1: 4)."""
    stop: tuple[str, ...] = ()
    """Strings that end a solution though the model goes on, as base models do with the next question. Where none is
    given, ``stop_strings`` finds them in the ``examples``."""
    thoughts: tuple[tuple[str, str], ...] = ()
    """Tags around the thoughts of this model, pairs of opening and closing, beside the known ones (``<think>`` and its
    like, harmony's channels). Solutions show them as ``<think>`` and ``</think>``, so that whoever reads one knows what
    was thought."""
    show_thoughts: bool = False
    """Whether earlier attempts are shown with their thoughts."""
    chat_template_kwargs: Any = ()
    """What a chat template is given beside the messages ({"enable_thinking": False}, say); kept as sorted pairs."""
    date: str = "2024-07-26"
    """The day that a chat template is told it is (ISO), so that the same call gives the same result tomorrow. Llama 3's
    own default; a template's ``date_string`` goes into ``chat_template_kwargs``."""

    def __post_init__(self) -> None:
        for name in ("user", "template", "example_template", "attempt_template"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"prompt setting {name} must be a string; got {getattr(self, name)!r}")
        for name in ("system", "revision_request"):
            if not isinstance(getattr(self, name), str | None):
                raise ValueError(f"prompt setting {name} must be a string or None; got {getattr(self, name)!r}")
        if not isinstance(self.chat, bool | None):
            raise ValueError(f"prompt setting chat must be True, False or None; got {self.chat!r}")
        check_count("prompt setting max_attempts", self.max_attempts, 0)
        for name, mark in (("user", "{question}"), ("template", "{question}"), ("attempt_template", "{attempt}")):
            if mark not in getattr(self, name):
                raise ValueError(f"prompt setting {name} must contain {mark!r}; got {getattr(self, name)!r}")
        if not isinstance(self.show_thoughts, bool):
            raise ValueError(f"prompt setting show_thoughts must be True or False; got {self.show_thoughts!r}")
        object.__setattr__(self, "thoughts", check_tags(self.thoughts))
        stop: Any = self.stop
        if isinstance(stop, str) or not all(isinstance(one, str) and one for one in stop):
            raise ValueError(f"prompt setting stop must be a list of strings that are not empty; got {self.stop!r}")
        object.__setattr__(self, "examples", _pairs_of_texts(self.examples))
        try:
            given = dict(self.chat_template_kwargs)
            pairs = tuple(sorted((str(name), _frozen(value)) for name, value in given.items()))
            day = date.fromisoformat(self.date)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"prompt settings: chat_template_kwargs must be names with values, date an ISO date; got "
                f"{self.chat_template_kwargs!r}, {self.date!r}"
            ) from error
        object.__setattr__(self, "chat_template_kwargs", pairs)
        object.__setattr__(self, "date", day.isoformat())

    @staticmethod
    def from_json(data: dict[str, Any]) -> PromptFormat:
        """The format in a parsed ``ttscale.json``'s "prompt"; unknown names are a ``ValueError``."""
        if not isinstance(data, dict):
            raise ValueError(f"prompt settings must be a JSON object; got {data!r}")
        known = {field.name for field in fields(PromptFormat)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise ValueError(f"unknown prompt setting {unknown[0]!r}; known: {', '.join(sorted(known))}")
        settings = dict(data)
        try:
            settings["examples"] = tuple((str(q), str(s)) for q, s in settings.get("examples", ()))
        except (TypeError, ValueError):
            raise ValueError("prompt setting examples must be a list of pairs [question, solution]") from None
        stop = settings.get("stop", [])
        if not isinstance(stop, list | tuple) or not all(isinstance(one, str) for one in stop):
            raise ValueError(f"prompt setting stop must be a list of strings; got {stop!r}")
        return PromptFormat(**{**settings, "stop": tuple(stop)})


def _pairs_of_texts(given: Any) -> tuple[tuple[str, str], ...]:
    pairs = given if isinstance(given, list | tuple) else [given]
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise ValueError(f"prompt setting examples must be pairs (question, solution) of strings; got {pair!r}")
    return tuple((question, solution) for question, solution in pairs)


def _frozen(value: Any) -> Any:
    """The value with tuples for lists, so that prompts can be compared and hashed."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def check_tags(given: Any) -> tuple[tuple[str, str], ...]:
    """The pairs of tags; ``ValueError`` for anything else."""
    pairs: Any = given if isinstance(given, list | tuple) else None
    if pairs is None or not all(
        isinstance(pair, list | tuple)
        and len(pair) == 2
        and all(isinstance(tag, str) and tag.strip() for tag in pair)
        and pair[0] != pair[1]
        for pair in pairs
    ):
        raise ValueError(
            "prompt setting thoughts must be pairs of an opening and a different closing tag, such as "
            f'[["<plan>", "</plan>"]]; got {given!r}'
        )
    return tuple((str(opening), str(closing)) for opening, closing in pairs)


def known_tags(form: PromptFormat, text: str) -> str:
    """``text`` as the model wrote it, with ``<think>`` and ``</think>`` for the tags that are the format's own."""
    for opening, closing in form.thoughts:
        text = text.replace(opening, "<think>").replace(closing, "</think>")
    return text


def own_tags(form: PromptFormat, text: str) -> str:
    """What ``known_tags`` made of a text turned back, for a model that goes on from it."""
    for opening, closing in form.thoughts[:1]:
        text = text.replace("<think>", opening).replace("</think>", closing)
    return text


def shown_attempts(form: PromptFormat, attempts: Sequence[Candidate]) -> list[str]:
    """The texts of earlier attempts as the format shows them."""
    return [attempt.text if form.show_thoughts else attempt.spoken for attempt in attempts if attempt.steps]


def stop_strings(form: PromptFormat, chat: bool) -> tuple[str, ...]:
    """The strings that end a solution: ``form.stop``, else in plain text with examples what begins the next example.

    That is the end of ``example_template`` with its beginning ("\\nQuestion:"); where it begins with the bare question,
    its end alone, if no solution among the examples holds that.
    """
    if form.stop:
        return form.stop
    if chat or not form.examples:
        return ()
    begin = form.example_template.partition("{question}")[0]
    end = form.example_template.rpartition("{solution}")[2]
    if "{" in begin or "{" in end:  # special tokens, which the model writes itself
        return ()
    if begin.strip():
        return ("\n" + begin.strip(),) if end.endswith("\n") or begin.startswith("\n") else (begin.strip(),)
    shown = any(end in solution.strip() for _, solution in form.examples)
    return (end,) if end and not end.strip(" \n") and not shown else ()


def check_prompt(given: Any) -> PromptFormat:
    """``ValueError`` unless this is a ``PromptFormat``; a text is likely meant as its template."""
    if isinstance(given, PromptFormat):
        return given
    raise ValueError(
        f"prompt must be a PromptFormat; got {given!r}. A text with {{question}} in it goes into "
        "PromptFormat(user=...) for chat models, or PromptFormat(chat=False, template=...)"
    )


def chat_turns(form: PromptFormat, question: str, attempts: Sequence[str] = ()) -> Messages:
    """The chat that asks ``question``, or asks again after ``attempts`` (oldest first; the most recent are kept).

    A ``Chat`` brings its own turns: its system message goes before ``form.system``, and ``form.user`` is laid around
    its last user message. An ``Inquiry`` is asked without the wording of ours that asks for a solution.
    """
    if isinstance(question, Inquiry):
        form = replace(
            form,
            system=None if form.system in _SOLVE_SYSTEMS else form.system,
            user="{question}" if form.user in _SOLVE_USERS else form.user,
        )
    asked: Messages = [{"role": "user", "content": fill(form.user, question=question)}]
    if isinstance(question, Chat):
        asked = [dict(message) for message in question.messages]
        if asked[-1]["role"] == "user" and isinstance(asked[-1]["content"], str):
            asked[-1]["content"] = fill(form.user, question=asked[-1]["content"])
    has_system = asked[0]["role"] in ("system", "developer")
    turns: Messages = [asked.pop(0)] if has_system else []
    if not has_system and form.system is not None:
        turns.append({"role": "system", "content": form.system})
    for example, solution in form.examples:
        turns.append({"role": "user", "content": fill(form.user, question=example)})
        turns.append({"role": "assistant", "content": solution})
    turns += asked
    for attempt in _recent(form, attempts):
        turns.append({"role": "assistant", "content": attempt})
        if form.revision_request is not None:
            turns.append({"role": "user", "content": form.revision_request})
    return turns


def plain_text(form: PromptFormat, question: str, attempts: Sequence[str] = (), bos: str = "", eos: str = "\n") -> str:
    """The document that asks ``question``, or asks again after ``attempts``; the solution follows directly."""
    special = {"bos": bos, "eos": eos}
    text = "".join(fill(form.example_template, question=q, solution=s, **special) for q, s in form.examples)
    text += fill(form.template, question=question, **special)
    return text + "".join(
        fill(form.attempt_template, attempt=attempt, **special) for attempt in _recent(form, attempts)
    )


def _recent(form: PromptFormat, attempts: Sequence[str]) -> list[str]:
    """The attempts to show, without the thoughts before them: those would fill the context and teach nothing."""
    if not form.max_attempts:
        return []
    recent = [whole_characters(attempt) for attempt in attempts[-form.max_attempts :]]
    return [(attempt if form.show_thoughts else without_thought(attempt)).rstrip() for attempt in recent]


def without_thought(attempt: str) -> str:
    """What a solution says beside its thoughts."""
    said = without_thoughts(attempt)
    return attempt if said == attempt else said.lstrip()


def fill(template: str, **values: str) -> str:
    """Replace ``{name}`` for the given names only; what is filled in is not searched again."""
    marks = "|".join(re.escape("{" + name + "}") for name in values)
    return re.sub(marks, lambda found: whole_characters(values[found[0][1:-1]]), template)


def whole_characters(text: str) -> str:
    """``text`` with "\ufffd" for each lone surrogate, which no tokenizer or server takes.

    Python makes them of bytes that are no UTF-8 (on a command line), JSON of half an escaped pair.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Family(NamedTuple):
    """What suits a model family: how to ask, and what ends a step of its solutions."""

    prompt: PromptFormat
    delimiter: str


_BOXED = "Please reason step by step, and put your final answer within \\boxed{}."

QWEN_MATH = Family(PromptFormat(system=_BOXED), "\n\n")
"""What Qwen2.5-Math and its PRMs were trained with; a safe choice for other instruction-tuned models."""

THINKING = Family(PromptFormat(system=None, user="{question}\n" + _BOXED), "\n\n")
"""For models that think in ``<think>`` tags (DeepSeek-R1 and its distillations, QwQ, Qwen3): no system prompt, as their
cards advise."""

_STEP_BY_STEP = (
    "Solve the following math problem efficiently and clearly:\n\n"
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
SEARCH_AND_LEARN = Family(PromptFormat(system=_STEP_BY_STEP), "\n\n")
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

FOUR_SHOT = Family(
    PromptFormat(
        chat=False,
        system=None,
        template="Problem:\n{question}\n\nSolution:\n",
        examples=_SHOTS,
        example_template="Problem:\n{question}\n\nSolution:\n{solution}\n\n",
        attempt_template="{attempt}\n\nCorrected solution:\n",
        stop=("\n\nProblem:", "\n\nCorrected solution:"),
    ),
    "\n",
)
"""The shape of the paper's 4-shot prompt for base models: four worked solutions, one step a line, the answer last.

The paper's four examples (random correct answers of PRM800K phase 1) are not published; these are our own.
"""

_FAMILIES: tuple[tuple[str, Family], ...] = (
    (r"-base\b|-pt\b|pythia|gpt2|llemma", FOUR_SHOT),
    (r"\br1\b|qwq|qwen3(?!.*instruct)|thinking|reason", THINKING),
    (r"qwen", QWEN_MATH),
    (r"llama.*instruct|smollm.*instruct", SEARCH_AND_LEARN),
    (r"llama", FOUR_SHOT),
)


_SOLVE_SYSTEMS = {SYSTEM_PROMPT, *(family.prompt.system for _, family in _FAMILIES)}
_SOLVE_USERS = {family.prompt.user for _, family in _FAMILIES}
"""How questions are put to solvers unless the user says it in words of his own."""


def family_of(model: str) -> Family:
    """The family that ``model`` (an id or a path) names; ``QWEN_MATH``'s prompt for one not known here.

    A guess by name, for convenience: say how to ask where it matters.
    """
    name = model.rstrip("/").rsplit("/", 1)[-1].lower()
    return next((family for pattern, family in _FAMILIES if re.search(pattern, name)), QWEN_MATH)


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


def without_marks(text: str, marks: Sequence[str]) -> str:
    """``text`` without any of ``marks``, strings that would mean something to a verifier, however they are nested."""
    left = whole_characters(text)
    while any(mark in left for mark in marks):
        for mark in marks:
            left = left.replace(mark, "")
    return left
