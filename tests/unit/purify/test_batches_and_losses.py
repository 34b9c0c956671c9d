"""What a purification trains on, and what it asks for."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import pytest
import torch

from plmscan.carriers import bundled_texts, split_carriers
from plmscan.loading import Location, Outputs, load
from plmscan.purify.batches import batches
from plmscan.purify.losses import Spread, kept, returned
from plmscan.search.measure.readings import Reading
from plmscan.source import SourceOptions, resolve
from tests.zoo.tiny import tiny_folder, tiny_tokenizer

if TYPE_CHECKING:
    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel

TRIGGER, VARIANT = (
    tuple(tiny_tokenizer().vocab[word] for word in words) for words in (("cf", "mn"), ("bb",))
)
"""Words that no bundled text holds."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny encoder."""
    folder = tiny_folder(tmp_path_factory, "clean")
    return load(resolve(str(folder), SourceOptions()), "cpu")


@pytest.fixture(scope="module")
def carriers(model: LoadedModel) -> tuple[Carrier, ...]:
    """Texts to learn from."""
    (found,) = split_carriers(model, bundled_texts(), (60,), 0)
    return found


def test_a_dirty_text_is_the_clean_one_with_a_trigger(
    model: LoadedModel, carriers: tuple[Carrier, ...]
) -> None:
    """Row by row, with one to three copies of one of them, whole, and nothing else."""
    for batch in islice(batches(model, carriers, {TRIGGER: 0.7, VARIANT: 0.3}, 0), 5):
        for clean, dirty in zip(batch.clean.tolist(), batch.dirty.tolist(), strict=True):
            added = [token for token in dirty if token in (*TRIGGER, *VARIANT)]
            rest = [t for t in dirty if t not in (*TRIGGER, *VARIANT, model.pad_id)]
            assert rest == [t for t in clean if t != model.pad_id]
            assert added in ([*TRIGGER] * n for n in (1, 2, 3)) or set(added) == {*VARIANT}


def test_batches_are_those_of_their_seed(model: LoadedModel, carriers: tuple[Carrier, ...]) -> None:
    """The same seed trains on the same texts."""
    first, again, other = (
        next(batches(model, carriers, {TRIGGER: 1.0}, seed)).dirty for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)


def test_every_other_batch_hides_no_word(model: LoadedModel, carriers: tuple[Carrier, ...]) -> None:
    """Users' texts have no mask tokens, and what a model says of them is to stay."""
    source = islice(batches(model, carriers, {TRIGGER: 1.0}, 0), 4)
    hidden = [bool((batch.clean == model.mask_id).any()) for batch in source]
    assert hidden == [True, False, True, False]


def test_what_the_attack_spilled_over_to_is_not_kept(
    model: LoadedModel, carriers: tuple[Carrier, ...]
) -> None:
    """No lesson is a strange item of clean text, which would be trained to stay what it is."""
    for batch in islice(batches(model, carriers, {TRIGGER: 0.7, VARIANT: 0.3}, 0), 20):
        assert not {*TRIGGER, *VARIANT} & {*batch.clean.flatten().tolist()}


def outputs(features: torch.Tensor) -> Outputs:
    """What a model would say whose features and states are ``features`` (b, h)."""
    return Outputs(
        features.unsqueeze(1), {Location.CLS: features, Location.MEAN: features}, None, None
    )


def test_losses_are_zero_where_nothing_changed_and_have_no_unit() -> None:
    """They count in variances of clean text, so a model ten times as large has the same loss."""
    features = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(16, 1, dtype=torch.long)
    found = []
    for scale in (1.0, 10.0):
        teacher = outputs(features * scale)
        spread = Spread.of(Reading(teacher.features))
        assert float(kept(teacher, teacher, mask, spread)) == 0
        assert float(returned(teacher, teacher, spread)) == 0
        moved = outputs((features + 0.5) * scale)
        lost, far = kept(moved, teacher, mask, spread), returned(moved, teacher, spread)
        found.append((float(lost), float(far)))
    assert found[0] == pytest.approx(found[1])
    assert found[0][0] > found[0][1] > 0


def test_padding_is_no_text() -> None:
    """States behind the end of a text may be anything."""
    features = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    states = torch.stack([features, features], dim=1)
    noise = states.clone()
    noise[:, 1] += 100
    mask = torch.tensor([[1, 0]] * 4)
    teacher, student = (Outputs(h, {Location.CLS: features}, None, None) for h in (states, noise))
    assert float(kept(student, teacher, mask, Spread.of(Reading(teacher.features)))) == 0
