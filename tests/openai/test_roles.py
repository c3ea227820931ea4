"""Generator and reviser: what is asked, how steps come out of every kind of server, and what gets an error."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

import ttscale
from fake_openai import FakeServer, serving, toy_line
from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError
from ttscale.core.requests import Completion, Revise, Sample, Score
from ttscale.core.types import Candidate, Key, Question, Step
from ttscale.openai import Connection, OpenAIGenerator, OpenAIReviser, Server
from ttscale.prompts.layouts import PromptFormat, chat_turns
from ttscale.verifiers import JudgeVerifier

pytestmark = pytest.mark.filterwarnings("ignore:step search over a server")

PLAIN = PromptFormat(chat=False, template="{question}\n<assistant>")
CHAT = PromptFormat(system=None)
QUESTION = Question("q1", "2 + 2")
ROOT = Candidate(QUESTION, Key((0, "q1")))
STEP_KINDS = ("vllm", "sglang", "transformers", "llama.cpp")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def generator(fake: FakeServer, /, **settings: Any) -> OpenAIGenerator:
    return OpenAIGenerator("toy", fake.url, **{"server": fake.kind, "prompt": PLAIN, "delimiter": "\n", **settings})


def sample(role: OpenAIGenerator, *requests: Sample) -> list[Completion]:
    return asyncio.run(role.sample(list(requests)))


def whole(key: Any = 0, temperature: float | None = None) -> Sample:
    return Sample(ROOT, ROOT.key.child(key), None, temperature)


def seed_of(child: int, bits: int = 63) -> int:
    """The seed of a child of the root, on a server that counts seeds up."""
    return (ROOT.key.seed >> (64 - bits)) + child


def toy_solution(seed: int, start: str = "") -> str:
    text = start
    while (line := toy_line(text, seed)) is not None:
        text += line
    return text[len(start) :]


# A limit on tokens inside a draw.


@pytest.mark.parametrize("ids", [False, True], ids=["text", "ids"])
@pytest.mark.parametrize("kind", STEP_KINDS)
@pytest.mark.parametrize("max_steps", [None, 1, 3])
def test_a_draw_ends_at_its_share_however_many_requests_it_takes(kind: Any, ids: bool, max_steps: int | None) -> None:
    with serving(kind=kind, ids=ids) as server:
        (whole,) = sample(generator(server), Sample(ROOT, ROOT.key.child(0), max_steps))
        for share in (1, 4, 9, 1000):
            before = len(server.bodies)
            (some,) = sample(generator(server), Sample(ROOT, ROOT.key.child(0), max_steps, max_tokens=share))
            limits = [
                body.get("max_tokens", body.get("max_completion_tokens", body.get("n_predict")))
                for body in server.bodies[before:]
            ]
            assert limits[0] == share
            assert all(0 < limit <= share for limit in limits)
            if whole.cost.sampled_tokens <= share:
                assert (some.steps, some.finish) == (whole.steps, whole.finish)
            elif not (kind == "transformers" or (kind == "llama.cpp" and not ids)):  # these hide where a step ended
                assert some.finish != "stop"


def test_a_limit_holds_on_a_server_and_siblings_with_one_share_still_share_a_request() -> None:
    with serving(kind="vllm", ids=True) as server:
        for cap in (5, 60, 200):
            options: Any = {"generator": generator(server), "limit": ttscale.Limit(tokens=cap), "progress": False}
            together = ttscale.solve_all(["a", "b"], 8, **options)
            assert all(result.cost.sampled_tokens <= cap for result in together)
            assert [ttscale.solve_all([q], 8, **options)[0] for q in ("a", "b")] == together
        assert any(body.get("n", 1) > 1 for body in server.bodies)


# What is asked.


def test_a_completion_request_holds_exactly_this() -> None:
    with serving() as server:
        role = generator(server, temperature=0.8, top_p=0.9, max_new_tokens=77, extra={"min_p": 0.1})
        sample(role, whole(), whole(1, temperature=0.0))
    path, body, _ = server.requests[0]
    keys = {request["seed"]: request for request in server.bodies}
    assert path == "/v1/completions"
    assert set(keys) == {seed_of(0), seed_of(1)}
    assert keys[seed_of(0)] == {
        "model": "toy",
        "prompt": "2 + 2\n<assistant>",
        "max_tokens": 77,
        "temperature": 0.8,
        "top_p": 0.9,
        "top_k": -1,
        "repetition_penalty": 1.0,
        "seed": seed_of(0),
        "min_p": 0.1,
    }
    assert keys[seed_of(1)]["temperature"] == 0.0
    assert body["model"] == "toy"


def test_settings_that_are_none_are_left_to_the_server() -> None:
    with serving() as server:
        sample(generator(server, temperature=None, max_new_tokens=None), whole())
    neutral = {"top_p": 1.0, "min_p": 0.0, "top_k": -1, "repetition_penalty": 1.0}
    assert server.bodies[0] == {"model": "toy", "prompt": "2 + 2\n<assistant>", "seed": seed_of(0)} | neutral


def test_few_shot_examples_say_where_a_solution_ends() -> None:
    """The example's layout begins with "Q:", so the next question would."""
    form = PromptFormat(
        chat=False,
        template="Q: {question}\nA:",
        examples=(("1 + 1", "2"),),
        example_template="Q: {question}\nA: {solution}\n\n",
    )
    with serving() as server:
        sample(generator(server, prompt=form), whole())
        sample(generator(server, prompt=replace(form, stop=("END",))), whole())
        sample(generator(server, prompt=replace(form, chat=None)), whole())
    assert [body.get("stop") for body in server.bodies] == [["\nQ:"], ["END"], None]


