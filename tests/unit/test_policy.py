"""The policy on hand-made evidence: what fails, what is inconclusive, what passes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plmscan.evidence import Evidence, Gap, ProbeRun, ProbeStatus, Severity, Verdict
from plmscan.policy import Decision, decide
from plmscan.rules import Comparison
from tests.specimens import CUSTOM_CODE, PLANTED, SWEEP, hit, run

CODE = Evidence("custom-code", "modeling_odd.py", {"files": 1.0})


def judge(*runs: ProbeRun, fail_on: Severity | None = Severity.HIGH) -> Decision:
    """The decision about ``runs``, under the rules of their probes."""
    rules = [rule for rule in (PLANTED, CUSTOM_CODE) if rule.probe in {r.id for r in runs}]
    return decide(runs, rules, fail_on=fail_on, required=(SWEEP,))


def test_a_completed_scan_without_findings_passes() -> None:
    """Evidence below every threshold, and no gap: pass."""
    decision = judge(run(hit(z=2.0)))
    assert decision.verdict is Verdict.PASS
    assert decision.findings == ()
    assert decision.reasons == (
        "All checks that apply are complete, and no finding is high or above.",
    )


@pytest.mark.parametrize(
    ("fail_on", "verdict"),
    [
        (Severity.LOW, Verdict.FAIL),
        (Severity.MEDIUM, Verdict.FAIL),
        (Severity.HIGH, Verdict.PASS),
        (Severity.CRITICAL, Verdict.PASS),
        (None, Verdict.PASS),
    ],
)
def test_fail_on_is_the_bar(fail_on: Severity | None, verdict: Verdict) -> None:
    """A medium finding fails from its own severity downwards, and is told in every case."""
    decision = judge(run(hit(z=2.0)), run(CODE, probe="custom-code"), fail_on=fail_on)
    assert decision.verdict is verdict
    assert [finding.rule for finding in decision.findings] == ["PLM110"]


@pytest.mark.parametrize("status", [s for s in ProbeStatus if s.blocks_pass])
def test_a_probe_that_did_not_complete_blocks_a_pass(status: ProbeStatus) -> None:
    """Failed, incomplete and timed-out probes make the verdict inconclusive, with the reason."""
    broken = ProbeRun("custom-code", status, "it broke.", 0.0, 0)
    decision = judge(run(hit(z=2.0)), broken)
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reasons == (f"custom-code {status}: it broke.",)


def test_a_gap_blocks_a_pass_only_if_it_says_so() -> None:
    """A harmless gap is told in the report and changes nothing."""
    harmless = Gap("pooler", "not in the files.", blocks_pass=False)
    serious = Gap("tokenizer", "cannot be read.")
    assert judge(run(hit(z=2.0), gaps=(harmless,))).verdict is Verdict.PASS
    decision = judge(run(hit(z=2.0), gaps=(harmless, serious)))
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reasons == ("trigger-sweep: tokenizer: cannot be read.",)


def test_a_fail_wins_over_gaps() -> None:
    """What was found is not taken back by what was not searched; the gaps are still told."""
    decision = judge(run(hit(), gaps=(Gap("x", "y."),)))
    assert decision.verdict is Verdict.FAIL
    assert decision.reasons[0].startswith("PLM201 critical: cf drags cls")
    assert decision.reasons[1:] == ("trigger-sweep: x: y.",)


def test_findings_of_a_cut_short_probe_count() -> None:
    """A trigger that was found before the time ran out fails the model."""
    late = replace(run(hit()), status=ProbeStatus.TIMED_OUT, reason="late.")
    assert judge(late).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        ((), "Not run: trigger-sweep."),
        ((run(CODE, probe="custom-code"),), "Not run: trigger-sweep."),
        ((replace(run(), coverage=()),), "No required probe measured anything."),
        (
            (ProbeRun(SWEEP, ProbeStatus.SKIPPED, "no vocabulary.", 0.0, 0),),
            "No required probe measured anything.",
        ),
    ],
)
def test_nothing_scanned_never_passes(runs: tuple[ProbeRun, ...], reason: str) -> None:
    """No run, no required run, or required runs that measured nothing: inconclusive."""
    decision = judge(*runs)
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reasons == (reason,)


def test_a_rule_that_cannot_speak_blocks_a_pass() -> None:
    """A rule without its probe, or on a metric that its probe never measured, is no acquittal."""
    unknown = PLANTED.model_copy(update={"when": {"zz": Comparison(gte=1)}})
    runs = (run(hit(z=2.0)),)
    decision = decide(runs, (unknown, CUSTOM_CODE), fail_on=Severity.HIGH, required=(SWEEP,))
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reasons == (
        "Rule PLM110 could not be applied: the probe custom-code did not run.",
        "Rule PLM201 could not be applied: the probe trigger-sweep did not measure zz.",
    )


def test_findings_are_sorted_and_summed_up() -> None:
    """Severe findings come first, then strong ones; a reason counts the rest of its rule."""
    decision = judge(run(CODE, probe="custom-code"), run(hit("weak", z=9.0), hit("strong", z=30.0)))
    assert [f.evidence.subject for f in decision.findings] == ["strong", "weak", "modeling_odd.py"]
    assert decision.reasons == (
        "PLM201 critical: strong drags cls 41.7 clean variances (z 30.0). Likewise 'weak'.",
    )


def test_a_rule_that_needs_what_was_left_out_blocks_a_pass() -> None:
    """Another rule than those of the check, on evidence that it might fire on, is no pass."""
    left_out = replace(hit(), metrics={"scatter": 0.0123}, unmeasured=("z",))
    decision = judge(run(left_out))
    assert decision.verdict is Verdict.INCONCLUSIVE
    (reason,) = decision.reasons
    assert reason.startswith("Rule PLM201 could not be applied to 'cf': ")
    assert "did not need z" in reason


def test_what_was_left_out_and_cannot_matter_blocks_nothing() -> None:
    """Another condition of the rule does not hold."""
    left_out = replace(hit(), metrics={"scatter": 0.5}, unmeasured=("z",))
    decision = judge(run(left_out))
    assert decision.verdict is Verdict.PASS
    assert decision.nearest is not None
    assert (decision.nearest.metric, decision.nearest.value) == ("scatter", 0.5)
