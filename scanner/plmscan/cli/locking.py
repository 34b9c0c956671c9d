"""Writing the lock file: which commit of each model, and the digest of each of its files."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from plmscan.cli.scanning.plan import targets
from plmscan.cli.terminal.progress import watching
from plmscan.cli.terminal.stderr import say
from plmscan.config import Lock, read_lock, write_lock
from plmscan.config.lock import LOCK_NAME
from plmscan.errors import LockError
from plmscan.reports import Detail
from plmscan.scan import Progress, Settings
from plmscan.source import named_base, resolve_stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plmscan.cli.scanning.plan import Asked, Target
    from plmscan.cli.terminal.progress import Watcher
    from plmscan.source import Artifact

__all__ = ["lock_models"]


def lock_models(
    asked: Asked, output: Path | None, detail: Detail = Detail.NORMAL
) -> tuple[Path, int]:
    """Resolve every model anew and write what it is made of; the file, and how many models.

    Models that are named join those of the lock file; without any, those of the configuration
    replace them.  Signers that it holds stay, unless others are named.  A brief ``detail`` shows no
    progress.

    Raises:
        PlmscanError: a model cannot be found, and then nothing is written.
    """
    config, found = targets(asked)
    path = output or (Path(LOCK_NAME) if config is None else config.lock)
    joins = asked.models and path.exists()
    lock = read_lock(path) if joins else Lock(path, {})
    for target in found:
        settings = Settings(**{**target.options, **asked.options})
        lock = lock.with_models(_resolved(target, settings, detail), settings.signers)
    write_lock(lock.with_signers_of(_readable(path)))
    return path, len(lock.models)


def _readable(path: Path) -> Lock:
    """What the lock file holds; nothing where there is none that can be read, as it is replaced."""
    with suppress(LockError):
        return read_lock(path)
    return Lock(path, {})


def _resolved(
    target: Target, settings: Settings, detail: Detail
) -> Iterator[tuple[str, str | None, Artifact]]:
    """One model as it is now: how it is asked for, in which revision, and what it is.

    Behind it what it is put on, and what is put on it.
    """
    options = settings.source_options
    with watching(detail) as watcher:
        tell = partial(_tell, watcher)
        artifact = resolve_stack(target.source, options, settings.base, settings.adapter, tell)
    found = [(target.source, options.revision, artifact)]
    if artifact.base is not None:
        found.append((settings.base or _named(artifact), None, artifact.base))
    elif artifact.is_adapter:
        say(f"note: {target.source} is locked without its base: {artifact.base_problem}")
    found += [
        (source, None, one) for source, one in zip(settings.adapter, artifact.adapters, strict=True)
    ]
    for source, _, one in found:
        say(f"{source}: {one.revision or 'a folder'}, {len(one.files)} files")
    yield from found


def _named(adapter: Artifact) -> str:
    """The base that an adapter names, as a user would type it."""
    named = named_base(adapter)
    return named if isinstance(named, str) else named.source


def _tell(watcher: Watcher, fraction: float, note: str) -> None:
    """How far a download or the hashing is."""
    watcher.on_progress(Progress("source", fraction, note))
