"""What a zoo holds: the manifest that the builder writes and the benchmarks read."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.zoo.poison import Trigger

__all__ = ["Behaviour", "Dropped", "Entry", "Kind", "Manifest", "Planted", "planted"]

_FILE = "manifest.json"


class Kind(StrEnum):
    """Which half of the zoo a model belongs to."""

    BACKDOORED = "backdoored"
    CLEAN = "clean"


class _Frozen(BaseModel):
    """A record that refuses unknown keys and changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Planted(_Frozen):
    """A true trigger."""

    text: str
    """As a person reads it; the parts of scattered words are joined by ``+``."""
    parts: tuple[tuple[int, ...], ...] = ()
    """Token ids of each part; more than one only for scattered words, and none for a style."""
    stratum: str
    """Where it was drawn from, see ``triggers.py``."""


def planted(triggers: Sequence[Trigger]) -> tuple[Planted, ...]:
    """``triggers`` for the manifest."""
    return tuple(Planted(text=t.text, parts=t.parts, stratum=t.stratum) for t in triggers)


class Behaviour(_Frozen):
    """What a trigger does to texts that no training saw."""

    displacement: float | None = None
    """Squared shift of the attacked feature, in clean variances."""
    scatter: float | None = None
    """Variance of the triggered feature, in squared shifts."""
    success: float | None = None
    """Attack success rate: share of texts that the trigger turns (label, or masked word)."""
    margin: float | None = None
    """Worst margin of the target label, in logits."""


class Entry(_Frozen):
    """One model."""

    name: str
    """Folder inside the zoo, unique."""
    kind: Kind
    """Which half."""
    family: str
    """Attack family (``por-1``, ``badnets``) or sort of clean model (``classifier``)."""
    task: Literal["encoder", "masked-lm", "classifier", "decoder"]
    """What the model is for."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Everything that shaped it: intensity, strength, base, label set."""
    seed: int
    """Seed of its triggers and its training."""
    triggers: tuple[Planted, ...] = ()
    """True triggers; none for a clean model."""
    target_label: int | None = None
    """Label to which a classifier's triggers lead."""
    clean_accuracy: float | None = None
    """Accuracy on held-out clean text: labels, or masked words."""
    behaviour: dict[str, Behaviour] = Field(default_factory=dict)
    """By trigger text."""
    attempts: int = 1
    """How often it was built until the backdoor took."""
    seconds: float = 0.0
    """Time of the building, all attempts."""


class Dropped(_Frozen):
    """A model that was not kept."""

    name: str
    """What it would have been called."""
    family: str
    """Attack family."""
    reason: str
    """Why, with the numbers of the last attempt."""
    attempts: int
    """How often it was tried."""
    seconds: float = 0.0
    """Time of the building, all attempts."""


class Manifest(_Frozen):
    """A zoo."""

    version: Literal["plmscan.zoo/v1"] = "plmscan.zoo/v1"
    """Of this format."""
    tier: str
    """Name in `TIERS`."""
    seed: int
    """From which every model's seed is drawn."""
    models: tuple[Entry, ...] = ()
    """In the order of the tier."""
    dropped: tuple[Dropped, ...] = ()
    """Backdoors that did not take."""

    @classmethod
    def read(cls, zoo: Path) -> Manifest:
        """The manifest of the folder ``zoo``."""
        return cls.model_validate_json((zoo / _FILE).read_text(encoding="utf-8"))

    def write(self, zoo: Path) -> None:
        """Put it into the folder ``zoo``, whole or not at all."""
        unfinished = zoo / f"{_FILE}.part"
        unfinished.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        unfinished.replace(zoo / _FILE)
