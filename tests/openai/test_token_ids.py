"""Step search in token ids, several draws in one request, and what is said where a server can do neither."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest

import ttscale
from fake_openai import EOS, TWO_NEWLINES, FakeServer, serving, text_of, tokens_of, toy_line
from ttscale import Beam, BestOfN, Candidate, Key, MajorityVote, Question, Sample, Step
from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError
from ttscale.core.requests import Completion, Revise
from ttscale.openai import Connection, OpenAIGenerator, OpenAIReviser
from ttscale.openai.token_ids import _read_native
from ttscale.prompts.layouts import FOUR_SHOT, PromptFormat
from ttscale.verifiers import FunctionVerifier

PLAIN = PromptFormat(chat=False, template="{question}\n<assistant>")
CHAT = PromptFormat(system=None)
QUESTION = Question("q1", "2 + 2")
ROOT = Candidate(QUESTION, Key((0, "q1")))
USAGE = {"prompt_tokens": 1, "completion_tokens": 1}
ENGINES = ("vllm", "llama.cpp")


def generator(fake: FakeServer, /, **settings: Any) -> OpenAIGenerator:
    return OpenAIGenerator("toy", fake.url, **{"server": fake.kind, "prompt": PLAIN, "delimiter": "\n", **settings})


def sample(role: OpenAIGenerator, *requests: Sample) -> list[Completion]:
    return asyncio.run(role.sample(list(requests)))


def children(n: int, max_steps: int | None = None, temperature: float | None = None) -> list[Sample]:
    return [Sample(ROOT, ROOT.key.child(i), max_steps, temperature) for i in range(n)]


def by_steps(role: OpenAIGenerator, rounds: int = 20, temperature: float | None = 0.0) -> Candidate:
    """A beam of one."""
    candidate = ROOT
    for round_ in range(rounds):
        (reply,) = sample(role, Sample(candidate, candidate.key.child(round_), 1, temperature))
        candidate = candidate.extend(candidate.key.child(round_), reply.steps, reply.finish)
        if reply.finish != "open":
            break
    return candidate


def toy_solution(seed: int, start: str = "") -> str:
    text = start
    while (line := toy_line(text, seed)) is not None:
        text += line
    return text[len(start) :]


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("prompt", [PLAIN, CHAT])
def test_a_step_search_goes_on_from_the_very_tokens_that_were_drawn(kind: str, prompt: PromptFormat) -> None:
    with serving(kind=kind, ids=True) as server:
        found = by_steps(generator(server, prompt=prompt))
    assert found.text == toy_solution(0)
    assert found.finish == "stop"
    assert [text_of(list(step.tokens)) for step in found.steps] == [step.text for step in found.steps]
    assert all(path in ("/v1/completions", "/completion") for path, _, _ in server.requests)
    sent = [body["prompt"] for body in server.bodies]
    for before, after, step in zip(sent, sent[1:], found.steps, strict=False):
        assert after == [*before, *step.tokens]


@pytest.mark.parametrize("kind", ENGINES)
def test_two_tokens_that_the_tokenizer_would_join_go_back_as_two(kind: str) -> None:
    """The model goes astray where it reads one token for two newlines, which it never writes itself."""
    lines = ["a\n\n", "b\n\n", "Answer: 1"]

    def write(text: str, seed: int) -> str | None:
        return next((line for n, line in enumerate(lines) if text == "".join(lines[:n])), None)

    with serving(kind=kind, ids=True, write=write, delimiter="\n\n") as server:
        found = by_steps(generator(server, delimiter="\n\n"))
    assert found.text == "".join(lines)
    assert [step.text for step in found.steps] == lines
    assert all(TWO_NEWLINES not in step.tokens for step in found.steps)
    assert all(TWO_NEWLINES not in body["prompt"] for body in server.bodies)


@pytest.mark.parametrize("kind", ENGINES)
def test_a_token_that_says_more_than_the_delimiter_stays_whole(kind: str) -> None:
    """As on the local backend: tokens are never cut, and the rest of its text stays with the step."""
    lines = ["a\n\n", "b\n\n", "Answer: 1"]

    def write(text: str, seed: int) -> str | None:
        return next((line for n, line in enumerate(lines) if text == "".join(lines[:n])), None)

    with serving(kind=kind, ids=True, wide=True, write=write) as server:
        found = by_steps(generator(server))
    assert [step.text for step in found.steps] == lines
    assert [step.tokens[-1] for step in found.steps] == [TWO_NEWLINES, TWO_NEWLINES, ord("1") + 10]
    assert EOS not in found.tokens


@pytest.mark.parametrize("kind", ENGINES)
def test_a_blank_line_goes_with_what_follows_and_a_blank_end_with_nothing(kind: str) -> None:
    table = {"": "\n", "\n": "\n", "\n\n": "a\n", "\n\na\n": "\n"}
    with serving(kind=kind, ids=True, write=lambda text, seed: table.get(text)) as server:
        role = generator(server)
        (first,) = sample(role, Sample(ROOT, Key((0, "a")), 1))
        prefix = ROOT.extend(Key((0, "a")), first.steps, first.finish)
        (second,) = sample(role, Sample(prefix, Key((0, "b")), 1))
    assert [step.text for step in first.steps] == ["\n\na\n"]
    assert text_of(list(first.steps[0].tokens)) == "\n\na\n"
    assert first.finish == "open"
    assert (second.steps, second.finish) == ((), "stop")


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("max_steps", [None, 1, 9])
def test_a_stop_string_across_two_steps_ends_the_solution(kind: str, max_steps: int | None) -> None:
    form = PromptFormat(chat=False, template="{question}\n<assistant>", stop=("\n\nProblem:",))
    table = {"": "a\n", "a\n": "\n", "a\n\n": "Problem: next\n"}
    with serving(kind=kind, ids=True, write=lambda text, seed: table.get(text)) as server:
        role = generator(server, prompt=form)
        (first,) = sample(role, Sample(ROOT, Key((0, "a")), max_steps))
        rest = first
        if first.finish == "open":
            (rest,) = sample(role, Sample(ROOT.extend(Key((0, "a")), first.steps, "open"), Key((0, "b")), 1))
    assert first.steps[0].text.rstrip() == "a"
    assert rest.finish == "stop"
    assert "Problem" not in "".join(step.text for step in (*first.steps, *rest.steps))


@pytest.mark.parametrize("kind", ENGINES)
def test_draws_of_one_prefix_share_a_request_and_are_what_they_would_be_alone(kind: str) -> None:
    with serving(kind=kind, ids=True) as server:
        among = sample(generator(server), *children(10))
        requests = len(server.requests)
        alone = [sample(generator(server), request)[0] for request in children(10)]
    assert requests == (1 if kind == "vllm" else 3)  # the stand-in for llama.cpp has four slots
    assert [one.steps for one in among] == [one.steps for one in alone]
    assert [one.cost.sampled_tokens for one in among] == [one.cost.sampled_tokens for one in alone]
    assert len({one.steps for one in among}) > 1
    total = sum((one.cost for one in among), Cost())
    length = len(tokens_of("2 + 2\n<assistant>", wide=True))
    assert total.requests == requests
    assert total.prompt_tokens + total.cached_tokens == requests * length
    assert total.resent_tokens == (requests - 1) * length


def test_siblings_that_are_not_next_to_each_other_have_the_seeds_they_would_have_together() -> None:
    with serving(kind="vllm", ids=True) as server:
        together = sample(generator(server), *children(6))
        some = sample(generator(server), *[children(6)[i] for i in (5, 0, 3, 2)])
    assert [one.steps for one in some] == [together[i].steps for i in (5, 0, 3, 2)]
    assert sorted(body.get("n", 1) for body in server.bodies) == [1, 1, 2, 6]


@pytest.mark.parametrize("kind", ENGINES)
def test_whole_strategies_run_in_token_ids(kind: str) -> None:
    rules = FunctionVerifier(lambda candidate: 0.5 + len(candidate.text) % 7 / 20)
    with serving(kind=kind, ids=True) as server:
        for strategy in (
            MajorityVote(),
            BestOfN(),
            Beam(width=2),
            ttscale.DVTS(width=2),
            ttscale.Lookahead(1, width=2),
        ):
            role = generator(server)
            result = ttscale.solve("q", 8, generator=role, verifier=rules, strategy=strategy)
            again = ttscale.solve("q", 8, generator=generator(server), verifier=rules, strategy=strategy)
            assert result.candidates == again.candidates
            assert result.cost.requests < result.cost.steps
            assert result.answer is not None


def test_a_revision_is_laid_out_and_drawn_in_token_ids() -> None:
    attempts = tuple(Candidate(QUESTION, Key((0, i)), (Step(f"Answer: {i}\n"),), "stop") for i in range(2))
    form = PromptFormat(system=None, revision_request="Again.")
    with serving(ids=True) as server:
        role = OpenAIReviser("toy", server.url, server="vllm", prompt=form, delimiter="\n")
        (reply,) = asyncio.run(role.revise([Revise(attempts, Key((9, "x")))]))
    assert reply.finish == "stop"
    wanted = "<user>2 + 2</><assistant>Answer: 0</><user>Again.</><assistant>Answer: 1</><user>Again.</><assistant>"
    assert text_of(server.bodies[0]["prompt"]) == wanted


@pytest.mark.parametrize("kind", ENGINES)
def test_log_probabilities_come_with_the_tokens(kind: str) -> None:
    with serving(kind=kind, ids=True, write=lambda text, seed: {"": "a\n", "a\n": "b"}.get(text)) as server:
        (whole,) = sample(generator(server, logprobs=True), Sample(ROOT, Key((0, "a"))))
        (step,) = sample(generator(server, logprobs=True), Sample(ROOT, Key((0, "a")), 1))
    assert [one.text for one in whole.steps] == ["a\n", "b"]
    assert all(one.logprob is not None and one.logprob < 0 for one in (*whole.steps, *step.steps))
    assert step.steps[0].text == "a\n"
    assert step.finish == "open"


@pytest.mark.parametrize("max_steps", [1, None])
def test_a_step_without_its_log_probabilities_is_an_error_and_not_one_of_probability_1(max_steps: int | None) -> None:
    """As from a proxy that takes them out."""
    with serving(kind="vllm", ids=True) as server:
        role = generator(server, logprobs=True, extra={"logprobs": None})
        with pytest.raises(RoleError, match="returned no log-probabilities"):
            sample(role, Sample(ROOT, Key((0, "a")), max_steps))


def test_log_probabilities_of_llama_cpp_that_are_not_whole_count_as_none() -> None:
    """The rest would be taken for those of other tokens."""
    records = [{"token": "a", "logprob": None}, {"token": "b", "logprob": -1.0}]
    draw = {"content": "ab", "tokens": [1, 2], "stop_type": "eos", "tokens_evaluated": 1, "tokens_predicted": 2}
    (written,) = _read_native({**draw, "completion_probabilities": records}, 1)
    assert written.tokens == ()


def test_steps_that_came_without_tokens_are_tokenised() -> None:
    prefix = ROOT.extend(ROOT.key.child(0), [Step("step 1 7\n\n")], "open")
    with serving(ids=True) as server:
        sample(generator(server), Sample(prefix, Key((1, "a")), 1))
    assert server.bodies[0]["prompt"][-1] == TWO_NEWLINES
    assert text_of(server.bodies[0]["prompt"]) == "2 + 2\n<assistant>step 1 7\n\n"


def test_a_template_that_opens_the_thinking_is_continued_and_its_tag_is_in_the_text() -> None:
    """Else the thoughts would count as the solution, and an answer in them as the answer."""
    lines = ["I think 3\n", "no, 5\n", "</think>\n", "Answer: 5"]

    def write(text: str, seed: int) -> str | None:
        text = text.removeprefix("<think>\n")
        return next((line for n, line in enumerate(lines) if text == "".join(lines[:n])), None)

    with serving(ids=True, write=write, opens="<think>\n") as server:
        found = by_steps(generator(server, prompt=CHAT))
        (whole,) = sample(generator(server, prompt=CHAT), *children(1))
    assert found.text == "<think>\n" + "".join(lines) == "".join(step.text for step in whole.steps)
    assert found.answer == "5"
    assert [text_of(body["prompt"]).count("<think>") for body in server.bodies] == [1] * len(server.bodies)


@pytest.mark.parametrize("ids", [True, False])
def test_tags_of_ones_own_are_named_as_everyone_knows_them_and_sent_back_as_they_were(ids: bool) -> None:
    lines = ["<plan>3\n", "</plan>\n", "Answer: 5"]
    form = PromptFormat(chat=False, template="{question}\n<assistant>", thoughts=(("<plan>", "</plan>"),))

    def write(text: str, seed: int) -> str | None:
        return next((line for n, line in enumerate(lines) if text == "".join(lines[:n])), None)

    with serving(ids=ids, write=write) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # in text a server may go on from other tokens
        found = by_steps(generator(server, prompt=form))
    assert found.text == "<think>3\n</think>\nAnswer: 5"
    assert (found.answer, found.spoken.strip()) == ("5", "Answer: 5")


@pytest.mark.parametrize("opened", ["<plan>", "<plan>\n"])
def test_a_tag_of_ones_own_that_a_template_opens_is_named_too(opened: str) -> None:
    form = PromptFormat(system=None, thoughts=(("<plan>", "</plan>"),))
    write = {"": "3</plan>\n", "3</plan>\n": "Answer: 5"}
    with serving(ids=True, write=lambda text, seed: write.get(text.removeprefix(opened)), opens=opened) as server:
        found = by_steps(generator(server, prompt=form))
    assert found.text == opened.replace("plan", "think") + "3</think>\nAnswer: 5"
    assert found.answer == "5"


def test_a_thought_that_never_ends_has_no_answer() -> None:
    with serving(ids=True, write=lambda text, seed: None if "3" in text else "\\boxed{3}", opens="<think>") as server:
        (whole,) = sample(generator(server, prompt=CHAT), *children(1))
    assert ROOT.extend(Key((1,)), whole.steps, whole.finish).answer is None


def test_a_base_model_without_a_chat_template_is_shown_solved_examples() -> None:
    with serving(ids=True, template=False) as server:
        role = OpenAIGenerator("toy", server.url, server="vllm")
        sample(role, *children(2))
        assert text_of(server.bodies[0]["prompt"]).endswith("Problem:\n2 + 2\n\nSolution:\n")
        assert server.bodies[0]["stop"] == list(FOUR_SHOT.prompt.stop)
        with pytest.raises(RoleError, match="no chat template"):
            sample(generator(server, prompt=PromptFormat(chat=True)), *children(1))


def test_the_limit_is_what_the_context_leaves_room_for() -> None:
    with serving(ids=True, context=25) as server:
        sample(generator(server, max_new_tokens=2048), *children(1))
        assert server.bodies[0]["max_tokens"] == 25 - len(server.bodies[0]["prompt"])
    with serving(ids=True, context=10) as server, pytest.raises(RoleError, match=r"17 tokens long, .* at most 10"):
        sample(generator(server), *children(1))


def test_a_server_without_these_endpoints_is_asked_in_text_and_step_search_says_so() -> None:
    with serving(kind="vllm") as server, pytest.warns(RuntimeWarning, match="tokenises anew.*take the very tokens"):
        found = by_steps(generator(server))
    assert found.text == toy_solution(0)
    assert isinstance(server.bodies[0]["prompt"], str)


def test_text_can_be_asked_for() -> None:
    with serving(ids=True) as server:
        sample(generator(server, token_ids=False), *children(1))
    assert server.bodies[0]["prompt"] == "2 + 2\n<assistant>"


@pytest.mark.parametrize("kind", ["vllm", "generic", "openai"])
@pytest.mark.parametrize("ids", [True, False])
def test_one_text_for_several_seeds_is_a_warning(kind: str, ids: bool) -> None:
    """Such a vote is unanimous and means nothing."""
    table = {"": "step one\n", "step one\n": "Answer: 4"}
    with serving(ids=ids, write=lambda text, seed: table.get(text)) as server:
        role = generator(server, server=kind)
        with pytest.warns(RuntimeWarning, match="one text for 4 different seeds .* counts one solution 4 times"):
            result = ttscale.solve("q", 4, generator=role, strategy="majority_vote")
    assert result.cost.sampled_tokens > 0
    hot = [body for body in server.bodies if body["temperature"] == 2.0]
    assert len(hot) == 1
    assert result.cost.requests == len(server.bodies)


def test_a_model_that_is_sure_is_not_a_server_that_ignores_seeds() -> None:
    def answer(path: str, body: dict[str, Any]) -> Any:
        text = "maybe Answer: 7" if body["temperature"] > 1 else "surely Answer: 4"
        return {
            "choices": [{"text": text, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        }

    with serving(answer=answer) as server:
        completions = sample(generator(server, server="generic", temperature=0.7), *children(4))
        sample(generator(server, server="generic"), *children(4, temperature=0.0))
    assert {one.steps[0].text for one in completions} == {"surely Answer: 4"}
    assert len(server.bodies) == 9


def test_requests_of_one_question_stay_at_one_endpoint() -> None:
    """Its prefixes are in that server's cache."""
    with serving(ids=True) as one, serving(ids=True) as two:
        role = OpenAIGenerator(
            "toy", connection=Connection([one.url, two.url]), server="vllm", prompt=PLAIN, delimiter="\n"
        )
        for number in range(8):
            question = Question.of(f"question {number}")
            root = Candidate(question, Key((0, question.id)))
            asyncio.run(role.sample([Sample(root, root.key.child(i), 3) for i in range(3)]))

    def asked(server: FakeServer) -> set[str]:
        return {text_of(body["prompt"]).split("\n")[0] for body in server.bodies}

    assert len(asked(one)) + len(asked(two)) == 8
    assert asked(one)
    assert asked(two)


