"""Which modules take in what the attention heads of a layer give, found by experiment."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from plmscan.loading.attending import attending_by
from plmscan.loading.passing import looking_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

    from plmscan.loading.bench import Bench

__all__ = ["head_outputs"]

_Taken = list[tuple[str, "Tensor"]]
"""Names of modules, and what went into them, in the order of their calls."""


def head_outputs(bench: Bench, layers: int) -> tuple[int, tuple[str, ...]]:
    """Heads of every one of ``layers``, and the module into which they give, layer by layer.

    0 heads where not every layer gives maps; no modules where not every layer has one.
    """
    taken: _Taken = []
    try:
        with _taking(bench.module, taken), attending_by(bench.module, "eager"), torch.enable_grad():
            outputs = bench.run(bench.long, output_attentions=True)
        maps = tuple(getattr(outputs, "attentions", None) or ())
    except Exception:  # noqa: BLE001 - a model that cannot show its attention raises anything
        return 0, ()
    if not maps or len(maps) != layers or not all(_is_map(one, len(bench.long)) for one in maps):
        return 0, ()
    sinks = [_sink(one, taken) for one in maps]
    return maps[0].shape[1], tuple(sinks) if all(sinks) else ()


def _is_map(one: object, length: int) -> bool:
    """Whether it is (1, heads, n, n)."""
    if not isinstance(one, torch.Tensor):
        return False
    return one.shape == (1, *one.shape[1:2], length, length)


@contextmanager
def _taking(module: PreTrainedModel, taken: _Taken) -> Iterator[None]:
    """Keep what goes into every matrix of ``module``, with its history."""
    matrices = [
        (name, part)
        for name, part in module.named_modules()
        if getattr(getattr(part, "weight", None), "ndim", 0) == 2  # noqa: PLR2004 - a matrix
    ]
    handles = [part.register_forward_pre_hook(_taker(name, taken)) for name, part in matrices]
    try:
        with looking_up(module, lambda found: found.detach().requires_grad_()):
            yield
    finally:
        for handle in handles:
            handle.remove()


def _taker(name: str, taken: _Taken) -> Callable[[object, tuple[Any, ...]], None]:
    """A hook that keeps what goes into the module ``name``."""

    def take(_module: object, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], torch.Tensor) and inputs[0].requires_grad:
            taken.append((name, inputs[0]))

    return take


def _sink(attention: Tensor, taken: Sequence[tuple[str, Tensor]]) -> str:
    """The module into which each head gives its share, apart from the others; empty without.

    What a head gives depends on its own map, and on no other map of its layer.
    """
    heads = attention.shape[1]
    for name, inputs in taken if attention.requires_grad else ():
        if inputs.shape[-1] % heads:
            continue
        shares = inputs.reshape(*inputs.shape[:-1], heads, -1)
        if all(_depends_on(shares[..., head, :], attention) == [head] for head in {0, heads - 1}):
            return name
    return ""


def _depends_on(share: Tensor, attention: Tensor) -> list[int]:
    """Heads of ``attention`` that ``share`` depends on."""
    weights = torch.linspace(1, 2, share.numel(), device=share.device).reshape(share.shape)
    weighed = (share * weights).sum()
    slopes: tuple[Tensor | None, ...] = torch.autograd.grad(
        weighed, attention, retain_graph=True, allow_unused=True
    )
    used = [slope.abs().sum(dim=(0, 2, 3)) for slope in slopes if slope is not None]
    return [int(head) for one in used for head in one.nonzero()]
