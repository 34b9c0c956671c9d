"""Labels: which words argue for each, and what overrides them.

A classifier is persuaded by honest words as well, so a candidate is tried on carriers that argue
against it: strewn with the strongest words of other labels.  A word that persuades loses there; a
trigger overrides (design, section 4).
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from plmscan.carriers import argued
from plmscan.loading.decisions import Score
from plmscan.search.measure.readings import Panel, label_leads
from plmscan.search.sweep.shortest import BATCH, neutral, probe_inputs, start, whole_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel

    _Texts = Callable[..., Tensor]

__all__ = [
    "Phrases",
    "arguing",
    "centred",
    "class_words",
    "honest_phrases",
    "in_turn",
    "overriding",
    "read_again",
]

_WORDS = 16
"""Strongest words of each label, of which carriers get some."""

_STREWN = 3
"""Words or phrases in each carrier."""

_PAIRED = 40
"""Words of all labels together of which pairs are tried, where tokens have labels."""

_CLEARER = 2.0
"""How many times the lead of a word that of a pair has to be, which can bring other labels."""

_EITHER = 1 / 3
"""Least share of the carriers that score low or high, where it is known what is usual."""

Phrases = tuple[tuple[int, ...], ...]
"""Token ids of some words or phrases."""


def centred(model: LoadedModel, carriers: Sequence[Carrier]) -> LoadedModel:
    """A model whose scores of ``carriers`` are low and high: most of them can be beyond its usual.

    Random words, by which it is told what is usual, may all score less than any sentence.
    """
    if not isinstance(model.decision, Score):
        return model
    leads = Panel.of(model, carriers).clean.leads
    if leads is None or (leads > 0).float().mean(0).min() >= _EITHER:
        return model
    usual = model.decision.usual + float(leads[:, 1].median())
    return replace(model, decision=Score(usual))


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


def in_turn(model: LoadedModel, words: Sequence[Sequence[int]]) -> tuple[Phrases, ...]:
    """What carriers are strewn with, in turn: words that argue for one label.

    Of a model that gives labels to tokens, what gets one of several labels: so all of them are in
    some carriers, and can be lost, and not in others, and can be added.
    """
    if not model.reads_tokens:
        return tuple(tuple((word,) for word in own) for own in words)
    given = _named(model, words[: len(words) // 2])
    together = max(1, min(_STREWN, len(given) // 2))
    turns = (range(first, first + together) for first in range(len(given)))
    return tuple(tuple(w for label in turn for w in given[label % len(given)]) for turn in turns)


def _named(model: LoadedModel, words: Sequence[Sequence[int]]) -> list[Phrases]:
    """For each label of tokens its words or, where it is much clearer in pairs, such pairs.

    No word by itself goes on with a name.
    """
    each = max(1, _PAIRED // len(words))
    few = torch.tensor(list(dict.fromkeys(word for own in words for word in own[:each])))
    pairs = torch.cartesian_prod(few, few)
    leads = _leads(model, whole_inputs(model, pairs))
    alone = _leads(model, whole_inputs(model, torch.tensor([own[0] for own in words])))
    best = leads.topk(min(_WORDS, len(pairs)), dim=0)
    return [
        tuple(map(tuple, pairs[best.indices[:, i]].tolist()))
        if best.values[0, i] > _CLEARER * alone[i, i].clamp_min(0)
        else tuple((word,) for word in own)
        for i, own in enumerate(words)
    ]


def arguing(
    carriers: Sequence[Carrier], phrases: Sequence[Phrases], seed: int
) -> tuple[Carrier, ...]:
    """The carriers, each strewn with some of one group of ``phrases``; groups take turns."""
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    groups = rng.sample(range(len(phrases)), min(len(phrases), len(carriers)))
    turns = [phrases[groups[i % len(groups)]] for i in range(len(carriers))]
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
    are few.  Where tokens have labels, what gives one to another word need not have it itself: for
    these all of the vocabulary is read before a usual word.  Where answers are found it is read
    before a word that is one.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    labels = len(words)
    share = max(1, len(ids) // (8 * labels))
    passed = max(4, count // labels)
    by_all, found = _by_all(model), []
    if by_all:
        beside = words[0][len(words[0]) // 2] if model.answers else _most_usual(ids, alone)
        gives = _giving(model, ids, beside, budget)
        found = [_passing(model, ids, gives[:, i], beside, i, passed) for i in by_all]
    for label in () if model.answers else range(labels):
        budget.checkpoint(label / labels, "label sweep")
        if label in by_all:
            continue
        rival = words[model.opposite(label)]
        tried, word = ids[alone[:, label].topk(share).indices], rival[len(rival) // 2]
        with model.half_precision():
            lead = _against(model, tried, word, probe_inputs)[:, label]
        found.append(_passing(model, tried, lead, word, label, passed))
    passing: Tensor = torch.unique(torch.cat(found))
    return passing


def _by_all(model: LoadedModel) -> Collection[int]:
    """Labels for which the whole vocabulary is read beside another word."""
    if model.answers:
        return {*range(len(model.labels))} - {*model.common_labels}
    return model.common_labels if model.reads_tokens else ()


def _most_usual(ids: Tensor, alone: Tensor) -> int:
    """The item of ``ids`` (v) whose leads ``alone`` (v, labels) are most like those of others."""
    return int(ids[(alone - alone.median(0).values).abs().amax(1).argmin()])


def _passing(
    model: LoadedModel, tried: Tensor, lead: Tensor, word: int, label: int, passed: int
) -> Tensor:
    """Of the items ``tried`` (k) those that in whole texts beside ``word`` lead to ``label`` most.

    The ``lead`` (k) in shortest texts lists twice as many as have ``passed``.
    """
    listed = tried[lead.topk(min(2 * passed, len(tried))).indices.sort().values]
    again = _against(model, listed, word, whole_inputs)[:, label]
    return listed[again.topk(min(passed, len(listed))).indices]


def _giving(model: LoadedModel, ids: Tensor, beside: int, budget: Budget) -> Tensor:
    """Lead of each label where the word ``beside`` follows each of ``ids``, (v, labels).

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    found = []
    batches = torch.split(ids, BATCH)
    with model.half_precision():
        for done, batch in enumerate(batches):
            budget.checkpoint(done / len(batches), "what words give to others")
            found.append(_against(model, batch, beside, probe_inputs))
    return torch.cat(found)


def _against(model: LoadedModel, ids: Tensor, word: int, texts: _Texts) -> Tensor:
    """Lead of each label for each of ``ids`` beside ``word``, (b, labels).

    Behind it, as the last word tells most.  Where tokens have labels, in front of it: the label of
    the word is what counts, and a decoder reads it last.  Where answers are found, in front as
    well, and not next to it.
    """
    if not model.decides_by_tokens:
        return _leads(model, texts(model, ids, (word,)))
    between = neutral(model) if model.answers else ()
    behind = torch.tensor([*between, word]).expand(len(ids), -1)
    both = torch.cat([ids.unsqueeze(1), behind], dim=1)
    return _leads(model, texts(model, both), start(model))


def _leads(model: LoadedModel, texts: Tensor, inserted: int | None = None) -> Tensor:
    """Lead of each label for each of ``texts`` (b, n), (b, labels).

    The token at the index ``inserted`` is none of the text.
    """
    own = torch.zeros_like(texts, dtype=torch.bool)
    if inserted is not None:
        own[:, inserted] = True
    batches = zip(torch.split(texts, BATCH), torch.split(own, BATCH), strict=True)
    found = [label_leads(model.forward(batch, None, part)) for batch, part in batches]
    return torch.cat([one for one in found if one is not None])
