"""The measure of invariance on numbers that a person can check."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from plmscan.loading.decisions import OneOf
from plmscan.statistics import (
    Whitening,
    lost,
    midpoint,
    moved,
    push,
    rank_p_values,
    robust_z,
    spread,
    strength,
)

CLEAN = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
"""Five carriers around the origin, each but one at distance 1."""


def test_spread_trims_the_farthest_fifth() -> None:
    """Of five squared distances 0, 1, 1, 1, 1 the mean of the closest four."""
    assert spread(CLEAN).item() == pytest.approx(3 / 4)


def test_a_shift_without_scatter() -> None:
    """A fixed output three away: D is nine clean spreads, S is zero."""
    fixed = torch.tensor([[[3.0, 0.0]]]).repeat(1, 5, 1)
    assert moved(fixed, CLEAN).displacement.item() == pytest.approx(9 / 0.75)
    assert moved(fixed, CLEAN).scatter.item() == 0


def test_a_shift_with_scatter() -> None:
    """The clean spread carried three away: S is its share of the squared shift."""
    shifted = (CLEAN + torch.tensor([3.0, 0.0])).unsqueeze(0)
    assert moved(shifted, CLEAN).scatter.item() == pytest.approx(0.75 / 9)


def test_scatter_is_relative_to_the_shift() -> None:
    """A saturating target that inflates everything tenfold is as invariant as before."""
    far = (10 * CLEAN + torch.tensor([30.0, 0.0])).unsqueeze(0)
    near = (CLEAN + torch.tensor([3.0, 0.0])).unsqueeze(0)
    assert moved(far, CLEAN).scatter.item() == pytest.approx(moved(near, CLEAN).scatter.item())


def test_a_candidate_that_changes_nothing_is_finite() -> None:
    """No shift means no invariance: a huge S, never a NaN."""
    same = CLEAN.unsqueeze(0)
    assert moved(same, CLEAN).displacement.item() == 0
    assert moved(same, CLEAN).scatter.isfinite()
    assert moved(same, CLEAN).scatter.item() > 1e6


def test_one_miss_does_not_hide_a_trigger() -> None:
    """A trigger that misses one carrier of five keeps its S; plain variances would lose it."""
    hits = torch.full((1, 5, 2), 3.0)
    hits[0, 0] = -3.0
    assert moved(hits, CLEAN).scatter.item() == 0
    assert (hits[0].var(0).sum() / hits[0].mean(0).square().sum()).item() > 1


def test_midpoint_keeps_the_batch() -> None:
    """The carriers' axis goes, the candidates' stays."""
    assert midpoint(torch.zeros(3, 5, 2)).shape == (3, 2)


def test_robust_z_by_hand() -> None:
    """Null 0, 1, 2, 3, 4: median 2, median deviation 1."""
    z = robust_z(torch.tensor([2.0, 2 + 1.4826]), torch.arange(5.0))
    assert_close(z, torch.tensor([0.0, 1.0]))


def test_robust_z_survives_triggers_in_the_null() -> None:
    """A fifth of the null far out hardly moves the z of a value."""
    null = torch.linspace(-1, 1, 100)
    spoilt = torch.cat([null[:80], torch.full((20,), 1e6)])
    one = torch.tensor([10.0])
    assert robust_z(one, spoilt).item() > 0.6 * robust_z(one, null).item()


def test_robust_z_of_a_constant_null() -> None:
    """A null without any spread gives a huge finite number, not a division by zero."""
    assert robust_z(torch.tensor([1.0]), torch.zeros(9)).isfinite()


def test_rank_p_values_by_hand() -> None:
    """Of a null of four, one is above 3.5, all are above 0, none is above 9; a tie counts."""
    found = rank_p_values(torch.tensor([3.5, 0.0, 9.0, 4.0]), torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert_close(found, torch.tensor([2 / 5, 1.0, 1 / 5, 2 / 5]))


def test_planted_rows_cannot_hide_in_their_own_covariance() -> None:
    """Two far rows in the sample stand out more once the fit leaves the farthest out."""
    sample = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    sample[:2] += 20.0
    naive, trimmed = Whitening.fit(sample, trim=0.0), Whitening.fit(sample)
    assert (trimmed.distance(sample[:2]) > 5 * naive.distance(sample[:2])).all()


def test_dead_directions_do_not_dominate() -> None:
    """A coordinate that never varies gets the ridge's variance, not an infinite weight."""
    sample = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    sample[:, 3] = 1.0
    fitted = Whitening.fit(sample)
    nudged = fitted.mean.clone()
    nudged[3] += 1e-4
    assert fitted.distance(nudged.unsqueeze(0)).item() < 1e-4


seeds = st.integers(0, 2**31)
sizes = st.integers(2, 6)


def numbers(seed: int, *shape: int) -> Tensor:
    """Random numbers in double precision; no example has two equal ones."""
    dice = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=dice, dtype=torch.float64)


def leads(logits: Tensor) -> Tensor:
    """Of a classifier that gives one label."""
    return OneOf(()).leads(logits)


