"""What every report for people says in the same words."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from plmscan.evidence import ANSWER, DIGITS, Verdict
from plmscan.reports.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from plmscan.evidence import Margin, Report, Trigger, Waived

__all__ = [
    "ANSWERS_LEGEND",
    "MEANINGS",
    "MOST",
    "MOST_SIGNED",
    "NOTHING",
    "TEXTS_LEGEND",
    "bytes_of",
    "command",
    "justification",
    "margin",
    "more",
    "plural",
    "short",
    "some",
    "trigger_legend",
    "waiver",
]

MOST = 12
"""Rows of one kind that a person reads without a browser; the JSON report has them all."""
MOST_SIGNED = 40
"""The same for what a reviewer puts a name to: what was searched, and what was not."""

NOTHING = "nothing that a probe knows of"
"""What was searched, or not checked, where no probe says anything."""

ANSWERS_LEGEND = "The trigger is marked in each request; the answers are those of the model."
"""What the columns of a table of answers hold."""

TEXTS_LEGEND = (
    "The tokens that each text depends on are marked. Strength: what the marked tokens do to texts "
    "of another label, where 1 is a text of the label and 0 undecided; without labels, the scatter "
    "that they leave in other texts; of a model that writes, the share of other requests that get "
    "the same answer with them. p among clean texts."
)
"""What the columns of a table of inspected texts hold."""

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
    "language",
    "reference",
    "base",
    "adapter",
    "also",
    "used_as",
    "rules",
)
"""Settings that are options with a value."""

_REPEATED = frozenset({"adapter", "also"})
"""Options among them that are given once for each value."""

_FLAGS = (
    "allow_pickle",
    "control",
    "all_files",
    "files_only",
    "fail_fast",
    "require_signature",
)
"""Settings that are options without one."""

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
            option = f"--{renamed.get(name, name).replace('_', '-')}"
            each = str(value).split(",") if name in _REPEATED else [_typed(value)]
            parts += [[option, one] for one in each]
    signers = str(settings.get("signers") or "")
    parts += [["--signer", one] for one in filter(None, signers.split(" | "))]
    flags = (name for name in _FLAGS if settings.get(name))
    parts += [[f"--{name.replace('_', '-')}"] for name in flags]
    return _broken([visible(shlex.join(part)) for part in parts], width)


def _typed(value: object) -> str:
    """A value of an option as a person would type it."""
    return f"{value:.15g}" if isinstance(value, float) else str(value)


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


def bytes_of(size: float) -> str:
    """A size in the unit that a person would use."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def plural(count: int, noun: str) -> str:
    """``count`` things."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def some(words: Sequence[str], most: int = 3) -> str:
    """The first of ``words``, and how many more there are."""
    hidden = len(words) - most
    return ", ".join(words[:most]) + (f" and {hidden:,} more" if hidden > 0 else "")


def more(hidden: int) -> str:
    """What is said in the place of ``hidden`` things."""
    return f"and {hidden:,} more in the JSON report"


def waiver(waived: Waived) -> str:
    """Who waived a finding, until when and why."""
    who = "the waiver" if waived.by == "ignore" else f"the {waived.by}"
    until = f" until {waived.expires}" if waived.expires else ""
    return f"Waived by {who} at {waived.place}{until}: {waived.reason}"


def justification(waived: Waived) -> str:
    """The same for other tools, which say themselves that a finding does not count."""
    until = f", until {waived.expires}" if waived.expires else ""
    who = "waiver" if waived.by == "ignore" else waived.by
    return f"{waived.reason} ({who} at {waived.place}{until})"


def margin(found: Margin) -> str:
    """What comes nearest to failing the model, or fails it most clearly, and by how much."""
    subject = f"“{found.subject}” ({found.rule})"
    measured = f"{found.metric} {_beside_bar(found)}"
    if found.score >= 0:
        head = f"Clearest finding, by its weakest condition: {subject}"
        return f"{head}: {measured}, and {found.bound} fails it."
    unmet = plural(found.unmet - 1, "more condition")
    others = f" if {unmet} of the rule held" if found.unmet > 1 else ""
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


def trigger_legend(triggers: Iterable[Trigger]) -> str:
    """What the columns of a table of triggers hold."""
    every = list(triggers)
    sizes = sorted({trigger.null_size for trigger in every})
    null = " or ".join(f"{size:,}" for size in sizes)
    floors = [f"{1 / (size + 1):.2g}" for size in sizes]
    at_floor = any(round(one.p_value * (one.null_size + 1)) == 1 for one in every)
    lowest = f", so p cannot be lower than {' or '.join(floors)}" if at_floor else ""
    varied = any(trigger.variants for trigger in every)
    written = any(trigger.location == ANSWER for trigger in every)
    answers = f" At {ANSWER}, D is the share of requests that are answered otherwise with it."
    return (
        "D: how far it drags the output, in variances of clean text. S: how much the text around "
        "it still matters; 0 is not at all. z and p: against "
        f"{null} random items of the model’s own vocabulary{lowest}."
        f"{answers if written else ''}"
        f"{' Also: weaker inputs that lead to the same output.' if varied else ''}"
    )


def _plain(value: float, digits: int = 3) -> str:
    """``digits`` significant digits, without an exponent where a person would write none."""
    return short(value) if digits == 3 and value >= 100 else f"{value:.{digits}g}"  # noqa: PLR2004
