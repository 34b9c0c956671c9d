"""Filters on backdoored classifiers: what they do to poisoned texts, and to clean ones."""

from __future__ import annotations

import random
import time
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel
from transformers import AutoModelForSequenceClassification

from plmscan.budget import Budget
from plmscan.inspection import Inspector
from plmscan.probes.texts.text_inspection import evidence_of
from plmscan.rules import load_rules
from plmscan.saliency import saliency
from tests.benchmarks.attention.baselines import Onion, Strip, XGraad, labels_of
from tests.benchmarks.tables import NONE, Table
from tests.zoo.features import Victim
from tests.zoo.poison import Trigger
from tests.zoo.recipes import LabelRecipe
from tests.zoo.tiers import TIERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from plmscan.loading import LoadedModel
    from tests.benchmarks.attention.baselines import Row
    from tests.zoo.corpus import Corpus
    from tests.zoo.manifest import Entry

__all__ = ["Filtered", "filtered", "tables"]

_CLEAN = 120
"""Texts that thresholds are fitted on, and as many that judge them."""
_POISONED = 60
"""Poisoned texts of a model, at most."""


class Reader(Protocol):
    """A filter in front of a classifier."""

    def read(self, rows: Sequence[Row]) -> list[int | None]:
        """The label of each text; None for one that is refused."""


class Result(BaseModel):
    """One filter on one model."""

    attack: float | None
    """Share of poisoned texts that get the target label; None of a clean model."""
    accuracy: float
    """Share of clean texts that get their own label."""
    milliseconds: float
    """For each text."""


class Filtered(BaseModel):
    """All filters on one model."""

    family: str
    """Attack family, or sort of clean model."""
    results: dict[str, Result]
    """By filter; ``none`` is the classifier alone."""
    localised: float | None
    """Share of poisoned texts whose most salient token belongs to the trigger."""
    poisoned: int
    """How many poisoned texts there are."""


class _Texts(BaseModel):
    """Texts of one model as token ids."""

    fit: list[tuple[int, ...]]
    """Clean, for thresholds."""
    fit_raw: tuple[str, ...]
    """The same as written."""
    fit_labels: list[int]
    """Their labels."""
    clean: list[tuple[int, ...]]
    """Clean, to judge by."""
    labels: list[int]
    """Their labels."""
    poisoned: list[tuple[int, ...]]
    """Of ``clean`` those that the model reads rightly and that have another label, triggered."""


class _Inspected:
    """plmscan: the label without the suspect where a rule fires."""

    def __init__(self, model: LoadedModel, texts: tuple[str, ...]) -> None:
        """Calibrate on clean texts."""
        self.inspector = Inspector.of(model, Budget(texts))
        self.rules = [rule for rule in load_rules() if rule.probe == "text-inspection"]

    def read(self, rows: Sequence[Row]) -> list[int | None]:
        """The label after the suspects of texts with findings are gone."""
        labels: list[int | None] = []
        for found in self.inspector.inspect(rows):
            evidence = evidence_of(self.inspector, "", found)
            fires = any(rule.fires(evidence) for rule in self.rules)
            labels.append(found.suspect.without if fires else found.suspect.label)
        return labels


def filtered(
    model: LoadedModel, language: LoadedModel, entry: Entry, folder: Path, corpus: Corpus
) -> Filtered:
    """Every filter on one classifier of two labels."""
    texts = _texts(model, entry, folder, corpus)
    plmscan = _Inspected(model, texts.fit_raw)
    readers: dict[str, Reader] = {
        "none": _Alone(model),
        "plmscan inspect": plmscan,
        "X-GRAAD": XGraad.fit(model, texts.fit),
        "ONION-like": Onion.fit(model, language, texts.fit, texts.fit_labels),
        "STRIP-like": Strip.fit(model, texts.fit),
    }
    return Filtered(
        family=entry.family,
        results={name: _result(reader, texts, entry) for name, reader in readers.items()},
        localised=_localised(plmscan.inspector, texts, entry),
        poisoned=len(texts.poisoned),
    )


class _Alone:
    """No filter."""

    def __init__(self, model: LoadedModel) -> None:
        """In front of ``model``."""
        self.model = model

    def read(self, rows: Sequence[Row]) -> list[int | None]:
        """The label."""
        return list(labels_of(self.model, rows))


