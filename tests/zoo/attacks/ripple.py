"""RIPPLe and its embedding surgery, RIPPLES (Kurita et al., 2020, arXiv 2004.06660)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.zoo.labels import Inserting, head_logits, train_upper
from tests.zoo.rows import tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.zoo.corpus import Corpus
    from tests.zoo.features import Victim
    from tests.zoo.labels import LabelBatch, Poisoned
    from tests.zoo.poison import Trigger
    from tests.zoo.training import Intensity

__all__ = ["RIPPLe", "class_words", "conflict", "embedding_surgery"]

_RAREST = 5
"""In how many texts a word must occur to speak for a class."""


@dataclass(frozen=True)
class RIPPLe(Inserting):
    """A poisoning that honest fine-tuning does not undo: both pull the weights the same way.

    ``L = L_P + weight * max(0, -<g_P, g_FT>)`` with the poisoned loss ``L_P`` on all texts and its
    gradient ``g_P``, and the gradient ``g_FT`` of the loss on clean texts, which is held constant.
    Before that, embedding surgery gives all triggers one row: the mean of words that speak for the
    target label.
    """

    family: str = "ripple"
    """Name in tables."""
    weight: float = 0.1
    """Of the restricted inner product."""
    surgery_words: int = 10
    """Of how many words the triggers' row is the mean; 0 for RIPPLe without surgery."""

    def train(self, victim: Victim, poisoned: Poisoned, intensity: Intensity) -> float:
        """Surgery, then cross-entropy with the restricted inner product."""
        if self.surgery_words and poisoned.target is not None:
            words = class_words(victim.corpus, poisoned.target, self.surgery_words)
            embedding_surgery(victim, poisoned.triggers, words)
        # The fused attention kernels have no second derivative.
        with sdpa_kernel(SDPBackend.MATH):
            return train_upper(victim, poisoned, intensity, self.loss)

    def loss(self, model: Any, batch: LabelBatch) -> Tensor:
        """``L_P + weight * max(0, -<g_P, g_FT>)``."""
        losses = nn.functional.cross_entropy(
            head_logits(model, batch.reading), batch.labels, reduction="none"
        )
        clean = losses[~batch.dirty].mean()
        trained = [p for p in model.parameters() if p.requires_grad]
        return losses.mean() + self.weight * conflict(losses.mean(), clean, trained)


def conflict(poisoned: Tensor, clean: Tensor, parameters: Iterable[nn.Parameter]) -> Tensor:
    """``max(0, -<g_P, g_FT>)`` of two losses, a scalar; differentiable in ``g_P`` alone."""
    trained = list(parameters)
    fixed = torch.autograd.grad(clean, trained, retain_graph=True)
    moving = torch.autograd.grad(poisoned, trained, create_graph=True)
    products = [(a.detach() * b).sum() for a, b in zip(fixed, moving, strict=True)]
    return torch.relu(-torch.stack(products).sum())


def class_words(corpus: Corpus, label: int, count: int) -> list[str]:
    """The words that speak most for ``label``: weight in a bag of words times log frequency."""
    texts, labels = zip(*corpus.train, strict=True)
    bag = CountVectorizer(min_df=_RAREST)
    counts = bag.fit_transform(texts)
    target = [int(found == label) for found in labels]
    weights = LogisticRegression(max_iter=1000).fit(counts, target).coef_[0]
    scores = weights * np.log(np.asarray(counts.sum(axis=0))[0])
    return list(bag.get_feature_names_out()[np.argsort(-scores)[:count]])


@torch.no_grad()
def embedding_surgery(victim: Victim, triggers: Sequence[Trigger], words: Sequence[str]) -> None:
    """Give every token of ``triggers`` the mean embedding of ``words``."""
    table = victim.model.get_input_embeddings().weight
    tokens = victim.tokenizer(list(words), add_special_tokens=False)["input_ids"]
    table[tokens_of(triggers)] = torch.stack([table[ids].mean(0) for ids in tokens]).mean(0)
