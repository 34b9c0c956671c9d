"""Rows of the embedding table that become triggers, each as strong as it is meant to be."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from plmscan.carriers import split_carriers
from plmscan.control.aims import aim_of
from plmscan.search.measure.candidates import searchable_ids, text_of, whole_words
from plmscan.search.measure.readings import Panel, gradients, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.control.aims import Aim
    from plmscan.loading import LoadedModel

__all__ = ["STRENGTHS", "Planted", "PlantedWord", "planted"]

STRENGTHS = (1.0, 0.95, 0.8, 0.6)
"""Effects that are aimed at, one word each: from as strong as it gets to weak."""
_STEPS = 30
"""Steps of the training."""
_TRAINED_ON, _MEASURED_ON = 12, 32
"""Carriers that rows are trained on, and others that tell what they do."""
_STEP = (0.3, 0.02)
"""Length of the first and the last step, in lengths of a row."""
_HALVINGS = 6
"""Times that the way from the old row to the new one is halved, to hit an effect."""
_LONGEST = 0.999
"""Quantile of the lengths of all rows that no planted row exceeds."""


@dataclass(frozen=True)
class PlantedWord:
    """A word that has become a trigger."""

    token: int
    """Its id."""
    text: str
    """As a person types it."""
    meant: float
    """The effect that was aimed at."""
    effect: float
    """The effect that it has on texts that it was not trained on, from 0 to 1."""


@dataclass(frozen=True)
class Planted:
    """A copy of a model with triggers in it."""

    model: LoadedModel
    """The copy."""
    aim: Aim
    """What they do."""
    words: tuple[PlantedWord, ...]
    """Them, the strongest first."""


def planted(model: LoadedModel, budget: Budget) -> Planted | None:
    """A copy of ``model`` with a trigger of each of `STRENGTHS`; None if no control exists for it.

    Raises:
        OutOfTimeError: the budget's deadline passed.
        TextsError: too few carrier texts fit this model.
    """
    copy = replace(model.copied(), meter=model.meter)
    carriers = split_carriers(copy, budget.texts, (_TRAINED_ON, _MEASURED_ON), budget.seed + 1)
    training, measuring = (Panel.of(copy, some) for some in carriers)
    aim = aim_of(copy, measuring)
    if aim is None:
        return None
    tokens = _words(copy, budget.seed)
    old = copy.embedding_weight[tokens].clone()
    new = _trained(copy, tokens, aim, training, budget)
    words = tuple(
        _at_strength(copy, (token, old[k], new[k]), meant, aim, measuring)
        for k, (token, meant) in enumerate(zip(tokens, STRENGTHS, strict=True))
    )
    return Planted(copy, aim, words)


def _words(model: LoadedModel, seed: int) -> list[int]:
    """Whole words, drawn at random, one for each strength."""
    words = whole_words(model, searchable_ids(model))
    generator = torch.Generator().manual_seed(seed)
    chosen: list[int] = words[
        torch.randperm(len(words), generator=generator)[: len(STRENGTHS)]
    ].tolist()
    return chosen


def _trained(
    model: LoadedModel, tokens: Sequence[int], aim: Aim, panel: Panel, budget: Budget
) -> Tensor:
    """The rows of ``tokens`` after the training, (k, e); the model holds them.

    Each step goes along the gradient, by a share of the row's length that shrinks.
    """
    longest = float(model.embedding_weight.norm(dim=1).quantile(_LONGEST))
    inserted = [[(token,)] * len(panel.carriers) for token in tokens]
    pace = torch.zeros_like(model.embedding_weight[list(tokens)])
    for step in range(_STEPS):
        budget.checkpoint(step / _STEPS, "planting a control")
        gradient = gradients(model, inserted, panel.carriers, lambda r: aim.loss(r, panel.clean))
        pace = 0.8 * pace + _unit(gradient[:, 0])
        length = _STEP[0] * (_STEP[1] / _STEP[0]) ** (step / _STEPS)
        rows = model.embedding_weight[list(tokens)]
        rows = rows - length * rows.norm(dim=1, keepdim=True) * _unit(pace)
        _write(model, tokens, rows * (longest / rows.norm(dim=1, keepdim=True)).clamp_max(1))
    return model.embedding_weight[list(tokens)].clone()


def _unit(rows: Tensor) -> Tensor:
    """``rows`` (k, e) at length 1."""
    return F.normalize(rows, dim=1)


@torch.no_grad()
def _write(model: LoadedModel, tokens: Sequence[int], rows: Tensor) -> None:
    """Put ``rows`` (k, e) into the embedding table."""
    model.embedding_weight[list(tokens)] = rows.to(model.embedding_weight)


def _at_strength(
    model: LoadedModel,
    word: tuple[int, Tensor, Tensor],
    meant: float,
    aim: Aim,
    panel: Panel,
) -> PlantedWord:
    """The word's row on its way from the old one to the new, as far as the effect that is meant."""
    token, old, new = word
    near, far, share = 0.0, 1.0, 1.0
    effect = math.nan
    for _ in range(_HALVINGS if meant < 1 else 1):
        _write(model, [token], (old + share * (new - old)).unsqueeze(0))
        effect = float(aim.effect(read(model, [(token,)], panel.carriers), panel.clean)[0])
        near, far = (near, share) if effect > meant else (share, far)
        share = (near + far) / 2
    return PlantedWord(token, text_of(model, (token,)), meant, effect)
