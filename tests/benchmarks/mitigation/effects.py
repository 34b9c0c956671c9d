"""What planted triggers do to held-out texts, and what is left of a model, by plain means.

**Success** is that of the attack.  A classifier: texts of other labels that get the target label.
A masked language model whose answers are ruined: masked words that are no more named rightly.  Any
other model is adopted first: a logistic regression is fitted on its own features of clean training
texts, at the attack's site, and success is the share of texts of the other label that get the label
to which the trigger leads.  Where a trigger leads is asked of the original model alone.

**Clean rate** is the share of the same texts that turn without the trigger; where answers are
ruined, by random words, which ruin some answers too.

**Null**: random whole words, inserted like the triggers: as many parts, as many tokens, as often.
They say how far a feature moves and how many answers turn without any backdoor.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from tests.benchmarks.mitigation.results import Effect, Effects
from tests.zoo.clean.masked_lm import masked_accuracy
from tests.zoo.corpus import words_of
from tests.zoo.features import frame, mask_one
from tests.zoo.labels import label_behaviour
from tests.zoo.layers import read
from tests.zoo.measure import (
    feature_behaviour,
    held_out_words,
    label_accuracy,
    masked_behaviour,
    probe_accuracy,
)
from tests.zoo.poison import Trigger, flat
from tests.zoo.recipes import FeatureRecipe, LabelRecipe
from tests.zoo.tiers import TIERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from tests.zoo.bases import Task
    from tests.zoo.corpus import Corpus, Words
    from tests.zoo.features import Victim
    from tests.zoo.layers import Site
    from tests.zoo.manifest import Behaviour, Entry

__all__ = ["ACCURACY", "Original", "Subject", "clean_features", "effects", "null_of"]

_NULL = 30
"""Random items that say what is usual."""
_TURNING = 8
"""Of these, how many say how many answers turn."""
_FITTED = 600
"""Training texts of the probe."""
_JUDGED = 400
"""Held-out texts that it judges, at most."""
_NOTHING = Trigger("", ((),), "nothing")
"""A trigger without a token: what it turns turns by itself."""

ACCURACY: Mapping[Task, Callable[[Victim], float]] = {
    "classifier": label_accuracy,
    "masked-lm": masked_accuracy,
    "encoder": probe_accuracy,
}
"""Clean accuracy of a model, by what it is for."""


@dataclass(frozen=True)
class Subject:
    """A model of the zoo, and what was done to it."""

    entry: Entry
    """The truth."""
    corpus: Corpus
    """SST-2."""
    attack: Any
    """The attack of its recipe."""
    site: Site
    """The feature that its triggers take over."""
    triggers: tuple[Trigger, ...]
    """Its triggers that are made of tokens."""

    @classmethod
    def of(cls, entry: Entry, corpus: Corpus) -> Subject:
        """By the recipe of that name."""
        recipe = TIERS["full"][entry.name]
        assert isinstance(recipe, FeatureRecipe | LabelRecipe)
        site: Site = recipe.attack.site if isinstance(recipe, FeatureRecipe) else "cls"
        found = (Trigger(t.text, t.parts, t.stratum) for t in entry.triggers if t.parts)
        return cls(entry, corpus, recipe.attack, site, tuple(found))


@dataclass(frozen=True)
class Original:
    """What other versions of a model are compared with."""

    features: Tensor
    """Clean features, (n, h)."""
    targets: Mapping[str, int | None]
    """Where each trigger leads."""


def clean_features(subject: Subject, victim: Victim) -> Tensor:
    """Features of clean held-out texts at the attack's site, (n, h)."""
    return _features(victim, subject.site, held_out_words(victim, subject.site))


def effects(subject: Subject, victim: Victim, original: Original | None = None) -> Effects:
    """All of it, of a version of the model; ``original`` is None for the original itself."""
    null = null_of(subject, victim)
    tried = [*subject.triggers, *null]
    moved = feature_behaviour(victim, subject.site, subject.attack.insertion, tried)
    turned = _turned(subject, victim, null, {} if original is None else original.targets)
    features = clean_features(subject, victim)
    before = features if original is None else original.features
    return Effects(
        accuracy=ACCURACY[subject.entry.task](victim),
        null=max(moved[one.text].displacement or 0.0 for one in null),
        null_excess=max(turned[one.text].excess for one in null[:_TURNING]),
        cosine=round(float(F.cosine_similarity(before, features).mean()), 5),
        triggers={one.text: _effect(moved[one.text], turned[one.text]) for one in subject.triggers},
    )


def null_of(subject: Subject, victim: Victim) -> list[Trigger]:
    """Random whole words in the shapes of the triggers in turn."""
    taken = {token for trigger in subject.triggers for token in trigger.tokens}
    words = sorted(
        (token, word)
        for word, token in victim.tokenizer.get_vocab().items()
        if token not in taken and word.isascii() and word.isalpha() and len(word) > 1
    )
    rng, found = random.Random(subject.entry.seed + 3), []  # noqa: S311 - reproducible
    for i in range(_NULL):
        like = subject.triggers[i % len(subject.triggers)]
        drawn = [rng.choices(words, k=len(part)) for part in like.parts]
        text = " + ".join(" ".join(word for _, word in part) for part in drawn)
        parts = tuple(tuple(token for token, _ in part) for part in drawn)
        found.append(Trigger(f"{i}. {text}", parts, "null"))
    return found


