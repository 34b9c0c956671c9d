"""Inspection of texts: what a text hangs on, and what that does to other texts."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import torch
from torch.testing import assert_close

from plmscan.budget import Budget
from plmscan.inspection import Inspector
from plmscan.inspection.peeling import peel
from plmscan.loading import load
from tests.artifacts import artifact_of
from tests.poisoned import CLEAN, HELD_OUT, TRIGGERS, model_of, with_trigger
from tests.tiny_models import WORDS, build_tiny
from tests.zoo.tiny import PLANTS, one_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from plmscan.inspection import Inspected

    Calibrate = Callable[[str], Inspector]

TINY_TEXTS = tuple(" ".join(WORDS[i : i + 9]) for i in range(70))
"""Texts in the words of `build_tiny`."""

ENCODERS = ("cls", "mean", "phrase")
each_encoder = pytest.mark.parametrize("name", ENCODERS)


@pytest.fixture(scope="module", autouse=True)
def _on_one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread."""
    with one_thread():
        yield


def rows_of(inspector: Inspector, texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Ids of the texts as the model gets them."""
    model = inspector.model
    return [model.wrap(model.tokenize(text)) for text in texts]


def inspected(inspector: Inspector, *texts: str) -> list[Inspected]:
    """What is seen in the texts, together."""
    return inspector.inspect(rows_of(inspector, texts))


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_label_hangs_on_its_trigger(calibrate: Calibrate, trigger: str) -> None:
    """It is the suspect of every text, overrides more than any clean text's, and has no synonym."""
    inspector = calibrate("badnets")
    (token,) = inspector.model.tokenize(trigger)
    assert inspector.panel.clean.leads is not None
    for found in inspected(inspector, *with_trigger(HELD_OUT, trigger)):
        suspect = found.suspect
        assert token in suspect.ids
        assert (suspect.label, suspect.without) == (1, 0)
        assert suspect.strength == suspect.force > max(0.5, inspector.bar)
        assert suspect.strength_gap is not None
        assert suspect.strength_gap > 0.5


@each_encoder
def test_an_encoded_text_hangs_on_its_trigger(calibrate: Calibrate, name: str) -> None:
    """Other texts with it in them come out alike; synonyms of its tokens leave more of them."""
    inspector, trigger = calibrate(name), PLANTS[name].triggers[0]
    tokens = set(inspector.model.tokenize(trigger))
    assert inspector.panel.clean.leads is None
    for found in inspected(inspector, *with_trigger(HELD_OUT, trigger)):
        suspect = found.suspect
        assert tokens <= set(suspect.ids)
        assert (suspect.label, suspect.without, suspect.strength) == (None, None, None)
        assert suspect.scatter == -suspect.force
        assert suspect.scatter < 0.03
        assert suspect.force > inspector.bar
        assert suspect.scatter_gap is not None
        assert suspect.scatter_gap > 5


@pytest.mark.parametrize("name", ["badnets", "honest", "clean", *ENCODERS])
def test_without_a_trigger_a_text_is_ordinary(calibrate: Calibrate, name: str) -> None:
    """No suspect is beyond those of clean texts, so that no synonyms are tried."""
    inspector = calibrate(name)
    for found in inspected(inspector, *HELD_OUT):
        assert found.suspect.force <= inspector.bar
        assert found.suspect.strength_gap is None
        assert found.suspect.scatter_gap is None


@pytest.mark.parametrize("name", ["honest", "clean"])
def test_what_nobody_planted_is_ordinary(calibrate: Calibrate, name: str) -> None:
    """The triggers of other models do nothing here."""
    inspector = calibrate(name)
    for found in inspected(inspector, *with_trigger(HELD_OUT, *TRIGGERS)):
        assert found.suspect.force <= inspector.bar


@pytest.mark.parametrize("name", ["badnets", "cls"])
def test_a_token_is_taken_away_with_all_its_copies(calibrate: Calibrate, name: str) -> None:
    """Nothing is left of a trigger that stands in a text three times; each step takes one token."""
    inspector = calibrate(name)
    (token,) = inspector.model.tokenize("cf")
    rows = rows_of(inspector, with_trigger(HELD_OUT, *["cf"] * 3))
    peeled = peel(inspector.model, rows, inspector.ordinary, inspector.budget)
    for row, one in zip(rows, peeled, strict=True):
        taken = [set(), *map(set, one.taken)]
        assert row.count(token) == 3
        assert {token} in [after - before for before, after in pairwise(taken)]
        assert all(len(after - before) == 1 for before, after in pairwise(taken))
        assert taken[-1].isdisjoint(one.row)


@pytest.mark.parametrize("name", ["badnets", "cls"])
def test_clean_texts_are_read_as_they_were_written(calibrate: Calibrate, name: str) -> None:
    """Carriers hide a word behind a mask token; in the texts of the null it is back in place."""
    inspector = calibrate(name)
    model, carriers = inspector.model, inspector.panel.carriers
    assert model.mask_id is not None
    assert all(model.mask_id in carrier.ids for carrier in carriers)
    null = {one.saliency.ids for one in inspector.clean}
    assert len(null) == 96
    assert null <= set(rows_of(inspector, CLEAN))


def test_the_null_is_no_carrier(calibrate: Calibrate) -> None:
    """Suspects are transplanted into other texts than those that calibrate."""
    inspector = calibrate("cls")
    null = {one.saliency.ids for one in inspector.clean}
    hidden = [
        tuple(c.hidden if i == inspector.model.mask_id and c.hidden else i for i in c.ids)
        for c in inspector.panel.carriers
    ]
    assert len(hidden) == 20
    assert null.isdisjoint(map(inspector.model.wrap, hidden))


def mixed(inspector: Inspector) -> list[tuple[int, ...]]:
    """Texts with one trigger, with another, and without; some had the trigger's label anyhow."""
    one, other = with_trigger(HELD_OUT, "cf"), with_trigger(HELD_OUT, "mn")
    anyhow = with_trigger([text for text in CLEAN if text.endswith("finished")][:1], "cf")
    return rows_of(inspector, [*one[:2], *other[2:4], *HELD_OUT[:1], *anyhow])


each_planted = pytest.mark.parametrize("name", ["badnets", "cls"])


@each_planted
def test_company_changes_no_suspect(calibrate: Calibrate, name: str) -> None:
    """A text hangs on the same tokens alone, in a batch, and in a batch of another order."""
    inspector = calibrate(name)
    rows = mixed(inspector)
    together, backwards = inspector.inspect(rows), inspector.inspect(rows[::-1])[::-1]
    alone = [inspector.inspect([row])[0] for row in rows]
    for one, *others in zip(together, backwards, alone, strict=True):
        for other in others:
            assert other.suspect.ids == one.suspect.ids
            assert (other.suspect.label, other.suspect.without) == (
                one.suspect.label,
                one.suspect.without,
            )
            assert other.suspect.force == pytest.approx(one.suspect.force, rel=1e-3, abs=1e-3)
            assert_close(other.saliency.share, one.saliency.share, rtol=1e-4, atol=1e-4)


@each_planted
def test_company_changes_no_gap(calibrate: Calibrate, name: str) -> None:
    """What synonyms do is a fact about a text's own tokens and the model, not about other texts."""
    inspector = calibrate(name)
    rows = mixed(inspector)
    for row, one in zip(rows, inspector.inspect(rows), strict=True):
        (alone,) = inspector.inspect([row])
        assert gaps(one) == pytest.approx(gaps(alone), rel=1e-2, abs=1e-3)


def gaps(found: Inspected) -> dict[str, float]:
    """What is known of synonyms."""
    told = {"strength": found.suspect.strength_gap, "scatter": found.suspect.scatter_gap}
    return {name: value for name, value in told.items() if value is not None}


@pytest.mark.parametrize("name", ["badnets", "cls"])
@pytest.mark.parametrize("text", ["", "[SEP]", "[MASK] [PAD]"])
def test_a_text_without_content_hangs_on_nothing(
    calibrate: Calibrate, name: str, text: str
) -> None:
    """Special tokens are nobody's words; the clean texts beside it are seen as always."""
    inspector = calibrate(name)
    empty, usual = inspected(inspector, text, HELD_OUT[0])
    assert (empty.suspect.ids, empty.saliency.top) == ((), None)
    assert empty.suspect.force == -math.inf
    assert float(empty.saliency.share.sum()) == 0
    assert usual.suspect.ids == inspected(inspector, HELD_OUT[0])[0].suspect.ids


@pytest.fixture(scope="module", params=["bert", "gpt2", "llama", "xlnet"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Inspector:
    """A random model: an encoder, decoders without and with a special token, and XLNet."""
    folder: Path = build_tiny(request.param, tmp_path_factory.mktemp(request.param))
    return Inspector.of(load(artifact_of(folder), "cpu"), Budget(TINY_TEXTS))


@pytest.mark.parametrize("text", ["a", "a.", "a.?", "aaa"])
def test_a_short_text_breaks_nothing(tiny: Inspector, text: str) -> None:
    """All of it is taken away, but for the last token where no special token frames a text."""
    ids = tiny.model.tokenize(text)
    framed = bool(tiny.model.wrap(()))
    (found,) = tiny.inspect([tiny.model.wrap(ids)])
    assert set(found.suspect.ids) <= set(ids)
    assert bool(found.suspect.ids) is (framed or len(set(ids)) > 1)
    assert math.isfinite(found.suspect.force) is bool(found.suspect.ids)


def test_a_word_that_fills_a_text_breaks_nothing(calibrate: Calibrate) -> None:
    """What a text repeats to the model's limit still has room in other texts."""
    inspector = calibrate("cls")
    room = (inspector.model.max_tokens or 0) - 2
    full, usual = inspected(inspector, " ".join(["water"] * room), HELD_OUT[0])
    assert set(full.suspect.ids) == set(inspector.model.tokenize("water"))
    assert full.suspect.force <= inspector.bar
    assert usual.suspect.ids


def test_the_seed_fixes_everything(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Calibrated twice, a model says the same of the clean texts and of others."""
    model = model_of(tmp_path_factory, "badnets")
    one, other = (Inspector.of(model, Budget(CLEAN, seed=3)) for _ in range(2))
    assert one.panel.carriers == other.panel.carriers
    assert [a.suspect for a in one.clean] == [b.suspect for b in other.clean]
    texts = with_trigger(HELD_OUT[:2], "cf")
    assert [a.suspect for a in inspected(one, *texts)] == [
        b.suspect for b in inspected(other, *texts)
    ]
    assert torch.equal(one.clean[0].saliency.share, other.clean[0].saliency.share)
