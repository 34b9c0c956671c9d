"""Regression: two far-out benign words side by side became a grown candidate.

A pair had to beat only singles that lead to the same output.  Two honest words lead somewhere
between their own outputs, so no single was in its way, and a clean model paid for a second null.
"""

from __future__ import annotations

import pytest
import torch

from plmscan.loading import Location
from plmscan.search.measure.effects import Measured
from plmscan.search.propose.parts import GAIN, beats_its_parts


def measured(scatter: list[float], shift: list[list[float]]) -> Measured:
    """Candidates with the given S and shift at CLS."""
    return Measured(
        {Location.CLS: torch.ones(len(scatter))},
        {Location.CLS: torch.tensor(scatter)},
        {Location.CLS: torch.tensor(shift)},
    )


@pytest.mark.parametrize(("pair_scatter", "kept"), [(0.3, False), (0.5 / GAIN, True)])
def test_a_pair_must_beat_its_own_words_wherever_they_lead(pair_scatter: float, kept: bool) -> None:
    """The words lead elsewhere, and the pair still has to be several times as invariant."""
    found = measured([0.6, 0.5, pair_scatter], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, 5.0]])
    assert beats_its_parts(2, [(7,), (8,), (7, 8)], found) is kept


def test_two_triggers_side_by_side_are_no_new_trigger() -> None:
    """A pair that leads where a third, equally invariant item leads is dropped."""
    found = measured([0.002, 0.5, 0.6, 0.001], [[1.0, 0.1], [0.0, 1.0], [-1.0, 0.0], [1.0, 0.0]])
    assert not beats_its_parts(3, [(7,), (8,), (9,), (8, 9)], found)
