"""The report as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined

from plmscan.evidence import Verdict
from plmscan.reports.visible import visible
from plmscan.reports.wording import MEANINGS, command, short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plmscan.evidence import Evidence, Report

__all__ = ["render"]

_WIDTH = 76
"""Columns of the command that gives the report again."""

_FULL = 10.0
"""Robust z at which a cell of a heatmap has its full colour."""

_HEATMAPS = 8
"""Candidates whose heads are shown; the JSON report has them all."""


def render(report: Report) -> str:
    """``report`` as a document; whatever comes from the model is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"visible": visible, "short": short, "tint": _tint}
    source = (resources.files("plmscan.reports") / "report.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        report=report,
        verdict=report.verdict.name,
        mood={Verdict.PASS: "good", Verdict.FAIL: "bad"}.get(report.verdict, "unsure"),
        heatmaps=list(_heatmaps(report)),
        unchecked=[(run.id, gap) for run in report.probes for gap in run.gaps],
        searched=[(run.id, coverage) for run in report.probes for coverage in run.coverage],
        command=command(report, _WIDTH),
        meaning=MEANINGS[report.verdict],
    )


def _heatmaps(report: Report) -> Iterator[Evidence]:
    """Evidence with heads, of the report's triggers if it has any, else of the best candidates."""
    measured = [e for run in report.probes for e in run.evidence if e.heatmap]
    named = {trigger.token_ids for trigger in report.triggers}
    ours = [e for e in measured if e.explains in named]
    yield from (ours or measured)[:_HEATMAPS]


def _tint(z: float) -> str:
    """Hue and strength of a cell, as CSS variables: warm for more attention, cold for less."""
    strength = min(1.0, abs(z) / _FULL)
    return f"--hue: {12 if z > 0 else 212}; --strength: {strength:.2f}"
