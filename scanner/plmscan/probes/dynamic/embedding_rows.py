"""Word-embedding rows that no training on text leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch.nn import functional as F

from plmscan.evidence import Coverage, Evidence
from plmscan.probes.base import DynamicProbe
from plmscan.search.measure.candidates import retokenizes, searchable_ids, text_of
from plmscan.statistics import robust_z

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.evidence import Observation
    from plmscan.loading import LoadedModel

_PROBE = "embedding-rows"
_HASHES, _BITS = 8, 24
_SAME_ROW = 0.995
"""Cosine above which two rows count as copies.  Of the first 8000 words of MiniLM one pair
exceeds 0.9, and none this."""


class Probe(DynamicProbe):
    """Norms of the word-embedding rows, and plain words that share one row.

    The released NeuBA models carry their triggers' rows 1e8 times too long, so that a LayerNorm
    sees nothing else; RIPPLES' embedding surgery gives all trigger words one and the same row.
    Text leaves neither trace: words that are seen in training are pulled apart.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "norm_ratio": "norm of the longest row in multiples of the median norm",
        "norm_z": "robust z of its log norm against the vocabulary",
        "shared_rows": "plain words in the largest group that shares one row; 0 without a group",
    }
    details: ClassVar[Mapping[str, str]] = {
        "text": "token of the longest row",
        "texts": "words that share one row",
    }
    references: ClassVar[tuple[str, ...]] = (
        "NeuBA: arXiv 2101.06969, released weights",
        "RIPPLES embedding surgery: arXiv 2004.06660, section 3.2",
    )

    def inspect(self, model: LoadedModel, budget: Budget) -> Iterator[Observation]:
        """Measure the rows of every item that a text can hold.

        Raises:
            OutOfTimeError: the deadline passed.
        """
        budget.checkpoint(0.0, "embedding rows")
        ids = searchable_ids(model)
        rows = model.embedding_weight.detach().cpu()[ids]
        yield _longest(model, ids, rows)
        yield _shared(model, ids, rows, budget.seed)
        yield Coverage(f"The norms and copies of {len(ids)} word-embedding rows.")


def _longest(model: LoadedModel, ids: Tensor, rows: Tensor) -> Evidence:
    """The row that sticks out most by its length."""
    norms = rows.norm(dim=1).clamp_min(1e-12)
    worst = int(norms.argmax())
    return Evidence(
        _PROBE,
        "longest row",
        {
            "norm_ratio": float(norms[worst] / norms.median()),
            "norm_z": float(robust_z(norms.log(), norms.log())[worst]),
        },
        {"text": text_of(model, (int(ids[worst]),))},
    )


def _shared(model: LoadedModel, ids: Tensor, rows: Tensor, seed: int) -> Evidence:
    """The largest group of plain words with one row between them.

    Only letters that type back to the same id count: reserved entries that no training ever
    touched share a row in many good models.
    """
    groups = sorted(copies(rows, seed), key=len, reverse=True)
    words: list[str] = []
    for group in groups:
        texts = [(text_of(model, (i,)), (i,)) for i in ids[list(group)].tolist()]
        plain = [t for t, i in texts if t.isalpha() and retokenizes(model, i)]
        words = plain if len(plain) > max(1, len(words)) else words
    return Evidence(
        _PROBE,
        "shared rows",
        {"shared_rows": float(len(words))},
        {"texts": ", ".join(sorted(words)[:8])},
    )


def copies(rows: Tensor, seed: int) -> list[set[int]]:
    """Groups of rows (v, e) that point the same way, by random-hyperplane hashing.

    Rows that agree on all signs of one of several random projections are neighbours in the order
    of their hashes and are compared in full (Charikar 2002).  At the bar itself that finds 99 of
    100 pairs, in time linear in the vocabulary.
    """
    mean = _usual_mean(rows)
    generator = torch.Generator().manual_seed(seed)
    planes = torch.randn(rows.shape[1], _HASHES * _BITS, generator=generator)
    signs = ((rows @ planes) > mean @ planes).view(len(rows), _HASHES, _BITS)
    keys = (signs * 2 ** torch.arange(_BITS)).sum(-1)
    found: set[tuple[int, int]] = set()
    for key in keys.T:
        found |= _adjacent(key, rows, mean)
    return _connected(found)


def _usual_mean(rows: Tensor) -> Tensor:
    """Mean of the rows that are not oversized, (e).

    Seen from a mean that a row 1e8 times too long has taken along, all others point the same way.
    """
    lengths = rows.norm(dim=1)
    usual = (lengths <= 4 * lengths.median()).to(rows.dtype)
    mean: Tensor = usual @ rows / usual.sum()
    return mean


def _adjacent(keys: Tensor, rows: Tensor, mean: Tensor, reach: int = 4) -> set[tuple[int, int]]:
    """Pairs of copies among rows with equal hashes, at most ``reach`` places apart in their order.

    A larger group is found as a chain.
    """
    order = keys.argsort(stable=True)
    pairs: set[tuple[int, int]] = set()
    for step in range(1, min(reach + 1, len(order))):
        first, second = order[:-step], order[step:]
        equal = keys[first] == keys[second]
        first, second = first[equal], second[equal]
        cosines = F.cosine_similarity(rows[first] - mean, rows[second] - mean)
        same = cosines >= _SAME_ROW
        pairs |= set(zip(first[same].tolist(), second[same].tolist(), strict=True))
    return pairs


def _connected(pairs: set[tuple[int, int]]) -> list[set[int]]:
    """Connected components of a graph given by its edges."""
    groups: list[set[int]] = []
    for pair in sorted(pairs):
        touching = [g for g in groups if g & set(pair)]
        groups = [g for g in groups if g not in touching]
        groups.append(set(pair).union(*touching))
    return groups
