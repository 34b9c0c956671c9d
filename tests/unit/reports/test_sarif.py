"""The SARIF log: valid by the official schema, and by what GitHub accepts beyond it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from plmscan.evidence import Confidence, FileDigest, Gap, Report, Severity, Verdict
from plmscan.reports import Format, render
from plmscan.reports import sarif as module
from plmscan.rules import load_rules
from plmscan.survey import Entry, Place, Refusal, Survey
from plmscan.waivers import fingerprint
from tests.specimens import (
    clean,
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
    from collections.abc import Callable, Iterator

SCHEMA = Path(__file__).parents[2] / "data/sarif-schema-2.1.0.json"
VALIDATOR = Draft4Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
REPORTS: dict[str, Report | Survey] = {
    "poisoned": poisoned(),
    "clean": clean(),
    "unfinished": unfinished(),
    "waived": waived(),
    "survey": survey(),
}
NASTY = (
    "",
    "<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "\\](0)[x](1)",
    "::error::x",
    "{0} {{x}} }",
    "a|b`c`\n\r\x00\x1b[31m",
    "\ud800\udfff\udc80",
    "../../etc/passwd",
    "C:\\x",
    "https://example.org/a?b#c",
)
ANYTHING = st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=()), max_size=12)


def sarif(subject: Report | Survey) -> dict[str, Any]:
    """The log as a SARIF reader gets it, checked against the schema and GitHub's rules."""
    log: dict[str, Any] = json.loads(render(subject, Format.SARIF))
    assert [error.message for error in VALIDATOR.iter_errors(log)] == []
    assert list(rejections(log)) == []
    return log


def only(subject: Report | Entry) -> dict[str, Any]:
    """The run of one model."""
    entry = subject if isinstance(subject, Entry) else Entry(subject)
    runs: list[dict[str, Any]] = sarif(Survey((entry,)))["runs"]
    return runs[0]


def rejections(log: dict[str, Any]) -> Iterator[str]:
    """What code scanning would refuse, or would not show."""
    if len(log["runs"]) != 1 or "automationDetails" in log["runs"][0]:
        yield "two runs of the uploader's category, or one of another"
    if len(log["runs"][0]["results"]) > 25_000:
        yield "too many results"
    yield from (f"empty text at {place}" for place, text in texts(log) if text == "")
    for made in log["runs"]:
        yield from (f"rule: {problem}" for problem in rule_problems(made))
        yield from (f"result: {problem}" for problem in result_problems(made))


def texts(value: object, place: str = "$") -> Iterator[tuple[str, str]]:
    """Every text of a JSON document, keys too, with where it stands."""
    match value:
        case str():
            yield place, value
        case list():
            for number, item in enumerate(value):
                yield from texts(item, f"{place}[{number}]")
        case dict():
            for key, item in value.items():
                yield place, key
                yield from texts(item, f"{place}.{key}")


def rule_problems(made: dict[str, Any]) -> Iterator[str]:
    """What code scanning needs of a rule."""
    for rule in made["tool"]["driver"]["rules"]:
        needed = {"id", "name", "shortDescription", "fullDescription", "help", "properties"}
        yield from sorted(needed - rule.keys())
        for described in ("shortDescription", "fullDescription"):
            if len(rule[described]["text"]) > 1024:
                yield f"{rule['id']} has a long {described}"
        if not 0 < float(rule["properties"]["security-severity"]) <= 10:
            yield "security-severity"
        if "security" not in rule["properties"]["tags"]:
            yield "tags"


def result_problems(made: dict[str, Any]) -> Iterator[str]:
    """What code scanning needs of a result."""
    rules = [rule["id"] for rule in made["tool"]["driver"]["rules"]]
    for result in made["results"]:
        if rules[result["ruleIndex"]] != result["ruleId"]:
            yield "ruleIndex"
        if len(result["locations"]) != 1:
            yield "locations"
        physical = result["locations"][0]["physicalLocation"]
        uri = physical["artifactLocation"]["uri"]
        if urlsplit(uri).scheme or uri.startswith("/") or ".." in uri.split("/"):
            yield f"not a path in the repository: {uri}"
        if not uri.isascii() or any(c in uri for c in ' \\"<>^`{|}#?\n'):
            yield f"not a URI: {uri}"
        if physical["region"]["startLine"] < 1:
            yield "startLine"
        if "primaryLocationLineHash" not in result["partialFingerprints"]:
            yield "partialFingerprints"


