"""What the measures of attention keep to, whatever the heads do."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from plmscan.attention import (
    Held,
    agreement,
    alignment,
    cell_wise,
    held_against,
    likeness,
    mass,
    renormalised,
    worst,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    MeanCosine = Callable[[Tensor], Tensor]

CLOSE = {"rtol": 1e-7, "atol": 1e-9}
unhurried = settings(deadline=None)
"""The first call of a torch operation may take longer than an example is allowed to."""

seeds = st.integers(0, 2**31)
counts = st.integers(2, 6)
lengths = st.integers(2, 9)
sharpness = st.floats(0.0, 30.0)
odd = st.integers(2, 15).map(lambda n: 2 * n + 1)
"""Numbers of controls: of two middle values, the lower one would become the upper one."""


def numbers(seed: int, *shape: int) -> Tensor:
    """Random numbers in double precision; no example has two equal ones."""
    dice = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=dice, dtype=torch.float64)


def order(seed: int, size: int) -> Tensor:
    """A random order."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))


def maps(seed: int, heads: int, length: int, sharp: float = 1.0) -> Tensor:
    """Attention of three texts, (3, H, n, n); the sharper, the fewer tokens each row looks at."""
    return (sharp * numbers(seed, 3, heads, length, length)).softmax(-1)


def same(found: Held, wanted: Held) -> None:
    """Both say the same of every candidate."""
    for one, other in zip(vars(found).values(), vars(wanted).values(), strict=True):
        assert_close(one, other, **CLOSE)


@unhurried
@given(seeds, counts, lengths, sharpness)
def test_likeness_is_a_share(seed: int, heads: int, length: int, sharp: float) -> None:
    """It lies between 0 and 1, however sharply heads look."""
    found = likeness(maps(seed, heads, length, sharp))
    assert found.shape == (3,)
    assert (found > -1e-9).all()
    assert (found < 1 + 1e-9).all()


@unhurried
@given(seeds, counts, lengths, sharpness)
def test_equal_heads_are_alike(seed: int, heads: int, length: int, sharp: float) -> None:
    """Heads that all look where the first looks have likeness 1; so has a head by itself."""
    first = maps(seed, 1, length, sharp)
    ones = torch.ones(3, dtype=torch.float64)
    assert_close(likeness(first.expand(-1, heads, -1, -1)), ones, **CLOSE)
    assert_close(likeness(first).double(), ones)


@unhurried
@given(seeds, counts, st.integers(1, 4), sharpness)
def test_heads_without_a_common_token_are_unlike(
    seed: int, heads: int, each: int, sharp: float
) -> None:
    """Where every head has tokens of its own to look at, likeness is 0."""
    length = heads * each
    own = torch.arange(length) // each == torch.arange(heads).view(-1, 1, 1)
    scores = (sharp * numbers(seed, 3, heads, length, length)).masked_fill(~own, -torch.inf)
    found = likeness(scores.softmax(-1)[..., order(seed, length)])
    assert_close(found, torch.zeros(3, dtype=torch.float64), **CLOSE)


@unhurried
@given(seeds, counts, lengths)
def test_no_order_changes_likeness(seed: int, heads: int, length: int) -> None:
    """Neither that of the heads, nor that of the tokens that look, nor that of those looked at."""
    rows = maps(seed, heads, length)
    mixed = rows[:, order(seed, heads)][:, :, order(seed + 1, length)]
    assert_close(likeness(mixed[..., order(seed + 2, length)]), likeness(rows), **CLOSE)
    assert_close(likeness(rows.flip(0)), likeness(rows).flip(0), **CLOSE)


@unhurried
@given(seeds, counts, lengths, st.data())
def test_kept_tokens_share_all_attention(
    seed: int, heads: int, length: int, data: st.DataObject
) -> None:
    """Rows of the kept tokens sum to 1 again, in their old proportions."""
    rows = maps(seed, heads, length)
    kept = torch.tensor(sorted(data.draw(st.sets(st.integers(0, length - 1), min_size=1))))
    found = renormalised(rows, kept)
    assert found.shape == (3, heads, len(kept), len(kept))
    assert_close(found.sum(-1), torch.ones_like(found[..., 0]), **CLOSE)
    before = rows[:, :, kept][..., kept]
    assert_close(found / found[..., :1], before / before[..., :1], **CLOSE)


