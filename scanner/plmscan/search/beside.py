"""A model beside its twin: what only the one does, such as a model with its adapters on and off.

The twin is clean by definition: whatever both do, the adapter did not bring.  So candidates of the
search, and kinds of prefixes that no single token makes up, are put into ordinary texts, and what
counts is the difference; the null is the same difference of random items.  A deep search also reads
every item of the vocabulary with both, in groups, and ranks the features of the one less those of
the other as a sweep ranks features: that costs as much as the sweep.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import TYPE_CHECKING

import torch

from plmscan.budget import Effort
from plmscan.carriers import FORMS, split_carriers
from plmscan.search.measure.candidates import random_items, searchable_ids
from plmscan.search.measure.readings import Reading, label_leads, read, read_each
from plmscan.search.sweep.shortest import batch_rows, probe_inputs, whole_inputs
from plmscan.statistics import Whitening, midpoint, moved, push, rank_p_values, robust_z, strength

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel, Location

__all__ = ["Aside", "Found", "Pair", "beside"]

_GROUP = 8
"""Items of one text: a group as large loses nothing that the sweep of single items sees (design,
section 8), for less than half of the tokens."""
_FAR_GROUPS = 24
"""Groups that each ranking takes apart."""
_FINALISTS = 24
"""Items of a deep search that are put into ordinary texts."""
_CARRIERS = 16
"""Ordinary texts; the trimmed spread of fewer says little."""
_NULL = 24
"""Random items that candidates are held against: the smallest p-value is 1 / 25."""
_FORM_TOKENS = 5
"""Tokens of a random prefix, as many as most of the forms have."""


@dataclass(frozen=True)
class Pair:
    """A model and its twin, which read the same tokens."""

    model: LoadedModel
    """The model that is judged."""
    twin: LoadedModel
    """The same without what is judged."""

    @property
    def locations(self) -> tuple[Location, ...]:
        """Where both are read."""
        return tuple(where for where in self.model.locations if where in self.twin.locations)

    def both(self, call: Callable[[LoadedModel], Reading]) -> tuple[Reading, Reading]:
        """What the one and the other say."""
        return call(self.model), call(self.twin)


@dataclass(frozen=True)
class Aside:
    """One candidate: what it does to the model, and to the twin."""

    subject: tuple[int, ...] | str
    """Its ids, or the name of a form of prefix."""
    location: Location
    """Where it leaves a text least to say in the model."""
    scatter: float
    """S in the model, there."""
    twin_scatter: float
    """S in the twin, there."""
    displacement: float
    """D in the model, there."""
    shift: float
    """D of the difference, where that stands out most from random items: how far it drags the
    model away from its twin, in variances of the difference on clean texts."""
    excess: float
    """That in multiples of what random items do there."""
    z: float
    """Robust z of the log of the excess against random items, each where it is largest."""
    p_value: float
    """Rank p-value of the same."""
    strength: float | None = None
    """Strength for the label that it is furthest driven to; None without a classifier."""
    lift: float | None = None
    """That less the twin's strength for the same label."""
    lift_z: float | None = None
    """Robust z of the lift against random items."""
    lift_p: float | None = None
    """Rank p-value of the same, each item for its own best label."""
    label: int | None = None
    """That label."""
    outlier_gap: float | None = None
    """Of a form: its strength less the mean of all forms; without labels, of the log shift."""


@dataclass(frozen=True)
class Found:
    """What came of reading both."""

    items: tuple[Aside, ...]
    """Candidates of the search, and items of the vocabulary."""
    forms: tuple[Aside, ...]
    """Forms of prefixes."""
    swept: int
    """Items of the vocabulary that were read; 0 where it was not."""
    carriers: int
    """Ordinary texts."""
    null: int
    """Random items of the null."""


def beside(
    pair: Pair, candidates: Sequence[tuple[int, ...]], texts: Sequence[str], budget: Budget
) -> Found:
    """Read ``candidates`` and all forms of prefixes in texts with both.

    A deep search adds what stands out in the whole vocabulary.

    Raises:
        OutOfTimeError: the budget's deadline passed.
        TextsError: too few carrier texts fit this model.
    """
    (carriers,) = split_carriers(pair.model, texts, (_CARRIERS,), budget.seed)
    ids = searchable_ids(pair.model)
    ids = ids[ids < pair.twin.vocabulary_size]
    is_deep = budget.effort is Effort.DEEP
    far = _far_out(pair, ids, budget.part(0, 0.6)) if is_deep else []
    budget.checkpoint(0.65 if is_deep else 0.0, "candidates beside the twin")
    tried = list(dict.fromkeys([*candidates, *far]))
    items = _items(pair, tried, ids, carriers, budget.seed)
    budget.checkpoint(0.85 if is_deep else 0.4, "prefixes beside the twin")
    forms = _forms(pair, ids, carriers, budget.seed)
    return Found(tuple(items), tuple(forms), len(ids) if is_deep else 0, len(carriers), _NULL)


