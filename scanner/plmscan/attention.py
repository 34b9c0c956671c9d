"""What a candidate does to attention heads: pure tensor functions, and one loop over carriers.

A trigger has to reach the token that is read: heads carry it there from wherever it stands, and
whatever else the text says.  What can show that (design, section 6):

    reading, received    attention that the candidate gets: from the token that is read, and from
                         all other tokens but the special ones and itself
    agreement            mean cosine between what a head gives to the reading token in different
                         carriers: a head that hands over a trigger hands over the same each time
    likeness             of the heads of a layer: 1 - JSD of their attention rows, over all rows,
                         in the reading token's row, and over all rows without special tokens, which
                         as attention sinks make all heads alike
    alignment            mean cosine between what the heads of a layer give to the reading token

The null is the model itself: control strings of as many tokens, with embeddings of about the same
norm, in the same carriers at the same places.  After arXiv 2511.13789 (heads become alike where a
trigger is present) with statistics of our own, since the paper publishes no formula; which of them
carry a signal is measured by ``python -m tests.benchmarks.attention``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.carriers import insert
from plmscan.search.measure.candidates import searchable_ids
from plmscan.statistics import rank_p_values, robust_z

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading import Attended, LoadedModel

__all__ = [
    "Held",
    "agreement",
    "alignment",
    "attend",
    "cell_wise",
    "held_against",
    "likeness",
    "mass",
    "matched",
    "overall",
    "renormalised",
    "worst",
]

_CHUNK = 64
"""Candidates in a batch: the maps of all layers and heads are held at once."""

_WINDOW = 20
"""A control has a norm within one part in so many of the vocabulary's ranks: half a decile."""

_FINEST = 1e-4
"""Shares of attention, and of likeness, that differ by less differ by nothing."""

_TINY = 1e-12
"""Keeps logarithms and cosines finite."""


def mass(maps: Tensor, places: slice, queries: Tensor) -> Tensor:
    """Attention that tokens at ``places`` get, mean over ``queries``: (b, H, n, n) -> (b, H)."""
    return maps[:, :, queries, places].sum(-1).mean(-1)


def likeness(rows: Tensor) -> Tensor:
    """How alike heads attend, from 0 to 1, mean over the rows: (b, H, q, n) -> (b).

    1 - JSD / log H with the generalised Jensen-Shannon divergence of the heads' distributions,
    ``H(mean P_h) - mean H(P_h)`` (Lin 1991, section 4).
    """
    if rows.shape[1] == 1:
        return torch.ones(rows.shape[0])
    divergence = _entropy(rows.mean(1)) - _entropy(rows).mean(1)
    return 1 - divergence.mean(-1) / math.log(rows.shape[1])


def _entropy(rows: Tensor) -> Tensor:
    """Shannon entropy in nats: (..., n) -> (...)."""
    return -(rows * rows.clamp_min(_TINY).log()).sum(-1)


def renormalised(maps: Tensor, kept: Tensor) -> Tensor:
    """Maps of the ``kept`` tokens alone, rows summing to 1 again: (b, H, n, n) -> (b, H, c, c)."""
    rows = maps[:, :, kept][..., kept]
    return rows / rows.sum(-1, keepdim=True).clamp_min(_TINY)


def alignment(outputs: Tensor) -> Tensor:
    """Mean cosine between the heads of a layer: (b, L, H, d) -> (b, L)."""
    return _mean_cosine(_unit(outputs), -2)


def agreement(outputs: Tensor) -> Tensor:
    """Mean cosine of each head's output between carriers: (n, b, L, H, d) -> (b, L, H)."""
    return _mean_cosine(_unit(outputs), 0)


def _mean_cosine(units: Tensor, axis: int) -> Tensor:
    """Mean over all pairs along ``axis`` of unit vectors, from the length of their sum."""
    count = units.shape[axis]
    own = units.square().sum(-1).sum(axis if axis >= 0 else axis + 1)
    return (units.sum(axis).square().sum(-1) - own) / max(1, count * (count - 1))


def _unit(vectors: Tensor) -> Tensor:
    """Vectors of length 1: (..., d) -> (..., d)."""
    return torch.nn.functional.normalize(vectors, dim=-1)


def attend(
    model: LoadedModel,
    candidates: Sequence[tuple[int, ...]],
    carriers: Sequence[Carrier],
    budget: Budget,
    note: str,
) -> Mapping[str, Tensor]:
    """Every statistic of k candidates of one length, by name: of heads (k, L, H), of layers (k, L).

    ``agreement`` and ``alignment`` are absent where the architecture does not show head outputs.

    Raises:
        OutOfTimeError: the budget's deadline passed.
        UnsupportedModelError: the architecture gives no attention maps.
    """
    blocks = []
    for start in range(0, len(candidates), _CHUNK):
        budget.checkpoint(start / len(candidates), note)
        chunk = candidates[start : start + _CHUNK]
        blocks.append(_over_carriers([_in_one(model, chunk, carrier) for carrier in carriers]))
    return {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}


