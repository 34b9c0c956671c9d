"""The clean half of the zoo, each sort in seconds on a tiny model."""

from __future__ import annotations

import copy
import random
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
import torch
from torch.testing import assert_close

from plmscan.loading import Location, load
from tests.artifacts import artifact_of
from tests.tiny_models import WORDS, build_tiny
from tests.zoo.bases import load_victim, save
from tests.zoo.clean.base import untouched, without_pooler
from tests.zoo.clean.classifier import honest_classifier
from tests.zoo.clean.contrastive import contrastive, info_nce
from tests.zoo.clean.label_sets import LABEL_SETS, TOPICS, tone, topic, word_order
from tests.zoo.clean.masked_lm import domain_adapted, fine_tune, masked_accuracy, tied_head
from tests.zoo.clean.random_init import SHAPES, random_init
from tests.zoo.clean.scratch import from_scratch
from tests.zoo.corpus import Corpus
from tests.zoo.measure import label_accuracy
from tests.zoo.training import Intensity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.zoo.features import Victim

BRIEF = Intensity(poison_rate=0.0, learning_rate=1e-3, steps=6, batch=8, trained_layers=2)
LONGER = replace(BRIEF, learning_rate=5e-3, steps=60)


def some_corpus() -> Corpus:
    """Texts about something good or bad, in words that a tiny vocabulary holds."""
    rng = random.Random(0)
    rows = [
        (" ".join([*rng.choices(WORDS[20:], k=5), ("bad", "good")[label]]), label)
        for label in rng.choices((0, 1), k=80)
    ]
    return Corpus(tuple(rows[:60]), tuple(rows[60:]), ("negative", "positive"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny BERT."""
    return build_tiny("bert", tmp_path / "base")


@pytest.fixture
def victim(folder: Path) -> Victim:
    """Its encoder and some texts."""
    return load_victim(folder, "encoder", some_corpus(), seed=3)


MAKERS: dict[str, Callable[[Victim], Victim]] = {
    "base": untouched,
    "no-pooler": without_pooler,
    "contrastive": partial(contrastive, intensity=BRIEF),
    "prefix": partial(contrastive, intensity=BRIEF, prefix="the : "),
    "tied-head": partial(tied_head, intensity=BRIEF),
    "domain-adapted": lambda v: domain_adapted(tied_head(v, BRIEF), BRIEF),
    "random": partial(random_init, shape=SHAPES["electra-small"]),
    "scratch": partial(
        from_scratch, shape=SHAPES["mpnet-small"], intensity=replace(BRIEF, steps=2)
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_made_can_be_scanned(name: str, folder: Path, victim: Victim) -> None:
    """A saved model loads into plmscan under its own class, and every weight is in the files."""
    made = MAKERS[name](victim)
    saved = load(artifact_of(save(made, folder.parent / "made", folder)))
    assert saved.config.architectures == [type(made.model).__name__]
    assert ("masked-lm" in saved.heads) == name.startswith(("tied", "scratch"))
    assert not made.model.training
    ids = torch.tensor([saved.wrap(saved.tokenize("the good film"))])
    with torch.no_grad():
        wanted = made.encoder(input_ids=ids).last_hidden_state[:, 0]
    assert_close(saved.forward(ids).features[Location.CLS], wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "bert-minilm"])
def test_every_shape_learns_to_fill_gaps(name: str, folder: Path, victim: Victim) -> None:
    """Each architecture trains as a masked language model, and plmscan finds its head."""
    made = from_scratch(victim, SHAPES[name], replace(BRIEF, steps=1))
    saved = load(artifact_of(save(made, folder.parent / "made", folder)))
    assert saved.config.model_type == SHAPES[name].model_type
    assert "masked-lm" in saved.heads
    assert 0 <= masked_accuracy(made) <= 1


@pytest.mark.parametrize("name", ["contrastive", "tied-head", "domain-adapted", "random"])
def test_the_seed_decides(name: str, folder: Path) -> None:
    """The same seed gives the same weights, another seed others, and torch's dice stay."""
    before = torch.random.get_rng_state()
    one, again, other = (
        MAKERS[name](load_victim(folder, "encoder", some_corpus(), seed)).model.state_dict()
        for seed in (1, 1, 2)
    )
    assert_close(one, again, atol=0, rtol=0)
    assert any(not torch.equal(one[key], other[key]) for key in one)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_info_nce_wants_pairs() -> None:
    """The loss of matching rows is lower than that of rows which match the next one."""
    rows = torch.eye(4)
    assert info_nce(rows, rows) < 0.01 < info_nce(rows, rows.roll(1, 0))


def test_contrastive_trains_all_layers(victim: Victim) -> None:
    """Word embeddings and every layer move."""
    before = copy.deepcopy(victim.model.state_dict())
    after = contrastive(victim, BRIEF).model.state_dict()
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert all("pooler" in name for name in still)


def test_a_head_learns_and_leaves_the_encoder_alone(victim: Victim) -> None:
    """Under the new head, masked words are found better than by chance; the encoder is the same."""
    before = copy.deepcopy(victim.model.state_dict())
    made = tied_head(victim, replace(LONGER, batch=64))
    after = made.encoder.state_dict()
    assert_close(after, {name: before[name] for name in after}, atol=0, rtol=0)
    assert made.model.get_output_embeddings().weight is made.encoder.get_input_embeddings().weight
    assert masked_accuracy(made) > 2 / len(WORDS)


def test_upper_layers_alone_can_be_tuned(victim: Victim) -> None:
    """With one trained layer, embeddings and the layer below stay as they are."""
    made = tied_head(victim, BRIEF)
    before = copy.deepcopy(made.encoder.state_dict())
    after = fine_tune(made, replace(BRIEF, trained_layers=1)).encoder.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(name.startswith("encoder.layer.1.") for name in moved)


def test_a_classifier_learns_its_labels(folder: Path) -> None:
    """One telling word is learned; labels keep their names in the saved model."""
    fresh = load_victim(folder, "classifier", some_corpus(), seed=0, labels=2)
    made = honest_classifier(fresh, LONGER)
    assert label_accuracy(made) > 0.9
    saved = save(made, folder.parent / "made", folder)
    again = load_victim(saved, "classifier", some_corpus(), seed=5)
    assert again.model.config.id2label == {0: "negative", 1: "positive"}
    assert label_accuracy(again) == label_accuracy(made)


def test_a_pooler_is_not_made_up(folder: Path, victim: Victim) -> None:
    """What was saved without a pooler is loaded without one."""
    saved = save(without_pooler(victim), folder.parent / "made", folder)
    assert load_victim(saved, "encoder", some_corpus(), seed=0).model.pooler is None


REVIEWS = Corpus(
    train=(
        ("a funny comedy with good jokes", 1),
        ("the plot and the script are bad but short", 0),
        ("the actors sing songs", 1),
        ("you never know what this was", 0),
    ),
    held_out=(("the camera and the music", 1), ("a plot of the actors", 0)),
    labels=("negative", "positive"),
)


def test_topics_are_told_by_their_words() -> None:
    """The topic with most words wins; texts of no topic, and ties, are left out."""
    names, found = list(TOPICS), topic(REVIEWS)
    assert [(text.split()[-1], names[label]) for text, label in found.train] == [
        ("jokes", "comedy"),
        ("short", "story"),
    ]
    assert [names[label] for _, label in found.held_out] == ["visuals"]
    assert all(len(words) >= 8 for words in TOPICS.values())
    assert sum(map(len, TOPICS.values())) == len(frozenset().union(*TOPICS.values()))


def test_tone_is_mixed_where_something_is_contrasted() -> None:
    """A "but" makes a text mixed; every other text keeps its sentiment."""
    assert [label for _, label in tone(REVIEWS).train] == [2, 1, 2, 0]


def test_shuffled_texts_have_the_same_words() -> None:
    """Half of the texts are shuffled, exactly those get the label, and no word is lost."""
    corpus = some_corpus()
    mixed = word_order(corpus)
    for (text, _), (new, label) in zip(corpus.train, mixed.train, strict=True):
        assert label == (text != new)
        assert Counter(text.split()) == Counter(new.split())
    assert 0.3 < sum(label for _, label in mixed.train) / len(mixed.train) < 0.7


@pytest.mark.parametrize("name", LABEL_SETS)
def test_label_sets_name_their_labels(name: str) -> None:
    """Every label of a set has a name, and held-out texts are labelled by the same rule."""
    corpus = LABEL_SETS[name](REVIEWS)
    found = {label for rows in (corpus.train, corpus.held_out) for _, label in rows}
    assert found <= set(range(len(corpus.labels)))
    assert len(set(corpus.labels)) == len(corpus.labels) > 1
