"""Whole searches over servers that fail: equal results, every failure reported, nothing lost, nothing secret kept."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import ttscale
from fake_openai import FAULTS, FakeServer, serving, text_of
from ttscale import Beam, BestOfN, MajorityVote, Result, Score, Verdict
from ttscale.core.errors import AnswerWarning, RoleError
from ttscale.openai import Connection, OpenAIGenerator, OpenAIReviser, OpenAIVerifier
from ttscale.prompts.layouts import PromptFormat
from ttscale.revisers import PromptedReviser
from ttscale.verifiers import ConfidenceVerifier, JudgeVerifier

pytestmark = pytest.mark.filterwarnings("ignore:step search over a server")

KEY = "sk-very-secret-0123456789"
PLAIN = PromptFormat(chat=False, template="{question}\n<assistant>")


async def nap(seconds: float) -> None:
    await asyncio.sleep(0)


def connection(url: Any, **settings: Any) -> Connection:
    return Connection(url, **{"api_key": KEY, "sleep": nap, **settings})


def generator(url: Any, kind: str = "vllm", **settings: Any) -> OpenAIGenerator:
    patience = {name: settings.pop(name) for name in ("timeout", "retries") if name in settings}
    settings = {"server": kind, "prompt": PLAIN, "delimiter": "\n", **settings}
    return OpenAIGenerator("toy", connection=connection(url, **patience), **settings)


class Toy:
    """Scores a step by a hash of the text up to it."""

    def score(self, requests: Sequence[Score]) -> list[Verdict]:
        return [Verdict(tuple(map(self.one, self.prefixes(request)))) for request in requests]

    @staticmethod
    def prefixes(request: Score) -> list[str]:
        texts = [step.text for step in request.candidate.steps]
        return ["".join(texts[: i + 1]) for i in range(len(texts))]

    @staticmethod
    def one(text: str) -> float:
        return hashlib.blake2b(text.encode(), digest_size=1).digest()[0] / 255


def unlucky(share: int, body: dict[str, Any], seen: dict[str, int]) -> str | None:
    """A fault for one request in ``share``, chosen by its content; the second try of it succeeds."""
    name = hashlib.blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=4).digest()
    number = int.from_bytes(name, "big")
    seen[name.hex()] = tries = seen.get(name.hex(), 0) + 1
    faults = [fault for fault in FAULTS if fault != "slow"]
    return faults[number % len(faults)] if number % share == 0 and tries == 1 else None


@pytest.mark.parametrize(("kind", "strategy"), [("vllm", Beam(width=2)), ("llama.cpp", BestOfN())])
def test_a_hundred_questions_through_faults_equal_a_hundred_without(kind: str, strategy: ttscale.Strategy) -> None:
    questions = [f"question {i}" for i in range(100)]

    def solve(server: FakeServer) -> list[Result]:
        return ttscale.solve_all(
            questions, 2, generator=generator(server.url, kind), verifier=Toy(), strategy=strategy, progress=False
        )

    with serving(kind=kind) as server:
        clean = solve(server)
    seen: dict[str, int] = {}
    with serving(kind=kind, fault=lambda n, body: unlucky(5, body, seen)) as server:
        faulty = solve(server)
    assert server.faulty > 30
    assert faulty == clean
    assert [result.question.prompt for result in faulty] == questions
    assert {result.error for result in faulty} == {None}
    assert [result.cost for result in faulty] == [result.cost for result in clean]


def test_a_server_that_dies_for_good_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    """Every failure is reported; what was done is in the trace, and a resumed run asks only for the rest."""
    questions = [f"question {i}" for i in range(40)]
    trace = tmp_path / "trace.jsonl"

    def solve(server: FakeServer, **patience: Any) -> list[Result]:
        return ttscale.solve_all(
            questions,
            4,
            generator=generator(server.url, **patience),
            verifier=Toy(),
            strategy=Beam(width=2),
            resume=trace,
            progress=False,
        )

    with serving() as server:
        trace_free = ttscale.solve_all(
            questions, 4, generator=generator(server.url), verifier=Toy(), strategy=Beam(width=2), progress=False
        )
        needed = len(server.requests)
    with serving(fault=lambda n, body: "drop" if n >= needed // 2 else None) as server:
        broken = solve(server, retries=1)
    failed = [result for result in broken if result.error is not None]
    assert failed
    for result in failed:
        assert "connection" in str(result.error)
        assert result.question.id in str(result.error)
    assert all(a == b for a, b in zip(broken, trace_free, strict=True) if a.error is None)
    with serving() as server:
        resumed = solve(server)
        assert len(server.requests) < needed
    assert resumed == trace_free
    assert KEY not in trace.read_text()


def test_one_question_that_the_server_refuses_costs_the_others_nothing() -> None:
    with serving(fault=lambda n, body: "400" if "question 3\n" in body["prompt"] else None) as server:
        results = ttscale.solve_all(
            [f"question {i}" for i in range(6)], 2, generator=generator(server.url), strategy="majority_vote"
        )
    assert [result.error is not None for result in results] == [i == 3 for i in range(6)]
    assert "status 400" in str(results[3].error)
    assert KEY not in str(results[3].error) + repr(results)


def test_every_role_can_be_remote(tmp_path: Path) -> None:
    def answer(path: str, body: dict[str, Any]) -> Any:
        steps = body["messages"][-1]["content"].count("<extra_0>")
        return {"data": [{"data": [[0.25, 0.75]] * steps}], "usage": {"prompt_tokens": 9}}

    with serving() as writer, serving(answer=answer) as judge:
        result = ttscale.solve(
            "2 + 2",
            8,
            generator=generator(writer.url),
            verifier=OpenAIVerifier("prm", connection=connection(judge.url), layout="qwen-prm"),
            strategy=Beam(width=2),
        )
        assert result.error is None
        assert result.score == 0.75
        assert result.cost.verifier_tokens == 9 * len(judge.requests) > 0
        assert result.cost.sampled_tokens > 0
        reviser = OpenAIReviser("toy", connection=connection(writer.url), server="vllm", prompt=PLAIN, delimiter="\n")
        revised = ttscale.solve("2 + 2", 4, reviser=reviser, strategy="sequential_revision")
        assert len(revised.candidates) == 4
        assert revised.cost.generations == 4
        prompted = ttscale.solve(
            "2 + 2",
            4,
            generator=generator(writer.url),
            reviser=PromptedReviser(generator(writer.url)),
            strategy="sequential_revision",
        )
        assert len(prompted.candidates) == 4
    path = tmp_path / "trace.jsonl"
    result.trace.save(path)
    assert KEY not in path.read_text() + repr(result)


@pytest.mark.parametrize("kind", ["vllm", "llama.cpp"])
def test_confidence_and_judges_work_over_servers(kind: str) -> None:
    with serving(kind=kind) as server:
        sure = ttscale.solve(
            "q",
            4,
            generator=generator(server.url, kind, logprobs=True),
            verifier=ConfidenceVerifier(),
            strategy=BestOfN(),
        )
    assert sure.score is not None
    assert 0 < sure.score < 1
    with serving(kind=kind, write=lambda text, seed: "Yes" if not text and seed % 4 else None) as server:
        judged = ttscale.solve(
            "q",
            4,
            generator=generator(server.url, kind),
            verifier=JudgeVerifier(generator(server.url, kind), votes=4),
            strategy=BestOfN(),
        )
    assert judged.score == 1.0
    assert judged.cost.verifier_calls == sum(bool(candidate.steps) for candidate in judged.candidates)
    assert judged.cost.generations == 4
    assert judged.cost.verifier_tokens > 0


def test_the_same_question_gives_the_same_result_alone_among_others_and_inside_a_loop() -> None:
    with serving() as server:
        alone = ttscale.solve("question 3", 4, generator=generator(server.url), strategy=MajorityVote())
        among = ttscale.solve_all(
            [f"question {i}" for i in range(9)], 4, generator=generator(server.url), strategy=MajorityVote()
        )

        async def inside() -> Result:
            return await ttscale.asolve("question 3", 4, generator=generator(server.url), strategy=MajorityVote())

        assert among[3] == alone == asyncio.run(inside())


def test_whether_a_server_takes_token_ids_is_asked_once(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as server:
        ttscale.solve_all(
            [f"question {i}" for i in range(12)], 2, generator=generator(server.url), verifier=Toy(),
            strategy=Beam(width=2), progress=False,
        )  # fmt: skip
    said = [record for record in caplog.records if "takes no token ids" in record.getMessage()]
    assert len(said) <= 1
    assert sum(path.endswith("tokenize") for path, *_ in server.requests) <= 1


def test_questions_about_models_are_asked_of_a_server_without_token_ids() -> None:
    """That a server lacks the model is read from its own words alone."""
    question = ttscale.Question("model-1", "Which model is it?")
    with serving() as server:
        (result,) = ttscale.solve_all([question], 2, generator=generator(server.url), strategy="majority_vote")
    assert result.error is None
    assert len(result.candidates) == 2


@pytest.mark.parametrize("kind", ["auto", "vllm"])
def test_a_server_in_trouble_is_looked_at_once_for_all_who_wait(kind: str) -> None:
    with serving(listing=lambda n: "503") as server:
        role = generator(server.url, kind, retries=2)
        results = ttscale.solve_all([f"q {i}" for i in range(6)], 2, generator=role, strategy="majority_vote")
    assert ["status 503" in str(result.error) for result in results] == [True] * 6
    assert server.looks == 3


RUNS_ON = ["step 1\n", "Answer: 5\n", "\nProblem:\n", "What is 2+2?\n", "\nSolution:\n", "Answer: 4\n"]
"""A base model that has been shown solved examples writes the next of them after its solution."""


def run_on(text: str, seed: int) -> str | None:
    written = text.rpartition("MINE\n\nSolution:\n")[2]
    begun = ["".join(RUNS_ON[:n]) for n in range(len(RUNS_ON))]
    return RUNS_ON[begun.index(written)] if written in begun else None


@pytest.mark.filterwarnings("ignore:toy-base at .* gave one text")
@pytest.mark.parametrize("kind", ["vllm", "sglang", "transformers", "openai"])
def test_a_stop_string_that_begins_in_the_step_before_ends_the_solution(kind: Any) -> None:
    """The stop string is "\\n\\nProblem:", and the first of its newlines ends the step."""
    with serving(kind=kind, write=run_on) as server:
        role = OpenAIGenerator("toy-base", connection=connection(server.url), server=kind, token_ids=False)
        assert "\n\nProblem:" in role.settings.stop
        whole = ttscale.solve("MINE", 4, generator=role, strategy="majority_vote")
        by_steps = ttscale.solve("MINE", 4, generator=role, verifier=Toy(), strategy="beam")
    assert whole.answer == by_steps.answer == "5"
    assert {one.text.strip() for one in by_steps.candidates} == {whole.text}
    assert all(one.done for one in by_steps.candidates)


def one_text(text: str, seed: int) -> str | None:
    return None if "Answer" in text else "So the Answer: 12"


def too_hot(n: int, body: dict[str, Any]) -> str | None:
    return "400" if body.get("temperature", 1.0) > 1.5 else None


@pytest.mark.parametrize("ids", [True, False])
def test_a_look_at_seeds_that_the_server_refuses_costs_no_question(ids: bool) -> None:
    """The four draws were made and paid for; only the look at temperature 2 is refused."""
    with serving(ids=ids, write=one_text, fault=too_hot, says="temperature must be at most 1.5") as server:
        result = ttscale.solve("q", 4, generator=generator(server.url), strategy="majority_vote")
        assert any(body["temperature"] == 2.0 for body in server.bodies), "it was tried"
    assert result.answer == "12"
    assert len(result.candidates) == 4


def test_a_temperature_left_to_the_server_is_not_raised() -> None:
    with serving(write=one_text) as server:
        ttscale.solve("q", 4, generator=generator(server.url, temperature=None), strategy="majority_vote")
    assert len(server.bodies) == 4
    assert not any("temperature" in body for body in server.bodies)


def test_a_hot_draw_that_shows_no_text_says_nothing_of_seeds() -> None:
    """A model that thinks in secret has shown nothing yet after a few tokens."""

    def answer(path: str, body: dict[str, Any]) -> Any:
        brief = body["max_completion_tokens"] < 100
        message = {"role": "assistant", "content": "" if brief else "The Answer: 12"}
        choice = {"index": 0, "finish_reason": "length" if brief else "stop", "message": message}
        return {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 24}}

    with serving(kind="openai", answer=answer) as server:
        role = generator(server.url, "openai", prompt=PromptFormat())
        result = ttscale.solve("q", 4, generator=role, strategy="majority_vote")
    assert result.answer == "12"
    assert result.cost.sampled_tokens == 5 * 24, "the look is paid for"


def test_a_look_at_the_server_goes_on_for_others_when_the_first_to_ask_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> int:
        role, looks, shown = generator("http://127.0.0.1:9/v1"), [0], asyncio.Event()

        async def look(task: Any) -> str:
            looks[0] += 1
            await shown.wait()
            return "the way"

        monkeypatch.setattr(role, "_find_way", look)
        first = asyncio.create_task(role._way_found(None))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        second = asyncio.create_task(role._way_found(None))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        shown.set()
        assert await second == "the way"  # type: ignore[comparison-overlap]
        await asyncio.sleep(0.01)
        assert not role._looking, "nothing is kept once it has been found"
        return looks[0]

    assert asyncio.run(main()) == 1


LINE = "step 0001\n"


def goes_on(text: str, seed: int) -> str | None:
    """Ten characters a line. Some draws end after two lines, the others never."""
    if "Answer" in text:
        return None
    return "Answer: 5" if text.count("\n") - 1 >= 2 and seed % 2 else f"step {seed % 9:04d}\n"


@pytest.mark.parametrize("kind", ["vllm", "llama.cpp"])
@pytest.mark.parametrize("spare", [0, 1, 9])
def test_a_step_that_ends_where_the_context_does_is_cut_off_alone(kind: Any, spare: int) -> None:
    """A token is a character: four lines and ``spare`` characters fit behind the prompt; an answer takes three."""
    limit = len(PLAIN.template.replace("{question}", "q")) + 4 * len(LINE) + spare
    with serving(kind=kind, ids=True, context=limit, write=goes_on) as server:
        result = ttscale.solve("q", 4, generator=generator(server.url, kind), verifier=Toy(), strategy="beam")
    assert result.answer == "5"
    assert {len(one.text) for one in result.candidates if one.finish == "length"} <= {4 * len(LINE) + spare}


def test_a_prompt_that_does_not_fit_is_an_error_all_the_same() -> None:
    limit = len(PLAIN.template.replace("{question}", "q"))
    with serving(ids=True, context=limit) as server, pytest.raises(RoleError, match="the model reads at most"):
        ttscale.solve("q", 4, generator=generator(server.url), verifier=Toy(), strategy="beam")


@pytest.mark.parametrize("more", ["", "Traceback (most recent call last): " * 50])
@pytest.mark.parametrize(("kind", "ids"), [("sglang", False), ("vllm", True)])
def test_a_server_that_lists_no_length_says_that_the_context_is_full(kind: Any, ids: bool, more: str) -> None:
    """By status 400 with its context length, in as many words as it likes. What is begun is cut off there."""
    words = f"This model's maximum context length is 40 tokens. However, you requested 41 tokens. {more}"

    def full(n: int, body: dict[str, Any]) -> str | None:
        prompt = text_of(body["prompt"]) if ids else body["prompt"]
        return "400" if prompt.count("step ") >= 4 else None

    advice = pytest.warns(AnswerWarning, match="Lower max_new_tokens")
    with serving(kind=kind, ids=ids, write=goes_on, fault=full, says=words) as server, advice as said:
        role = generator(server.url, kind)
        result, _ = [ttscale.solve("q", 4, generator=role, verifier=Toy(), strategy="beam", seed=i) for i in (0, 1)]
        assert server.faulty > 1
    assert len([one for one in said if "Lower max_new_tokens" in str(one.message)]) == 1
    assert result.answer == "5"
    never = serving(kind=kind, ids=ids, fault=lambda n, body: "400", says=words)
    with never as server, pytest.raises(RoleError, match="lower max_new_tokens"):
        ttscale.solve("q", 4, generator=generator(server.url, kind), verifier=Toy(), strategy="beam")
