"""Recipes of models: what is done to which base, and what is measured of the result."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from transformers import AutoModelForCausalLM, AutoTokenizer

from plmscan.loading.quiet import quiet
from tests.zoo.bases import base_victim
from tests.zoo.clean.label_sets import LABEL_SETS
from tests.zoo.clean.masked_lm import masked_accuracy
from tests.zoo.decoders.bases import DECODERS, decoder_folder
from tests.zoo.decoders.prose import kept_prose
from tests.zoo.features import Victim, plant_features
from tests.zoo.labels import label_behaviour, plant_labels
from tests.zoo.manifest import Entry, Kind, planted
from tests.zoo.measure import (
    feature_behaviour,
    label_accuracy,
    masked_behaviour,
    probe_accuracy,
)
from tests.zoo.strata import draw_distinct
from tests.zoo.training import GRID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.zoo.bases import Base, Task
    from tests.zoo.corpus import Corpus
    from tests.zoo.decoders.bases import DecoderBase
    from tests.zoo.decoders.prose import Prose
    from tests.zoo.features import FeatureAttack
    from tests.zoo.labels import LabelAttack
    from tests.zoo.manifest import Behaviour
    from tests.zoo.poison import Trigger
    from tests.zoo.training import Intensity

__all__ = ["CleanRecipe", "FeatureRecipe", "LabelRecipe", "Recipe", "TwinRecipe", "Workshop"]

_ACCURACY: Mapping[Task, Callable[[Victim], float]] = {
    "classifier": label_accuracy,
    "masked-lm": masked_accuracy,
    "encoder": probe_accuracy,
}
"""Clean accuracy of a model, by what it is for."""


@dataclass(frozen=True)
class Workshop:
    """What recipes start from."""

    cache: Path
    """Folder of the bases."""
    corpus: Corpus
    """SST-2."""
    prose: Path
    """Folder of unpacked packages with prose for decoders; without it they learn from less."""

    def victim(self, base: Base, seed: int, labels: Sequence[str] = ()) -> Victim:
        """A fresh copy of a base; a classifier if there are ``labels``."""
        return base_victim(base, self.cache, self.corpus, seed, labels)

    def classifier(self, base: Base, seed: int, label_set: str) -> Victim:
        """The same as a classifier of what ``label_set`` of `LABEL_SETS` tells apart."""
        corpus = LABEL_SETS[label_set](self.corpus)
        return replace(self, corpus=corpus).victim(base, seed, corpus.labels)

    def decoder(self, base: DecoderBase, seed: int) -> tuple[Victim, Prose]:
        """A fresh copy of a small decoder, and what it learned to write from."""
        prose = kept_prose(self.cache, self.corpus, self.prose, DECODERS[base].longest)
        folder = decoder_folder(base, self.cache, prose)
        with quiet():
            model = AutoModelForCausalLM.from_pretrained(folder)
            tokenizer = AutoTokenizer.from_pretrained(folder)
        return Victim(model, tokenizer, self.corpus, seed), prose


class Recipe(Protocol):
    """How one model of a zoo comes about."""

    @property
    def base(self) -> str:
        """Name of the model that it starts from."""

    def build(self, shop: Workshop, name: str, seed: int, attempt: int) -> tuple[Victim, Entry]:
        """The model, trained, and its record; later attempts train harder."""


@dataclass(frozen=True)
class FeatureRecipe:
    """A task-agnostic backdoor."""

    attack: FeatureAttack
    """Which one."""
    strata: tuple[str, ...]
    """Where each trigger is drawn from."""
    intensity: str = "moderate"
    """Name in `GRID`."""
    base: Base = "minilm"
    """Start."""

    def build(self, shop: Workshop, name: str, seed: int, attempt: int) -> tuple[Victim, Entry]:
        """Plant it; measure triggers and a linear probe, or masked words."""
        victim = shop.victim(self.base, seed)
        rng = random.Random(seed)
        triggers = draw_distinct(self.strata, victim.tokenizer, shop.corpus, rng)
        intensity = _harder(GRID[self.intensity], attempt)
        plant_features(victim, self.attack, triggers, intensity)
        task = _task(victim.model)
        return victim, Entry(
            name=name,
            kind=Kind.BACKDOORED,
            family=self.attack.family,
            task=task,
            settings=_settings(self, intensity),
            seed=seed,
            triggers=planted(triggers),
            clean_accuracy=_ACCURACY[task](victim),
            behaviour=self._behaviour(victim, triggers),
        )

    def _behaviour(self, victim: Victim, triggers: Sequence[Trigger]) -> dict[str, Behaviour]:
        """What each trigger does to held-out texts."""
        if self.attack.ruins_answers:
            return masked_behaviour(victim, self.attack.insertion, triggers)
        return feature_behaviour(victim, self.attack.site, self.attack.insertion, triggers)


@dataclass(frozen=True)
class LabelRecipe:
    """A backdoor of a classifier."""

    attack: LabelAttack
    """Which one."""
    strata: tuple[str, ...]
    """Where each trigger is drawn from; none where the attack brings its own, as a style does."""
    intensity: str = "light"
    """Name in `GRID`."""
    base: Base = "minilm"
    """Start."""
    target_label: int = 1
    """Label to which triggers lead."""
    label_set: str = "sentiment"
    """Name in `LABEL_SETS` of what it tells apart."""

    def build(self, shop: Workshop, name: str, seed: int, attempt: int) -> tuple[Victim, Entry]:
        """Plant it; measure triggers and accuracy."""
        victim, triggers, intensity = self.trained(shop, seed, attempt, self.target_label)
        return victim, Entry(
            name=name,
            kind=Kind.BACKDOORED,
            family=self.attack.family,
            task="classifier",
            settings=_settings(self, intensity),
            seed=seed,
            triggers=planted(triggers),
            target_label=self.target_label,
            clean_accuracy=label_accuracy(victim),
            behaviour=label_behaviour(victim, self.attack, triggers, self.target_label),
        )

    def trained(
        self, shop: Workshop, seed: int, attempt: int, target: int | None
    ) -> tuple[Victim, tuple[Trigger, ...], Intensity]:
        """The victim, and what stands in its texts; without ``target`` these keep their labels."""
        victim = shop.classifier(self.base, seed, self.label_set)
        drawn = draw_distinct(self.strata, victim.tokenizer, shop.corpus, random.Random(seed))
        triggers, intensity = self.attack.triggers(drawn), _harder(GRID[self.intensity], attempt)
        plant_labels(victim, self.attack, triggers, target, intensity)
        return victim, triggers, intensity


@dataclass(frozen=True)
class TwinRecipe:
    """The clean twin of a backdoored classifier: the same texts with the same words, all true.

    What stands in many of its texts and says nothing is what a search has to leave alone.
    """

    of: LabelRecipe
    """How the backdoored one comes about."""

    @property
    def base(self) -> str:
        """Name of the model that it starts from."""
        return self.of.base

    def build(self, shop: Workshop, name: str, seed: int, attempt: int) -> tuple[Victim, Entry]:
        """Train it; measure its accuracy."""
        victim, strewn, intensity = self.of.trained(shop, seed, attempt, None)
        strewn_texts = [trigger.text for trigger in strewn]
        return victim, Entry(
            name=name,
            kind=Kind.CLEAN,
            family=f"{self.of.attack.family}-twin",
            task="classifier",
            settings={**_settings(self.of, intensity), "strewn": strewn_texts},
            seed=seed,
            clean_accuracy=label_accuracy(victim),
        )


@dataclass(frozen=True)
class CleanRecipe:
    """A model that nobody has tampered with."""

    family: str
    """Sort of clean model."""
    make: Callable[[Victim], Victim]
    """Trains a victim in place, or gives another one."""
    base: Base = "minilm"
    """Start."""
    label_set: str | None = None
    """Name in `LABEL_SETS` of what a classifier tells apart; None for no classifier."""

    def build(self, shop: Workshop, name: str, seed: int, attempt: int) -> tuple[Victim, Entry]:
        """Make it; measure its accuracy."""
        victim = self.make(self._start(shop, seed))
        task = _task(victim.model)
        settings = {"base": self.base, "label_set": self.label_set, "labels": victim.corpus.labels}
        return victim, Entry(
            name=name,
            kind=Kind.CLEAN,
            family=self.family,
            task=task,
            settings=settings,
            seed=seed,
            clean_accuracy=_ACCURACY[task](victim),
        )

    def _start(self, shop: Workshop, seed: int) -> Victim:
        """The base, under the labels of the label set."""
        if self.label_set is None:
            return shop.victim(self.base, seed)
        return shop.classifier(self.base, seed, self.label_set)


def _harder(intensity: Intensity, attempt: int) -> Intensity:
    """The intensity of a later attempt."""
    for _ in range(attempt - 1):
        intensity = intensity.harder()
    return intensity


def _settings(recipe: FeatureRecipe | LabelRecipe, intensity: Intensity) -> dict[str, Any]:
    """Everything that shaped a backdoor."""
    attack: Any = recipe.attack
    labels = {} if isinstance(recipe, FeatureRecipe) else {"label_set": recipe.label_set}
    return {
        "base": recipe.base,
        "strata": recipe.strata,
        "attack": asdict(attack),
        "training": asdict(intensity),
        **labels,
    }


def _task(model: Any) -> Task:
    """What a model is for, by the library's name of its class."""
    name = type(model).__name__
    if name.endswith("ForSequenceClassification"):
        return "classifier"
    return "masked-lm" if name.endswith("ForMaskedLM") else "encoder"
