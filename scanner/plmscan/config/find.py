"""Where the configuration is, and whether it may be believed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from plmscan.config.documents import has_table
from plmscan.config.files import seen_from_here
from plmscan.errors import ConfigError
from plmscan.layout import gguf_models
from plmscan.source.files import holds_weights

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["find_config", "lies_in_a_model"]

_YAML = ("plmscan.yaml", "plmscan.yml")
_TOML = "pyproject.toml"


def find_config(folder: Path) -> Path | None:
    """The configuration in ``folder``, which is not searched further; None if there is none.

    Raises:
        ConfigError: there are two, or a file that seems to be one cannot be read.
    """
    found = list(_configs(folder))
    if len(found) > 1:
        first, second = (seen_from_here(path).as_posix() for path in found[:2])
        msg = f"{first} and {second} both configure plmscan."
        raise ConfigError(msg, "Keep one of them, or name one with --config.")
    return found[0] if found else None


def _configs(folder: Path) -> Iterator[Path]:
    """Every file of ``folder`` that configures plmscan."""
    yield from (folder / name for name in _YAML if (folder / name).is_file())
    pyproject = folder / _TOML
    if pyproject.is_file() and has_table(pyproject):
        yield pyproject


def lies_in_a_model(path: Path, sources: Iterable[str]) -> bool:
    """Whether whoever made a model may have written the file ``path``.

    So it is if the file lies in the folder of one of the models to check, ``sources``, or beside
    the weights of any model.  Such a file must not say how models are checked, nor what is waived,
    unless the user names it.
    """
    homes = {path.absolute().parent, path.resolve().parent}
    homes |= {home.resolve() for home in homes}
    folders = {folder.resolve() for source in sources if (folder := _folder(source)) is not None}
    within = any(home.is_relative_to(folder) for home in homes for folder in folders)
    return within or any(map(_is_model, homes))


def _folder(source: str) -> Path | None:
    """The folder that ``source`` names; None if it names none."""
    try:
        folder = Path(source).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):
        return None


def _is_model(folder: Path) -> bool:
    """Whether ``folder`` holds a config.json and weights, or a GGUF model, which has both."""
    try:
        names = {file.name for file in folder.iterdir()}
        has_config = "config.json" in names or len(gguf_models(names)) == 1
        return has_config and any(map(holds_weights, names))
    except OSError:
        return False
