"""Everything that can go wrong, as sentences for people.

    PlmscanError
    ├── SourceError            the model could not be found or fetched
    │   ├── ModelNotFoundError     no such folder or Hub repository
    │   ├── RevisionNotFoundError  the repository has no such revision
    │   ├── AccessDeniedError      gated, private, or a bad token
    │   └── HubUnreachableError    no network, offline, or half a cache
    │       └── HubBusyError           too many requests, or out of order for a while
    ├── ArtifactError          the files are there, and cannot be used
    ├── UnsupportedModelError  the files are fine; plmscan has no adapter for them
    ├── TextsError             ``--texts`` is missing, empty or too short
    ├── RuleError              a rule file breaks the rule format
    ├── ConfigError            a configuration says what cannot be meant
    ├── LockError              a lock file is broken, or does not say which model is meant
    ├── ReportError            a saved report or a baseline cannot be written or read back
    ├── FleetError             a fleet cannot be run, or what it has found cannot be kept
    ├── OutOfTimeError         the time limit ran out inside a probe
    └── WorkerError            the process that opens the files cannot be started, or ended

The library raises; only the command line prints and exits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "MUST_BE",
    "AccessDeniedError",
    "ArtifactError",
    "ConfigError",
    "FleetError",
    "HubBusyError",
    "HubUnreachableError",
    "LockError",
    "ModelNotFoundError",
    "OutOfTimeError",
    "PlmscanError",
    "ReportError",
    "RevisionNotFoundError",
    "RuleError",
    "SourceError",
    "TextsError",
    "UnsupportedModelError",
    "WorkerError",
    "in_one_line",
]


class PlmscanError(Exception):
    """What went wrong in one sentence, and what to do about it in another."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        """Keep both sentences; ``problem`` is the message."""
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def diagnostics(self) -> str:
        """Both sentences on one line, as the command line prints them."""
        return f"{self.problem} {self.remedy}".strip()


class SourceError(PlmscanError):
    """The model could not be found or fetched."""


class ModelNotFoundError(SourceError):
    """There is no such folder and no such repository."""


class RevisionNotFoundError(SourceError):
    """The repository exists and has no such revision."""


class AccessDeniedError(SourceError):
    """The Hub refuses: the repository is gated or private, or the token is wrong."""


class HubUnreachableError(SourceError):
    """The Hub cannot be asked, and the cache does not hold all files."""


class HubBusyError(HubUnreachableError):
    """The Hub has too many requests to answer, or is out of order, and may be asked again later."""

    def __init__(self, problem: str, remedy: str = "", seconds: float | None = None) -> None:
        """Keep both sentences, and after how many ``seconds`` to ask again, if the Hub says so."""
        super().__init__(problem, remedy)
        self.seconds = seconds


class ArtifactError(PlmscanError):
    """The model's files are broken, incomplete, or not allowed to be loaded."""


class UnsupportedModelError(PlmscanError):
    """No adapter of plmscan knows this model."""


class TextsError(PlmscanError):
    """The carrier texts cannot be used."""


class RuleError(PlmscanError):
    """A rule file breaks the rule format."""


class ConfigError(PlmscanError):
    """A configuration cannot be used; the message begins with its file and line."""


class LockError(PlmscanError):
    """A lock file cannot be used."""


class ReportError(PlmscanError):
    """A saved report or a baseline cannot be written or read back."""


class FleetError(PlmscanError):
    """A fleet cannot be run, or what it has found cannot be kept or read."""


class OutOfTimeError(PlmscanError):
    """The time limit ran out before a probe had finished."""


class WorkerError(PlmscanError):
    """The process that opens a model's files cannot be started, or ended before it was done."""


MUST_BE: Mapping[str, str] = {
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping of keys to values",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "model_type": "must be a mapping of keys to values",
    "string_too_short": "must not be empty",
    "string_type": "must be text",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
}
"""What a complaint of pydantic means, by its type, to somebody who wrote a file by hand."""


def in_one_line(error: BaseException, longest: int | None = None) -> str:
    """What ``error`` of any library says, as a part of a sentence; its type if it says nothing.

    Args:
        error: whose text may have many lines, and be of any length.
        longest: characters after which it is cut off; None for all of it.
    """
    return (" ".join(str(error).split()) or type(error).__name__)[:longest]
