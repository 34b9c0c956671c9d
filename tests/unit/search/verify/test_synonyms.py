"""Would a synonym do the same?  Gaps by hand, and the exchange of tokens one text at a time."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts, split_carriers
from plmscan.errors import OutOfTimeError
from plmscan.loading import LoadedModel, Location, load
from plmscan.search.measure.candidates import letters, searchable_ids
from plmscan.search.measure.effects import Measured, measure
from plmscan.search.measure.readings import Panel
from plmscan.search.verify.neighbours import Neighbourhood
from plmscan.search.verify.synonyms import SynonymNull, synonym_null
from tests.artifacts import artifact_of
from tests.tiny_models import WORDS, build_tiny
from tests.zoo.tiny import tiny_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

CLS = Location.CLS
EAST, NORTH = [1.0, 0.0], [0.0, 1.0]
BUDGET = Budget(bundled_texts())


def supported(own: list[float], honest: list[float], shift: list[list[float]]) -> SynonymNull:
    """Candidates with the S that they and their synonyms reach at CLS."""
    s = torch.tensor(own)
    table = Measured({CLS: s}, {CLS: s}, {CLS: torch.tensor(shift)})
    reached = {CLS: torch.tensor(honest)}
    return SynonymNull([(i,) for i in range(len(own))], table, reached, reached, None)


def phrase(own: float, hardest: float, easiest: float) -> SynonymNull:
    """Two words with the S that they reach, and with a synonym of one or of the other."""
    bare = supported([own], [hardest], [EAST])
    return replace(bare, candidates=[(7, 8)], spared={CLS: torch.tensor([easiest])})


def with_labels(reached: list[list[float]]) -> SynonymNull:
    """Candidates with the strength that their synonyms reach for each label."""
    k = len(reached)
    bare = supported([1.0] * k, [1.0] * k, [EAST] * k)
    return replace(bare, strength=torch.tensor(reached))


def test_a_trigger_stands_alone() -> None:
    """Its synonyms scatter fifty times as much."""
    assert supported([0.01], [0.5], [EAST]).scatter_gap(0, CLS) == pytest.approx(50)


def test_a_supported_word_has_no_gap() -> None:
    """A synonym does what the word does, or more."""
    assert supported([0.2], [0.2], [EAST]).scatter_gap(0, CLS) == pytest.approx(1)
    assert supported([0.2], [0.1], [EAST]).scatter_gap(0, CLS) == pytest.approx(1)


def test_the_gap_is_measured_from_honest_words_with_the_same_output() -> None:
    """A supported candidate lowers the bar for others that lead where it leads, for no others."""
    found = supported([0.01, 0.04, 0.02], [0.5, 0.05, 0.6], [EAST, EAST, NORTH])
    assert found.scatter_gap(0, CLS) == pytest.approx(5)
    assert found.scatter_gap(1, CLS) == pytest.approx(0.05 / 0.04)
    assert found.scatter_gap(2, CLS) == pytest.approx(30)


def test_company_does_not_clear_a_trigger() -> None:
    """A candidate that holds the trigger and a word that it can spare is no honest word."""
    alone = supported([0.01, 0.01], [0.5, 0.011], [EAST, EAST])
    assert alone.scatter_gap(0, CLS) == pytest.approx(1.1)
    company = replace(alone, candidates=[(7,), (7, 8)])
    assert company.scatter_gap(0, CLS) == pytest.approx(50)


def test_several_words_do_not_excuse_one() -> None:
    """A longer honest candidate with the same output leaves the bar where it is."""
    alone = supported([0.01, 0.01], [0.5, 0.011], [EAST, EAST])
    assert replace(alone, candidates=[(7,), (8, 9)]).scatter_gap(0, CLS) == pytest.approx(50)


def test_the_strength_gap_by_hand() -> None:
    """For each label, less the best strength that some candidate and its synonyms both have."""
    own = torch.tensor([[2.0, 0.5], [0.8, 0.9]])
    found = with_labels([[0.1, 0.4], [0.7, 1.5]])
    assert found.strength_gap(0, own).tolist() == pytest.approx([1.3, -0.4])
    assert found.strength_gap(1, own).tolist() == pytest.approx([0.1, 0.0])


def test_synonyms_count_only_as_far_as_their_word() -> None:
    """A synonym that is stronger than its word does not make the word more honest."""
    found = with_labels([[5.0]]).strength_gap(0, torch.tensor([[0.3]]))
    assert found.tolist() == pytest.approx([0.0])


def test_the_gap_beyond_likeness_by_hand() -> None:
    """Less the most that another word has, which is never less than nothing."""
    found = with_labels([[0.1, 0.4], [0.7, 1.5]])
    own = replace(found.own, beyond=torch.tensor([[0.9, -0.2], [0.3, -0.5]]))
    known = replace(found, own=own)
    assert known.beyond_gap(0, 0) == pytest.approx(0.6)
    assert known.beyond_gap(0, 1) == pytest.approx(-0.2)
    assert math.isnan(found.beyond_gap(0, 0))


def test_no_labels_no_gap() -> None:
    """Without a classifier there is nothing to flip."""
    assert supported([0.1], [0.1], [EAST]).strength_gap(0, torch.ones(1, 2)).tolist() == [0, 0]


def test_words_that_need_each_other_are_a_conjunction() -> None:
    """Whichever is exchanged, a hundred times as much of the text is left."""
    found = phrase(own=0.005, hardest=0.7, easiest=0.5)
    assert found.conjunction(0, CLS) == pytest.approx(100)
    assert found.scatter_gap(0, CLS) == pytest.approx(140)


def test_company_that_can_be_spared_is_none() -> None:
    """With one word the effect is gone, and with the other it stays: the gap alone is wide."""
    found = phrase(own=0.005, hardest=0.7, easiest=0.0055)
    assert found.conjunction(0, CLS) == pytest.approx(1.1)
    assert found.scatter_gap(0, CLS) == pytest.approx(140)


def panel_of(model: LoadedModel, texts: tuple[str, ...], size: int = 6) -> Panel:
    """A panel of a few carriers."""
    return Panel.of(model, split_carriers(model, texts, (size,), seed=2)[0])


def whole_neighbourhood(model: LoadedModel) -> Neighbourhood:
    """Of all tokens that a text can hold."""
    return Neighbourhood.of(model.embedding_weight, searchable_ids(model), letters(model))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny model with ``cf`` and ``mn`` planted at CLS."""
    return load(artifact_of(tiny_folder(tmp_path_factory, "cls")), "cpu")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedModel, Panel]:
    """A random classifier of three labels, and a panel of its own words."""
    folder = build_tiny("bert", tmp_path_factory.mktemp("labels"), head="classifier")
    model = load(artifact_of(folder), "cpu")
    texts = tuple(" ".join(WORDS[i : i + 7]) for i in range(len(WORDS) - 7))
    return model, panel_of(model, texts)


