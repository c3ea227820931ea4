"""Any schedule of arrivals, prunings, abandoned sessions, evictions and memory faults: the slow loop's replies.

Generator and verifier, alone and on one trunk. Faults are raised wherever the device is asked for memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hf.slow import Drawn
from hf.test_decode import PLAIN, assert_nothing_pinned, generator, loaded, roots, same, slow
from hf.tiny import request_tree
from ttscale import Candidate
from ttscale.core.requests import Sample, Score
from ttscale.core.selection import Aggregate
from ttscale.hf import HFModel
from ttscale.hf.pick_runner import open_shared_kv as fast
from ttscale.hf.shared_kv.batch_rows import BatchRows
from ttscale.hf.shared_kv.kv_slots import Slab
from ttscale.hf.shared_kv.prefix_tree import PrefixTree
from ttscale.hf.verifiers.adapter import LinearHead
from ttscale.hf.verifiers.scorer import Scorer
from ttscale.prompts.tokenize import encode
from ttscale.prompts.verifier_layouts import Encoded

LIMITS = st.sampled_from([1, 3, 64])
BUDGETS = st.sampled_from([0, 20_000, 1 << 30])
SCHEDULE = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
    phases=[Phase.generate],  # examples take a second each: a failure is shown as it was found
)


class Faults:
    """Raises out-of-memory at the calls named, counted over everything that takes memory on the device."""

    def __init__(self, patch: pytest.MonkeyPatch, model: HFModel, at: set[int]) -> None:
        own = fast(model)
        assert own is not None
        self._at = at
        self.calls = 0
        for owner, name in (
            (own.network, "run"),
            (own.network, "logits"),
            (Slab, "reserve"),
            (BatchRows, "store"),
            (PrefixTree, "_split"),
        ):
            patch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, original: Any) -> Any:
        def call(*args: Any) -> Any:
            self.calls += 1
            if self.calls in self._at:
                raise torch.OutOfMemoryError("injected")
            return original(*args)

        return call


@pytest.mark.parametrize("variant", ["llama", "qwen2-sliding"])
@SCHEDULE
@given(data=st.data())
def test_any_schedule_of_a_generator(checkpoint: Any, variant: str, data: st.DataObject) -> None:
    """Requests of three waves in any order; some pauses end in an eviction or an abandoned session."""
    folder = checkpoint(variant)
    model = loaded(folder, max_batch=data.draw(LIMITS, "max_batch"), kv_bytes=data.draw(BUDGETS, "kv_bytes"))
    own = fast(model)
    assert own is not None
    wanted = truth(folder)
    faults = data.draw(st.sets(st.integers(1, 400), max_size=6), "faults")
    order = data.draw(st.permutations(range(len(wanted))), "order")
    pauses = data.draw(st.lists(st.integers(0, 6), min_size=len(order), max_size=len(order)), "pauses")
    events = data.draw(st.lists(st.sampled_from(["", "", "evict", "abandon"]), min_size=len(order)), "events")
    replies: dict[int, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        Faults(patch, model, faults)
        session = generator(model).session()
        asked: list[int] = []
        for place, pause, event in zip(order, pauses, events, strict=False):
            session.admit([(place, wanted[place][0])])
            asked.append(place)
            for _ in range(pause):
                replies.update(session.step() if session.active else ())
            if event == "evict":
                own.tree.evict()
            elif event == "abandon":
                session.close()
                session = generator(model).session()
                session.admit([(i, wanted[i][0]) for i in asked if i not in replies])
        while session.active:
            replies.update(session.step())
    assert sorted(replies) == sorted(order)
    assert all(same(replies[i], drawn) for i, (_, drawn) in enumerate(wanted))
    assert_nothing_pinned(model)


_TRUTH: dict[str, list[tuple[Sample, Drawn]]] = {}


def truth(folder: str) -> list[tuple[Sample, Drawn]]:
    """A tree of requests, three waves deep, with what the slow loop answers."""
    if folder not in _TRUTH:
        model = loaded(folder)
        _TRUTH[folder] = request_tree(roots(), lambda request: slow(model, request))
    return _TRUTH[folder]


class Reads:
    """An adapter of a process reward model on a generator's trunk: a score at the last token of every step."""

    aggregate: Aggregate = "last"

    def __init__(self, model: HFModel) -> None:
        self._tokenizer = model.tokenizer
        self.head = LinearHead((torch.linspace(-2, 2, 2 * 32).view(2, 32), torch.zeros(2)))
        self.tokens: dict[str, tuple[int, ...]] = {}
        """Of every step, as sampled: random tokens are seldom what their text would be split into."""

    def encode(self, question: str, steps: Sequence[str], attempts: Sequence[str] = (), /) -> Encoded:
        ids, reads = encode(self._tokenizer, PLAIN, question), []
        for step in steps:
            ids = [*ids, *self.tokens[step]]
            reads.append(len(ids) - 1)
        return Encoded(ids, reads)

    def read(self, hidden: torch.Tensor, /) -> torch.Tensor:
        return self.head.logits(hidden).softmax(-1)[:, 1]


