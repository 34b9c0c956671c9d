"""Filters of the literature, in a few lines each: what a text is read as once they are done.

**X-GRAAD** (arXiv 2510.04347): the token with the highest attention received times gradient norm,
stop words and punctuation left out; texts whose score reaches the 95th percentile of clean ones are
read without that token.  Unlike the published script the percentile is that of *other* clean texts,
and the token is deleted, not misspelt.

**ONION-like** (Qi et al. 2021, arXiv 2011.10369): words that a language model finds surprising are
deleted.  Surprise is that of a masked language model of the zoo, where ONION asks GPT-2.

**STRIP-like** (Gao et al. 2019, arXiv 1902.06531): half of the words are exchanged for words of
other texts; a text whose label survives with too little entropy is refused.
"""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from plmscan.saliency import Ordinary, saliency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.loading import LoadedModel

__all__ = ["Onion", "Row", "Strip", "XGraad", "labels_of"]

Row = tuple[int, ...]
"""A text as token ids with special tokens."""

_NOWHERE = Ordinary({}, {})
"""A classifier is asked for its label, not for a distance."""


def labels_of(model: LoadedModel, rows: Sequence[Row]) -> list[int]:
    """The label of each text."""
    return [int(label) for label in _logits(model, rows).argmax(1)] if rows else []


def _logits(model: LoadedModel, rows: Sequence[Row]) -> Tensor:
    """(texts, labels)."""
    found = []
    for start in range(0, len(rows), 64):
        logits = model.forward(*model.batch(rows[start : start + 64])).logits
        assert logits is not None
        found.append(logits)
    return torch.cat(found)


@dataclass(frozen=True)
class XGraad:
    """X-GRAAD with a bar from other clean texts."""

    model: LoadedModel
    """The classifier."""
    bar: float
    """95th percentile of the score of clean texts."""

    @classmethod
    def fit(cls, model: LoadedModel, clean: Sequence[Row]) -> XGraad:
        """On clean texts."""
        scores = torch.tensor([score for score, _ in cls._scores(model, clean)])
        return cls(model, float(scores.quantile(0.95)))

    def read(self, rows: Sequence[Row]) -> list[int | None]:
        """The label after neutralising."""
        scored = zip(rows, self._scores(self.model, rows), strict=True)
        kept = [
            tuple(t for t in row if t != token) if score >= self.bar else row
            for row, (score, token) in scored
        ]
        return list(labels_of(self.model, kept))

    @staticmethod
    def _scores(model: LoadedModel, rows: Sequence[Row]) -> list[tuple[float, int]]:
        """The highest score of each text, and the token that has it."""
        return [_published_score(model, row) for row in rows]


def _published_score(model: LoadedModel, row: Row) -> tuple[float, int]:
    """AttnScore times GradScore of the best token (section 3 of the paper; queries unpadded)."""
    ids, mask = model.batch([row])
    maps = torch.stack(model.attend(ids, mask).maps).mean((0, 2))[0]
    (seen,) = saliency(model, [row], _NOWHERE)
    kept = torch.tensor([_counts(model, token) for token in row]) & seen.content
    if not bool(kept.any()):
        return -torch.inf, row[0]
    attention, gradient = maps.sum(0), seen.gradient
    score = (attention - attention[kept].mean()) * gradient / gradient[kept].mean()
    best = int(score.masked_fill(~kept, -torch.inf).argmax())
    return float(score[best]), row[best]


def _counts(model: LoadedModel, token: int) -> bool:
    """Whether X-GRAAD looks at a token: no stop word, no punctuation."""
    text = model.decode((token,)).strip().lower()
    return text not in ENGLISH_STOP_WORDS and not all(c in string.punctuation for c in text)


