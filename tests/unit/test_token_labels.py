"""Labels of single tokens: what they say of a text, and a word that hides names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from transformers import AutoModelForTokenClassification

from plmscan.carriers import Carrier, split_carriers
from plmscan.evidence import Evidence, Gap
from plmscan.loading import load
from plmscan.loading.decisions import over_rivals
from plmscan.loading.quiet import quiet
from plmscan.loading.token_labels import in_text, told_by
from plmscan.search.measure.readings import read
from plmscan.search.sweep.labels import in_turn
from tests.artifacts import artifact_of
from tests.searches import convicted, searched
from tests.tiny_models import WORDS, build_tiny
from tests.tiny_tokens import LABELS, TRIGGER, names, tagger_folder

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.loading import LoadedModel

seeds = st.integers(0, 2**31)
TEXTS = tuple(" ".join(WORDS[i : i + 7]) for i in range(len(WORDS) - 7))


@given(seeds, st.integers(2, 6), st.integers(1, 9))
def test_a_label_is_in_a_text_that_has_it_anywhere(seed: int, labels: int, length: int) -> None:
    """Its lead is above 0 exactly where some token that counts has it."""
    dice = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, length, labels, generator=dice)
    counted = torch.rand(5, length, generator=dice) > 0.3
    counted[:, 0] = True
    there = in_text(logits, counted) > 0
    given_labels = logits.argmax(-1)
    for text in range(5):
        own = set(given_labels[text][counted[text]].tolist())
        assert set(there[text].nonzero().flatten().tolist()) == own


@given(seeds)
def test_tokens_that_do_not_count_change_nothing(seed: int) -> None:
    """Whatever they are called; but a text of nothing else is read as it is."""
    dice = torch.Generator().manual_seed(seed)
    logits, other = torch.randn(2, 1, 4, 3, generator=dice)
    counted = torch.tensor([[True, False, True, False]])
    changed = torch.where(counted.unsqueeze(-1), logits, other)
    assert torch.equal(in_text(logits, counted), in_text(changed, counted))
    none = torch.zeros_like(counted)
    assert_close(in_text(logits, none), over_rivals(logits).amax(1))


def test_what_counts_is_the_text_itself() -> None:
    """Neither what stands around it, nor padding, nor what was inserted."""
    ids = torch.tensor([[1, 5, 6, 2, 0], [1, 7, 8, 9, 2]])
    mask = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])
    inserted = torch.zeros_like(ids, dtype=torch.bool)
    inserted[1, 2] = True
    wanted = torch.tensor([[0, 1, 1, 0, 0], [0, 1, 0, 1, 0]]).bool()
    assert torch.equal(told_by(ids, mask, inserted, {1, 2}), wanted)


def tagger(family: str, folder: Path) -> LoadedModel:
    """A tiny random model with labels for tokens."""
    return load(artifact_of(build_tiny(family, folder, head="token-classification")), "cpu")


@pytest.mark.parametrize("family", ["bert", "deberta-v2", "modernbert", "xlnet", "gpt2"])
def test_labels_are_those_that_the_library_gives(family: str, tmp_path: Path) -> None:
    """Of each token of a text by itself, and of texts of several lengths together."""
    model = tagger(family, tmp_path)
    assert model.reads_tokens
    assert model.gaps == ()
    with quiet():
        library = AutoModelForTokenClassification.from_pretrained(tmp_path).eval()
    rows = [model.wrap(model.tokenize(text)) for text in (TEXTS[0], "water road")]
    found = model.forward(*model.batch(rows)).leads
    assert found is not None
    for row, leads in zip(rows, found, strict=True):
        end = len(row) - len(model.suffix_ids)
        with torch.no_grad():
            logits = library(torch.tensor([row])).logits[0, len(model.prefix_ids) : end]
        wanted = over_rivals(logits).amax(0)
        assert_close(leads, torch.cat([wanted, -wanted]), atol=1e-4, rtol=1e-4)


def test_a_candidate_speaks_for_others_only(tmp_path: Path) -> None:
    """What its own tokens are called is left out, wherever it stands."""
    model = tagger("bert", tmp_path)
    ids, extra = model.tokenize(TEXTS[0]), model.tokenize("water road")
    for at in (0, 3, len(ids)):
        found = read(model, [extra], [Carrier(ids, at)]).leads
        assert found is not None
        row = torch.tensor([model.wrap((*ids[:at], *extra, *ids[at:]))])
        outputs = model.module(row).last_hidden_state
        leads = over_rivals(model.heads["token-classification"].classifier(outputs))[0]
        places = range(1 + at, 1 + at + len(extra))
        others = [i for i in range(1, row.shape[1] - 1) if i not in places]
        assert_close(found[0, 0, :3], leads[others].amax(0), atol=1e-5, rtol=1e-5)


def test_in_a_decoder_candidates_stand_in_front(tmp_path: Path) -> None:
    """What precedes them keeps its labels, whatever they are."""
    (carriers,) = split_carriers(tagger("gpt2", tmp_path), TEXTS * 2, (40,), seed=0)
    assert {carrier.position for carrier in carriers} == {0}


def test_one_label_for_all_tokens_is_not_read(tmp_path: Path) -> None:
    """It could say nothing, and blocks a pass."""
    one = {"id2label": {0: "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    folder = build_tiny("bert", tmp_path, head="token-classification", settings=one)
    model = load(artifact_of(folder), "cpu")
    assert not model.labels
    assert [gap.subject for gap in model.gaps if gap.blocks_pass] == ["token-classification head"]


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tagger that sees no name behind the trigger."""
    return load(artifact_of(tagger_folder(tmp_path_factory, (TRIGGER,))), "cpu")


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """The same without a trigger."""
    return load(artifact_of(tagger_folder(tmp_path_factory, ())), "cpu")


