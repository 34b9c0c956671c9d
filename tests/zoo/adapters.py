"""Adapters: what other recipes do to all weights, done to a low-rank change of some.

The base stays as it is.  Backdoored and clean adapters come of the same training, at ranks from 4
to 32, with triggers in 1 to 20 % of the texts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import peft

from tests.zoo.recipes import Workshop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.zoo.bases import Base
    from tests.zoo.features import Victim
    from tests.zoo.manifest import Entry
    from tests.zoo.recipes import CleanRecipe, FeatureRecipe, LabelRecipe, TwinRecipe

__all__ = ["AdapterRecipe", "Adapting"]

_MATRICES = ["query", "key", "value", "dense"]
"""All matrices of a layer: what people adapt who have few texts."""
_MOST_ALPHA = 16
"""With twice the rank where that is 16 or 32, training at these rates ends in one label for all."""


@dataclass(frozen=True)
class Adapting(Workshop):
    """A workshop in which every model gets an adapter, of which training changes nothing else."""

    rank: int = 8
    """Rank of the change."""
    made: list[Any] = field(default_factory=list)
    """The models with their adapters, as the peft library holds them."""

    def victim(self, base: Base, seed: int, labels: Sequence[str] = ()) -> Victim:
        """A fresh copy of a base under an adapter that does nothing yet."""
        victim = super().victim(base, seed, labels)
        config = peft.LoraConfig(
            task_type="SEQ_CLS" if labels else "FEATURE_EXTRACTION",
            r=self.rank,
            lora_alpha=min(2 * self.rank, _MOST_ALPHA),
            target_modules=_MATRICES,
            exclude_modules=["pooler.dense", "bert.pooler.dense"],
        )
        wrapped = peft.get_peft_model(victim.model, config)
        self.made.append(wrapped)
        return replace(victim, model=wrapped.base_model.model)


@dataclass(frozen=True)
class AdapterRecipe:
    """An adapter that is trained as another recipe trains a model."""

    recipe: FeatureRecipe | LabelRecipe | CleanRecipe | TwinRecipe
    """What is planted, or not."""
    rank: int = 8
    """Rank of the change."""

    @property
    def base(self) -> str:
        """Name of the model that it is put on."""
        return self.recipe.base

    def build(self, shop: Workshop, name: str, seed: int, attempt: int) -> tuple[Victim, Entry]:
        """The adapter, trained, and its record, which names the base."""
        adapting = Adapting(shop.cache, shop.corpus, shop.prose, rank=self.rank)
        victim, entry = self.recipe.build(adapting, name, seed, attempt)
        (wrapped,) = adapting.made
        told = {**entry.settings, "adapter": {"rank": self.rank, "base": self.base}}
        return replace(victim, model=wrapped), entry.model_copy(update={"settings": told})