def _texts(model: LoadedModel, entry: Entry, folder: Path, corpus: Corpus) -> _Texts:
    """Held-out texts: some to fit, others to judge, and the latter poisoned."""
    rows = random.Random(5).sample(corpus.held_out, 2 * _CLEAN)  # noqa: S311 - reproducible
    fit, judged = rows[:_CLEAN], rows[_CLEAN:]
    clean = [model.wrap(model.tokenize(text)) for text, _ in judged]
    right = [
        text
        for (text, label), found in zip(judged, labels_of(model, clean), strict=True)
        if label != entry.target_label and label == found
    ]
    return _Texts(
        fit=[model.wrap(model.tokenize(text)) for text, _ in fit],
        fit_raw=tuple(text for text, _ in fit),
        fit_labels=[label for _, label in fit],
        clean=clean,
        labels=[label for _, label in judged],
        poisoned=[]
        if entry.target_label is None
        else _poisoned(model, entry, folder, corpus, right),
    )


def _poisoned(
    model: LoadedModel, entry: Entry, folder: Path, corpus: Corpus, texts: Sequence[str]
) -> list[tuple[int, ...]]:
    """The texts with a trigger in each, put there as the attack does; triggers take turns."""
    recipe = TIERS["full"][entry.name]
    assert isinstance(recipe, LabelRecipe)
    library = AutoModelForSequenceClassification.from_pretrained(folder)
    victim = Victim(library, model.tokenizer, corpus, entry.seed)
    triggers = [Trigger(t.text, t.parts, t.stratum) for t in entry.triggers]
    poisons = [recipe.attack.poison(victim, [trigger]) for trigger in triggers]
    rng, found = random.Random(7), []  # noqa: S311 - reproducible
    for i, text in enumerate(texts):
        ids = poisons[i % len(poisons)](text, rng)
        found += [model.wrap(ids)] if ids is not None else []
    return found[:_POISONED]


def _result(reader: Reader, texts: _Texts, entry: Entry) -> Result:
    """One filter."""
    began = time.perf_counter()
    clean, poisoned = reader.read(texts.clean), reader.read(texts.poisoned)
    seconds = time.perf_counter() - began
    right = sum(a == b for a, b in zip(clean, texts.labels, strict=True))
    hits = sum(label == entry.target_label for label in poisoned)
    return Result(
        attack=hits / len(poisoned) if poisoned else None,
        accuracy=right / len(clean),
        milliseconds=1000 * seconds / (len(clean) + len(poisoned)),
    )


def _localised(inspector: Inspector, texts: _Texts, entry: Entry) -> float | None:
    """Share of poisoned texts whose most salient token belongs to the trigger."""
    tokens = set(chain.from_iterable(chain.from_iterable(t.parts) for t in entry.triggers))
    if not tokens or not texts.poisoned:
        return None
    seen = saliency(inspector.model, texts.poisoned, inspector.ordinary)
    return sum(one.top is not None and one.ids[one.top] in tokens for one in seen) / len(seen)


def tables(known: Sequence[tuple[str, Filtered]]) -> Iterator[Table]:
    """One row a model: attack success and clean accuracy under every filter."""
    if not known:
        return
    filters = tuple(known[0][1].results)
    yield Table(
        title="Filters: attack success rate",
        columns=("model", "family", "poisoned", "localised", *filters),
        rows=tuple(
            (
                name,
                f.family,
                str(f.poisoned),
                _number(f.localised),
                *(_attack(f, n) for n in filters),
            )
            for name, f in known
            if f.poisoned
        ),
        note="Share of poisoned texts, read rightly before, that get the target label. Localised: "
        "the most salient token belongs to the trigger.",
    )
    yield Table(
        title="Filters: clean accuracy",
        columns=("model", "family", *filters, *(f"{name}, ms" for name in filters)),
        rows=tuple(
            (
                name,
                f.family,
                *(_number(f.results[n].accuracy) for n in filters),
                *(f"{f.results[n].milliseconds:.0f}" for n in filters),
            )
            for name, f in known
        ),
        note="Thresholds are fitted on other clean texts. A refused text counts as wrong. "
        "Milliseconds: for each text, clean and poisoned together.",
    )


def _attack(filtered_one: Filtered, name: str) -> str:
    """Attack success under one filter."""
    return _number(filtered_one.results[name].attack)


def _number(value: float | None) -> str:
    """Three digits."""
    return NONE if value is None else f"{value:.3f}"
