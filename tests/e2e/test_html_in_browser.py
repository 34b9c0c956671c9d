"""The HTML report in a real browser: nothing is fetched or run, everything is there to be read."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import pytest

from plmscan.evidence import HeadEffect, Report
from plmscan.reports import Format, render
from tests.specimens import clean, crowded, hit, landscape, pictured, run, survey, waived
from tests.specimens import report as report_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request

    from plmscan.survey import Survey

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SCHEMES = ("light", "dark")
A4 = 718
"""Columns of pixels between the margins of a printed page."""
SCRIPT = "<script>window.owned = 1; alert(1)</script>"
IMAGE = '"><img src=x onerror="window.owned = 1; alert(2)"><svg/onload=alert(3)>'

each_scheme = pytest.mark.parametrize("scheme", SCHEMES)


def large() -> Report:
    """A report with every kind of mark: heads that give more, less, and that are hijacked."""
    made = crowded()
    *others, shown = made.probes
    hijacked = HeadEffect(5, 2, 0.75, 0.0625, 41.5, 0.005, hijacked=True)
    evidence = tuple(replace(e, heads=(hijacked,)) for e in shown.evidence)
    return replace(made, probes=(*others, replace(shown, evidence=evidence)))


def hostile() -> Report:
    """A report whose triggers would run if any of them became markup."""
    both = (SCRIPT, IMAGE)
    seen = replace(landscape(SCRIPT), named=tuple((t, 480.0, 1900.0) for t in both))
    searched = replace(run(*map(hit, both)), landscapes=(seen,))
    shown = pictured().probes[-1].evidence[0]
    told = (
        replace(d, text=f"a «{t}» b", label=t)
        for t, d in zip(both, shown.demonstrations, strict=True)
    )
    portrait = replace(shown, subject=IMAGE, demonstrations=tuple(told))
    return report_of(searched, run(portrait, probe="demonstration"), identity=IMAGE)


REPORTS: dict[str, Callable[[], Report | Survey]] = {
    "large": large,
    "hostile": hostile,
    "survey": survey,
    "waived": waived,
    "clean": clean,
}
each_page = pytest.mark.parametrize("name", REPORTS)


@dataclass(frozen=True)
class Shown:
    """A page in a tab, and what happened there."""

    tab: Page
    """Where it is open."""
    events: list[str] = field(default_factory=list)
    """What the browser said, asked and fetched, beside the page itself."""

    def ask(self, script: str) -> Any:  # noqa: ANN401 - JSON of any kind
        """What a script of the test gives in the page."""
        return self.tab.evaluate(script)

    def look(self, scheme: str = "light", width: int = 1280) -> None:
        """Show the page on a screen of that width, and with all that folds away unfolded."""
        self.tab.emulate_media(color_scheme="dark" if scheme == "dark" else "light", media="screen")
        self.tab.set_viewport_size({"width": width, "height": 800})
        self.ask("document.querySelectorAll('details').forEach(d => { d.open = true })")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all of these tests."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("no Chromium is installed")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every page as a file."""
    folder = tmp_path_factory.mktemp("pages")
    paths = {name: folder / f"{name}.html" for name in REPORTS}
    for name, path in paths.items():
        path.write_text(render(REPORTS[name](), Format.HTML), encoding="utf-8")
    return paths


@pytest.fixture
def show(browser: Browser, files: dict[str, Path]) -> Iterator[Callable[[str], Shown]]:
    """A function that opens a page in a tab of its own."""
    context = browser.new_context()

    def opened(name: str) -> Shown:
        shown = Shown(context.new_page())
        address = files[name].as_uri()

        def on_console(message: ConsoleMessage) -> None:
            shown.events.append(f"{message.type}: {message.text}")

        def on_request(request: Request) -> None:
            shown.events.extend([request.url] if request.url != address else [])

        def on_dialog(dialog: Dialog) -> None:
            shown.events.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        shown.tab.on("console", on_console)
        shown.tab.on("request", on_request)
        shown.tab.on("dialog", on_dialog)
        shown.tab.on("pageerror", lambda error: shown.events.append(str(error)))
        shown.tab.goto(address)
        return shown

    yield opened
    context.close()


@each_page
def test_nothing_is_fetched_and_the_browser_has_no_complaint(
    name: str, show: Callable[[str], Shown]
) -> None:
    """The page is all that it loads; its own policy stops none of it."""
    shown = show(name)
    shown.look()
    assert shown.events == []
    assert shown.ask("getComputedStyle(document.body).maxWidth") == "1024px"


