"""The decode loop against the slow one: token for token in fp32, alone, in any batch, whatever happens on the way."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hf.slow import Drawn, slow_draw
from hf.tiny import VARIANTS
from ttscale import Candidate, Key, Question
from ttscale.core.requests import Completion, Sample
from ttscale.hf import HFGenerator, HFModel
from ttscale.hf.pick_runner import open_shared_kv as fast
from ttscale.hf.sampler import SamplerSession
from ttscale.prompts.tokenize import PromptFormat, encode

PLAIN = PromptFormat(chat=False)
QUESTIONS = [Question.of(text) for text in ("hi", "what is the sum of two and three?" * 2, "x = 4 and y = 11, find z")]
EOS = frozenset({2, 40, 41})
"""More ends than the tokenizer's own, so that random models stop now and then."""


def generator(model: HFModel, **changes: Any) -> HFGenerator:
    return HFGenerator(model, **{"delimiter": "a", "max_new_tokens": 24, "prompt": PLAIN, **changes})


def loaded(folder: str, **changes: Any) -> HFModel:
    model = HFModel(folder, device="cpu", **changes)
    model.eos_ids = EOS
    return model


def slow(model: HFModel, request: Sample, **changes: Any) -> Drawn:
    context = encode(model.tokenizer, PLAIN, request.question.prompt) + list(request.prefix.tokens)
    if request.temperature is not None:
        changes["temperature"] = request.temperature
    return slow_draw(
        model.module,
        model.tokenizer,
        context,
        request.key.seed,
        eos_ids=EOS,
        max_steps=request.max_steps,
        **{"max_new_tokens": 24, **changes},
    )


def same(completion: Completion, drawn: Drawn) -> bool:
    return (
        [step.text for step in completion.steps] == drawn.steps
        and [list(step.tokens) for step in completion.steps] == drawn.tokens
        and (completion.finish, completion.cost.sampled_tokens) == (drawn.finish, drawn.sampled)
    )


def roots() -> list[Candidate]:
    return [Candidate(question, Key((0, question.id))) for question in QUESTIONS]


@pytest.mark.parametrize("shared_kv", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_the_slow_loop_over_several_waves(checkpoint: Any, variant: str, shared_kv: bool) -> None:
    """Three questions with prompts of different lengths; every wave continues what the one before left open."""
    model = loaded(checkpoint(variant), shared_kv=shared_kv)
    assert (fast(model) is not None) == shared_kv
    requests = [Sample(root, root.key.child(i), max_steps=1) for root in roots() for i in range(5)]
    finishes = set()
    while requests:
        completions = generator(model).sample(requests)
        assert all(same(c, slow(model, r)) for c, r in zip(completions, requests, strict=True))
        alone = generator(model).sample(requests[-1:])[0]
        assert (alone.steps, alone.finish) == (completions[-1].steps, completions[-1].finish)
        finishes |= {completion.finish for completion in completions}
        grown = [r.prefix.extend(r.key, c.steps, c.finish) for r, c in zip(requests, completions, strict=True)]
        going = [candidate for candidate in grown if candidate.finish == "open"]
        more = len(going[0].steps) < 3 if going else False
        requests = [Sample(c, c.key.child(i), max_steps=1) for c in going[:3] for i in range(3)] if more else []
    assert {"open", "length"} <= finishes


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": 0.7},
        {"top_k": 7},
        {"top_p": 0.8},
        {"min_p": 0.05},
        {"temperature": 1.3, "top_k": 40, "top_p": 0.9, "min_p": 0.02},
        {"delimiter": None},
        {"delimiter": "an"},
    ],
    ids=str,
)
def test_settings_equal_the_slow_loop(checkpoint: Any, changes: dict[str, Any]) -> None:
    model = loaded(checkpoint("llama"))
    requests = [Sample(root, root.key.child(i), max_steps=3) for root in roots() for i in range(4)]
    completions = generator(model, **changes).sample(requests)
    assert all(same(c, slow(model, r, **changes)) for c, r in zip(completions, requests, strict=True))


def test_every_row_has_its_own_settings(checkpoint: Any) -> None:
    model = loaded(checkpoint("llama"))
    requests = [
        Sample(root, root.key.child(i), max_steps=(None, 1, 2)[i], temperature=(None, 0.0, 0.5)[i])
        for root in roots()
        for i in range(3)
    ]
    completions = generator(model).sample(requests)
    assert all(same(c, slow(model, r)) for c, r in zip(completions, requests, strict=True))


def test_a_delimiter_may_be_split_over_tokens(checkpoint: Any) -> None:
    """A delimiter of two letters that no token holds: found by text, in the right place."""
    model = loaded(checkpoint("qwen2"))
    first = generator(model, delimiter=None, max_new_tokens=60).sample([Sample(roots()[0], Key((1,)))])[0]
    tokens = first.steps[0].tokens
    pairs = [(i, model.tokenizer.decode(tokens[i : i + 2])) for i in range(8, len(tokens) - 2)]
    at, mark = next((i, text) for i, text in pairs if text.isascii() and text.isprintable() and len(text) == 2)
    completion = generator(model, delimiter=mark, max_new_tokens=60).sample(
        [Sample(roots()[0], Key((1,)), max_steps=1)]
    )[0]
    ends = model.tokenizer.decode(tokens).index(mark) + 2
    assert completion.steps[0].text == model.tokenizer.decode(tokens)[:ends]
    assert len(completion.steps[0].tokens) <= at + 2
    assert completion.finish == "open"


