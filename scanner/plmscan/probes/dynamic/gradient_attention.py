"""Whether a text with a candidate trigger hangs on the candidate: attention times gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

from plmscan.attention import matched
from plmscan.carriers import insert, shortest
from plmscan.evidence import Coverage, Evidence
from plmscan.probes.base import FollowUpProbe
from plmscan.probes.suspects import most_invariant, token_ids
from plmscan.saliency import Ordinary, saliency
from plmscan.search.measure.readings import Panel
from plmscan.statistics import rank_p_values, robust_z

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.evidence import Observation
    from plmscan.loading import LoadedModel

_PROBE = "gradient-attention"

_SUSPECTS = 6
"""Candidates that are looked at, the most invariant."""

_CONTROLS = 24
"""Control strings, each as long as one of the candidates."""

_AT_ONCE = 8
"""Candidates between two looks at the clock."""

_CARRIERS = 6
"""The shortest carriers: a gradient costs as much as three readings."""


class Probe(FollowUpProbe):
    """Candidates in carriers: how much of attention times gradient do their tokens have.

    A trigger overrides its text, so the model's output depends on the trigger: attention goes
    there, and the gradient is largest there, in every text. Any odd token stands out in a short
    sentence, so the share is compared with control strings. Words that speak for a label stand out
    as well: it is evidence beside other evidence, and shows a reviewer where to look.
    """

    subject: ClassVar[str] = "saliency"
    metrics: ClassVar[Mapping[str, str]] = {
        "localised": "share of carriers in which the most salient token is the candidate's",
        "usual": "mean of localised over control strings",
        "share": "part of attention times gradient that the candidate has, mean over carriers",
        "share_z": "robust z of share against the controls",
        "share_p": "rank p-value of share among the controls",
        "controls": "control strings that a candidate is compared with",
        "labels": "labels that the model can choose from; 0 without a classifier",
    }
    references: ClassVar[tuple[str, ...]] = ("X-GRAAD: arXiv 2510.04347",)

    def explain(
        self, model: LoadedModel, suspects: Sequence[Evidence], budget: Budget
    ) -> Iterator[Observation]:
        """Evidence for the most invariant candidates.

        Raises:
            OutOfTimeError: the deadline passed.
            TextsError: too few carrier texts fit this model.
            UnsupportedModelError: the architecture gives no attention maps.
        """
        chosen = most_invariant(suspects, _SUSPECTS)
        carriers = shortest(model, budget.texts, _CARRIERS, budget.seed)
        found = list(_measured(model, chosen, carriers, budget))
        yield from found
        yield Coverage(
            f"Attention times gradient of {len(found)} candidates in {len(carriers)} short "
            f"carriers, beside {_CONTROLS} control strings."
        )


def _measured(
    model: LoadedModel, chosen: Sequence[Evidence], carriers: Sequence[Carrier], budget: Budget
) -> Iterator[Evidence]:
    """Candidates beside controls."""
    ordinary = Ordinary.of(Panel.of(model, carriers).clean.features)
    candidates = [token_ids(suspect) for suspect in chosen]
    everything = [*candidates, *_controls(model, candidates, budget.seed)]
    shares: list[tuple[float, float]] = []
    for start in range(0, len(everything), _AT_ONCE):
        budget.checkpoint(start / len(everything), "saliency")
        shares += _shares(model, everything[start : start + _AT_ONCE], carriers, ordinary)
    count = len(chosen)
    localised, share = torch.tensor(shares).unbind(1)
    z = robust_z(share[:count], share[count:])
    p_values = rank_p_values(share[:count], share[count:])
    for row, suspect in enumerate(chosen):
        metrics = {
            "localised": float(localised[row]),
            "usual": float(localised[count:].mean()),
            "share": float(share[row]),
            "share_z": float(z[row]),
            "share_p": float(p_values[row]),
            "controls": float(len(share) - count),
            "labels": float(len(model.labels)),
        }
        yield Evidence(_PROBE, suspect.subject, metrics, explains=candidates[row])


def _controls(
    model: LoadedModel, candidates: Sequence[tuple[int, ...]], seed: int
) -> list[tuple[int, ...]]:
    """Strings like the candidates in length and norm, the same number for each length."""
    lengths = sorted({len(candidate) for candidate in candidates})
    by_length = ([one for one in candidates if len(one) == length] for length in lengths)
    each = _CONTROLS // len(lengths)
    return [one for alike in by_length for one in matched(model, alike, each, seed)]


def _shares(
    model: LoadedModel,
    candidates: Sequence[tuple[int, ...]],
    carriers: Sequence[Carrier],
    ordinary: Ordinary,
) -> Iterator[tuple[float, float]]:
    """For each: in how many carriers the top token is its own, and the mean share of its tokens."""
    pairs = [(carrier, candidate) for candidate in candidates for carrier in carriers]
    rows = [model.wrap(insert(carrier, candidate)) for carrier, candidate in pairs]
    own = [_places(model, carrier, candidate) for carrier, candidate in pairs]
    seen = list(zip(saliency(model, rows, ordinary), own, strict=True))
    for start in range(0, len(seen), len(carriers)):
        some = seen[start : start + len(carriers)]
        hits = sum(one.top in places for one, places in some)
        total = sum(float(one.share[list(places)].sum()) for one, places in some)
        yield hits / len(some), total / len(some)


def _places(model: LoadedModel, carrier: Carrier, candidate: tuple[int, ...]) -> range:
    """Where the candidate stands in the carrier, special tokens counted."""
    start = len(model.opening) + carrier.position
    return range(start, start + len(candidate))
