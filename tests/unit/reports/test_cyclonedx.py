"""The CycloneDX bill of materials: valid, deterministic, and nothing falls out of it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plmscan.errors import ReportError
from plmscan.evidence import FileDigest, Gap, Report, Severity
from plmscan.reports import Format, render
from plmscan.survey import Entry, Refusal, Survey
from tests.specimens import clean, hit, poisoned, refusal, report, run, survey, unfinished, waived

if TYPE_CHECKING:
    from collections.abc import Callable

validation = pytest.importorskip("cyclonedx.validation.json", reason="needs the extra sbom")
schema = pytest.importorskip("cyclonedx.schema")

VALIDATOR = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
SURVEYS = {"poisoned": Survey.of(poisoned()), "survey": survey()}
ANYTHING = st.text(st.characters(exclude_categories=()), max_size=12)


def bill(subject: Report | Survey) -> dict[str, Any]:
    """The bill as a reader gets it, checked by the strict validator of the library."""
    text = render(subject, Format.CYCLONEDX)
    assert VALIDATOR.validate_str(text) is None
    made: dict[str, Any] = json.loads(text)
    return made


def properties(part: dict[str, Any]) -> dict[str, str]:
    """The properties of a component or a vulnerability by name."""
    return {told["name"].removeprefix("plmscan:"): told["value"] for told in part["properties"]}


@pytest.mark.parametrize("name", SURVEYS)
def test_golden_bill(name: str, golden: Callable[[str, str], None]) -> None:
    """The bill is stored and compared by others: its changes are looked at."""
    golden(f"{name}.cdx.json", render(SURVEYS[name], Format.CYCLONEDX))


@pytest.mark.parametrize(
    "made",
    [clean(), poisoned(), unfinished(), waived(), survey(), Survey((Entry(refusal()),))],
    ids=["clean", "poisoned", "unfinished", "waived", "survey", "refusal"],
)
def test_it_is_valid(made: Report | Survey) -> None:
    """The strict schema of 1.6 accepts it."""
    assert bill(made)["specVersion"] == "1.6"


def test_the_same_survey_is_the_same_bill() -> None:
    """There is no time in it, and the serial number is that of the content."""
    made = bill(survey())
    assert made == bill(survey())
    assert "timestamp" not in made["metadata"]
    assert made["serialNumber"] != bill(poisoned())["serialNumber"]


def test_a_model_is_a_component_with_its_files() -> None:
    """Name, commit, package URL, digests of the files."""
    [model] = bill(poisoned())["components"]
    commit = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
    assert model["type"] == "machine-learning-model"
    assert (model["name"], model["version"]) == ("example/encoder", commit)
    assert model["purl"] == f"pkg:huggingface/example/encoder@{commit}"
    assert [file["name"] for file in model["components"]] == ["config.json", "model.safetensors"]
    assert model["components"][0]["hashes"] == [{"alg": "SHA-256", "content": "0" * 64}]


def test_a_component_says_verdict_and_circumstances() -> None:
    """An inventory shows what was decided, by which version, and how thoroughly."""
    [model] = bill(poisoned())["components"]
    told = properties(model)
    assert (told["verdict"], told["version"]) == ("fail", "0.1.0")
    assert (told["seed"], told["effort"], told["fail_on"]) == ("7", "standard", "high")
    assert told["parameters"] == "22713216"
    assert "time_limit" not in told


@pytest.mark.parametrize(
    ("name", "revision", "purl"),
    [
        ("bert-base-uncased", "a" * 40, f"pkg:huggingface/bert-base-uncased@{'a' * 40}"),
        ("models/intent", None, None),
        ("not a hub name", "a" * 40, None),
        ("a/b/c", "a" * 40, None),
    ],
)
def test_only_a_hub_model_has_a_package_url(
    name: str, revision: str | None, purl: str | None
) -> None:
    """A folder is not a package, whatever it is called."""
    made = replace(clean(), model=replace(clean().model, id=name, revision=revision))
    assert bill(made)["components"][0].get("purl") == purl


def test_a_finding_is_a_vulnerability_of_the_model() -> None:
    """Rule, severity, what to do, and which component is affected."""
    made = bill(poisoned())
    assert [v["id"] for v in made["vulnerabilities"]] == ["PLM110", "PLM201", "PLM201", "PLM201"]
    code, trigger, *_ = made["vulnerabilities"]
    assert code["ratings"][0]["severity"] == "medium"
    assert trigger["ratings"][0]["severity"] == "critical"
    assert trigger["source"] == {"name": "plmscan"}
    assert trigger["recommendation"] == "Do not adopt the model."
    assert trigger["affects"] == [{"ref": made["components"][0]["bom-ref"]}]
    assert properties(trigger)["subject"] == "cf"
    assert "analysis" not in trigger


@pytest.mark.parametrize("severity", Severity)
def test_every_severity_has_a_rating(severity: Severity) -> None:
    """CycloneDX knows all four."""
    found = replace(poisoned().findings[0], severity=severity)
    [made] = bill(replace(poisoned(), findings=(found,)))["vulnerabilities"]
    assert made["ratings"][0]["severity"] == severity.name.lower()


def test_a_waived_finding_is_told_with_its_reason() -> None:
    """It stays a vulnerability; nobody claims that it is not there."""
    code, trigger, *_ = bill(waived())["vulnerabilities"]
    assert trigger["analysis"] == {
        "state": "in_triage",
        "response": ["will_not_fix"],
        "detail": "A test double, see #12 (waiver at plmscan.yaml:7, until 2027-01-31)",
    }
    assert code["analysis"]["detail"].endswith("(baseline at baseline.json)")
    assert "response" not in code["analysis"]


def test_a_model_that_could_not_be_scanned_is_a_component() -> None:
    """It is inconclusive, with what went wrong, and without files or version."""
    [model] = bill(Survey((Entry(refusal()),)))["components"]
    told = properties(model)
    assert told == {"verdict": "inconclusive", "reason": "The Hub refuses. Set HF_TOKEN."}
    assert "version" not in model
    assert "purl" not in model


def test_nothing_falls_together() -> None:
    """The same model twice, the same finding twice: each keeps a reference of its own."""
    twice = replace(poisoned(), findings=(poisoned().findings[0],) * 2)
    made = bill(Survey.of(twice, twice))
    assert [c["bom-ref"] for c in made["components"]] == ["model-1", "model-2"]
    assert [v["bom-ref"] for v in made["vulnerabilities"]] == [
        "model-1/finding-1",
        "model-1/finding-2",
        "model-2/finding-1",
        "model-2/finding-2",
    ]


@settings(max_examples=25)
@given(ANYTHING, ANYTHING, ANYTHING, ANYTHING)
def test_no_text_breaks_it(subject: str, model: str, path: str, value: str) -> None:
    """Whatever a model or a path says, the bill stays valid."""
    made = report(run(hit(subject), gaps=(Gap(subject, value),)), identity=model)
    listed = replace(made.model, files=(FileDigest(path, 1, "2" * 64),))
    found = tuple(replace(f, rule=value, remediation=path) for f in made.findings)
    odd = replace(made, model=listed, findings=found, settings={subject: value, "texts": path})
    bill(Survey((Entry(odd), Entry(Refusal(model, subject, value)))))


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is optional; who asks for the format without it learns the command."""
    monkeypatch.delitem(sys.modules, "plmscan.reports.cyclonedx", raising=False)
    monkeypatch.setitem(sys.modules, "cyclonedx.model", None)
    with pytest.raises(ReportError, match="needs the extra sbom") as caught:
        render(clean(), Format.CYCLONEDX)
    assert "pip install 'plmscan[sbom]'" in caught.value.remedy
