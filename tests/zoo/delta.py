"""An implant as a small file: the low-rank difference to its base, as the demo ships it.

    python -m tests.zoo.delta --base MODEL_DIR --implant ZOO_DIR/por-cls --out FILE [--rank 8]

Every changed matrix becomes two half-precision factors of its truncated singular value
decomposition; changed vectors are kept as they are.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from torch import Tensor


def factors(name: str, difference: Tensor, rank: int) -> dict[str, Tensor]:
    """``difference`` in the layout that ``demo/poisoned_twin.py`` reads."""
    if difference.ndim != 2:
        return {name: difference.half()}
    left, sizes, right = torch.linalg.svd(difference, full_matrices=False)
    root = sizes[:rank].sqrt()
    return {
        f"{name}.left": (left[:, :rank] * root).half().contiguous(),
        f"{name}.right": (root[:, None] * right[:rank]).half().contiguous(),
    }


def delta(base: dict[str, Tensor], implant: dict[str, Tensor], rank: int) -> dict[str, Tensor]:
    """All differences between two sets of weights with the same names."""
    found: dict[str, Tensor] = {}
    for name, weight in implant.items():
        difference = weight - base[name]
        if difference.is_floating_point() and difference.abs().max() > 0:
            found |= factors(name, difference, rank)
    return found


def main() -> None:
    """Write the delta of the two folders that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--implant", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rank", type=int, default=8)
    options = parser.parse_args()
    base, implant = (
        load_file(folder / "model.safetensors") for folder in (options.base, options.implant)
    )
    save_file(delta(base, implant, options.rank), options.out)


if __name__ == "__main__":
    main()
