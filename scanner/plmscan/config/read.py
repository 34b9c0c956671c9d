"""The configuration as plmscan uses it: checked, with its paths as seen from here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from plmscan.config.complaints import nearest, refuse_first
from plmscan.config.documents import read_document
from plmscan.config.files import seen_from_here
from plmscan.config.names import key_of
from plmscan.config.schema import ConfigTable, ModelTable
from plmscan.errors import SourceError
from plmscan.evidence import Severity
from plmscan.source import is_address, is_folder, looks_like_path, split_revision
from plmscan.source.signers import with_files
from plmscan.waivers import Waiver

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from plmscan.config.documents import Document
    from plmscan.config.lines import Keys
    from plmscan.config.schema import SettingsTable, WaiverTable
    from plmscan.survey import Place

__all__ = ["Config", "ConfiguredModel", "overlaid", "read_config"]

_NO_SETTINGS = frozenset(
    {"id", "revision", "models", "waivers", "ignore", "lock", "baseline", "jobs"}
)
"""Keys that `Settings` does not have, or not from a configuration."""
_RIVALS = {"texts": "language", "language": "texts"}
"""Settings that leave nothing for each other to say."""
_KINDS: Mapping[str, tuple[Callable[[Path], bool], str]] = {
    "texts": (Path.is_file, "file"),
    "rules": (Path.is_dir, "folder"),
    "signers": (Path.is_file, "file"),
    "baseline": (Path.is_file, "file"),
}
"""What has to be there when a configuration names it."""


@dataclass(frozen=True)
class ConfiguredModel:
    """A model that the configuration lists."""

    source: str
    """A folder as seen from here, or ``org/name``: what a report calls the model."""
    revision: str | None
    """What is asked for of a Hub model; None for its default branch, and for a folder."""
    place: Place
    """Where it is listed."""
    options: Mapping[str, object]
    """Its settings, by the names of `plmscan.scan.settings.Settings`: only those that are given."""
    key: str
    """Its name seen from the folder of the configuration, however it is typed."""


@dataclass(frozen=True)
class Config:
    """What a team has written down about its checks."""

    path: Path
    """The file."""
    models: tuple[ConfiguredModel, ...]
    """The models to check, in the order of the file."""
    options: Mapping[str, object]
    """Settings of every model: those that are given at the top."""
    waivers: tuple[Waiver, ...]
    """Findings that count for nothing until a day; their models are named as in reports."""
    baseline: Path | None
    """File of known findings, which is there; None without one."""
    lock: Path
    """File of commits and digests, which need not be there."""
    jobs: int = 1
    """Models to search at the same time."""

    def model(self, source: str, revision: str | None = None) -> ConfiguredModel | None:
        """The entry of the model that the command line calls ``source``; None if there is none.

        Without a revision this is the only entry of that name.

        Raises:
            SourceError: ``source`` and ``revision`` contradict each other.
        """
        key = key_of(source, revision, self.path.parent)
        named = [model for model in self.models if model.key == key]
        found = named or [model for model in self.models if model.source == key]
        return found[0] if len(found) == 1 else None


def read_config(path: Path) -> Config:
    """The configuration in the file ``path``.

    Raises:
        ConfigError: it cannot be read, breaks the format, or names what is not there.
    """
    document = read_document(path)
    try:
        table = ConfigTable.model_validate(document.data)
    except ValidationError as error:
        refuse_first(document, error)
    options = _options(document, (), table)
    models = tuple(_model(document, n, entry, options) for n, entry in enumerate(table.models))
    _refuse_twins(document, models)
    baseline = None if table.baseline is None else _path(document, ("baseline",), table.baseline)
    return Config(
        path=path,
        models=models,
        options=options,
        waivers=tuple(
            _waiver(document, (name, n), entry, models)
            for name, entries in (("waivers", table.waivers), ("ignore", table.ignore))
            for n, entry in enumerate(entries)
        ),
        baseline=baseline,
        lock=_path(document, ("lock",), table.lock),
        jobs=table.jobs,
    )


def _options(document: Document, keys: Keys, table: SettingsTable) -> dict[str, object]:
    """The settings that ``table`` at ``keys`` gives, of the types of `Settings`."""
    given = sorted(table.model_fields_set - _NO_SETTINGS)
    return {name: _setting(document, keys, table, name) for name in given}


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """The settings ``below`` with those ``above`` in the place of the same ones.

    A file of texts and a language of the bundled ones take each other's place.
    """
    gone = {_RIVALS[name] for name in above if name in _RIVALS}
    return {**{name: value for name, value in below.items() if name not in gone}, **above}


def _setting(document: Document, keys: Keys, table: SettingsTable, name: str) -> object:
    """One setting: words for severities and paths become what they stand for."""
    value = getattr(table, name)
    if name == "fail_on":
        return None if value == "none" else Severity[value.upper()]
    if name in ("texts", "rules", "cache_dir"):
        return _path(document, (*keys, name.replace("_", "-")), value)
    if name in ("reference", "base"):
        return _other(document, (*keys, name), value)
    if name == "adapter":
        return tuple(_other(document, (*keys, name), one) for one in value)
    if name == "signers":
        here = (*keys, name)
        return tuple(
            with_files(one, lambda file: str(_path(document, here, file))) for one in value
        )
    return float(value) if name == "time_limit" else value


def _other(document: Document, keys: Keys, typed: str) -> str:
    """Another model that ``typed`` at ``keys`` means, as it would be typed here."""
    source, revision = _source(document, keys, typed)
    return source if revision is None else f"{source}@{revision}"


def _path(document: Document, keys: Keys, written: str) -> Path:
    """The path that stands at ``keys``, as seen from here.

    Raises:
        ConfigError: it has to be there, and is not.
    """
    path = seen_from_here(_beside(document, keys, written))
    there, kind = _KINDS.get(str(keys[-1]), (Path.exists, ""))
    if kind and not there(path):
        problem = f"{keys[-1]} names {path.as_posix()}, and there is no such {kind}."
        remedy = "Paths are seen from the folder of the configuration."
        if keys[-1] == "baseline":
            remedy += " A baseline is written by `plmscan baseline`."
        document.refuse(keys, problem, remedy)
    return path


def _beside(document: Document, keys: Keys, written: str) -> Path:
    """The path ``written`` in the configuration."""
    try:
        return document.folder / Path(written).expanduser()
    except RuntimeError:
        document.refuse(keys, f"{written} cannot be a path.", "Nobody here has that name.")


def _model(
    document: Document, position: int, entry: ModelTable, top: Mapping[str, object]
) -> ConfiguredModel:
    """One entry of ``models``."""
    keys: Keys = ("models", position)
    # an entry that is only a name has no key `id`
    source, revision = _source(document, (*keys, "id"), entry.id, entry.revision)
    return ConfiguredModel(
        source=source,
        revision=revision,
        place=document.place((*keys, "id")),
        options=overlaid(top, _options(document, keys, entry)),
        key=key_of(source, revision, document.folder),
    )


def _source(
    document: Document, keys: Keys, typed: str, revision: str | None = None
) -> tuple[str, str | None]:
    """What ``typed`` at ``keys`` means, as it would be typed here without its revision.

    Raises:
        ConfigError: it contradicts itself, or would mean something else here.
    """
    if is_address(typed):
        if revision is not None:
            document.refuse(keys, f"{typed} is an address, and an address has no revision.")
        return typed, None
    folder = _beside(document, keys, typed)
    path = seen_from_here(folder).as_posix()
    if looks_like_path(typed):
        if revision is not None:
            document.refuse(keys, f"{typed} is a folder, and a folder has no revision.")
        return (path if looks_like_path(path) else f"./{path}"), None
    if folder.is_dir():
        return _source(document, keys, f"./{typed}", revision) if revision else (path, None)
    if is_folder(typed):
        problem = f"{typed} is no folder beside the configuration, and there is one here."
        document.refuse(keys, problem, "Write ./ or ../ before the name of a folder.")
    try:
        return split_revision(typed, revision)
    except SourceError as error:
        document.refuse(keys, error.problem.replace("--revision", "revision"), error.remedy)


def _refuse_twins(document: Document, models: tuple[ConfiguredModel, ...]) -> None:
    """Refuse a model that stands twice: its settings would depend on the order.

    Raises:
        ConfigError: there is one.
    """
    first: dict[str, Place] = {}
    for position, model in enumerate(models):
        if model.key in first:
            problem = f"{model.key} stands twice; first on line {first[model.key].line}."
            document.refuse(("models", position, "id"), problem, "Keep one of them.")
        first[model.key] = model.place


def _waiver(
    document: Document, keys: Keys, entry: WaiverTable, models: tuple[ConfiguredModel, ...]
) -> Waiver:
    """The entry of ``waivers`` at ``keys``."""
    return Waiver(
        rule=entry.rule,
        reason=entry.reason,
        expires=entry.expires,
        place=str(document.place(keys)),
        model=entry.model and _waived(document, (*keys, "model"), entry.model, models),
        subject=entry.subject,
    )


def _waived(document: Document, keys: Keys, typed: str, models: tuple[ConfiguredModel, ...]) -> str:
    """What reports call the model that a waiver is about.

    Raises:
        ConfigError: it is none of ``models``, or only one of several revisions.
    """
    source, revision = _source(document, keys, typed)
    key = key_of(source, None, document.folder)
    named = [model for model in models if key in (model.key, model.source)]
    revisions = [model.revision for model in named]
    if (models and not named) or (revision is not None and revision not in revisions):
        known = dict.fromkeys(model.source for model in models)
        problem = f"models does not list {typed}."
        document.refuse(keys, problem, nearest(typed, known, "It lists") if known else "")
    if revision is not None and len(revisions) > 1:
        problem = f"{typed} is one of several revisions, and a waiver is about all of them."
        document.refuse(keys, problem, f"Write {source}.")
    return named[0].source if named else source