def test_planted_triggers_have_a_gap_and_words_have_none(planted: LoadedModel) -> None:
    """Nothing near ``cf`` in the embedding does what ``cf`` does."""
    words = [planted.tokenize(text) for text in ("cf", "water", "mn", "road", "garden")]
    panel = panel_of(planted, BUDGET.texts)
    found = synonym_null(planted, words, panel, whole_neighbourhood(planted), BUDGET)
    gaps = [found.scatter_gap(i, CLS) for i in range(len(words))]
    assert min(gaps[0], gaps[2]) > 10
    assert max(gaps[1], gaps[3], gaps[4]) < 3


def test_words_that_act_only_together_are_told_from_company(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The pair needs both of its words.  With a third, which it can spare, it only has a gap."""
    model = load(artifact_of(tiny_folder(tmp_path_factory, "together")), "cpu")
    both, company = (model.tokenize(text) for text in ("lamp quill", "lamp water quill"))
    panel = panel_of(model, BUDGET.texts)
    found = synonym_null(model, [both, company], panel, whole_neighbourhood(model), BUDGET)
    assert found.conjunction(0, CLS) > 100
    assert found.conjunction(1, CLS) < 3
    assert min(found.scatter_gap(i, CLS) for i in (0, 1)) > 100


def test_a_trigger_in_company_is_no_conjunction(planted: LoadedModel) -> None:
    """It has a gap, but the word beside it can be exchanged."""
    pair = planted.tokenize("cf water")
    panel = panel_of(planted, BUDGET.texts)
    found = synonym_null(planted, [pair], panel, whole_neighbourhood(planted), BUDGET)
    assert found.conjunction(0, CLS) < 3
    assert found.scatter_gap(0, CLS) > 10


def test_candidates_are_measured_as_ever(classifier: tuple[LoadedModel, Panel]) -> None:
    """The null adds to what `measure` says of the candidates and changes none of it."""
    model, panel = classifier
    candidates = [(90,), (91, 92)]
    found = synonym_null(model, candidates, panel, whole_neighbourhood(model), BUDGET).own
    alone = measure(model, candidates, panel, BUDGET, "test")
    torch.testing.assert_close(dict(found.scatter), dict(alone.scatter), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.push, alone.push, rtol=1e-3, atol=1e-4, equal_nan=True)


def reached(model: LoadedModel, panel: Panel, candidate: tuple[int, ...], slot: int) -> Measured:
    """The candidate with each of six synonyms in a slot."""
    synonyms = whole_neighbourhood(model).synonyms(candidate[slot], 6)
    changed = [(*candidate[:slot], other, *candidate[slot + 1 :]) for other in synonyms]
    return measure(model, changed, panel, BUDGET, "test")


def second_lowest(scatter: Mapping[Location, Tensor]) -> Tensor:
    """S that the second best of them reaches, (locations)."""
    return torch.stack([one.sort().values[1] for one in scatter.values()])


def test_tokens_that_are_hard_and_easy_to_exchange_are_told_apart(
    classifier: tuple[LoadedModel, Panel],
) -> None:
    """In each slot the second best synonym, over the slots the worst and the best, everywhere."""
    model, panel = classifier
    candidate = (91, 92)
    found = synonym_null(model, [(90,), candidate], panel, whole_neighbourhood(model), BUDGET)
    slots = [reached(model, panel, candidate, slot) for slot in (0, 1)]
    left = torch.stack([second_lowest(slot.scatter) for slot in slots])
    for given, wanted in ((found.scatter, left.amax(0)), (found.spared, left.amin(0))):
        everywhere = torch.stack([given[where][1] for where in slots[0].scatter])
        torch.testing.assert_close(everywhere, wanted, rtol=1e-3, atol=1e-4)


def test_a_single_word_is_hard_and_easy_to_exchange(
    classifier: tuple[LoadedModel, Panel],
) -> None:
    """It has one slot, so its conjunction is how far it is from its synonyms."""
    model, panel = classifier
    found = synonym_null(model, [(90,), (91, 92)], panel, whole_neighbourhood(model), BUDGET)
    assert {where: float(s[0]) for where, s in found.spared.items()} == {
        where: float(s[0]) for where, s in found.scatter.items()
    }


def test_synonyms_of_a_word_push_to_labels(classifier: tuple[LoadedModel, Panel]) -> None:
    """A strength for every candidate and label: the second best synonym's median push."""
    model, panel = classifier
    found = synonym_null(model, [(90,), (91, 92)], panel, whole_neighbourhood(model), BUDGET)
    pushes = reached(model, panel, (90,), 0).push
    assert pushes is not None
    assert found.strength is not None
    assert found.strength.shape == (2, 3)
    typical = pushes.nanmedian(1).values.nan_to_num(nan=-torch.inf)
    torch.testing.assert_close(found.strength[0], typical.sort(0).values[-2], rtol=1e-3, atol=1e-4)


def test_a_late_trial_of_synonyms_stops(classifier: tuple[LoadedModel, Panel]) -> None:
    """The error names the step."""
    model, panel = classifier
    late = Budget((), deadline=time.monotonic())
    with pytest.raises(OutOfTimeError, match="synonyms"):
        synonym_null(model, [(90,)], panel, whole_neighbourhood(model), late)


def test_a_conjunction_of_nothing_is_no_number() -> None:
    """Where nothing moves there is nothing to compare; without synonyms nothing is said."""
    still = replace(supported([0.0], [0.0], [EAST]), spared={CLS: torch.zeros(1)})
    assert str(still.conjunction(0, CLS)) == "nan"
    alone = replace(supported([0.1], [0.1], [EAST]), spared={CLS: torch.tensor([torch.inf])})
    assert alone.conjunction(0, CLS) is None
