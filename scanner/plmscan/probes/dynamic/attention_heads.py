"""Attention heads that carry a candidate trigger to the token that is read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from plmscan.attention import Held, attend, cell_wise, held_against, matched, overall, worst
from plmscan.carriers import shortest
from plmscan.evidence import Coverage, Evidence, Gap, HeadEffect
from plmscan.probes.base import FollowUpProbe
from plmscan.probes.suspects import leading, most_invariant, token_ids
from plmscan.probes.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.evidence import Observation
    from plmscan.loading import LoadedModel

_PROBE = "attention-heads"

_SUSPECTS = 8
"""Most invariant candidates that are looked at; as many displace most, half as many flip labels."""

_LENGTHS = 2
"""Lengths of candidates that get controls: single tokens as a rule, and the commonest other."""

_CONTROLS = 200
"""Control strings of each length: each is like one of the candidates in its norm."""

_CARRIERS = 6
"""The shortest carriers: maps grow with the square of a text's length."""

_TOLD = 3
"""Heads that the evidence names."""

_FURTHEST = {
    "likeness": "likeness_reading",
    "likeness_content": "likeness_content",
    "head": "reading",
}
"""Metrics that tell of the layer or head that is furthest out, and their statistics."""


class Probe(FollowUpProbe):
    """Candidates and matched controls in the same carriers: who is attended, and by which heads.

    To fix the output whatever the text says, a trigger has to reach the token that is read, past
    all other tokens: heads look at it, and hand over the same in every carrier. Controls show how
    much of that any odd token gets. It is no proof: the words that speak for a label are attended,
    too.
    """

    subject: ClassVar[str] = "attention"
    metrics: ClassVar[Mapping[str, str]] = {
        "attention": "attention from the token that is read, mean over heads and layers, 0 to 1",
        "attention_z": "robust z of attention against the controls",
        "attention_p": "two-sided rank p-value of attention",
        "agreement": "how alike what the last layer's heads give is in all carriers, Fisher's z",
        "agreement_z": "robust z of agreement against the controls",
        "agreement_p": "two-sided rank p-value of agreement",
        "likeness_z": "robust z of the likeness of heads, in the layer where it is furthest out",
        "likeness_p": "two-sided rank p-value of likeness_z, controls at their own layer (max-T)",
        "likeness_content_z": "likeness_z without special tokens",
        "likeness_content_p": "likeness_p without special tokens",
        "head_z": "robust z of the attention of the head that is furthest out",
        "head_p": "two-sided rank p-value of head_z, controls at their own head (max-T)",
        "controls": "control strings that a candidate is compared with",
        "labels": "labels that the model can choose from; 0 without a classifier",
        "typical_agreement_z": "median of agreement_z over the most invariant candidates",
        "typical_attention_z": "median of attention_z over the most invariant candidates",
    }
    details: ClassVar[Mapping[str, str]] = {
        "heads": "heads that are furthest out, as layer.head",
    }
    references: ClassVar[tuple[str, ...]] = (
        "Anomalous attention heads: arXiv 2511.13789",
        "Attention to triggers in trojaned BERTs: arXiv 2205.08305",
        "Generalised Jensen-Shannon divergence: Lin 1991, doi 10.1109/18.61115",
        "max-T: Westfall and Young 1993",
    )

    def explain(
        self, model: LoadedModel, suspects: Sequence[Evidence], budget: Budget
    ) -> Iterator[Observation]:
        """Evidence for the best candidates of every kind, then for the model as a whole.

        Raises:
            OutOfTimeError: the deadline passed; what was yielded before counts.
            TextsError: too few carrier texts fit this model.
            UnsupportedModelError: the architecture gives no attention maps.
        """
        chosen = leading(suspects, _SUSPECTS)
        carriers = shortest(model, budget.texts, _CARRIERS, budget.seed)
        found = list(_measured(model, chosen, carriers, budget))
        yield from found
        yield from _typical(suspects, found)
        yield from _untold(model, chosen, found)
        yield Coverage(
            f"Attention of {len(found)} candidates in {len(carriers)} short carriers, each against "
            f"{_CONTROLS} control strings of its length with embeddings of about its norm."
        )