@pytest.mark.parametrize("name", REPORTS)
def test_golden_sarif(name: str, golden: Callable[[str, str], None]) -> None:
    """The log is stored and compared by others: its changes are looked at."""
    golden(f"{name}.sarif", render(REPORTS[name], Format.SARIF))


@pytest.mark.parametrize("made", [*REPORTS.values(), pictured()], ids=[*REPORTS, "pictured"])
def test_it_is_valid_and_not_rejected(made: Report | Survey) -> None:
    """The official schema accepts it, and so do the rules of code scanning."""
    assert sarif(made)["version"] == "2.1.0"


@settings(max_examples=40)
@given(ANYTHING, ANYTHING, ANYTHING, ANYTHING, st.none() | st.just("a" * 40))
def test_no_text_breaks_it(
    subject: str, model: str, reason: str, place: str, revision: str | None
) -> None:
    """Whatever a model, a path or a reason says, the log stays valid."""
    made = report(run(hit(subject), gaps=(Gap(subject, reason),)), identity=model)
    finding = replace(made.findings[0], message=reason, remediation=subject)
    identity = replace(made.model, revision=revision, files=(FileDigest(subject, 1, "0" * 64),))
    inconclusive = replace(
        made,
        verdict=Verdict.INCONCLUSIVE,
        reasons=(reason, subject),
        model=identity,
        findings=(finding, replace(finding, rule=subject)),
    )
    declared = Entry(inconclusive, Place(place, 3))
    refused = Entry(Refusal(model, reason, subject))
    sarif(Survey((declared, refused, Entry(inconclusive))))


def test_the_same_survey_is_the_same_log() -> None:
    """No clock, no random number, no order of a set is in it."""
    assert render(survey(), Format.SARIF) == render(survey(), Format.SARIF)


def test_a_result_names_model_and_revision() -> None:
    """Who reads an alert learns which model of which commit it is about."""
    result = only(poisoned())["results"][0]
    name = "example/encoder@c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
    assert f"Model: {name}." in result["message"]["text"]
    logical = result["locations"][0]["logicalLocations"][0]
    assert logical["fullyQualifiedName"] == f"{name}:cf"


def test_levels_follow_severity() -> None:
    """Critical and high are errors, medium warns, low is a note; rules say the default."""
    made = poisoned()
    levels = ("error", "error", "warning", "note")
    severities = (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW)
    for severity, level in zip(severities, levels, strict=True):
        found = replace(made.findings[0], severity=severity)
        assert only(replace(made, findings=(found,)))["results"][0]["level"] == level
    rules = {rule["id"]: rule for rule in only(made)["tool"]["driver"]["rules"]}
    assert rules["PLM201"]["defaultConfiguration"] == {"level": "error"}
    assert rules["PLM201"]["properties"]["security-severity"] == "9.5"
    assert rules["PLM201"]["properties"]["precision"] == "high"


def test_rules_are_those_that_could_apply() -> None:
    """Rules of the probes that ran are told, with what to do; no others."""
    rules = {rule["id"]: rule for rule in only(clean())["tool"]["driver"]["rules"]}
    assert {"PLM110", "PLM201"} <= rules.keys()
    assert "PLM101" not in rules
    assert "Do not adopt this model." in rules["PLM201"]["help"]["text"]
    assert "**What to do:**" in rules["PLM201"]["help"]["markdown"]
    assert "- Patronus, arXiv 2512.06899" in rules["PLM201"]["help"]["markdown"]
    assert rules["PLM201"]["shortDescription"]["text"] == "Planted trigger"


