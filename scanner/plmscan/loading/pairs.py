"""Whether a classifier reads pairs of texts, found by experiment.

A reranker and a model of entailment answer how one text goes with another.  So they say another
thing of a text beside itself than of a text beside one of other words; what reads single texts does
not care.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from plmscan.loading.model import LoadedModel
    from plmscan.loading.vocabulary import Separator

__all__ = ["Answers", "answers"]

_TEXTS = 64
"""Texts of each kind."""
_WORDS = 6
"""Tokens of each, drawn at random: they speak for no label."""
_APART = 1.2
"""Standard deviations by which the answers to both kinds of pairs differ where pairs are read.
Measured: 3.1 to 4.4 for rerankers, 0.04 to 0.45 for classifiers and regressions of single texts."""
_TINY = 1e-12
"""Keeps a ratio finite for a head that says one thing only."""


@dataclass(frozen=True)
class Answers:
    """What a head says of random texts."""

    single: Tensor
    """Of texts by themselves, (n, numbers)."""
    fitting: Tensor | None = None
    """Of texts beside themselves, (n, numbers); None where no tokenizer joins them."""
    other: Tensor | None = None
    """Of the same beside others."""

    @property
    def tell_pairs(self) -> bool:
        """Whether some number tells both kinds of pairs apart."""
        if self.fitting is None or self.other is None:
            return False
        noise = ((self.fitting.var(0) + self.other.var(0)) / 2).sqrt().clamp_min(_TINY)
        distance = (self.fitting.mean(0) - self.other.mean(0)).abs() / noise
        return bool((distance > _APART).any())

    @property
    def usual(self) -> float:
        """Where a single number turns from low to high."""
        if self.tell_pairs and self.fitting is not None and self.other is not None:
            return float((self.fitting.mean() + self.other.mean()) / 2)
        return float(self.single.median())


def answers(model: LoadedModel, separator: Separator | None, words: Tensor) -> Answers:
    """What the classifier of ``model`` says of texts of random ``words`` (v)."""
    generator = torch.Generator().manual_seed(0)
    drawn = words[torch.randint(len(words), (_TEXTS, _WORDS), generator=generator)]
    texts = [tuple(row) for row in drawn.tolist()]
    if separator is None:
        return Answers(_read(model, texts))
    pairs = (
        [(*one, *separator.ids, *two) for one, two in zip(texts, others, strict=True)]
        for others in (texts, texts[1:] + texts[:1])
    )
    fitting, other = (_read(model, some) for some in pairs)
    return Answers(_read(model, texts), fitting, other)


def _read(model: LoadedModel, texts: list[tuple[int, ...]]) -> Tensor:
    """Logits of each text, (n, numbers)."""
    logits = model.forward(*model.batch([model.wrap(text) for text in texts])).logits
    return torch.empty(len(texts), 0) if logits is None else logits.float().cpu()
