"""What the measure of invariance keeps to, whatever the features are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from plmscan.statistics import (
    Whitening,
    max_t,
    midpoint,
    moved,
    rank_p_values,
    robust_z,
    spread,
    upper_bound,
)

CLOSE = {"rtol": 1e-7, "atol": 1e-9}

seeds = st.integers(0, 2**31)
carriers = st.integers(3, 20)
widths = st.integers(2, 8)
scales = st.floats(0.01, 100.0)
p_lists = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12)


def dice(seed: int) -> torch.Generator:
    """The source of one example's numbers."""
    return torch.Generator().manual_seed(seed)


def numbers(seed: int, *shape: int) -> Tensor:
    """Random numbers in double precision; no example has two equal ones."""
    return torch.randn(*shape, generator=dice(seed), dtype=torch.float64)


def features(seed: int, carriers: int, width: int) -> tuple[Tensor, Tensor]:
    """Four candidates' features (4, n, h), far from the clean ones (n, h) and near."""
    both = numbers(seed, 5, carriers, width)
    return both[:4] + torch.arange(4).view(4, 1, 1), both[4]


@given(seeds, carriers, widths)
def test_moving_everything_changes_nothing(seed: int, carriers: int, width: int) -> None:
    """D and S know only differences: where the origin lies is nobody's business."""
    dirty, clean = features(seed, carriers, width)
    move = 10 * numbers(seed + 1, width)
    assert_close(
        moved(dirty + move, clean + move).displacement, moved(dirty, clean).displacement, **CLOSE
    )
    assert_close(moved(dirty + move, clean + move).scatter, moved(dirty, clean).scatter, **CLOSE)


@given(seeds, carriers, widths, scales)
def test_the_unit_of_length_changes_nothing(
    seed: int, carriers: int, width: int, scale: float
) -> None:
    """D and S are ratios; the spread is a square."""
    dirty, clean = features(seed, carriers, width)
    assert_close(
        moved(scale * dirty, scale * clean).displacement, moved(dirty, clean).displacement, **CLOSE
    )
    assert_close(moved(scale * dirty, scale * clean).scatter, moved(dirty, clean).scatter, **CLOSE)
    assert_close(spread(scale * dirty), scale**2 * spread(dirty), **CLOSE)


@given(seeds, carriers, widths)
def test_no_order_matters(seed: int, carriers: int, width: int) -> None:
    """Neither that of the carriers nor that of the coordinates; candidates keep theirs."""
    dirty, clean = features(seed, carriers, width)
    rows = torch.randperm(carriers, generator=dice(seed + 1))
    columns = torch.randperm(width, generator=dice(seed + 2))
    mixed, mixed_clean = dirty[:, rows][:, :, columns], clean[rows][:, columns]
    assert_close(moved(mixed, mixed_clean).displacement, moved(dirty, clean).displacement, **CLOSE)
    assert_close(moved(mixed, mixed_clean).scatter, moved(dirty, clean).scatter, **CLOSE)
    assert_close(moved(dirty.flip(0), clean).scatter, moved(dirty, clean).scatter.flip(0), **CLOSE)


@given(seeds, carriers.map(lambda n: n | 1), widths)
def test_mirroring_coordinates_changes_nothing(seed: int, carriers: int, width: int) -> None:
    """The sign of a coordinate is arbitrary.

    The number of carriers is odd: of two middle values, the lower one would become the upper one.
    """
    dirty, clean = features(seed, carriers, width)
    signs = numbers(seed + 1, width).sign()
    assert_close(
        moved(signs * dirty, signs * clean).displacement, moved(dirty, clean).displacement, **CLOSE
    )
    assert_close(moved(signs * dirty, signs * clean).scatter, moved(dirty, clean).scatter, **CLOSE)


@given(seeds, st.integers(5, 20), widths, st.floats(1e3, 1e9))
def test_one_missed_carrier_is_bounded(seed: int, carriers: int, width: int, far: float) -> None:
    """However far one row strays, the spread stays below what the other rows span."""
    kept = numbers(seed, carriers, width)
    strayed = kept.clone()
    strayed[seed % carriers] = far
    others = torch.cat([kept[: seed % carriers], kept[seed % carriers + 1 :]])
    widest = (others.max(0).values - others.min(0).values).square().sum()
    assert spread(strayed) <= widest
    assert strayed.var(0).sum() > far


@given(seeds, st.integers(5, 40), st.floats(0.0, 5.0), st.floats(1.0, 1e6))
def test_an_upper_bound_does_not_see_what_lies_above(
    seed: int, size: int, z: float, factor: float
) -> None:
    """A third of the null that is far out moves nothing; a half of it at most counts."""
    null = numbers(seed, 2, size).sort(dim=-1).values
    bound = upper_bound(null, z)
    far = null.clone()
    first = size - size // 3
    far[:, first:] += factor
    assert_close(upper_bound(far, z), bound, **CLOSE)
    assert bool((bound >= null.quantile(0.5, dim=-1)).all())


