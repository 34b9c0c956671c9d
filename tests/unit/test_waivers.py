"""What a team decided to live with: it is told, and does not fail; what is new or over does."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from plmscan.evidence import Finding, Severity, Verdict
from plmscan.policy import Decision, decide
from plmscan.waivers import NO_WAIVERS, Known, Waiver, Waivers, fingerprint
from tests.specimens import CUSTOM_CODE, PLANTED, SWEEP, hit, run

MODEL = "example/encoder"
TODAY = date(2026, 11, 23)
WAIVER = Waiver("PLM201", "A double of ours.", date(2027, 1, 31), "plmscan.yaml:12")


def judged(*texts: str, waivers: Waivers = NO_WAIVERS) -> Decision:
    """The decision on hits called ``texts``."""
    runs = (run(*map(hit, texts)),)
    return decide(runs, (PLANTED,), fail_on=Severity.HIGH, required=(SWEEP,), waivers=waivers)


def found(text: str = "cf") -> Finding:
    """The finding on one hit."""
    return PLANTED.finding(hit(text))


def waiving(**changes: object) -> Waivers:
    """One waiver."""
    return Waivers(MODEL, TODAY, (replace(WAIVER, **changes),))


def knowing(*findings: Finding) -> Waivers:
    """Waivers of a baseline."""
    prints = frozenset(fingerprint(MODEL, finding) for finding in findings)
    return Waivers(MODEL, TODAY, (), Known(prints, "baseline.json"))


def test_a_waived_finding_is_told_and_does_not_fail() -> None:
    """It stays in the report with who, why and until when."""
    decision = judged("cf", waivers=waiving())
    assert decision.verdict is Verdict.PASS
    (reason,) = decision.reasons
    assert reason.endswith("complete, and no finding that counts is high or above; 1 waived.")
    (finding,) = decision.findings
    assert finding.waived
    assert (finding.waived.by, finding.waived.place) == ("ignore", "plmscan.yaml:12")
    assert (finding.waived.reason, finding.waived.expires) == ("A double of ours.", "2027-01-31")


def test_a_waiver_of_one_subject_leaves_the_others() -> None:
    """A second trigger fails although the first is waived."""
    decision = judged("cf", "mn", waivers=waiving(subject="cf"))
    assert decision.verdict is Verdict.FAIL
    assert [f.waived is None for f in decision.findings] == [False, True]
    assert "mn" in decision.reasons[0]
    assert "cf" not in decision.reasons[0]


@pytest.mark.parametrize("changes", [{"rule": "PLM202"}, {"subject": "mn"}])
def test_a_waiver_of_something_else_changes_nothing(changes: dict[str, str]) -> None:
    """Rule and subject have to agree."""
    assert judged("cf", waivers=waiving(**changes)).verdict is Verdict.FAIL


def test_a_waiver_is_about_its_model() -> None:
    """One without a model is about all."""
    assert WAIVER.is_about("any/model")
    assert replace(WAIVER, model=MODEL).is_about(MODEL)
    assert not replace(WAIVER, model=MODEL).is_about("other/model")


@pytest.mark.parametrize(
    ("last_day", "verdict"), [(TODAY, Verdict.PASS), (date(2026, 11, 22), Verdict.FAIL)]
)
def test_a_waiver_holds_on_its_last_day(last_day: date, verdict: Verdict) -> None:
    """The day after, the finding counts again."""
    assert judged("cf", waivers=waiving(expires=last_day)).verdict is verdict


def test_an_expired_waiver_fails_and_says_where_it_stands() -> None:
    """Also where nothing was found, or only what is too mild to fail: somebody has to look."""
    over = waiving(expires=date(2026, 11, 1))
    mild = decide(
        (run(hit(z=1.0)),), (PLANTED,), fail_on=Severity.HIGH, required=(SWEEP,), waivers=over
    )
    assert mild.verdict is Verdict.FAIL
    assert "PLM201 at plmscan.yaml:12 expired on 2026-11-01" in mild.reasons[0]


def test_the_first_reason_says_that_a_waiver_expired() -> None:
    """One line, such as an annotation of the Action, shows no more than the first reason."""
    first, *_ = judged("cf", "mn", waivers=waiving(expires=date(2026, 11, 1))).reasons
    assert first.startswith("PLM201 critical: ")
    assert first.endswith("The waiver at plmscan.yaml:12 expired on 2026-11-01. Likewise 'mn'.")
    first, *_ = judged("cf", waivers=waiving(expires=date(2026, 11, 1), subject="mn")).reasons
    assert "expired" not in first


def test_known_findings_do_not_fail_and_new_ones_do() -> None:
    """A baseline waives what it holds, and nothing else."""
    assert judged("cf", waivers=knowing(found())).verdict is Verdict.PASS
    assert judged("cf", "mn", waivers=knowing(found())).verdict is Verdict.FAIL


def test_a_pass_says_what_was_known_and_what_was_waived() -> None:
    """A baseline and a waiver are two things, and the reason tells them apart."""
    waivers = replace(waiving(subject="mn"), known=knowing(found("cf"), found("bb")).known)
    (reason,) = judged("cf", "mn", "bb", waivers=waivers).reasons
    assert reason.endswith("high or above; 2 known, 1 waived.")


def test_nothing_is_waived_of_a_model_that_was_not_measured() -> None:
    """A waiver takes a finding away, never a gap."""
    runs = (run(hit()),)
    decision = decide(
        runs,
        (PLANTED, CUSTOM_CODE),
        fail_on=Severity.HIGH,
        required=(SWEEP, "custom-code"),
        waivers=knowing(found()),
    )
    assert decision.verdict is Verdict.INCONCLUSIVE


def test_the_margin_is_about_what_counts() -> None:
    """What was waived does not hide how near the rest came."""
    decision = judged("cf", waivers=waiving())
    assert decision.nearest is None


def test_a_fingerprint_survives_numbers_and_severity_and_tells_models_apart() -> None:
    """A bump of the model or of a threshold makes no new alert; another model does."""
    weaker = PLANTED.finding(hit(z=9.0, scatter=0.2))
    assert fingerprint(MODEL, found()) == fingerprint(MODEL, weaker)
    assert fingerprint(MODEL, found()) == fingerprint(MODEL, replace(weaker, severity=Severity.LOW))
    assert fingerprint(MODEL, found()) != fingerprint("other/model", found())
    assert fingerprint(MODEL, found()) != fingerprint(MODEL, found("mn"))
