"""The real vLLM and llama.cpp servers with SmolLM2: what the stand-ins promise. Run by ``make engines``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import ttscale
from engines.engines import NAME, engine, python_of
from real_models import gguf_file, model_folder
from ttscale import Beam, BestOfN, Candidate, Cost, Key, MajorityVote, Question, Sample
from ttscale.core.errors import RoleError
from ttscale.hf import HFGenerator
from ttscale.openai import Connection, OpenAIGenerator
from ttscale.prompts.layouts import PromptFormat
from ttscale.verifiers import ConfidenceVerifier, FunctionVerifier

FORM = PromptFormat(system=None)
QUESTION = Question.of("Tom has 3 apples and buys 4 more. How many apples has he? Explain.")
ROOT = Candidate(QUESTION, Key((0, QUESTION.id)))


@pytest.fixture(scope="module", params=["vllm", "llama.cpp"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """(kind, URL) of a running engine."""
    kind = request.param
    if not python_of("vllm" if kind == "vllm" else "llamacpp").exists():
        pytest.skip(f"{kind} is not set up here: make engines")
    model = model_folder() if kind == "vllm" else gguf_file()
    with engine(kind, model) as url:
        yield kind, url


def generator(url: str, **settings: Any) -> OpenAIGenerator:
    given = {"prompt": FORM, "delimiter": "\n", "temperature": 0.8, "max_new_tokens": 32, **settings}
    return OpenAIGenerator(NAME, connection=Connection(url, concurrency=1), **given)


def sample(role: OpenAIGenerator, *requests: Sample) -> list[Any]:
    return asyncio.run(role.sample(list(requests)))


def by_steps(role: Any) -> Candidate:
    candidate = ROOT
    while candidate.finish == "open" and len(candidate.tokens) < 32:
        found = role.sample([Sample(candidate, candidate.key.child(0), 1, 0.0)])
        (reply,) = asyncio.run(found) if asyncio.iscoroutine(found) else found
        candidate = candidate.extend(candidate.key.child(0), reply.steps, reply.finish)
    return candidate


def test_the_kind_is_found_and_steps_written_one_by_one_are_the_whole(server: tuple[str, str]) -> None:
    kind, url = server
    role = generator(url)
    found = by_steps(role)
    (whole,) = sample(role, Sample(ROOT, ROOT.key.child(0), None, 0.0))
    assert asyncio.run(role._server()).name == kind
    text = "".join(step.text for step in whole.steps)
    short = min(len(text), len(found.text))
    assert text[:short] == found.text[:short]
    assert all(step.tokens for step in found.steps)


def test_vllm_writes_step_by_step_what_the_local_backend_writes(server: tuple[str, str]) -> None:
    kind, url = server
    if kind != "vllm":
        pytest.skip("the weights of the GGUF file are in four bits")
    local = by_steps(HFGenerator(str(model_folder()), prompt=FORM, delimiter="\n", max_new_tokens=32))
    assert by_steps(generator(url)).tokens == local.tokens


def test_draws_that_share_a_request_are_those_asked_alone_and_cost_what_the_server_says(
    server: tuple[str, str],
) -> None:
    requests = [Sample(ROOT, ROOT.key.child(i)) for i in range(3)]
    role = generator(server[1], max_new_tokens=12)
    together = sample(role, *requests)
    alone = [sample(role, request)[0] for request in requests]
    if server[0] == "vllm":  # llama.cpp's sums depend on the batch
        assert [one.steps for one in together] == [one.steps for one in alone]
    assert len({one.steps for one in together}) > 1
    assert sum((one.cost for one in together), Cost()).requests == 1
    assert all(0 < one.cost.sampled_tokens <= 12 for one in together)


def test_strategies_run(server: tuple[str, str]) -> None:
    rules = FunctionVerifier(lambda candidate: 0.5 + len(candidate.text) % 9 / 20)
    for strategy in (MajorityVote(), Beam(width=2)):
        result = ttscale.solve(QUESTION, 4, generator=generator(server[1]), verifier=rules, strategy=strategy)
        assert result.error is None
        assert result.cost.requests > 0
    sure = ttscale.solve(
        QUESTION,
        2,
        generator=generator(server[1], logprobs=True, max_new_tokens=200),
        verifier=ConfidenceVerifier(),
        strategy=BestOfN(),
    )
    assert all(step.logprob is not None for candidate in sure.candidates for step in candidate.steps)


def test_a_context_that_is_too_long_is_refused_with_its_length(server: tuple[str, str]) -> None:
    long = Question.of("word " * 3000)
    with pytest.raises(RoleError, match="tokens long, the model reads at most 2048"):
        sample(generator(server[1]), Sample(Candidate(long, Key((0, long.id))), Key((0, long.id, 0))))


def test_a_wrong_model_is_named_with_those_there_are(server: tuple[str, str]) -> None:
    if server[0] != "vllm":
        pytest.skip("llama.cpp serves its one model under any name")
    role = OpenAIGenerator("nobody", connection=Connection(server[1], retries=0), prompt=FORM)
    with pytest.raises(RoleError, match=NAME):
        sample(role, Sample(ROOT, ROOT.key.child(0)))
