"""FLOPs-matched comparison: the paper's multipliers, totals by hand, and the FLOPs of one layer counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ttscale.core.cost import forward_flops
from ttscale.evaluation.analyse.difficulty import Bins
from ttscale.evaluation.analyse.flops import (
    PAPER_RATIOS,
    Rung,
    compare,
    matched_multiplier,
    measured_multiplier,
    questions_for_ratio,
)
from ttscale.evaluation.analyse.outcomes import Outcomes


def test_the_papers_multipliers() -> None:
    assert [round(matched_multiplier(14, r, 1), 1) for r in PAPER_RATIOS[1]] == [257.8, 63.4, 15.8]
    assert [round(matched_multiplier(14, r, 2), 1) for r in PAPER_RATIOS[2]] == [257.8, 62.8, 15.8]


@pytest.mark.parametrize("c", [1, 2])
@pytest.mark.parametrize("ratio", [0.08, 1.0, 22.0])
def test_the_multiplier_makes_both_totals_equal(c: int, ratio: float) -> None:
    """M (X + Y) for the large model, X + k Y for the small one, with X = 6 P D_pre and Y = 2 c P D_inf."""
    parameters, pretraining_tokens, scale = 1e6, 1e9, 14.0
    x = 6 * parameters * pretraining_tokens
    y = 2 * c * parameters * ratio * pretraining_tokens
    assert x + matched_multiplier(scale, ratio, c) * y == pytest.approx(scale * (x + y))


def test_a_model_of_the_same_size_buys_nothing() -> None:
    assert matched_multiplier(1, 0.5, 1) == 1


SMALL = Rung("S", parameters=1e6, pretraining=1e12, finetuning=2e11, inference=1e7)
LARGE = Rung("L", parameters=14e6, pretraining=15e12, inference=12e7)


def test_measured_totals_are_equal_at_the_measured_multiplier() -> None:
    for questions in (1e3, 1e5, 1e7):
        k = measured_multiplier(SMALL, LARGE, questions)
        assert SMALL.total(questions, k) == pytest.approx(LARGE.total(questions))
    assert measured_multiplier(SMALL, LARGE, 1e9) == pytest.approx(12, rel=0.01)  # in the end only inference counts


def test_measured_is_the_papers_formula_where_its_assumptions_hold() -> None:
    """Everything 14 times as dear, nothing fine-tuned: the multiplier at R is the formula's with c = 1."""
    small = Rung("S", 1e6, pretraining=6e15, inference=2e6 * 50)
    large = Rung("L", 14e6, pretraining=14 * 6e15, inference=14 * 2e6 * 50)
    for ratio in PAPER_RATIOS[1]:
        questions = questions_for_ratio(small, ratio)
        assert questions * 50 == pytest.approx(ratio * 1e9)  # tokens inferred over tokens trained on
        assert measured_multiplier(small, large, questions) == pytest.approx(matched_multiplier(14, ratio, 1))


def one_layer(tokens: int, width: int, heads: int, kv_heads: int, ffn: int, vocabulary: int) -> tuple[int, int, int]:
    """FLOPs, matmul weights and attention width of one causal transformer layer with a gated FFN, counted product by
    product: an (a x b) by (b x c) product is 2 a b c; a token attends to itself and those before it."""
    size = width // heads
    flops = weights = 0
    for inner, outer in (
        (width, heads * size),  # queries
        (width, kv_heads * size),  # keys
        (width, kv_heads * size),  # values
        (heads * size, width),  # output
        (width, ffn),  # gate
        (width, ffn),  # up
        (ffn, width),  # down
        (width, vocabulary),  # head
    ):
        flops += 2 * tokens * inner * outer
        weights += inner * outer
    for place in range(tokens):
        for _ in range(heads):
            flops += 2 * size * (place + 1)  # scores: one row of queries by all keys so far
            flops += 2 * (place + 1) * size  # weighted values
    return flops, weights, heads * size