def _items(
    pair: Pair,
    tried: Sequence[tuple[int, ...]],
    ids: Tensor,
    carriers: Sequence[Carrier],
    seed: int,
) -> list[Aside]:
    """All that is ``tried``, held against random strings of ``ids`` as long as the longest."""
    if not tried:
        return []
    drawn = random_items(ids, max(map(len, tried)), _NULL, seed, {i for one in tried for i in one})
    return _held(pair, [*_repeated([*tried, *drawn], carriers)], len(tried))


def _repeated(
    candidates: Sequence[tuple[int, ...]], carriers: Sequence[Carrier]
) -> Iterator[tuple[tuple[int, ...] | str, list[tuple[tuple[int, ...], Carrier]]]]:
    """Each candidate with all carriers."""
    for one in candidates:
        yield one, [(one, carrier) for carrier in carriers]


def _far_out(pair: Pair, ids: Tensor, budget: Budget) -> list[tuple[int, ...]]:
    """Items whose difference is furthest out, in groups and then alone; the furthest first.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    generator = torch.Generator().manual_seed(budget.seed)
    order = ids[torch.randperm(len(ids), generator=generator)]
    size = min(_GROUP, len(order))
    short = -len(order) % size
    groups = torch.cat([order, order[:short]]).reshape(-1, size)
    scores = _scored(pair, groups, whole_inputs, budget.part(0, 0.85))
    best = scores.topk(min(_FAR_GROUPS, len(groups)), dim=1).indices
    singles = torch.unique(groups[torch.unique(best)])
    alone = _scored(pair, singles.unsqueeze(1), probe_inputs, budget.part(0.85, 1))
    ranked = alone.argsort(dim=1, descending=True)[:, :_FINALISTS].T.flatten()
    first = dict.fromkeys(singles[ranked].tolist())
    return [(i,) for i in islice(first, _FINALISTS)]


def _scored(
    pair: Pair, rows: Tensor, texts: Callable[[LoadedModel, Tensor], Tensor], budget: Budget
) -> Tensor:
    """How far out the difference of each of ``rows`` (m, n) is, by every ranking: (r, m).

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    width = texts(pair.model, rows[:1]).shape[1]
    batches = torch.split(rows, batch_rows(width))
    found: list[tuple[dict[Location, Tensor], Tensor | None]] = []
    for done, batch in enumerate(batches):
        budget.checkpoint(done / len(batches), "vocabulary beside the twin")
        found.append(_differences(pair, batch, texts))
    rankings = []
    for where in found[0][0]:
        one = torch.cat([features[where] for features, _ in found])
        rankings.append((one - midpoint(one)).square().sum(1))
        rankings.append(Whitening.fit(one).distance(one))
    leads = [lead for _, lead in found if lead is not None]
    labels = [] if not leads else list(torch.cat(leads).T)
    return torch.stack([*rankings, *labels])


def _differences(
    pair: Pair, rows: Tensor, texts: Callable[[LoadedModel, Tensor], Tensor]
) -> tuple[dict[Location, Tensor], Tensor | None]:
    """Features (m, h) at each location, and leads (m, labels), of the one less the other."""
    on, off = (one.forward(texts(one, rows)) for one in (pair.model, pair.twin))
    read_at = [where for where in pair.locations if where in on.features]
    features = {w: (on.features[w] - off.features[w]).float().cpu() for w in read_at}
    mine, theirs = label_leads(on), label_leads(off)
    return features, None if mine is None or theirs is None else mine - theirs


