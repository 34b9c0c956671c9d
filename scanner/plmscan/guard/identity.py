"""Is a report about this model?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from plmscan.errors import ReportError
from plmscan.vocabularies import VOCABULARY_FILES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plmscan.evidence import FileDigest, Report
    from plmscan.source import Artifact

__all__ = ["Match", "report_about"]

_TOKENIZER = frozenset({*VOCABULARY_FILES, "merges.txt", "added_tokens.json"})
"""Files that say which text becomes which ids."""


@dataclass(frozen=True)
class Match:
    """A report, and whether it is about exactly the model in question."""

    report: Report
    """The one that fits best."""
    doubt: str
    """How the model differs from the one in the report; empty if it does not."""


def report_about(artifact: Artifact, reports: Sequence[Report]) -> Match:
    """The report about ``artifact``, or about a model with the same tokenizer.

    Raises:
        ReportError: there is neither.
    """
    ours = _digests(artifact.files)
    for report in reports:
        if _digests(report.model.files) == ours:
            return Match(report, "")
    for report in reports:
        theirs = _digests(report.model.files)
        if _tokenizer(ours) and _tokenizer(ours) == _tokenizer(theirs):
            return Match(report, _difference(report, ours, theirs))
    msg = f"The report is not about {artifact.id}: the files of the tokenizer differ."
    raise ReportError(msg, "Write one of this model with `plmscan check --format json`.")


def _digests(files: Sequence[FileDigest]) -> dict[str, str]:
    """SHA-256 by path."""
    return {file.path: file.sha256 for file in files}


def _tokenizer(digests: Mapping[str, str]) -> dict[str, str]:
    """The files among them that decide which text becomes which ids."""
    return {path: digest for path, digest in digests.items() if path in _TOKENIZER}


def _difference(report: Report, ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """Which files differ, in a sentence."""
    files = sorted(p for p in {*ours, *theirs} if ours.get(p) != theirs.get(p))
    return (
        f"The report is about {report.model.id}, which has the same tokenizer and differs in "
        f"{', '.join(files)}. Its triggers may do nothing here, and others may be unknown."
    )
