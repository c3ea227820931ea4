"""Messages as a question: what models are given, what judges read, what tells two chats apart."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ttscale
from fake_openai import serving
from real_models import model_folder
from ttscale import Chat, Question
from ttscale.openai import OpenAIGenerator
from ttscale.prompts import PromptFormat, chat_turns
from ttscale.prompts.tokenize import encode
from ttscale.testing import FakeGenerator
from ttscale.verifiers import FunctionVerifier

HISTORY = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is 2 + 2?"},
    {"role": "assistant", "content": "4"},
    {"role": "user", "content": "And doubled?"},
]
IMAGE = [
    {
        "role": "user",
        "content": [{"type": "text", "text": "How many?"}, {"type": "image_url", "image_url": {"url": "x"}}],
    }
]
PLAIN = PromptFormat(system="Reason.", user="{question}\nBox it.")


def test_a_single_message_is_the_same_question_as_its_text() -> None:
    assert Question.of(Chat([{"role": "user", "content": "Why?"}])) == Question.of("Why?")


def test_as_a_text_it_is_the_last_message_or_the_transcript() -> None:
    assert Chat(HISTORY[:2]) == "What is 2 + 2?"
    assert Chat(HISTORY) == "System: Be brief.\n\nUser: What is 2 + 2?\n\nAssistant: 4\n\nUser: And doubled?"
    assert Chat(IMAGE) == "How many?"


def test_histories_have_ids_of_their_own() -> None:
    ids = {Question.of(Chat(HISTORY[:2])).id, Question.of(Chat(HISTORY)).id, Question.of("What is 2 + 2?").id}
    assert len(ids) == 3
    assert Question.of(Chat(HISTORY)).id == Question.of(Chat([dict(message) for message in HISTORY])).id


def told(number: str) -> Chat:
    return Chat([{"role": "system", "content": f"Say {number}."}, {"role": "user", "content": "Go on"}])


def shown(number: str) -> Chat:
    return Chat([{"role": "user", "content": [IMAGE[0]["content"][0], {"type": "image_url", "image_url": number}]}])


def echo(request: ttscale.Sample) -> str:
    """The one digit in the messages."""
    return "Answer: " + re.findall(r"\d", str(request.question.prompt.messages))[0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("chat", [told, shown])
def test_chats_of_one_text_are_different_questions(chat: Callable[[str], Chat], tmp_path: Path) -> None:
    generator = FakeGenerator(echo)
    pair = [Question("q", chat("1")), Question("q", chat("2"))]
    with pytest.raises(ValueError, match="two different questions have the id 'q'"):
        ttscale.solve_all(pair, 2, generator=generator, progress=False)
    with pytest.raises(ValueError, match="two different questions have the id 'q'"):
        ttscale.solve_all([Question("q", str(chat("1"))), pair[0]], 2, generator=generator, progress=False)
    twice = ttscale.solve_all([pair[0], Question("q", chat("1"))], 2, generator=generator, progress=False)
    assert [result.answer for result in twice] == ["1", "1"]
    for question, answer in zip(pair, "12", strict=True):  # the replies to one are no replies to the other
        trace = tmp_path / "trace.jsonl"
        (result,) = ttscale.solve_all([question], 2, generator=generator, resume=trace, progress=False)
        assert result.answer == answer


def test_it_travels_to_other_processes() -> None:
    chat = pickle.loads(pickle.dumps(Chat(HISTORY)))
    assert (chat, chat.messages) == (Chat(HISTORY), tuple(HISTORY))


def test_the_turns_are_the_users_own() -> None:
    turns = chat_turns(PLAIN, Chat(HISTORY), ["8"])
    assert turns[:3] == HISTORY[:3]
    assert turns[3] == {"role": "user", "content": "And doubled?\nBox it."}
    assert [turn["role"] for turn in turns[4:]] == ["assistant", "user"]
    assert chat_turns(PLAIN, Chat(HISTORY[1:2]))[0] == {"role": "system", "content": "Reason."}
    assert chat_turns(PLAIN, Chat(IMAGE))[-1] == IMAGE[0]


def test_a_model_here_reads_what_its_own_template_makes_of_the_messages() -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(model_folder())
    text = tokenizer.apply_chat_template(HISTORY, tokenize=False, add_generation_prompt=True)
    form = PromptFormat(system=None, user="{question}")
    assert encode(tokenizer, form, Chat(HISTORY)) == tokenizer(text, add_special_tokens=False)["input_ids"]
    with pytest.raises(ValueError, match="parts that are no text"):
        encode(tokenizer, form, Chat(IMAGE))


def test_a_server_is_given_the_messages_images_and_all() -> None:
    with serving(kind="vllm") as fake:
        generator = OpenAIGenerator("toy", fake.url, server="vllm", prompt=PromptFormat(system=None, user="{question}"))
        for messages in (HISTORY, IMAGE):
            ttscale.solve(messages, 1, generator=generator, strategy="majority_vote", progress=False)
        assert [body["messages"] for body in fake.bodies if "messages" in body][-2:] == [HISTORY, IMAGE]


def test_judges_and_traces_see_the_conversation() -> None:
    seen: list[str] = []

    def judge(candidate: ttscale.Candidate) -> float:
        seen.append(candidate.question.prompt)
        return 0.5

    result = ttscale.solve(
        HISTORY, 2, generator=FakeGenerator("Answer: 8"), verifier=FunctionVerifier(judge), strategy="best_of_n"
    )
    assert set(seen) == {str(Chat(HISTORY))}
    start = next(iter(result.trace.events()))
    assert list(start["messages"]) == HISTORY
    again = ttscale.solve_all([HISTORY], 2, generator=FakeGenerator("Answer: 8"), strategy="majority_vote")
    assert again[0].question == result.question


def test_an_image_alone_is_a_question() -> None:
    messages = [{"role": "user", "content": [IMAGE[0]["content"][1]]}]
    assert ttscale.solve(messages, 2, generator=FakeGenerator("Answer: 8"), progress=False).answer == "8"
    with pytest.raises(ValueError, match="question 0 must be a non-empty string"):
        ttscale.solve([{"role": "user", "content": " "}], 2, generator=FakeGenerator("Answer: 8"))


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([{"role": "user"}], "message 0 .user.: content must be"),
        ([{"role": "nobody", "content": "a"}], "message 0 must be a dict with a role of"),
        ([{"role": "assistant", "content": "a"}], "must be of role user or tool; got"),
        ([{"role": "user", "content": [5]}], "content must be a text or a list of parts"),
    ],
)
def test_what_is_no_chat(messages: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ttscale.solve(messages, 1, generator=FakeGenerator("Answer: 8"))
