"""Model types of the library that read text, and what is measured of each.

The list is a record, not a condition: a type that it lacks is tried like any other.  It is written
by ``python -m tests.benchmarks.coverage`` from tiny models that went through whole checks.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ModelType", "read_model_types", "written"]


@dataclass(frozen=True)
class ModelType:
    """What is known of one ``model_type``."""

    name: str
    """As a config has it."""
    reason: str = ""
    """Why it is not measured; empty where it is."""
    kind: str = ""
    """``encoder`` or ``decoder``, by what its tokens see."""
    part: str = ""
    """Part of the model that is measured; empty for all of it."""
    read_at: tuple[str, ...] = ()
    """Where its features are read."""
    heads: tuple[str, ...] = ()
    """Heads that are searched."""
    notes: tuple[str, ...] = ()
    """What else is peculiar about it."""

    @property
    def is_measured(self) -> bool:
        """Whether its models are searched."""
        return not self.reason

    def told(self) -> str:
        """What is measured, or why nothing is, in one line."""
        if self.reason:
            return f"not measured: {self.reason}"
        part = f" ({self.part})" if self.part else ""
        heads = f"; heads: {', '.join(self.heads)}" if self.heads else ""
        notes = "".join(f"; {note}" for note in self.notes)
        return f"{self.kind}{part} at {', '.join(self.read_at)}{heads}{notes}"


def read_model_types() -> tuple[ModelType, ...]:
    """The record that ships with the package, by name."""
    text = resources.files("plmscan").joinpath("model_types.json").read_text(encoding="utf-8")
    return tuple(_read(one) for one in json.loads(text))


def written(types: Iterable[ModelType]) -> str:
    """The record as the package holds it: one type a line."""
    lines = (json.dumps({k: v for k, v in asdict(one).items() if v}) for one in types)
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _read(told: dict[str, Any]) -> ModelType:
    """One type of the record."""
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
    return ModelType(**plain)
