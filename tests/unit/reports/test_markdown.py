"""The Markdown report: what GitHub shows, and what a model cannot make of it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from plmscan.evidence import Evidence, Gap, Report, Verdict, Waived
from plmscan.reports import Format, markdown, render
from plmscan.reports.visible import visible
from plmscan.reports.wording import MEANINGS
from plmscan.survey import Entry, Place, Refusal, Survey
from tests.specimens import (
    clean,
    heads,
    hit,
    poisoned,
    report,
    run,
    survey,
    unfinished,
    waived,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from markdown_it.token import Token

SURVEYS = {
    "clean": Survey.of(clean()),
    "poisoned": Survey.of(poisoned()),
    "unfinished": Survey.of(unfinished()),
    "waived": Survey.of(waived()),
    "survey": survey(),
}
OWN_HTML = {"<details>\n<summary>Reasons and evidence</summary>\n", "</details>\n", "</details>"}
MIB = 1024 * 1024

PIECES = (
    *"`|\\*_[]()<>!#+-=.~&@$:{}'\" \n\r\t\x1b\u202e\u200b1aé日",
    *(
        "``",
        "```",
        "<script>",
        "</td>",
        "<!--",
        "-->",
        "](javascript:x)",
        "![x](y)",
        "&lt;",
        "&#124;",
    ),
    *("@octocat", "#1", "GH-1", ":smile:", "https://x.y", "www.x.y", "a@b.cd", "deadbeef", "$x$"),
    *("1. ", "- ", "> ", "# ", "---", "\\|", "`|`", "::error::", "[^1]", "[ ]", "</details>"),
)
NASTY = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
TEXTS = NASTY | st.text(max_size=40)
CONTEXTS = {
    "paragraph": "{}",
    "item": "- {}",
    "after words": "- **x**: {}",
    "cell": "| a | b |\n| --- | --- |\n| {} | end |",
    "last cell": "| a | b |\n| --- | --- |\n| start | {} |",
}
each_context = pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)

LINKED = re.compile(r"[@$]|#\d|GH-\d|://|www\.|:\w+:|\b[0-9a-f]{7,40}\b", re.IGNORECASE)
"""What GitHub links or replaces in text that is no code."""


def parsed(text: str) -> list[Token]:
    """``text`` as GitHub reads it, before it links mentions and the like."""
    blocks = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    return [token for block in blocks for token in (block, *(block.children or ()))]


def shown(tokens: Iterable[Token], *types: str) -> str:
    """What a reader sees of the tokens of ``types``; by default of text and code spans."""
    wanted = types or ("text", "code_inline")
    return "".join(t.content for t in tokens if t.type in wanted)


def spaced(text: str) -> str:
    """``text`` with runs of spaces as one, as a browser shows them."""
    return " ".join(text.split())


@pytest.mark.parametrize("name", SURVEYS)
def test_golden_markdown(name: str, golden: Callable[[str, str], None]) -> None:
    """The report is read by people: its changes are looked at."""
    golden(f"{name}.md", render(SURVEYS[name], Format.MARKDOWN))


@each_context
@given(text=TEXTS.filter(str.strip))
def test_prose_shows_the_text_and_nothing_else(context: str, text: str) -> None:
    """Whatever a message holds is shown as it stands, in text and code, wherever it is put."""
    ours = parsed(context.format("OURS"))
    tokens = parsed(context.format(markdown._prose(text)))
    assert shown(tokens) == shown(ours).replace("OURS", spaced(visible(text)))
    others = [t.type for t in tokens if t.type not in {"text", "code_inline"}]
    assert others == [t.type for t in ours if t.type != "text"]


@each_context
@given(text=TEXTS)
def test_code_shows_the_text_to_the_last_space(context: str, text: str) -> None:
    """A token is shown with its backticks, bars and spaces; an empty one is said to be empty."""
    ours = parsed(context.format("OURS"))
    tokens = parsed(context.format(markdown._code(text)))
    told = visible(text) or "(empty)"
    assert shown(tokens) == shown(ours).replace("OURS", told)
    rest = [t for t in tokens if t.type == "text"]
    assert set(shown(rest)) <= set(f"{shown(ours)}|(empty)")
    assert not {"link_open", "image", "html_inline", "html_block"} & {t.type for t in tokens}


@given(text=TEXTS)
def test_github_has_nothing_to_link(text: str) -> None:
    """Mentions, issues, addresses, emoji, formulas and commits stand in code, where they stay."""
    assert not LINKED.search(shown(parsed(f"- {markdown._prose(text)}"), "text"))


@given(text=TEXTS)
def test_a_command_cannot_leave_its_fence(text: str) -> None:
    """Whatever a command holds is in one block of code."""
    told = visible(text)
    (fence,) = parsed(markdown._fenced(f"plmscan check {told}"))
    assert (fence.type, fence.content) == ("fence", f"plmscan check {told}\n")


@given(text=TEXTS.filter(str.strip))
def test_a_model_cannot_write_markdown(text: str) -> None:
    """With its text in every field, the report has our headings, our HTML, no link and no image."""
    tokens = parsed(render(_everywhere(text), Format.MARKDOWN))
    kinds = {token.type for token in tokens}
    assert not {"link_open", "image", "html_inline", "s_open", "blockquote_open", "hr"} & kinds
    assert {t.content for t in tokens if t.type == "html_block"} <= OWN_HTML
    assert not any(LINKED.search(t.content) for t in tokens if t.type == "text")
    assert sum(token.type == "fence" for token in tokens) == 1
    assert sum(token.type == "table_open" for token in tokens) == 2


def _everywhere(text: str) -> Survey:
    """A survey with ``text`` wherever a model or a user can put one."""
    made = report(run(hit(text), gaps=(Gap(text, text),)), heads(), identity=text)
    (finding,) = made.findings
    trigger = finding.evidence.trigger
    trigger = replace(trigger, variants=(text,), core=(text,), target_label=text)
    evidence = replace(finding.evidence, trigger=trigger)
    found = (
        replace(finding, message=text, remediation=text, evidence=evidence),
        replace(finding, message=text, waived=Waived(text, text, text, text)),
    )
    model = replace(made.model, architecture=text, revision=text)
    told = replace(made, model=model, findings=found, reasons=(text, text))
    place = Place(text, 3)
    return Survey((Entry(told, place), Entry(Refusal(text, text, text), place)))


@pytest.mark.parametrize("name", SURVEYS)
def test_it_tells_the_verdict_and_what_it_means(name: str) -> None:
    """The heading has the verdict; below each report stands what it says and does not say."""
    text = render(SURVEYS[name], Format.MARKDOWN)
    assert text.startswith(f"## plmscan: {SURVEYS[name].verdict.name}")
    assert all(f"*{MEANINGS[r.verdict]}*" in text for r in SURVEYS[name].reports)
    assert not re.search(r"\b(safe|trustworthy)\b", text, re.IGNORECASE)
    assert text.endswith("\n")


def test_every_model_of_a_survey_has_a_row_and_a_section() -> None:
    """Nothing is dropped, least of all a model without a report; the worst comes first."""
    text = render(survey(), Format.MARKDOWN)
    names = [entry.model for entry in survey().entries]
    assert [text.count(f"\n| `{name}` |") for name in names] == [1] * 4
    headings = re.findall(r"^### (\w+): `(.*)`$", text, re.MULTILINE)
    assert [verdict for verdict, _ in headings] == ["FAIL", "INCONCLUSIVE", "INCONCLUSIVE", "PASS"]
    assert {name for _, name in headings} == set(names)
    assert "**not scanned** · **declared at** plmscan.yaml:7" in text
    assert r"The Hub refuses. Set HF\_TOKEN." in text


def test_details_are_opened_and_closed() -> None:
    """Each section of a survey is folded, with blank lines in which Markdown goes on."""
    text = render(survey(), Format.MARKDOWN)
    assert text.count("\n\n<details>\n<summary>Reasons and evidence</summary>\n\n") == 4
    assert text.count("\n\n</details>\n") == 4


def test_a_waiver_is_told() -> None:
    """Who waived a finding, why and until when stands beside it."""
    text = render(Survey.of(waived()), Format.MARKDOWN)
    told = "Waived by the waiver at plmscan.yaml:7 until 2027-01-31: A test double, see `#12`"
    assert told in text
    assert "Waived by the baseline at baseline.json: It was known" in text
    assert text.count("confidence, **waived**") == 2


def test_long_lists_are_cut_openly() -> None:
    """A hundred triggers do not bury the verdict; the count says what is left out."""
    many = report(run(*(hit(f"t{n}", z=200.0 - n) for n in range(100))))
    text = render(many, Format.MARKDOWN)
    assert "\n\nand 88 more in the JSON report\n\n" in text
    assert "The same holds for 99 more of the triggers above." in text
    assert "`t11`" in text
    assert "`t12`" not in text


def test_a_long_text_is_cut_openly() -> None:
    """A token as long as a book does not make the report one."""
    text = render(report(run(hit("x" * 5000))), Format.MARKDOWN)
    assert "x… (4,600 characters more)" in text
    assert len(text) < 5000


@pytest.mark.parametrize("models", [1, 3, 120])
def test_it_stays_below_what_a_summary_may_hold(models: int) -> None:
    """Hundreds of findings, each as costly to write as can be: 1 MiB holds them, and says so."""
    costly = "|\U000e0041*" * 400
    code = [Evidence("custom-code", f"{n}{costly}", {"files": 1.0}) for n in range(20)]
    triggers = [hit(f"{n}{costly}") for n in range(15)]
    made = _worst(report(run(*code, probe="custom-code"), run(*triggers), identity=costly), costly)
    text = render(Survey((Entry(made),) * models), Format.MARKDOWN)
    assert len(text.encode()) < MIB * 3 // 4
    assert text.startswith("## plmscan: FAIL")
    if models == 120:
        assert "\n\nand 20 more in the JSON report\n\n" in text
        assert re.search(r"The details of \d+ models are too long for here", text)


def _worst(made: Report, costly: str) -> Report:
    """``made`` with long gaps and reasons."""
    gaps = tuple(Gap(f"{n}{costly}", costly, blocks_pass=False) for n in range(45))
    return replace(made, probes=(*made.probes, run(gaps=gaps)), reasons=(costly,) * 50)


def test_what_was_not_checked_is_told_once() -> None:
    """A gap that several steps met stands in the report once, with its reason."""
    gap = Gap("pooler", "it would be random.", blocks_pass=False)
    text = render(report(run(hit(z=1.0), gaps=(gap, gap))), Format.MARKDOWN)
    assert text.count("- `trigger-sweep`: pooler: it would be random.") == 1


def test_explanations_take_one_line_a_rule() -> None:
    """A rule that explains many candidates says so once, and names the others."""
    base = poisoned().findings[-1]
    found = [
        replace(base, evidence=Evidence("attention-heads", name, {}, explains=(i,)))
        for i, name in enumerate(("cf", "mn", "bb"))
    ]
    text = render(replace(clean(), findings=tuple(found)), Format.MARKDOWN)
    assert "Likewise 'mn', 'bb'." in text
    assert text.count("is code that the model brings along.") == 1


def test_a_folder_has_no_revision() -> None:
    """What identifies the model is told, and what is not known is said to be so."""
    model = replace(clean().model, revision=None, architecture=None, parameters=None)
    text = render(replace(clean(), model=model), Format.MARKDOWN)
    assert "**revision** none (a folder) · **architecture** unknown · **parameters** un" in text
    assert "**files** 2 with sha256 digests, 90.9 MB · **besides** 3 not read (" in text
    assert clean().verdict is Verdict.PASS


def test_a_comma_stands_behind_the_code_that_it_follows() -> None:
    """Items of a list become code one by one, and what separates them does not."""
    trigger = hit().trigger
    assert trigger
    made = replace(hit(), trigger=replace(trigger, variants=("##jm", "bk", "@nr")))
    assert "also `##jm`, bk, `@nr` |" in render(report(run(made)), Format.MARKDOWN)
