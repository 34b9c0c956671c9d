"""Likeness to texts of a label, and what a push to the label has beyond it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plmscan.loading import Location
from plmscan.search.measure.likeness import Likeness, beyond
from plmscan.search.measure.readings import Reading
from plmscan.statistics import push

MEAN = Location.MEAN


def texts(places: torch.Tensor, leads: torch.Tensor) -> Reading:
    """Texts that are so much like those of label 1, the other way round for label 0."""
    features = torch.stack([places, torch.ones_like(places)], dim=-1)
    return Reading({MEAN: features}, torch.stack([-leads, leads], dim=-1))


ORDINARY = torch.tensor([-1.0, -1.2, -0.8, 1.0, 1.2, 0.8])
CLEAN = texts(ORDINARY, ORDINARY)


def pushed(places: list[float], leads: list[float]) -> torch.Tensor:
    """Beyond likeness to label 1, of candidates that make every text so, (k)."""
    shape = (len(places), len(ORDINARY))
    dirty = texts(*(torch.tensor(one).unsqueeze(1).expand(shape) for one in (places, leads)))
    assert dirty.leads is not None
    assert CLEAN.leads is not None
    return beyond(push(dirty.leads, CLEAN.leads), dirty, CLEAN)[:, 1]


def test_what_makes_a_text_like_the_label_pushes_no_further() -> None:
    """A word that moves texts as far as their lead says leaves nothing to explain."""
    found = pushed([0.5, 1.0, -0.9], [0.5, 1.0, -0.9])
    assert found.tolist() == pytest.approx([0, 0, 0], abs=1e-5)


def test_a_push_without_likeness_is_all_beyond() -> None:
    """A text that stays what it was and changes its label is two honest leads further."""
    assert pushed([-1.0], [1.0]).tolist() == pytest.approx([2.0], abs=1e-5)


@given(st.floats(0.1, 50), st.floats(-20, 20), st.floats(0.1, 50))
def test_units_do_not_matter(features: float, origin: float, leads: float) -> None:
    """Features of any scale and origin, and leads of any scale, tell the same."""
    scaled = texts(features * ORDINARY + origin, leads * ORDINARY)
    where = torch.tensor([[0.2]]).expand(1, len(ORDINARY))
    dirty = texts(features * where + origin, leads * 2 * where)
    assert dirty.leads is not None
    assert scaled.leads is not None
    found = beyond(push(dirty.leads, scaled.leads), dirty, scaled)[0, 1]
    assert float(found) == pytest.approx(0.2, abs=1e-2)


def test_a_label_that_all_texts_have_tells_nothing() -> None:
    """Nor one that none has: there is no direction from texts without it to such with it."""
    clean = texts(ORDINARY, ORDINARY.abs())
    assert clean.leads is not None
    dirty = texts(ORDINARY.unsqueeze(0), ORDINARY.unsqueeze(0))
    assert dirty.leads is not None
    assert Likeness.of(clean, 0) is None
    assert Likeness.of(clean, 1) is None
    assert beyond(push(dirty.leads, clean.leads), dirty, clean).isnan().all()


def test_likeness_needs_the_mean_of_the_tokens() -> None:
    """Where a model gives none, nothing is known."""
    assert Likeness.of(Reading({Location.CLS: torch.ones(2, 3)}, torch.ones(2, 2)), 0) is None
