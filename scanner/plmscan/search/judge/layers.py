"""A diagnostic: in which layer a candidate takes over the classification token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from plmscan.carriers import insert
from plmscan.statistics import moved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel

__all__ = ["layer_scatters"]


def layer_scatters(
    model: LoadedModel, candidates: Sequence[tuple[int, ...]], carriers: Sequence[Carrier]
) -> Tensor:
    """S of the classification token's state after each layer, (k, layers).

    A decoder has no such token; its last one is read.  Judges nothing: a planted trigger takes over
    in the layers that the attack trained, which tells a reviewer where to look.
    """
    clean = _states(model, (), carriers)
    rows = [_states(model, candidate, carriers) for candidate in candidates]
    dirty = torch.stack(rows)
    return torch.stack(
        [moved(dirty[:, :, layer], clean[:, layer]).scatter for layer in range(clean.shape[1])],
        dim=1,
    )


def _states(model: LoadedModel, candidate: tuple[int, ...], carriers: Sequence[Carrier]) -> Tensor:
    """(n, layers, h) of one candidate in every carrier."""
    rows = [model.wrap(insert(carrier, candidate)) for carrier in carriers]
    return model.layers(*model.batch(rows)).float().cpu()