def assert_nothing_pinned(model: HFModel) -> None:
    own = fast(model)
    assert own is not None
    own.tree.evict()
    assert (own.tree.bytes, own.tree.tokens()) == (0, 0)


def test_out_of_memory_halves_the_batch_and_goes_on(checkpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(checkpoint("llama"), max_batch=16)
    requests = [Sample(roots()[0], Key((i,))) for i in range(16)]
    plain = generator(model).sample(requests)
    own = fast(model)
    assert own is not None
    most = []
    original = own.network.run

    def run(ids: torch.Tensor, *rest: Any) -> torch.Tensor:
        if len(ids) > 5:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        most.append(len(ids))
        return original(ids, *rest)

    monkeypatch.setattr(own.network, "run", run)
    assert [c.steps for c in generator(model).sample(requests)] == [c.steps for c in plain]
    assert 2 <= max(most) <= 5


def test_a_row_that_fits_nowhere_fails_alone(checkpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(checkpoint("llama"))
    own = fast(model)
    assert own is not None
    original = own.network.run

    def run(ids: torch.Tensor, positions: torch.Tensor, context: Any) -> torch.Tensor:
        if int(positions.max()) > 40:
            raise torch.OutOfMemoryError("injected")
        return original(ids, positions, context)

    monkeypatch.setattr(own.network, "run", run)
    session = generator(model).session()
    session.admit(list(enumerate([Sample(roots()[0], Key((1,)), max_steps=1), Sample(roots()[1], Key((2,)))])))
    replies: dict[int, Any] = {}
    while session.active:
        replies.update(session.step())
    assert isinstance(replies[0], Completion)
    assert "out of memory" in str(replies[1])
    assert QUESTIONS[1].id in str(replies[1])


def test_another_error_is_not_swallowed(checkpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(checkpoint("llama"))
    own = fast(model)
    assert own is not None
    monkeypatch.setattr(own.network, "run", lambda *args: (_ for _ in ()).throw(RuntimeError("index out of range")))
    with pytest.raises(RuntimeError, match="index out of range"):
        generator(model).sample([Sample(roots()[0], Key((1,)))])
    monkeypatch.undo()
    assert_nothing_pinned(model)


def test_rows_leave_as_they_finish_and_others_enter(checkpoint: Any) -> None:
    """With room for two rows, a request that is long done has left before the last has entered."""
    model = loaded(checkpoint("llama"), max_batch=2)
    session = generator(model).session()
    assert isinstance(session, SamplerSession)
    requests = [Sample(roots()[i % 3], Key((i,)), max_steps=1) for i in range(9)]
    session.admit(list(enumerate(requests)))
    first_reply, steps = None, 0
    while session.active:
        steps += 1
        if session.step() and first_reply is None:
            first_reply = steps
    assert first_reply is not None
    assert first_reply < steps / 2


def test_distinct_tokens_are_run_once(checkpoint: Any) -> None:
    """Over a beam search: forwarded = prompt once + every sampled token at most once."""
    model = loaded(checkpoint("llama"))
    model.eos_ids = frozenset()
    root = roots()[1]
    prompt = len(encode(model.tokenizer, PLAIN, root.question.prompt))
    fast(model)
    own = generator(model)
    requests = [Sample(root, root.key.child(i), max_steps=1) for i in range(8)]
    sampled = 0
    for wave in range(4):
        completions = own.sample(requests)
        sampled += sum(completion.cost.sampled_tokens for completion in completions)
        assert sum(c.cost.prompt_tokens for c in completions) <= (prompt if wave == 0 else 8)
        for request, completion in zip(requests, completions, strict=True):
            context = prompt + len(request.prefix.tokens)
            assert completion.cost.prompt_tokens + completion.cost.cached_tokens == context
        grown = [r.prefix.extend(r.key, c.steps, c.finish) for r, c in zip(requests, completions, strict=True)]
        going = [candidate for candidate in grown if candidate.finish == "open"][:2]
        requests = [Sample(c, c.key.child(i), max_steps=1) for c in going for i in range(4)]
    assert sampled * 0.5 < model.forwarded_tokens <= prompt + sampled


def test_kv_grows_with_distinct_tokens(checkpoint: Any) -> None:
    """64 rows over one long prompt hold it twice (tree and trunk), not 64 times."""
    model = loaded(checkpoint("llama"))
    model.eos_ids = frozenset()
    own = fast(model)
    assert own is not None
    question = Question.of("a long question " * 12)
    session = generator(model, delimiter=None).session()
    session.admit([(i, Sample(Candidate(question, Key((i,))), Key((i,)))) for i in range(64)])
    per_token = 2 * own.shape.layers * own.shape.heads * own.shape.size * 4
    prompt = len(encode(model.tokenizer, PLAIN, question.prompt))
    most = 0
    while session.active:
        session.step()
        most = max(most, session.kv_bytes)
    assert most <= per_token * (3 * prompt + 64 * 48)
    assert most < per_token * 64 * prompt / 3
