"""What the policy keeps to, whatever the probes measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from hypothesis import given
from hypothesis import strategies as st

from plmscan.evidence import Evidence, Gap, ProbeRun, ProbeStatus, Severity, Verdict
from plmscan.policy import decide
from tests.specimens import CUSTOM_CODE, PLANTED, SWEEP, hit

if TYPE_CHECKING:
    import random

    from plmscan.rules import Rule

Item = TypeVar("Item")

MILDNESS = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1, Verdict.PASS: 2}

numbers = st.floats(0, 20, width=16)
bars = st.sampled_from([None, *Severity])
gaps = st.builds(Gap, st.sampled_from("ab"), st.just("why."), blocks_pass=st.booleans())
evidence = st.one_of(
    st.builds(hit, st.sampled_from(["cf", "mn"]), numbers, st.floats(0, 1, width=16)),
    st.builds(lambda n: Evidence("custom-code", "x.py", {"files": n}), st.sampled_from([0.0, 1.0])),
)
runs = st.lists(
    st.builds(
        ProbeRun,
        id=st.sampled_from([SWEEP, "custom-code"]),
        status=st.sampled_from(ProbeStatus),
        reason=st.just("why."),
        seconds=st.just(0.0),
        forward_tokens=st.just(0),
        evidence=st.lists(evidence, max_size=3).map(tuple),
        gaps=st.lists(gaps, max_size=2).map(tuple),
    ),
    max_size=4,
)
rules = st.lists(st.sampled_from([PLANTED, CUSTOM_CODE]), unique_by=lambda rule: rule.id)


@given(runs, rules, bars, st.lists(evidence, max_size=3), st.lists(gaps, max_size=2))
def test_more_evidence_never_makes_a_fail_milder(
    runs: list[ProbeRun],
    rules: list[Rule],
    fail_on: Severity | None,
    more: list[Evidence],
    further: list[Gap],
) -> None:
    """Evidence and gaps that are added to a run move no verdict away from a fail."""
    before = decide(runs, rules, fail_on=fail_on, required=())
    extended = [
        replace(run, evidence=(*run.evidence, *more), gaps=(*run.gaps, *further)) for run in runs
    ]
    after = decide(extended, rules, fail_on=fail_on, required=())
    assert before.verdict is not Verdict.FAIL or after.verdict is Verdict.FAIL
    assert len(after.findings) >= len(before.findings)


@given(runs, rules, bars)
def test_a_lower_bar_is_never_milder(
    runs: list[ProbeRun], rules: list[Rule], fail_on: Severity | None
) -> None:
    """Failing on low is at least as strict as failing on anything else."""
    strict = decide(runs, rules, fail_on=Severity.LOW, required=(SWEEP,))
    usual = decide(runs, rules, fail_on=fail_on, required=(SWEEP,))
    assert MILDNESS[strict.verdict] <= MILDNESS[usual.verdict]


@given(runs, rules, bars, st.randoms(use_true_random=False))
def test_order_changes_nothing(
    runs: list[ProbeRun], rules: list[Rule], fail_on: Severity | None, chance: random.Random
) -> None:
    """Runs, evidence, gaps and rules in any order give the same decision."""
    shuffled = [
        replace(run, evidence=_mixed(run.evidence, chance), gaps=_mixed(run.gaps, chance))
        for run in _mixed(tuple(runs), chance)
    ]
    one = decide(runs, rules, fail_on=fail_on, required=(SWEEP,))
    other = decide(shuffled, _mixed(tuple(rules), chance), fail_on=fail_on, required=(SWEEP,))
    assert one == other


@given(runs, rules, bars)
def test_a_pass_hides_nothing(
    runs: list[ProbeRun], rules: list[Rule], fail_on: Severity | None
) -> None:
    """A pass means that no probe and no gap blocks one, and that a required probe measured."""
    decision = decide(runs, rules, fail_on=fail_on, required=(SWEEP,))
    if decision.verdict is Verdict.PASS:
        assert not any(run.status.blocks_pass for run in runs)
        assert not any(gap.blocks_pass for run in runs for gap in run.gaps)
        assert any(run.id == SWEEP and run.status is ProbeStatus.COMPLETED for run in runs)


def _mixed(items: tuple[Item, ...], chance: random.Random) -> tuple[Item, ...]:
    """``items`` in another order."""
    return tuple(chance.sample(items, len(items)))
