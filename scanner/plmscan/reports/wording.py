"""What every report for people says in the same words."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from plmscan.evidence import Verdict
from plmscan.reports.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plmscan.evidence import Report

__all__ = ["MEANINGS", "command", "short"]

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
    "seed",
    "threads",
    "texts",
    "rules",
)
"""Settings that are options with a value."""

_DEFAULTS = {"fail_on": "high", "effort": "standard", "device": "auto", "seed": 0}
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
    flags = (name for name in ("allow_pickle", "files_only") if settings.get(name))
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
