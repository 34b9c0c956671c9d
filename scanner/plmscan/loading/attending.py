"""Which of its implementations of attention the library uses."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from plmscan.loading.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from transformers import PreTrainedModel

__all__ = ["attending_as", "attending_by", "attends_as_usual", "attends_by"]

_USUAL = "sdpa"
"""What the library calls its own kernel."""


def attends_by(module: PreTrainedModel) -> str:
    """What the library calls the implementation that ``module`` uses."""
    name: str = module.config._attn_implementation  # noqa: SLF001 - no public way to ask
    return name


@contextmanager
def attending_by(module: PreTrainedModel, name: str) -> Iterator[None]:
    """Let ``module`` attend by the implementation ``name`` inside."""
    before = attends_by(module)
    with quiet():
        module.set_attn_implementation(name)
    try:
        yield
    finally:
        module.set_attn_implementation(before)


def attends_as_usual(module: PreTrainedModel) -> bool:
    """Whether ``module`` attends by the library's kernel."""
    return attends_by(module) == _USUAL


@contextmanager
def attending_as(
    module: PreTrainedModel, name: str, attention: Callable[..., Any]
) -> Iterator[None]:
    """Let ``module`` attend by ``attention`` inside, with masks as the library's kernel has them.

    The library is to call it ``name``.
    """
    AttentionInterface.register(name, attention)
    AttentionMaskInterface.register(name, sdpa_mask)
    with attending_by(module, name):
        yield