def test_every_packaged_rule_is_fit_for_code_scanning() -> None:
    """Whatever probes run, no rule that plmscan ships makes GitHub refuse the log."""
    rules = load_rules()
    runs = [replace(run(), id=probe) for probe in sorted({rule.probe for rule in rules})]
    told = only(replace(clean(), probes=tuple(runs)))["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in told] == [rule.id for rule in rules]


def test_a_long_description_is_cut() -> None:
    """A description is cut where GitHub would refuse it, and never inside an escape."""
    made = poisoned()
    found = replace(made.findings[0], rule="OWN001", evidence=hit())
    found = replace(found, evidence=replace(found.evidence, probe="{" * 2000))
    rules = {r["id"]: r for r in only(replace(made, findings=(found,)))["tool"]["driver"]["rules"]}
    text = rules["OWN001"]["fullDescription"]["text"]
    assert len(text) <= 1024
    assert text.endswith("…")
    assert not text.removesuffix("…").endswith("{")


def test_a_rule_of_the_user_has_a_descriptor() -> None:
    """A rule that plmscan does not ship, or that --rules replaces, says what the finding says."""
    made = poisoned()
    own = replace(made.findings[0], rule="OWN001", severity=Severity.LOW, confidence=Confidence.LOW)
    fired = replace(made, findings=(own, *made.findings))
    replaced = replace(fired, settings={**made.settings, "rules_overridden": "PLM110, PLM201"})
    rules = {rule["id"]: rule for rule in only(replaced)["tool"]["driver"]["rules"]}
    assert rules["OWN001"]["properties"]["security-severity"] == "3.0"
    assert rules["OWN001"]["properties"]["precision"] == "low"
    assert "It comes from a folder" in rules["PLM201"]["fullDescription"]["text"]


@pytest.mark.parametrize(
    ("model", "revision", "place", "uri", "line"),
    [
        ("org/model", "a" * 40, Place("ci/plmscan.yaml", 12), "ci/plmscan.yaml", 12),
        ("org/model", "a" * 40, None, "org/model", 1),
        ("models/intent", None, None, "models/intent/config.json", 1),
        ("./models/intent/", None, None, "models/intent/config.json", 1),
        ("models/my model", None, None, "models/my%20model/config.json", 1),
        (".", None, None, "config.json", 1),
        ("/srv/models/intent", None, None, "intent", 1),
        ("../intent", None, None, "intent", 1),
        ("models/../../intent", None, None, "intent", 1),
        ("..", None, None, "model", 1),
        ("C:\\models\\intent", None, None, "intent", 1),
        ("org/model", "a" * 40, Place("/etc/plmscan.yaml", 3), "org/model", 1),
        ("models/intent", None, Place("../plmscan.yaml", 3), "models/intent/config.json", 1),
    ],
)
def test_a_result_points_into_the_repository(
    model: str, revision: str | None, place: Place | None, uri: str, line: int
) -> None:
    """The line that declares the model, else its config, else its name; never outside."""
    made = poisoned()
    identity = replace(made.model, id=model, revision=revision)
    results = only(Entry(replace(made, model=identity), place))["results"]
    physical = results[0]["locations"][0]["physicalLocation"]
    assert physical == {"artifactLocation": {"uri": uri}, "region": {"startLine": line}}


def test_a_finding_about_a_file_points_at_the_file() -> None:
    """In a model folder the alert is at the file that the finding is about."""
    made = poisoned()
    files = (*made.model.files, FileDigest("modeling_odd.py", 10, "2" * 64))
    identity = replace(made.model, id="models/intent", revision=None, files=files)
    *_, last = only(replace(made, model=identity))["results"]
    physical = last["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"]["uri"] == "models/intent/modeling_odd.py"


def test_a_gguf_model_is_described_by_its_only_file() -> None:
    """It has no config.json."""
    made = poisoned()
    files = (FileDigest("README.md", 10, "1" * 64), FileDigest("m.gguf", 10, "2" * 64))
    identity = replace(made.model, id="models/intent", revision=None, files=files)
    physical = only(replace(made, model=identity))["results"][0]["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"]["uri"] == "models/intent/m.gguf"


@pytest.mark.parametrize("path", ["../../../etc/passwd", "../other/config.json", "/etc/passwd"])
def test_no_path_of_a_model_leaves_its_folder(path: str) -> None:
    """A file name of a model cannot turn the location into a path elsewhere."""
    made = poisoned()
    identity = replace(made.model, id="models/intent", revision=None)
    listed = replace(identity, files=(FileDigest(path, 10, "2" * 64),))
    evidence = replace(made.findings[0].evidence, subject=path)
    found = replace(made.findings[0], evidence=evidence)
    made = replace(made, model=listed, findings=(found,))
    physical = only(made)["results"][0]["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"]["uri"] == "intent"


def test_fingerprints_survive_a_bump() -> None:
    """Neither a new commit, nor numbers, nor the severity makes an alert a new one."""
    made = poisoned()
    bumped = replace(
        made,
        model=replace(made.model, revision="b" * 40),
        findings=(replace(made.findings[0], severity=Severity.LOW, message="z 99"),),
    )
    before, after = (only(r)["results"][0]["partialFingerprints"] for r in (made, bumped))
    assert before == after
    assert before["plmscan/v1"] == fingerprint("example/encoder", made.findings[0])


def test_the_same_fingerprint_twice_is_numbered() -> None:
    """Two findings that differ in numbers only stay two alerts."""
    made = poisoned()
    twice = replace(made, findings=(made.findings[0], made.findings[0]))
    hashes = [r["partialFingerprints"]["primaryLocationLineHash"] for r in only(twice)["results"]]
    assert [text[-2:] for text in hashes] == [":1", ":2"]


def test_all_results_say_whether_they_are_suppressed_or_none() -> None:
    """Section 3.27.23: with one waived finding the others have an empty list; else none has."""
    made = waived()
    partly = replace(made, findings=(made.findings[0], replace(made.findings[1], waived=None)))
    first, second = (result["suppressions"] for result in only(partly)["results"])
    assert second == []
    assert first == [
        {
            "kind": "external",
            "status": "accepted",
            "justification": "A test double, see #12 (waiver at plmscan.yaml:7, until 2027-01-31)",
        }
    ]
    assert all("suppressions" not in result for result in only(poisoned())["results"])


def test_an_inconclusive_scan_is_no_success() -> None:
    """Every reason is a notification of a run that failed."""
    made = unfinished()
    invocation = only(made)["invocations"][0]
    assert invocation["executionSuccessful"] is False
    assert invocation["exitCode"] == 2
    told = [note["message"]["text"] for note in invocation["toolExecutionNotifications"]]
    assert told == list(made.reasons)
    assert {note["level"] for note in invocation["toolExecutionNotifications"]} == {"error"}


def test_a_fail_tells_what_was_not_measured() -> None:
    """Results are complete or the run says what is missing, without repeating the results."""
    made = report(run(hit(), gaps=(Gap("features at pooler", "its weights are not there."),)))
    invocation = only(made)["invocations"][0]
    assert made.verdict is Verdict.FAIL
    assert invocation["executionSuccessful"] is True
    assert invocation["toolExecutionNotifications"] == [
        {
            "level": "warning",
            "message": {"text": "trigger-sweep: features at pooler: its weights are not there."},
        }
    ]


def test_a_fail_without_a_result_says_why() -> None:
    """A waiver that has expired fails a model that has no finding: the reason is told."""
    made = replace(clean(), verdict=Verdict.FAIL, reasons=("The waiver of PLM201 expired.",))
    notes = only(made)["invocations"][0]["toolExecutionNotifications"]
    assert notes[0]["message"]["text"] == "The waiver of PLM201 expired."


def test_a_model_that_could_not_be_scanned_is_a_failed_run() -> None:
    """It has no result, and a notification with what went wrong."""
    made = only(Entry(refusal()))
    assert made["results"] == []
    assert made["invocations"][0]["executionSuccessful"] is False
    notes = made["invocations"][0]["toolExecutionNotifications"]
    assert notes[0]["message"]["text"] == "example/gated: The Hub refuses. Set HF_TOKEN."
    told = {"model": "example/gated", "verdict": "inconclusive"}
    assert made["properties"] == {"verdict": "inconclusive", "models": [told]}


def test_many_models_are_one_run() -> None:
    """GitHub takes 20 runs a file: 45 models upload, each with its results, notes and verdict."""
    names = [f"org/model-{number}" for number in range(45)]
    half = [replace(m, model=replace(m.model, id=n)) for n, m in zip(names, _kinds(), strict=True)]
    (made,) = sarif(Survey((*map(Entry, half), Entry(refusal()))))["runs"]
    places = [r["locations"][0]["logicalLocations"][0] for r in made["results"]]
    found = {place["fullyQualifiedName"].partition("@")[0] for place in places}
    assert found == {m.model.id for m in half if m.findings}
    notes = [n["message"]["text"] for n in made["invocations"][0]["toolExecutionNotifications"]]
    assert {note.partition("@")[0] for note in notes[:-1]} == {
        m.model.id for m in half if m.verdict is Verdict.INCONCLUSIVE
    }
    assert notes[-1] == "example/gated: The Hub refuses. Set HF_TOKEN."
    assert [model["model"] for model in made["properties"]["models"]] == [*names, "example/gated"]
    marks = [r["partialFingerprints"]["primaryLocationLineHash"] for r in made["results"]]
    assert len(set(marks)) == len(marks)


def _kinds() -> list[Report]:
    """Reports of 45 models, of every verdict."""
    return [poisoned(), clean(), unfinished()] * 15


def test_the_worst_results_stay_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """GitHub refuses more than 25 000 results; what is left out is the mildest, and told."""
    assert module._MOST_RESULTS == 25_000
    monkeypatch.setattr(module, "_MOST_RESULTS", 3)
    made = poisoned()
    mild = replace(made.findings[0], severity=Severity.LOW)
    run_ = only(replace(made, findings=(*[mild] * 4, made.findings[0])))
    assert [result["level"] for result in run_["results"]] == ["note", "note", "error"]
    note = run_["invocations"][0]["toolExecutionNotifications"][-1]["message"]["text"]
    assert note == "2 results are left out, the mildest: GitHub takes 3 a run."


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[click](javascript:x)", "\\[click\\](javascript:x)"),
        ("\\](0)", "\\\\\\](0)"),
        ("a[0] \\x", "a[0] \\x"),
        ("{0} and {x}", "{{0}} and {{x}}"),
        ("a\u202eb", "a\\u202eb"),
    ],
)
def test_a_message_holds_no_link_and_no_placeholder(text: str, told: str) -> None:
    """Sections 3.11.5 and 3.11.6: what a model says is text to every reader of SARIF."""
    made = poisoned()
    found = replace(made.findings[0], message=text)
    result = only(replace(made, findings=(found,)))["results"][0]
    assert result["message"]["text"].startswith(f"{told} Model: ")


def test_help_holds_no_markup_of_a_rule() -> None:
    """A rule's words are no HTML and no link in the Markdown of the help; addresses are links."""
    made = poisoned()
    found = replace(made.findings[0], rule="OWN001", remediation="<b>[x](y) *now*")
    rules = {r["id"]: r for r in only(replace(made, findings=(found,)))["tool"]["driver"]["rules"]}
    assert "\\<b\\>\\[x\\](y) \\*now\\*" in rules["OWN001"]["help"]["markdown"]
    address = "- <https://huggingface.co/docs/transformers/custom_models>"
    assert address in rules["PLM110"]["help"]["markdown"]


@pytest.mark.parametrize(("version", "semantic"), [("1.2.3", True), ("0.2.0.dev1", False)])
def test_only_a_semantic_version_is_called_one(version: str, *, semantic: bool) -> None:
    """Python allows versions that semantic versioning does not."""
    made = replace(clean(), versions={"plmscan": version})
    driver = only(made)["tool"]["driver"]
    assert driver["version"] == version
    assert ("semanticVersion" in driver) is semantic
