"""Which weights differ from those of the clean model that it was made from?"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, ClassVar

from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.loading.stored import read_stored
from plmscan.probes.base import ComparisonProbe
from plmscan.probes.differences import Change, Part, difference
from plmscan.probes.words import counted, some
from plmscan.search.measure.candidates import searchable_ids, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from plmscan.budget import Budget
    from plmscan.evidence import Observation
    from plmscan.loading import LoadedModel
    from plmscan.probes.differences import Difference, RowChanges
    from plmscan.source import Artifact

__all__ = ["Probe"]

_ID = "reference-difference"
_NAMED = 20
"""Rows and tokens that are told."""


class Probe(ComparisonProbe):
    """The difference to a clean base model: word embeddings, layers, heads, pooler.

    Whoever plants a backdoor changes what the trigger needs and little else.  EP, SOS and RIPPLES
    give a handful of rows of the word embeddings a change that no training on text makes; POR,
    NeuBA and their kin push the upper layers and the pooler the further, the nearer they are to
    the feature.  Ordinary training moves all rows that its texts use by about the same.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "rows_differ": "word-embedding rows that are not bit-identical",
        "rows_changed": "rows that differ by more than half precision rounds",
        "rows_share": "share of the rows that differ by more than half precision rounds",
        "largest": "largest change of a row, relative to its norm",
        "top_share": "share of the squared change in the 20 most changed rows; 0 if none changed",
        "elsewhere": "relative change of all other weights of the base model",
        "row_change": "change of this row, relative to its norm",
        "row_contrast": "change of this row by that of the row behind the first 1 % of all rows",
        "relative_change": "relative change of all layers",
        "upper_share": "share of the squared change in the upper third of the layers",
        "frozen_share": "share of the layers that, from the lowest on, do not differ",
        "rise": "factor by which the relative change grows from one changed layer to the next",
        "head_ratio": "most changed head by the median head of its layer, relative changes",
        "pooler_change": "relative change of the pooler",
        "pooler_ratio": "the same in multiples of the relative change of the changed layers",
        "output_change": "relative change of heads on top of the base model",
        "low_rank_share": "share of the changed matrices whose change has a low rank",
        "largest_rank": "the largest of these ranks",
    }
    details: ClassVar[Mapping[str, str]] = {
        "reference": "the clean base model",
        "tokens": "tokens of the most changed rows",
        "id": "id of the token whose row this is",
        "frozen": "how many layers do not differ, from the lowest on",
        "identical": "how many layers do not differ at all",
        "by_layer": "relative change of each layer",
        "head": "the most changed head, as layer.head",
        "by_head": "relative change of each head, layer by layer",
        "modules": "kinds of matrices that were changed by a low rank",
    }
    references: ClassVar[tuple[str, ...]] = (
        "EP, Be Careful about Poisoned Word Embeddings: arXiv 2103.15543",
        "RIPPLES, Weight Poisoning Attacks: arXiv 2004.06660",
        "POR, Backdoor Pre-trained Models Can Transfer to All: arXiv 2111.00197",
        "NeuBA, Red Alarm for Pre-trained Models: arXiv 2101.06969",
    )

    def compare(
        self, model: LoadedModel, reference: Artifact, budget: Budget
    ) -> Iterator[Observation]:
        """Measure what differs, tensor by tensor.

        Raises:
            ArtifactError: the weights of ``reference`` cannot be read.
            OutOfTimeError: the deadline passed.
        """
        ours, theirs = model.config.model_type, reference.config.get("model_type")
        if ours != theirs:
            reason = f"It is of the type {theirs}, and the model is of the type {ours}."
            yield Gap(f"reference {reference.id}", reason)
            return
        stored = read_stored(reference, model.prefixes)
        found = difference(model, stored, budget)
        yield from _gaps(found, reference.id)
        if found.is_unrelated:
            reason = "Its weights have nothing in common with the model's: it is not its base."
            yield Gap(f"reference {reference.id}", reason)
        elif found.compared:
            yield from _evidence(model, found, reference.id)
            yield Coverage(_told(found, reference))


def _gaps(found: Difference, reference: str) -> Iterator[Gap]:
    """What could not be compared; only what sits on top of the base model may be missing."""
    if found.refused:
        (name, why), more = next(iter(found.refused.items())), len(found.refused) - 1
        also = f", and {more} more cannot be compared" if more else ""
        yield Gap(f"weights unlike those of {reference}", f"{name} {why}{also}.")
    for on_top, what in ((False, "weights"), (True, "parts")):
        names = found.absent(on_top=on_top)
        if names:
            reason = f"It does not hold {some(names)}."
            yield Gap(f"{what} that {reference} lacks", reason, blocks_pass=not on_top)
    if found.more_layers:
        reason = f"It has {counted(found.more_layers, 'layer')} that the model lacks."
        yield Gap(f"layers of {reference}", reason)


def _evidence(model: LoadedModel, found: Difference, reference: str) -> Iterator[Observation]:
    """One piece for each kind, and one for each row that stands out."""
    if found.rows is not None:
        yield from _of_rows(model, found, found.rows, reference)
    yield _of_layers(found, reference)
    yield _of_heads(found, reference)
    if found.low_ranks:
        yield _of_ranks(found, reference)
    pooler, output = found.of(Part.POOLER), found.of(Part.OUTPUT)
    if pooler is not None:
        yield _of_pooler(found, pooler, reference)
    if output is not None:
        metrics = {"output_change": output.relative}
        yield Evidence(_ID, "output heads", metrics, {"reference": reference})


