"""The JSON report: its schema, its rounding, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from importlib import resources
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from plmscan.errors import ReportError
from plmscan.evidence import Evidence, Report, Trigger
from plmscan.reports import Format, json_v1, render
from plmscan.reports.json_v1 import from_json, json_schema, survey_from_json, survey_schema, to_json
from plmscan.survey import Entry, Survey
from tests.specimens import (
    clean,
    heads,
    hit,
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

SHIPPED = resources.files("plmscan.reports") / "report-v1.schema.json"


@pytest.mark.parametrize("made", [clean(), poisoned(), unfinished()])
def test_reports_keep_to_the_shipped_schema(made: Report) -> None:
    """What is written is valid under the schema file of the package, checked independently."""
    schema = json.loads(SHIPPED.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(to_json(made)), schema)


def test_the_shipped_schema_is_the_formats() -> None:
    """The schema file is what the format's classes give."""
    assert SHIPPED.read_text(encoding="utf-8") == json_schema()


def test_golden_json(golden: Callable[[str, str], None]) -> None:
    """The JSON of a report is API: not one byte changes by accident."""
    golden("poisoned.json", to_json(poisoned()))


def test_numbers_keep_six_digits_and_texts_stay_readable() -> None:
    """Floats are rounded, keys sorted, lone surrogates of file names spelt out."""
    odd = Evidence("p", "caf\udce9", {"z": 1 / 3, "a": 123456789.0}, {"ratio": 2 / 3})
    written = json.loads(to_json(report(run(odd))))["probes"][0]["evidence"][0]
    assert written["subject"] == "caf\\udce9"
    assert list(written["metrics"].items()) == [("a", 123457000.0), ("z", 0.333333)]
    assert written["details"] == {"ratio": 0.666667}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_lacks_are_refused(number: float) -> None:
    """NaN and infinities are no JSON; the scan keeps them out, the writer does not invent."""
    with pytest.raises(ReportError, match=r"cannot be written.*metrics\.z"):
        to_json(report(run(Evidence("p", "s", {"z": number}))))


def edited(**changes: object) -> str:
    """The JSON of a report with some top-level fields replaced."""
    document: dict[str, Any] = json.loads(to_json(poisoned()))
    return json.dumps(document | changes)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "Invalid JSON"),
        ("[]", "object"),
        ("{}", "schema"),
        (b"\xff\xfe", "Invalid JSON"),
        (edited(schema="plmscan.report/v2"), "schema"),
        (edited(verdict="safe"), "verdict: must be one of pass, fail, inconclusive"),
        (edited(verdict=0), "verdict: must be one of"),
        (edited(surprise=1), "surprise"),
        (edited(probes=[{"id": 3}]), "probes.0.id"),
        (edited(settings={"seed": [1]}), "settings.seed"),
        (edited(seed="7"), "seed"),
        (to_json(clean()).replace("2.5", "NaN", 1), "finite"),
        ("[" * 100_000, "Invalid JSON"),
    ],
)
def test_broken_reports_are_refused(text: str | bytes, complaint: str) -> None:
    """Anything but a report of this format is one sentence that names the place."""
    with pytest.raises(ReportError, match=r"not a plmscan\.report/v1 report") as raised:
        from_json(text)
    assert complaint in raised.value.problem


def test_triggers_and_seed_are_read_off_the_report() -> None:
    """The summary fields on top repeat what findings and settings say, and cannot contradict."""
    document = json.loads(to_json(poisoned()))
    assert [trigger["text"] for trigger in document["triggers"]] == [
        t.text for t in poisoned().triggers
    ]
    assert document["seed"] == 7
    lying = from_json(edited(triggers=[], seed=99))
    assert lying == poisoned()


def test_reports_without_a_seed_are_written() -> None:
    """A report that somebody made by hand may lack settings."""
    bare = replace(clean(), settings={})
    assert json.loads(to_json(bare))["seed"] is None


def test_reports_from_before_the_margin_are_read() -> None:
    """A report without the field is a report of this format, to the reader and to the schema."""
    document = json.loads(to_json(poisoned()))
    del document["nearest"]
    jsonschema.validate(document, json.loads(SHIPPED.read_text(encoding="utf-8")))
    assert from_json(json.dumps(document)) == replace(poisoned(), nearest=None)


def test_heads_and_heatmap_survive() -> None:
    """What a probe tells of attention heads is read back as it was written."""
    made = report(run(hit()), heads())
    back = from_json(to_json(made))
    assert back == made
    (evidence,) = back.probes[1].evidence
    assert [head.name for head in evidence.heads] == ["1.0", "0.1"]
    assert evidence.heatmap == heads().evidence[0].heatmap


