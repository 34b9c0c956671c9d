"""Which models a run is about, each with the settings that hold for it.

What the command line says wins over a model's own entry in the configuration, that over the top of
the configuration, and that over the defaults of `Settings`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plmscan.cli.terminal.stderr import say
from plmscan.config import (
    find_config,
    lies_in_a_model,
    overlaid,
    read_baseline,
    read_config,
    read_lock,
)
from plmscan.config.lock import LOCK_NAME, pinned, signer_from_here
from plmscan.errors import PlmscanError
from plmscan.plain_text import NotTextError, decoded
from plmscan.scan import Settings
from plmscan.source import Pinned, name_of
from plmscan.survey import Place
from plmscan.waivers import Waivers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from plmscan.config import Config, ConfiguredModel, Lock, LockedModel
    from plmscan.waivers import Known

__all__ = ["Asked", "Job", "Plan", "Target", "plan", "targets"]


@dataclass(frozen=True)
class Asked:
    """What the command line says."""

    models: tuple[str, ...] = ()
    """Models that are named."""
    models_file: Path | None = None
    """File that lists models, one a line."""
    config: Path | None = None
    """Configuration that is named; None to look for one."""
    baseline: Path | None = None
    """Known findings; None for those that the configuration names."""
    jobs: int | None = None
    """Models to search at the same time; None for what the configuration says."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Settings that were given, by the names of `Settings`."""


@dataclass(frozen=True)
class Job:
    """One model to scan."""

    source: str
    """Folder or Hub repository, as it was named."""
    settings: Settings
    """How."""
    place: Place | None = None
    """Where the model is declared; None for the command line."""


@dataclass(frozen=True)
class Plan:
    """What a run does."""

    jobs: tuple[Job, ...]
    """The models, each once, in the order in which they were named."""
    at_once: int
    """How many to search at the same time."""


@dataclass(frozen=True)
class Target:
    """A model, and what the configuration says about it."""

    source: str
    """As it was named."""
    place: Place | None = None
    """Where."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Settings of its own."""

    @classmethod
    def configured(cls, model: ConfiguredModel) -> Target:
        """A model that the configuration lists."""
        pinned = {} if model.revision is None else {"revision": model.revision}
        return cls(model.source, model.place, {**model.options, **pinned})


def plan(asked: Asked, today: date) -> Plan:
    """The models of a run, and how many of them to search at the same time.

    Raises:
        PlmscanError: no model is named, or a file that says something about them is broken.
    """
    config, found = targets(asked)
    if asked.options.get("revision") is not None and len(found) > 1:
        msg = "--revision is for one model."
        raise PlmscanError(msg, "Write org/name@revision for each of several.")
    lock = _lock(config, [target.source for target in found])
    known = _known(asked, config)
    waivers = () if config is None else config.waivers
    about = Waivers("", today, waivers, known)
    configured = 1 if config is None else config.jobs
    return Plan(
        tuple(_job(target, asked, lock, about) for target in found), asked.jobs or configured
    )


def targets(asked: Asked) -> tuple[Config | None, tuple[Target, ...]]:
    """The configuration, and the models that are named; those that it lists if none is.

    Raises:
        PlmscanError: there is no model, or the configuration or the list is broken.
    """
    named = [Target(source) for source in asked.models]
    if asked.models_file is not None:
        named += _read_models(asked.models_file)
    config = _configuration(asked.config, [target.source for target in named])
    found = {target.source: _declared(target, config) for target in named}
    listed = () if config is None else tuple(map(Target.configured, config.models))
    if not (found or listed):
        msg = "No model is named."
        remedy = "Name one, as in `plmscan check MODEL`, or list them in plmscan.yaml."
        raise PlmscanError(msg, remedy)
    return config, tuple(found.values()) or listed


def _job(target: Target, asked: Asked, lock: Lock | None, waivers: Waivers) -> Job:
    """One model with its settings, at the commit that is locked."""
    options = overlaid(target.options, asked.options)
    asked_revision = options.pop("revision", None)
    entry = None if lock is None else lock.entry(target.source, asked_revision)
    if lock is not None and entry is None:
        say(f"note: {lock.path} does not lock {target.source}; `plmscan lock` writes it anew.")
    source, revision = pinned(target.source, asked_revision, entry)
    name = name_of(source)
    about = tuple(waiver for waiver in waivers.written if waiver.is_about(name))
    others = tuple(waiver for waiver in waivers.written if waiver not in about)
    own = replace(waivers, model=name, written=about, others=others)
    locked, place = (None, None) if entry is None else (entry.files, entry.place)
    signers = _signers(source, options.pop("signers", ()), lock, entry)
    settings = Settings(
        **options,
        signers=signers,
        revision=revision,
        waivers=own,
        locked=locked,
        pinned=_pinned(lock, options),
    )
    return Job(source, settings, target.place or place)