@pytest.mark.parametrize("tokens", [1, 2, 7])
def test_forward_flops_of_one_layer_by_hand(tokens: int) -> None:
    flops, weights, attention_width = one_layer(tokens, width=8, heads=4, kv_heads=2, ffn=20, vocabulary=11)
    assert forward_flops(weights, attention_width, tokens, 0) == flops
    before, _, _ = one_layer(3, width=8, heads=4, kv_heads=2, ffn=20, vocabulary=11)
    both, _, _ = one_layer(3 + tokens, width=8, heads=4, kv_heads=2, ffn=20, vocabulary=11)
    assert forward_flops(weights, attention_width, tokens, 3) == both - before


def outcomes(name: str, right: dict[int, list[int]], questions: int = 4) -> Outcomes:
    names = tuple(f"q{i}" for i in range(questions))
    return Outcomes(name, names, {n: np.array(own, dtype=float)[:, None] for n, own in right.items()}, {})


def test_comparison_by_bin() -> None:
    small = outcomes("small", {1: [1, 0, 0, 0], 4: [1, 1, 0, 0], 64: [1, 1, 1, 0]})
    large = outcomes("large", {1: [1, 0, 0, 1]})
    bins = Bins({"q0": 0, "q1": 0, "q2": 1, "q3": 1}, 2, None)
    matches = compare(small, large, bins, [(22.0, 15.8), (0.16, 257.8), (99.0, 0.5)])
    shown = [
        (
            match.ratio,
            match.bin,
            match.budget,
            match.small and match.small.value,
            match.large.value,
            match.gain and match.gain.value,
        )
        for match in matches
    ]
    assert shown == [
        (22.0, None, 4, 0.5, 0.5, 0.0),
        (22.0, 0, 4, 1.0, 0.5, 0.5),
        (22.0, 1, 4, 0.0, 0.5, -0.5),
        (0.16, None, 64, 0.75, 0.5, 0.25),
        (0.16, 0, 64, 1.0, 0.5, 0.5),
        (0.16, 1, 64, 0.5, 0.5, 0.0),
        (99.0, None, None, None, 0.5, None),
        (99.0, 0, None, None, 0.5, None),
        (99.0, 1, None, None, 0.5, None),
    ]


def test_a_multiplier_is_read_as_the_paper_reads_it() -> None:
    """63.4 and 62.8 pay for 64 samples there; 15 do not pay for 16."""
    small = outcomes("small", {n: [1, 0, 1, 0] for n in (4, 16, 64)})
    large = outcomes("large", {1: [1, 0, 1, 0]})
    bins = Bins(dict.fromkeys(small.questions, 0), 1, ())
    found = [match.budget for match in compare(small, large, bins, [(1, 63.4), (1, 62.8), (1, 15.8), (1, 15.0)])]
    assert found[::2] == [64, 64, 16, 4]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: matched_multiplier(0.5, 1.0), "must be at least 1"),
        (lambda: matched_multiplier(float("inf"), 1.0), "must be at least 1"),
        (lambda: matched_multiplier(14, 0.0), "must be positive"),
        (lambda: matched_multiplier(14, 1.0, 3), "c must be 1"),
        (lambda: measured_multiplier(Rung("S", 1, 1), LARGE, 5), "must be positive"),
        (lambda: measured_multiplier(SMALL, LARGE, 0), "must be positive"),
    ],
)
def test_what_cannot_be_is_refused(call: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()  # type: ignore[operator]


def test_the_two_models_must_have_answered_the_same() -> None:
    bins = Bins({f"q{i}": 0 for i in range(4)}, 1, ())
    small, large = outcomes("small", {1: [1] * 4}), outcomes("large", {1: [1] * 4})
    with pytest.raises(ValueError, match="same questions"):
        compare(small, outcomes("large", {1: [1] * 3}, 3), bins, [(1.0, 4.0)])
    with pytest.raises(ValueError, match="answers once per question"):
        compare(small, outcomes("large", {1: [1] * 4, 2: [1] * 4}), bins, [(1.0, 4.0)])
    with pytest.raises(ValueError, match="bin 2 of 2 is empty"):
        compare(small, large, Bins(bins.of, 2, None), [(1.0, 4.0)])
