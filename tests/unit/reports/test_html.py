"""The HTML report: what a browser gets, and what a model cannot do to it."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from plmscan.evidence import (
    Demonstration,
    Density,
    Finding,
    Gap,
    Landscape,
    ProbeRun,
    Projection,
    Report,
    Verdict,
)
from plmscan.reports import Format, render
from plmscan.reports.json_v1 import from_json, to_json
from plmscan.reports.wording import MEANINGS
from plmscan.survey import Entry, Survey
from tests.specimens import (
    clean,
    crowded,
    heads,
    hit,
    inspected,
    landscape,
    pictured,
    poisoned,
    refusal,
    report,
    run,
    survey,
    unfinished,
    waived,
)

if TYPE_CHECKING:
    from collections.abc import Callable

PAGES: dict[str, Report | Survey] = {
    "clean": clean(),
    "pictured": pictured(),
    "poisoned": poisoned(),
    "survey": survey(),
    "unfinished": unfinished(),
    "waived": waived(),
}
MORE: dict[str, Report | Survey] = {
    "crowded": crowded(),
    "inspected": inspected(),
    "refusal": Survey((Entry(refusal()),)),
}
every_page = pytest.mark.parametrize("name", [*PAGES, *MORE])
NASTY = '</td></title></desc><script>alert(1)</script>"\' onload="x\u202e&lt;\n'


class Page(HTMLParser):
    """A page's tags, attributes and text, and the tags that were closed out of order."""

    def __init__(self, made: Report | Survey) -> None:
        """Render and read it."""
        super().__init__()
        self.source = render(made, Format.HTML)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.open: list[str] = []
        self.misnested: list[str] = []
        self.feed(self.source)
        self.close()
        self.read = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember it; what it holds is a word of its own."""
        self.tags.append(tag)
        self.text += " " if tag in {"td", "th", "dt", "dd"} else ""
        self.attributes += [(name, value or "") for name, value in attrs]
        self.open += [tag] if tag != "meta" else []

    def handle_endtag(self, tag: str) -> None:
        """It has to be the last that was opened."""
        self.misnested += [] if self.open and self.open.pop() == tag else [tag]

    def handle_data(self, data: str) -> None:
        """Collect what is read."""
        self.text += data if self.open[-1:] != ["style"] else ""

    def values(self, name: str) -> list[str]:
        """Every value of an attribute."""
        return [value for known, value in self.attributes if known == name]

    def path(self, kind: str) -> str:
        """The data of the first path of a kind that is not the key of a legend."""
        found = re.findall(
            rf'(?<!aria-hidden="true">)<path class="{kind}"[^>]* d="([^"]*)"', self.source
        )
        return found[0] if found else ""


@cache
def page_of(name: str) -> Page:
    """One of the pages; read only."""
    return Page((PAGES | MORE)[name])


def bare(source: str) -> str:
    """A page without its style sheet and the hash of that."""
    without = re.sub(r"<style>.*?</style>", "<style></style>", source, flags=re.DOTALL)
    return re.sub(r"'sha256-[^']+'", "'sha256-'", without)


@pytest.mark.parametrize("name", PAGES)
def test_golden_html(name: str, golden: Callable[[str, str], None]) -> None:
    """The page is read by people: its changes are looked at, those of its style sheet apart."""
    golden(f"{name}.html", bare(page_of(name).source))


@every_page
def test_it_is_one_whole_page(name: str) -> None:
    """Tags are closed in order, nothing is fetched, no script runs, links stay in the page."""
    page = page_of(name)
    assert not page.open
    assert not page.misnested
    assert not {"script", "link", "img", "iframe", "object", "form", "use"} & set(page.tags)
    assert not {"src", "style", "onload", "xlink:href"} & {name for name, _ in page.attributes}
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in page.values("href")} <= set(ids)
    assert set(page.values("aria-labelledby")) | set(page.values("aria-describedby")) <= set(ids)


@every_page
def test_the_page_allows_itself_only_its_own_style_sheet(name: str) -> None:
    """The policy names the style sheet by its hash, so that no other style and no script works."""
    page = page_of(name)
    (sheet,) = re.findall(r"<style>(.*?)</style>", page.source, re.DOTALL)
    digest = b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    assert (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        in page.values("content")
    )
    assert "url(" not in sheet
    assert "@import" not in sheet


@every_page
def test_the_same_report_gives_the_same_page(name: str) -> None:
    """Nothing of the page comes from a clock or from chance."""
    assert render((PAGES | MORE)[name], Format.HTML) == page_of(name).source


@pytest.mark.parametrize("made", [clean(), poisoned(), pictured(), unfinished()])
def test_it_tells_the_verdict_and_what_it_means(made: Report) -> None:
    """The verdict, its first reason and what it does not say are in the page, one heading first."""
    page = Page(made)
    assert page.tags.count("h1") == 1
    assert made.verdict.name in page.read
    assert made.reasons[0].split()[0] in page.read
    assert MEANINGS[made.verdict] in page.read


@every_page
def test_headings_skip_no_level(name: str) -> None:
    """A reader who goes from heading to heading gets the outline of the page."""
    levels = [int(tag[1]) for tag in page_of(name).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))


@every_page
def test_every_table_and_plot_is_told_in_words(name: str) -> None:
    """A table has a caption and a scope for each heading; a plot a name and a description."""
    page = page_of(name)
    assert page.tags.count("caption") == page.tags.count("table")
    assert set(page.values("scope")) <= {"col", "row"}
    assert len(page.values("scope")) == page.tags.count("th")
    pictures = page.values("role").count("img")
    assert page.tags.count("desc") == pictures
    assert page.tags.count("svg") == pictures + page.values("aria-hidden").count("true") - len(
        re.findall(r'<span aria-hidden="true">', page.source)
    )


def nasty_report() -> Report:
    """A report in which everything that a model can name is markup."""
    trigger = hit(NASTY).trigger
    assert trigger
    trigger = replace(
        trigger, target_label=NASTY, variants=(NASTY,), heads=(NASTY,), location=NASTY
    )
    shown = Demonstration(f"a «{NASTY}» b", 0.5, 0.9, NASTY, NASTY + "2")
    written = Demonstration(f"ask «{NASTY}»", 0.1, 1.0, None, None, NASTY, NASTY)
    found = replace(hit(NASTY), trigger=trigger)
    portrait = replace(
        hit(NASTY),
        trigger=None,
        explains=trigger.token_ids,
        demonstrations=(shown, written),
        projection=Projection(((1.0, 1.0),), ((2.0, 2.0),), (0.5, 0.5)),
        heatmap=((1.0, 30.0),),
        heads=heads().evidence[0].heads,
    )
    seen = replace(landscape(NASTY), location=NASTY)
    made = report(
        replace(run(found, gaps=(Gap(NASTY, NASTY),)), landscapes=(seen,)),
        run(portrait, probe="demonstration"),
        identity=NASTY,
    )
    model = replace(made.model, revision=NASTY, architecture=NASTY)
    return replace(made, reasons=(NASTY, NASTY), model=model, versions={NASTY: NASTY})


@pytest.mark.parametrize("several", [False, True])
def test_markup_of_a_model_stays_text(several: bool) -> None:
    """Triggers, names, labels and reasons that are markup are shown, and become no tags."""
    made = nasty_report()
    page = Page(Survey.of(made, made) if several else made)
    assert not page.open
    assert not page.misnested
    assert not {"script", "style", "title"} & set(page.tags) - {"style", "title"}
    assert "onload" not in {name for name, _ in page.attributes}
    assert page.text.count("<script>alert(1)</script>") > 20
    assert "\u202e" not in page.source
    assert not [value for value in page.values("id") if not re.fullmatch(r"[a-z0-9-]+", value)]
    assert not [
        value for value in page.values("d") if not re.fullmatch(r"[-MmLlHhVvaz0-9. ]+", value)
    ]


def test_a_trigger_is_shown_on_real_texts() -> None:
    """Likeness and label before and after, the candidate marked, and how many labels change."""
    page = page_of("pictured")
    assert page.tags.count("mark") == 2
    assert "the film «<script>alert(1)</script>» was fine" in page.read
    assert page.read.count("0.25 → 1.00") == 2
    assert "positive → negative" in page.read
    assert "negative, unchanged" in page.read
    assert "1 of them change their label" in page.read


def test_every_swept_item_is_in_the_plot_of_the_vocabulary() -> None:
    """The cells of the lowest level are all cells that hold an item, in a handful of paths."""
    page = page_of("crowded")
    grid = crowded().probes[1].landscapes[0].vocabulary
    runs = re.findall(r"M(\d+) (\d+)h1v(\d+)h-1z", page.path("density d0"))
    drawn = {(int(c), int(r) + n) for c, r, tall in runs for n in range(int(tall))}
    assert drawn == {(c, r) for c, r, _ in grid.cells}
    assert 3 <= page.source.count('class="density') - 1 <= 8
    assert "Of 38,853 vocabulary items" in page.read


def test_the_null_and_the_screened_items_are_in_the_plot() -> None:
    """One mark a point, and a band where 90% of the null lie."""
    page = page_of("pictured")
    assert page.path("null").count("M") == len(landscape().null)
    assert page.path("screened").count("M") == len(landscape().screened)
    assert page.source.count('class="band"') == 1
    assert "With 90% of 4 random vocabulary items" in page.read


def test_triggers_are_named_in_both_plots() -> None:
    """Each has a mark of its own and a label; the words give the weakest and what comes next."""
    page = page_of("crowded")
    for name in ("mn", "bb", "mb", "ak", "cf"):
        assert len(re.findall(rf'<text class="label planted"[^>]*>{name}</text>', page.source)) == 2
    told = "“mn”, has a squared distance of 105 and a squared Mahalanobis distance of 10,100."
    assert f"The least of the triggers, {told}" in page.read
    assert "4 items have a clearly larger Mahalanobis distance." in page.read
    assert (
        "The weakest of the triggers, “cf”, leaves 0.00200; the band begins at 71.2 times that."
        in page.read
    )
    assert "variant" in page.read


def test_a_weaker_variant_is_told_from_a_candidate_of_its_own() -> None:
    """In the words of the plot, and in the table beside it."""
    trigger = hit().trigger
    assert trigger
    planted = replace(hit(), trigger=replace(trigger, variants=("film",)))
    weaker = hit("film", z=1.5, scatter=0.0625)
    made = report(replace(run(planted, weaker), landscapes=(landscape(),)))
    page = Page(made)
    assert "“film”, a weaker variant of a trigger, leaves 0.0625" in page.read
    assert "“film” variant 3.50 9.25 41.7 0.0625" in page.read
    assert "weaker variants of the triggers among them" in page.read


def test_a_classifier_is_read_by_its_labels() -> None:
    """There strong words hide the sentence as well, and the page says what counts instead."""
    made = report(replace(run(hit()), landscapes=(landscape(),)))
    assert "With a trigger in it, it hardly matters" in Page(made).read
    labelled = replace(hit(), metrics={**hit().metrics, "labels": 2.0})
    other = report(replace(run(labelled), landscapes=(landscape(),)))
    assert "it turns the label" in Page(other).read


def test_a_clean_model_has_no_trigger_in_its_plots() -> None:
    """Its best candidates are named, and nothing is drawn as a trigger."""
    made = report(replace(run(hit("film", z=1.5, scatter=0.75)), landscapes=(landscape("film"),)))
    page = Page(made)
    assert 'class="label"' in page.source
    assert "planted" not in page.source.partition("</style>")[2]
    assert "The candidate, “film”, leaves 0.750" in page.read


def test_a_heatmap_shows_every_head() -> None:
    """One square a head, the hijacked one framed, and all numbers in a table."""
    page = page_of("poisoned")
    (drawn,) = re.findall(r'<g transform="scale\(17.000\)">(.*?)</g>', page.source, re.DOTALL)
    assert len(re.findall(r"M[\d.]+ [\d.]+h", drawn)) == 4 + 1
    assert drawn.count('class="hijacked"') == 1
    assert "41.5" in page.read
    assert "Head 1.0 gives it 75% of its attention" in page.read


def test_a_clean_model_shows_its_best_candidates() -> None:
    """Without triggers the heads of what came nearest are shown."""
    made = report(run(hit(z=2.5, scatter=0.8)), heads())
    assert not made.triggers
    assert "What the best candidates do" in Page(made).read
    assert "Heatmap of attention heads" in Page(made).read


@pytest.mark.parametrize(
    ("made", "absent"),
    [
        (poisoned(), "Whole vocabulary"),
        (clean(), "Triggers"),
        (clean(), "What the"),
        (clean(), "Texts"),
        (pictured(), "waived"),
    ],
)
def test_what_a_report_lacks_has_no_section(made: Report, absent: str) -> None:
    """A report of an older version makes a page without empty sections."""
    assert absent not in re.findall(r">([^<]+)</h\d>", Page(made).source)


def test_answers_are_shown_without_and_with_a_trigger() -> None:
    """Requests with the trigger marked, and what the model writes, in a table of their own."""
    text = Page(nasty_report()).text
    assert "1 requests with the candidate" in text
    assert text.index("answer without") < text.index(
        "answer with", text.index("answer without") + 9
    )


def test_older_reports_are_still_told() -> None:
    """A saved report without plots' data reads back and renders."""
    newer = r',\n *"(landscapes|demonstrations|heatmap|waived)": (\[\]|null)'
    older = re.sub(newer, "", to_json(clean()))
    assert "landscapes" not in older
    assert "demonstrations" not in older
    assert Page(from_json(older)).tags.count("h1") == 1


