"""What candidate triggers do to ordinary sentences, for the eyes of a reader."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, ClassVar

import torch
from torch.nn import functional as F

from plmscan.carriers import restored, split_carriers
from plmscan.evidence import Coverage, Demonstration, Evidence, Gap, Projection
from plmscan.loading import Location
from plmscan.probes.base import FollowUpProbe
from plmscan.probes.suspects import token_ids
from plmscan.probes.words import counted, some
from plmscan.search.measure.candidates import text_of
from plmscan.search.measure.readings import Panel, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.evidence import Observation
    from plmscan.loading import LoadedModel

_LOGGER = logging.getLogger(__name__)

_PROBE = "demonstration"

_SUSPECTS = 8
"""Candidates that are shown, the best of every kind in turn."""

_CARRIERS = 32
"""Carriers that each is put into."""

_TOLD = 4
"""Carriers that are quoted; of four in a row one takes it at the start, one at the end."""

_BEST = {"scatter": 1, "strength": -1, "corruption": -1}
"""Metrics of a search by which a candidate can be the best, and the sign that makes it so."""


class Probe(FollowUpProbe):
    """Candidates in ordinary sentences: what the model makes of them without and with it.

    A trigger gives all sentences one output, whatever they say: their features become alike and
    lie in one spot, and a classifier gives them one label. The search has measured that on other
    carriers; here a reviewer can see it, and so no rule judges it.
    """

    subject: ClassVar[str] = "sentences with a trigger"
    metrics: ClassVar[Mapping[str, str]] = {
        "likeness": "mean cosine between the features of different carriers as they are",
        "triggered_likeness": "likeness with the candidate in every carrier; 1 is one output",
        "flipped": "share of carriers whose label changes; those of other labels are taken first",
    }
    details: ClassVar[Mapping[str, str]] = {
        "location": "where the features are read",
    }
    references: ClassVar[tuple[str, ...]] = (
        "POR: arXiv 2111.00197 (triggers map any text to one output)",
        "Principal components: Hotelling 1933, doi 10.1037/h0071325",
    )

    def explain(
        self, model: LoadedModel, suspects: Sequence[Evidence], budget: Budget
    ) -> Iterator[Observation]:
        """Evidence for the best candidates of every kind, those read in the same carriers together.

        Raises:
            OutOfTimeError: the deadline passed; what was yielded before counts.
        """
        panels: dict[bool, Panel] = {}
        shown = 0
        groups = _grouped(model, _best(suspects))
        for done, ((masked, target), group) in enumerate(groups.items()):
            budget.checkpoint(done / len(groups), "carriers")
            try:
                if masked not in panels:
                    panels[masked] = Panel.of(model, _carriers(model, budget, masked=masked))
                found = list(_shown(model, group, _opposed(panels[masked], target)))
            except Exception as error:
                # What is only there to be looked at withholds no pass.
                _LOGGER.debug("a demonstration broke", exc_info=error)
                names, reason = some(one.subject for one in group), type(error).__name__
                found = [Gap(names, f"It could not be shown: {reason}.", blocks_pass=False)]
            yield from found
            shown += sum(isinstance(one, Evidence) for one in found)
        if shown:
            tried = counted(shown, "candidate")
            yield Coverage(f"{tried} in up to {_CARRIERS} carriers, read without and with each.")


def _grouped(
    model: LoadedModel, suspects: Sequence[Evidence]
) -> dict[tuple[bool, int | None], list[Evidence]]:
    """Those that are read in the same carriers: with a mask token or not, and by their label."""
    groups: dict[tuple[bool, int | None], list[Evidence]] = defaultdict(list)
    for suspect in suspects:
        masked = _location(model, suspect) is Location.MASK
        groups[masked, _target(model, suspect)].append(suspect)
    return groups


def _best(suspects: Sequence[Evidence]) -> list[Evidence]:
    """The best of every kind in turn, each once; kin of a better one only where there is room."""
    rankings = (_ranked(suspects, metric, sign) for metric, sign in _BEST.items())
    in_turn = (one for row in zip_longest(*rankings) for one in row if one is not None)
    return list({token_ids(one): one for one in in_turn}.values())[:_SUSPECTS]


def _ranked(suspects: Sequence[Evidence], metric: str, sign: int) -> list[Evidence]:
    """Those that have ``metric``, the lowest of ``sign`` times it first, kin of others last."""
    known = [suspect for suspect in suspects if metric in suspect.metrics and token_ids(suspect)]

    def place(suspect: Evidence) -> tuple[object, ...]:
        kin = suspect.metrics.get("kin", 0.0)
        return kin, sign * suspect.metrics[metric], token_ids(suspect)

    return sorted(known, key=place)


def _location(model: LoadedModel, suspect: Evidence) -> Location:
    """Where the search saw it act; the model's first location if it is not read there."""
    asked = suspect.trigger and suspect.trigger.location
    return next((where for where in model.locations if where == asked), model.locations[0])


def _target(model: LoadedModel, suspect: Evidence) -> int | None:
    """Index of the label that it pushes to; None without one."""
    label = suspect.trigger and suspect.trigger.target_label
    return model.labels.index(label) if label in model.labels else None


def _carriers(model: LoadedModel, budget: Budget, *, masked: bool) -> list[Carrier]:
    """The last carriers, since a search begins with the first; more where labels choose among them.

    Those without a mask token have the word back that it hid.  All take a candidate between words.
    """
    (usable,) = split_carriers(model, budget.texts, (len(budget.texts),), budget.seed)
    last = usable[-_CARRIERS * (1 + (len(model.labels) > 1)) :]
    whole = (one if masked else restored(one, model.mask_id) for one in last)
    return [_between_words(model, one) for one in whole]