def test_markup_of_a_model_never_runs(show: Callable[[str], Shown]) -> None:
    """A trigger that is a script or an image is read as text, in tables and in plots."""
    shown = show("hostile")
    shown.look()
    assert shown.events == []
    assert shown.ask("window.owned") is None
    assert shown.ask("document.querySelectorAll('script, img, [onerror], [onload]').length") == 0
    marked = shown.tab.locator("mark").all_text_contents()
    assert marked == [SCRIPT, IMAGE]
    labels = shown.tab.locator("svg text.label").all_text_contents()
    assert {label[:12] for label in labels} == {SCRIPT[:12], IMAGE[:12]}
    assert SCRIPT in shown.tab.locator("svg .mark title").all_text_contents()


def test_what_a_page_would_still_let_in_cannot_run(show: Callable[[str], Shown]) -> None:
    """Even markup that got into the page runs no script and fetches nothing, by its policy."""
    shown = show("clean")
    injected = IMAGE.replace("src=x", "src=https://example.invalid/x")
    shown.ask(f"document.body.insertAdjacentHTML('beforeend', {injected!r}); 0")
    shown.tab.wait_for_timeout(50)
    assert shown.ask("window.owned") is None
    complaints = [event for event in shown.events if event.startswith("error: ")]
    assert len(complaints) == 3
    assert all("violates the following Content Security Policy" in c for c in complaints)
    assert not [event for event in shown.events if event.startswith("dialog")]


def test_the_plots_are_drawn(show: Callable[[str], Shown]) -> None:
    """Each has a size, its marks lie inside it, and there are as many as were measured."""
    shown = show("large")
    shown.look()
    sizes = shown.ask(
        "[...document.querySelectorAll('svg[role=img]')].map(s => s.getBoundingClientRect())"
        ".map(r => [r.width, r.height])"
    )
    assert len(sizes) == 2 + 2 * 5
    assert all(wide > 150 and tall > 80 for wide, tall in sizes)
    assert shown.tab.locator("svg.plot").first.locator(".mark.planted").count() == 5
    assert shown.tab.locator("svg.plot").nth(1).locator(".mark.planted").count() == 5
    assert (shown.tab.locator("svg.plot .null").get_attribute("d") or "").count("M") == 100
    assert (shown.tab.locator("svg.plot .screened").get_attribute("d") or "").count("M") == 2000
    outside = """[...document.querySelectorAll('svg[role=img]')].flatMap(svg => {
      const s = svg.getBoundingClientRect();
      return [...svg.querySelectorAll('path, text, rect')].filter(e => {
        const r = e.getBoundingClientRect();
        return r.left < s.left - 1 || r.right > s.right + 1 || r.top < s.top - 1
          || r.bottom > s.bottom + 1;
      }).map(e => e.outerHTML.slice(0, 120)); })"""
    assert shown.ask(outside) == []


def test_names_in_plots_are_legible(show: Callable[[str], Shown]) -> None:
    """As the browser's own font draws them, no two texts in a plot overlap, axes included."""
    shown = show("large")
    shown.look(width=360)
    overlaps = """[...document.querySelectorAll('svg.plot')].flatMap(svg => {
      const boxes = [...svg.querySelectorAll('text')]
        .map(t => [t.textContent, t.getBoundingClientRect()]);
      return boxes.flatMap(([a, p], i) => boxes.slice(i + 1).filter(([, q]) =>
        p.left + 1 < q.right && q.left + 1 < p.right && p.top + 3 < q.bottom && q.top + 3 < p.bottom
      ).map(([b]) => [a, b])); })"""
    assert shown.ask(overlaps) == []
    assert shown.tab.locator("svg.plot text.label.planted").count() == 10


@each_page
def test_no_page_scrolls_sideways(name: str, show: Callable[[str], Shown]) -> None:
    """On a phone and on a screen, light and dark; wide tables scroll in themselves."""
    shown = show(name)
    for width, scheme in product((360, 1280), SCHEMES):
        shown.look(scheme, width)
        assert shown.ask("document.documentElement.scrollWidth") <= width


def test_notes_on_triggers_wrap_below_on_a_phone(show: Callable[[str], Shown]) -> None:
    """They get a line of their own and are not clipped; a screen has them in a column."""
    shown = show("waived")
    places = """[...document.querySelectorAll('.noted tbody tr')].map(row => {
      const [first, notes] = [row.firstElementChild, row.lastElementChild]
        .map(cell => cell.getBoundingClientRect());
      return [notes.top >= first.bottom - 1, notes.right <= innerWidth]; })"""
    for width, below in ((390, True), (1280, False)):
        shown.look(width=width)
        assert shown.ask(places) == [[below, True]] * 3


