"""The models in a tree of folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from plmscan.errors import FleetError
from plmscan.layout import MODULES, NOTES
from plmscan.source.files import holds_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["models_below"]


def models_below(tree: Path) -> list[str]:
    """Every folder at or below ``tree`` that holds weights or ``modules.json``, and none inside it.

    A folder with weights and without a configuration is a model as well, which has to be told.
    Links are not followed.

    Raises:
        FleetError: there is no such folder, or no model in it.
    """
    if not tree.is_dir():
        msg = f"There is no folder {tree}."
        raise FleetError(msg, "Name the folder that holds the models.")
    found = [folder.as_posix() for folder in _walk(tree)]
    if not found:
        msg = f"{tree} holds no models."
        raise FleetError(msg, "Name a folder above some that hold weights.")
    return [one if "/" in one else f"./{one}" for one in found]


def _walk(tree: Path) -> Iterator[Path]:
    """The models, in the order of their paths."""
    for folder, below, files in os.walk(tree):
        if MODULES in files or any(map(holds_weights, files)):
            below.clear()
            yield Path(folder)
        below[:] = sorted(name for name in below if name not in NOTES)