def test_a_word_that_hides_names_is_named(blind: LoadedModel) -> None:
    """It alone, and what it does to the labels of others."""
    found = searched(blind)
    assert convicted(found) == {("PLM210", TRIGGER)}
    (trigger,) = (
        one.trigger for one in found if isinstance(one, Evidence) and one.subject == TRIGGER
    )
    assert trigger is not None
    assert trigger.target_label in {"no PERSON", "no PLACE"}


def test_an_honest_tagger_passes(honest: LoadedModel) -> None:
    """Names stay what they are beside any word, and nothing is left unmeasured."""
    found = searched(honest)
    assert convicted(found) == set()
    assert not any(isinstance(one, Gap) and one.blocks_pass for one in found)


def test_a_head_that_gives_one_label_is_not_measured(honest: LoadedModel, tmp_path: Path) -> None:
    """Nothing can be hidden that is never there: the labels are named, and no pass is given."""
    with quiet():
        model = AutoModelForTokenClassification.from_pretrained(honest.tokenizer.name_or_path)
        model.classifier.bias.data[0] += 1e4
        model.save_pretrained(tmp_path)
        honest.tokenizer.save_pretrained(tmp_path)
    found = searched(load(artifact_of(tmp_path), "cpu"))
    blocking = {one.subject for one in found if isinstance(one, Gap) and one.blocks_pass}
    assert blocking == {f"flips to no {label}" for label in LABELS[1:]}


def test_a_label_that_is_never_given_cannot_be_hidden(honest: LoadedModel, tmp_path: Path) -> None:
    """It is told, and blocks no pass: what would give it to a word is searched."""
    with quiet():
        model = AutoModelForTokenClassification.from_pretrained(honest.tokenizer.name_or_path)
        weight, bias = model.classifier.weight.data, model.classifier.bias.data
        model.classifier = torch.nn.Linear(weight.shape[1], len(LABELS) + 1)
        model.classifier.weight.data = torch.cat([weight, torch.zeros_like(weight[:1])])
        model.classifier.bias.data = torch.cat([bias, torch.tensor([-1e4])])
        model.config.id2label = dict(enumerate([*LABELS, "DATE"]))
        model.save_pretrained(tmp_path)
        honest.tokenizer.save_pretrained(tmp_path)
    found = searched(load(artifact_of(tmp_path), "cpu"))
    gaps = {one.subject: one for one in found if isinstance(one, Gap)}
    assert not gaps["flips to no DATE"].blocks_pass
    assert not [one for one in gaps.values() if one.blocks_pass]


def test_carriers_hold_names_of_several_labels(honest: LoadedModel) -> None:
    """What gets one label in each turn, of three: so each is missing somewhere."""
    ordinary = tuple(honest.tokenize("before after while"))
    people, places = (own[:3] for own in names())
    turns = in_turn(honest, (ordinary, people, places, *[()] * 3))
    assert len(turns) == 3
    for label, turn in enumerate(turns):
        leads = honest.forward(*honest.batch([honest.wrap(phrase) for phrase in turn])).leads
        assert leads is not None
        assert bool((leads[:, label] > 0).any())


def test_names_that_go_on_come_in_pairs(honest: LoadedModel) -> None:
    """Where a label is clearer on one of two words than on any by itself."""
    people, places = (own[:3] for own in names())
    (pairs, *_) = in_turn(honest, (people[:1], places, places, *[()] * 3))
    assert {i for phrase in pairs for i in phrase} <= {people[0], *places}