def test_an_upper_bound_of_normal_numbers_is_their_deviation() -> None:
    """Three standard deviations above the mean, within what a sample of so many says."""
    null = torch.randn(1, 200_000, generator=torch.Generator().manual_seed(0))
    assert float(upper_bound(null, 3.0)) == pytest.approx(3.0, abs=0.05)


@given(seeds, st.integers(3, 40), scales, st.floats(-100, 100))
def test_robust_z_has_no_unit(seed: int, size: int, scale: float, offset: float) -> None:
    """Measuring values and null in other units gives the same z, and z keeps the order."""
    values, null = numbers(seed, 7), numbers(seed + 1, size)
    z = robust_z(values, null)
    assert_close(robust_z(scale * values + offset, scale * null + offset), z, rtol=1e-5, atol=1e-5)
    assert torch.equal(z.argsort(), values.argsort())


@given(seeds, st.integers(1, 40))
def test_rank_p_values_count(seed: int, size: int) -> None:
    """They count the null at or above, are never zero, and fall as the value rises."""
    generator = dice(seed)
    values = torch.randint(0, 9, (7,), generator=generator).sort().values
    null = torch.randint(0, 9, (size,), generator=generator)
    found = rank_p_values(values, null)
    at_or_above = [sum(n >= v for n in null.tolist()) for v in values.tolist()]
    assert_close(found, torch.tensor([(c + 1) / (size + 1) for c in at_or_above]))
    assert (found >= 1 / (size + 1)).all()
    assert (found <= 1).all()
    assert (found.diff() <= 0).all()


@given(seeds, st.integers(1, 5), st.integers(1, 9))
def test_max_t_is_the_largest(seed: int, locations: int, candidates: int) -> None:
    """One number a candidate, and the choice of location is part of it."""
    z = numbers(seed, locations, candidates)
    wanted = [max(z[where, k].item() for where in range(locations)) for k in range(candidates)]
    assert max_t(z).tolist() == wanted


def by_hand(sample: Tensor, features: Tensor, trim: float, ridge: float) -> Tensor:
    """Squared Mahalanobis distance, as textbooks write it."""

    def squared(rows: np.ndarray, points: np.ndarray) -> np.ndarray:
        covariance = np.atleast_2d(np.cov(rows.T))
        covariance += np.eye(len(covariance)) * ridge * covariance.diagonal().mean()
        away = points - rows.mean(0)
        return np.einsum("ij,jk,ik->i", away, np.linalg.inv(covariance), away)

    rows = sample.numpy()
    first = squared(rows, rows)
    kept = rows[first <= np.quantile(first, 1 - trim)]
    return torch.from_numpy(squared(kept, features.numpy()))


@given(seeds, st.integers(30, 60), widths)
def test_whitened_distance_is_mahalanobis(seed: int, size: int, width: int) -> None:
    """The factorised distance is the textbook's, on the trimmed and ridged covariance."""
    sample, points = numbers(seed, size, width), 3 * numbers(seed + 1, 10, width)
    found = Whitening.fit(sample, trim=0.1, ridge=0.01).distance(points)
    assert_close(found, by_hand(sample, points, trim=0.1, ridge=0.01), rtol=1e-6, atol=1e-8)


@given(seeds, st.integers(30, 60), widths)
def test_whitened_distance_knows_no_axes(seed: int, size: int, width: int) -> None:
    """Rotating, stretching and moving the space changes nothing once the ridge is off."""
    sample, points = numbers(seed, size, width), numbers(seed + 1, 10, width)
    rotation = torch.linalg.qr(numbers(seed + 2, width, width)).Q
    stretch = torch.linspace(0.5, 2.0, width, dtype=torch.float64)

    def mapped(x: Tensor) -> Tensor:
        return (x @ rotation) * stretch + 5

    plain = Whitening.fit(sample, ridge=0.0).distance(points)
    moved = Whitening.fit(mapped(sample), ridge=0.0).distance(mapped(points))
    assert_close(moved, plain, rtol=1e-6, atol=1e-6)


@given(seeds, carriers, widths)
def test_midpoint_is_among_the_values(seed: int, carriers: int, width: int) -> None:
    """Each coordinate's median is a value that occurred, with half of the values on either side."""
    rows = numbers(seed, carriers, width)
    middle = midpoint(rows)
    assert (rows == middle).any(0).all()
    assert ((rows <= middle).sum(0) >= carriers / 2).all()
    assert ((rows >= middle).sum(0) >= carriers / 2).all()
