"""The nouns of a scan: evidence, gaps, triggers, findings, verdict, report.

Standard library only, and frozen: evidence outlives the run that made it.  A probe measures and
yields `Evidence`, `Gap` or `Coverage`; a rule turns evidence into a `Finding`; the policy turns
findings and gaps into a `Verdict`; a `Report` tells.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DIGITS",
    "Confidence",
    "Coverage",
    "Evidence",
    "FileDigest",
    "Finding",
    "Gap",
    "HeadEffect",
    "Margin",
    "ModelIdentity",
    "Observation",
    "ProbeRun",
    "ProbeStatus",
    "Report",
    "Scalar",
    "Severity",
    "Trigger",
    "Verdict",
    "rounded",
]

Scalar = str | int | float | bool | None
"""What a settings or detail value may be; anything else does not survive JSON."""

DIGITS = 6
"""Significant digits that a measurement keeps, so that reports of one machine agree."""


def rounded(value: float) -> float:
    """``value`` to `DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")


class Severity(IntEnum):
    """How bad a finding is if it is true."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class Confidence(IntEnum):
    """How likely a finding is to be true."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


class Verdict(Enum):
    """The answer; the value is the exit code."""

    PASS = 0
    FAIL = 1
    INCONCLUSIVE = 2


class ProbeStatus(StrEnum):
    """How far a probe came."""

    COMPLETED = "completed"
    """It measured all that applies to this model."""
    SKIPPED = "skipped"
    """It does not apply here; a gap says why."""
    INCOMPLETE = "incomplete"
    """It left something unmeasured that a pass needs; a gap says why."""
    FAILED = "failed"
    """It broke."""
    TIMED_OUT = "timed-out"
    """The time limit cut it short."""

    @property
    def blocks_pass(self) -> bool:
        """Whether a model may not pass because of this probe."""
        return self not in (ProbeStatus.COMPLETED, ProbeStatus.SKIPPED)


@dataclass(frozen=True)
class Trigger:
    """An input that drags the model to one output, whatever the rest of the text says."""

    text: str
    """The trigger as a person can type it."""
    token_ids: tuple[int, ...]
    """The ids that were inserted."""
    location: str
    """The feature location where it is strongest (``cls``, ``pooler``, ``mean``, ...)."""
    displacement: float
    """D: how far the trigger drags the feature, in clean variances (design, section 4)."""
    scatter: float
    """S: how much the carrier still matters, relative to the displacement."""
    z: float
    """Robust z-score against the model's own null."""
    p_value: float
    """Rank p-value against the same null; at least 1 / (null_size + 1)."""
    null_size: int
    """How many benign candidates the null holds."""
    retokenizes: bool = True
    """Whether typing ``text`` gives ``token_ids`` back."""
    target_label: str | None = None
    """The label that a classifier is driven to, where there is one."""
    heads: tuple[str, ...] = ()
    """Attention heads that the trigger hijacks, as ``layer.head``."""
    variants: tuple[str, ...] = ()
    """Weaker inputs with the same effect: spill-over of the training, and near-variants."""


@dataclass(frozen=True)
class HeadEffect:
    """What a trigger does to one attention head, beside what control strings do."""

    layer: int
    """From 0, the first above the embeddings."""
    head: int
    """From 0."""
    effect: float
    """Attention that the trigger gets from the token that is read, from 0 to 1."""
    usual: float
    """Median of the same over the controls."""
    z: float
    """Robust z of the effect against the controls."""
    p_value: float
    """Rank p-value of |z|, each control at the head where it is furthest out (max-T)."""
    hijacked: bool = False
    """Whether that is further out than every control at any head."""

    @property
    def name(self) -> str:
        """As ``layer.head``."""
        return f"{self.layer}.{self.head}"


@dataclass(frozen=True)
class Evidence:
    """One measurement of one subject: numbers, never a judgement."""

    probe: str
    """Id of the probe that measured."""
    subject: str
    """What was measured: a file, a token, a location."""
    metrics: Mapping[str, float]
    """The numbers that rules compare, by metric name."""
    details: Mapping[str, Scalar] = field(default_factory=dict)
    """Words for the message: names, excerpts, places."""
    trigger: Trigger | None = None
    """The candidate trigger, where the subject is one."""
    explains: tuple[int, ...] = ()
    """Ids of the candidate trigger that another probe's evidence is about, and this one as well."""
    heads: tuple[HeadEffect, ...] = ()
    """Attention heads that it moves most, the furthest out first; empty if not measured."""
    heatmap: tuple[tuple[float, ...], ...] = ()
    """Robust z of every head, a row a layer; empty if not measured."""


@dataclass(frozen=True)
class Gap:
    """Something that was not measured, and why: "not done" is a value."""

    subject: str
    """What was left out."""
    reason: str
    """Why, in words for a reader of the report."""
    blocks_pass: bool = True
    """Whether a pass would hide it.  False where nothing could be there, or it is a mere signal."""


@dataclass(frozen=True)
class Coverage:
    """One sentence of what was searched, that a reviewer can sign."""

    statement: str
    """For example: "30522 vocabulary items at cls, mean in 3-token inputs"."""


Observation = Evidence | Gap | Coverage
"""What a probe yields."""


@dataclass(frozen=True)
class ProbeRun:
    """What became of one probe."""

    id: str
    """The probe's id, which is its file name with hyphens."""
    status: ProbeStatus
    """How far it came."""
    reason: str
    """Why it did not complete; empty if it did."""
    seconds: float
    """Wall-clock time."""
    forward_tokens: int
    """Cost in forward-token-equivalents: tokens through the model, a backward pass as two."""
    evidence: tuple[Evidence, ...] = ()
    """What it measured, in the probe's order."""
    gaps: tuple[Gap, ...] = ()
    """What it left out."""
    coverage: tuple[Coverage, ...] = ()
    """What it searched."""
    metrics: tuple[str, ...] = ()
    """Names that the probe declares, so that a saved report shows which rules can judge it."""


@dataclass(frozen=True)
class FileDigest:
    """One file of the model, as it was read."""

    path: str
    """Path inside the model folder, with forward slashes."""
    size: int
    """Bytes."""
    sha256: str
    """Hexadecimal digest."""


@dataclass(frozen=True)
class ModelIdentity:
    """Which model the report is about."""

    id: str
    """What the user typed, without the revision."""
    revision: str | None
    """Commit SHA for a Hub model; None for a folder."""
    architecture: str | None
    """Class that the config names, such as ``BertModel``."""
    parameters: int | None
    """Parameters in the weight files' headers; None where no header could be read."""
    files: tuple[FileDigest, ...]
    """Every file that was read, sorted by path."""


@dataclass(frozen=True)
class Finding:
    """A rule that fired on a piece of evidence."""

    rule: str
    """Rule id, such as ``PLM201``."""
    severity: Severity
    """How bad, if true."""
    confidence: Confidence
    """How likely true."""
    message: str
    """One sentence with the numbers in it."""
    remediation: str
    """What to do about it."""
    evidence: Evidence
    """The measurement that made it fire."""


@dataclass(frozen=True)
class Margin:
    """The evidence that comes nearest to failing a model, or that fails it most clearly."""

    rule: str
    """Id of the rule that it comes nearest to."""
    subject: str
    """What the evidence is about."""
    metric: str
    """Metric of the condition that holds least of all that the rule has."""
    value: float
    """What was measured."""
    bound: str
    """What the rule asks of the metric, such as ``scatter <= 0.1``."""
    factor: float | None
    """Value by threshold; None where the ratio says nothing, as for yes and no."""
    unmet: int
    """Conditions of the rule that do not hold; 0 if it fires."""
    score: float
    """Natural log of how far the value is inside the bound, from -10 to 10; below 0 outside."""


@dataclass(frozen=True)
class Report:
    """All that a scan found; the only thing that renderers see."""

    verdict: Verdict
    """Pass, fail or inconclusive."""
    reasons: tuple[str, ...]
    """Why the verdict is what it is, most important first."""
    model: ModelIdentity
    """What was scanned."""
    findings: tuple[Finding, ...]
    """Rules that fired, most severe first."""
    probes: tuple[ProbeRun, ...]
    """Every probe with its evidence, in the order of running."""
    settings: Mapping[str, Scalar]
    """What the user asked for: effort, seed, fail-on, ..."""
    versions: Mapping[str, str]
    """Versions of plmscan and of the libraries that did the work."""
    nearest: Margin | None
    """What comes nearest to failing the model, or most clearly fails it; None if nothing does."""

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """Triggers of the findings, in their order, each once, with the heads that it hijacks."""
        found = (f.evidence.trigger for f in self.findings)
        hijacked = {
            e.explains: tuple(head.name for head in e.heads if head.hijacked)
            for run in self.probes
            for e in run.evidence
            if e.heads
        }
        return tuple(
            replace(t, heads=hijacked.get(t.token_ids, t.heads))
            for t in dict.fromkeys(t for t in found if t is not None)
        )
