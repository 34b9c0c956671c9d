"""The files of a purified model: those of the original with other weights."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from plmscan.errors import PlmscanError, UnsupportedModelError
from plmscan.source.files import holds_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from plmscan.loading import LoadedModel
    from plmscan.source import Artifact

__all__ = ["PROVENANCE", "require_new", "write_model", "write_provenance"]

PROVENANCE = "plmscan-purified.json"
"""The file that says what was done to the model."""


def require_new(folder: Path, artifact: Artifact) -> None:
    """Find out before a long run whether the result may go to ``folder``.

    Raises:
        PlmscanError: there is something already, or it lies in the model itself.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        msg = f"{folder} exists and is not an empty folder."
        raise PlmscanError(msg, "Choose a new folder with --output; nothing is ever overwritten.")
    if folder.resolve().is_relative_to(artifact.root.resolve()):
        msg = f"{folder} lies inside the model."
        raise PlmscanError(msg, "Choose a folder outside of it with --output.")
    if not all(name.endswith(".safetensors") for name in artifact.weights):
        msg = "The model's weights are no safetensors, and only these are written."
        raise UnsupportedModelError(msg, "Save it as safetensors first.")


def write_model(
    folder: Path, artifact: Artifact, before: LoadedModel, after: LoadedModel
) -> tuple[str, ...]:
    """Write the model's files to ``folder`` with the weights of ``after``; the changed tensors.

    A weight is found in the files by the end of its name and by its value in ``before``, so that
    whatever a file calls it, exactly the tensor that was loaded from it is replaced.

    Raises:
        UnsupportedModelError: a changed weight is in no file as it is in the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    changed = _changed(before, after)
    written: set[str] = set()
    names: list[str] = []
    for file in artifact.files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.path in artifact.weights:
            found = _rewritten(artifact.path(file.path), target, changed)
            written |= found.keys()
            names += [name for at in found.values() for name in at]
        elif not holds_weights(file.path):
            # Other weights, such as a pickle beside them, still hold what was purified away.
            shutil.copyfile(artifact.path(file.path), target)
    lost = sorted(changed.keys() - written)
    if lost:
        msg = f"The weight {lost[0]} is not in the files as the model holds it."
        raise UnsupportedModelError(msg, "It cannot be written back; save the model anew first.")
    return tuple(sorted(names))


def write_provenance(folder: Path, told: Mapping[str, Any]) -> None:
    """Say in a file of ``folder`` what was done."""
    text = json.dumps(told, indent=2, allow_nan=False) + "\n"
    (folder / PROVENANCE).write_text(text, encoding="utf-8")


def _changed(before: LoadedModel, after: LoadedModel) -> dict[str, tuple[Tensor, Tensor]]:
    """Old and new value of every weight that changed, by the module's name for it."""
    new = dict(after.module.named_parameters())
    return {
        name: (old.detach(), new[name].detach())
        for name, old in before.module.named_parameters()
        if not torch.equal(old, new[name])
    }


def _rewritten(
    source: Path, target: Path, changed: Mapping[str, tuple[Tensor, Tensor]]
) -> dict[str, list[str]]:
    """Copy a weight file with new values; the file's names of each changed weight."""
    found: dict[str, list[str]] = {}
    with safe_open(source, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    for name, tensor in tensors.items():
        for own, (old, new) in changed.items():
            if f".{name}".endswith(f".{own}") and _is_same(tensor, old):
                tensors[name] = new.to(tensor.dtype).cpu().contiguous()
                found.setdefault(own, []).append(name)
                break
    save_file(tensors, target, metadata)
    return found


def _is_same(stored: Tensor, loaded: Tensor) -> bool:
    """Whether the file's tensor is what the model was loaded with."""
    return stored.shape == loaded.shape and torch.equal(stored.to(loaded.dtype), loaded.cpu())