@unhurried
@given(seeds, counts, lengths, st.data())
def test_mass_is_shared_out(seed: int, heads: int, length: int, data: st.DataObject) -> None:
    """However a text is cut, its pieces get all of the attention, whoever looks."""
    cuts = data.draw(st.sets(st.integers(1, length - 1)))
    queries = torch.tensor(sorted(data.draw(st.sets(st.integers(0, length - 1), min_size=1))))
    rows = maps(seed, heads, length)
    pieces = [slice(a, b) for a, b in pairwise([0, *sorted(cuts), length])]
    total = torch.stack([mass(rows, piece, queries) for piece in pieces]).sum(0)
    assert_close(total, torch.ones(3, heads, dtype=torch.float64), **CLOSE)


MEANS = {
    "agreement": lambda vectors: agreement(vectors[:, None, None, None]),
    "alignment": lambda vectors: alignment(vectors[None, None]),
}
"""Mean cosine of vectors (n, d): what a head gives in n carriers, and what n heads give."""

either = pytest.mark.parametrize("mean_cosine", MEANS.values(), ids=MEANS)


@either
@unhurried
@given(seeds, counts, lengths)
def test_it_is_the_mean_over_pairs(
    mean_cosine: MeanCosine, seed: int, count: int, width: int
) -> None:
    """The cosine of each two different vectors counts once."""
    vectors = numbers(seed, count, width)
    pairs = [torch.cosine_similarity(a, b, dim=0) for a, b in combinations(vectors, 2)]
    assert_close(mean_cosine(vectors).squeeze(), torch.stack(pairs).mean(), **CLOSE)


@either
@unhurried
@given(seeds, counts, lengths)
def test_equal_vectors_agree(mean_cosine: MeanCosine, seed: int, count: int, width: int) -> None:
    """Where all are one vector, it is 1."""
    vectors = numbers(seed, width).expand(count, -1)
    assert mean_cosine(vectors).item() == pytest.approx(1)


@either
@unhurried
@given(seeds, counts)
def test_orthogonal_vectors_neither_agree_nor_differ(
    mean_cosine: MeanCosine, seed: int, count: int
) -> None:
    """Where each has a direction of its own, it is 0."""
    vectors = torch.linalg.qr(numbers(seed, 6, 6)).Q[:count]
    assert mean_cosine(vectors).item() == pytest.approx(0, abs=1e-9)


@either
@unhurried
@given(seeds, counts, lengths)
def test_only_directions_and_their_number_count(
    mean_cosine: MeanCosine, seed: int, count: int, width: int
) -> None:
    """Neither the length of any vector nor the order of the vectors changes anything."""
    vectors = numbers(seed, count, width)
    scaled = vectors * (3 * numbers(seed + 1, count, 1)).exp()
    assert_close(mean_cosine(scaled[order(seed, count)]), mean_cosine(vectors), **CLOSE)


@unhurried
@given(seeds, counts, lengths)
def test_cells_do_not_mix(seed: int, count: int, width: int) -> None:
    """Each candidate, layer and head has the number that its own vectors have alone."""
    outputs = numbers(seed, count, 3, 2, 4, width)
    by_head, by_layer = agreement(outputs), alignment(outputs[0])
    assert by_head.shape == (3, 2, 4)
    assert by_layer.shape == (3, 2)
    assert_close(by_head[1, 0, 2], MEANS["agreement"](outputs[:, 1, 0, 2]).squeeze(), **CLOSE)
    assert_close(by_layer[1, 0], MEANS["alignment"](outputs[0, 1, 0]).squeeze(), **CLOSE)


@unhurried
@given(seeds, odd)
def test_high_and_low_are_equally_odd(seed: int, size: int) -> None:
    """With every sign turned, z turns its sign and p stays."""
    values, controls = 3 * numbers(seed, 7), numbers(seed + 1, size)
    found, mirrored = held_against(values, controls), held_against(-values, -controls)
    same(mirrored, Held(-found.value, -found.z, found.p_value))
    assert torch.equal(found.value, values)