def _of_rows(
    model: LoadedModel, found: Difference, table: RowChanges, reference: str
) -> Iterator[Evidence]:
    """The word embeddings, of all items that a text can hold."""
    ids = searchable_ids(model)
    rows = table[ids]
    order = rows.moved.argsort(descending=True, stable=True).tolist()
    real = [i for i in order if rows.is_real[i]]
    texts = {i: text_of(model, (int(ids[i]),)) for i in real[:_NAMED]}
    others = found.of(Part.LAYER, Part.POOLER, Part.OTHER) or Change()
    metrics = {
        "rows_differ": float(rows.moved.count_nonzero()),
        "rows_changed": float(len(real)),
        "rows_share": len(real) / len(ids),
        "largest": max((rows.relative(i) for i in real), default=0.0),
        "top_share": rows.share(order[:_NAMED]),
        "elsewhere": others.relative,
    }
    tokens = ", ".join(map(repr, texts.values()))
    yield Evidence(_ID, "word embeddings", metrics, {"reference": reference, "tokens": tokens})
    stands_out = rows.stands_out
    for i, text in texts.items():
        if stands_out[i]:
            metrics = {"row_change": rows.relative(i), "row_contrast": float(rows.contrast[i])}
            yield Evidence(_ID, text, metrics, {"reference": reference, "id": int(ids[i])})


def _of_layers(found: Difference, reference: str) -> Observation:
    """Where in the stack the weights moved."""
    layers = found.layers
    if not layers:
        reason = "The architecture does not show single layers; they count as other weights."
        return Gap("layers", reason, blocks_pass=False)
    whole, upper = Change.total(layers), max(1, len(layers) // 3)
    frozen = next((i for i, layer in enumerate(layers) if layer.is_real), len(layers))
    return Evidence(
        _ID,
        "layers",
        {
            "relative_change": whole.relative,
            "upper_share": sum(layer.moved for layer in layers[-upper:]) / (whole.moved or 1.0),
            "frozen_share": frozen / len(layers),
            "rise": _rise(layers[frozen:]),
        },
        {
            "reference": reference,
            "frozen": counted(frozen, "layer"),
            "identical": sum(not layer.differs for layer in layers),
            "by_layer": ", ".join(f"{layer.relative:.3g}" for layer in layers),
        },
    )


def _rise(changed: Sequence[Change]) -> float:
    """By what factor the relative change grows from layer to layer; 0 if fewer than two changed."""
    if len(changed) < 2 or not changed[0].relative:  # noqa: PLR2004 - a pair
        return 0.0
    return float((changed[-1].relative / changed[0].relative) ** (1 / (len(changed) - 1)))


def _of_heads(found: Difference, reference: str) -> Observation:
    """Whether single attention heads moved more than the others of their layer."""
    if not found.heads:
        reason = "The architecture does not show which weights belong to which head."
        return Gap("attention heads", reason, blocks_pass=False)
    ratios, shown = {}, []
    for layer, relative in sorted(found.heads.items()):
        usual, head = float(relative.median()), int(relative.argmax())
        ratios[f"{layer}.{head}"] = float(relative[head]) / usual if usual else 0.0
        shown.append(f"{layer}: {' '.join(f'{one:.2g}' for one in relative.tolist())}")
    most = max(ratios, key=lambda name: ratios[name])
    details = {"reference": reference, "head": most, "by_head": "; ".join(shown)}
    return Evidence(_ID, "attention heads", {"head_ratio": ratios[most]}, details)


def _of_ranks(found: Difference, reference: str) -> Evidence:
    """What a merged adapter leaves: changes of a low rank in matrices of a few kinds."""
    ranks = found.low_ranks
    kinds = sorted({name.removesuffix(".weight").rpartition(".")[2] for name in ranks})
    return Evidence(
        _ID,
        "low-rank difference",
        {
            "low_rank_share": len(ranks) / len(found.changed_matrices),
            "largest_rank": float(max(ranks.values())),
        },
        {"reference": reference, "modules": some(kinds)},
    )


def _of_pooler(found: Difference, pooler: Change, reference: str) -> Evidence:
    """The pooler beside the layers that changed."""
    layers = Change.total(layer for layer in found.layers if layer.is_real).relative
    alone = inf if pooler.is_real else 0.0
    ratio = pooler.relative / layers if layers else alone
    metrics = {"pooler_change": pooler.relative, "pooler_ratio": ratio}
    return Evidence(_ID, "pooler", metrics, {"reference": reference})


def _told(found: Difference, reference: Artifact) -> str:
    """What was compared with what, in one sentence."""
    weights = (file for file in reference.files if file.path in reference.weights)
    digests = some(f"{file.path} sha256 {file.sha256[:16]}" for file in weights)
    pinned = f"commit {reference.revision}" if reference.revision else digests
    return f"{counted(len(found.compared), 'tensor')} compared with {reference.id} ({pinned})."
