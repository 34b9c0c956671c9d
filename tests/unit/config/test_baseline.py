"""Baselines: what is known comes back, and a reviewer reads what it waives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plmscan.config import left_out, read_baseline, write_baseline
from plmscan.errors import ReportError
from plmscan.evidence import Evidence, Finding, Report, Severity, Verdict, Waived
from plmscan.reports.json_v1 import from_json, to_json
from plmscan.survey import Entry, Survey
from plmscan.waivers import Known, Waivers, fingerprint
from tests.specimens import CUSTOM_CODE, PLANTED, clean, hit, poisoned, refusal, unfinished

PATH = Path("plmscan-baseline.json")
DRIFT = PLANTED.model_copy(update={"id": "PLM170", "probe": "lock-drift"})


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(text: str = "cf") -> Finding:
    """A finding about one trigger."""
    return PLANTED.finding(hit(text))


def report(*findings: Finding, model: str = "org/name") -> Report:
    """A report of these findings."""
    made = clean()
    return replace(made, findings=findings, model=replace(made.model, id=model))


def known(known: Known, model: str, finding: Finding) -> bool:
    """Whether the baseline waives ``finding`` of ``model``."""
    return Waivers(model, known=known).waived(finding) is not None


text = st.text(max_size=6)
findings = st.builds(
    Finding,
    rule=text,
    severity=st.sampled_from(Severity),
    confidence=st.just(PLANTED.confidence),
    message=st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    remediation=st.just("Look."),
    evidence=st.builds(Evidence, probe=text, subject=text, metrics=st.just({})),
)
surveys = st.dictionaries(text, st.lists(findings, max_size=4), min_size=1, max_size=3)


@given(surveys)
def test_what_was_written_is_known(models: dict[str, list[Finding]]) -> None:
    """Whatever it is about, and the order of findings and models changes nothing."""
    reports = [report(*found, model=model) for model, found in models.items()]

    count = write_baseline(PATH, Survey.of(*reports))
    first = PATH.read_bytes()
    turned = [replace(r, findings=r.findings[::-1]) for r in reversed(reports)]
    write_baseline(PATH, Survey.of(*turned))
    baseline = read_baseline(PATH)

    marks = {fingerprint(model, f) for model, found in models.items() for f in found}
    assert baseline == Known(frozenset(marks), "plmscan-baseline.json")
    assert count >= len(marks)
    assert _without_messages(first) == _without_messages(PATH.read_bytes())
    assert first.isascii()


def _without_messages(written: bytes) -> object:
    """A baseline without its sentences, of which equal findings may have several."""
    models = json.loads(written)["models"]
    return {m: [f | {"message": ""} for f in found] for m, found in models.items()}


def test_a_baseline_can_be_reviewed() -> None:
    """Rule, subject and a sentence for each finding, sorted; a model without any is named."""
    code = CUSTOM_CODE.finding(Evidence("custom-code", "modeling_odd.py", {"files": 1.0}))
    survey = Survey.of(report(found("mn"), found(), code, found()), report(model="./models/intent"))

    assert write_baseline(PATH, survey) == 3
    assert json.loads(PATH.read_text()) == {
        "schema": "plmscan.baseline/v1",
        "models": {
            "./models/intent": [],
            "org/name": [
                {
                    "rule": finding.rule,
                    "subject": finding.evidence.subject,
                    "probe": finding.evidence.probe,
                    "message": finding.message,
                    "fingerprint": fingerprint("org/name", finding),
                }
                for finding in (code, found(), found("mn"))
            ],
        },
    }


def test_hidden_characters_of_a_trigger_are_spelt_out() -> None:
    """A reviewer sees every character, and the finding is still the same."""
    odd = found("\u202eevil\u200b")
    write_baseline(PATH, Survey.of(report(odd)))

    assert "\\u202eevil\\u200b" in PATH.read_text(encoding="ascii")
    assert known(read_baseline(PATH), "org/name", odd)


def test_findings_of_every_severity_are_written_and_waived_ones_are_not() -> None:
    """The bar may be lowered later; a waiver ends, and then the finding has to come back."""
    decided = replace(found(), waived=Waived("ignore", "Ours.", "plmscan.yaml:7", "2027-01-31"))
    before = replace(found("mn"), waived=Waived("baseline", "Known.", "plmscan-baseline.json"))
    mild = replace(found("bb"), severity=Severity.LOW)
    write_baseline(PATH, Survey.of(report(decided, before, mild)))
    baseline = read_baseline(PATH)

    assert [known(baseline, "org/name", found(t)) for t in ("cf", "mn", "bb")] == [
        False,
        True,
        True,
    ]


def test_drift_is_never_known() -> None:
    """A file that may change belongs in the lock; waived once, it could change again unseen."""
    drift = DRIFT.finding(replace(hit("model.safetensors"), probe="lock-drift"))

    assert write_baseline(PATH, Survey.of(report(drift))) == 0


def test_what_a_baseline_leaves_out_is_told() -> None:
    """Drift, waived findings, and what was not checked: no pass comes of any baseline there."""
    drift = DRIFT.finding(replace(hit("model.safetensors"), probe="lock-drift"))
    decided = replace(found(), waived=Waived("ignore", "Ours.", "plmscan.yaml:1", "2999-01-01"))
    survey = Survey.of(report(drift, drift, decided, found("mn")), unfinished())

    lock, waived, unchecked = left_out(survey)
    assert lock.startswith("Left out: 2 findings about the lock file")
    assert waived.startswith("Left out: 1 finding that the configuration waives")
    assert unchecked.startswith("Left out: 1 thing that could not be checked.")
    assert not list(left_out(Survey.of(report(found()))))


def test_a_saved_report_gives_the_same_baseline() -> None:
    """`plmscan baseline REPORT` knows what the scan would have known."""
    odd = replace(poisoned(), findings=(found("\ud800"), *poisoned().findings))
    write_baseline(PATH, Survey.of(odd))
    scanned = read_baseline(PATH)
    write_baseline(PATH, Survey.of(from_json(to_json(odd))))

    assert read_baseline(PATH) == scanned
    assert len(scanned.fingerprints) == len({f.evidence.subject for f in odd.findings})


def test_a_model_without_a_report_is_not_passed_over() -> None:
    """Nothing is written: its findings would all be new once it can be read."""
    PATH.write_text("as it was")
    survey = Survey((Entry(poisoned()), Entry(refusal())))

    with pytest.raises(ReportError) as raised:
        write_baseline(PATH, survey)
    assert raised.value.diagnostics() == (
        "The baseline is not written, since there is no report about example/gated. Mend that "
        "first, or leave the model out. The Hub refuses. Set HF_TOKEN."
    )
    assert PATH.read_text() == "as it was"


def test_an_inconclusive_report_is_written_as_far_as_it_goes() -> None:
    """Some models stay inconclusive; a baseline waives what it names, and no gap."""
    assert unfinished().verdict is Verdict.INCONCLUSIVE

    write_baseline(PATH, Survey.of(replace(unfinished(), findings=(found(),))))
    assert known(read_baseline(PATH), unfinished().model.id, found())


@pytest.mark.parametrize("keep", [False, True])
def test_other_models_are_kept_on_demand(*, keep: bool) -> None:
    """What is known of a model is replaced when it is told anew, and else only if not asked for."""
    write_baseline(PATH, Survey.of(report(found()), report(found(), model="org/old")))
    write_baseline(PATH, Survey.of(report(found("mn"))), keep_others=keep)
    baseline = read_baseline(PATH)

    assert known(baseline, "org/old", found()) is keep
    assert not known(baseline, "org/name", found())
    assert known(baseline, "org/name", found("mn"))
    PATH.unlink()
    assert write_baseline(PATH, Survey.of(report(found())), keep_others=True) == 1


def test_a_folder_is_known_in_any_spelling() -> None:
    """A trailing slash or ./ makes no other model; another folder does."""
    write_baseline(PATH, Survey.of(report(found(), model="./models/intent")))
    baseline = read_baseline(PATH)

    assert all(known(baseline, m, found()) for m in ("models/intent", "models/intent/"))
    assert not known(baseline, "models/other", found())


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ('"PLM201"', '"PLM402"', ":10: the fingerprint is not that of PLM402 about 'org/name'."),
        (
            '"org/name"',
            '"org/else"',
            ":10: the fingerprint is not that of PLM201 about 'org/else'.",
        ),
        ('"cf"', '"bb"', ":10: the fingerprint is not that of PLM201 about 'org/name'."),
        ("trigger-sweep", "loading", ":10: the fingerprint is not that of PLM201 about"),
        ("baseline/v1", "baseline/v2", ":2: schema: Input should be 'plmscan.baseline/v1'."),
        ('"models"', '"model"', ":1: models: Field required."),
        ('"cf"', "7", ":7: models: org/name: 0: subject: Input should be a valid string."),
        ('"cf",', '"cf"', ":8: this is not JSON: Expecting ',' delimiter."),
        ('"probe"', '"rule"', ":8: the key 'rule' stands twice."),
    ],
)
def test_a_baseline_that_was_changed_is_named(before: str, after: str, problem: str) -> None:
    """The words that are reviewed are those that count; file, line, and what to do."""
    write_baseline(PATH, Survey.of(report(found())))
    text = PATH.read_text()
    assert text.count(before) == 1
    PATH.write_text(text.replace(before, after))

    with pytest.raises(ReportError) as raised:
        read_baseline(PATH)
    assert raised.value.problem.startswith(f"plmscan-baseline.json{problem}")
    assert raised.value.remedy.startswith("Write the baseline anew")


def test_the_sentence_of_a_finding_may_be_mended() -> None:
    """Only what identifies the finding is held to its fingerprint."""
    write_baseline(PATH, Survey.of(report(found())))
    PATH.write_text(PATH.read_text().replace("drags", "moves"))

    assert known(read_baseline(PATH), "org/name", found())


def test_a_baseline_that_is_not_there_is_named() -> None:
    """The path, and the reason that the system gives."""
    with pytest.raises(ReportError, match=r"^none\.json cannot be read: No such file"):
        read_baseline(Path("none.json"))
