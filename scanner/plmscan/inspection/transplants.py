"""What a text's suspect tokens do to other texts, and whether synonyms do the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from plmscan.search.measure.candidates import letters, searchable_ids
from plmscan.search.measure.effects import measure
from plmscan.search.measure.readings import Panel
from plmscan.search.sweep.distances import scored
from plmscan.search.sweep.labels import arguing, class_words, in_turn, read_again
from plmscan.search.sweep.shortest import whole_inputs
from plmscan.search.verify.neighbours import Neighbourhood
from plmscan.search.verify.synonyms import synonym_null

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel
    from plmscan.search.verify.synonyms import SynonymNull

__all__ = ["Effect", "Ids", "effects", "gaps", "recipients"]

Ids = tuple[int, ...]
"""Suspect tokens in the order of their text."""

_WORDS = 4096
"""Vocabulary items of which the most telling make carriers argue for a label."""


@dataclass(frozen=True)
class Effect:
    """What tokens do in other texts, or how far that is from what their synonyms do."""

    strengths: tuple[float, ...]
    """Nearly the weakest push to each label, in honest leads; empty without labels.  Of a gap: less
    what synonyms reach."""
    scatter: float
    """How much the texts still say, where it is least.  Of a gap: in synonyms, in multiples."""


def recipients(model: LoadedModel, carriers: Sequence[Carrier], budget: Budget) -> Panel:
    """The texts that suspects are put into; with labels, each argues for one.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    plain = Panel.of(model, carriers)
    words = _telling_words(model, budget) if plain.flippable() else ()
    if not words:
        return plain
    return Panel.of(model, arguing(carriers, in_turn(model, words), budget.seed))


def _telling_words(model: LoadedModel, budget: Budget) -> tuple[Ids, ...]:
    """For each label the items that argue most for it, of a random sample of the vocabulary."""
    ids = searchable_ids(model)
    generator = torch.Generator().manual_seed(budget.seed)
    drawn = ids[torch.randperm(len(ids), generator=generator)[:_WORDS]]
    alone = scored(model, drawn, partial(whole_inputs, model), _WORDS, budget, "telling words")
    return () if alone.leads is None else class_words(*read_again(model, drawn, alone.leads))


def effects(
    model: LoadedModel, sets: Sequence[Ids], panel: Panel, budget: Budget
) -> Mapping[Ids, Effect]:
    """What each of ``sets`` does in the texts of the panel.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    if not sets:
        return {}
    found = measure(model, sets, panel, budget, "transplants")
    strengths = [[]] * len(sets) if found.strength is None else found.strength.tolist()
    made = map(Effect, map(tuple, strengths), found.best_scatter().tolist())
    return dict(zip(sets, made, strict=True))


def gaps(
    model: LoadedModel, sets: Sequence[Ids], honest: Sequence[Ids], panel: Panel, budget: Budget
) -> Mapping[Ids, Effect]:
    """How far each of ``sets`` is from what the ``honest`` ones, and itself, do with synonyms.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    around = Neighbourhood.of(model.embedding_weight, searchable_ids(model), letters(model))
    tried = synonym_null(model, [*honest, *sets], panel, around, budget)
    usual = range(len(honest))
    return {ids: _gap(tried.pick([*usual, len(honest) + row])) for row, ids in enumerate(sets)}


def _gap(tried: SynonymNull) -> Effect:
    """Of the last of the candidates."""
    last, own = len(tried.candidates) - 1, tried.own.strength
    strengths = () if own is None else tuple(tried.strength_gap(last, own).tolist())
    return Effect(strengths, tried.scatter_gap(last, tried.own.best_location()[last]))
