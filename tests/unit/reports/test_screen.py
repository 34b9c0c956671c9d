"""What a report looks like where signs, colours or patience are few."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plmscan.evidence import Report, Verdict
from plmscan.reports import Detail, Format, Screen, render
from plmscan.survey import Survey
from tests.specimens import clean, poisoned, survey, unfinished, waived

if TYPE_CHECKING:
    from collections.abc import Callable

REPORTS = {"clean": clean(), "poisoned": poisoned(), "unfinished": unfinished()}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437"])
@pytest.mark.parametrize("made", REPORTS.values(), ids=REPORTS)
def test_every_terminal_can_show_it(made: Report, encoding: str) -> None:
    """Frames are drawn with plain signs, and what a terminal lacks is replaced or spelt out."""
    text = render(made, Format.CONSOLE, Screen(encoding=encoding))
    assert text.encode(encoding).decode(encoding) == text
    assert text.startswith("+-")
    assert max(map(len, text.splitlines())) <= 80


def test_letters_that_a_terminal_lacks_are_spelt_out() -> None:
    """They are not lost: a trigger that reads ??? names nothing."""
    assert Screen(encoding="ascii").legible("“日” → x…") == '"\\u65e5" -> x...'
    assert Screen(encoding="UTF8").legible("“日”") == "“日”"


def test_a_brief_report_is_a_line_a_model() -> None:
    """For a log that nobody reads until something fails."""
    lines = render(survey(), Format.CONSOLE, Screen(detail=Detail.BRIEF)).splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["FAIL", "example/encoder"],
        ["PASS", "models/intent"],
        ["INCONCLUSIVE", "example/slow"],
        ["INCONCLUSIVE", "example/gated"],
    ]


def test_of_several_models_those_that_pass_are_in_the_table_only() -> None:
    """What somebody has to read is there in full; all of it with --verbose."""
    normal = render(survey(), Format.CONSOLE)
    full = render(survey(), Format.CONSOLE, Screen(detail=Detail.FULL))
    banners = [text.count("┏") for text in (normal, full)]
    assert banners == [2, 3]
    assert "FAIL  4 models: 1 pass, 1 fail, 2 inconclusive." in normal


def test_golden_survey(golden: Callable[[str, str], None]) -> None:
    """Several models: reports of those that do not pass, and a table of all."""
    golden("survey.txt", render(survey(), Format.CONSOLE))


def test_golden_waived(golden: Callable[[str, str], None]) -> None:
    """A waived finding stands there with who waived it, why, and until when."""
    golden("waived.txt", render(waived(), Format.CONSOLE))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits(width: int) -> None:
    """Also beside long names."""
    text = render(survey(), Format.CONSOLE, Screen(width))
    assert max(map(len, text.splitlines())) <= width


def test_the_worst_verdict_is_that_of_the_run() -> None:
    """A fail, else inconclusive, else a pass; without a report it is inconclusive."""
    assert survey().verdict is Verdict.FAIL
    assert Survey(survey().entries[1:]).verdict is Verdict.INCONCLUSIVE
    assert Survey(survey().entries[3:]).verdict is Verdict.INCONCLUSIVE
    assert Survey(survey().entries[1:2]).verdict is Verdict.PASS
