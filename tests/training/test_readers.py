"""Published formats: every well-formed row is read as it says, every malformed one is counted and none is guessed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from real_data import data_file
from ttscale.training.data.examples import StepExample, write_examples
from ttscale.training.data.readers import (
    RowCount,
    read_math_shepherd,
    read_omegaprm,
    read_prm800k,
    read_rlhflow,
    read_rollouts,
    read_trl,
    write_trl,
)


def found(read):
    return [(e.prompt, e.steps, e.labels) for e in read.examples]


def reasons(read):
    return {reason: count.rows for reason, count in read.malformed.items()}


# TRL


def test_trl_rows():
    rows = [
        {"prompt": "p", "completions": ["a", "b\n", "c"], "labels": [True, 0.9, False]},
        {"prompt": "p", "completions": ["a"], "labels": [True, False]},
        {"prompt": "p", "completions": ["a"], "labels": ["yes"]},
        {"prompt": "p", "completions": ["a"], "labels": [1.5]},
        {"prompt": "p", "completions": [""], "labels": [True]},
        {"prompt": "", "completions": ["a"], "labels": [True]},
        {"prompt": "p", "completions": [], "labels": []},
        {"prompt": "p", "labels": [True]},
    ]
    read = read_trl(rows)
    assert found(read) == [("p", ("a\n", "b\n", "c"), (1.0, 0.9, 0.0))]
    assert read.examples[0].correct is None
    assert reasons(read) == {
        "completions and labels differ in number": 1,
        "a label is not true, false or a number in [0, 1]": 2,
        "a completion is not a text": 1,
        "no text in 'prompt'": 1,
        "no list in 'completions'": 2,
    }
    assert read.malformed["a label is not true, false or a number in [0, 1]"] == RowCount(2, (3, 4))
    assert str(read).splitlines()[0] == "1 examples from 8 rows"
    assert "malformed: 2 (no list in 'completions'; rows 7, 8)" in str(read)


def test_trl_and_back(tmp_path):
    examples = [StepExample("q", "p", ("a\n", "b"), (0.4, 0.0))]
    write_trl(examples, tmp_path / "t.jsonl", threshold=0.0)
    assert json.loads((tmp_path / "t.jsonl").read_text()) == {
        "prompt": "p",
        "completions": ["a", "b"],
        "labels": [True, False],
    }
    write_trl(examples, tmp_path / "t.jsonl", threshold=0.5)
    assert found(read_trl(tmp_path / "t.jsonl")) == [("p", ("a\n", "b"), (0.0, 0.0))]
    with pytest.raises(ValueError, match="earlier attempts in its context, which TRL's format has no place for"):
        write_trl([StepExample("q", "p", ("a",), (1.0,), attempts=("b",))], tmp_path / "t.jsonl", threshold=0.0)
    with pytest.raises(ValueError, match="TRL needs all"):
        write_trl([*examples, StepExample("q", "p", ("a",), (None,))], tmp_path / "t.jsonl", threshold=0.0)
    assert len(read_trl(tmp_path / "t.jsonl").examples) == 1  # what was there stays
    assert [path.name for path in tmp_path.iterdir()] == ["t.jsonl"]


# Math-Shepherd


def shepherd(question, steps, signs, tail=""):
    text = f"{question} " + "\n".join(f"{step} ки" for step in steps) + tail
    label = f"{question} " + "\n".join(f"{step} {sign}" for step, sign in zip(steps, signs, strict=True)) + tail
    return {"input": text, "label": label, "task": "GSM8K"}


STEPS = ["Step 1: 2 + 2 = 4", "Step 2: 4 - 1 = +3", "Step 3: The answer is: 3"]


def test_math_shepherd_rows_are_aligned_by_order():
    read = read_math_shepherd([shepherd("How many + or -?", STEPS, "++-")])
    assert found(read) == [
        (
            "How many + or -?",
            ("Step 1: 2 + 2 = 4\n", "Step 2: 4 - 1 = +3\n", "Step 3: The answer is: 3"),
            (1.0, 1.0, 0.0),
        )
    ]
    assert read.examples[0].correct is None
    told = read_math_shepherd([shepherd("Q?", STEPS, "++-"), shepherd("Q?", STEPS, "+++")], last_is_outcome=True)
    assert [e.correct for e in told.examples] == [False, True]


def test_malformed_math_shepherd_rows_are_counted():
    good = shepherd("Q?", STEPS, "+++")
    rows = [
        {**good, "label": good["label"].replace("+\nStep 2", "ки\nStep 2")},
        {**good, "label": good["label"].replace("4 - 1", "5 - 1")},
        {**good, "label": good["label"] + "\nStep 4: more +"},
        shepherd("Q?", STEPS, "+++", tail=" and so on"),
        shepherd("Q?", ["First: 4", "Step 2: 5"], "++"),
        shepherd("", STEPS, "+++"),
        shepherd("Q?", ["Step 1: 4", " "], "++"),
        {"input": "Q? Step 1: 4", "label": "Q? Step 1: 4"},
        {"label": "x"},
        shepherd("What follows 'Step 1: open'?", STEPS, "+++"),
    ]
    read = read_math_shepherd(rows)
    assert read.examples == []
    assert reasons(read) == {
        "a step mark is not replaced by + or -": 1,
        "'label' is not 'input' with its marks replaced": 1,
        "'label' is longer than 'input'": 1,
        "text after the last step mark": 1,
        "no 'Step 1:' before the first mark, so the question's end is not known": 1,
        "no question before the first step": 1,
        "an empty step": 1,
        "no step mark in 'input'": 1,
        "no text in 'input'": 1,
        "'Step 1:' comes twice before the first mark, so the question's end is not known": 1,
    }


# PRM800K


def completion(text, rating, flagged=None):
    return {"text": text, "rating": rating, "flagged": flagged}


def prm800k(steps, finish="solution", **row):
    return {
        "question": {"problem": "P?", "ground_truth_answer": "3"},
        "label": {"steps": steps, "finish_reason": finish, "total_time": 1},
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
    } | row


def step(completions, chosen, human=None):
    return {"completions": completions, "human_completion": human, "chosen_completion": chosen}


PHASE_1 = prm800k(
    [
        step([completion("bad", -1), completion("good", 1), completion("so-so", 0)], 1),
        step([completion("neutral", 0)], 0),
        step([completion("worse", -1)], None, {"text": "mine", "rating": None, "source": "human"}),
        step([completion("end", 1)], 0),
    ]
)


@pytest.mark.parametrize(("neutral", "value"), [("positive", 1.0), ("negative", 0.0), ("unlabelled", None)])
def test_phase_1_gives_the_path_and_every_alternative(neutral, value):
    read = read_prm800k([PHASE_1], neutral=neutral)
    so_so = [("P?", ("so-so",), (value,))] if value is not None else []
    assert found(read) == [
        ("P?", ("good\n", "neutral\n", "mine\n", "end"), (1.0, value, None, 1.0)),
        ("P?", ("bad",), (0.0,)),
        *so_so,
        ("P?", ("good\n", "neutral\n", "worse"), (None, None, 0.0)),
    ]


def test_phase_2_ends_at_the_first_error():
    row = prm800k([step([completion("good", 1)], 0), step([completion("wrong", -1)], None)], "found_error")
    assert found(read_prm800k([row], neutral="positive")) == [("P?", ("good\n", "wrong"), (1.0, 0.0))]


def test_a_flagged_or_unrated_completion_has_no_label():
    row = prm800k([step([completion("a", 1, flagged=True), completion("b", None)], 0), step([completion("c", 1)], 0)])
    assert found(read_prm800k([row], neutral="positive")) == [("P?", ("a\n", "c"), (None, 1.0))]


def test_rows_that_are_left_out_and_rows_that_are_malformed():
    good = [step([completion("a", 1)], 0)]
    rows = [
        prm800k(good, is_quality_control_question=True),
        prm800k(good, is_initial_screening_question=True),
        prm800k(good, "bad_problem"),
        prm800k([step([completion("a", None)], 0)]),
        prm800k([step([completion("a", 2)], 0)]),
        prm800k([step([completion("a", 1)], 1)]),
        prm800k([step([], None)]),
        prm800k([]),
        prm800k([step([{"rating": 1}], 0)]),
        prm800k(["x"]),
        {"question": {"problem": "P?"}},
        prm800k([step(5, 0)]),
        prm800k([step({"a": 1}, 0)]),
        prm800k([step([completion("a", 1), completion("b", -1)], True)]),
        prm800k([step([completion("a", -1)], None, "")]),
        prm800k([step([completion("a", -1)], None), *good]),
    ]
    read = read_prm800k(rows, neutral="positive")
    assert read.examples == []
    assert {r: c.rows for r, c in read.left_out.items()} == {
        "quality control": 1,
        "initial screening": 1,
        "bad problem": 1,
        "no rated step": 1,
    }
    assert reasons(read) == {
        "a rating is not -1, 0, 1 or null": 1,
        "chosen_completion is not the index of a completion": 2,
        "completions is not a list": 2,
        "human_completion is not a text": 1,
        "a step without any completion": 1,
        "no list in 'steps'": 1,
        "no text in 'text'": 1,
        "a step is not an object": 1,
        "no question or no label": 1,
        "steps after one of which nothing was chosen": 1,
    }
    with pytest.raises(ValueError, match="neutral must be one of positive, negative, unlabelled"):
        read_prm800k(rows, neutral="maybe")


# RLHFlow


def turns(*texts):
    return [{"role": "user" if i % 2 == 0 else "assistant", "content": text} for i, text in enumerate(texts)]


def test_rlhflow_conversations():
    rows = [
        {"conversations": turns("Q? Step 1: a", "+", "Step 2: b", "-")},
        {"messages": [{"from": "human", "value": "Q? Step 1: a"}, {"from": "gpt", "value": " + "}]},
        {"conversations": turns("Q? First a", "+")},
        {"conversations": turns("Step 1: a", "+")},
        {"conversations": turns("Q? Step 1: a", "maybe")},
        {"conversations": turns("Q? Step 1: a", "+", "Step 2: b")},
        {"conversations": turns("Q? Step 1: a", "+", " ", "+")},
        {"conversations": [{"role": "user"}]},
        {"conversations": []},
    ]
    read = read_rlhflow(rows)
    assert found(read) == [("Q?", ("Step 1: a\n", "Step 2: b"), (1.0, 0.0)), ("Q?", ("Step 1: a",), (1.0,))]
    assert reasons(read) == {
        "no 'Step 1:' in the first turn, so the question's end is not known": 1,
        "no question before the first step": 1,
        "an assistant turn is not + or -": 1,
        "turns are not user and assistant in alternation": 1,
        "an empty step": 1,
        "a turn without role or content": 1,
        "no list in 'conversations'": 1,
    }
    assert found(read_rlhflow(rows[2:3], boundary="First")) == [("Q?", ("First a",), (1.0,))]
    with pytest.raises(ValueError, match="boundary must not be empty"):
        read_rlhflow(rows, boundary="")


# OmegaPRM


def test_omegaprm_as_published():
    path = data_file("omegaprm_samples.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    read = read_omegaprm(path)
    assert (read.rows, read.malformed, read.left_out) == (3, {}, {})
    distinct = {
        (row["question"], entry["solution_prefix"], entry["mc_value"])
        for row in rows
        for entry in row["reasoning_steps"]
        if entry["solution_prefix"] != row["question"]
    }
    expected = sorted((question, prefix[len(question) :].strip(), value) for question, prefix, value in distinct)
    assert sorted((e.prompt, e.text, e.labels[-1]) for e in read.examples) == expected
    for example in read.examples:
        assert set(example.labels[:-1]) <= {None}
        assert all(step.endswith("\n\n") for step in example.steps[:-1])


def test_malformed_omegaprm_rows_are_counted():
    def row(prefix, value):
        return {"question": "Q?", "reasoning_steps": [{"solution_prefix": prefix, "mc_value": value}]}

    read = read_omegaprm([row("Q? a", 2), row("R? a", 0.5), row("Q?", 0.5), {"question": "Q?"}, row("Q? a\n\nb", 0.5)])
    assert reasons(read) == {
        "mc_value is not a number in [0, 1]": 1,
        "a prefix does not begin with the question": 1,
        "no list in 'reasoning_steps'": 1,
    }
    assert {reason: c.rows for reason, c in read.left_out.items()} == {"no prefix beyond the question": 1}
    assert found(read) == [("Q?", ("a\n\n", "b"), (None, 0.5))]


# our own


def test_our_own_format_round_trips(tmp_path):
    examples = [
        StepExample("q", "p", ("a\n", "b"), (0.25, None), True, "3", ("x", "y"), (4, 0), (1, 0)),
        StepExample("r", "p", ("a",), (1.0,)),
    ]
    write_examples(examples, tmp_path / "e.jsonl")
    assert read_rollouts(tmp_path / "e.jsonl").examples == examples


def test_malformed_rows_of_our_own_are_counted(tmp_path):
    row = {"prompt": "p", "steps": ["a"], "values": [0.5], "n_rollouts": [2], "n_correct": [1], "correct": True}
    rows = [
        row,
        row | {"prompt": 3},
        row | {"steps": "a"},
        row | {"values": []},
        row | {"values": [1.5]},
        row | {"values": [True]},
        row | {"n_rollouts": [2, 3]},
        row | {"n_correct": [3]},
        row | {"correct": "yes"},
        *(row | {"n_rollouts": counts} for counts in (5, None, "a", [True])),
        row | {"n_correct": None},
        *(row | {"attempts": attempts} for attempts in (None, "abc", [1, 2])),
        row | {"answer": 5},
        row | {"steps": [""]},
        row | {"id": ["q"]},
    ]
    path = tmp_path / "own.jsonl"
    lines = "".join(json.dumps(r) + "\n" for r in rows).encode()
    deep = b"[" * 100_000 + b"]" * 100_000 + b"\n"
    path.write_bytes(lines + deep + b'{"prompt": "\xff"}\n[1]\n{"prompt": "p", "st')
    read = read_rollouts(path)
    assert found(read) == [("p", ("a",), (0.5,))]
    assert reasons(read) == {
        "no prompt": 1,
        "steps is not a list of texts": 2,
        "values and steps differ in number": 1,
        "a value is not a number in [0, 1]": 2,
        "n_rollouts is not one count per step": 5,
        "n_correct is not one count per step": 1,
        "attempts is not a list of texts": 3,
        "answer is not a text or null": 1,
        "id is not a text or a number": 1,
        "n_correct exceeds n_rollouts": 1,
        "correct is not true, false or null": 1,
        "not an object": 1,
        "not JSON": 3,
    }
    assert read.malformed["not JSON"].first == (21, 22, 24)


def test_questions_without_an_id_are_told_apart_by_their_text():
    row = {"steps": ["a"], "values": [0.5]}
    rows = [row | {"prompt": "p", "id": None}, row | {"prompt": "p"}, row | {"prompt": "q", "id": None}]
    rows.append(row | {"prompt": "p", "id": 7})
    first, same, other, named = (example.id for example in read_rollouts(rows).examples)
    assert (first == same, first == other, named) == (True, False, "7")


def test_half_a_character_is_read_as_a_replacement(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text('{"prompt": "\\ud800?", "steps": ["\\udc00", "\\ud83d\\ude00"], "values": [1, 0]}\n')
    (example,) = read_rollouts(path).examples
    assert (example.prompt, example.steps) == ("\ufffd?", ("\ufffd", "\U0001f600"))
    write_examples([StepExample("q", "\ud800?", ("a",), (1.0,))], path)
    assert read_rollouts(path).examples[0].prompt == "\ufffd?"


# all of them

values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text("Step 1: ки+-\n", max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["prompt", "text", "rating", "role", "content", "steps"]), inner, max_size=3)
    ),
    max_leaves=8,
)
names = [
    "prompt",
    "completions",
    "labels",
    "input",
    "label",
    "question",
    "conversations",
    "steps",
    "values",
    "reasoning_steps",
]


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(names), values, max_size=5))
def test_no_row_breaks_a_reader(row):
    readers = [read_trl, read_math_shepherd, read_rlhflow, read_omegaprm, read_rollouts]
    for read in [*(reader([row]) for reader in readers), read_prm800k([row], neutral="positive")]:
        counted = [*read.malformed.values(), *read.left_out.values()]
        assert bool(read.examples) + sum(count.rows for count in counted) <= 1


def test_json_lists_are_read_and_other_json_is_refused(tmp_path):
    (tmp_path / "l.json").write_text(json.dumps([{"prompt": "p", "completions": ["a"], "labels": [True]}]))
    assert len(read_trl(tmp_path / "l.json").examples) == 1
    (tmp_path / "o.json").write_text("{}")
    with pytest.raises(ValueError, match="must hold a list of rows"):
        read_trl(tmp_path / "o.json")
    (tmp_path / "o.json").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"o\.json is not JSON"):
        read_trl(tmp_path / "o.json")


def test_columns_that_a_table_adds_are_no_data():
    """The datasets library gives every row every column, null where the row had none."""
    row = {
        "prompt": "p",
        "steps": ["a"],
        "values": [0.5],
        "n_rollouts": [2],
        "n_correct": [1],
        "ttscale": None,
        "done": None,
    }
    header, last = {**dict.fromkeys(row), "ttscale": "rollouts"}, {**dict.fromkeys(row), "done": "q"}
    read = read_rollouts([header, row, last])
    assert found(read) == [("p", ("a",), (0.5,))]
    assert not read.malformed