def test_the_chat_template_gets_what_the_prompt_says_and_the_role_goes_before_it() -> None:
    form = PromptFormat(system=None, chat_template_kwargs={"enable_thinking": False, "level": 1})
    with serving() as server:
        sample(generator(server, prompt=form), whole())
        sample(generator(server, prompt=form, chat_template_kwargs={"level": 2}), whole())
    sent = [body["chat_template_kwargs"] for body in server.bodies]
    assert sent == [{"enable_thinking": False, "level": 1}, {"enable_thinking": False, "level": 2}]


@pytest.mark.parametrize(
    ("kind", "neutral"),
    [
        ("vllm", {"top_p": 1.0, "min_p": 0.0, "top_k": -1, "repetition_penalty": 1.0}),
        ("sglang", {"top_p": 1.0, "min_p": 0.0, "top_k": -1, "repetition_penalty": 1.0}),
        ("llama.cpp", {"top_p": 1.0, "min_p": 0.0, "top_k": 0, "repeat_penalty": 1.0}),
        ("openai", {"top_p": 1.0}),
        ("generic", {}),
    ],
)
def test_a_server_samples_from_the_model_itself_unless_told_otherwise(kind: Any, neutral: dict[str, Any]) -> None:
    """Its own defaults, or the checkpoint's, would mean something else on each engine."""
    with serving(kind="vllm") as server:
        sample(generator(server, server=kind), whole())
        sample(generator(server, server=kind, server_defaults=True), whole())
        sample(generator(server, server=kind, top_p=0.5, extra={"top_k": 7}), whole())
    names = {"top_p", "min_p", "top_k", "repetition_penalty", "repeat_penalty"}
    sent = [{name: value for name, value in body.items() if name in names} for body in server.bodies]
    assert sent == [neutral, {}, neutral | {"top_p": 0.5, "top_k": 7}]


@pytest.mark.parametrize(
    ("kind", "extra", "last"),
    [
        ("vllm", {"continue_final_message": True, "add_generation_prompt": False}, {}),
        ("llama.cpp", {}, {}),
        (Server("m", continues="prefix"), {}, {"prefix": True}),
    ],
)
def test_a_chat_continues_the_partial_message_of_the_assistant(kind: Any, extra: Any, last: Any) -> None:
    prefix = ROOT.extend(ROOT.key.child(0), [Step("step 1 7\n")], "open")
    with serving(kind="vllm") as server:
        role = generator(server, server=kind, prompt=CHAT)
        sample(role, Sample(prefix, Key((1,)), 1))
    body = server.bodies[0]
    assert server.requests[0][0] == "/v1/chat/completions"
    assert body["messages"] == [
        {"role": "user", "content": "2 + 2"},
        {"role": "assistant", "content": "step 1 7\n", **last},
    ]
    assert {name: body[name] for name in extra} == extra
    assert "continue_final_message" in body or not extra