def test_a_thinking_model_over_a_chat_in_text_is_refused_with_the_way_out() -> None:
    begun = ROOT.extend(Key((0, "a")), [Step("<think>hm\n")], "open")
    with serving(kind="sglang") as server:
        for name, prefix in (("toy", begun), ("Qwen/Qwen3-8B", ROOT)):
            role = OpenAIGenerator(name, server.url, server="sglang", prompt=CHAT, delimiter="\n")
            with pytest.raises(RoleError, match=r"cannot go on exactly .* use api='completions'"):
                sample(role, Sample(prefix, Key((0, "b")), 1))
        assert server.requests == []


def test_llama_cpp_returns_the_begun_message_too_and_the_text_is_not_doubled() -> None:
    begun = ROOT.extend(Key((0, "a")), [Step("one\n")], "open")

    def answer(path: str, body: dict[str, Any]) -> Any:
        message = {"role": "assistant", "content": "one\ntwo\n"}
        return {
            "choices": [{"message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        }

    with serving(kind="llama.cpp", answer=answer) as server, pytest.warns(RuntimeWarning, match="tokenises anew"):
        (reply,) = sample(generator(server, prompt=CHAT), Sample(begun, Key((0, "b")), 1))
    assert [step.text for step in reply.steps] == ["two\n"]


def test_a_stop_string_that_began_in_the_prompt_ends_nothing() -> None:
    """transformers serve looks for stop strings across the prompt's end."""
    form = PromptFormat(chat=False, template="{question}\n")

    def answer(path: str, body: dict[str, Any]) -> Any:
        text = "\n" if body.get("stop") else "\na\n\nAnswer: 3"
        return {
            "choices": [{"text": text, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        }

    with serving(answer=answer) as server:
        role = generator(server, server="transformers", prompt=form, delimiter="\n\n")
        (reply,) = sample(role, Sample(ROOT, Key((0, "a")), 1))
    assert [step.text for step in reply.steps] == ["\na\n\n"]
    assert reply.finish == "open"


def test_a_template_that_trims_is_found_out_and_asked_once_a_step_from_then_on() -> None:
    lines = {0: "a\n", 1: "b\n", 2: "c\n"}

    def write(text: str, seed: int) -> str | None:
        return None if "end" in text else lines.get(text.count("\n"), "end")

    with serving(kind="sglang", trims=True, write=write) as server:
        role = generator(server, prompt=CHAT)
        with pytest.warns(RuntimeWarning, match="tokenises anew"):
            found = by_steps(role, rounds=3)
    assert found.text == "a\nb\nc\n"
    assert len(server.requests) == 4  # two for the step in which it was found out
