"""Is a report about this model?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from plmscan.errors import ReportError
from plmscan.vocabularies import VOCABULARY_FILES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plmscan.evidence import FileDigest, Report
    from plmscan.source import Artifact

    _Digests = Mapping[tuple[str, str], str]
    """SHA-256 by part, which is empty for the model itself, and path."""

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
    ours = _digests(artifact, artifact.base, artifact.adapters)
    known = [(one, _digests(one.model, one.model.base, one.model.adapters)) for one in reports]
    for report, theirs in known:
        if theirs == ours:
            return Match(report, "")
    for report, theirs in known:
        if _tokenizer(ours) and _tokenizer(ours) == _tokenizer(theirs):
            return Match(report, _difference(report, ours, theirs))
    msg = f"The report is not about {artifact.id}: the files of the tokenizer differ."
    raise ReportError(msg, "Write one of this model with `plmscan check --format json`.")


class _Part(Protocol):
    """A model, its base, or an adapter on it."""

    @property
    def files(self) -> tuple[FileDigest, ...]:
        """What it consists of."""


def _digests(model: _Part, base: _Part | None, adapters: Sequence[_Part]) -> _Digests:
    """Those of a model, of what it is put on, and of what is put on it."""
    below = [] if base is None else [("the base", base)]
    on_top = [(f"adapter {number}", part) for number, part in enumerate(adapters, 1)]
    parts = [("", model), *below, *on_top]
    return {(name, file.path): file.sha256 for name, part in parts for file in part.files}


def _tokenizer(digests: _Digests) -> dict[tuple[str, str], str]:
    """The files among them that decide which text becomes which ids."""
    return {place: digest for place, digest in digests.items() if place[1] in _TOKENIZER}


def _difference(report: Report, ours: _Digests, theirs: _Digests) -> str:
    """Which files differ, in a sentence."""
    places = sorted(p for p in {*ours, *theirs} if ours.get(p) != theirs.get(p))
    files = [f"{path} of {part}" if part else path for part, path in places]
    return (
        f"The report is about {report.model.id}, which has the same tokenizer and differs in "
        f"{', '.join(files)}. Its triggers may do nothing here, and others may be unknown."
    )