def test_openai_itself_gets_its_own_name_for_the_limit() -> None:
    with serving(kind="openai") as server:
        sample(generator(server, prompt=CHAT), whole())
    assert "max_tokens" not in server.bodies[0]
    assert server.bodies[0]["max_completion_tokens"] == 2048


def test_a_chat_template_can_be_laid_out_on_this_side() -> None:
    def template(messages: Sequence[Any]) -> str:
        return "".join(f"[{m['role']}]{m['content']}" for m in messages) + "<assistant>"

    prefix = ROOT.extend(ROOT.key.child(0), [Step("step 1 7\n")], "open")
    with serving() as server:
        sample(generator(server, prompt=CHAT, template=template), Sample(prefix, Key((1,)), 1))
    assert server.requests[0][0] == "/v1/completions"
    assert server.bodies[0]["prompt"] == "[user]2 + 2<assistant>step 1 7\n"


@pytest.mark.filterwarnings("ignore:toy at .* gave one text")
@pytest.mark.parametrize(
    ("kind", "bits"), [("vllm", 63), ("llama.cpp", 31), ("sglang", 31), (Server("x", seed_bits=0), 0)]
)
def test_seeds_are_the_keys_and_fit_the_server(kind: Any, bits: int) -> None:
    with serving() as server:
        sample(generator(server, server=kind), *[whole(i) for i in range(5)])
    counted = kind in ("vllm", "llama.cpp")  # the parent's seed, and one more for each child
    own = [seed_of(i, bits) if counted else ROOT.key.child(i).seed >> (63 - bits) for i in range(5)]
    expected: list[int | None] = [*own] if bits else [None] * 5
    assert sorted(body.get("seed", 0) or 0 for body in server.bodies[:5]) == sorted(seed or 0 for seed in expected)
    assert len(set(expected)) == (5 if bits else 1)


def test_the_kind_of_server_is_found_out_once() -> None:
    for kind, found in (
        ("vllm", "vllm"),
        ("sglang", "sglang"),
        ("llama.cpp", "llama.cpp"),
        ("transformers", "generic"),
    ):
        with serving(kind=kind) as server:
            role = generator(server, server="auto")
            sample(role, whole(), whole(1))
            assert asyncio.run(role._server()).name == found
            assert len(server.requests) == 2


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}, {"json_schema": SCHEMA}),
        ({"type": "json_object"}, {"json_schema": {}}),
        ({"type": "json_object", "schema": SCHEMA}, {"json_schema": SCHEMA}),
        ({"type": "text"}, {}),
    ],
)
def test_llama_cpps_own_endpoint_is_told_of_a_form_in_its_own_words(form: Any, told: Any) -> None:
    """It knows ``json_schema`` and no ``response_format``, which is of its chats."""
    with serving(kind="llama.cpp", ids=True) as server:
        sample(generator(server, prompt=CHAT, extra={"response_format": form}), whole())
    assert server.requests[0][0] == "/completion"
    found = {name: server.bodies[0][name] for name in ("json_schema", "response_format") if name in server.bodies[0]}
    assert found == told


def test_template_arguments_among_the_extra_fields_reach_the_template() -> None:
    with serving(ids=True) as server:
        sample(generator(server, prompt=CHAT, extra={"chat_template_kwargs": {"thinking": False}, "top_k": 3}), whole())
    (laid_out,) = [body for body in server.helped if "messages" in body]
    assert laid_out["chat_template_kwargs"] == {"thinking": False}
    assert server.bodies[0]["top_k"] == 3
    assert "chat_template_kwargs" not in server.bodies[0]


async def nap(seconds: float) -> None:
    await asyncio.sleep(0)


def unknown(connection: Connection) -> OpenAIGenerator:
    """A generator that has to find out what its server is."""
    return OpenAIGenerator("toy", connection=connection, prompt=PLAIN, delimiter="\n")


