"""What the contrastive loss and the HotFlip scores keep to, whatever the features are."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from plmscan.search.propose.losses import hotflip_scores, supervised_contrastive

CLOSE = {"rtol": 1e-7, "atol": 1e-9}

unhurried = settings(deadline=None)
"""The first call of a torch operation may take longer than an example is allowed to."""

seeds = st.integers(0, 2**31)
widths = st.integers(2, 8)
temperatures = st.floats(0.05, 5.0)
label_lists = st.lists(st.integers(0, 3), min_size=1, max_size=14)


def dice(seed: int) -> torch.Generator:
    """The source of one example's numbers."""
    return torch.Generator().manual_seed(seed)


def numbers(seed: int, *shape: int) -> Tensor:
    """Random numbers in double precision."""
    return torch.randn(*shape, generator=dice(seed), dtype=torch.float64)


def naive(features: Tensor, labels: list[int], temperature: float) -> float:
    """The loss as the paper writes it, one item and one positive at a time."""
    unit = [row / row.norm() for row in features]
    terms = []
    for i, label in enumerate(labels):
        positives = [p for p, other in enumerate(labels) if other == label and p != i]
        if not positives:
            continue
        shares = [math.exp(float(unit[i] @ u) / temperature) for u in unit]
        total = sum(shares[:i] + shares[i + 1 :])
        terms.append(-sum(math.log(shares[p] / total) for p in positives) / len(positives))
    return temperature * sum(terms) / len(terms) if terms else 0.0


@unhurried
@given(seeds, label_lists, widths, temperatures)
def test_the_loss_is_that_of_the_paper(
    seed: int, labels: list[int], width: int, temperature: float
) -> None:
    """All pairs at once give what a loop over them gives; items without positives are left out."""
    features = numbers(seed, len(labels), width)
    found = supervised_contrastive(features, torch.tensor(labels), temperature)
    assert_close(float(found), naive(features, labels, temperature), **CLOSE)


@unhurried
@given(seeds, label_lists, widths)
def test_the_order_of_items_is_nobodys_business(seed: int, labels: list[int], width: int) -> None:
    """A batch is a set, and the names of its classes are arbitrary."""
    features, marks = numbers(seed, len(labels), width), torch.tensor(labels)
    order = torch.randperm(len(labels), generator=dice(seed))
    names = torch.randperm(4, generator=dice(seed))
    found = supervised_contrastive(features[order], names[marks][order], 0.5)
    assert_close(found, supervised_contrastive(features, marks, 0.5), **CLOSE)


@unhurried
@given(seeds, label_lists, widths)
def test_several_sets_are_so_many_losses(seed: int, labels: list[int], width: int) -> None:
    """Each set of items gets its own, wherever it stands."""
    marks = torch.tensor(labels)
    sets = torch.stack([numbers(seed + i, len(labels), width) for i in range(3)])
    alone = torch.stack([supervised_contrastive(one, marks, 0.5) for one in sets])
    assert_close(supervised_contrastive(sets, marks, 0.5), alone, **CLOSE)


@unhurried
@given(seeds, label_lists, widths)
def test_only_directions_count(seed: int, labels: list[int], width: int) -> None:
    """Each feature may be scaled by itself: a model's own unit of length plays no part."""
    features, marks = numbers(seed, len(labels), width), torch.tensor(labels)
    scales = torch.rand(len(labels), 1, generator=dice(seed), dtype=torch.float64) + 0.1
    found = supervised_contrastive(features * scales, marks, 0.5)
    assert_close(found, supervised_contrastive(features, marks, 0.5), **CLOSE)


@unhurried
@given(seeds, st.integers(2, 4), st.integers(2, 5), temperatures)
def test_collapsed_classes_far_apart_are_the_minimum(
    seed: int, classes: int, size: int, temperature: float
) -> None:
    """Corners of a simplex (Graf et al. 2021): what a search that found all triggers ends at."""
    corners = torch.eye(classes, dtype=torch.float64) - 1 / classes
    labels = torch.arange(classes).repeat_interleave(size)
    least = supervised_contrastive(corners[labels], labels, temperature)
    other = supervised_contrastive(numbers(seed, len(labels), classes), labels, temperature)
    assert least <= other + 1e-9


@unhurried
@given(seeds, label_lists, widths)
def test_the_gradient_is_finite(seed: int, labels: list[int], width: int) -> None:
    """For a single item, for lonely ones, for equal ones, and for one that is zero."""
    features = numbers(seed, len(labels), width)
    features[0] = 0.0
    features[-1] = features[len(labels) // 2]
    features.requires_grad_()
    loss = supervised_contrastive(features, torch.tensor(labels), 0.5)
    (gradient,) = torch.autograd.grad(loss, features)
    assert loss.isfinite()
    assert gradient.isfinite().all()


@unhurried
@given(seeds, widths, st.integers(1, 4), st.integers(1, 9))
def test_a_score_is_the_fall_of_a_linear_loss(
    seed: int, width: int, slots: int, words: int
) -> None:
    """For a loss that is linear in the input, the difference of two scores is exact."""
    gradient, embedding = numbers(seed, slots, width), numbers(seed + 1, words, width)
    scores = hotflip_scores(gradient, embedding)
    assert scores.shape == (slots, words)
    now, then = embedding[0], embedding[-1]
    fall = F.linear(now - then, gradient)
    assert_close(scores[:, -1] - scores[:, 0], fall, **CLOSE)
