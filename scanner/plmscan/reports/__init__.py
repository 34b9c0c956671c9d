"""Renderers of a `Report`; one file a format."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from plmscan.evidence import Report

__all__ = ["Format", "render"]


class Format(StrEnum):
    """How a report is told."""

    CONSOLE = "console"
    """For people."""
    JSON = "json"
    """For programs: the current schema, ``plmscan.report/v1``."""
    HTML = "html"
    """For a browser: one file, with the attention heads as heatmaps."""


def render(report: Report, report_format: Format, *, width: int = 80, colour: bool = False) -> str:
    """``report`` as text that ends with a newline.

    Args:
        report: what to tell.
        report_format: how to tell it.
        width: columns of the console format.
        colour: whether the console format may use terminal colours.
    """
    from plmscan.reports import console, html, json_v1  # noqa: PLC0415 - not for `plmscan --help`

    match report_format:
        case Format.CONSOLE:
            return console.render(report, width=width, colour=colour)
        case Format.JSON:
            return json_v1.to_json(report)
        case Format.HTML:
            return html.render(report)
        case _:
            assert_never(report_format)
