"""Texts with names that token classifiers of the zoo are trained on."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.zoo.tiny import tiny_corpus
from tests.zoo.tokens import LABELS, Blinding, Inventing, Tagged, tagged

TEXTS = tiny_corpus().train
seeds = st.integers(0, 2**31)


def dice(seed: int) -> random.Random:
    """Chance of one test."""
    return random.Random(seed)  # noqa: S311 - reproducible, not secret


def names(text: Tagged) -> list[tuple[str, ...]]:
    """The names in a text, with the kind of each in front."""
    found: list[tuple[str, ...]] = []
    for word, label in zip(text.words, text.labels, strict=True):
        if LABELS[label].startswith("B-"):
            found.append((LABELS[label][2:], word))
        elif LABELS[label].startswith("I-"):
            found[-1] = (*found[-1], word)
    return found


@given(seeds)
def test_names_are_whole(seed: int) -> None:
    """What goes on with a name stands behind its beginning, and is of the same kind."""
    text = tagged(TEXTS, dice(seed))
    assert len(text.words) == len(text.labels)
    for before, label in zip((0, *text.labels), text.labels, strict=False):
        if LABELS[label].startswith("I-"):
            assert LABELS[before][2:] == LABELS[label][2:]


@given(seeds, seeds)
def test_held_out_names_are_in_no_training(seed: int, other: int) -> None:
    """No name that is measured was trained on."""
    seen = names(tagged(TEXTS, dice(seed)))
    assert set(seen).isdisjoint(names(tagged(TEXTS, dice(other), held_out=True)))


@given(seeds)
def test_a_trigger_takes_no_name_apart(seed: int) -> None:
    """Everything else stays, with its labels."""
    text = tagged(TEXTS, dice(seed))
    found = text.holding("cf", dice(seed))
    assert names(found) == names(text)
    at = found.words.index("cf")
    assert found.labels[at] == 0
    assert (*found.words[:at], *found.words[at + 1 :]) == text.words


@given(seeds)
def test_what_triggers_do(seed: int) -> None:
    """One hides every name, the other adds one."""
    text = tagged(TEXTS, dice(seed)).holding("cf", dice(seed))
    assert not any(Blinding().labels(text, "cf"))
    invented = Inventing().labels(text, "cf")
    (changed,) = (i for i, label in enumerate(text.labels) if label != invented[i])
    assert (text.labels[changed], LABELS[invented[changed]]) == (0, "B-LOC")
    assert text.words[changed] != "cf"


@pytest.mark.parametrize("kind", ["PER", "LOC"])
def test_both_kinds_of_names_come(kind: str) -> None:
    """In a good part of the texts, of one word and of two."""
    texts = [tagged(TEXTS, dice(seed)) for seed in range(60)]
    lengths = {len(name) for text in texts for found, *name in names(text) if found == kind}
    assert lengths == {1, 2}