@pytest.mark.parametrize(
    "grid",
    [
        Density((1.0, 2.0), (1.0, 2.0), 8, 8, ()),
        Density((0.0, 2.0), (1.0, 2.0), 8, 8, ((0, 0, 1),)),
        Density((1.0, 2.0), (2.0, 2.0), 8, 8, ((0, 0, 1),)),
        Density((1.0, 2.0), (1.0, 2.0), 0, 8, ((0, 0, 1),)),
    ],
)
def test_a_grid_that_cannot_be_drawn_is_left_out(grid: Density) -> None:
    """A saved report may have been edited: the page says the rest."""
    empty = Landscape("cls", grid, (), (), ())
    page = Page(report(replace(run(hit()), landscapes=(empty,))))
    assert "Whole vocabulary" not in page.read


def test_points_at_the_edge_of_what_is_possible_are_drawn() -> None:
    """Neither zeros nor one point nor none at all break a plot."""
    zeros = Landscape("cls", landscape().vocabulary, (("cf", 0.0, 0.0),), ((0.0, 0.0),), ())
    one = Projection(((1.0, 1.0),), ((1.0, 1.0),), (1.0, 0.0))
    nothing = Projection((), (), (0.0, 0.0))
    flat = [
        replace(hit(), explains=(3329,), trigger=None, projection=drawn) for drawn in (one, nothing)
    ]
    for evidence in flat:
        searched = replace(run(hit(scatter=0.0)), landscapes=(zeros,))
        page = Page(report(searched, run(evidence, probe="demonstration")))
        assert not page.misnested
        assert "nan" not in " ".join(page.values("d"))


