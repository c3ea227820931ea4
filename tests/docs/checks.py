"""What pages promise beyond what they print: each check reads the names that a page's snippets left behind.

A page shows what a reader would write. Whatever proves a sentence of it, and would look odd there, stands here.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import ttscale
from ttscale import reference
from ttscale.evaluation.problems.grading import grade
from ttscale.hf import HFModel, PromptFormat
from ttscale.hf.sampling_settings import Given, SamplingSettings
from ttscale.openai import OpenAIGenerator
from ttscale.testing import check_laws, toy_roles

Names = dict[str, Any]


def answers(names: Names) -> None:
    assert grade(None, "5") is False
    assert names["question"].answers == ttscale.answers.choice()


def bring_your_model(names: Names) -> None:
    assert names["family"] is names["SEARCH_AND_LEARN"]
    assert names["FOUR_SHOT"].prompt.stop[0].split() == ["Problem:"]
    same = "Qwen2.5-1.5B-Instruct"  # the family goes by the name on a server, and by nothing here
    served = OpenAIGenerator(same, "http://127.0.0.1:9/v1").settings
    assert (served.prompt, served.delimiter) == (names["QWEN_MATH"].prompt, "\n\n")
    shutil.copytree(reference.path("generator"), same, ignore=shutil.ignore_patterns("ttscale.json"))
    here = SamplingSettings(HFModel(same), Given())
    assert (here.prompt, here.delimiter) == (PromptFormat(), "\n")


def concepts(names: Names) -> None:
    root = names["root"]
    assert root.child(3).seed == ttscale.Key((0, "my-question", 3)).seed != root.child(4).seed


def cost(names: Names) -> None:
    assert names["spent"] <= 400
    assert {one.stopped_by for one in names["results"]} == {None, "total_tokens"}
    total, stopped = names["total"], names["result"]
    assert min(total.sampled_tokens, total.verifier_tokens, total.flops, total.seconds) > 0
    assert (total.generations, total.verifier_calls) == (12, 12)
    assert stopped.cost.sampled_tokens < 150
    assert stopped.cost.generations < 64


def evaluation(names: Names) -> None:
    spent = {name: names["adaptive"].mean_cost(name, 8)["generations"] for name in ("batch", "adaptive")}
    assert spent["batch"] == 8.0 >= spent["adaptive"]


def how_to_choose(names: Names) -> None:
    assert names["right"] > 0


def integrations(names: Names) -> None:
    right, wrong = names["reward"](prompts=names["questions"], completions=names["texts"])
    assert right > wrong


def reproducibility(names: Names) -> None:
    alone, among_others = names["alone"], names["among_others"]
    assert alone == among_others != names["another_seed"]
    assert alone.cost.sampled_tokens == among_others.cost.sampled_tokens
    assert names["again"] == names["first"]
    assert names["asked"] == 0
    assert (names["tree"].answer, names["tree"].cost) == (alone.answer, alone.cost)


def scale(names: Names) -> None:
    assert sorted(map(int, names["answers"])) == list(range(1, 60))


def write_a_backend(names: Names) -> None:
    question = ttscale.Question.of("Throw a six")
    root = ttscale.Candidate(question, ttscale.Key((0, question.id)), (), "open")
    requests = [ttscale.Sample(root, root.key.child(i)) for i in range(9)]
    dice = names["Dice"]()
    assert dice.sample(requests) == [dice.sample([request])[0] for request in requests]


def write_a_strategy(names: Names) -> None:
    check_laws(names["UntilTwoAgree"](), 9, roles=toy_roles())


CHECKS: dict[str, Callable[[Names], None]] = {
    f"docs/{check.__name__.replace('_', '-')}.md": check
    for check in (
        answers,
        bring_your_model,
        concepts,
        cost,
        evaluation,
        how_to_choose,
        integrations,
        reproducibility,
        scale,
        write_a_backend,
        write_a_strategy,
    )
}
