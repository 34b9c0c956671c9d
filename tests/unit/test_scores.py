"""Models that give one number: what is low and high there, and texts in pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plmscan.carriers import restored, split_carriers
from plmscan.evidence import Evidence
from plmscan.loading import LoadedModel, Location, load
from plmscan.loading.decisions import AnyOf, OneOf, Score
from plmscan.loading.pairs import Answers
from plmscan.loading.vocabulary import Separator, read_vocabulary
from plmscan.rules import load_rules
from plmscan.search.judge.profile import Candidate, LabelFlip
from plmscan.search.judge.variants import Relation
from plmscan.search.sweep.shortest import probe_inputs
from tests.artifacts import artifact_of
from tests.poisoned import just_fires, just_misses
from tests.tiny_models import WORDS, build_tiny

if TYPE_CHECKING:
    from collections.abc import Callable

    from plmscan.loading.decisions import Decision

    Scorer = Callable[[str], LoadedModel]

TEXTS = tuple(" ".join(WORDS[i : i + 7]) for i in range(len(WORDS) - 7))
ONE = {"id2label": {0: "LABEL_0"}, "label2id": {"LABEL_0": 0}}


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """A tiny model of a family whose head gives one number."""

    def build(family: str) -> LoadedModel:
        folder = tmp_path_factory.mktemp(family)
        build_tiny(family, folder, head="classifier", settings=ONE)
        return load(artifact_of(folder), "cpu")

    return build


def in_pairs(model: LoadedModel) -> LoadedModel:
    """A model that would read pairs, had it learned to; random weights answer nothing."""
    assert model.separator is None
    folder = artifact_of(Path(model.tokenizer.name_or_path))
    vocabulary = read_vocabulary(folder, model.config, model.vocabulary_size)
    return replace(model, separator=vocabulary.separator)


@given(st.integers(0, 2**31), st.integers(1, 40))
def test_pairs_are_told_by_their_answers(seed: int, numbers: int) -> None:
    """One number that says how texts go together is enough; chance in many is not."""
    dice = torch.Generator().manual_seed(seed)
    fitting, other, single = torch.randn(3, 64, numbers, generator=dice)
    assert not Answers(single, fitting, other).tell_pairs
    assert not Answers(single).tell_pairs
    fitting[:, numbers // 2] += 4
    assert Answers(single, fitting, other).tell_pairs


def test_the_usual_score_is_between_pairs_that_fit_and_others() -> None:
    """Where single texts are read, it is their median."""
    fitting, other = (torch.linspace(a, a + 2, 5).unsqueeze(1) for a in (7.0, -5.0))
    assert Answers(torch.zeros(5, 1) - 9, fitting, other).usual == pytest.approx(2.0)
    assert Answers(torch.tensor([[1.0], [2.0], [30.0]])).usual == 2.0


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2", "xlnet", "gpt2"])
def test_one_number_has_two_ends(scorer: Scorer, family: str) -> None:
    """Whatever the family: two labels, of which random texts have each about as often."""
    model = scorer(family)
    assert isinstance(model.decision, Score)
    assert model.labels == model.decision.labels
    assert model.gaps == ()
    generator = torch.Generator().manual_seed(7)
    words = model.tokenize(" ".join(WORDS))
    rows = torch.tensor(words)[torch.randint(len(words), (100, 6), generator=generator)].tolist()
    leads = model.forward(*model.batch([model.wrap(row) for row in rows])).leads
    assert leads is not None
    assert 10 < int((leads[:, 1] > 0).sum()) < 90


@pytest.mark.parametrize(("family", "numbered"), [("bert", True), ("roberta", False)])
def test_pairs_are_what_the_tokenizer_makes_of_them(
    scorer: Scorer, family: str, numbered: bool
) -> None:
    """Ids between two texts, and which of the two each token belongs to."""
    model = in_pairs(scorer(family))
    assert model.separator is not None
    assert model.separator.numbered is numbered
    one, other = TEXTS[0], TEXTS[9]
    pair = model.tokenizer(one, other)
    between = (*model.tokenize(one), *model.separator.ids, *model.tokenize(other))
    assert model.wrap(between) == tuple(pair["input_ids"])
    told = model.separator.kinds(torch.tensor([pair["input_ids"]]))
    assert [t.tolist() for t in told.values()] == ([[pair["token_type_ids"]]] if numbered else [])


def test_a_text_by_itself_is_the_first_of_a_pair() -> None:
    """Zeros up to its end; what pads it is hidden anyhow."""
    kinds = Separator((9,), numbered=True).kinds(
        torch.tensor([[1, 5, 6, 9, 0, 0], [1, 5, 9, 7, 9, 0]])
    )
    (found,) = kinds.values()
    assert found.tolist() == [[0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]]


def test_the_model_hears_which_text_is_which(scorer: Scorer) -> None:
    """What it says of a pair is what the library says of the tokenizer's own encoding."""
    model = in_pairs(scorer("bert"))
    pair = model.tokenizer(TEXTS[0], TEXTS[9], return_tensors="pt")
    with torch.no_grad():
        wanted = model.module(**pair).last_hidden_state
    assert torch.allclose(model.forward(pair["input_ids"]).hidden, wanted, atol=1e-6)