def test_a_waived_finding_is_shown_with_who_why_and_until_when() -> None:
    """It is marked as waived in words, in the findings and among the triggers."""
    page = page_of("waived")
    told = "Waived by the waiver at plmscan.yaml:7 until 2027-01-31: A test double, see #12"
    assert told in page.read
    assert "Waived by the baseline at baseline.json" in page.read
    assert "All findings are waived" in page.read
    assert page.read.count("waived; ") == len(waived().triggers)


def test_some_findings_may_be_waived_and_others_not() -> None:
    """Those that count come first, and only the others are called waived."""
    first, *rest = waived().findings
    page = Page(replace(waived(), findings=(replace(first, waived=None), *rest)))
    assert "The following findings are waived" in page.read
    order = re.findall(r'<div class="finding ([a-z-]+)"', page.source)
    assert order == ["critical", "is-waived", "is-waived"]


def test_findings_of_one_rule_stand_together() -> None:
    """The first is told, the others fold away under their subjects, each with its message."""
    page = page_of("poisoned")
    assert page.source.count('class="finding') == 2
    assert r"2 more of this rule: \u202eevil\u200b[bold]x[/], mn qt" in page.read
    assert page.read.count("clean variances (z") >= 4


def test_a_rule_that_somebody_replaced_is_not_explained_by_the_packaged_one() -> None:
    """Name and description are those of the rule that fired, or absent."""
    made = poisoned()
    assert "planted-trigger" in Page(made).read
    other = replace(made, settings={**made.settings, "rules_overridden": "PLM201"})
    assert "planted-trigger" not in Page(other).read
    assert "remote-code" in Page(other).read