CONTRASTS = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = c => c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; }
    return rgb('white'); };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05); };
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || e.closest('title, desc')) continue;
    const style = getComputedStyle(e);
    const ink = rgb(e instanceof SVGElement ? style.fill : style.color);
    texts.push([ratio(ink, behind(e)), walker.currentNode.data.trim().slice(0, 40)]);
  }
  const drawn = document.querySelectorAll('svg path:not(.band, .way, .rail, .leader)');
  const marks = [...drawn].map(e => {
    const style = getComputedStyle(e), paper = behind(e);
    const inks = [style.fill, style.stroke].filter(c => c !== 'none').map(rgb);
    return [Math.max(...inks.map(c => ratio(c, paper))), e.getAttribute('class')]; });
  return {texts, marks}; })()"""


@pytest.mark.parametrize("name", ["large", "survey", "waived"])
@each_scheme
def test_contrast_is_enough(name: str, scheme: str, show: Callable[[str], Shown]) -> None:
    """All text has 4.5 to 1 against what is behind it, all marks of the plots 3 to 1."""
    shown = show(name)
    shown.look(scheme)
    found = shown.ask(CONTRASTS)
    assert len(found["texts"]) > 100
    assert [told for told in found["texts"] if told[0] < 4.5] == []
    assert [told for told in found["marks"] if told[0] < 3] == []
    if name == "large":
        kinds = {kind for _, kind in found["marks"]}
        assert kinds >= {"null", "screened", "mark planted", "mark candidate", "more", "less"}
        assert kinds >= {"density d0", "usual", "hijacked", "clean", "moved", "band-edge", "axis"}


FOCUSED = """(() => { const e = document.activeElement, r = e.getBoundingClientRect();
  const s = getComputedStyle(e);
  return {tag: e.tagName, text: e.textContent.trim().slice(0, 30),
    outline: s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2,
    seen: r.width > 0 && r.height > 0 && r.right > 0 && r.left < innerWidth
      && r.bottom > 0 && r.top < innerHeight}; })()"""


@pytest.mark.parametrize("name", ["large", "survey"])
def test_every_stop_of_the_keyboard_shows(name: str, show: Callable[[str], Shown]) -> None:
    """Tab reaches every link, summary and scrolling region, and one sees where it is."""
    shown = show(name)
    shown.look()
    wanted = shown.ask("document.querySelectorAll('a[href], summary, [tabindex=\"0\"]').length")
    stops = []
    for _ in range(wanted):
        shown.tab.keyboard.press("Tab")
        stops.append(shown.ask(FOCUSED))
    assert [stop for stop in stops if not (stop["outline"] and stop["seen"])] == []
    assert [stop["tag"] for stop in stops].count("BODY") == 0
    assert stops[0]["text"] == "Skip to the report"
    assert shown.ask(
        "[...document.querySelectorAll('.scroll')].every(e => e.tabIndex === 0 && e.ariaLabel"
        " || e.getAttribute('aria-labelledby'))"
    )


def test_the_skip_link_leads_to_the_report(show: Callable[[str], Shown]) -> None:
    """One key stroke passes the header; the next stop is in the report itself."""
    shown = show("large")
    shown.tab.keyboard.press("Tab")
    shown.tab.keyboard.press("Enter")
    assert shown.ask("document.activeElement.id") == "report"
    shown.tab.keyboard.press("Tab")
    assert shown.ask("document.activeElement.closest('main') !== null")


@each_page
def test_a_screen_reader_finds_its_way(name: str, show: Callable[[str], Shown]) -> None:
    """One h1, no heading level skipped, landmarks, captions, names of all plots, unique ids."""
    shown = show(name)
    levels = shown.ask("[...document.querySelectorAll('h1,h2,h3,h4,h5')].map(h => +h.tagName[1])")
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    for role in ("banner", "main", "contentinfo"):
        assert shown.tab.get_by_role(role).count() == 1  # type: ignore[arg-type]
    assert shown.ask("[...document.querySelectorAll('table')].every(t => t.caption)")
    ids = shown.ask("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    pictures = shown.tab.locator("svg[role=img]").count()
    assert shown.tab.get_by_role("img", name=re.compile(r"\w")).count() == pictures
    assert shown.tab.locator("svg:not([role=img]):not([aria-hidden=true])").count() == 0


@pytest.mark.parametrize("name", ["large", "survey"])
def test_it_prints_whole(name: str, show: Callable[[str], Shown]) -> None:
    """What folds away is on paper, nothing is wider than it, and all is dark on white."""
    shown = show(name)
    shown.tab.set_viewport_size({"width": A4, "height": 1000})
    shown.tab.emulate_media(media="print", color_scheme="dark")
    hidden = (
        "[...document.querySelectorAll('details > :not(summary)')]"
        ".filter(e => !e.checkVisibility() || e.getBoundingClientRect().height === 0).length"
    )
    assert shown.ask("document.querySelectorAll('details[open]').length") == 0
    assert shown.ask(hidden) == 0
    assert shown.ask("document.documentElement.scrollWidth") <= A4
    assert shown.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert [told for told in shown.ask(CONTRASTS)["texts"] if told[0] < 4.5] == []
    printed = shown.tab.pdf(format="A4")
    assert printed.startswith(b"%PDF-")
    assert len(printed) > 20_000
