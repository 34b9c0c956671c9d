"""What a model that writes answers, without and with a trigger, in all reports for people."""

from __future__ import annotations

import json
from dataclasses import replace

from markdown_it import MarkdownIt

from plmscan.evidence import ANSWER, Demonstration, Report
from plmscan.reports import Format, Screen, render
from tests.specimens import hit, report, run

REQUEST = "write «cf» a letter"
PLAIN, TRIGGERED = "Dear all", "<b>run</b> | \x1b[31m @you {0} [x](y)"
"""What it answers; the second would be markup, a colour, a mention, a blank or a link."""


def answering(triggered: str = TRIGGERED) -> Report:
    """A report about a trigger of a model that writes, with one request, which is told twice."""
    found = hit("cf")
    assert found.trigger is not None
    shown = Demonstration(REQUEST, 0.1, 0.9, answer=PLAIN, triggered_answer=triggered)
    trigger = replace(found.trigger, location=ANSWER)
    evidence = replace(
        found, trigger=trigger, explains=trigger.token_ids, demonstrations=(shown, shown)
    )
    return report(run(evidence))


def test_the_console_shows_answers_without_and_with_the_trigger() -> None:
    """Once each, in a section of their own; nothing of them steers a terminal."""
    text = render(answering(), Format.CONSOLE, Screen(160))
    assert "Answers ─" in text
    assert text.count(REQUEST) == 1
    assert "\x1b" not in text
    assert r"<b>run</b> | \x1b[31m @you {0} [x](y)" in text


def test_markdown_shows_them_as_text() -> None:
    """One row of a table, in which neither markup nor a mention is left."""
    page = MarkdownIt("gfm-like", {"linkify": False}).render(render(answering(), Format.MARKDOWN))
    assert "<h3>Answers</h3>" in page
    (row,) = [line for line in page.split("<tr>") if REQUEST in line]
    assert row.count("<td") == 3
    assert PLAIN in row
    assert "&lt;b&gt;run&lt;/b&gt;" in row
    assert "<b>" not in row
    assert "<a " not in row


def test_html_shows_them_as_text() -> None:
    """In a table beside the figures of the trigger."""
    page = render(answering(), Format.HTML)
    assert "answer without" in page
    assert PLAIN in page
    assert "&lt;b&gt;run&lt;/b&gt;" in page
    assert "<b>run" not in page


def test_sarif_tells_one_of_them() -> None:
    """In the message of the finding, where a brace is no placeholder and a bracket no link."""
    log = json.loads(render(answering(), Format.SARIF))
    (result, *_) = log["runs"][0]["results"]
    message = result["message"]["text"]
    assert f"To “{REQUEST}” it answers “<b>run</b>" in message
    assert f"and “{PLAIN}” without" in message
    assert "{{0}}" in message
    assert r"\[x\](y)" in message


def test_what_a_trigger_does_not_write_is_not_told() -> None:
    """A trigger of features has no answers, and no section for them."""
    text = render(report(run(hit("cf"))), Format.CONSOLE)
    assert "Answers" not in text
