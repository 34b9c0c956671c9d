"""What the margin of a report keeps to, whatever was measured."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from plmscan.evidence import Evidence, Severity, Verdict
from plmscan.margin import LIMIT, nearest, rule_slack
from plmscan.policy import decide
from plmscan.reports.json_v1 import from_json, to_json
from plmscan.rules import Comparison, Rule, load_rules
from tests.specimens import CUSTOM_CODE, PLANTED, clean, hit, run

LOOSER = {"gte": -1, "gt": -1, "lte": 1, "lt": 1}
"""Which way a bound moves to hold for more values."""

numbers = st.one_of(
    st.floats(-4, 40, width=16), st.sampled_from([0.0, 1e-300, 1e300]), st.integers(-2, 9)
)
bars = st.sampled_from([None, *Severity])
hits = st.lists(st.builds(hit, st.sampled_from(["cf", "mn"]), numbers, numbers), max_size=3)
codes = st.lists(
    st.builds(lambda n: Evidence("custom-code", "x.py", {"files": n}), numbers), max_size=2
)
packaged = {rule.id: rule for rule in load_rules()}


@st.composite
def judged(draw: st.DrawFn) -> tuple[Rule, Evidence]:
    """A packaged rule and evidence that it judges, often close to its bounds."""
    rule = draw(st.sampled_from(sorted(packaged)).map(packaged.__getitem__))
    metrics = {
        metric: draw(numbers | st.sampled_from(sorted(comparison.bounds.values())))
        for metric, comparison in rule.when.items()
    }
    return rule, Evidence(rule.probe, "x", metrics)


@given(judged())
def test_the_sign_is_the_verdict_of_the_rule(pair: tuple[Rule, Evidence]) -> None:
    """A rule has a slack of at least 0 exactly if it fires, and misses a condition if it does not.

    So for every packaged rule.
    """
    rule, item = pair
    found = rule_slack(rule, item)
    assert found is not None
    assert (found.score >= 0) == (found.unmet == 0) == rule.fires(item)
    assert -LIMIT <= found.score <= LIMIT


@given(hits, codes, bars)
def test_a_margin_of_zero_or_more_is_a_fail(
    hits: list[Evidence], codes: list[Evidence], fail_on: Severity | None
) -> None:
    """The margin of a decision is at least 0 exactly if a rule that fails the model fires.

    It is absent where no rule can fail the model.
    """
    runs = [run(*hits), run(*codes, probe="custom-code")]
    decision = decide(runs, [PLANTED, CUSTOM_CODE], fail_on=fail_on, required=())
    margin = decision.nearest
    assert (decision.verdict is Verdict.FAIL) == (margin is not None and margin.score >= 0)
    assert fail_on is not None or margin is None


@given(hits, st.sampled_from(sorted(PLANTED.when)), st.floats(0, 20, width=16))
def test_relaxing_a_bound_never_lowers_it(hits: list[Evidence], metric: str, by: float) -> None:
    """A threshold that lets more values through brings no evidence further away from the rule."""
    relaxed = PLANTED.model_copy(update={"when": PLANTED.when | {metric: looser(metric, by)}})
    assert nearest([relaxed], hits).score >= nearest([PLANTED], hits).score


def looser(metric: str, by: float) -> Comparison:
    """The comparison of `PLANTED` for ``metric`` with its bounds moved by ``by``."""
    bounds = PLANTED.when[metric].bounds.items()
    return Comparison(**{name: bound + LOOSER[name] * by for name, bound in bounds})


@given(hits, hits)
def test_more_evidence_never_lowers_it(few: list[Evidence], more: list[Evidence]) -> None:
    """What is measured besides hides nothing."""
    assert nearest([PLANTED], [*few, *more]).score >= nearest([PLANTED], few).score


@given(hits, bars)
def test_it_survives_json(hits: list[Evidence], fail_on: Severity | None) -> None:
    """The margin that a scan computes comes back from JSON as it was."""
    decision = decide([run(*hits)], [PLANTED], fail_on=fail_on, required=())
    report = replace(clean(), nearest=decision.nearest)
    assert from_json(to_json(report)).nearest == decision.nearest
