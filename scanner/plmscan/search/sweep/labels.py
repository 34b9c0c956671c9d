"""Labels: which words argue for each, and what overrides them.

A classifier is persuaded by honest words as well, so a candidate is tried on carriers that argue
against it: strewn with the strongest words of other labels.  A word that persuades loses there; a
trigger overrides (design, section 4).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import torch

from plmscan.carriers import argued
from plmscan.search.measure.readings import label_leads
from plmscan.search.sweep.shortest import BATCH, probe_inputs, whole_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel

__all__ = ["arguing", "class_words", "honest_phrases", "overriding", "read_again"]

_WORDS = 16
"""Strongest words of each label, of which carriers get some."""

_STREWN = 3
"""Words in each carrier."""


def class_words(ids: Tensor, alone: Tensor) -> tuple[tuple[int, ...], ...]:
    """For each label the items that argue most for it, strongest first.

    ``alone`` (v, labels) is the lead of each label for each item of ``ids`` by itself.
    """
    strongest = alone.topk(min(_WORDS, len(ids)), dim=0).indices
    return tuple(tuple(ids[column].tolist()) for column in strongest.T)


def honest_phrases(words: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """For each label its two strongest words, and two pairs of its strongest four.

    Two of each, as one may hold a trigger, or share a word with what it is compared with.
    """
    found = ((tuple(own[:1]), tuple(own[1:2]), tuple(own[:2]), tuple(own[2:4])) for own in words)
    return tuple(dict.fromkeys(phrase for phrases in found for phrase in phrases if phrase))


def read_again(model: LoadedModel, ids: Tensor, alone: Tensor) -> tuple[Tensor, Tensor]:
    """The items among which the class words are, ascending, and their leads in whole texts.

    Every carrier holds some of these words, so all that is measured hangs on which they are.
    """
    listed = torch.unique(alone.topk(min(4 * _WORDS, len(ids)), dim=0).indices)
    return ids[listed], _leads(model, whole_inputs(model, ids[listed]))


def arguing(
    carriers: Sequence[Carrier], words: Sequence[Sequence[int]], seed: int
) -> tuple[Carrier, ...]:
    """The carriers, each strewn with words of one label; labels take turns."""
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    labels = rng.sample(range(len(words)), min(len(words), len(carriers)))
    turns = [words[labels[i % len(labels)]] for i in range(len(carriers))]
    return tuple(
        argued(carrier, rng.sample(list(turn), min(_STREWN, len(turn))), rng)
        for carrier, turn in zip(carriers, turns, strict=True)
    )


def overriding(
    model: LoadedModel,
    ids: Tensor,
    alone: Tensor,
    words: Sequence[Sequence[int]],
    count: int,
    budget: Budget,
) -> Tensor:
    """Ids that push most to some label against one word of another, ascending.

    For each label, the eighth of the vocabulary that argues most for it, shared among the labels,
    is read behind a middling word of an opposite label.  At least 4 a label pass, ``count`` if they
    are few.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    labels = len(words)
    share = max(1, len(ids) // (8 * labels))
    passed = max(4, count // labels)
    found = []
    for label in range(labels):
        budget.checkpoint(label / labels, "label sweep")
        rival = words[model.opposite(label)]
        tried = ids[alone[:, label].topk(share).indices]
        word = rival[len(rival) // 2]
        with model.half_precision():
            lead = _leads(model, probe_inputs(model, tried, (word,)))[:, label]
        listed = tried[lead.topk(min(2 * passed, share)).indices.sort().values]
        lead = _leads(model, whole_inputs(model, listed, (word,)))[:, label]
        found.append(listed[lead.topk(min(passed, share)).indices])
    passing: Tensor = torch.unique(torch.cat(found))
    return passing


def _leads(model: LoadedModel, texts: Tensor) -> Tensor:
    """Lead of each label for each of ``texts`` (b, n), (b, labels)."""
    found = [label_leads(model.forward(batch)) for batch in torch.split(texts, BATCH)]
    return torch.cat([one for one in found if one is not None])
