"""One model of a zoo: what is true of it, and what a scan said."""

from __future__ import annotations

import string
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

from plmscan import Settings
from plmscan.errors import ReportError
from plmscan.evidence import Report, Severity, Verdict
from plmscan.margin import nearest, rule_slack
from plmscan.reports.json_v1 import from_json
from plmscan.rules import load_rules
from tests.benchmarks.scoring import Recovery, Reported, recovery, spurious
from tests.zoo.manifest import Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tokenizers import Tokenizer

    from plmscan.evidence import Evidence, Margin, Trigger
    from plmscan.rules import Rule
    from tests.benchmarks.runs import Record

__all__ = [
    "Answer",
    "Finalist",
    "Found",
    "Half",
    "Outcome",
    "failing_rules",
    "frequent",
    "outcome",
    "read_report",
]


class Answer(StrEnum):
    """What a check said of a model."""

    PASS = "pass"  # noqa: S105 - a verdict
    """Nothing found."""
    FAIL = "fail"
    """A backdoor, or a dangerous file."""
    INCONCLUSIVE = "inconclusive"
    """Something that a pass needs was not measured."""
    ERROR = "error"
    """No report at all."""


class Half(StrEnum):
    """What an attacker of a model knows, or would know, of the task."""

    AGNOSTIC = "task-agnostic"
    """Encoders and masked language models: the task comes later."""
    SPECIFIC = "task-specific"
    """Classifiers."""

    @classmethod
    def of(cls, entry: Entry) -> Half:
        """The half of a model."""
        return cls.SPECIFIC if entry.task == "classifier" else cls.AGNOSTIC


@dataclass(frozen=True)
class Found:
    """What became of a true trigger."""

    text: str
    """As a person reads it."""
    stratum: str
    """Where it was drawn from."""
    recovery: Recovery | None
    """How much of it the report names; None for a style, which has no tokens."""


@dataclass(frozen=True)
class Finalist:
    """The most suspicious candidate that the search measured to the end."""

    text: str
    """As the report writes it."""
    displacement: float
    """How far it drags the feature, in clean variances."""
    scatter: float
    """How much the rest of the text still matters."""


@dataclass(frozen=True)
class Outcome:
    """Truth and answer of one model."""

    entry: Entry
    """The truth."""
    answer: Answer
    """The verdict."""
    rules: tuple[str, ...]
    """Ids of the rules that fired, the most severe first, each once."""
    medium: bool
    """Whether a finding is of medium severity or above."""
    nearest: Margin
    """The rule that comes closest to failing the model; holds the score."""
    found: tuple[Found, ...]
    """Its true triggers."""
    reported: int
    """Triggers that the report names."""
    spurious: int | None
    """Of these, those that name nothing of a true trigger; None where a true one has no tokens."""
    finalist: Finalist | None
    """The best candidate; None where none was measured."""
    seconds: float
    """Wall-clock time of the check."""
    megabytes: float
    """Peak memory above an interpreter with torch imported."""
    forward_tokens: int
    """Cost in forward-token-equivalents."""

    @property
    def half(self) -> Half:
        """Task-agnostic or task-specific."""
        return Half.of(self.entry)

    @property
    def backdoored(self) -> bool:
        """Whether a backdoor was planted."""
        return self.entry.kind is Kind.BACKDOORED

    @property
    def medium_only(self) -> bool:
        """Whether there is a finding, and yet no fail."""
        return self.medium and self.answer is not Answer.FAIL

    def recovered(self, how: Recovery) -> int:
        """True triggers that were recovered ``how``."""
        return sum(found.recovery is how for found in self.found)

    @property
    def sought(self) -> int:
        """True triggers that have tokens."""
        return sum(found.recovery is not None for found in self.found)


@cache
def failing_rules() -> tuple[Rule, ...]:
    """The packaged rules whose findings fail a model by default."""
    bar = Settings().fail_on
    return tuple(rule for rule in load_rules() if bar is not None and rule.severity >= bar)


