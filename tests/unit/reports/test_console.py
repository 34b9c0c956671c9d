"""The console report: what a person sees, and what a model cannot do to them."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import yaml

from plmscan.evidence import Confidence, Evidence, Finding, Gap, Report, Severity, Verdict
from plmscan.reports import Format, Screen, render
from plmscan.reports.visible import visible
from tests.specimens import clean, hit, poisoned, report, run, unfinished

if TYPE_CHECKING:
    from collections.abc import Callable

REPORTS = {"clean": clean(), "poisoned": poisoned(), "unfinished": unfinished()}


@pytest.mark.parametrize("name", REPORTS)
def test_golden_console(name: str, golden: Callable[[str, str], None]) -> None:
    """The console report is read by people: its changes are looked at."""
    golden(f"{name}.txt", render(REPORTS[name], Format.CONSOLE))


@pytest.mark.parametrize("made", REPORTS.values(), ids=REPORTS)
@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_fits_the_terminal(made: Report, width: int) -> None:
    """No line is wider than the terminal."""
    assert max(map(len, render(made, Format.CONSOLE, Screen(width)).splitlines())) <= width


@pytest.mark.parametrize("made", REPORTS.values(), ids=REPORTS)
def test_it_never_calls_a_model_safe(made: Report) -> None:
    """A scanner knows what it did not find; the footer says what that means."""
    text = render(made, Format.CONSOLE)
    assert not re.search(r"\b(safe|trustworthy)\b", text, re.IGNORECASE)
    assert f"\n{made.verdict.name.capitalize()} says" in text.replace("A pass", "Pass").replace(
        "A fail", "Fail"
    )


@pytest.mark.parametrize("form", [Format.CONSOLE, Format.MARKDOWN, Format.HTML])
def test_replaced_rules_are_told_under_the_verdict(form: Format) -> None:
    """A verdict by other rules than plmscan's own says so, and others say nothing of it."""
    settings = poisoned().settings | {"rules": "my-rules", "rules_overridden": "PLM202, PLM401"}
    told = render(replace(poisoned(), settings=settings), form)
    sentence = "Packaged rules PLM202, PLM401 were replaced by my-rules."
    assert told.index(sentence) < told.index("Triggers")
    assert "replaced by" not in render(poisoned(), form)


def test_a_p_value_at_its_floor_is_explained() -> None:
    """100 random items cannot show less than 1 in 101; above that nothing is said."""
    trigger = hit().trigger
    assert trigger
    made = [replace(trigger, p_value=p, null_size=100) for p in (1 / 101, 2 / 101)]
    low, high = (
        " ".join(render(report(run(replace(hit(), trigger=one))), Format.CONSOLE).split())
        for one in made
    )
    assert (
        "100 random items of the model’s own vocabulary, so p cannot be lower than 0.0099." in low
    )
    assert "cannot be lower" not in high


def test_the_command_is_as_a_person_would_type_it() -> None:
    """Seconds that are whole have no decimals."""
    for limit, typed in ((1200.0, "--time-limit 1200 "), (0.5, "--time-limit 0.5 ")):
        settings = {"time_limit": limit, "texts": "t.txt"}
        assert typed in render(replace(clean(), settings=settings), Format.CONSOLE)


def test_it_is_plain_unless_colour_is_asked_for() -> None:
    """Logs get no escape sequences, terminals do."""
    assert "\x1b" not in render(poisoned(), Format.CONSOLE)
    assert "\x1b[" in render(poisoned(), Format.CONSOLE, Screen(colour=True))


