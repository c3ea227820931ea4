"""Revision data against the paper's words: how many attempts, which stands last, who is learned."""

from __future__ import annotations

import json
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscale.core.types import Question
from ttscale.training.data.examples import StepExample
from ttscale.training.data.revision_data import (
    RevisionExample,
    build_revision_data,
    nearest,
    read_revision_data,
    write_revision_data,
)


def solution(text, correct, question="q", answer="1"):
    return StepExample(question, f"{question}?", (text,), (None,), correct, answer)


def slow_distance(a, b):
    """Levenshtein's recursion, row by row."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        row, last = [i], row
        for j, y in enumerate(b, start=1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (x != y)))
    return row[-1]


@given(st.text("abc", max_size=6), st.lists(st.text("abc", max_size=6), min_size=1, max_size=5))
def test_the_nearest_is_the_first_of_least_edit_distance(right, wrong):
    distances = [slow_distance(right, text) for text in wrong]
    assert nearest(right, wrong) == distances.index(min(distances))


@given(st.integers(0, 6), st.integers(1, 3), st.integers(0, 5), st.integers(0, 99))
def test_every_right_solution_is_learned_once_after_wrong_ones_of_its_question(n_wrong, n_right, most, seed):
    wrong = [f"wrong {'x' * i}" for i in range(n_wrong)]
    right = [f"right {'x' * i}" for i in range(n_right)]
    rows = [solution(text, False) for text in wrong] + [solution(text, True) for text in right]
    rows += [solution("of another question", False, "other"), solution("right", True, "other")]
    data = build_revision_data(rows, max_attempts=most, seed=seed)
    assert [e.target for e in data] == [*right, "right"]
    for example in data[:-1]:
        assert example.prompt == "q?"
        assert len(example.attempts) <= min(most, n_wrong)
        assert set(example.attempts) <= set(wrong)
        assert len(set(example.attempts)) == len(example.attempts)
        if example.attempts:
            assert example.attempts[-1] == wrong[nearest(example.target, wrong)]
    assert build_revision_data(rows, max_attempts=most, seed=seed) == data


def test_the_number_of_attempts_is_uniform_from_0_to_4_cut_to_what_is_there():
    """2000 draws: each of 5 counts within 4 standard errors of 400, each of 3 of 667."""
    for n_wrong, counts in ((9, range(5)), (2, range(3)), (0, range(1))):
        rows = [solution(f"wrong {i}", False) for i in range(n_wrong)]
        rows += [solution(f"right {i}", True) for i in range(2000)]
        found = Counter(len(example.attempts) for example in build_revision_data(rows))
        share = 1 / len(counts)
        assert sorted(found) == list(counts)
        assert all(abs(n - 2000 * share) <= 4 * math.sqrt(2000 * share * (1 - share)) for n in found.values())


@given(st.integers(0, 6), st.integers(1, 4), st.integers(0, 99))
def test_what_is_kept_stands_last_after_the_wrong_ones_of_the_paper(n_wrong, most, seed):
    rows = [solution(f"wrong {i}", False) for i in range(n_wrong)] + [solution(f"right {i}", True) for i in range(30)]
    plain = build_revision_data(rows, max_attempts=most, seed=seed)
    for keep in (0.0, 0.5, 1.0):
        kept = 0
        for before, now in zip(plain, build_revision_data(rows, max_attempts=most, keep=keep, seed=seed), strict=True):
            assert now.target == before.target
            if now.attempts[-1:] == (now.target,):
                kept += 1
                assert now.attempts[:-1] == before.attempts[max(0, len(before.attempts) + 1 - most) :]
                assert len(now.attempts) <= most
            else:
                assert now == before
        assert {0.0: kept == 0, 0.5: 2 < kept < 28, 1.0: kept == 30}[keep]  # 30 coins: outside in one of 10^6


def test_the_others_are_random():
    rows = [solution(f"{i}{i}{i}", False) for i in range(5)] + [solution(f"444{'.' * i}", True) for i in range(400)]
    before = Counter(text for e in build_revision_data(rows) for text in e.attempts[:-1])
    assert set(before) == {"000", "111", "222", "333"}  # "444" is the nearest: always last, never before
    assert max(before.values()) < 1.5 * min(before.values())
    last = Counter(e.attempts[-1] for e in build_revision_data(rows, last="random") if e.attempts)
    assert len(last) == 5


def test_solutions_without_an_answer_are_left_out():
    rows = [solution("silent", False, answer=None), solution("wrong", False), solution("right", True)]
    found = {text for seed in range(40) for e in build_revision_data(rows, seed=seed) for text in e.attempts}
    assert found == {"wrong"}


def test_a_questions_data_does_not_depend_on_the_others():
    one = [solution(f"w{i}", False) for i in range(4)] + [solution("r", True)]
    two = [solution(f"w{i}", False, "z") for i in range(4)] + [solution("r", True, "z")]
    assert build_revision_data(one + two)[0] == build_revision_data(one)[0] == build_revision_data(two + one)[1]


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match="nothing to learn to write"):
        build_revision_data([solution("w", False)])
    with pytest.raises(ValueError, match="nothing to learn to write"):
        build_revision_data([])
    with pytest.raises(ValueError, match=r"share between 0 and 1, got 1\.5"):
        build_revision_data([solution("r", True)], keep=1.5)
    with pytest.raises(ValueError, match="max_attempts of at least 1"):
        build_revision_data([solution("r", True)], max_attempts=0, keep=0.5)
    with pytest.raises(ValueError, match="does not say whether"):
        build_revision_data([solution("w", None)])
    with pytest.raises(ValueError, match="max_attempts must not be negative"):
        build_revision_data([solution("r", True)], max_attempts=-1)
    with pytest.raises(ValueError, match="last must be one of nearest, random"):
        build_revision_data([solution("r", True)], last="first")
    path = tmp_path / "r.jsonl"
    data = [RevisionExample("q", "q?", ("a", "b\n"), "c\n")]
    write_revision_data(data, path)
    assert read_revision_data(path) == data
    with pytest.raises(AttributeError):
        write_revision_data([*data, None], path)
    assert read_revision_data(path) == data
    path.write_text('{"prompt": "q?", "attempts": [], "target": "t"}\n')
    assert read_revision_data(path)[0].id == Question.of("q?").id
    good = {"id": "q", "prompt": "q?", "attempts": [], "target": "t"}
    bad = [{"target": None}, {"target": ""}, {"attempts": "abc"}, {"attempts": [1]}, {"prompt": 5}, {"id": []}]
    for line in [*(json.dumps(good | change).encode() for change in bad), b"[1]", b'{"id": "\xff"}', b"{"]:
        path.write_bytes(json.dumps(good).encode() + b"\n" + line)
        with pytest.raises(ValueError, match=r"r\.jsonl, line 2: not a revision example"):
            read_revision_data(path)
    path.write_text("\n")
    with pytest.raises(ValueError, match="holds no revision examples"):
        read_revision_data(path)