def _between_words(model: LoadedModel, carrier: Carrier) -> Carrier:
    """The carrier with its place at the nearest space, if it was inside a word; if it has any."""
    inside = range(1, len(carrier.ids))
    if carrier.position not in inside or not _in_word(model, carrier, carrier.position):
        return carrier
    spaces = [at for at in inside if not _in_word(model, carrier, at)]
    nearest = min(spaces, key=lambda at: abs(at - carrier.position), default=carrier.position)
    return replace(carrier, position=nearest)


def _in_word(model: LoadedModel, carrier: Carrier, at: int) -> bool:
    """Whether what follows the first ``at`` tokens, more than none, is written close to them."""
    text, start = model.decode(carrier.ids), model.decode(carrier.ids[:at])
    return text.startswith(start) and not text[len(start) :][:1].isspace()


def _opposed(panel: Panel, target: int | None) -> Panel:
    """So many carriers as are needed; first those that do not have the label ``target`` anyhow."""
    against = [] if target is None else panel.against(target)
    others = [i for i in range(len(panel.carriers)) if i not in against]
    return panel.pick([*against, *others][:_CARRIERS])


def _shown(model: LoadedModel, group: Sequence[Evidence], panel: Panel) -> Iterator[Observation]:
    """Candidates in the same carriers; one whose features are no numbers is a gap."""
    found = read(model, [token_ids(suspect) for suspect in group], panel.carriers)
    for row, suspect in enumerate(group):
        where = _location(model, suspect)
        clean, dirty = panel.clean.features[where], found.features[where][row]
        if not bool(clean.isfinite().all() and dirty.isfinite().all()):
            reason = "Its features are not numbers."
            yield Gap(f"sentences with {suspect.subject}", reason, blocks_pass=False)
            continue
        labels = None if found.leads is None else found.leads[row].argmax(-1).tolist()
        yield _evidence(model, suspect, _Seen(where, panel, clean, dirty, labels))


@dataclass(frozen=True)
class _Seen:
    """One candidate in its carriers."""

    where: Location
    """Where the features are read."""
    panel: Panel
    """The carriers."""
    clean: Tensor
    """Their features, (n, h)."""
    dirty: Tensor
    """The same with the candidate, (n, h)."""
    triggered: list[int] | None
    """What a classifier says with it, n labels."""

    @property
    def labels(self) -> list[int] | None:
        """What it says without, n labels."""
        leads = self.panel.clean.leads
        return None if leads is None else leads.argmax(-1).tolist()


def _evidence(model: LoadedModel, suspect: Evidence, seen: _Seen) -> Evidence:
    """One candidate."""
    likeness, triggered = _likeness(seen.clean), _likeness(seen.dirty)
    metrics = {"likeness": float(likeness.mean()), "triggered_likeness": float(triggered.mean())}
    if seen.labels is not None and seen.triggered is not None:
        flips = [one != other for one, other in zip(seen.labels, seen.triggered, strict=True)]
        metrics["flipped"] = sum(flips) / len(flips)
    return Evidence(
        _PROBE,
        suspect.subject,
        metrics,
        {"location": str(seen.where)},
        explains=token_ids(suspect),
        demonstrations=tuple(
            Demonstration(
                text=_marked(model, carrier, token_ids(suspect)),
                likeness=float(likeness[row]),
                triggered_likeness=float(triggered[row]),
                label=_label(model, seen.labels, row),
                triggered_label=_label(model, seen.triggered, row),
            )
            for row, carrier in enumerate(seen.panel.carriers[:_TOLD])
        ),
        projection=_projected(seen.clean, seen.dirty),
    )


def _label(model: LoadedModel, labels: list[int] | None, row: int) -> str | None:
    """Name of one label, where there are any."""
    return None if labels is None else model.labels[labels[row]]


def _likeness(features: Tensor) -> Tensor:
    """Mean cosine of each row to the others, (n, h) -> (n)."""
    units = F.normalize(features.double(), dim=-1)
    cosines = units @ units.T
    return (cosines.sum(1) - cosines.diagonal()) / max(1, len(units) - 1)


def _projected(clean: Tensor, dirty: Tensor) -> Projection:
    """Both, (n, h), on the two main axes of all; the largest entry of an axis is above 0."""
    both = torch.cat([clean, dirty]).double()
    both = both - both.mean(0)
    _, sizes, axes = torch.linalg.svd(both, full_matrices=False)
    variances = F.pad(sizes.square(), (0, 2))
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    places = F.pad(both @ (axes * largest.sign()).T, (0, 2))[:, :2].tolist()
    pairs = [(across, up) for across, up in places]
    first, second = (variances / variances.sum().clamp_min(1e-300))[:2].tolist()
    return Projection(tuple(pairs[: len(clean)]), tuple(pairs[len(clean) :]), (first, second))


def _marked(model: LoadedModel, carrier: Carrier, candidate: tuple[int, ...]) -> str:
    """The carrier with the candidate between guillemets, close to a word only if it is read so.

    Where the candidate changes how all other tokens are written, it is written by itself.
    """
    at, ids = carrier.position, carrier.ids
    before = model.decode(ids[:at]).lstrip() if at else ""
    after = model.decode(ids[at:]).strip() if at < len(ids) else ""
    joint = model.decode((*ids[:at], *candidate)).lstrip()
    piece = joint[len(before) :] if joint.startswith(before) else ""
    if not piece.strip():
        piece = f" {text_of(model, candidate)}"
    left = piece[: -len(piece.lstrip())]
    right = "" if at and _in_word(model, carrier, at) else " "
    return f"{before}{left}«{piece.strip()}»{right}{after}".strip()