def _measured(
    model: LoadedModel, chosen: Sequence[Evidence], carriers: Sequence[Carrier], budget: Budget
) -> Iterator[Evidence]:
    """Candidates of the commonest lengths, held against controls of theirs."""
    common = Counter(len(token_ids(suspect)) for suspect in chosen).most_common(_LENGTHS)
    for done, (length, _) in enumerate(common):
        some = [suspect for suspect in chosen if len(token_ids(suspect)) == length]
        candidates = [token_ids(suspect) for suspect in some]
        controls = matched(model, candidates, _CONTROLS, budget.seed + length)
        part = budget.part(done / len(common), (done + 1) / len(common))
        found = attend(model, [*candidates, *controls], carriers, part, f"length {length}")
        for row, suspect in enumerate(some):
            yield _evidence(model, suspect, _Trial(found, row, len(some)))


@dataclass(frozen=True)
class _Trial:
    """One candidate, and the controls that it is held against."""

    found: Mapping[str, Tensor]
    """Statistics of candidates and controls, (k, ...)."""
    row: int
    """The candidate."""
    first: int
    """Row of the first control, behind all candidates."""

    def overall(self, name: str) -> Held:
        """The statistic as one number."""
        return held_against(*self.parted(overall(name, self.found[name])))

    def worst(self, name: str) -> Held:
        """The statistic where it is furthest out."""
        return worst(*self.parted(self.found[name].flatten(1)))

    def parted(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The candidate's row, (1, ...), and those of the controls, (m, ...)."""
        return values[self.row : self.row + 1], values[self.first :]


def _evidence(model: LoadedModel, suspect: Evidence, trial: _Trial) -> Evidence:
    """What the heads do with one candidate."""
    metrics = {"controls": float(_CONTROLS), "labels": float(len(model.labels))}
    for metric, name in (("attention", "reading"), ("agreement", "agreement")):
        if name in trial.found:
            held = trial.overall(name)
            metrics |= {metric: float(held.value), **_told(metric, held)}
    for metric, name in _FURTHEST.items():
        metrics |= _told(metric, trial.worst(name))
    heads, heatmap = _heads(trial)
    named = {"heads": ", ".join(head.name for head in heads)}
    return Evidence(
        _PROBE,
        suspect.subject,
        metrics,
        named,
        explains=token_ids(suspect),
        heads=heads,
        heatmap=heatmap,
    )


def _told(metric: str, held: Held) -> dict[str, float]:
    """Z and p of one statistic."""
    return {f"{metric}_z": float(held.z), f"{metric}_p": float(held.p_value)}


def _heads(trial: _Trial) -> tuple[tuple[HeadEffect, ...], tuple[tuple[float, ...], ...]]:
    """The heads that a candidate moves most, and the z of all, a row a layer."""
    mine, controls = trial.parted(trial.found["reading"])
    _, layers, width = mine.shape
    mine, controls = mine.flatten(1), controls.flatten(1)
    z, p_values = cell_wise(mine, controls)
    heads = [
        HeadEffect(
            layer=at // width,
            head=at % width,
            effect=float(mine[0, at]),
            usual=float(controls[:, at].median()),
            z=float(z[0, at]),
            p_value=float(p_values[0, at]),
            hijacked=bool(p_values[0, at] <= p_values.new_tensor(1 / (len(controls) + 1))),
        )
        for at in z[0].argsort(descending=True, stable=True)[:_TOLD].tolist()
    ]
    return tuple(heads), tuple(tuple(row) for row in z.reshape(layers, width).tolist())


def _typical(suspects: Sequence[Evidence], found: Sequence[Evidence]) -> Iterator[Evidence]:
    """The model as a whole: medians over its most invariant candidates."""
    invariant = {token_ids(suspect) for suspect in most_invariant(suspects, _SUSPECTS)}
    typical = [evidence for evidence in found if evidence.explains in invariant]
    medians = {
        f"typical_{name}": float(torch.tensor([e.metrics[name] for e in typical]).median())
        for name in ("agreement_z", "attention_z")
        if typical and name in typical[0].metrics
    }
    if medians:
        yield Evidence(_PROBE, "model", {**medians, "labels": typical[0].metrics["labels"]})


def _untold(
    model: LoadedModel, chosen: Sequence[Evidence], found: Sequence[Evidence]
) -> Iterator[Gap]:
    """What was left out, which blocks no pass: attention explains, and decides nothing."""
    if found and "agreement" not in found[0].metrics:
        yield Gap(
            "agreement of heads",
            f"{type(model.module).__name__} does not show what each head gives.",
            blocks_pass=False,
        )
    measured = {evidence.explains for evidence in found}
    left = [suspect.subject for suspect in chosen if token_ids(suspect) not in measured]
    if left:
        yield Gap(
            f"attention of {counted(len(left), 'longer candidate')}",
            f"Only the {_LENGTHS} commonest lengths have controls.",
            blocks_pass=False,
        )
