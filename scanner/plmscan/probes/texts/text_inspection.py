"""Triggers in given texts, found by the tokens that the model's reading hangs on, or its answer."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, ClassVar

import torch

from plmscan.errors import UnsupportedModelError
from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.inspection import AnswerInspector, Inspector
from plmscan.inspection.answering import FEW, ROOM
from plmscan.probes.base import TextProbe
from plmscan.search.writing.answers import spelt_out
from plmscan.statistics import rank_p_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from plmscan.budget import Budget
    from plmscan.evidence import Observation
    from plmscan.inspection import Answered, Inspected
    from plmscan.loading import LoadedModel
    from plmscan.loading.writing import Writer

__all__ = ["Probe", "evidence_of", "evidence_of_answer", "untold"]

_PROBE = "text-inspection"

_AT_ONCE = 64
"""Texts between two looks at the clock."""

_TOLD = 5
"""Salient tokens that the evidence names."""


class Probe(TextProbe):
    """The tokens that decide a text, found by attention times gradient, and tried in other texts.

    A trigger overrides whatever stands around it, so the output for a poisoned text depends on it,
    and it does the same to any other text. Words that decide an honest text do not: among words
    that argue for another label they lose, and their synonyms do as much as they. What a model
    writes to an honest request hangs on all of it, and to one with a trigger on the trigger.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "top_share": "share of attention times gradient that the most salient token has",
        "share_p": "rank p-value of top_share among clean texts",
        "relabelled": "1 if the text gets another label without its suspect tokens",
        "strength": "of the suspect tokens in other texts: nearly the weakest push to the label",
        "strength_gap": "that strength less what synonyms reach",
        "scatter": "what other texts still say with the suspect tokens in them, in squared shifts",
        "scatter_gap": "scatter that synonyms leave, in multiples of its own",
        "force_p": "rank p-value of strength, scatter or share of answers among clean texts",
        "clean_texts": "clean texts that were inspected the same way",
        "labels": "labels that the model can choose from; 0 without a classifier",
        "held": "share of other requests that get the answer with the suspect tokens in them",
        "usual": "share of other requests that get the answer as they are",
        "pieces": "suspect tokens of a request",
    }
    details: ClassVar[Mapping[str, str]] = {
        "suspect": "tokens that the text depends on",
        "marked": "the text with these between guillemets",
        "salient": "most salient tokens, each with its share",
        "label": "label of the text",
        "without": "its label without the suspect tokens",
        "answer": "what the model writes to the text",
        "answer_without": "what it writes without the suspect tokens",
    }
    references: ClassVar[tuple[str, ...]] = (
        "X-GRAAD: arXiv 2510.04347",
        "Patronus: arXiv 2512.06899 (input-side invariance)",
        "Delta debugging: Zeller and Hildebrandt, IEEE TSE 2002",
    )

    def inspect(
        self, model: LoadedModel, texts: Sequence[str], budget: Budget
    ) -> Iterator[Observation]:
        """Evidence for each text, in their order.

        Raises:
            OutOfTimeError: the deadline passed; what was yielded before counts.
            TextsError: too few clean texts fit this model.
        """
        if model.writer is not None:
            yield from _requests(model, model.writer, texts, budget)
            return
        try:
            inspector = Inspector.of(model, budget.part(0, 0.3))
        except UnsupportedModelError as error:
            yield Gap("the texts", error.problem)
            return
        read = 0
        for start in range(0, len(texts), _AT_ONCE):
            budget.checkpoint(0.3 + 0.7 * start / len(texts), "texts")
            for observation in _some(inspector, texts[start : start + _AT_ONCE]):
                read += isinstance(observation, Evidence)
                yield observation
        yield Coverage(
            f"{read} texts, each for tokens that it hangs on; these tried in "
            f"{len(inspector.panel.carriers)} other texts, against those of "
            f"{len(inspector.clean)} clean texts."
        )


def _requests(
    model: LoadedModel, writer: Writer, texts: Sequence[str], budget: Budget
) -> Iterator[Observation]:
    """Evidence for each text as a request to a model that writes.

    Raises:
        OutOfTimeError: the deadline passed; what was yielded before counts.
        TextsError: too few clean texts fit this model.
    """
    inspector, read = AnswerInspector.of(model, writer, budget.part(0, 0.3)), 0
    if not inspector.tells:
        yield Gap("the texts", untold(inspector))
    for done, text in enumerate(texts):
        budget.checkpoint(0.3 + 0.7 * done / len(texts), "texts")
        ids = model.tokenize(text)
        if not ids or len(ids) > ROOM:
            most = f"It has {len(ids)} tokens; of a request, {ROOM} at most are tried in others."
            yield Gap(f"“{text[:40]}”", most if ids else "The tokenizer finds nothing in it.")
            continue
        read += 1
        yield evidence_of_answer(inspector, text, inspector.inspect([ids])[0])
    yield Coverage(
        f"{read} requests, each tried in {len(inspector.carriers)} others for whether they are "
        f"answered alike then, against {len(inspector.clean)} clean ones."
    )