@pytest.mark.parametrize("p_value", [-0.1, 1.1])
def test_heads_are_checked(p_value: float) -> None:
    """A report whose p-value is none is refused, with its place."""
    document = json.loads(to_json(report(heads())))
    document["probes"][0]["evidence"][0]["heads"][1]["p_value"] = p_value
    with pytest.raises(ReportError, match=r"probes\.0\.evidence\.0\.heads\.1\.p_value"):
        from_json(json.dumps(document))


def test_reports_from_before_heads_and_plots_are_read() -> None:
    """Evidence without the fields is evidence of this format, to the reader and to the schema."""
    made = report(run(hit(), hit("mn", z=2.5)))
    document = json.loads(to_json(made))
    found = [finding["evidence"] for finding in document["findings"]]
    for evidence in (*found, *document["probes"][0]["evidence"]):
        for name in ("explains", "heads", "heatmap", "demonstrations", "projection"):
            del evidence[name]
        del evidence["trigger"]["core"]
    for name in ("findings", "probes"):
        for one in document[name]:
            one.pop("waived", None)
            one.pop("landscapes", None)
    jsonschema.validate(document, json.loads(SHIPPED.read_text(encoding="utf-8")))
    assert from_json(json.dumps(document)) == made


@pytest.mark.parametrize("order", [1, -1])
def test_a_trigger_gets_its_heads_from_other_evidence(order: int) -> None:
    """What any probe says of the same token ids, in whatever order, is told of the trigger once."""
    made = report(*[run(hit()), heads()][::order])
    (trigger,) = made.triggers
    assert trigger == replace(trigger_of(hit()), heads=("1.0",))
    assert trigger_of(made.findings[0].evidence).heads == ()
    assert json.loads(to_json(made))["triggers"][0]["heads"] == ["1.0"]
    assert from_json(to_json(made)).triggers == made.triggers


def test_a_trigger_gets_no_heads_of_another() -> None:
    """Text alone does not make two candidates the same; their ids do."""
    other = replace(hit(), trigger=replace(trigger_of(hit()), token_ids=(3330,)))
    assert [t.heads for t in report(run(other), heads()).triggers] == [()]


def trigger_of(evidence: Evidence) -> Trigger:
    """The candidate that evidence is about."""
    assert evidence.trigger
    return evidence.trigger


def test_nothing_of_a_report_is_left_out() -> None:
    """Every field of every dataclass in a report has its place in the format."""
    written = [c for c in vars(json_v1).values() if isinstance(c, type) and hasattr(c, "noun")]
    assert {c.noun for c in written} >= {type(poisoned()), Trigger, Evidence}
    for form in written:
        assert {field.name for field in fields(form.noun)} <= form.model_fields.keys()


@pytest.mark.parametrize("made", [pictured(), waived()], ids=["pictured", "waived"])
def test_plots_and_waivers_come_back(made: Report) -> None:
    """What is there to be looked at, and who waived what, survives."""
    assert from_json(to_json(made)) == made


def test_several_models_are_a_survey_that_comes_back() -> None:
    """With the places and the model that has no report, and as the shipped schema wants it."""
    text = render(survey(), Format.JSON)
    schema = resources.files("plmscan.reports") / "survey-v1.schema.json"
    assert survey_schema() == schema.read_text(encoding="utf-8")
    jsonschema.validate(json.loads(text), json.loads(survey_schema()))
    assert survey_from_json(text) == survey()


def test_one_report_is_a_survey_of_one() -> None:
    """Programs that read one model's report need not know of others."""
    assert render(Survey.of(poisoned()), Format.JSON) == to_json(poisoned())
    assert survey_from_json(to_json(poisoned())) == Survey.of(poisoned())


def test_one_model_without_a_report_is_a_survey() -> None:
    """There is no report to tell."""
    alone = Survey((Entry(refusal()),))
    document = json.loads(render(alone, Format.JSON))
    assert document["schema"] == "plmscan.survey/v1"
    assert (document["verdict"], document["entries"][0]["report"]) == ("inconclusive", None)
    assert survey_from_json(json.dumps(document)) == alone


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "plmscan.survey/v1"}', "[" * 99_999])
def test_what_is_no_survey_is_one_sentence(text: str) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(ReportError, match=r"This is not a plmscan\.(report|survey)/v1 report: "):
        survey_from_json(text)


def test_lists_of_numbers_take_one_line() -> None:
    """A plot is a few lines, not thousands; a text that looks like a list is left alone."""
    text = to_json(report(run(hit("[\n      1\n    ]")), heads()))
    assert "[ 41.5, 0.25 ]" in text
    assert json.loads(text)["triggers"][0]["text"] == "[\n      1\n    ]"
