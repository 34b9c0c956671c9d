"""Renderers of a `Survey`; one file a format.

What reports for people say is decided once, in `view` and `wording`.
"""

from __future__ import annotations

from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING

from plmscan.errors import ReportError
from plmscan.evidence import Report
from plmscan.reports.screen import PLAIN_SCREEN, Detail, Screen
from plmscan.survey import Survey

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["Detail", "Format", "Screen", "render"]


class Format(StrEnum):
    """How a report is told."""

    CONSOLE = "console"
    """For people at a terminal."""
    JSON = "json"
    """For programs: the current schema, which is ``json-v1``."""
    JSON_V1 = "json-v1"
    """The schemas ``plmscan.report/v1``, and ``plmscan.survey/v1`` of several models."""
    SARIF = "sarif"
    """For code scanning: SARIF 2.1.0."""
    MARKDOWN = "markdown"
    """For the summary of a job, or a comment."""
    HTML = "html"
    """For a browser: one file with plots and heatmaps, and nothing from elsewhere."""
    IN_TOTO = "in-toto"
    """For supply-chain tools: an unsigned in-toto statement about the files' digests."""
    CYCLONEDX = "cyclonedx"
    """For an inventory: a CycloneDX bill of materials with the verdict."""


_EXTRAS = {Format.CYCLONEDX: "sbom"}
"""What has to be installed for a format beside plmscan itself."""


def render(subject: Report | Survey, report_format: Format, screen: Screen = PLAIN_SCREEN) -> str:
    """``subject`` as text that ends with a newline.

    Args:
        subject: what to tell: one report, or those of several models.
        report_format: how to tell it.
        screen: what the console format is for.

    Raises:
        ReportError: the format needs a library that is not installed.
    """
    survey = Survey.of(subject) if isinstance(subject, Report) else subject
    if report_format is Format.CONSOLE:
        from plmscan.reports import console  # noqa: PLC0415 - rich is needed for nothing else

        return console.render(survey, screen)
    told: Callable[[Survey], str] = _module(report_format).render
    return told(survey)


def _module(report_format: Format) -> ModuleType:
    """The module of a format for files, which has its name, and a ``render`` of its own."""
    current = Format.JSON_V1 if report_format is Format.JSON else report_format
    try:
        return import_module(f"plmscan.reports.{current.replace('-', '_')}")
    except ImportError as error:
        extra = _EXTRAS.get(report_format)
        if extra is None:
            raise
        msg = f"A {report_format} report needs the extra {extra}, which is not installed."
        raise ReportError(msg, f"Install it with pip install 'plmscan[{extra}]'.") from error