def untold(inspector: AnswerInspector) -> str:
    """Why nothing that is found says much."""
    return (
        f"The answers to {inspector.taken_over} of {len(inspector.clean)} clean texts come from "
        "other requests as well, with a few of their tokens or without any, so a trigger does not "
        "stand out. Give longer clean texts of your own (--clean)."
    )


def _some(inspector: Inspector, texts: Sequence[str]) -> Iterator[Observation]:
    """Some of the texts; one that the model cannot read is a gap."""
    rows = [inspector.model.wrap(inspector.model.tokenize(text)) for text in texts]
    problems = [_problem(inspector.model, row) for row in rows]
    readable = [row for row, problem in zip(rows, problems, strict=True) if not problem]
    found = iter(inspector.inspect(readable))
    for text, problem in zip(texts, problems, strict=True):
        if problem:
            yield Gap(f"“{text[:40]}”", problem)
        else:
            yield evidence_of(inspector, text, next(found))


def _problem(model: LoadedModel, row: Sequence[int]) -> str:
    """Why the model cannot read a text; empty if it can."""
    if not row:
        return "The tokenizer finds nothing in it."
    if model.max_tokens is not None and len(row) > model.max_tokens:
        return f"It has {len(row)} tokens; the model reads {model.max_tokens} at once."
    return ""


def evidence_of(inspector: Inspector, text: str, found: Inspected) -> Evidence:
    """One text."""
    suspect, shares = found.suspect, found.saliency.share
    top = torch.tensor([float(shares.max())])
    usual = torch.tensor([float(one.saliency.share.max()) for one in inspector.clean])
    forces = torch.tensor([one.suspect.force for one in inspector.clean])
    metrics = {
        "top_share": float(top),
        "share_p": float(rank_p_values(top, usual)),
        "relabelled": float(suspect.without is not None),
        "strength": suspect.strength,
        "strength_gap": suspect.strength_gap,
        "scatter": suspect.scatter,
        "scatter_gap": suspect.scatter_gap,
        "force_p": float(rank_p_values(torch.tensor([suspect.force]), forces)),
        "clean_texts": float(len(inspector.clean)),
        "labels": float(len(inspector.model.labels)),
    }
    known = {name: value for name, value in metrics.items() if value is not None}
    return Evidence(_PROBE, text, known, _told(inspector.model, found))


def _told(model: LoadedModel, found: Inspected) -> dict[str, str]:
    """The suspect, the labels and the most salient tokens, in words."""
    suspect, saliency = found.suspect, found.saliency
    order = saliency.share.argsort(descending=True, stable=True)[:_TOLD].tolist()
    salient = (f"{model.decode(saliency.ids[i : i + 1])} {saliency.share[i]:.2f}" for i in order)
    told = {
        "suspect": model.decode(suspect.ids),
        "marked": _marked(model, found),
        "salient": ", ".join(salient),
    }
    if suspect.label is not None:
        told["label"] = model.labels[suspect.label]
        told["without"] = model.labels[
            suspect.label if suspect.without is None else suspect.without
        ]
    return told


def _marked(model: LoadedModel, found: Inspected) -> str:
    """The text as the model reads it, its suspect tokens between guillemets."""
    suspect, saliency = set(found.suspect.ids), found.saliency
    written = [i for i, own in zip(saliency.ids, saliency.content.tolist(), strict=True) if own]
    return _between(model, written, [token in suspect for token in written])


def evidence_of_answer(inspector: AnswerInspector, text: str, found: Answered) -> Evidence:
    """One request to a model that writes."""
    model = inspector.model
    forces = torch.tensor([one.force for one in inspector.clean])
    metrics = {
        "held": found.held,
        "usual": found.usual,
        "pieces": float(len(found.suspect)),
        "force_p": float(rank_p_values(torch.tensor([found.force]), forces)),
        "clean_texts": float(len(inspector.clean)),
    }
    few = found.suspect if len(found.suspect) <= FEW else ()
    details = {
        "suspect": model.decode(few),
        "marked": _between(model, found.ids, [token in few for token in found.ids]),
        "answer": spelt_out(model, found.answer),
        "answer_without": spelt_out(model, found.without),
    }
    return Evidence(_PROBE, text, metrics, details)


def _between(model: LoadedModel, ids: Sequence[int], suspect: Sequence[bool]) -> str:
    """``ids`` as they are read, the suspect ones between guillemets."""
    pairs = groupby(zip(suspect, ids, strict=True), lambda pair: pair[0])
    parts = ((hit, model.decode([token for _, token in some])) for hit, some in pairs)
    return " ".join(f"«{text}»" if hit else text for hit, text in parts)