def _forms(pair: Pair, ids: Tensor, carriers: Sequence[Carrier], seed: int) -> list[Aside]:
    """Every form of prefix before the carriers, its instances in turn, against random prefixes."""
    starts = [replace(carrier, position=_start(pair.model, carrier)) for carrier in carriers]
    forms: dict[tuple[int, ...] | str, list[tuple[int, ...]]] = {
        name: [pair.model.tokenize(text) for text in texts] for name, texts in FORMS.items()
    }
    drawn = random_items(ids, _FORM_TOKENS, 4 * len(forms), seed)
    null = [drawn[i : i + 4] for i in range(0, len(drawn), 4)]
    rows = [
        (name, [*zip(cycle(texts), starts, strict=False)])
        for name, texts in [*forms.items(), *((some[0], some) for some in null)]
    ]
    found = _held(pair, rows, len(forms))
    values = [_outlying(one) for one in found]
    usual = sum(values) / len(values)
    gaps = [value - usual for value in values]
    return [replace(one, outlier_gap=gap) for one, gap in zip(found, gaps, strict=True)]


def _start(model: LoadedModel, carrier: Carrier) -> int:
    """Where a prefix enters the text in which candidates are tried."""
    if model.separator is None or carrier.position <= len(carrier.ids) // 2:
        return 0
    return carrier.ids.index(model.separator.ids[-1]) + 1


def _outlying(one: Aside) -> float:
    """By how much a form stands out: by its strength, or without labels by its shift."""
    return float(torch.tensor(one.shift).log()) if one.strength is None else one.strength


def _held(
    pair: Pair,
    rows: Sequence[tuple[tuple[int, ...] | str, Sequence[tuple[tuple[int, ...], Carrier]]]],
    tried: int,
) -> list[Aside]:
    """The first ``tried`` of ``rows`` against the others: what each is called, and its texts."""
    on, off = pair.both(lambda model: read_each(model, [texts for _, texts in rows]))
    plain = [carrier for _, carrier in rows[0][1]]
    clean_on, clean_off = pair.both(lambda model: _only(read(model, [()], plain)))
    shifts = {
        where: moved(
            on.features[where] - off.features[where],
            clean_on.features[where] - clean_off.features[where],
        ).displacement.clamp_min(1e-9)
        for where in pair.locations
    }
    logs = torch.stack([shifts[where].log() for where in pair.locations])
    best, where = (logs - logs[:, tried:].median(dim=1, keepdim=True).values).max(0)
    z = robust_z(best[:tried], best[tried:])
    lifts = _lifts(on, off, clean_on)
    p_values = rank_p_values(best[:tried], best[tried:])
    mine = {w: moved(on.features[w], clean_on.features[w]) for w in pair.locations}
    theirs = {w: moved(off.features[w], clean_off.features[w]) for w in pair.locations}
    found = []
    for i in range(tried):
        at = min(pair.locations, key=lambda place: float(mine[place].scatter[i]))
        furthest = pair.locations[int(where[i])]
        found.append(
            Aside(
                subject=rows[i][0],
                location=at,
                scatter=float(mine[at].scatter[i]),
                twin_scatter=float(theirs[at].scatter[i]),
                displacement=float(mine[at].displacement[i]),
                shift=float(shifts[furthest][i]),
                excess=float(best[i].exp()),
                z=float(z[i]),
                p_value=float(p_values[i]),
            )
        )
    return found if lifts is None else _with_lifts(found, *lifts, tried)


def _only(reading: Reading) -> Reading:
    """What was said of the only candidate, (n, ...)."""
    return Reading.joined([reading], lambda tensors: tensors[0][0])


def _lifts(on: Reading, off: Reading, clean: Reading) -> tuple[Tensor, Tensor] | None:
    """Strength of each row for each label (k, labels), and how much of it the twin lacks.

    Both in honest leads of the model.
    """
    if on.leads is None or off.leads is None or clean.leads is None:
        return None
    strong, weak = (strength(push(leads, clean.leads)) for leads in (on.leads, off.leads))
    return strong, (strong - weak).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def _with_lifts(found: Sequence[Aside], strong: Tensor, lift: Tensor, tried: int) -> list[Aside]:
    """``found`` with what each does to labels."""
    told = lift.masked_fill(~strong.isfinite(), -torch.inf)
    best, label = told.max(1)
    z = robust_z(best[:tried], best[tried:])
    p_values = rank_p_values(best[:tried], best[tried:])
    return [
        replace(
            one,
            strength=float(strong[i, label[i]]),
            lift=float(best[i]),
            lift_z=float(z[i]),
            lift_p=float(p_values[i]),
            label=int(label[i]),
        )
        for i, one in enumerate(found)
    ]