@dataclass(frozen=True)
class Onion:
    """Surprising words deleted, at the bar that costs clean texts one point at most."""

    model: LoadedModel
    """The classifier."""
    language: LoadedModel
    """The masked language model, with the classifier's vocabulary."""
    bar: float
    """Surprise in nats above which a token goes."""

    @classmethod
    def fit(
        cls, model: LoadedModel, language: LoadedModel, clean: Sequence[Row], labels: Sequence[int]
    ) -> Onion:
        """The lowest bar at which clean texts lose one point of accuracy at most."""
        surprise = [_surprise(language, row) for row in clean]
        before = _accuracy(labels_of(model, clean), labels)
        for bar in range(2, 40):
            rows = [_less(row, s, bar) for row, s in zip(clean, surprise, strict=True)]
            if _accuracy(labels_of(model, rows), labels) >= before - 0.01:
                return cls(model, language, float(bar))
        return cls(model, language, torch.inf)

    def read(self, rows: Sequence[Row]) -> list[int | None]:
        """The label of what is left."""
        kept = [_less(row, _surprise(self.language, row), self.bar) for row in rows]
        return list(labels_of(self.model, kept))


def _surprise(language: LoadedModel, row: Row) -> Tensor:
    """Of each token with itself masked, in nats, (n); special tokens surprise nobody."""
    masked = torch.tensor([row] * len(row))
    masked.fill_diagonal_(int(language.mask_id or 0))
    hidden = language.forward(masked).hidden
    own = language.masked_lm_logits(hidden.diagonal().T.unsqueeze(1)).squeeze(1)
    surprise = -own.log_softmax(-1).gather(1, torch.tensor(row).unsqueeze(1)).squeeze(1)
    special = torch.tensor([token in language.special_ids for token in row])
    return surprise.detach().masked_fill(special, -torch.inf)


def _less(row: Row, surprise: Tensor, bar: float) -> Row:
    """The text without its surprising tokens."""
    return tuple(token for token, s in zip(row, surprise.tolist(), strict=True) if s <= bar)


def _accuracy(found: Sequence[int], labels: Sequence[int]) -> float:
    """Share that is right."""
    return sum(a == b for a, b in zip(found, labels, strict=True)) / len(labels)


@dataclass(frozen=True)
class Strip:
    """Texts refused whose label stands whatever half of their words becomes."""

    model: LoadedModel
    """The classifier."""
    others: tuple[Row, ...]
    """Clean texts that lend words."""
    bar: float
    """1st percentile of the entropy of clean texts."""

    @classmethod
    def fit(cls, model: LoadedModel, clean: Sequence[Row]) -> Strip:
        """On clean texts; the bar costs one text in a hundred."""
        entropies = torch.tensor([cls._entropy(model, clean, row) for row in clean])
        return cls(model, tuple(clean), float(entropies.quantile(0.01)))

    def read(self, rows: Sequence[Row]) -> list[int | None]:
        """The label; None for a text that is refused."""
        labels = labels_of(self.model, rows)
        entropies = [self._entropy(self.model, self.others, row) for row in rows]
        pairs = zip(labels, entropies, strict=True)
        return [None if entropy < self.bar else label for label, entropy in pairs]

    @staticmethod
    def _entropy(model: LoadedModel, others: Sequence[Row], row: Row) -> float:
        """Mean entropy of the label over five perturbed copies."""
        rng = random.Random(hash(row))  # noqa: S311 - reproducible
        copies = [_perturbed(model, row, rng.choice(others), rng) for _ in range(5)]
        shares = _logits(model, copies).softmax(-1)
        return float(-(shares * shares.clamp_min(1e-12).log()).sum(-1).mean())


def _perturbed(model: LoadedModel, row: Row, other: Row, rng: random.Random) -> Row:
    """The text with half of its tokens exchanged for tokens of the other."""
    words = [token for token in other if token not in model.special_ids]
    swapped = (rng.choice(words) if rng.random() < 0.5 else token for token in row)
    pairs = zip(row, swapped, strict=True)
    return tuple(old if old in model.special_ids else new for old, new in pairs)
