"""What a gradient search maximises, on numbers that a person can check."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plmscan.loading import Location
from plmscan.loading.decisions import OneOf
from plmscan.search.measure.readings import Reading
from plmscan.search.propose.objectives import Corruption, Flip, Invariance

if TYPE_CHECKING:
    from torch import Tensor

    from plmscan.search.propose.objectives import Objective

CLS, MEAN = Location.CLS, Location.MEAN
OBJECTIVES: tuple[Objective, ...] = (Invariance(), Flip(0), Flip(2), Corruption())


def reading(seed: int, *shape: int) -> Reading:
    """A random reading of texts; three labels, and recall between 0 and 1."""
    dice = torch.Generator().manual_seed(seed)
    features = torch.randn(*shape, 5, generator=dice)
    leads = OneOf(()).leads(torch.randn(*shape, 3, generator=dice))
    recall = torch.rand(*shape, generator=dice) + 0.01
    return Reading({CLS: features}, leads, recall)


def parts(given: Reading) -> list[Tensor]:
    """All tensors of a reading, as leaves of a graph."""
    assert given.leads is not None
    assert given.recall is not None
    return [one.requires_grad_() for one in (given.features[CLS], given.leads, given.recall)]


def gradient(objective: Objective, dirty: Reading, clean: Reading) -> Tensor:
    """Of the summed score, for all that ``dirty`` says of each candidate, (k, ...)."""
    leaves = parts(dirty)
    score = objective(dirty, clean).sum()
    found = torch.autograd.grad(score, leaves, materialize_grads=True)
    return torch.cat([one.flatten(1) for one in found], dim=1)


@settings(deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(OBJECTIVES), st.integers(2, 8))
def test_every_score_has_a_gradient(seed: int, objective: Objective, carriers: int) -> None:
    """Finite, and not zero, where there is anything to gain."""
    clean = reading(seed + 1, carriers)
    assert clean.leads is not None
    # All carriers have label 1, so that others can be gained.
    clean.leads.copy_(OneOf(()).leads(clean.leads + torch.tensor([0.0, 19.0, 0.0])))
    found = gradient(objective, reading(seed, 4, carriers), clean)
    assert found.isfinite().all()
    assert (found != 0).any(1).all()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_one_score_a_candidate(objective: Objective) -> None:
    """Each candidate is scored by itself."""
    dirty, clean = reading(0, 4, 6), reading(1, 6)
    both = objective(dirty, clean)
    last = Reading.joined([dirty], lambda rows: rows[0][3:])
    assert both.shape == (4,)
    assert objective(last, clean).item() == pytest.approx(both[3].item(), rel=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_candidate_that_changes_nothing_still_has_a_gradient(objective: Objective) -> None:
    """The start of a search: an empty text in place of a trigger."""
    clean = reading(1, 6)
    dirty = Reading.joined([clean], lambda rows: rows[0].unsqueeze(0).clone())
    assert gradient(objective, dirty, clean).isfinite().all()


def features(rows: list[list[float]]) -> Reading:
    """Features of one candidate in a few carriers."""
    return Reading({CLS: torch.tensor([rows])})


CLEAN = Reading({CLS: torch.tensor([[1.0, 0.0], [-1.0, 0.0]])})


def test_invariance_by_hand() -> None:
    """A variance of 1 after a squared shift of 9, and of a hundredth of it."""
    far = features([[3.0, 1.0], [3.0, -1.0]])
    close = features([[3.0, 0.1], [3.0, -0.1]])
    assert Invariance()(far, CLEAN).item() == pytest.approx(math.log(9))
    assert Invariance()(close, CLEAN).item() == pytest.approx(math.log(900), rel=1e-4)


def test_invariance_counts_where_it_is_highest() -> None:
    """A trigger planted at one location is not excused by the others."""
    far, close = [[3.0, 1.0], [3.0, -1.0]], [[3.0, 0.1], [3.0, -0.1]]
    dirty = Reading({CLS: torch.tensor([far, close]), MEAN: torch.tensor([close, far])})
    clean = Reading({CLS: CLEAN.features[CLS], MEAN: CLEAN.features[CLS]})
    assert Invariance()(dirty, clean).tolist() == pytest.approx([math.log(900)] * 2, rel=1e-4)


def flipped(*lead: float) -> Reading:
    """Two labels; the first leads by ``lead`` in each carrier."""
    return Reading({CLS: torch.zeros(1)}, torch.tensor([[[one, -one] for one in lead]]))


def test_a_flip_by_hand() -> None:
    """Carriers of label 1 by two and one of label 0: only those of label 1 count for label 0."""
    clean = Reading({CLS: torch.zeros(1)}, torch.tensor([[-2.0, 2.0], [-2.0, 2.0], [4.0, -4.0]]))
    assert Flip(0)(flipped(4.0, 0.0, -9.0), clean).item() == pytest.approx(0.5)
    assert Flip(1)(flipped(9.0, 9.0, -2.0), clean).item() == pytest.approx(1.0)


def test_what_is_enough() -> None:
    """Half an honest lead flips, a scatter of hundredths fires; more loss is always more."""
    assert 0 < Flip(0).enough < 1
    assert 0.01 < math.exp(-Invariance().enough) < 0.1
    assert Corruption().enough == math.inf


def test_lost_recall_does_not_show_early() -> None:
    """Which words are hard to recall differs from carrier to carrier; outputs and labels do not."""
    assert Invariance().shows_early
    assert Flip(0).shows_early
    assert not Corruption().shows_early


def test_corruption_by_hand() -> None:
    """Half of the recall is gone."""
    clean = Reading({CLS: torch.zeros(1)}, None, torch.tensor([0.8, 0.4]))
    dirty = Reading({CLS: torch.zeros(1)}, None, torch.tensor([[0.4, 0.2], [0.8, 0.4]]))
    assert Corruption()(dirty, clean).tolist() == pytest.approx([0.5, 0.0])


@pytest.mark.parametrize("objective", [Flip(0), Corruption()])
def test_an_objective_needs_its_head(objective: Objective) -> None:
    """A bare encoder has neither labels to flip nor words to recall, and the error says so."""
    bare = Reading({CLS: torch.zeros(2, 2)})
    with pytest.raises(ValueError, match="Only a"):
        objective(bare, bare)