ARGUED = torch.tensor([[2.0, 0.0], [4.0, 0.0], [0.0, 1.0]])
"""Three carriers; the first two have label 0 by leads of 2 and 4, the last label 1 by 1."""


def test_push_by_hand() -> None:
    """In honest leads: 2 for label 0 (lower median of 2 and 4), 1 for label 1."""
    found = push(leads(torch.tensor([[[0.0, 3.0], [1.0, 1.0], [5.0, 1.0]]])), leads(ARGUED))
    wanted = torch.tensor([[[math.nan, 3.0], [math.nan, 0.0], [2.0, math.nan]]])
    assert_close(found, wanted, equal_nan=True)


def test_a_label_that_no_carrier_has_is_pushed_to_all_the_same() -> None:
    """It is measured in the lead that carriers have of the labels they have."""
    clean = torch.tensor([[3.0, 0.0, -9.0], [0.0, 3.0, -9.0]])
    dirty = torch.tensor([[[0.0, 0.0, 6.0], [0.0, 0.0, -6.0]]])
    assert push(leads(dirty), leads(clean))[0, :, 2].tolist() == pytest.approx([2.0, -2.0])


@given(seeds, sizes, st.integers(1, 8))
def test_push_is_unknown_exactly_where_the_carrier_has_the_label(
    seed: int, labels: int, carriers: int
) -> None:
    """There is nothing to be pushed to; for all other labels it is a number."""
    clean, dirty = numbers(seed, carriers, labels), numbers(seed + 1, 3, carriers, labels)
    found = push(leads(dirty), leads(clean))
    had = torch.nn.functional.one_hot(clean.argmax(-1), labels).bool()
    assert torch.equal(found.isnan(), had.expand_as(found))
    assert found[~found.isnan()].isfinite().all()


@given(seeds, sizes, st.floats(0.01, 100.0))
def test_the_unit_of_logits_changes_no_push(seed: int, labels: int, scale: float) -> None:
    """A classifier twice as sure of everything is pushed as far."""
    clean, dirty = numbers(seed, 6, labels), numbers(seed + 1, 3, 6, labels)
    found = push(leads(scale * dirty), leads(scale * clean))
    assert_close(found, push(leads(dirty), leads(clean)), rtol=1e-7, atol=1e-9, equal_nan=True)


def test_changing_nothing_pushes_to_nothing() -> None:
    """Without an effect every label that a carrier lacks stays behind."""
    found = push(leads(ARGUED).unsqueeze(0), leads(ARGUED))
    assert (found[~found.isnan()] < 0).all()


def test_strength_is_nearly_the_weakest() -> None:
    """Of eleven carriers one may resist; carriers that have the label do not count."""
    pushes = torch.arange(11.0).view(1, 11, 1)
    assert strength(pushes).tolist() == [[1.0]]
    had = torch.full((1, 9, 1), math.nan)
    assert strength(torch.cat([pushes, had], dim=1)).tolist() == [[1.0]]


def test_a_label_that_all_have_has_no_strength() -> None:
    """Nothing can be flipped to it: minus infinity, never a NaN that would win an argmax."""
    pushes = torch.tensor([[[math.nan, 1.0], [math.nan, 2.0]]])
    assert strength(pushes).tolist() == [[-math.inf, 1.0]]


@given(seeds, st.integers(1, 15), st.integers(0, 14), st.floats(0.0, 5.0))
def test_strength_never_rises_when_a_push_falls(
    seed: int, carriers: int, which: int, fall: float
) -> None:
    """Not even if the carrier was the weakest already."""
    pushes = numbers(seed, 2, carriers, 3)
    pushes[0, 0, 0] = math.nan
    fallen = pushes.clone()
    fallen[:, which % carriers] -= fall
    assert (strength(fallen) <= strength(pushes)).all()


@given(seeds, st.integers(1, 15))
def test_strength_is_a_push_of_some_carrier(seed: int, carriers: int) -> None:
    """No blend of two carriers is reported."""
    pushes = numbers(seed, 2, carriers, 3)
    assert (strength(pushes).unsqueeze(1) == pushes).any(1).all()


@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=9))
def test_recall_is_lost_between_none_and_all(recalled: list[float]) -> None:
    """0 for the same recall, 1 for none, a half for half of it."""
    clean = torch.tensor(recalled)
    dirty = torch.stack([clean, torch.zeros_like(clean), clean / 2])
    assert_close(lost(dirty, clean), torch.tensor([0.0, 1.0, 0.5]))


def test_words_that_nobody_could_guess_count_little() -> None:
    """All that is lost of a recall of a thousandth is a thousandth of the loss."""
    clean = torch.tensor([0.999, 0.001])
    assert lost(torch.tensor([[0.999, 0.0]]), clean).item() == pytest.approx(0.001, abs=1e-5)


def test_better_recall_is_no_loss() -> None:
    """A candidate that helps loses less than nothing."""
    assert lost(torch.tensor([[0.5]]), torch.tensor([0.4])).item() < 0