def _signers(
    source: str, named: tuple[str, ...], lock: Lock | None, entry: LockedModel | None
) -> tuple[str, ...]:
    """Who may have signed the model: whoever is ``named``, else whoever the lock file names."""
    if lock is None or entry is None or not entry.signers:
        return named
    if named and set(map(signer_from_here, named)) != set(entry.signers):
        say(
            f"note: {lock.path} names other signers of {source}; those that are named here count. "
            "`plmscan lock` writes it anew."
        )
    return named or entry.signers


def _pinned(lock: Lock | None, options: Mapping[str, Any]) -> dict[str, Pinned]:
    """What the lock file holds of models that this one may be put together with, by name.

    An adapter names its base itself, so all of the Hub are among them.
    """
    if lock is None:
        return {}
    named = (options.get("base"), *options.get("adapter", ()))
    typed = {source: entry for source in named if source and (entry := lock.entry(source))}
    found = {**lock.models, **typed}
    return {name: Pinned(one.revision, one.files) for name, one in found.items()}


def _configuration(named: Path | None, sources: Sequence[str]) -> Config | None:
    """The configuration that is ``named``, or the one of the working folder; None without any.

    One that was merely found is not used if it lies in a model that is to be checked: whoever made
    the model may have written it.
    """
    if named is not None:
        return read_config(named)
    path = find_config(Path())
    return None if path is None or _is_foreign(path, sources) else read_config(path)


def _is_foreign(path: Path, sources: Sequence[str]) -> bool:
    """Whether a file that was merely found comes with a model; if so it is said."""
    if not lies_in_a_model(path, sources):
        return False
    say(
        f"note: {path} lies in the folder of the model and is not used: whoever made the model may "
        "have written it. Name it with --config if it is yours."
    )
    return True


def _declared(target: Target, config: Config | None) -> Target:
    """A model that was named, with what the configuration says about it."""
    place = target.place or _pipeline(target.source)
    if config is None:
        return replace(target, place=place)
    if (model := config.model(target.source)) is not None:
        return Target.configured(model)
    return replace(target, place=place, options=config.options)


def _read_models(path: Path) -> list[Target]:
    """The models of a list: one a line; what follows a # is a comment."""
    try:
        lines = decoded(path.read_bytes()).splitlines()
    except (OSError, NotTextError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        msg = f"The list of models {path} cannot be read: {reason}."
        raise PlmscanError(msg, "Give a UTF-8 file with a model on each line.") from error
    named = ((number, line.partition("#")[0].strip()) for number, line in enumerate(lines, start=1))
    found = [Target(source, Place(path.as_posix(), number)) for number, source in named if source]
    if not found:
        msg = f"The list of models {path} is empty."
        raise PlmscanError(msg, "Write a model on each line.")
    return found


def _pipeline(source: str) -> Place | None:
    """The workflow that asks about a Hub model, where GitHub says which it is.

    Code scanning shows an alert only beside a file of the repository.
    """
    repository = os.environ.get("GITHUB_REPOSITORY", "")
    file, _, ref = os.environ.get("GITHUB_WORKFLOW_REF", "").partition("@")
    ours = bool(repository and ref) and file.startswith(f"{repository}/")
    if not ours or Path(source).is_dir():
        return None
    return Place(file.removeprefix(f"{repository}/"), 1)


def _known(asked: Asked, config: Config | None) -> Known | None:
    """The known findings; None without a baseline."""
    path = asked.baseline or (None if config is None else config.baseline)
    return None if path is None else read_baseline(path)


def _lock(config: Config | None, sources: Sequence[str]) -> Lock | None:
    """The lock file beside the configuration, or in the working folder; None without one."""
    path = Path(LOCK_NAME) if config is None else config.lock
    if not path.exists() or (config is None and _is_foreign(path, sources)):
        return None
    return read_lock(path)