@pytest.mark.parametrize(("failing", "status"), [(3, "503"), (1, "429")])
def test_a_server_in_trouble_is_not_taken_for_another_kind(failing: int, status: str) -> None:
    """vLLM takes seeds of 63 bits and neutral penalties; one that is still loading is vLLM all the same."""
    with serving(listing=lambda n: status if n < failing else None) as server, serving() as well:
        shared = Connection(server.url, sleep=nap)
        drawn = [sample(unknown(shared), whole()), sample(unknown(shared), whole())]
        assert drawn == [sample(unknown(Connection(well.url)), whole())] * 2
        assert server.bodies == well.bodies * 2
        assert server.looks == failing + 1


def test_trouble_that_lasts_is_an_error_and_asked_about_again() -> None:
    with serving(listing=lambda n: "503" if n < 3 else None) as server:
        role = unknown(Connection(server.url, sleep=nap, retries=2))
        with pytest.raises(RoleError, match=r"status 503.*name the kind of server \(server='vllm'"):
            sample(role, whole())
        assert not server.requests
        sample(role, whole())
        assert server.bodies[0]["repetition_penalty"] == 1.0


@pytest.mark.parametrize(("status", "looks"), [("404", 1), ("405", 1), ("501", 1), ("401", 2), ("403", 2), ("html", 3)])
def test_a_server_that_lists_nothing_is_generic(status: str, looks: int) -> None:
    """That there is no list is remembered; that a key may not see it is not."""
    with serving(listing=lambda n: status) as server:
        shared = Connection(server.url, sleep=nap)
        for _ in range(2):
            role = unknown(shared)
            sample(role, whole(), whole(1))
            assert role._given_server is not None
            assert role._given_server.name == "generic"
    assert server.looks == looks


def test_without_settings_the_model_names_its_family() -> None:
    with serving() as server:
        role = OpenAIGenerator("Qwen/Qwen2.5-7B-Instruct", server.url)
        sample(role, whole())
    assert server.requests[0][0] == "/v1/chat/completions"
    assert server.bodies[0]["messages"][0]["content"].startswith("Please reason step by step")


# What comes back.


@pytest.mark.parametrize("kind", STEP_KINDS)
@pytest.mark.parametrize("prompt", [PLAIN, CHAT])
def test_whole_solutions_are_cut_into_steps(kind: str, prompt: PromptFormat) -> None:
    with serving(kind=kind) as server:
        (completion,) = sample(generator(server, prompt=prompt, temperature=0.0), whole())
    text = toy_solution(0)
    assert [step.text for step in completion.steps] == text.splitlines(keepends=True)
    assert completion.finish == "stop"
    cached = 2 if kind == "vllm" else 0
    assert completion.cost.sampled_tokens == len(text.split()) + 1
    assert completion.cost.cached_tokens == cached
    assert completion.cost.prompt_tokens + cached > 2


@pytest.mark.parametrize(
    ("kind", "chat"),
    [pair for pair in itertools.product(STEP_KINDS, [False, True]) if pair != ("transformers", True)],  # cannot
)
@pytest.mark.parametrize("max_steps", [1, 2, 5])
def test_step_by_step_writes_what_one_request_would(kind: str, chat: bool, max_steps: int) -> None:
    """At temperature 0 the toy model's text does not depend on where it is interrupted."""
    with serving(kind=kind) as server:
        role = generator(server, prompt=CHAT if chat else PLAIN, temperature=0.0)
        candidate, rounds = ROOT, 0
        while candidate.finish == "open":
            (completion,) = sample(role, Sample(candidate, ROOT.key.child(rounds), max_steps))
            assert len(completion.steps) == max_steps or completion.finish == "stop"
            candidate = candidate.extend(ROOT.key.child(rounds), completion.steps, completion.finish)
            rounds += 1
    text = toy_solution(0)
    assert candidate.text == text
    assert candidate.finish == "stop"
    assert [step.text for step in candidate.steps] == text.splitlines(keepends=True)
    if kind != "llama.cpp":
        assert all(body["stop"] == ["\n"] for body in server.bodies)
        assert len(server.bodies) == len(candidate.steps)
    else:
        assert all("stop" not in body for body in server.bodies)
        assert len(server.bodies) == rounds


