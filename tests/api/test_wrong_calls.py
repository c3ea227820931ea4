"""Calls that people get wrong, and what each is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import ttscale
from ttscale import Cost
from ttscale.testing import FakeGenerator, FakeVerifier, completion_of
from ttscale.verifiers import FunctionVerifier

MODEL: Any = FakeGenerator("Answer: 1")


class Floats:
    def score(self, requests: Any) -> Any:
        return [0.5 for _ in requests]


class Texts:
    def sample(self, requests: Any) -> Any:
        return ["Answer: 1" for _ in requests]


class Model:
    def generate(self, **_: Any) -> Any: ...


class Yields:
    def sample(self, requests: Any) -> Any:
        yield from requests


class YieldsLater:
    async def sample(self, requests: Any) -> Any:
        for request in requests:
            yield request


class CostsOfNumpy:
    def sample(self, requests: Any) -> Any:
        return [replace(completion_of("Answer: 1"), cost=Cost(sampled_tokens=np.int64(3))) for _ in requests]


def judge(candidate: Any) -> float:
    return 1.0


def solve(*args: Any, **kwargs: Any) -> Callable[[], Any]:
    return lambda: ttscale.solve(*args, **kwargs)


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "url": (
        solve("q", generator="http://localhost:8000/v1"),
        r"URL: pass generator=ttscale.openai.OpenAIGenerator",
    ),
    "url verifier": (solve("q", generator=MODEL, verifier="https://x/v1"), "OpenAIVerifier"),
    "class": (solve("q", generator=FakeGenerator), "That is the class: make an object of it, FakeGenerator"),
    "function": (solve("q", generator=MODEL, verifier=judge), r"FunctionVerifier\(function\)"),
    "generator as verifier": (solve("q", generator=MODEL, verifier=MODEL), r"JudgeVerifier\(generator\)"),
    "generator as reviser": (solve("q", generator=MODEL, reviser=MODEL), r"PromptedReviser\(generator\)"),
    "transformers model": (solve("q", generator=Model()), r"HFGenerator\(HFModel"),
    "float verdict": (solve("q", 2, generator=MODEL, verifier=Floats(), strategy="best_of_n"), r"Verdict\(\(0.5,\)\)"),
    "text completion": (solve("q", 2, generator=Texts()), r"Completion\(\(Step\("),
    "judge": (solve("q", generator=MODEL, verifier="judge"), r"verifier=ttscale.verifiers.JudgeVerifier\(generator"),
    "judge compares": (solve("q", generator=MODEL, comparator="judge"), r"PromptedComparator\(generator\)"),
    "function that writes": (solve("q", generator=str), "object with a method sample"),
    "lambda that writes": (solve("q", generator=lambda request: "42"), "makes a list of Completion of a list of requ"),
    "a method that yields": (
        solve("q", 2, generator=Yields()),
        "it has a yield: collect the replies, and return a list",
    ),
    "an awaited one": (
        solve("q", 2, generator=YieldsLater()),
        "it has a yield: collect the replies, and return a list",
    ),
    "numpy's cost": (solve("q", 2, generator=CostsOfNumpy()), "give a Cost of Python numbers"),
    "judge of a text": (
        solve("q", 2, generator=MODEL, verifier=FunctionVerifier(len), strategy="best_of_n"),
        "the function is given a ttscale.Candidate: judge its answer or its text",
    ),
    "trace": (solve("q", generator=MODEL, trace="t.jsonl"), r"result.trace has it, .* solve_all\(resume=path\)"),
    "folder": (solve("q", generator="./no/such/folder"), "there is no such folder"),
    "home": (solve("q", generator="~/no/such/folder"), "there is no such folder"),
    "temperature": (solve("q", generator=MODEL, temperature=0.7), "setting of the generator: HFGenerator"),
    "max_new_tokens": (solve("q", generator=MODEL, max_new_tokens=5), "setting of the generator"),
    "top_k": (solve("q", generator=MODEL, top_k=5), r"OpenAIGenerator\(name, url, extra=\{'top_k': ...\}\)"),
    "stop": (solve("q", generator=MODEL, stop=["."]), r"PromptFormat\(stop="),
    "resume": (solve("q", generator=MODEL, resume="x"), "an argument of solve_all"),
    "total_limit": (solve("q", generator=MODEL, total_limit=5), "an argument of solve_all"),
    "resume's folder": (
        lambda: ttscale.solve_all(["q"], generator=MODEL, resume="no/such/t.jsonl"),
        "no folder no/such",
    ),
    "resume a folder": (
        lambda: ttscale.solve_all(["q"], generator=MODEL, resume="."),
        "is a folder: name a file in it",
    ),
    "resume nothing": (lambda: ttscale.solve_all(["q"], generator=MODEL, resume=""), "is a folder: name a file in it"),
    "resume True": (
        lambda: ttscale.solve_all(["q"], generator=MODEL, resume=True),  # type: ignore[arg-type]
        "resume must be the path of a file; got True",
    ),
    "observe": (solve("q", generator=MODEL, observe=5), "observe must be a function of an event; got 5"),
    "a rule's maker": (solve("q", generator=MODEL, answers=ttscale.answers.number), r"call it, as in number\(\.\.\.\)"),
    "letters": (lambda: ttscale.answers.choice(["A", "B"]), "letters such as 'ABCD' expected"),  # type: ignore[arg-type]
    "language": (lambda: ttscale.answers.code(5), "answers.code: a language's name is a text; got 5"),  # type: ignore[arg-type]
    "field": (lambda: ttscale.answers.json(None), "answers.json: a field's name is a text"),  # type: ignore[arg-type]
    "pattern": (lambda: ttscale.answers.regex(None), "answers.regex: a pattern is a text"),  # type: ignore[arg-type]
    "equal numbers": (lambda: ttscale.answers.equal("1", 1), "answers.equal reads texts; got 1"),  # type: ignore[arg-type]
    "extract nothing": (lambda: ttscale.answers.extract(None), "answers.extract reads texts"),  # type: ignore[arg-type]
    "unknown and far": (solve("q", generator=MODEL, strategy="foo"), r"unknown strategy 'foo'\. Known: ab_mcts"),
    "half a token": (lambda: ttscale.Limit(tokens=10.5), "whole number of tokens; got 10.5"),  # type: ignore[arg-type]
    "max_tokens": (solve("q", generator=MODEL, max_tokens=5), r"Limit\(tokens=...\)"),
    "n": (solve("q", generator=MODEL, n=5), "budget=..."),
    "model": (solve("q", model=MODEL), "generator=..."),
    "prm": (solve("q", generator=MODEL, prm=5), "verifier=..."),
    "method": (solve("q", generator=MODEL, method="beam"), "strategy=..."),
    "base_url": (solve("q", base_url="x"), "OpenAIGenerator"),
    "device": (solve("q", device="cpu"), r"HFModel\(name, device=...\)"),
    "verbose": (solve("q", generator=MODEL, verbose=True), "progress=False"),
    "slip": (solve("q", generator=MODEL, budgt=5), "did you mean budget?"),
    "nonsense": (solve("q", generator=MODEL, zzzz=5), "it takes answers, budget"),
    "self_consistency": (solve("q", generator=MODEL, strategy="self_consistency"), "did you mean majority_vote?"),
    "bon": (solve("q", generator=MODEL, strategy="bon"), "did you mean best_of_n?"),
    "beam_search": (solve("q", generator=MODEL, strategy="beam_search"), "did you mean beam?"),
    "unknown": (solve("q", generator=MODEL, strategy="magic"), "Known: "),
    "strategy class": (solve("q", generator=MODEL, strategy=ttscale.BestOfN), r"make an object of it, BestOfN\(\)"),
    "no verifier": (solve("q", generator=MODEL, strategy="beam"), "needs a verifier"),
    "no reviser": (solve("q", generator=MODEL, strategy="sequential_revision"), "needs a reviser"),
    "budget 0": (solve("q", 0, generator=MODEL), "budget must be an integer from 1"),
    "budget text": (solve("q", "8", generator=MODEL), "budget must be an integer from 1"),
    "budget float": (solve("q", 8.0, generator=MODEL), "budget must be an integer from 1"),
    "huge": (solve("q", 10**9, generator=MODEL), "budget must be an integer from 1"),
    "seed": (solve("q", 1, generator=MODEL, seed="a"), "seed must be an integer"),
    "limit": (solve("q", 1, generator=MODEL, limit=100), "limit must be a ttscale.Limit"),
    "empty": (solve(" ", generator=MODEL), "must be a non-empty string"),
    "list": (solve(["a", "b"], generator=MODEL), "for many questions call ttscale.solve_all"),
    "one for all": (lambda: ttscale.solve_all("q", generator=MODEL), "for a single one call ttscale.solve"),
    "two alike": (
        lambda: ttscale.solve_all([ttscale.Question("1", "a"), ttscale.Question("1", "b")], generator=MODEL),
        "ids must be unique",
    ),
    "other domain": (solve("What is the capital of France?"), "give your own model"),
    "setting": (solve("q", generator=MODEL, verifier=FakeVerifier(0.5), strategy="beam:wdth=2"), "width"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_says_what_to_do(name: str) -> None:
    call, says = WRONG[name]
    with pytest.raises((ValueError, TypeError, FileNotFoundError, ttscale.TtscaleError), match=says):
        call()


def test_there_are_forty_of_them() -> None:
    assert len(WRONG) >= 40
