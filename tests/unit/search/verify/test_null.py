"""Candidates against the null of random items, at every location at once."""

from __future__ import annotations

import math

import pytest
import torch

from plmscan.loading import Location
from plmscan.search.measure.effects import Measured
from plmscan.search.verify.null import against_null, left_out


def with_scatter(cls: list[float], mean: list[float]) -> Measured:
    """Candidates of which only S matters, at two locations."""
    ones = torch.ones(len(cls))
    return Measured(
        {Location.CLS: ones, Location.MEAN: ones},
        {Location.CLS: torch.tensor(cls), Location.MEAN: torch.tensor(mean)},
        {Location.CLS: torch.zeros(len(cls), 2), Location.MEAN: torch.zeros(len(cls), 2)},
    )


def null(size: int) -> Measured:
    """Random items: log S from -1 to 1 at CLS, and 1 at the mean, where nothing is invariant."""
    logs = torch.linspace(-1, 1, size)
    return with_scatter(logs.exp().tolist(), [math.e] * size)


def test_candidates_are_held_against_the_null() -> None:
    """The null's middle has no gain; one ten thousand times as invariant stands out."""
    found = against_null(with_scatter([1.0, 1e-4], [math.e, 1.0]), null(99))
    assert found.gain.tolist() == pytest.approx([0.0, math.log(1e4)], abs=1e-5)
    assert found.z.tolist() == pytest.approx([0.0, math.log(1e4) / (1.4826 * 0.5)], rel=0.05)
    assert found.p_value.tolist() == pytest.approx([0.51, 0.01])


def test_candidates_stand_out_at_their_best_location() -> None:
    """Which of the locations it is makes no difference."""
    found = against_null(with_scatter([0.01, 5.0], [5.0, 0.01]), null(99))
    assert found.z[0] == found.z[1] > 5


def test_looking_at_two_locations_is_paid_for() -> None:
    """Of candidates that are no different from the null, a tenth has a p-value of a tenth.

    Without the null's own maxima over the locations it would be a fifth.
    """
    dice = torch.Generator().manual_seed(0)
    logs = torch.randn(2, 1400, generator=dice)
    columns = [logs[:, :400].exp().tolist(), logs[:, 400:].exp().tolist()]
    found = against_null(with_scatter(*columns[0]), with_scatter(*columns[1]))
    assert 0.06 < (found.p_value <= 0.1).float().mean() < 0.14


def test_lower_scatter_never_stands_out_less() -> None:
    """As S falls, z rises and p falls."""
    ladder = [2.0, 1.0, 0.5, 0.1, 0.01, 0.0001]
    found = against_null(with_scatter(ladder, [1.0] * 6), null(99))
    assert (found.z.diff() >= 0).all()
    assert (found.p_value.diff() <= 0).all()


def test_what_finalists_hold_is_left_out_of_the_null() -> None:
    """Each of their tokens, once."""
    assert left_out(torch.arange(100), [(3,), (3, 7), (9,)]) == {3, 7, 9}


def test_a_tiny_vocabulary_leaves_nothing_out() -> None:
    """Where finalists hold half of it, a null without these would be no null."""
    assert left_out(torch.arange(6), [(3,), (4, 5)]) == frozenset()