def _over_carriers(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Means over carriers; of head outputs (b, L, H, d) how much they agree."""
    stacked = {name: torch.stack([part[name] for part in parts]) for name in parts[0]}
    outputs = stacked.pop("outputs", None)
    found = {name: values.mean(0) for name, values in stacked.items()}
    return found if outputs is None else found | {"agreement": agreement(outputs)}


def _in_one(
    model: LoadedModel, candidates: Sequence[tuple[int, ...]], carrier: Carrier
) -> dict[str, Tensor]:
    """The statistics of b candidates in one carrier, and what the heads give there."""
    rows = [model.wrap(insert(carrier, candidate)) for candidate in candidates]
    seen = model.attend(torch.tensor(rows, device=model.device))
    start = len(model.opening) + carrier.position
    tokens = _Tokens.of(model, rows[0], slice(start, start + len(candidates[0])))
    found = {
        name: torch.stack(values, dim=1)
        for name, values in _of_maps([one.float().cpu() for one in seen.maps], tokens).items()
    }
    return found | _of_outputs(seen)


def _of_maps(maps: Sequence[Tensor], tokens: _Tokens) -> dict[str, list[Tensor]]:
    """What attention maps (b, H, n, n) tell, a tensor a layer."""
    reading, others, content = tokens.reading, tokens.others, tokens.content
    return {
        "reading": [mass(one, tokens.places, reading) for one in maps],
        "received": [mass(one, tokens.places, others) for one in maps],
        "likeness": [likeness(one) for one in maps],
        "likeness_reading": [likeness(one[:, :, reading]) for one in maps],
        "likeness_content": [likeness(renormalised(one, content)) for one in maps],
    }


def _of_outputs(seen: Attended) -> dict[str, Tensor]:
    """What head outputs tell; nothing without them."""
    if seen.outputs is None:
        return {}
    outputs = seen.outputs.float().cpu()
    return {"alignment": alignment(outputs), "outputs": outputs}


@dataclass(frozen=True)
class _Tokens:
    """Which tokens of a row are what; indices into it."""

    places: slice
    """The candidate's."""
    reading: Tensor
    """The token that is read: a decoder's last, else the classification token."""
    content: Tensor
    """All but special tokens."""
    others: Tensor
    """All but special tokens and the candidate; in a decoder those that can see it."""

    @classmethod
    def of(cls, model: LoadedModel, row: Sequence[int], places: slice) -> _Tokens:
        """Of one row of ids with special tokens; a candidate may be a special token itself."""
        own = range(len(row))[places]
        reading = torch.tensor([model.reading_index(len(row))])
        content = [i for i, token in enumerate(row) if i in own or token not in model.special_ids]
        seeing = places.stop if model.is_decoder else 0
        others = [i for i in content if i not in own and i >= seeing]
        return cls(places, reading, torch.tensor(content), torch.tensor(others or [int(reading)]))


def matched(
    model: LoadedModel, candidates: Sequence[tuple[int, ...]], count: int, seed: int
) -> list[tuple[int, ...]]:
    """``count`` control strings, each like one of the candidates in length and embedding norms.

    The candidates, all of one length, are in turn the model of a control.  Their own tokens are
    left out where the vocabulary has others.
    """
    ids, norms = searchable_ids(model), model.embedding_weight.float().norm(dim=1).cpu()
    taken = torch.tensor(sorted({token for one in candidates for token in one}))
    rest = ids[~torch.isin(ids, taken)]
    free = rest if len(rest) else ids
    free = free[norms[free].argsort(stable=True)]
    generator = torch.Generator().manual_seed(seed)
    models = torch.tensor([candidates[i % len(candidates)] for i in range(count)])
    ranks = torch.searchsorted(norms[free], norms[models])
    reach = max(1, len(free) // _WINDOW)
    moved = ranks + torch.randint(-reach, reach + 1, ranks.shape, generator=generator)
    drawn = free[moved.clamp(0, len(free) - 1)]
    return [tuple(row) for row in drawn.tolist()]


@dataclass(frozen=True)
class Held:
    """Candidates held against controls, two-sided."""

    value: Tensor
    """The statistic itself, (k)."""
    z: Tensor
    """Its robust z against the controls, (k)."""
    p_value: Tensor
    """Rank p-value of |z| among the controls, (k)."""


def overall(name: str, values: Tensor) -> Tensor:
    """One number for each candidate, the one that proved steadiest: (k, L, H) -> (k).

    Attention is meant over all heads and layers.  Agreement is that of the last layer, where a text
    is about to be read, as Fisher's z (1915) of the cosine, which evens out its spread near 1.
    """
    if name == "agreement":
        return torch.atanh(values[:, -1].clamp(-1 + 1e-6, 1 - 1e-6)).mean(-1)
    return values.flatten(1).mean(1)


def held_against(values: Tensor, controls: Tensor) -> Held:
    """One number each, (k) against (m)."""
    z, usual = robust_z(values, controls), robust_z(controls, controls)
    return Held(values, z, rank_p_values(z.abs(), usual.abs()))


def cell_wise(values: Tensor, controls: Tensor) -> tuple[Tensor, Tensor]:
    """Z of every cell, (k, cells) against (m, cells), and its rank p-value, both (k, cells).

    max-T (Westfall and Young 1993): |z| is ranked among the controls at *their* furthest cells.
    """
    z, usual = (robust_z(one.T, controls.T, _FINEST).T for one in (values, controls))
    p_values = rank_p_values(z.abs().flatten(), usual.abs().amax(1))
    return z, p_values.reshape(z.shape)


def worst(values: Tensor, controls: Tensor) -> Held:
    """Where each candidate is furthest from the controls: (k, cells) against (m, cells)."""
    z, p_values = cell_wise(values, controls)
    at = z.abs().argmax(1, keepdim=True)
    return Held(*(one.gather(1, at).squeeze(1) for one in (values, z, p_values)))