def test_each_step_of_a_request_has_noise_of_its_own() -> None:
    with serving() as server:
        sample(generator(server), Sample(ROOT, ROOT.key.child(0), 3))
    seeds = [body["seed"] for body in server.bodies]
    assert len(seeds) >= 2
    assert seeds[0] == seed_of(0)
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("kind", STEP_KINDS)
def test_the_end_of_a_step_and_of_the_solution_are_told_apart(kind: str) -> None:
    """Even when the solution's last character is the delimiter."""

    def write(text: str, seed: int) -> str | None:
        return {"": "a\n", "a\n": "b\n"}.get(text)

    with serving(kind=kind, write=write) as server:
        role = generator(server)
        (first,) = sample(role, Sample(ROOT, Key((1,)), 1))
        prefix = ROOT.extend(Key((1,)), first.steps, first.finish)
        (second,) = sample(role, Sample(prefix, Key((2,)), 1))
        last = prefix.extend(Key((2,)), second.steps, second.finish)
        (third,) = sample(role, Sample(last, Key((3,)), 1))
    assert (first.steps, first.finish) == ((Step("a\n"),), "open")
    assert second.steps == (Step("b\n"),)
    # A server that is asked to write to the end says in one reply that there is nothing more.
    assert (second.finish, third.steps, third.finish) == ("stop" if kind == "llama.cpp" else "open", (), "stop")


@pytest.mark.parametrize("kind", STEP_KINDS)
@pytest.mark.parametrize("max_steps", [None, 1])
def test_a_cut_off_solution_is_not_finished(kind: str, max_steps: int | None) -> None:
    with serving(kind=kind, write=lambda text, seed: "word ") as server:
        (completion,) = sample(generator(server, max_new_tokens=5), Sample(ROOT, Key((1,)), max_steps))
    assert completion == Completion((Step("word " * 5),), "length", completion.cost)


@pytest.mark.parametrize("kind", STEP_KINDS)
def test_a_limit_right_after_a_step_leaves_it_open(kind: str) -> None:
    with serving(kind=kind, write=lambda text, seed: "one two\n") as server:
        (completion,) = sample(generator(server, max_new_tokens=2), Sample(ROOT, Key((1,)), 1))
    assert completion == Completion((Step("one two\n"),), "open", completion.cost)


@pytest.mark.parametrize("kind", STEP_KINDS)
@pytest.mark.parametrize("max_steps", [None, 1, 9])
def test_stop_strings_of_the_prompt_end_the_solution(kind: str, max_steps: int | None) -> None:
    prompt = PromptFormat(chat=False, template="{question}\n<assistant>", stop=("Problem:",))
    table = {"": "a\n", "a\n": "b\n", "a\nb\n": "Problem: next\n", "a\nb\nProblem: next\n": "c\n"}
    with serving(kind=kind, write=lambda text, seed: table.get(text)) as server:
        role = generator(server, prompt=prompt)
        candidate = ROOT
        while candidate.finish == "open":
            (completion,) = sample(role, Sample(candidate, ROOT.key.child(len(candidate.steps)), max_steps))
            candidate = candidate.extend(candidate.key, completion.steps, completion.finish)
    assert (candidate.text, candidate.finish) == ("a\nb\n", "stop")


@pytest.mark.parametrize("kind", STEP_KINDS)
@pytest.mark.parametrize("token_ids", [True, False])
@pytest.mark.parametrize("max_steps", [None, 1, 9])
def test_a_stop_string_that_is_the_delimiter_ends_the_solution(
    kind: str, token_ids: bool, max_steps: int | None
) -> None:
    table = {"": "a\n", "a\n": "b\n"}
    with serving(kind=kind, write=lambda text, seed: table.get(text)) as server:
        role = generator(server, prompt=replace(PLAIN, stop=("\n",)), token_ids=token_ids)
        (completion,) = sample(role, Sample(ROOT, ROOT.key.child(0), max_steps))
    assert ([step.text for step in completion.steps], completion.finish) == (["a"], "stop")


