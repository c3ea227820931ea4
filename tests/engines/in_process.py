"""``ttscale.vllm`` on the real engine with SmolLM2. Run by ``make engines``, in the environment that has vLLM.

A file of its own, and not collected elsewhere: vLLM and the rest of the tests want different packages.
"""

from __future__ import annotations

from typing import Any

import pytest

from real_models import model_folder
from ttscale.core.requests import Revise, Sample
from ttscale.core.types import Candidate, Key, Question
from ttscale.prompts.layouts import PromptFormat
from ttscale.vllm import VLLMGenerator, VLLMReviser

vllm = pytest.importorskip("vllm")
FORM = PromptFormat(system=None)
QUESTION = Question.of("Tom has 3 apples and buys 4 more. How many apples has he? Explain.")
ROOT = Candidate(QUESTION, Key((0, QUESTION.id)))


@pytest.fixture(scope="module")
def role() -> Any:
    options = {"dtype": "float32", "enforce_eager": True, "max_model_len": 1024}
    return VLLMGenerator(
        str(model_folder()), prompt=FORM, delimiter="\n", temperature=0.8, max_new_tokens=24, options=options
    )


def test_steps_written_one_by_one_are_the_whole(role: Any) -> None:
    candidate = ROOT
    while candidate.finish == "open" and len(candidate.tokens) < 24:
        (reply,) = role.sample([Sample(candidate, candidate.key.child(0), 1, 0.0)])
        candidate = candidate.extend(candidate.key.child(0), reply.steps, reply.finish)
    (whole,) = role.sample([Sample(ROOT, ROOT.key.child(0), None, 0.0)])
    tokens = [token for step in whole.steps for token in step.tokens]
    short = min(len(tokens), len(candidate.tokens))
    assert tokens[:short] == list(candidate.tokens[:short])


def test_draws_together_are_those_alone(role: Any) -> None:
    requests = [Sample(ROOT, ROOT.key.child(i)) for i in range(4)]
    together = role.sample(requests)
    assert [one.steps for one in together] == [role.sample([request])[0].steps for request in requests]
    assert len({one.steps for one in together}) > 1


def test_what_is_closed_is_aborted(role: Any) -> None:
    session = role.session()
    session.admit([(i, Sample(ROOT, ROOT.key.child(i))) for i in range(3)])
    session.step()
    session.close()
    assert role.engine.llm.llm_engine.get_num_unfinished_requests() == 0


def test_a_reviser_shares_the_engine(role: Any) -> None:
    reviser = VLLMReviser(role, prompt=FORM, delimiter="\n", max_new_tokens=8)
    (reply,) = reviser.revise([Revise((ROOT,), ROOT.key.child("r"))])
    assert reply.steps
    assert reviser.worker == role.worker
