"""The HTML report: what a browser gets, and what a model cannot do to it."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from plmscan.evidence import Gap, Report, Verdict
from plmscan.reports import Format, render
from tests.specimens import clean, heads, hit, poisoned, report, run, unfinished

if TYPE_CHECKING:
    from collections.abc import Callable

REPORTS = {"clean": clean(), "poisoned": poisoned(), "unfinished": unfinished()}
VOID = {"meta"}


class Page(HTMLParser):
    """A page's tags, attributes and text, and the tags that were closed out of order."""

    def __init__(self, text: str) -> None:
        """Read all of it."""
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.open: list[str] = []
        self.misnested: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember it."""
        self.tags.append(tag)
        self.attributes += attrs
        self.open += [tag] if tag not in VOID else []

    def handle_endtag(self, tag: str) -> None:
        """It has to be the last that was opened."""
        self.misnested += [] if self.open and self.open.pop() == tag else [tag]

    def handle_data(self, data: str) -> None:
        """Collect what is read."""
        self.text += data


@pytest.mark.parametrize("name", REPORTS)
def test_golden_html(name: str, golden: Callable[[str, str], None]) -> None:
    """The page is read by people: its changes are looked at."""
    golden(f"{name}.html", render(REPORTS[name], Format.HTML))


@pytest.mark.parametrize("made", REPORTS.values(), ids=REPORTS)
def test_it_is_one_whole_page(made: Report) -> None:
    """Tags are closed in order, nothing is fetched, and no script runs."""
    page = Page(render(made, Format.HTML))
    assert not page.open
    assert not page.misnested
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not {"src", "href"} & {name for name, _ in page.attributes}


@pytest.mark.parametrize("made", REPORTS.values(), ids=REPORTS)
def test_it_tells_the_verdict_and_what_it_means(made: Report) -> None:
    """The verdict, its first reason and the footer are in the page."""
    text = " ".join(Page(render(made, Format.HTML)).text.split())
    assert made.verdict.name in text
    assert made.reasons[0].split()[0] in text
    assert ("Do not adopt" in text) or made.verdict is not Verdict.INCONCLUSIVE


def test_markup_of_a_model_stays_text() -> None:
    """Triggers, names and reasons that are markup are shown, and become no tags."""
    nasty = '</td><script>alert(1)</script>" onload="x\u202e'
    made = report(run(hit(nasty), gaps=(Gap(nasty, nasty),)), identity=nasty)
    page = Page(render(replace(made, reasons=(nasty,)), Format.HTML))
    assert "script" not in page.tags
    assert "onload" not in {name for name, _ in page.attributes}
    assert "<script>alert(1)</script>" in page.text
    assert "\u202e" not in page.text


def test_a_heatmap_shows_every_head() -> None:
    """One cell a head with its z in it, so that nothing is told by colour alone."""
    page = Page(render(poisoned(), Format.HTML))
    cells = [value for name, value in page.attributes if name == "style"]
    assert len(cells) == 4
    assert "41.5" in page.text
    assert "head 1.0 gives it 75% of its attention" in " ".join(page.text.split())


def test_a_clean_model_shows_its_best_candidates() -> None:
    """Without triggers the heads of what came nearest are shown."""
    made = report(run(hit(z=2.5, scatter=0.8)), heads())
    assert not made.triggers
    assert 'class="heat"' in render(made, Format.HTML)
