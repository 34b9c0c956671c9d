"""How far a finalist is from honest words: also from those that nobody proposed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from plmscan.budget import Budget
from plmscan.carriers import split_carriers
from plmscan.loading import LoadedModel, load
from plmscan.search.measure.candidates import letters, searchable_ids
from plmscan.search.measure.effects import measure
from plmscan.search.measure.readings import Panel
from plmscan.search.verify.finals import Finals
from plmscan.search.verify.gaps import synonym_gaps
from plmscan.search.verify.neighbours import Neighbourhood
from tests.artifacts import artifact_of
from tests.tiny_models import WORDS, build_tiny

if TYPE_CHECKING:
    from collections.abc import Collection

    from plmscan.search.verify.gaps import SynonymGap

TEXTS = tuple(" ".join(WORDS[i : i + 7]) for i in range(len(WORDS) - 7))
BUDGET = Budget(TEXTS)
IDS = [(90,), (91, 92), (95, 96)]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A random classifier of three labels."""
    folder = build_tiny("bert", tmp_path_factory.mktemp("labels"), head="classifier")
    return load(artifact_of(folder), "cpu")


def gaps(
    model: LoadedModel, honest: tuple[tuple[int, ...], ...], wanted: Collection[int] | None = None
) -> dict[int, SynonymGap]:
    """Of some words, beside words that are known to be honest; by default of all."""
    panel = Panel.of(model, split_carriers(model, TEXTS, (6,), seed=2)[0])
    around = Neighbourhood.of(model.embedding_weight, searchable_ids(model), letters(model))
    finals = Finals(IDS, measure(model, IDS, panel, BUDGET, "test"))
    asked = range(len(IDS)) if wanted is None else sorted(wanted)
    finals = replace(finals, honest=honest)
    return synonym_gaps(model, finals, asked, panel, around, BUDGET)


def strengths(found: dict[int, SynonymGap]) -> torch.Tensor:
    """Their gaps in strength; without one infinitely far."""
    return torch.tensor(
        [torch.inf if gap.strength is None else gap.strength for _, gap in sorted(found.items())]
    )


def test_words_that_nobody_proposed_narrow_a_gap_and_never_widen_it(
    classifier: LoadedModel,
) -> None:
    """What honest words can do does not hang on who else is a finalist."""
    alone = gaps(classifier, ())
    beside = gaps(classifier, tuple((word,) for word in range(60, 90)))
    assert (strengths(beside) <= strengths(alone) + 1e-3).all()
    assert (strengths(beside) < strengths(alone) - 1e-3).any()


def test_those_that_share_a_token_or_are_longer_say_nothing(classifier: LoadedModel) -> None:
    """A pair that holds the word, and one that takes more words than it, leave its gap."""
    alone = gaps(classifier, ())
    beside = gaps(classifier, ((90, 60), (61, 62, 63)))
    assert beside[0].strength == pytest.approx(alone[0].strength, abs=1e-3)


def test_every_finalist_has_a_gap_and_no_honest_word_has(classifier: LoadedModel) -> None:
    """The words of comparison are not candidates."""
    assert len(gaps(classifier, ((60,), (61, 62)))) == len(IDS)


def test_only_what_is_wanted_is_tried(classifier: LoadedModel) -> None:
    """One finalist has the gap that it has among all, for less; none costs nothing."""
    before = classifier.forward_tokens
    everything = gaps(classifier, ())
    between = classifier.forward_tokens
    assert gaps(classifier, (), {0}).keys() == {0}
    after = classifier.forward_tokens
    assert after - between <= between - before
    assert gaps(classifier, (), ()) == {}
    assert everything.keys() == set(range(len(IDS)))
