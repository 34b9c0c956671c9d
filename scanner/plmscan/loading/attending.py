"""Which of its implementations of attention the library uses."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from plmscan.loading.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedModel

__all__ = ["attending_by", "attends_by"]


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