@torch.inference_mode()
def slow_scores(model: HFModel, reads: Reads, candidate: Candidate) -> list[float]:
    """The candidate whole, through the model's own forward."""
    ids, places = reads.encode(candidate.question.prompt, [step.text for step in candidate.steps])
    hidden = model.module.base_model(input_ids=torch.tensor([list(ids)]), use_cache=False)[0][0]
    return [float(score) for score in reads.read(hidden[list(places)])]


@pytest.mark.parametrize("variant", ["llama", "qwen2-sliding"])
@SCHEDULE
@given(data=st.data())
def test_any_beam_search_on_one_trunk(checkpoint: Any, variant: str, data: st.DataObject) -> None:
    """Draw, score, prune, three times over; generator and verifier share keys and values, and every fault."""
    model = loaded(checkpoint(variant), max_batch=data.draw(LIMITS, "max_batch"), kv_bytes=data.draw(BUDGETS, "kv"))
    own = fast(model)
    assert own is not None
    reads = Reads(model)
    scorer = Scorer(model, reads)
    faults = data.draw(st.sets(st.integers(1, 250), max_size=6), "faults")
    requests = [Sample(root, root.key.child(i), max_steps=1) for root in roots()[:2] for i in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        Faults(patch, model, faults)
        for wave in range(3):
            completions = generator(model).sample(requests)
            assert all(same(c, slow(model, r)) for c, r in zip(completions, requests, strict=True))
            reads.tokens |= {step.text: step.tokens for c in completions for step in c.steps}
            grown = [r.prefix.extend(r.key, c.steps, c.finish) for r, c in zip(requests, completions, strict=True)]
            grown = [candidate for candidate in grown if candidate.steps]
            if data.draw(st.booleans(), "evict"):
                own.tree.evict()
            for candidate, verdict in zip(grown, scorer.score([Score(c) for c in grown]), strict=True):
                assert verdict.step_scores == pytest.approx(slow_scores(model, reads, candidate), abs=1e-5)
            going = [candidate for candidate in grown if candidate.finish == "open"]
            kept = data.draw(st.lists(st.sampled_from(going), max_size=3, unique=True), f"wave {wave}") if going else []
            requests = [Sample(c, c.key.child(i), max_steps=1) for c in kept for i in range(2)]
    assert_nothing_pinned(model)


def test_an_abandoned_session_lets_go_of_what_waiting_rows_share(checkpoint: Any) -> None:
    """Two rows that wait for one prefix hold it once."""
    model = loaded(checkpoint("llama"))
    session = generator(model).session()
    root = roots()[1]
    session._decoder._runner.chunk = 4
    session.admit([(i, Sample(root, root.key.child(i))) for i in range(2)])
    session.step()
    session.close()
    own = fast(model)
    assert own is not None
    assert own.tree.tokens() == 4
    assert_nothing_pinned(model)


def test_a_finished_row_whose_tokens_cannot_be_kept_is_finished(checkpoint: Any) -> None:
    """Memory for the tree runs out just when a step has ended: the reply is what it was, its KV is run again."""
    model = loaded(checkpoint("llama"))
    root = roots()[0]
    requests = [Sample(root, root.key.child(i), max_steps=1) for i in range(6)]
    wanted = [slow(model, request) for request in requests]
    assert "open" in {drawn.finish for drawn in wanted}

    def store(*_: Any) -> None:
        raise torch.OutOfMemoryError("injected")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BatchRows, "store", store)
        completions = generator(model).sample(requests)
    assert all(same(c, drawn) for c, drawn in zip(completions, wanted, strict=True))