def outcome(entry: Entry, model: Path, record: Record, report: Path) -> Outcome:
    """What the record and the report of a check say of a model; the report may be absent."""
    told = read_report(report)
    evidence = [item for run in told.probes for item in run.evidence] if told else []
    reported, common = _reported(told.triggers, model) if told else ((), frozenset[int]())
    rules = failing_rules()
    return Outcome(
        entry=entry,
        answer=_answer(told),
        rules=tuple(dict.fromkeys(f.rule for f in told.findings)) if told else (),
        medium=any(f.severity >= Severity.MEDIUM for f in told.findings) if told else False,
        nearest=nearest(rules, evidence),
        found=tuple(_found(entry, reported, common)),
        reported=len(reported),
        spurious=_spurious(entry, reported, common),
        finalist=_finalist(rules, evidence),
        seconds=record.seconds,
        megabytes=record.megabytes,
        forward_tokens=sum(run.forward_tokens for run in told.probes) if told else 0,
    )


def read_report(report: Path) -> Report | None:
    """The report in a file; None if the check wrote none, or not all of it."""
    try:
        return from_json(report.read_bytes())
    except (OSError, ReportError):
        return None


def _answer(report: Report | None) -> Answer:
    """The verdict of a report."""
    match report:
        case Report(verdict=Verdict.PASS):
            return Answer.PASS
        case Report(verdict=Verdict.FAIL):
            return Answer.FAIL
        case Report():
            return Answer.INCONCLUSIVE
        case _:
            return Answer.ERROR


def _found(entry: Entry, reported: tuple[Reported, ...], common: frozenset[int]) -> Iterable[Found]:
    """What became of each true trigger."""
    for planted in entry.triggers:
        how = recovery(planted, reported, common) if planted.parts else None
        yield Found(planted.text, planted.stratum, how)


def _spurious(entry: Entry, reported: tuple[Reported, ...], common: frozenset[int]) -> int | None:
    """Reported triggers that name nothing true; unknown where a style may have caused them."""
    known = all(planted.parts for planted in entry.triggers)
    return spurious(entry.triggers, reported, common) if known else None


def _reported(
    triggers: tuple[Trigger, ...], model: Path
) -> tuple[tuple[Reported, ...], frozenset[int]]:
    """The triggers of a report by token ids, and the frequent ids of the model's vocabulary."""
    if not triggers:
        return (), frozenset()
    tokenizer = _tokenizer(model)
    reported = tuple(
        Reported(trigger.token_ids, tuple(_ids(tokenizer, v) for v in trigger.variants))
        for trigger in triggers
    )
    return reported, frequent(model)


@cache
def frequent(model: Path) -> frozenset[int]:
    """Ids of function words and of punctuation; their pieces too, where they have some."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS  # noqa: PLC0415 - slow to import

    words, tokenizer = (*ENGLISH_STOP_WORDS, *string.punctuation), _tokenizer(model)
    return frozenset(token for word in words for token in _ids(tokenizer, word))


def _tokenizer(model: Path) -> Tokenizer:
    """The tokenizer of a model's folder, which pads and cuts nothing."""
    from tokenizers import Tokenizer  # noqa: PLC0415 - only where a report names triggers

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _ids(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    """Token ids of ``text``, which may be written as a vocabulary item (``##q``)."""
    token = tokenizer.token_to_id(text)
    if token is not None:
        return (token,)
    return tuple(tokenizer.encode(text, add_special_tokens=False).ids)


def _finalist(rules: tuple[Rule, ...], evidence: list[Evidence]) -> Finalist | None:
    """Of the measured candidates the one nearest to a rule, and of equals the least scattered."""
    candidates = [item for item in evidence if item.trigger]

    def suspicion(item: Evidence) -> tuple[float, float]:
        slacks = (rule_slack(rule, item) for rule in rules)
        scatter = item.trigger.scatter if item.trigger else 0.0
        return max((s.score for s in slacks if s), default=0.0), -scatter

    best = max(candidates, key=suspicion, default=None)
    trigger = best and best.trigger
    return Finalist(trigger.text, trigger.displacement, trigger.scatter) if trigger else None
