"""What a purification trains on: clean texts, and the same texts with triggers in them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import chain, cycle
from random import Random
from typing import TYPE_CHECKING

from plmscan.carriers import restored
from plmscan.purify.suspects import variants_of
from plmscan.search.measure.candidates import searchable_ids

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel
    from plmscan.purify.suspects import Suspect
    from plmscan.purify.trial import Trial

__all__ = ["MANY", "Batch", "batches", "lessons"]

_ROWS = 16
"""Texts of one batch; a step sees each without and with a trigger."""

_COPIES = (1, 1, 2, 3)
"""How often a trigger stands in a text: attacks were trained with one to several."""

_AT_START = 0.2
"""Share of the copies that stand in front of a text: NeuBA puts its triggers nowhere else."""

_VARIANTS = 0.3
"""Share of the chances that weaker variants have together."""

_SPILLED, MANY = 0.4, 100
"""Chances that what the attack spilled over to has together, beside all others, if it is so many;
if it is fewer, each has as much as one of these."""

_LIGHTEST, _HEAVIEST = 0.25, 4.0
"""Factors of the chance of what is forgotten, and of what is far from it."""

_MIXED = 0.5
"""Share of texts that are made of the halves of two, with random vocabulary items between.

Few texts say little of what a model knows.  What it makes of strange ones is to stay, too.
"""

_STRANGE = (0, 1, 2, 4)
"""How many random items such a text gets."""


@dataclass(frozen=True)
class Batch:
    """Texts without and with triggers, right-padded."""

    clean: Tensor
    """(b, n) ids."""
    clean_mask: Tensor
    """(b, n), 1 for real tokens."""
    dirty: Tensor
    """(b, m) ids of the same texts with triggers in them."""
    dirty_mask: Tensor
    """(b, m), 1 for real tokens."""


def lessons(
    suspects: Sequence[Suspect],
    spilled: Sequence[tuple[int, ...]] = (),
    trial: Trial | None = None,
) -> dict[tuple[int, ...], float]:
    """What is to be forgotten, each with the weight of its chance to be trained on.

    What the last ``trial`` found left comes more often than what is forgotten.  ``spilled`` is what
    the model takes for one of the suspects.
    """
    triggers, variants = [one.token_ids for one in suspects], variants_of(suspects)
    shares = [(1 - _VARIANTS) / len(triggers)] * len(triggers)
    shares += [_VARIANTS / max(1, len(variants))] * len(variants)
    factors = [1.0] * len(shares)
    if trial is not None:
        left = [one.rest for one in trial.triggers] + [one.reach for one in trial.variants]
        factors = [min(max(one, _LIGHTEST), _HEAVIEST) for one in left]
    weights: dict[tuple[int, ...], float] = defaultdict(float)
    for ids, share, factor in zip((*triggers, *variants), shares, factors, strict=True):
        weights[ids] += share * factor
    together = _SPILLED * min(1, len(spilled) / MANY) * sum(weights.values())
    return weights | {ids: together / len(spilled) for ids in spilled if ids not in weights}


def batches(
    model: LoadedModel,
    carriers: Sequence[Carrier],
    weights: Mapping[tuple[int, ...], float],
    seed: int,
) -> Iterator[Batch]:
    """Endless batches of random carriers with triggers at random places.

    ``weights`` are those of the chance of each trigger to be drawn.  Half of the batches hide no
    words: users' texts have no mask tokens, and a model that learns from none but such forgets how
    to read others.
    """
    rng = Random(seed)  # noqa: S311 - reproducible, not secret
    known = set(chain(*weights))
    hiding = [carrier.ids for carrier in carriers]
    whole = [restored(carrier, model.mask_id).ids for carrier in carriers]
    strange = [(i,) for i in searchable_ids(model).tolist() if i not in known]
    for texts in cycle((hiding, whole)):
        chosen = rng.sample(texts, min(_ROWS, len(texts)))
        clean = [
            _mixed(text, rng.choice(texts), strange, rng) if rng.random() < _MIXED else text
            for text in chosen
        ]
        triggers = rng.choices([*weights], [*weights.values()], k=len(clean))
        dirty = [_with(ids, one, rng) for ids, one in zip(clean, triggers, strict=True)]
        both = (model.batch([model.wrap(ids) for ids in rows]) for rows in (clean, dirty))
        yield Batch(*chain.from_iterable(both))


def _mixed(
    front: tuple[int, ...], back: tuple[int, ...], strange: Sequence[tuple[int, ...]], rng: Random
) -> tuple[int, ...]:
    """The front half of a text, random items, and the back half of another text."""
    items = chain.from_iterable(rng.choices(strange, k=rng.choice(_STRANGE)))
    return (*front[: len(front) // 2], *items, *back[len(back) // 2 :])


def _with(ids: tuple[int, ...], trigger: tuple[int, ...], rng: Random) -> tuple[int, ...]:
    """A text with one to three copies of a trigger."""
    places = [
        0 if rng.random() < _AT_START else rng.randint(0, len(ids))
        for _ in range(rng.choice(_COPIES))
    ]
    text = list(ids)
    # From the last place to the first, so that no copy comes to stand inside another one.
    for place in sorted(places, reverse=True):
        text[place:place] = trigger
    return tuple(text)