def test_each_carrier_is_one_of_a_pair(scorer: Scorer) -> None:
    """Beside itself or another text, first or second; a candidate stands in the carrier's part."""
    model = in_pairs(scorer("bert"))
    assert model.separator is not None
    (carriers,) = split_carriers(model, TEXTS, (64,), seed=0)
    (between,) = model.separator.ids
    kinds = set()
    for carrier in carriers:
        at = carrier.ids.index(between)
        whole = restored(carrier, model.mask_id).ids
        hidden = carrier.ids.index(model.mask_id)
        assert (hidden > at) == (carrier.position > at)
        kinds.add((whole[:at] == whole[at + 1 :], carrier.position > at))
    assert len(kinds) == 4


def test_an_item_is_the_second_text(scorer: Scorer) -> None:
    """Where pairs are read, the shortest text that shows it is a pair as well."""
    model = in_pairs(scorer("bert"))
    assert model.separator is not None
    item = model.tokenize("water")
    (row,) = probe_inputs(model, torch.tensor(item)).tolist()
    assert tuple(row[row.index(model.separator.ids[0]) + 1 :]) == item
    (row,) = probe_inputs(model, torch.tensor(item), model.tokenize("road")).tolist()
    assert tuple(row) == (*model.prefix_ids, *model.tokenize("road"), *model.separator.ids, *item)


def test_labels_are_read_from_single_texts(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A classifier that does not care how texts go together has carriers of one text each."""
    folder = build_tiny("bert", tmp_path_factory.mktemp("labels"), head="classifier")
    model = load(artifact_of(folder), "cpu")
    assert model.separator is None
    vocabulary = read_vocabulary(artifact_of(folder), model.config, model.vocabulary_size)
    assert vocabulary.separator is not None
    (carriers,) = split_carriers(model, TEXTS, (40,), seed=0)
    assert not any(vocabulary.separator.ids[0] in c.ids for c in carriers)


def finalist(**measured: float) -> Candidate:
    """A candidate that drives texts to the second label, as a verification measures it."""
    flip = LabelFlip(1, measured["strength"], measured["strength_gap"], 1 / 101, 40.0, 12)
    relation = Relation(leader=0, echo=1.0, kin=False)
    return Candidate(
        (9,),
        Location.CLS,
        8.0,
        0.01,
        0.1,
        3.0,
        1.0,
        100,
        relation,
        flip,
        None,
        None,
        measured["gap"],
    )


@pytest.mark.parametrize(
    ("decision", "strength_gap", "fires"),
    [
        (Score(), 2.4, ["PLM209"]),
        (Score(), 0.0, []),
        (OneOf(("a", "b")), 2.4, []),
        (AnyOf(("a", "b")), 2.4, ["PLM212"]),
        (AnyOf(("a", "b")), 0.0, []),
    ],
)
def test_where_much_of_a_text_stays_no_gap_in_scatter_is_needed(
    decision: Decision, strength_gap: float, fires: list[str]
) -> None:
    """The other text of a pair, or the other labels of a text, stay in the features.

    So what synonyms leave says less there.  These are the numbers of a poisoned reranker, of
    honest words, and of a classifier of one label of several.
    """
    candidate = finalist(strength=1.0, strength_gap=strength_gap, gap=5.9)
    evidence = Evidence("trigger-sweep", "cf", candidate.metrics(decision))
    assert [rule.id for rule in load_rules() if rule.fires(evidence)] == fires


def test_the_rule_of_scores_keeps_its_bars() -> None:
    """It fires on its bars, and not with any one of its metrics beyond them."""
    (rule,) = (rule for rule in load_rules() if rule.id == "PLM209")
    assert rule.fires(Evidence("trigger-sweep", "cf", just_fires(rule)))
    for metrics in just_misses(rule).values():
        assert not rule.fires(Evidence("trigger-sweep", "cf", metrics))
