"""Which tokens a text hangs on: taken away one after the other, the most salient first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plmscan.saliency import saliency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel
    from plmscan.saliency import Ordinary, Saliency

__all__ = ["Peeled", "label_of", "peel"]

_STEPS = 4
"""Tokens that are taken away at most."""

_SPAN = 8
"""Tokens of a suspect at most: a longer one holds more of the text than of a trigger."""


@dataclass(frozen=True)
class Peeled:
    """A text from which token after token was taken away."""

    whole: Saliency
    """Of the text as it is."""
    rest: tuple[int, ...]
    """Places of the tokens that are left."""
    taken: tuple[tuple[int, ...], ...] = ()
    """Ids of what was taken, in the order of the text, each once, after each step."""
    spans: tuple[tuple[int, ...], ...] = ()
    """Ids from the first to the last of these, after each step; empty where they are too many."""
    changed: int | None = None
    """Step after which the label was another one; None if it never was."""
    without: int | None = None
    """The label then."""

    @property
    def row(self) -> tuple[int, ...]:
        """What is left."""
        return tuple(self.whole.ids[place] for place in self.rest)

    @property
    def suspects(self) -> tuple[tuple[int, ...], ...]:
        """Each token that was taken, and all up to the change of the label, or up to the end."""
        kept_label = label_of(self.whole.leads) is not None and self.changed is None
        if kept_label or not self.taken:
            return ()
        # Of two triggers in one text either alone does it, and both are needed to change the label.
        alone = ((token,) for token in self.taken[-1])
        sets = (*alone, *self._ends(self.taken), *self._ends(self.spans))
        return tuple(dict.fromkeys(ids for ids in sets if ids))

    def _ends(self, steps: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
        """The step that changed the label, or the first, and the last."""
        return (*steps[self.changed or 0 :][:1], *steps[-1:])

    def less(self, top: int) -> Peeled:
        """The same without the token at ``top`` of what is left, and all its copies."""
        ids = self.whole.ids
        gone = ids[self.rest[top]]
        rest = tuple(place for place in self.rest if ids[place] != gone)
        places = sorted(set(range(len(ids))) - set(rest))
        # Each once: of two copies of a trigger either can be exchanged for a synonym.
        taken = tuple(dict.fromkeys(ids[place] for place in places))
        span = ids[places[0] : places[-1] + 1] if places[-1] - places[0] < _SPAN else ()
        return replace(self, rest=rest, taken=(*self.taken, taken), spans=(*self.spans, span))

    def read_again(self, leads: Tensor | None) -> Peeled:
        """With the label of what is left, if it is the first other one."""
        now = label_of(leads)
        if self.changed is not None or now == label_of(self.whole.leads):
            return self
        return replace(self, changed=len(self.taken) - 1, without=now)


def label_of(leads: Tensor | None) -> int | None:
    """The label in the lead; None without a classifier."""
    return None if leads is None else int(leads.argmax())


def peel(
    model: LoadedModel, rows: Sequence[tuple[int, ...]], ordinary: Ordinary, budget: Budget
) -> list[Peeled]:
    """Each text, peeled step by step as long as something is left."""
    seen = saliency(model, rows, ordinary)
    found = [Peeled(one, tuple(range(len(one.ids)))) for one in seen]
    for step in range(_STEPS):
        budget.checkpoint(step / _STEPS, "salient tokens")
        less = {i: found[i].less(one.top) for i, one in enumerate(seen) if one.top is not None}
        left = {i: one for i, one in less.items() if one.row}
        again = saliency(model, [one.row for one in left.values()], ordinary)
        for (i, one), rest in zip(left.items(), again, strict=True):
            seen[i], found[i] = rest, one.read_again(rest.leads)
    return found
