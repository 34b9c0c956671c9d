"""What a fleet knows about one model: its entry, as a document and as a line of the index."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plmscan.evidence import Report
from plmscan.reports import json_v1
from plmscan.source.files import holds_weights
from plmscan.survey import Entry, Refusal, Survey

if TYPE_CHECKING:
    from plmscan.fleet.questions import Question

__all__ = ["Answer", "answer", "read_answer", "renamed"]


@dataclass(frozen=True)
class Answer:
    """The verdict on one model, as the index tells it."""

    model: str
    """What reports call the model."""
    revision: str | None
    """Commit of a Hub model."""
    digest: str | None
    """SHA-256 over the digests of its weight files; None without a report."""
    rules: str
    """Ids of the rules that fired and count, each once, the worst first, with commas."""
    verdict: str
    """``pass``, ``fail`` or ``inconclusive``."""
    reason: str
    """The first reason of the verdict."""
    nearest: str
    """Rule and subject that come nearest to failing it, or fail it most clearly."""
    margin: float | None
    """Natural log of how far that is inside the bound, from -10 to 10; below 0 outside."""


def answer(entry: Entry) -> tuple[Answer, str]:
    """What the index says of ``entry``, and the document that holds all of it."""
    return _line(entry), json_v1.render(Survey((entry,)))


def read_answer(text: str | bytes) -> tuple[Answer, Entry]:
    """What `answer` wrote.

    Raises:
        ReportError: ``text`` is no document of one model.
    """
    (entry,) = json_v1.survey_from_json(text).entries
    return _line(entry), entry


def renamed(entry: Entry, question: Question, revision: str | None) -> Entry:
    """The answer to ``question``, whose model has the same files as that of ``entry``.

    The report does not say where it was measured, for it would be the same.
    """
    outcome = entry.outcome
    if not isinstance(outcome, Report):
        return Entry(replace(outcome, model=_model(question)), question.place)
    model = replace(outcome.model, id=_model(question), revision=revision)
    settings = {**outcome.settings, "revision": question.settings.revision}
    return Entry(replace(outcome, model=model, settings=settings), question.place)


def _model(question: Question) -> str:
    """What reports call the model."""
    revision = question.settings.revision
    return question.name.removesuffix(f"@{revision}") if revision else question.name


def _line(entry: Entry) -> Answer:
    """What the index says of ``entry``."""
    verdict = entry.verdict.name.lower()
    outcome = entry.outcome
    if isinstance(outcome, Refusal):
        return Answer(entry.model, None, None, "", verdict, entry.reason, "", None)
    fired = dict.fromkeys(f.rule for f in outcome.findings if f.waived is None)
    near = outcome.nearest
    return Answer(
        model=entry.model,
        revision=outcome.model.revision,
        digest=_digest(outcome),
        rules=",".join(fired),
        verdict=verdict,
        reason=entry.reason,
        nearest="" if near is None else f"{near.rule} {near.subject}",
        margin=None if near is None else near.score,
    )


def _digest(report: Report) -> str:
    """SHA-256 over the digests of the weight files, by their order."""
    weights = (f"{f.path} {f.sha256}" for f in report.model.files if holds_weights(f.path))
    return hashlib.sha256("\n".join(weights).encode("utf-8", "surrogateescape")).hexdigest()
