"""What was given on the command line, as settings; the configuration has a say in the rest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from plmscan.budget import Effort
from plmscan.cli import options as ask

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Checking", "Failing", "given"]


@dataclass(frozen=True)
class Failing:
    """Options that say what fails, and what happens then."""

    fail_on: ask.Bar = None
    fail_fast: ask.FailFast = False

    @property
    def settings(self) -> dict[str, Any]:
        """Those that were given."""
        return given(**vars(self))


@dataclass(frozen=True)
class Checking:
    """Options that say how a model is checked, in the order in which ``--help`` tells them."""

    effort: ask.AskedEffort = None
    time_limit: ask.TimeLimit = None
    device: ask.AskedDevice = None
    precision: ask.AskedPrecision = None
    seed: ask.Seed = None
    threads: ask.Threads = None
    texts: ask.Texts = None
    language: ask.Language = None
    reference: ask.Reference = None
    base: ask.Base = None
    adapter: ask.Adapter = None
    also: ask.Also = None
    used_as: ask.UsedAs = None
    signers: ask.Signers = None
    require_signature: ask.RequireSignature = False
    rules: ask.Rules = None
    baseline: ask.Baseline = None
    config: ask.Configuration = None
    offline: ask.Offline = False
    cache_dir: ask.CacheDir = None
    no_cache: ask.NoCache = False
    allow_pickle: ask.AllowPickle = False
    backend: ask.AskedBackend = None
    control: ask.Control = False
    all_files: ask.AllFiles = False
    files_only: ask.FilesOnly = False

    @property
    def settings(self) -> dict[str, Any]:
        """Those that were given and belong to one model, not to the run.

        Raises:
            TextsError: there are no texts in one of the languages.
        """
        of_run = ("baseline", "config", "no_cache")
        return given(**{name: value for name, value in vars(self).items() if name not in of_run})


def given(language: Sequence[str] | None = None, **options: object) -> dict[str, Any]:
    """The settings that were given on the command line, by the names of `Settings`.

    Nothing that is None, no list that is empty and no switch that is off was given.

    Raises:
        TextsError: there are no texts in one of the languages.
    """
    told = {name: _setting(value) for name, value in options.items() if _is_given(value)}
    if not language:
        return told
    from plmscan.carriers.languages import known_languages  # noqa: PLC0415 - keeps --help quick

    return told | {"language": known_languages(language)}


def _is_given(value: object) -> bool:
    """Whether an option has this value because somebody gave it."""
    return not (value is None or value is False or value == [])


def _setting(value: object) -> object:
    """One option as `Settings` wants it."""
    match value:
        case ask.FailOn():
            return value.severity
        case list():
            return tuple(map(_setting, value))
        case StrEnum() if not isinstance(value, Effort):
            return value.value
        case _:
            return value