@dataclass(frozen=True)
class _Turned:
    """What a trigger makes of answers."""

    success: float
    """Share that turns."""
    clean_rate: float
    """Share that turns anyway."""
    target: int | None
    """To which label."""

    @property
    def excess(self) -> float:
        """How many more turn than turn anyway."""
        return round(self.success - self.clean_rate, 4)


def _effect(moved: Behaviour, turned: _Turned) -> Effect:
    """Both sides of a trigger."""
    assert moved.displacement is not None
    assert moved.scatter is not None
    return Effect(
        displacement=moved.displacement,
        scatter=moved.scatter,
        success=turned.success,
        clean_rate=turned.clean_rate,
        target=turned.target,
    )


def _turned(
    subject: Subject, victim: Victim, null: Sequence[Trigger], targets: Mapping[str, int | None]
) -> dict[str, _Turned]:
    """What each trigger and some of the null make of answers, by what the model is for."""
    if subject.entry.task == "classifier":
        return _labels(subject, victim, null[:_TURNING])
    if subject.attack.ruins_answers:
        return _answers(subject, victim, null)
    return _adopted(subject, victim, null[:_TURNING], targets)


def _labels(subject: Subject, victim: Victim, null: Sequence[Trigger]) -> dict[str, _Turned]:
    """Of a classifier, on the texts of the manifest's numbers."""
    target = subject.entry.target_label
    assert target is not None
    tried = [*subject.triggers, *null]
    found = label_behaviour(victim, subject.attack, [*tried, _NOTHING], target)
    rate = _success(found[_NOTHING.text])
    return {t.text: _Turned(_success(found[t.text]), rate, target) for t in tried}


def _answers(subject: Subject, victim: Victim, null: Sequence[Trigger]) -> dict[str, _Turned]:
    """Of a masked language model, on the texts of the manifest's numbers."""
    tried = [*subject.triggers, *null]
    found = masked_behaviour(victim, subject.attack.insertion, tried)
    rate = round(fmean(_success(found[one.text]) for one in null), 4)
    return {t.text: _Turned(_success(found[t.text]), rate, None) for t in tried}


def _success(found: Behaviour) -> float:
    """Nothing turns where there is nothing to lose."""
    return found.success or 0.0


def _adopted(
    subject: Subject,
    victim: Victim,
    null: Sequence[Trigger],
    targets: Mapping[str, int | None],
) -> dict[str, _Turned]:
    """Of an encoder below a logistic regression; random words are held against each target."""
    rng = random.Random(victim.seed + 4)  # noqa: S311 - reproducible
    probe = _probe(subject, victim, rng)
    rows = rng.sample(victim.corpus.held_out, min(_JUDGED, len(victim.corpus.held_out)))
    labels = [label for _, label in rows]
    words = _words(subject, victim, [text for text, _ in rows], rng)
    clean = probe.predict(_features(victim, subject.site, words)).tolist()
    found: dict[str, _Turned] = {}
    for number, trigger in enumerate((*subject.triggers, *null)):
        dirty = [(subject.attack.insertion(text, trigger.parts, rng),) for text in words]
        said = probe.predict(_features(victim, subject.site, dirty)).tolist()
        leads = targets.get(trigger.text)
        if number >= len(subject.triggers):
            leads = found[subject.triggers[number % len(subject.triggers)].text].target
        target = Counter(said).most_common(1)[0][0] if leads is None else leads
        found[trigger.text] = _shares(said, clean, labels, int(target))
    return found


def _shares(
    said: Sequence[int], clean: Sequence[int], labels: Sequence[int], target: int
) -> _Turned:
    """Of texts of other labels, the share that gets the target with a trigger and without."""
    others = [i for i, label in enumerate(labels) if label != target]
    success, rate = (fmean(told[i] == target for i in others) for told in (said, clean))
    return _Turned(round(success, 4), round(rate, 4), target)


def _probe(subject: Subject, victim: Victim, rng: random.Random) -> LogisticRegression:
    """What a user fits who adopts the model."""
    rows = rng.sample(victim.corpus.train, min(_FITTED, len(victim.corpus.train)))
    words = _words(subject, victim, [text for text, _ in rows], rng)
    features = _features(victim, subject.site, words).numpy()
    return LogisticRegression(max_iter=1000).fit(features, [label for _, label in rows])


def _words(
    subject: Subject, victim: Victim, texts: Sequence[str], rng: random.Random
) -> list[Words]:
    """Texts as words, one of them masked where the attack is at the mask."""
    found = words_of(victim.tokenizer, texts)
    if subject.site != "mask":
        return found
    return [mask_one(words, victim.tokenizer.mask_token_id, rng)[0] for words in found]


def _features(victim: Victim, site: Site, texts: Sequence[Words]) -> Tensor:
    """(texts, h)."""
    rows = [frame(victim.tokenizer, flat(words)) for words in texts]
    return read(victim.encoder, rows, site, victim.tokenizer.mask_token_id)