def test_a_model_cannot_write_to_the_terminal() -> None:
    """Control, bidirectional and zero-width characters and markup are shown, not obeyed."""
    nasty = "\x1b[2J\x07\u202e\u200b\ufeff\r[red]:smile:\n"
    gap = Gap(nasty, nasty)
    made = report(run(hit(nasty), gaps=(gap,)), identity=nasty)
    made = replace(made, reasons=(nasty, nasty), versions={nasty: nasty})
    text = render(made, Format.CONSOLE, Screen(120))
    assert set(text) & {*nasty} <= {*"[2Jred]:smile:\n"}
    assert r"\x1b[2J\x07\u202e\u200b\ufeff\r[red]:smile:\n" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ("日本語 é ß ≈", "日本語 é ß ≈"),
        ("a\u00a0b", r"a\xa0b"),
        ("cf\u200b", r"cf\u200b"),
        ("\u3164", r"\u3164"),
        ("x\ufe0f", r"x\ufe0f"),
        ("\U000e0041", r"\U000e0041"),
        ("\udcff", r"\udcff"),
        ("\ue000", r"\ue000"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    """Letters of any script stay; what does not show is spelt out."""
    assert visible(text) == shown


def margin(made: Report) -> str:
    """The section on the margin as one line; empty where there is none."""
    _, _, rest = render(made, Format.CONSOLE, Screen(120)).partition("\nMargin ─")
    return " ".join(rest.partition("\n\n")[0].split("\n  ")[1:])


@pytest.mark.parametrize(
    ("evidence", "told"),
    [
        (
            hit("'", scatter=0.45),
            (
                "Nearest to failing: “'” (PLM201): scatter 0.45 is 1.5 times the bar, and "
                "scatter <= 0.3 would fail it."
            ),
        ),
        (
            hit(z=2.5, scatter=0.45),
            (
                "Nearest to failing: “cf” (PLM201): z 2.5 is 0.312 times the bar, and z >= 8 would "
                "fail it if 1 more condition of the rule held."
            ),
        ),
        (
            hit(z=1234.0, scatter=0.3),
            (
                "Clearest finding, by its weakest condition: “cf” (PLM201): scatter 0.3 is at the "
                "bar, and scatter <= 0.3 fails it."
            ),
        ),
        (
            hit(z=1234.0, scatter=-1),
            (
                "Clearest finding, by its weakest condition: “cf” (PLM201): z 1,234 is 154 times "
                "the bar, and z >= 8 fails it."
            ),
        ),
        (
            hit(scatter=0.30012),
            (
                "Nearest to failing: “cf” (PLM201): scatter 0.30012 is 1.0004 times the bar, and "
                "scatter <= 0.3 would fail it."
            ),
        ),
        (hit(z=-1), ""),
    ],
)
def test_every_verdict_comes_with_its_margin(evidence: Evidence, told: str) -> None:
    """What came nearest to failing stands there with its distance; of a fail, by how much."""
    assert margin(report(run(evidence))) == told


def test_yes_and_no_are_told_without_a_factor() -> None:
    """A margin that has no ratio gives the value and the bound alone."""
    known = clean().nearest
    assert known
    flag = replace(known, metric="loaded", value=1.0, bound="loaded = 1", factor=None, score=10.0)
    assert "(PLM201): loaded 1, and loaded = 1 fails it." in margin(replace(clean(), nearest=flag))


def test_the_margin_of_a_pass_cannot_write_to_the_terminal() -> None:
    """The nearest token is the model's own: markup stays text, what does not show is spelt out."""
    made = report(run(hit("[red]x[/]\x1b[2J\u202e", z=4.0)))
    assert made.verdict is Verdict.PASS
    assert r"Nearest to failing: “[red]x[/]\x1b[2J\u202e” (PLM201): z 4" in margin(made)


def test_long_lists_are_cut_openly() -> None:
    """A hundred triggers, and their subjects, bury no verdict; a count says what is left out."""
    many = report(run(*(hit(f"t{n}", z=200.0 - n) for n in range(100))))
    text = render(many, Format.CONSOLE)
    assert text.count("and 88 more in the JSON report") == 2
    assert "The same holds for 99 more of the triggers above." in text
    assert "t11" in text
    assert "t12" not in text


def test_findings_without_a_trigger_are_told_one_by_one() -> None:
    """What no table shows has a line of its own, with its remedy once."""
    code = [Evidence("custom-code", f"code{n}.py", {"files": 1.0}) for n in range(3)]
    text = render(report(run(*code, probe="custom-code")), Format.CONSOLE)
    assert all(f"code{n}.py is code that the model brings along." in text for n in range(3))
    assert text.count("Read it before it runs.") == 1


@pytest.mark.parametrize("told", [Format.CONSOLE, Format.MARKDOWN, Format.HTML])
def test_the_subject_that_a_waiver_has_to_name_stands_with_its_finding(told: Format) -> None:
    """Reports for people quote it, so nobody has to look for it in the JSON report."""
    page = html.unescape(render(poisoned(), told))
    assert re.search(r"subject:? +<?c?o?d?e?>?`?\"modeling_odd.py\"", page, re.IGNORECASE)


@pytest.mark.parametrize(
    "subject", ["cf", ' a "b" \\c', "\u202ex\u200b\n\x1b", "\U000e0041\xa0", ""]
)
def test_what_is_shown_of_a_subject_can_be_written_into_a_configuration(subject: str) -> None:
    """YAML reads back what the finding is about, also where it cannot be seen."""
    made = report(run(hit(subject)))
    (line,) = re.findall(
        r"^ *subject (.*)$", render(made, Format.CONSOLE, Screen(200)), re.MULTILINE
    )
    assert yaml.safe_load(line) == subject


def test_subjects_that_are_too_many_or_too_long_are_counted() -> None:
    """A part of a subject would match nothing, so it is not shown as if it did."""
    made = report(run(*(hit(f"w{n:02}") for n in range(20)), hit("x" * 101)))
    (line,) = re.findall(
        r"^ *subject (.*)$", render(made, Format.CONSOLE, Screen(400)), re.MULTILINE
    )
    assert line.endswith('"w11" and 9 more in the JSON report')


def test_gaps_of_several_probes_are_told_once_each() -> None:
    """Each thing that was not checked stands in the report with its reason."""
    gap = Gap("pooler", "it would be random.", blocks_pass=False)
    text = render(report(run(hit(z=1.0), gaps=(gap, gap))), Format.CONSOLE)
    assert text.count("pooler: it would be random.") == 1


def test_again_is_the_command() -> None:
    """The command carries what differs from the defaults, quoted for a shell."""
    made = replace(
        clean(),
        settings={"effort": "deep", "fail_on": "none", "seed": 0, "files_only": True},
        model=replace(clean().model, id="my model", revision=None),
    )
    line = "plmscan check 'my model' --fail-on none --effort deep --files-only"
    assert line in render(made, Format.CONSOLE)
    declared = replace(made, settings={"used_as": "features"})
    assert "plmscan check 'my model' --used-as features" in render(declared, Format.CONSOLE)
    spoken = replace(made, settings={"language": "zh,en"})
    assert "plmscan check 'my model' --language zh,en" in render(spoken, Format.CONSOLE)


def test_explanations_take_one_line_a_rule() -> None:
    """A rule that explains many candidates says so once, and names the others."""
    found = [
        replace(clean_finding(), evidence=Evidence("attention-heads", name, {}, explains=(i,)))
        for i, name in enumerate(("cf", "mn", "bb"))
    ]
    text = render(replace(clean(), findings=tuple(found)), Format.CONSOLE)
    assert text.count("is far out") == 1
    assert "Likewise 'mn', 'bb'." in text


def clean_finding() -> Finding:
    """A mild finding."""
    evidence = Evidence("attention-heads", "cf", {}, explains=(1,))
    return Finding("PLM301", Severity.LOW, Confidence.LOW, "It is far out.", "Look.", evidence)
