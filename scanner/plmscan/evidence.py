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
    "ANSWER",
    "CONTROL",
    "DIGITS",
    "NO_SIGNATURE",
    "Confidence",
    "Coverage",
    "Demonstration",
    "Density",
    "Evidence",
    "FileDigest",
    "Finding",
    "Gap",
    "HeadEffect",
    "Landscape",
    "ListedFile",
    "Margin",
    "ModelIdentity",
    "Observation",
    "ProbeRun",
    "ProbeStatus",
    "Projection",
    "Report",
    "Scalar",
    "Severity",
    "Trigger",
    "Verdict",
    "Waived",
    "rounded",
]

Scalar = str | int | float | bool | None
"""What a settings or detail value may be; anything else does not survive JSON."""

ANSWER = "answer"
"""Where a trigger acts that leads to one answer of a model that writes."""

DIGITS = 6
"""Significant digits that a measurement keeps, so that reports of one machine agree."""


NO_SIGNATURE = "No signature lies beside the model."
"""What there is to say of most models."""


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
    """The feature location where it is strongest (``cls``, ``mean``, ...), or `ANSWER`."""
    displacement: float
    """D: how far the trigger drags the feature, in clean variances (design, section 4); in answers,
    the share of requests that are answered otherwise with it."""
    scatter: float
    """S: how much the carrier still matters, relative to the displacement; in answers, 1 less what
    they have in common."""
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
    core: tuple[str, ...] = ()
    """Tokens of a longer trigger that alone turn every ordinary text to its label."""


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
class Demonstration:
    """What a candidate does to one carrier, for the eyes of a reader."""

    text: str
    """The carrier with the candidate in it, between « and »."""
    likeness: float
    """Mean cosine of its feature to those of the other carriers, without the candidate."""
    triggered_likeness: float
    """The same with the candidate in all of them; 1 is one output whatever the text says."""
    label: str | None = None
    """What a classifier says without the candidate."""
    triggered_label: str | None = None
    """What it says with it."""
    answer: str | None = None
    """What a model that writes answers without the candidate."""
    triggered_answer: str | None = None
    """What it answers with it."""


@dataclass(frozen=True)
class Projection:
    """Features of carriers on their two main axes, without and with a candidate."""

    clean: tuple[tuple[float, float], ...]
    """Each carrier as it stands."""
    triggered: tuple[tuple[float, float], ...]
    """The same carriers, in the same order, with the candidate."""
    shares: tuple[float, float]
    """Share of the variance of all these features that each axis holds."""


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
    demonstrations: tuple[Demonstration, ...] = ()
    """What it does to a few carriers; empty if not measured."""
    projection: Projection | None = None
    """Where it moves the features of carriers; None if not measured."""
    unmeasured: tuple[str, ...] = ()
    """Metrics that were left out, as no rule of the check could fire whatever they came to."""


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
    languages: tuple[str, ...] = ()
    """Codes of the languages of the carrier texts, where the sentence is about these."""


@dataclass(frozen=True)
class Density:
    """How many things lie where, on a grid that is even in the logarithms of both axes."""

    across: tuple[float, float]
    """Smallest and largest value from left to right, both above 0."""
    up: tuple[float, float]
    """The same from bottom to top."""
    columns: int
    """Cells from left to right."""
    rows: int
    """Cells from bottom to top."""
    cells: tuple[tuple[int, int, int], ...]
    """Column, row and count of every cell that is not empty, column by column.  What lies below
    the range is in the lowest cell; what is no finite number, in none."""


@dataclass(frozen=True)
class Landscape:
    """What a search saw of the whole vocabulary, for a plot; nothing in it decides anything."""

    location: str
    """Feature location at which ``vocabulary`` was read."""
    vocabulary: Density
    """Every swept item: across, its squared distance from the vocabulary's midpoint; up, the same
    under the vocabulary's covariance (Mahalanobis)."""
    named: tuple[tuple[str, float, float], ...]
    """Single-token candidates, the most invariant if they are many, with both distances; those
    furthest out under the covariance first."""
    screened: tuple[tuple[float, float], ...]
    """Displacement and scatter, on natural carriers, of the items that the sweep passed on, each
    where it is most invariant; of thousands the most invariant and an even choice of the others."""
    null: tuple[tuple[float, float], ...]
    """The same of random vocabulary items: what is usual for this model."""


Observation = Evidence | Gap | Coverage | Landscape
"""What a probe yields."""


CONTROL = "control"
"""Id of the run that searches a copy of the model with triggers planted in it: no rule judges it,
and nothing that becomes of it changes a verdict."""


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
    landscapes: tuple[Landscape, ...] = ()
    """What it saw from afar."""


@dataclass(frozen=True)
class FileDigest:
    """One file of the model, as it was read."""

    path: str
    """Path inside the model folder, with forward slashes."""
    size: int
    """Bytes."""
    sha256: str
    """Hexadecimal digest."""
    kind: str = ""
    """What kind of file it is, by its content; empty in reports of older versions."""


@dataclass(frozen=True)
class ListedFile:
    """A file that exists and was not read."""

    path: str
    """Path inside the model, with forward slashes."""
    size: int
    """Bytes."""
    kind: str = ""
    """What kind of file it is: by its content where that is here, else by its name."""


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
    others: tuple[ListedFile, ...] = ()
    """Every other file that is there, sorted by path; no loader was found that would open it."""
    base: ModelIdentity | None = None
    """What an adapter was put on; None for a model, and where it could not be had."""
    adapters: tuple[ModelIdentity, ...] = ()
    """Adapters that were put on top, in their order."""
    signature: str = ""
    """Who signed the files, or what is wrong with the signature; empty where there is none."""

    @property
    def parts(self) -> tuple[ModelIdentity, ...]:
        """Itself, and what was measured together with it."""
        below = () if self.base is None else (self.base,)
        return (self, *below, *self.adapters)

    @property
    def is_stacked(self) -> bool:
        """Whether a model and adapters were measured together."""
        return self.base is not None or bool(self.adapters)


@dataclass(frozen=True)
class Waived:
    """Why a finding does not fail a model although it is severe enough."""

    by: str
    """``ignore`` for a waiver of a configuration, or ``baseline``."""
    reason: str
    """What whoever waived it wrote."""
    place: str
    """File, and line where there is one, that waives it."""
    expires: str | None = None
    """Last day on which it holds, as ``2027-01-31``; None for no end."""


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
    waived: Waived | None = None
    """Why it counts for nothing in the verdict; None if it counts."""


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