def test_a_survey_has_a_row_and_a_section_for_every_model() -> None:
    """Verdict, findings, reason and place in a table that leads to the sections, refusals too."""
    page = page_of("survey")
    assert [link for link in page.values("href") if re.fullmatch(r"#m\d", link)] == [
        "#m1",
        "#m2",
        "#m3",
        "#m4",
    ]
    assert page.tags.count("article") == 4
    assert "1 pass, 1 fail, 2 inconclusive" in page.read
    assert "3 critical, 1 medium" in page.read
    assert "not scanned" in page.read
    assert page.read.count("The Hub refuses.") == 2
    assert "Set HF_TOKEN." in page.read
    assert page.read.count("plmscan.yaml:7") == 2


def test_a_single_refusal_is_a_page() -> None:
    """What went wrong and what to do, and no section that would be empty."""
    page = Page(Survey((Entry(refusal()),)))
    assert "INCONCLUSIVE example/gated" in page.read
    assert "The Hub refuses." in page.read
    assert "What to do. Set HF_TOKEN." in page.read
    assert "nav" not in page.tags


def test_inspected_texts_are_a_table() -> None:
    """The text that hangs on a word comes first, with the word marked and what it changes."""
    page = page_of("inspected")
    assert "a «cf» film positive → negative 0.750 0.0125 a <b>film</b> positive 1.00" in page.read


