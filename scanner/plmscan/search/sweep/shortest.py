"""The shortest texts that hold an item, and what the model says of them.

For an encoder that is ``[CLS] t [MASK]``, so that one forward pass reads every feature location,
or ``[CLS] t [SEP]`` where the model has no mask token.  A classifier gives its labels to ``[CLS]
t`` already.

What ends the text of an encoder can keep the states that it has behind a neutral word: then two
tokens an item are read instead of three.  That shows who may be among the furthest.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.loading import Location
from plmscan.loading.held import Held
from plmscan.search.measure.readings import Reading, label_leads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel

__all__ = [
    "BATCH",
    "CROWD",
    "Shortest",
    "around",
    "batch_rows",
    "neutral",
    "probe_inputs",
    "readings",
    "start",
    "whole_inputs",
]

BATCH = 1024
"""Rows of one forward pass of shortest texts; from 256 to 4096 the speed is the same, and memory
is not."""

_SHORT = 4
"""Tokens of such a text."""

CROWD = 2
"""Items for each number of a state that tell how whole texts are spread."""

_PAYS = 8 * CROWD
"""Items for each number of a state from which on it costs less to hold the ends of texts, though
such a crowd and the furthest have to be read in whole ones."""


@dataclass(frozen=True)
class Shortest:
    """How every item of a vocabulary is read."""

    model: LoadedModel
    """The model."""
    held: Held | None
    """What ends the texts of an encoder, as it is behind a neutral word; None if it is read."""

    @classmethod
    def of(cls, model: LoadedModel, items: int) -> Shortest:
        """For so many of them.

        Where half the digits are enough, tokens cost little and every pass much.
        """
        last = model.reads_end or not model.prefix_ids or bool(model.labels)
        if last or model.halved or items <= _PAYS * model.hidden_size:
            return cls(model, None)
        text = probe_inputs(model, torch.tensor(neutral(model)))
        kept = text.shape[1] - len(model.opening) - 1
        return cls(model, Held.of(model, text, kept) if kept else None)

    def texts(self, ids: Tensor) -> Tensor:
        """What is read of each of ``ids``, (v) -> (v, n)."""
        return (
            probe_inputs(self.model, ids) if self.held is None else around(self.model, (), ids, ())
        )

    def reading(self) -> AbstractContextManager[None]:
        """Passes inside read `texts`."""
        return nullcontext() if self.held is None else self.held.behind(self.model.module)


def probe_inputs(model: LoadedModel, ids: Tensor, before: Sequence[int] = ()) -> Tensor:
    """The shortest input that shows items to every scanned location: (v) or (v, l) -> (v, n).

    ``before`` stands in front of the items.
    """
    if model.reads_end or not model.prefix_ids:
        return whole_inputs(model, ids, before)
    if model.labels:
        return around(model, _first(model, before), ids, ())
    # What ends a text says nothing of the item, where something else follows it.
    return around(model, before, ids, _shown(model) or model.suffix_ids)


def whole_inputs(model: LoadedModel, ids: Tensor, before: Sequence[int] = ()) -> Tensor:
    """The same for many items a text, (v, l) -> (v, n), which ends as texts end."""
    return around(model, _first(model, before), ids, (*_shown(model), *model.suffix_ids))


def neutral(model: LoadedModel) -> tuple[int, ...]:
    """A token that says nothing."""
    return model.tokenize(".")[:1]


def start(model: LoadedModel) -> int:
    """Index of the first item in such texts."""
    return len(model.opening) + len(_first(model, ()))


def _first(model: LoadedModel, before: Sequence[int]) -> tuple[int, ...]:
    """What stands before items: ``before``, which is the first text where pairs are read."""
    if model.separator is None:
        return tuple(before)
    return (*(before or neutral(model)), *model.separator.ids)


def _shown(model: LoadedModel) -> tuple[int, ...]:
    """What has to follow an item: a mask token, where the model is read at it.

    A decoder reads its last token, so something neutral follows.
    """
    if model.is_decoder:
        return neutral(model)
    if Location.MASK in model.locations and model.mask_id is not None:
        return (model.mask_id,)
    return ()


def around(model: LoadedModel, before: Sequence[int], ids: Tensor, behind: Sequence[int]) -> Tensor:
    """Each of ``ids``, (v) or (v, l), between fixed tokens, (v, n)."""
    middle = ids.reshape(len(ids), -1)
    ends = ([*model.opening, *before], [*behind])
    first, last = (middle.new_tensor(end).expand(len(ids), -1) for end in ends)
    return torch.cat([first, middle, last], dim=1).to(model.device)


def batch_rows(width: int) -> int:
    """How many texts of ``width`` tokens go into one forward pass: fewer of long ones."""
    return max(1, BATCH * _SHORT // max(width, _SHORT))


def readings(
    model: LoadedModel,
    batches: Sequence[Tensor],
    texts: Callable[[Tensor], Tensor],
    budget: Budget,
    note: str,
) -> Iterator[Reading]:
    """What the model says of each of ``batches`` (b) in the texts that ``texts`` makes: (b, n).

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    for done, batch in enumerate(batches):
        budget.checkpoint(done / len(batches), note)
        outputs = model.forward(texts(batch))
        yield Reading(
            {where: feature.float() for where, feature in outputs.features.items()},
            label_leads(outputs),
        )