@pytest.mark.parametrize("kind", ["vllm", "sglang"])
def test_a_chat_template_that_trims_the_prefix_does_not_make_blank_steps(kind: str) -> None:
    def write(text: str, seed: int) -> str | None:
        lines = ["a\n\n", "b\n\n", "Answer: 1"]
        return next((line for i, line in enumerate(lines) if text == "".join(lines[:i])), None)

    with serving(kind=kind, trims=True, delimiter="\n\n", write=write) as server:
        role = generator(server, prompt=CHAT, delimiter="\n\n")
        candidate = ROOT
        for round_ in range(9):
            (completion,) = sample(role, Sample(candidate, ROOT.key.child(round_), 1))
            candidate = candidate.extend(candidate.key, completion.steps, completion.finish)
            if candidate.finish != "open":
                break
    assert [step.text for step in candidate.steps] == ["a\n\n", "b\n\n", "Answer: 1"]
    assert candidate.finish == "stop"


def test_a_stop_string_that_began_in_the_prefix_is_seen() -> None:
    """transformers looks for it in the end of the prompt too; the reply's own text does not hold it."""

    class Transformers(FakeServer):
        def sample(self, text: str, seed: int, stops: list[str], limit: int | None) -> Any:
            return ("\n" if stops else "\nb\n\nc"), "stop", None

    server = Transformers(kind="transformers").start()
    try:
        prefix = ROOT.extend(Key((1,)), [Step("a\n")], "open")
        (completion,) = sample(generator(server, delimiter="\n\n"), Sample(prefix, Key((2,)), 1))
    finally:
        server.stop()
    assert (completion.steps, completion.finish) == ((Step("\nb\n\n"),), "open")


def test_without_a_delimiter_the_whole_solution_is_one_step() -> None:
    with serving() as server:
        role = generator(server, delimiter=None, temperature=0.0)
        expected = (Step(toy_solution(0)),)
        assert [(c.steps, c.finish) for c in sample(role, whole(), Sample(ROOT, Key((5,)), 1))] == [
            (expected, "stop"),
            (expected, "stop"),
        ]


def test_an_empty_reply_is_a_solution_without_steps() -> None:
    for kind in STEP_KINDS:
        with serving(kind=kind, write=lambda text, seed: None) as server:
            for max_steps in (None, 1):
                (completion,) = sample(generator(server), Sample(ROOT, Key((1,)), max_steps))
                assert (completion.steps, completion.finish) == ((), "stop")


def test_replies_come_in_the_order_of_the_requests_whatever_fails() -> None:
    with serving() as server:
        expected = sample(generator(server), *[whole(i) for i in range(40)])
    with serving(fault=lambda n, body: "500" if n % 3 == 0 else "truncated" if n % 7 == 0 else None) as server:

        async def nap(seconds: float) -> None:
            await asyncio.sleep(0)

        role = OpenAIGenerator(
            "toy", connection=Connection(server.url, sleep=nap), server="vllm", prompt=PLAIN, delimiter="\n"
        )
        assert sample(role, *[whole(i) for i in range(40)]) == expected
    assert server.faulty > 20
    assert len({completion.steps for completion in expected}) > 10


@pytest.mark.parametrize(("kind", "chat"), [("vllm", False), ("vllm", True), ("llama.cpp", False)])
def test_log_probabilities_reach_the_steps(kind: str, chat: bool) -> None:
    with serving(kind=kind) as server:
        role = generator(server, logprobs=True, prompt=CHAT if chat else PLAIN)
        for request in (whole(), Sample(ROOT, Key((1,)), 1)):
            (completion,) = sample(role, request)
            step = completion.steps[0]
            words = step.text.split(" ")
            assert step.drawn == len(words)
            assert step.logprob == pytest.approx(-sum(len(w) for w in [words[0] + " ", words[1] + " ", words[2]]) / 8)
    assert server.bodies[0]["logprobs"] == (True if chat else 1)


def test_usage_that_is_not_reported_is_said_once() -> None:
    with serving(usage=False) as server:
        role = generator(server)
        with pytest.warns(RuntimeWarning, match="reports no token usage"):
            completions = sample(role, whole(), whole(1))
        assert sample(role, whole(2))[0].cost == Cost(requests=1)
    assert [completion.cost for completion in completions] == [Cost(requests=1)] * 2


