"""Noise and draws: against plain integers, against transformers' filters, and against the distribution itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from hf.slow import probabilities, uniform
from ttscale.hf.sampling import Filters, draw, inverse_cdf, uniforms

SEEDS = st.integers(0, 2**63 - 1)


@given(SEEDS, st.integers(0, 2**40))
def test_noise_is_a_function_of_seed_and_counter(seed: int, counter: int) -> None:
    found = uniforms(np.array([seed], np.uint64), np.array([counter], np.uint64))
    assert found.dtype == np.float32
    assert float(found[0]) == uniform(seed, counter)
    assert 0 < found[0] < 1


def test_noise_never_changes() -> None:
    """Recorded once: a change would change every result of every user."""
    found = uniforms(np.array([0, 1, 12345], np.uint64), np.array([0, 1, 2], np.uint64))
    assert found.tolist() == [0.883310854434967, 0.3723934292793274, 0.5383267998695374]


def test_noise_is_even_along_counters_and_across_seeds() -> None:
    """Chance that an honest source fails: below 1e-6 (a mean of 100,000 is within 5 standard errors)."""
    for seeds, counters in ((np.full(100_000, 7), np.arange(100_000)), (np.arange(100_000), np.full(100_000, 3))):
        noise = uniforms(seeds.astype(np.uint64), counters.astype(np.uint64)).astype(np.float64)
        assert abs(noise.mean() - 0.5) < 5 * (1 / 12 / 100_000) ** 0.5
        assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 0.016


@pytest.mark.parametrize("vocabulary", [3, 511, 512, 4096, 4099, 151_936])
def test_inverse_distribution_in_two_levels(vocabulary: int) -> None:
    """Against a running sum in float64; sizes with and without a stretch that divides them."""
    torch.manual_seed(0)
    weights = torch.rand(50, vocabulary) ** 8
    weights[torch.rand_like(weights) < 0.3] = 0
    weights[:, 0] += 1e-3
    noise = torch.rand(50)
    drawn = inverse_cdf(weights, noise)
    mass = (weights.double() / weights.double().sum(-1, keepdim=True)).cumsum(-1)
    below = torch.where(drawn > 0, mass.gather(-1, (drawn - 1).clamp(min=0)[:, None])[:, 0], 0.0)
    above = mass.gather(-1, drawn[:, None])[:, 0]
    assert (below <= noise + 2e-6).all()
    assert (above >= noise - 2e-6).all()
    assert (weights.gather(-1, drawn[:, None]) > 0).all()


@pytest.mark.parametrize("noise", [0.0, 2.0**-24, 0.5, 1 - 2.0**-24, 1.0])
@pytest.mark.parametrize("vocabulary", [5, 1024])
def test_a_token_without_weight_is_never_drawn(vocabulary: int, noise: float) -> None:
    for kept in ([1], [0, vocabulary - 1], [2, 3], [vocabulary // 2]):
        weights = torch.zeros(1, vocabulary)
        weights[0, kept] = 0.7
        assert int(inverse_cdf(weights, torch.tensor([noise]))) in kept


def test_draws_follow_the_distribution() -> None:
    """20,000 draws of 6 tokens: every share within 5 standard errors (chance of failing by luck below 1e-5)."""
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0, 0.5, -30.0]]).expand(20_000, -1)
    noise = torch.from_numpy(uniforms(np.arange(20_000, dtype=np.uint64), np.zeros(20_000, np.uint64)))
    tokens, logprobs, _ = draw(logits, noise, [1.0] * 20_000, Filters())
    expected = logits[0].softmax(-1)
    shares = torch.bincount(tokens, minlength=6) / 20_000
    assert ((shares - expected).abs() <= 5 * (expected * (1 - expected) / 20_000).sqrt() + 1e-9).all()
    assert torch.allclose(logprobs, expected.log()[tokens], atol=1e-5)


@pytest.mark.parametrize(
    "filters", [Filters(), Filters(top_k=5), Filters(top_p=0.7), Filters(min_p=0.1), Filters(20, 0.8, 0.05)], ids=str
)
@pytest.mark.parametrize("spread", [0.01, 1.0, 5.0])
def test_filters_are_those_of_transformers(filters: Filters, spread: float) -> None:
    """The tokens that can be drawn, from flat distributions (top-p needs the full sort) to peaked ones."""
    torch.manual_seed(1)
    logits = spread * torch.randn(8, 600)
    warpers = transformers.LogitsProcessorList()
    if filters.top_k is not None:
        warpers.append(transformers.TopKLogitsWarper(filters.top_k))
    if filters.top_p is not None:
        warpers.append(transformers.TopPLogitsWarper(filters.top_p))
    if filters.min_p is not None:
        warpers.append(transformers.MinPLogitsWarper(filters.min_p))
    wanted = warpers(torch.zeros(8, 0, dtype=torch.long), logits / 0.9).softmax(-1)
    noise = (torch.arange(2000) + 0.5) / 2000
    for row in range(8):
        tokens, _, _ = draw(logits[row].expand(2000, -1), noise, [0.9] * 2000, filters)
        assert set(tokens.tolist()) <= set(wanted[row].nonzero()[:, 0].tolist())
        shares = torch.bincount(tokens, minlength=600) / 2000
        assert (shares - wanted[row]).abs().max() <= 1.01 / 2000 + 1e-5
        assert torch.allclose(wanted[row], probabilities(logits[row], 0.9, *_settings(filters)).float(), atol=1e-5)


def _settings(filters: Filters) -> tuple[int | None, float | None, float | None]:
    return filters.top_k, filters.top_p, filters.min_p


def test_each_row_has_its_own_temperature() -> None:
    torch.manual_seed(2)
    logits, noise = torch.randn(4, 50), torch.rand(4)
    heat = [0.0, 0.3, 1.0, 2.5]
    together = draw(logits, noise, heat, Filters())
    alone = [draw(logits[i : i + 1], noise[i : i + 1], [heat[i]], Filters()) for i in range(4)]
    for part in range(3):
        assert torch.allclose(together[part].float(), torch.cat([a[part] for a in alone]).float(), atol=1e-6)
    assert int(together[0][0]) == int(logits[0].argmax())


@pytest.mark.parametrize("vocabulary", [64, 50_000])
def test_a_row_is_drawn_as_it_is_alone(vocabulary: int) -> None:
    torch.manual_seed(0)
    logits, uniform = torch.randn(40, vocabulary) * 3, torch.rand(40)
    heat = [(0.8, 0.0, 1.0)[row % 3] for row in range(40)]
    processed = logits.masked_fill(torch.rand(40, vocabulary) < 0.5, -torch.inf)
    for allowed in (None, processed):
        together = draw(logits, uniform, heat, Filters(top_p=0.9), allowed)
        for row in range(40):
            part = slice(row, row + 1)
            own = None if allowed is None else allowed[part]
            alone = draw(logits[part], uniform[part], heat[part], Filters(top_p=0.9), own)
            assert together[0][row] == alone[0][0]
            assert all(torch.allclose(a[row], b[0], atol=1e-5) for a, b in zip(together, alone, strict=True))


def test_certainty_is_the_divergence_from_uniform() -> None:
    torch.manual_seed(3)
    logits = torch.randn(3, 40)
    for heat in ([1.0] * 3, [0.0, 0.5, 2.0]):
        _, _, certainty = draw(logits, torch.rand(3), heat, Filters())
        wanted = (torch.full((3, 40), 1 / 40) * (torch.tensor(1 / 40).log() - logits.log_softmax(-1))).sum(-1)
        assert torch.allclose(certainty, wanted, atol=1e-5)


@pytest.mark.parametrize(
    "bad", [{"top_k": 0}, {"top_k": 1.5}, {"top_p": 0.0}, {"top_p": 1.2}, {"min_p": -0.1}], ids=str
)
def test_bad_filters(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Filters(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_logits_that_are_no_numbers_give_a_log_probability_that_is_none(temperature: float) -> None:
    """The decoder refuses it: never a crash in a kernel, never a token 0 that looks like any other."""
    logits = torch.zeros(2, 1000)
    logits[1, 7] = torch.nan
    tokens, logprobs, _ = draw(logits, torch.full((2,), 0.5), [temperature] * 2, Filters())
    assert ((tokens >= 0) & (tokens < 1000)).all()
    assert logprobs.isnan().tolist() == [False, True]
