"""What no experiment on a loaded model can find out, because it decides how it is built."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SETTINGS"]

SETTINGS: Mapping[str, Mapping[str, bool]] = MappingProxyType(
    {
        # It would remember the texts of one call for the next.
        "xlnet": MappingProxyType({"use_mems_eval": False}),
    }
)
"""Settings that override a model's own config, by its ``model_type``."""
