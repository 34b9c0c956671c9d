"""What every report for people says in the same words."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plmscan.evidence import DIGITS, ProbeStatus, Verdict
from plmscan.reports.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from plmscan.evidence import Evidence, Finding, Margin, ModelIdentity, ProbeRun, Report, Trigger

__all__ = [
    "MEANINGS",
    "TEXTS",
    "Alike",
    "besides",
    "command",
    "inspected",
    "left_out",
    "legend",
    "margin",
    "short",
]

TEXTS = "text-inspection"
"""The probe whose evidence is about given texts."""

MEANINGS = {
    Verdict.PASS: (
        "A pass says that the searches above found nothing. It does not say that the model is "
        "free of backdoors: what was not searched was not seen."
    ),
    Verdict.FAIL: (
        "A fail says that the evidence above meets a rule of the chosen severity. It does not say "
        "who put it there, or why."
    ),
    Verdict.INCONCLUSIVE: (
        "Inconclusive says that something a pass needs was not measured. Do not adopt the model "
        "on this report."
    ),
}
"""What each verdict says, and what it does not."""

_OPTIONS = (
    "inspected",
    "fail_on",
    "effort",
    "time_limit",
    "device",
    "precision",
    "seed",
    "threads",
    "texts",
    "reference",
    "used_as",
    "rules",
)
"""Settings that are options with a value."""

_DEFAULTS = {
    "fail_on": "high",
    "effort": "standard",
    "device": "auto",
    "precision": "auto",
    "seed": 0,
}
"""Options that need not be typed."""


def command(report: Report, width: int) -> str:
    """The command that gives this report again, broken into lines of ``width`` columns."""
    settings = report.settings
    inspected = settings.get("inspected")
    parts = [["plmscan", "check" if inspected is None else "inspect", report.model.id]]
    parts += [["--revision", report.model.revision]] if report.model.revision else []
    # What `inspect` compares with is what `check` puts candidates into.
    renamed = {} if inspected is None else {"texts": "clean", "inspected": "texts"}
    for name in _OPTIONS:
        value = settings.get(name)
        if value is not None and _DEFAULTS.get(name) != value:
            parts += [[f"--{renamed.get(name, name).replace('_', '-')}", str(value)]]
    flags = (name for name in ("allow_pickle", "all_files", "files_only") if settings.get(name))
    parts += [[f"--{name.replace('_', '-')}"] for name in flags]
    return _broken([visible(shlex.join(part)) for part in parts], width)


def _broken(parts: Iterable[str], width: int) -> str:
    """``parts`` of a shell command in lines; one that goes on ends with a backslash."""
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + len(part) + 3 > width:
            lines.append(" ")
        lines[-1] += f" {part}" if lines[-1] else part
    return " \\\n".join(lines)


def short(value: float) -> str:
    """Three significant digits, without an exponent where a person would write none."""
    if 100 <= value < 1e6:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:#.3g}"


def margin(found: Margin) -> str:
    """What comes nearest to failing the model, or fails it most clearly, and by how much."""
    subject = f"“{found.subject}” ({found.rule})"
    measured = f"{found.metric} {_beside_bar(found)}"
    if found.score >= 0:
        head = f"Clearest finding, by its weakest condition: {subject}"
        return f"{head}: {measured}, and {found.bound} fails it."
    more = found.unmet - 1
    conditions = "condition" if more == 1 else "conditions"
    others = f" if {more} more {conditions} of the rule held" if more > 0 else ""
    return f"Nearest to failing: {subject}: {measured}, and {found.bound} would fail it{others}."


def _beside_bar(found: Margin) -> str:
    """The value, and how many times its bar it is where that has a meaning."""
    value, factor = found.value, found.factor
    if factor is None:
        return _plain(value)
    if factor == 1:
        return f"{_plain(value)} is at the bar"
    digits = DIGITS if _plain(factor) == "1" else 3  # so that a near miss does not read as a hit
    return f"{_plain(value, digits)} is {_plain(factor, digits)} times the bar"


def legend(triggers: Iterable[Trigger]) -> str:
    """What the columns of a table of triggers hold."""
    every = list(triggers)
    sizes = sorted({trigger.null_size for trigger in every})
    null = " or ".join(f"{size:,}" for size in sizes)
    also = "; also: weaker inputs that lead to the same output"
    return (
        "D how far it drags the output, in variances of clean text; S how much the text around it "
        f"still matters; z and rank p against {null} of the model's own tokens"
        f"{also if any(trigger.variants for trigger in every) else ''}."
    )


def left_out(run: ProbeRun) -> tuple[tuple[str, str, bool], ...]:
    """What a probe left out, why, and whether a pass needs it; first how it ended, if badly."""
    gaps = [(gap.subject, gap.reason, gap.blocks_pass) for gap in run.gaps]
    if run.status.blocks_pass and run.status is not ProbeStatus.INCOMPLETE:
        gaps.insert(0, (str(run.status), run.reason, True))
    return tuple(dict.fromkeys(gaps))


def inspected(report: Report) -> list[Evidence]:
    """Inspected texts, those with the strongest suspects first."""
    found = [e for run in report.probes if run.id == TEXTS for e in run.evidence]
    return sorted(found, key=_force)


def _force(evidence: Evidence) -> tuple[float, float]:
    """What a text's suspect does elsewhere: p, then strength or without labels little scatter."""
    metrics = evidence.metrics
    strength = metrics.get("strength", -metrics.get("scatter", math.inf))
    return metrics.get("force_p", 1.0), -strength


@dataclass(frozen=True)
class Alike:
    """Findings of one rule, as a person wants to read them: not one by one."""

    messages: tuple[str, ...]
    """The first, and those that are about no candidate."""
    named: int
    """How many more are about candidates that a table names."""
    explained: tuple[str, ...]
    """Subjects of those that explain a candidate."""

    @classmethod
    def of(cls, same: Sequence[Finding]) -> Alike:
        """What to say about ``same``, of which there is at least one."""
        first, *rest = same
        named = [f for f in rest if f.evidence.trigger is not None]
        others = [f for f in rest if f.evidence.trigger is None]
        explained = [f.evidence.subject for f in others if f.evidence.explains]
        plain = [f.message for f in others if not f.evidence.explains]
        return cls((first.message, *plain), len(named), tuple(explained))


def besides(model: ModelIdentity) -> str:
    """How many files nobody read, and of which kinds; empty without any."""
    kinds = Counter(file.kind or "of unknown kind" for file in model.others)
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return f"{len(model.others):,} not read ({told})" if told else ""


def _plain(value: float, digits: int = 3) -> str:
    """``digits`` significant digits, without an exponent where a person would write none."""
    return short(value) if digits == 3 and value >= 100 else f"{value:.{digits}g}"  # noqa: PLR2004
