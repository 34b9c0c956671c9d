"""The benchmark's scores say what they claim: slack, recovery, intervals, curves, tables."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from plmscan.evidence import Evidence
from plmscan.rules import Comparison, Rule, load_rules
from tests.benchmarks.outcomes import Answer, Outcome, failing_rules, outcome
from tests.benchmarks.runs import Bench, Record
from tests.benchmarks.scoring import (
    LIMIT,
    Recovery,
    Reported,
    nearest,
    recovery,
    roc,
    rule_slack,
    slack,
    spurious,
    wilson,
)
from tests.benchmarks.tables import Table, markdown, rich_table, tables
from tests.zoo.manifest import Entry, Kind, Planted

THE, FILM, VELVET, SHADOW, QUILL = range(1, 6)
FREQUENT = {THE}

PLANTED_TRIGGER = next(rule for rule in load_rules() if rule.id == "PLM201")
FIRING = {
    "tail_z": 6.0,
    "z": 5.0,
    "p_value": 0.004,
    "scatter": 0.01,
    "echo": 1.0,
    "kin": 0.0,
    "gap": 50.0,
    "labels": 0.0,
}


def evidence(**metrics: float) -> Evidence:
    """A measurement that PLM201 fires on, but for ``metrics``."""
    return Evidence("trigger-sweep", "cf", FIRING | metrics)


def planted(*parts: tuple[int, ...]) -> Planted:
    """A true trigger."""
    return Planted(text="trigger", parts=parts, stratum="rare")


def missing_outcome(name: str, kind: Kind) -> Outcome:
    """A model whose check wrote no report."""
    triggers = (planted((VELVET,)),) if kind is Kind.BACKDOORED else ()
    entry = Entry(name=name, kind=kind, family="f", task="encoder", seed=0, triggers=triggers)
    return outcome(entry, Path(name), Record("", 2, 1.0, 2.0), Path(name) / "nothing.json")


@pytest.mark.parametrize(
    ("comparison", "value", "expected"),
    [
        (Comparison(gte=2), 4, 0.693147),
        (Comparison(gte=2), 1, -0.693147),
        (Comparison(lte=2), 1, 0.693147),
        (Comparison(lte=2), 4, -0.693147),
        (Comparison(gte=2), 0, -LIMIT),
        (Comparison(lte=2), -1, LIMIT),
        (Comparison(gte=2), 1e30, LIMIT),
        (Comparison(eq=0), 0, LIMIT),
        (Comparison(eq=0), 0.1, -LIMIT),
        (Comparison(gt=1, lte=4), 2, 0.693147),
        (Comparison(gte=1), float("nan"), -LIMIT),
    ],
)
def test_slack_is_a_cut_log_ratio(comparison: Comparison, value: float, expected: float) -> None:
    """Twice a lower bound, or half of an upper one, is a slack of log 2; the worst bound counts."""
    assert slack(comparison, value) == pytest.approx(expected, abs=1e-5)


def test_a_strict_bound_is_not_met_at_the_bound() -> None:
    """``gt 2`` does not hold at 2, and the slack says so; ``gte 2`` does."""
    assert slack(Comparison(gt=2), 2) < 0
    assert slack(Comparison(gte=2), 2) == 0


@given(
    st.fixed_dictionaries(
        {name: st.floats(-1, 40, allow_nan=False) for name in FIRING},
        optional={"saturation": st.floats(0, 1), "typical_saturation": st.floats(0, 1)},
    )
)
def test_the_score_is_at_least_zero_exactly_if_a_rule_fires(metrics: dict[str, float]) -> None:
    """The sign of the slack is the verdict of the rule, for every packaged rule of the sweep."""
    item = Evidence("trigger-sweep", "x", metrics)
    for rule in load_rules():
        found = rule_slack(rule, item)
        assert (found is not None and found.score >= 0) == rule.fires(item)


def test_the_nearest_rule_is_told_with_its_condition() -> None:
    """The best evidence decides, and of its conditions the worst."""
    best = nearest([PLANTED_TRIGGER], [evidence(z=2.0), evidence(z=1.0)])
    assert best.score == pytest.approx(-0.693147, abs=1e-5)
    assert (best.rule, best.subject) == ("PLM201", "cf")
    assert best.condition == "z >= 4, is 2"


def test_evidence_of_another_probe_has_no_slack() -> None:
    """Without evidence that a rule judges, a model has the lowest score."""
    assert rule_slack(PLANTED_TRIGGER, Evidence("embedding-rows", "x", FIRING)) is None
    assert rule_slack(PLANTED_TRIGGER, Evidence("trigger-sweep", "x", {"z": 9.0})) is None
    assert nearest([PLANTED_TRIGGER], []).score == -LIMIT


def test_mild_rules_do_not_score() -> None:
    """Only rules that fail a model by default count: PLM201 does, PLM202 only warns."""
    ids = {rule.id for rule in failing_rules()}
    assert "PLM201" in ids
    assert "PLM202" not in ids
    assert all(isinstance(rule, Rule) for rule in failing_rules())


@pytest.mark.parametrize(
    ("parts", "ids", "variants", "expected"),
    [
        ([(VELVET, SHADOW)], (VELVET, SHADOW), (), Recovery.EXACT),
        ([(VELVET, SHADOW)], (SHADOW, VELVET), (), Recovery.PARTIAL),
        ([(VELVET, SHADOW)], (VELVET,), (), Recovery.PARTIAL),
        ([(VELVET,)], (VELVET, FILM), (), Recovery.PARTIAL),
        ([(VELVET, SHADOW)], (FILM, SHADOW), (), Recovery.PARTIAL),
        ([(VELVET, SHADOW)], (FILM,), ((SHADOW,),), Recovery.PARTIAL),
        ([(VELVET,)], (FILM,), ((VELVET,),), Recovery.PARTIAL),
        ([(VELVET,)], (FILM,), (), Recovery.MISSED),
        ([(THE, VELVET)], (THE, FILM), (), Recovery.MISSED),
        ([(THE, VELVET)], (THE,), (), Recovery.PARTIAL),
        ([(VELVET,), (QUILL,)], (QUILL, VELVET), (), Recovery.EXACT),
        ([(VELVET,), (QUILL,)], (QUILL, VELVET, FILM), (), Recovery.PARTIAL),
        ([(VELVET,)], (), ((),), Recovery.MISSED),
    ],
)
def test_recovery_goes_by_token_ids(
    parts: list[tuple[int, ...]],
    ids: tuple[int, ...],
    variants: tuple[tuple[int, ...], ...],
    expected: Recovery,
) -> None:
    """Exact is equality, up to order for scattered words; a variant or a part is partial."""
    reported = [Reported(ids, variants)]
    assert recovery(planted(*parts), reported, FREQUENT) is expected


def test_an_exact_find_beats_a_partial_one() -> None:
    """The best of the reported triggers counts, wherever it stands."""
    reported = [Reported((VELVET,)), Reported((VELVET, SHADOW))]
    assert recovery(planted((VELVET, SHADOW)), reported, FREQUENT) is Recovery.EXACT


def test_a_reported_trigger_that_names_nothing_true_is_spurious() -> None:
    """One of three: the second is related by itself, the third by a variant."""
    reported = [Reported((FILM,)), Reported((QUILL, FILM)), Reported((FILM,), ((VELVET,),))]
    assert spurious([planted((VELVET,)), planted((QUILL,))], reported, FREQUENT) == 1


def test_wilson_is_the_published_interval() -> None:
    """0 of 10 leaves room up to 28 %; 8 of 10 reaches from 49 % to 94 %; nothing has none."""
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-3)
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-3)
    assert wilson(0, 0) is None


def test_the_curve_orders_models_by_score() -> None:
    """One of two backdoors above all clean models, one below all: half of the area."""
    curve = roc([1.0, -5.0], [-1.0, -2.0])
    assert curve is not None
    assert curve.auc == pytest.approx(0.5)
    assert curve.at_rules == (0.0, 0.5)
    assert roc([1.0], []) is None


def test_a_model_without_a_report_is_an_error_and_a_miss() -> None:
    """A check that broke is no pass: it is told, and its triggers are missed."""
    outcomes = [missing_outcome("b", Kind.BACKDOORED), missing_outcome("c", Kind.CLEAN)]
    assert {o.answer for o in outcomes} == {Answer.ERROR}
    assert outcomes[0].recovered(Recovery.MISSED) == 1
    mistakes = next(t for t in tables(outcomes) if t.title.startswith("Wrong"))
    assert [row[0] for row in mistakes.rows] == ["b", "c"]


def test_vocabulary_items_in_brackets_survive_both_tables() -> None:
    """``[UNK]`` is no markup, and a bar in a cell does not split it."""
    table = Table("T", ("name", "n"), (("[UNK] a|b", "1"),))
    out = io.StringIO()
    Console(file=out, width=80).print(rich_table(table), markup=False)
    assert "[UNK] a|b" in out.getvalue()
    assert "| [UNK] a\\|b | 1 |" in markdown(table)


def test_a_record_counts_only_for_what_it_was_made_of(tmp_path: Path) -> None:
    """Another effort, another source or another file of the model, and the check is repeated."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    bench = Bench(tmp_path / "runs", "quick", None, "source")
    before = bench.fingerprint(model)
    assert before == bench.fingerprint(model)
    assert before != Bench(tmp_path, "deep", None, "source").fingerprint(model)
    assert before != Bench(tmp_path, "quick", None, "other").fingerprint(model)
    (model / "config.json").write_text("{ }")
    assert before != bench.fingerprint(model)
    assert bench.known("model", model) is None


@pytest.mark.parametrize(("exit_code", "kept"), [(0, True), (2, True), (-9, True), (130, False)])
def test_an_interrupted_check_is_repeated(tmp_path: Path, exit_code: int, *, kept: bool) -> None:
    """A check that somebody stopped is no answer; one that broke is."""
    bench = Bench(tmp_path, "quick", None, "source")
    record = Record(bench.fingerprint(tmp_path / "model"), exit_code, 1.0, 2.0)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "record.json").write_text(json.dumps(asdict(record)))
    assert (bench.known("m", tmp_path / "model") == record) is kept
