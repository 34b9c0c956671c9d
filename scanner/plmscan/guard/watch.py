"""Texts inspected one after the other, for hours: what was tried once is known."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from plmscan.errors import UnsupportedModelError
from plmscan.inspection import Answered, AnswerInspector, Inspected, Inspector
from plmscan.inspection.answering import ROOM
from plmscan.probes.known_rules import checked_rules
from plmscan.probes.texts.text_inspection import evidence_of, evidence_of_answer, untold

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from plmscan.budget import Budget
    from plmscan.inspection.transplants import Effect, Ids
    from plmscan.loading import LoadedModel
    from plmscan.rules import Rule

__all__ = ["Memory", "Suspicion", "Watch"]

_KNOWN = 4096
"""Suspects that are remembered; what is known of one takes some hundred bytes."""
_SHORT = 128
"""Tokens of texts that share a batch: maps of attention grow with the square."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass
class Memory(Generic[_Key, _Value]):
    """What was measured last; what nobody asked for longest is forgotten first."""

    size: int = _KNOWN
    """How much it holds."""
    known: OrderedDict[_Key, _Value] = field(default_factory=OrderedDict)
    """What was asked for last is at the end."""

    def recall(self, key: _Key) -> _Value | None:
        """What is known of ``key``; None if nothing is."""
        if key not in self.known:
            return None
        self.known.move_to_end(key)
        return self.known[key]

    def keep(self, key: _Key, value: _Value) -> None:
        """Remember ``value``."""
        self.known[key] = value
        self.known.move_to_end(key)
        while len(self.known) > self.size:
            self.known.popitem(last=False)


@dataclass(frozen=True)
class _Remembering(Inspector):
    """An inspector that transplants no tokens twice."""

    effects: Memory[Ids, Effect] = field(default_factory=Memory)
    """What suspects do in other texts."""
    gaps: Memory[tuple[Ids, int | None], tuple[float | None, float | None]] = field(
        default_factory=Memory
    )
    """How far that is from what synonyms do, by suspect and label."""

    def transplanted(self, sets: Sequence[Ids]) -> Mapping[Ids, Effect]:
        """What each of ``sets`` does in other texts, measured once."""
        known = {ids: effect for ids in sets if (effect := self.effects.recall(ids)) is not None}
        new = super().transplanted([ids for ids in sets if ids not in known])
        for ids, effect in new.items():
            self.effects.keep(ids, effect)
        return {**known, **new}

    def supported(self, found: Sequence[Inspected]) -> list[Inspected]:
        """With synonyms tried for the suspects that go beyond all clean texts, once for each."""
        keys = [(one.suspect.ids, one.suspect.label) for one in found]
        known = {key: gap for key in set(keys) if (gap := self.gaps.recall(key)) is not None}
        fresh = [one for one, key in zip(found, keys, strict=True) if key not in known]
        for one in super().supported(fresh):
            suspect = one.suspect
            gap = (suspect.strength_gap, suspect.scatter_gap)
            known[suspect.ids, suspect.label] = gap
            if gap != (None, None):
                self.gaps.keep((suspect.ids, suspect.label), gap)
        return [_beside(one, *known[key]) for one, key in zip(found, keys, strict=True)]


def _beside(found: Inspected, strength: float | None, scatter: float | None) -> Inspected:
    """``found`` with what synonyms of its suspect do."""
    suspect = replace(found.suspect, strength_gap=strength, scatter_gap=scatter)
    return replace(found, suspect=suspect)


@dataclass(frozen=True)
class Suspicion:
    """Tokens that no report names and that decide a text as a trigger does."""

    ids: tuple[int, ...]
    """The tokens, in the order of the text."""
    text: str
    """The same as a person would type them."""
    rule: str
    """Id of the rule that judged them."""
    message: str
    """What the rule says."""


@dataclass(frozen=True)
class Watch:
    """Inspects texts, and lets the rules judge."""

    inspector: Inspector | AnswerInspector
    """Calibrated on clean texts."""
    rules: tuple[Rule, ...]
    """Those of the inspection."""

    @classmethod
    def of(cls, model: LoadedModel, budget: Budget, rules: Path | None = None) -> Watch:
        """Calibrated on the budget's texts; ``rules`` is a folder of further rules.

        Raises:
            RuleError: a rule file breaks the format.
            TextsError: too few of the texts fit this model.
            UnsupportedModelError: the architecture gives no attention maps, or a model that writes
                answers clean texts as if they were triggers.
        """
        judges = tuple(rule for rule in checked_rules(rules) if rule.probe == "text-inspection")
        if model.writer is None:
            return cls(_Remembering.of(model, budget), judges)
        inspector = AnswerInspector.of(model, model.writer, budget)
        if not inspector.tells:
            raise UnsupportedModelError(untold(inspector))
        return cls(inspector, judges)

    def suspicions(
        self, texts: Sequence[str], contents: Sequence[Ids]
    ) -> list[tuple[Suspicion, ...]]:
        """What is suspect in each text, whose ids are ``contents``; of too long ones, the start."""
        rows = [self._row(ids) for ids in contents]
        found: dict[int, Inspected | Answered] = {}
        for part in _batches(rows):
            found |= zip(part, self.inspector.inspect([rows[i] for i in part]), strict=True)
        return [self._judged(text, found[i]) if i in found else () for i, text in enumerate(texts)]

    def unread(self, ids: Ids) -> str:
        """What is left out of a text; empty if nothing is."""
        room = self._room
        if room is None or len(ids) <= room:
            return ""
        return f"Only the first {room} of {len(ids)} tokens were inspected."

    @property
    def _room(self) -> int | None:
        """Tokens of a text that are inspected; None without a limit."""
        return ROOM if isinstance(self.inspector, AnswerInspector) else self.inspector.model.room

    def _row(self, ids: Ids) -> Ids:
        """What the model reads of a text; empty where there is nothing to read."""
        read = ids[: self._room]
        if isinstance(self.inspector, AnswerInspector) or not ids:
            return read
        return self.inspector.model.wrap(read)

    def _judged(self, text: str, found: Inspected | Answered) -> tuple[Suspicion, ...]:
        """What the rules say about one text."""
        match self.inspector, found:
            case AnswerInspector() as answers, Answered():
                evidence, ids = evidence_of_answer(answers, text, found), found.suspect
            case Inspector() as inspector, Inspected():
                evidence, ids = evidence_of(inspector, text, found), found.suspect.ids
            case _:
                return ()
        told = str(evidence.details["suspect"])
        return tuple(
            Suspicion(ids, told, rule.id, rule.finding(evidence).message)
            for rule in self.rules
            if rule.fires(evidence)
        )


def _batches(rows: Sequence[Ids]) -> list[list[int]]:
    """Indices of rows that hold something: short ones together, long ones alone."""
    used = [i for i, row in enumerate(rows) if row]
    short = [i for i in used if len(rows[i]) <= _SHORT]
    return [*([short] if short else []), *([i] for i in used if len(rows[i]) > _SHORT)]
