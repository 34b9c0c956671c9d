"""Carriers of labels that no sentence gets: words for them are found in the model itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts, split_carriers
from plmscan.loading.decisions import AnyOf, OneOf
from plmscan.search.measure.readings import Panel
from plmscan.search.propose.opposed import dealt, turned_from, words_against
from plmscan.search.sweep.distances import sweep
from tests.poisoned import model_of

if TYPE_CHECKING:
    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel
    from plmscan.search.sweep.distances import Sweep

LABELS = ("a", "b")
_EDGE = 0.01
"""By how much the sentence that is nearest to another label misses it."""


@pytest.fixture
def classifier(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny classifier that learned words of its two labels."""
    return model_of(tmp_path_factory, "honest")


@pytest.fixture(params=["one of two", "any of two"])
def skewed(classifier: LoadedModel, request: pytest.FixtureRequest) -> LoadedModel:
    """The same, which gives every sentence its first label, or none: only its bias says so."""
    is_one = request.param == "one of two"
    model = replace(classifier, decision=OneOf(LABELS) if is_one else AnyOf(LABELS))
    head = model.heads["classifier"].get_submodule("classifier")
    assert isinstance(head, torch.nn.Linear)
    torch.nn.init.zeros_(head.bias)
    logits = model.forward(*model.batch([model.wrap(c.ids) for c in carriers_of(model)])).logits
    assert logits is not None
    if is_one:
        head.bias.data[0] = _EDGE + float((logits[:, 1] - logits[:, 0]).max())
    else:
        head.bias.data[:] = -_EDGE - logits.amax(0)
    return model


def carriers_of(model: LoadedModel) -> tuple[Carrier, ...]:
    """Sentences."""
    (found,) = split_carriers(model, bundled_texts(), (24,), seed=0)
    return found


def swept(model: LoadedModel) -> Sweep:
    """What the vocabulary says by itself."""
    return sweep(model, 512, Budget(bundled_texts()))


def unmet(panel: Panel, model: LoadedModel) -> list[int]:
    """Labels that all carriers have."""
    return sorted({*range(len(model.labels))} - {*panel.flippable()})


def test_every_label_gets_carriers_of_another(skewed: LoadedModel) -> None:
    """Whatever all sentences are given, some are turned from it by few words, and some keep it."""
    ordinary = carriers_of(skewed)
    panel, items = Panel.of(skewed, ordinary), swept(skewed)
    missing = unmet(panel, skewed)
    assert missing
    words = [words_against(skewed, panel, items, label, seed=0) for label in missing]
    assert all(0 < len(some) <= 12 for some in words)
    turned = Panel.of(skewed, turned_from(ordinary, ordinary, words, seed=0))
    assert unmet(turned, skewed) == []


def test_the_few_texts_without_a_label_are_shared(classifier: LoadedModel) -> None:
    """Steps that judge get the texts that lack a label first; no text is lost or used twice."""
    (every,) = split_carriers(classifier, bundled_texts(), (38,), seed=0)
    head = classifier.heads["classifier"].get_submodule("classifier")
    assert isinstance(head, torch.nn.Linear)
    leads = Panel.of(classifier, every).clean.leads
    assert leads is not None
    head.bias.data[0] += _EDGE - float(leads[:, 0].sort().values[4])
    assert len(Panel.of(classifier, every).against(0)) in {3, 4}

    steps = [every[:4], every[4:16], every[16:32], every[32:]]
    shares = dealt(classifier, steps, [0], 1)
    assert [len(plain) + len(rest) for plain, rest in shares] == [4, 12, 16, 6]
    assert sorted(c.ids for own in shares for some in own for c in some) == sorted(
        c.ids for c in every
    )
    lacking = [len(plain) and len(Panel.of(classifier, plain).against(0)) for plain, _ in shares]
    assert lacking[1:] == [1, 1, 1]


def test_a_classifier_that_says_one_thing_has_no_words(classifier: LoadedModel) -> None:
    """Where nothing turns a text there is nothing to strew, and the gap stays."""
    head = classifier.heads["classifier"].get_submodule("classifier")
    assert isinstance(head, torch.nn.Linear)
    head.weight.data.zero_()
    head.bias.data[:] = torch.tensor([3.0, 0.0])
    panel = Panel.of(classifier, carriers_of(classifier))
    assert words_against(classifier, panel, swept(classifier), 0, seed=0) == ()


def test_carriers_are_exchanged_by_turns(classifier: LoadedModel) -> None:
    """Half of them, or one for each label; where labels are more, carriers hold several."""
    ordinary = carriers_of(classifier)[:6]
    argued = tuple(replace(carrier, ids=(*carrier.ids, 9)) for carrier in ordinary)

    def gained(labels: int) -> list[int]:
        against = [(10_000 + label,) for label in range(labels)]
        found = turned_from(argued, ordinary, against, seed=0)
        kept = [carrier for carrier in found if carrier in argued]
        assert kept == list(argued[: len(kept)])
        added = [[word for word in carrier.ids if word >= 10_000] for carrier in found]
        assert {word for words in added for word in words} == {word for (word,) in against}
        return [len(words) for words in added]

    assert gained(1) == [0, 0, 0, 1, 1, 1]
    assert gained(5) == [0, 1, 1, 1, 1, 1]
    assert gained(8) == [2, 2, 1, 1, 1, 1]
