"""The in-toto statement: what it is about, and that only a pass is called passed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plmscan.evidence import FileDigest, Gap, ProbeStatus, Report, Severity, Verdict
from plmscan.reports import Format, render
from plmscan.rules import load_rules
from plmscan.survey import Entry, Refusal, Survey
from tests.specimens import (
    CUSTOM_CODE,
    clean,
    hit,
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

SURVEYS = {"poisoned": Survey.of(poisoned()), "survey": survey()}
ANYTHING = st.text(st.characters(exclude_categories=()), max_size=12)
LISTS = ("passedTests", "warnedTests", "failedTests")


def statement(subject: Report | Survey) -> dict[str, Any]:
    """The statement as a verifier gets it, with the fields that the specification has."""
    made: dict[str, Any] = json.loads(render(subject, Format.IN_TOTO))
    assert list(made) == ["_type", "subject", "predicateType", "predicate"]
    assert set(made["predicate"]) == {"result", "configuration", *LISTS}
    for descriptor in made["subject"]:
        assert descriptor.keys() <= {"name", "uri", "digest"}
        assert descriptor["digest"]
    for descriptor in made["predicate"]["configuration"]:
        assert descriptor.keys() <= {"name", "uri", "annotations"}
        assert descriptor["uri"]
    tests = [name for which in LISTS for name in made["predicate"][which]]
    assert len(set(tests)) == len(tests)
    return made


def outcomes(subject: Report | Survey) -> dict[str, str]:
    """Which list each test is in."""
    predicate = statement(subject)["predicate"]
    return {name: which for which in LISTS for name in predicate[which]}


@pytest.mark.parametrize("name", SURVEYS)
def test_golden_statement(name: str, golden: Callable[[str, str], None]) -> None:
    """Others verify the statement: its changes are looked at."""
    golden(f"{name}.in-toto.json", render(SURVEYS[name], Format.IN_TOTO))


def test_the_types_are_those_of_the_specification() -> None:
    """A verifier finds the statement by them."""
    made = statement(clean())
    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"


def test_subjects_are_the_commit_and_the_files() -> None:
    """A verifier matches a statement by digests: SHA-256 of files, commit of a repository."""
    commit = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
    first, *files = statement(clean())["subject"]
    assert first == {
        "name": "example/encoder",
        "uri": f"pkg:huggingface/example/encoder@{commit}",
        "digest": {"gitCommit": commit},
    }
    assert files == [
        {"name": "example/encoder/config.json", "digest": {"sha256": "0" * 64}},
        {"name": "example/encoder/model.safetensors", "digest": {"sha256": "1" * 64}},
    ]


@pytest.mark.parametrize("revision", [None, "main", "A" * 40, "a" * 39])
def test_what_is_no_commit_is_no_subject(revision: str | None) -> None:
    """A folder has no commit, and a branch does not pin anything."""
    made = replace(clean(), model=replace(clean().model, revision=revision))
    assert all("gitCommit" not in subject["digest"] for subject in statement(made)["subject"])


def test_a_model_that_is_asked_about_twice_is_one_subject() -> None:
    """Subjects are unique, and so are the names of tests: the worst result counts."""
    subjects = statement(Survey.of(clean(), poisoned()))["subject"]
    assert subjects == statement(clean())["subject"]
    assert outcomes(Survey.of(poisoned(), clean()))["example/encoder: verdict"] == "failedTests"


@pytest.mark.parametrize(
    ("made", "result"),
    [
        (Survey.of(clean()), "PASSED"),
        (Survey.of(waived()), "PASSED"),
        (Survey.of(poisoned()), "FAILED"),
        (Survey.of(unfinished()), "WARNED"),
        (Survey((Entry(refusal()),)), "WARNED"),
        (Survey((Entry(clean()), Entry(refusal()))), "WARNED"),
        (Survey.of(clean(), unfinished()), "WARNED"),
        (survey(), "FAILED"),
    ],
)
def test_only_a_pass_is_passed(made: Survey, result: str) -> None:
    """One model that failed fails; what is inconclusive or refused warns."""
    assert statement(made)["predicate"]["result"] == result


def test_the_result_says_no_more_than_the_verdict() -> None:
    """Whatever the parts are, PASSED stands only where every verdict is a pass."""
    for verdict in Verdict:
        for other in Verdict:
            both = Survey.of(replace(clean(), verdict=verdict), replace(clean(), verdict=other))
            passed = statement(both)["predicate"]["result"] == "PASSED"
            assert passed is (verdict is other is Verdict.PASS)


def test_a_model_that_could_not_be_scanned_is_named() -> None:
    """It is a test that warns; without any file there is no subject to vouch for."""
    made = Survey((Entry(refusal()),))
    assert outcomes(made) == {"example/gated: verdict": "warnedTests"}
    assert statement(made)["subject"] == []
    assert statement(made)["predicate"]["configuration"]


def test_a_rule_that_fires_fails_or_warns() -> None:
    """Severe enough it fails; milder, waived or with --fail-on none it warns."""
    made = poisoned()
    assert outcomes(made)["example/encoder: PLM201"] == "failedTests"
    assert outcomes(made)["example/encoder: PLM110"] == "warnedTests"
    assert outcomes(waived())["example/encoder: PLM201"] == "warnedTests"
    lenient = replace(made, verdict=Verdict.PASS, settings={"fail_on": "none"})
    assert outcomes(lenient)["example/encoder: PLM201"] == "warnedTests"
    strict = replace(made, settings={"fail_on": "medium"})
    assert outcomes(strict)["example/encoder: PLM110"] == "failedTests"
    untold = replace(made, settings={}, findings=(replace(made.findings[0], rule="OWN001"),))
    assert untold.findings[0].severity is Severity.CRITICAL
    assert outcomes(untold)["example/encoder: OWN001"] == "failedTests"


def test_a_rule_passes_only_if_it_could_have_fired() -> None:
    """Its probe completed, without a gap that blocks a pass, and measured all that it compares."""
    [rule] = [rule for rule in load_rules() if rule.id == "PLM110"]
    complete = replace(run(probe=rule.probe), metrics=tuple(rule.when))
    results = {
        "passedTests": complete,
        "warnedTests": replace(complete, metrics=("python_files",)),
    }
    for which, probe in results.items():
        made = replace(clean(), probes=(probe,), findings=())
        assert outcomes(made)["example/encoder: PLM110"] == which
    for status in (ProbeStatus.FAILED, ProbeStatus.INCOMPLETE, ProbeStatus.TIMED_OUT):
        made = replace(clean(), probes=(replace(complete, status=status),))
        assert outcomes(made)["example/encoder: PLM110"] == "warnedTests"
    late = replace(clean(), probes=(replace(complete, gaps=(Gap("a file", "it is broken."),)),))
    assert outcomes(late)["example/encoder: PLM110"] == "warnedTests"


def test_rules_that_do_not_apply_are_not_named() -> None:
    """Neither those of a probe that was skipped or did not run, nor one that --rules replaces."""
    skipped = replace(run(probe=CUSTOM_CODE.probe), status=ProbeStatus.SKIPPED)
    assert set(outcomes(replace(clean(), probes=(skipped,)))) == {"example/encoder: verdict"}
    changed = replace(clean(), settings={"rules_overridden": "PLM110, PLM111"})
    assert "example/encoder: PLM112" in outcomes(changed)
    assert "example/encoder: PLM111" not in outcomes(changed)


def test_the_configuration_says_what_was_asked() -> None:
    """A policy can ask for an effort, a threshold, and a version of plmscan."""
    tool, settings_of_model = statement(clean())["predicate"]["configuration"]
    assert tool == {"name": "plmscan", "uri": "pkg:pypi/plmscan@0.1.0"}
    annotations = settings_of_model["annotations"]
    assert annotations["settings"] == {
        "effort": "standard",
        "fail_on": "high",
        "seed": 7,
        "time_limit": None,
    }
    assert annotations["versions"]["torch"] == "2.13.0"


@settings(max_examples=25)
@given(ANYTHING, ANYTHING, ANYTHING, ANYTHING)
def test_no_text_breaks_it(subject: str, model: str, path: str, value: str) -> None:
    """Whatever a model or a path says, the statement can be read, and shows what is hidden."""
    made = report(run(hit(subject), gaps=(Gap(subject, value),)), identity=model)
    listed = replace(made.model, files=(FileDigest(path, 1, "2" * 64),))
    odd = replace(made, model=listed, settings={"texts": value}, versions={"plmscan": path})
    both = Survey((Entry(odd), Entry(Refusal(model, subject, value))))
    assert all(name.isprintable() for name in outcomes(both))


def test_an_adapter_is_signed_with_its_base() -> None:
    """Whoever verifies a verdict about an adapter has the digests of both."""
    alone = clean()
    base = replace(alone.model, id="org/base", files=(FileDigest("w.safetensors", 1, "2" * 64),))
    both = replace(alone, model=replace(alone.model, base=base))
    subjects = {one["name"]: one["digest"] for one in statement(both)["subject"]}
    assert subjects["org/base/w.safetensors"] == {"sha256": "2" * 64}
    assert len(subjects) > len({one["name"] for one in statement(alone)["subject"]})
    assert "org/base/file" not in render(alone, Format.CYCLONEDX)
    assert '"org/base"' in render(both, Format.CYCLONEDX)
