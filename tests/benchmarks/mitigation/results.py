"""What is kept of each model, and where."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Effect",
    "Effects",
    "Filtered",
    "Kind",
    "Passed",
    "Purified",
    "Results",
    "Version",
    "keep",
    "kept",
]


class Kind(StrEnum):
    """A version of a model."""

    ORIGINAL = "original"
    """As the attacker left it."""
    BASE = "clean base"
    """As it was before the attacker came."""
    PURIFIED = "purified"
    """What ``plmscan purify`` wrote."""
    TUNED = "fine-tuned"
    """Trained on clean texts."""
    PRUNED = "pruned"
    """Without the heads that look at every text alike."""


class _Frozen(BaseModel):
    """A record that refuses unknown keys and changes; a number may be infinite, or none."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Effect(_Frozen):
    """What a planted trigger does to held-out texts."""

    displacement: float
    """Squared shift of the attacked feature, in clean variances."""
    scatter: float
    """Variance of the triggered feature, in squared shifts."""
    success: float
    """Share of texts that the trigger turns."""
    clean_rate: float
    """Share of the same texts that are turned without it, or by random words."""
    target: int | None = None
    """The label to which it leads; None where a masked word is at stake."""

    @property
    def excess(self) -> float:
        """How much more often texts turn with the trigger than without."""
        return self.success - self.clean_rate


class Effects(_Frozen):
    """What is left of a backdoor, and of the model."""

    accuracy: float
    """On held-out clean texts: labels, those of a probe, or masked words."""
    null: float
    """The largest displacement by random words that are inserted like a trigger."""
    null_excess: float
    """How much more often than without it texts turn with a random word, of eight the worst."""
    cosine: float
    """Mean cosine of clean features to those of the original, at the attack's site."""
    triggers: dict[str, Effect]
    """By text."""


class Version(_Frozen):
    """One version of a model."""

    fingerprint: str
    """Of everything that the numbers depend on."""
    effects: Effects
    """What it does."""
    seconds: float
    """To make it; 0 where somebody else did."""
    pruned: int = 0
    """Heads that went."""
    heads: int = 0
    """Heads that there were."""


class Passed(_Frozen):
    """What a classifier says behind a guard, and without one."""

    triggered: int
    """Texts of other labels with a trigger."""
    clean: int
    """Clean texts."""
    success: tuple[float, float]
    """Share of triggered texts that get the target label, without the guard and with it."""
    clean_rate: tuple[float, float]
    """The same of clean texts of other labels."""
    accuracy: tuple[float, float]
    """Share of clean texts that get their own label."""
    caught: float
    """Share of triggered texts that are flagged."""
    flagged: float
    """Share of clean texts that are flagged."""
    seconds: float
    """For each text, by the guard's own clock."""
    reading: float | None = None
    """That the model itself takes for a text; None where texts are inspected."""


class Filtered(_Frozen):
    """A guard in front of one classifier."""

    fingerprint: str
    """Of everything that the numbers depend on."""
    ways: dict[str, Passed]
    """By what the guard looks for; a way without an answer is absent."""


class Purified(_Frozen):
    """One run of ``plmscan purify``."""

    fingerprint: str
    """Of everything that it depends on."""
    exit_code: int
    """0 purified, 1 triggers are left, 2 inconclusive or error; negative for a signal."""
    verdict: str
    """``purified``, ``fail``, ``inconclusive`` or ``error``."""
    seconds: float
    """Wall-clock time of the whole process."""
    megabytes: float
    """Peak resident memory."""
    methods: tuple[str, ...] = ()
    """What was tried, in order; the last one worked.  Empty if nothing was written."""
    forgotten: tuple[str, ...] = ()
    """What the last one was to forget: the report's triggers, and what new scans found beside."""
    tensors: int = 0
    """How many changed."""
    cosine: float | None = None
    """Of clean features, as plmscan tells; None if it does not."""


class Results(_Frozen):
    """All that is measured of one model but the run of purify."""

    versions: dict[Kind, Version] = {}
    """By kind."""
    guard: Filtered | None = None
    """Of a classifier."""


_Record = TypeVar("_Record", bound=BaseModel)


def kept(sort: type[_Record], file: Path) -> _Record | None:
    """What a file holds; None if there is none, or if it is of another time."""
    try:
        return sort.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def keep(record: BaseModel, file: Path) -> None:
    """Write a record, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    unfinished.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    unfinished.replace(file)
