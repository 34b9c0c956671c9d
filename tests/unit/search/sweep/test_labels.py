"""Which words argue for a label, and what overrides them."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plmscan.budget import Budget
from plmscan.carriers import Carrier
from plmscan.errors import OutOfTimeError
from plmscan.loading import LoadedModel, load
from plmscan.search.measure.candidates import searchable_ids
from plmscan.search.sweep.distances import Sweep, sweep
from plmscan.search.sweep.labels import (
    arguing,
    class_words,
    honest_phrases,
    overriding,
    read_again,
)
from tests.artifacts import artifact_of
from tests.tiny_models import build_tiny

BUDGET = Budget(())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A random classifier of three labels."""
    folder = build_tiny("bert", tmp_path_factory.mktemp("labels"), head="classifier")
    return load(artifact_of(folder), "cpu")


@pytest.fixture(scope="module")
def swept(model: LoadedModel) -> Sweep:
    """What the sweep says of its items alone."""
    return sweep(model, 4096, BUDGET)


def alone(found: Sweep) -> torch.Tensor:
    """Leads of the items by themselves."""
    assert found.leads is not None
    return found.leads


def test_words_of_a_label_by_hand() -> None:
    """The items that lead to it most, strongest first, by their ids."""
    ids = torch.tensor([10, 20, 30])
    found = class_words(ids, torch.tensor([[1.0, -1.0], [-2.0, 2.0], [3.0, -3.0]]))
    assert found == ((30, 10, 20), (20, 10, 30))


def test_honest_phrases_by_hand() -> None:
    """Two words and two pairs of each label, each once, and what there is of few words."""
    found = honest_phrases([(1, 2, 3, 4, 5), (2, 9), ()])
    assert found == ((1,), (2,), (1, 2), (3, 4), (9,), (2, 9))


def test_words_of_a_label_do_not_hang_on_rounding(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the vocabulary was swept with half the digits or with all: the same words."""
    monkeypatch.setattr("plmscan.search.sweep.shortest.BATCH", 16)
    half, full = (replace(model, halved=halved) for halved in (True, False))
    rough, fine = (sweep(one, 32, BUDGET) for one in (half, full))
    assert not torch.equal(alone(rough), alone(fine))
    words = class_words(*read_again(half, rough.ids, alone(rough)))
    assert words == class_words(*read_again(full, fine.ids, alone(fine)))
    rows = [overriding(one, fine.ids, alone(fine), words, 12, BUDGET) for one in (half, full)]
    assert torch.equal(*rows)


def test_a_label_has_a_handful_of_words(model: LoadedModel, swept: Sweep) -> None:
    """As many for each, and the first by itself has no competitor for the label."""
    found = class_words(swept.ids, alone(swept))
    assert len(found) == 3
    assert len({len(words) for words in found}) == 1
    firsts = swept.ids[alone(swept).argmax(0)].tolist()
    assert [words[0] for words in found] == firsts


WORDS = tuple(tuple((100 * label + i,) for i in range(4)) for label in (1, 2, 3))


def arguments(carrier: Carrier) -> list[int]:
    """Words of a label that were strewn in."""
    return [i for i in carrier.ids if i >= 100]


@given(st.integers(1, 12), st.integers(0, 2**31))
def test_a_carrier_argues_for_one_label(count: int, seed: int) -> None:
    """All carriers stay, in their order, each with three different words of one label."""
    carriers = tuple(Carrier((1, 2, 3 + i), i % 4) for i in range(count))
    found = arguing(carriers, WORDS, seed)
    assert [tuple(i for i in one.ids if i < 100) for one in found] == [c.ids for c in carriers]
    for one in found:
        assert len(set(arguments(one))) == 3
        assert len({word // 100 for word in arguments(one)}) == 1


@given(st.integers(0, 2**31))
def test_labels_take_turns(seed: int) -> None:
    """As many carriers argue for each."""
    found = arguing([Carrier((1, 2, 3), 0)] * 9, WORDS, seed)
    labels = [arguments(carrier)[0] // 100 for carrier in found]
    assert sorted(labels) == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_a_seed_fixes_the_arguments() -> None:
    """The same seed gives the same carriers, another one others."""
    carriers = [Carrier((1, 2, 3), 0)] * 9
    assert arguing(carriers, WORDS, 1) == arguing(carriers, WORDS, 1)
    assert arguing(carriers, WORDS, 1) != arguing(carriers, WORDS, 2)


def test_few_carriers_meet_different_labels() -> None:
    """With more labels than carriers, no label comes twice."""
    found = arguing([Carrier((1, 2, 3), 0)] * 2, WORDS, 0)
    assert len({arguments(carrier)[0] // 100 for carrier in found}) == 2


def test_a_poor_label_gives_what_it_has() -> None:
    """A vocabulary of two words cannot lend three."""
    (found,) = arguing([Carrier((1, 2, 3), 0)], [((100,), (101,))], 0)
    assert sorted(arguments(found)) == [100, 101]


@pytest.mark.parametrize("count", [0, 12, 60])
def test_what_overrides_is_passed_on_once(model: LoadedModel, swept: Sweep, count: int) -> None:
    """Ids that a text can hold, ascending, at least four and as many as asked."""
    words = class_words(swept.ids, alone(swept))
    found = overriding(model, swept.ids, alone(swept), words, count, BUDGET).tolist()
    assert found == sorted(set(found))
    assert set(found) <= set(searchable_ids(model).tolist())
    assert 4 <= len(found) <= max(12, count)


def test_the_strongest_against_a_rival_passes(model: LoadedModel, swept: Sweep) -> None:
    """For each label: of items that argue for it, the first behind a word of the next label."""
    model = replace(model, halved=False)
    words = class_words(swept.ids, alone(swept))
    found = overriding(model, swept.ids, alone(swept), words, 12, BUDGET).tolist()
    for label in range(3):
        tried = swept.ids[alone(swept)[:, label].topk(len(swept.ids) // 24).indices].tolist()
        rival = words[(label + 1) % 3]
        rows = [model.wrap((rival[len(rival) // 2], item)) for item in tried]
        leads = model.forward(torch.tensor(rows)).leads
        assert leads is not None
        assert tried[int(leads[:, label].argmax())] in found


def test_a_late_label_sweep_stops(model: LoadedModel, swept: Sweep) -> None:
    """The error names the step, and nothing was read."""
    words = class_words(swept.ids, alone(swept))
    before = model.forward_tokens
    late = Budget((), deadline=time.monotonic())
    with pytest.raises(OutOfTimeError, match="label sweep"):
        overriding(model, swept.ids, alone(swept), words, 12, late)
    assert model.forward_tokens == before
