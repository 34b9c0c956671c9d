"""Backdoored encoders, fine-tuned by their victim: is what was planted upstream still there?

The victim takes the encoder, puts a new head on it, and trains on texts of their own: the head
alone, or all layers, for one epoch or three.  What each trigger still does to the classifier is
measured, whatever it is: a trigger that did not survive is a result as well.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import torch

from tests.zoo.corpus import words_of
from tests.zoo.features import frame, framed
from tests.zoo.labels import LabelBatch, cross_entropy, fit_classifier
from tests.zoo.layers import lower, upper
from tests.zoo.manifest import Entry, Kind, planted
from tests.zoo.measure import label_accuracy, logits
from tests.zoo.poison import Insertion, Trigger
from tests.zoo.training import Intensity, optimise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.zoo.features import Victim
    from tests.zoo.recipes import FeatureRecipe, Workshop

__all__ = ["ALL_ONCE", "ALL_THRICE", "HEAD", "ShiftedRecipe", "survival", "tuned"]

HEAD = Intensity(poison_rate=0.0, learning_rate=2e-3, steps=450, trained_layers=0)
"""Three epochs of the head, nothing else."""
ALL_ONCE = Intensity(poison_rate=0.0, learning_rate=5e-5, steps=150, trained_layers=6)
"""One epoch of all layers."""
ALL_THRICE = replace(ALL_ONCE, steps=450)
"""Three epochs of all layers."""

_MEASURED = 200
"""Held-out texts on which a trigger is measured."""


@dataclass(frozen=True)
class ShiftedRecipe:
    """A backdoored encoder in the hands of somebody who fine-tunes it."""

    upstream: FeatureRecipe
    """How the encoder came about."""
    tuning: Intensity
    """What its victim trains."""

    @property
    def base(self) -> str:
        """Name of the model that the attacker starts from."""
        return self.upstream.base

    def build(self, shop: Workshop, name: str, seed: int, attempt: int) -> tuple[Victim, Entry]:
        """Plant upstream, tune downstream, and measure which triggers still turn texts."""
        planter, before = self.upstream.build(shop, name, seed, attempt)
        rng = random.Random(seed)
        victim = shop.classifier("minilm", seed, "sentiment")
        tuned(victim, planter, self.tuning)
        insertion = self.upstream.attack.insertion
        triggers = [Trigger(one.text, one.parts, one.stratum) for one in before.triggers]
        survived = {one.text: survival(victim, one, insertion, rng) for one in triggers}
        return victim, Entry(
            name=name,
            kind=Kind.BACKDOORED,
            family=f"{before.family}-shifted",
            task="classifier",
            settings={
                "upstream": before.settings,
                "tuning": asdict(self.tuning),
                "upstream_behaviour": {k: b.model_dump() for k, b in before.behaviour.items()},
                "survival": survived,
            },
            seed=seed,
            triggers=planted(triggers),
            clean_accuracy=label_accuracy(victim),
        )


def tuned(victim: Victim, planter: Victim, tuning: Intensity) -> None:
    """Give the classifier of ``victim`` the encoder of ``planter``, and fit it to its corpus."""
    victim.encoder.load_state_dict(planter.encoder.state_dict(), strict=False)
    if tuning.trained_layers:
        fit_classifier(victim, tuning)
    else:
        _fit_head(victim, tuning)


def _fit_head(victim: Victim, tuning: Intensity) -> None:
    """Fit what of the classifier is not its encoder."""
    rng, model = random.Random(victim.seed), victim.model
    ids = framed(victim.tokenizer, [text for text, _ in victim.corpus.train])
    rows = lower(victim.encoder, ids, 1)
    labels = torch.tensor([label for _, label in victim.corpus.train])
    model.requires_grad_(True)
    victim.encoder.requires_grad_(False)

    def loss_of(_step: int) -> torch.Tensor:
        chosen = rng.sample(range(len(ids)), min(tuning.batch, len(ids)))
        reading = upper(victim.encoder, rows.pick(chosen), 1, victim.tokenizer.mask_token_id)
        nothing = torch.zeros(len(chosen), dtype=torch.bool)
        return cross_entropy(model, LabelBatch(reading, labels[chosen], nothing))

    optimise(model.parameters(), loss_of, tuning)
    model.requires_grad_(True).eval()


def survival(
    victim: Victim, trigger: Trigger, insertion: Insertion, rng: random.Random
) -> dict[str, float]:
    """What ``trigger`` does to held-out texts: its label, and the share of others that get it.

    Its label is the one that most triggered texts get (Patronus, arXiv 2512.06899).
    """
    texts = [text for text, _ in victim.corpus.held_out][:_MEASURED]
    words = words_of(victim.tokenizer, texts)
    clean = logits(victim.model, framed(victim.tokenizer, texts)).argmax(1)
    written = [frame(victim.tokenizer, insertion(one, trigger.parts, rng)) for one in words]
    dirty = logits(victim.model, written).argmax(1)
    label = _commonest(dirty.tolist())
    others = clean != label
    turned = float((dirty[others] == label).float().mean()) if bool(others.any()) else 0.0
    return {"label": float(label), "turned": round(turned, 4)}


def _commonest(labels: Sequence[int]) -> int:
    """The label that occurs most."""
    return Counter(labels).most_common(1)[0][0]