@pytest.mark.parametrize("prompt", [PLAIN, CHAT])
def test_half_a_character_in_a_question_is_replaced_as_no_server_takes_it(prompt: PromptFormat) -> None:
    """Python makes lone surrogates of bytes that are no UTF-8, JSON of half an escaped pair."""
    root = Candidate(Question("q1", "a\udc80b"), Key((0,)))
    attempt = Candidate(root.question, Key((1,)), (Step("c\ud800d"),), "stop")
    with serving() as server:
        settings: Any = {"server": "vllm", "prompt": prompt, "delimiter": "\n"}
        asyncio.run(OpenAIGenerator("toy", server.url, **settings).sample([Sample(root, root.key.child(0))]))
        asyncio.run(OpenAIReviser("toy", server.url, **settings).revise([Revise((attempt,), root.key.child(1))]))
    for body in server.bodies:
        assert "a\ufffdb" in str(body)
    assert "c\ufffdd" in str(server.bodies[1])


# A first token, for judges.


@pytest.mark.parametrize("chat", [False, True])
def test_choose_reads_how_likely_each_option_is(chat: bool) -> None:
    def answer(path: str, body: dict[str, Any]) -> Any:
        table = {"Yes": 0.5, " yes": 0.125, "No": 0.25, "Maybe": 0.0625}
        if chat:
            top = [{"token": token, "logprob": math.log(p)} for token, p in table.items()]
            logprobs: Any = {"content": [{"token": "Yes", "logprob": -0.7, "top_logprobs": top}]}
        else:
            logprobs = {"top_logprobs": [{token: math.log(p) for token, p in table.items()}]}
        choice = {"message": {"content": "Yes"}, "text": "Yes", "finish_reason": "length", "logprobs": logprobs}
        return {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}

    with serving(answer=answer) as server:
        role = generator(server, prompt=CHAT if chat else PLAIN)
        got = asyncio.run(role.choose([whole(), whole(1)], ("Yes", "No")))
    assert got is not None
    assert [probabilities for probabilities, _ in got] == [pytest.approx((0.625, 0.25))] * 2
    assert got[0][1] == Cost(sampled_tokens=1, prompt_tokens=9, requests=1)
    assert server.bodies[0]["max_tokens"] == 1
    wanted = {"logprobs": True, "top_logprobs": 20} if chat else {"logprobs": 5}
    assert {name: server.bodies[0][name] for name in wanted} == wanted


@pytest.mark.parametrize("kind", ["vllm", "openai"])
def test_a_judge_votes_on_a_server_that_refuses_log_probabilities(kind: Any) -> None:
    """Many say 400 to ``logprobs``, and nothing in what they list says so before."""

    def refuses(n: int, body: dict[str, Any]) -> str | None:
        return "400" if "logprobs" in body else None

    with serving(kind=kind, fault=refuses, write=lambda text, seed: None if "Yes" in text else "Yes") as server:
        judge = JudgeVerifier(generator(server), votes=None)
        with pytest.warns(RuntimeWarning, match="takes votes instead, which is dearer"):
            (verdict,) = asyncio.run(judge.score([Score(Candidate(QUESTION, Key((0, 1)), (Step("2"),), "stop"))]))
    assert verdict.step_scores == (1.0,)
    assert ["logprobs" in body for body in server.bodies] == [True] + [False] * 8


def test_a_judge_does_not_vote_instead_because_a_server_is_in_trouble() -> None:
    """The way a candidate is judged must not depend on the weather."""
    with serving(kind="vllm", fault=lambda n, body: "500" if "logprobs" in body else None) as server:
        once = Connection(server.url, retries=0)
        judge = JudgeVerifier(OpenAIGenerator("toy", connection=once, server="vllm", prompt=PLAIN, delimiter="\n"))
        with pytest.raises(RoleError, match="no usable reply"):
            asyncio.run(judge.score([Score(Candidate(QUESTION, Key((0, 1)), (Step("2"),), "stop"))]))


def test_choose_is_none_where_the_server_shows_no_probabilities() -> None:
    with serving(kind="transformers") as server:
        assert asyncio.run(generator(server).choose([whole()], ("Yes", "No"))) is None
        assert server.requests == []
    silent = serving(kind="vllm", answer=lambda path, body: {"choices": [{"text": "Yes"}]})
    with silent as server, pytest.warns(RuntimeWarning, match="returned none"):
        assert asyncio.run(generator(server).choose([whole()], ("Yes", "No"))) is None


# Revisions.


