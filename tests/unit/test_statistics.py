"""The measure of invariance on numbers that a person can check."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from plmscan.statistics import (
    Whitening,
    displacement,
    holm,
    midpoint,
    rank_p_values,
    robust_z,
    scatter,
    spread,
)

CLEAN = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
"""Five carriers around the origin, each but one at distance 1."""


def test_spread_trims_the_farthest_fifth() -> None:
    """Of five squared distances 0, 1, 1, 1, 1 the mean of the closest four."""
    assert spread(CLEAN).item() == pytest.approx(3 / 4)


def test_a_shift_without_scatter() -> None:
    """A fixed output three away: D is nine clean spreads, S is zero."""
    fixed = torch.tensor([[[3.0, 0.0]]]).repeat(1, 5, 1)
    assert displacement(fixed, CLEAN).item() == pytest.approx(9 / 0.75)
    assert scatter(fixed, CLEAN).item() == 0


def test_a_shift_with_scatter() -> None:
    """The clean spread carried three away: S is its share of the squared shift."""
    moved = (CLEAN + torch.tensor([3.0, 0.0])).unsqueeze(0)
    assert scatter(moved, CLEAN).item() == pytest.approx(0.75 / 9)


def test_scatter_is_relative_to_the_shift() -> None:
    """A saturating target that inflates everything tenfold is as invariant as before."""
    far = (10 * CLEAN + torch.tensor([30.0, 0.0])).unsqueeze(0)
    near = (CLEAN + torch.tensor([3.0, 0.0])).unsqueeze(0)
    assert scatter(far, CLEAN).item() == pytest.approx(scatter(near, CLEAN).item())


def test_a_candidate_that_changes_nothing_is_finite() -> None:
    """No shift means no invariance: a huge S, never a NaN."""
    same = CLEAN.unsqueeze(0)
    assert displacement(same, CLEAN).item() == 0
    assert scatter(same, CLEAN).isfinite()
    assert scatter(same, CLEAN).item() > 1e6


def test_one_miss_does_not_hide_a_trigger() -> None:
    """A trigger that misses one carrier of five keeps its S; plain variances would lose it."""
    hits = torch.full((1, 5, 2), 3.0)
    hits[0, 0] = -3.0
    assert scatter(hits, CLEAN).item() == 0
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


def test_holm_by_hand() -> None:
    """The smallest of three is tripled, the next doubled, and none falls behind the one before."""
    found = holm(torch.tensor([0.04, 0.01, 0.021]))
    assert_close(found, torch.tensor([0.042, 0.03, 0.042]))


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