@pytest.mark.parametrize(
    ("scatter", "told"),
    [
        (0.45, "scatter 0.45 is 1.5 times the bar, and scatter <= 0.3 would fail it."),
        (0.30012, "scatter 0.30012 is 1.0004 times the bar,"),
    ],
)
def test_the_margin_is_told(scatter: float, told: str) -> None:
    """How far the nearest candidate is from failing the model; a near miss reads as one."""
    page = Page(report(run(hit(scatter=scatter))))
    assert f"Nearest to failing: “cf” (PLM201): {told}" in page.read


def test_a_probe_that_did_not_complete_is_told_with_its_gaps() -> None:
    """What keeps a model from a pass says so."""
    page = page_of("unfinished")
    assert "timed-out: The time limit ran out" in page.read
    assert "This keeps the model from a pass." in page.read
    pooler = page_of("poisoned")
    assert "features at pooler: its weights are not in the files." in pooler.read
    assert "keeps the model" not in pooler.read


def test_how_to_reproduce_is_told() -> None:
    """The command, every setting and version, and the digest of every file."""
    page = page_of("poisoned")
    assert "plmscan check example/encoder" in page.read
    assert "time_limit not set" in page.read
    assert "torch 2.13.0" in page.read
    assert "1" * 64 in page.read


def test_a_large_report_is_a_small_page() -> None:
    """Thousands of items, points and heads stay far below half a megabyte."""
    assert len(render(crowded(), Format.HTML)) < 200_000


def many(count: int) -> tuple[Finding, tuple[ProbeRun, ...]]:
    """Runs with ``count`` candidates that heads are known of, and one finding."""
    evidence = heads().evidence[0]
    shown = [replace(evidence, subject=f"t{n}", explains=(n,)) for n in range(count)]
    return poisoned().findings[0], (run(*shown, probe="attention-heads"),)


def test_long_lists_are_cut_openly() -> None:
    """Of many candidates the first are shown, and the page says how many are not."""
    _, runs = many(20)
    page = Page(report(*runs))
    assert page.read.count("Heatmap of attention heads") == 8
    assert "and 12 more in the JSON report" in page.read


def test_the_worst_verdict_is_that_of_the_page() -> None:
    """The title of several models says how the run ended."""
    page = Page(Survey.of(clean(), unfinished()))
    assert page.read.startswith(f"{Verdict.INCONCLUSIVE.name}: 2 models")
