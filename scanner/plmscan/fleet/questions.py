"""What is asked of a fleet: one model, and how to check it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from plmscan.scan.cache import key_of_question
from plmscan.scan.reporting import rules_for, versions
from plmscan.source import is_folder, name_of
from plmscan.source.files import holds_weights

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plmscan.rules import Rule
    from plmscan.scan import Settings
    from plmscan.survey import Place

__all__ = ["Question", "questions"]


@dataclass(frozen=True)
class Question:
    """One model to check."""

    source: str
    """Folder, address or Hub repository, as it was named."""
    settings: Settings
    """How."""
    place: Place | None
    """Where it is declared; None for the command line."""
    key: str
    """What is asked and by which rules it is judged, hashed: another key is another question."""
    size: int = 0
    """Bytes of its weights, as far as that is known before it is fetched; else 0."""

    @cached_property
    def name(self) -> str:
        """What tells it from the other models: as it was named, with the revision that is asked."""
        revision = self.settings.revision
        return name_of(self.source) if revision is None else f"{name_of(self.source)}@{revision}"


def questions(
    asked: Iterable[tuple[str, Settings, Place | None]], sizes: dict[str, int]
) -> tuple[Question, ...]:
    """A question about every model, in the order in which they were named.

    Args:
        asked: source, settings, and where the model is declared.
        sizes: bytes by source of the models of which a query told them.

    Raises:
        RuleError: a rule file breaks the format.
    """
    found, here = versions(), Path.cwd()
    rules: dict[tuple[object, ...], tuple[Rule, ...]] = {}

    def of(source: str, settings: Settings, place: Place | None) -> Question:
        which = (settings.rules, settings.files_only, settings.reference is None)
        if which not in rules:
            rules[which] = rules_for(settings)
        key = key_of_question(source, settings, rules[which], found)
        size = sizes.get(source) or (_size(here / source) if is_folder(source) else 0)
        return Question(source, settings, place, key, size)

    return tuple(of(*one) for one in asked)


def _size(folder: Path) -> int:
    """Bytes of the files of ``folder`` that are named like weights; 0 where nobody can look."""
    try:
        return sum(f.stat().st_size for f in folder.iterdir() if holds_weights(f.name))
    except (OSError, ValueError):
        return 0