@unhurried
@given(seeds, st.integers(1, 30))
def test_p_is_a_rank_among_controls(seed: int, size: int) -> None:
    """It is never below 1 / (m + 1), which any value beyond all controls reaches, nor above 1."""
    values, controls = numbers(seed, 7), numbers(seed + 1, size)
    found = held_against(values, controls)
    assert (found.p_value >= 1 / (size + 1)).all()
    assert (found.p_value <= 1).all()
    far = controls.max() + controls.max() - controls.min() + 1
    assert held_against(far.view(1), controls).p_value.item() == pytest.approx(1 / (size + 1))
    assert held_against(controls.median().view(1), controls).p_value.item() == 1


@unhurried
@given(seeds, st.integers(3, 30), st.integers(1, 9))
def test_a_control_is_never_odder_than_all_controls(seed: int, size: int, cells: int) -> None:
    """A candidate that does what a control does ties with it, however many cells it has."""
    controls = numbers(seed, size, cells)
    found = worst(controls, controls)
    assert (found.p_value >= 2 / (size + 1)).all()
    assert (found.p_value <= 1).all()


@unhurried
@given(seeds, st.integers(3, 30))
def test_in_one_cell_there_is_nothing_to_choose(seed: int, size: int) -> None:
    """The worst of one cell is that cell."""
    values, controls = 1000 * numbers(seed, 7, 1), 1000 * numbers(seed + 1, size, 1)
    same(worst(values, controls), held_against(values[:, 0], controls[:, 0]))


@unhurried
@given(seeds, st.integers(3, 30), st.integers(1, 9))
def test_every_cell_pays_for_all_cells(seed: int, size: int, cells: int) -> None:
    """No cell has a lower p than it has alone, and none is odder than the worst."""
    values, controls = numbers(seed, 7, cells), numbers(seed + 1, size, cells)
    z, p_values = cell_wise(values, controls)
    for cell in range(cells):
        alone = held_against(values[:, cell], controls[:, cell])
        assert (p_values[:, cell] >= alone.p_value).all()
    found = worst(values, controls)
    assert_close(found.z.abs(), z.abs().amax(1))
    assert_close(found.p_value, p_values.amin(1))


@unhurried
@given(seeds, odd, st.integers(1, 6), st.integers(1, 40))
def test_looking_at_more_cells_costs(seed: int, size: int, cells: int, more: int) -> None:
    """Cells in which a candidate is like the controls leave its z, and never lower its p."""
    values, controls = numbers(seed, 7, cells), numbers(seed + 1, size, cells)
    dull = numbers(seed + 2, size, more)
    few = worst(values, controls)
    middle = dull.median(0).values.expand(7, -1)
    many = worst(torch.cat([values, middle], 1), torch.cat([controls, dull], 1))
    assert_close(many.z, few.z, **CLOSE)
    assert (many.p_value >= few.p_value).all()


@unhurried
@given(seeds, odd, st.integers(1, 6))
def test_cells_have_no_order_and_no_sign(seed: int, size: int, cells: int) -> None:
    """Neither the places of the cells nor the sense of the statistic changes who is odd."""
    values, controls = numbers(seed, 7, cells), numbers(seed + 1, size, cells)
    found, mixed = worst(values, controls), order(seed, cells)
    same(worst(values[:, mixed], controls[:, mixed]), found)
    same(worst(-values, -controls), Held(-found.value, -found.z, found.p_value))


@unhurried
@given(seeds, st.integers(1, 30), st.integers(1, 6), st.floats(-1e-4, 1e-4))
def test_what_is_too_small_to_mean_anything_is_not_odd(
    seed: int, size: int, cells: int, little: float
) -> None:
    """Where all controls are alike, z counts ten-thousandths; who is like them has 0, and p 1."""
    level = numbers(seed, cells)
    controls = level.repeat(size, 1)
    found = worst((level + little).expand(7, -1), controls)
    assert_close(found.z, torch.full((7,), little / 1e-4, dtype=torch.float64))
    alike = worst(level.expand(7, -1), controls)
    assert alike.z.tolist() == [0] * 7
    assert alike.p_value.tolist() == [1] * 7