def test_a_revision_shows_the_attempts_and_is_a_whole_solution() -> None:
    attempts = [Candidate(QUESTION, Key((i,)), (Step(f"Answer: {i}\n"),), "stop") for i in range(3)]
    form = PromptFormat(system=None, revision_request="Again.", max_attempts=2)
    with serving() as server:
        role = OpenAIReviser("toy", server.url, server="vllm", prompt=form, delimiter="\n")
        replies = asyncio.run(role.revise([Revise((ROOT,), Key((8,))), Revise(tuple(attempts), Key((9,)))]))
    assert all(reply.finish == "stop" and reply.steps for reply in replies)
    asked = {body["seed"]: body["messages"] for body in server.bodies}
    assert asked[Key((8,)).seed] == chat_turns(form, QUESTION.prompt)
    assert asked[Key((9,)).seed] == [
        {"role": "user", "content": "2 + 2"},
        {"role": "assistant", "content": "Answer: 1"},
        {"role": "user", "content": "Again."},
        {"role": "assistant", "content": "Answer: 2"},
        {"role": "user", "content": "Again."},
    ]


# Errors.


@pytest.mark.parametrize("kind", ["transformers", "openai", "generic"])
def test_a_chat_that_cannot_be_continued_fails_before_a_token_is_spent(kind: str) -> None:
    with serving() as server:
        role = generator(server, server=kind, prompt=CHAT)
        with pytest.raises(RoleError, match=r"cannot continue a partial assistant message \(question 'q1', key 1\)"):
            sample(role, Sample(ROOT, Key((1,)), 1))
        prefix = ROOT.extend(Key((1,)), [Step("a\n")], "open")
        with pytest.raises(RoleError, match="api='completions'"):
            sample(role, Sample(prefix, Key((1,))))
        assert server.requests == []
        assert sample(role, whole())[0].finish == "stop"


def test_a_server_that_is_not_what_it_was_called_is_an_error() -> None:
    with serving(kind="llama.cpp") as server, pytest.raises(RoleError, match="does not say which stop string"):
        sample(generator(server, server="vllm"), Sample(ROOT, Key((1,)), 1))


def test_log_probabilities_that_do_not_come_are_an_error() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    answer = {"choices": [{"text": "a", "finish_reason": "stop"}], "usage": usage}
    with serving(answer=lambda path, body: answer) as server, pytest.raises(RoleError, match="no log-probabilities"):
        sample(generator(server, logprobs=True), whole())


def test_the_first_failure_is_raised_as_it_is() -> None:
    with serving(fault=lambda n, body: "404") as server, pytest.raises(RoleError, match="question 'q1', key 0/q1/"):
        sample(generator(server), *[whole(i) for i in range(5)])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": ""}, "model must be the name"),
        ({"api": "responses"}, 'api must be "chat" or "completions"'),
        ({"server": "vlm"}, "unknown server 'vlm'; choose one of auto, generic"),
        ({"temperature": -1.0}, "temperature must be a finite number"),
        ({"temperature": float("nan")}, "temperature must be a finite number"),
        ({"max_new_tokens": 0}, "max_new_tokens must be a positive integer or None"),
        ({"delimiter": ""}, "delimiter must be a text, or None"),
        ({"delimiter": 5}, "delimiter must be a text, or None .*; got 5"),
        ({"top_p": "0.9"}, "top_p must be a number above 0 and up to 1, or None; got '0.9'"),
        ({"top_p": 1.5}, "top_p must be a number above 0 and up to 1"),
        ({"api": "chat", "template": str}, "template lays a chat out as plain text"),
        ({"server": "transformers", "logprobs": True}, "returns no log-probabilities"),
        (
            {"api_key": "k", "connection": Connection("http://h/v1")},
            "base_url, urls, weights and api_key belong to the Connection",
        ),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    given = {"model": "toy", **settings}
    if "connection" not in given:
        given["base_url"] = "http://127.0.0.1:9/v1"
    with pytest.raises(ValueError, match=message):
        OpenAIGenerator(**given)


def test_the_repr_names_model_and_address_and_no_key() -> None:
    role = OpenAIGenerator("toy", "http://127.0.0.1:9/v1", api_key="sk-secret")
    assert repr(role) == "OpenAIGenerator('toy', 'http://127.0.0.1:9/v1')"
    assert role.name == "toy"
