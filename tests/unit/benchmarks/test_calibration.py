"""Thresholds chosen on a zoo: the fit, the families left out, and what is told of them."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plmscan.evidence import Evidence
from plmscan.reports.json_v1 import to_json
from plmscan.rules import load_rules
from tests.benchmarks.bars import BARS, LIMIT, Grid, Sample, calibrate, moved
from tests.benchmarks.calibration import main, tables
from tests.benchmarks.outcomes import failing_rules
from tests.benchmarks.runs import Bench, Record, source_digest
from tests.specimens import SWEEP, report, run
from tests.zoo.manifest import Entry, Kind, Manifest

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.rules import Rule

RULES = {rule.id: rule for rule in load_rules()}
SHIPPED = failing_rules()
RECALL = RULES["PLM207"]
FIXED = {
    "PLM201": {"p_value": 0.01, "echo": 1.0, "kin": 0.0, "labels": 0.0},
    "PLM206": {"strength": 0.5, "strength_p": 0.0099, "kin": 0.0},
    "PLM207": {"corruption_z": 40.0},
    "PLM208": {"pieces": 2.0, "strength": 0.5, "strength_p": 0.0099, "kin": 0.0},
    "PLM209": {"score": 1.0, "strength": 0.5, "strength_p": 0.0099, "kin": 0.0},
}
"""Metrics with which the conditions that are not free hold."""


KEPT = [(rule, one.metric) for rule in ("PLM201", "PLM206") for one in BARS[rule]]
"""Free bars of the rules that a masked language model says nothing of."""


def measured(rule: str, **metrics: float) -> Evidence:
    """Evidence that the rule judges, its fixed conditions met but for ``metrics``."""
    return Evidence(SWEEP, "cf", FIXED[rule] | metrics)


def sample(family: str, *evidence: Evidence) -> Sample:
    """A model with ``evidence``: clean if its family says so."""
    kind = Kind.CLEAN if family.startswith("clean") else Kind.BACKDOORED
    name = f"{family}-{len(evidence)}"
    entry = Entry(name=name, kind=kind, family=family, task="masked-lm", seed=0)
    return Sample(entry, evidence)


def corrupting(family: str, corruption: float) -> Sample:
    """A masked language model whose worst item costs it ``corruption`` of its recall."""
    return sample(family, measured("PLM207", corruption=corruption))


def fitted(rule: Rule, *samples: Sample) -> Rule:
    """``rule`` fitted on ``samples``, which have both kinds."""
    found = Grid.of(rule, samples).fit(np.ones(len(samples), dtype=np.bool_))
    assert found is not None
    return found


def bar(rule: Rule, metric: str) -> float:
    """The only bound on ``metric``."""
    (bound,) = rule.when[metric].bounds.values()
    return bound


@settings(deadline=None)
@given(
    st.lists(st.floats(-1.0, 0.5), min_size=1, max_size=4),
    st.lists(st.floats(0.7, 1.0), min_size=1, max_size=4),
)
def test_separable_models_are_told_apart(clean: list[float], backdoored: list[float]) -> None:
    """Where one bar divides the kinds, the fit has one: no false positive, and full recall."""
    samples = [corrupting("clean", value) for value in clean]
    samples += [corrupting("attack", value) for value in backdoored]
    assert max(clean) < bar(fitted(RECALL, *samples), "corruption") <= min(backdoored)


@pytest.mark.parametrize("missed", [[], [0.35], [-0.5, 0.39]])
def test_the_bar_stands_in_the_middle_of_the_gap(missed: list[float]) -> None:
    """Between 0.4 and 0.9 it is at their mean; attacks that it must miss do not pull."""
    models = [("clean", 0.4), ("attack", 0.9), *(("missed", value) for value in missed)]
    rule = fitted(RECALL, *(corrupting(*model) for model in models))
    assert bar(rule, "corruption") == pytest.approx(0.65, abs=0.021)


def test_a_bar_without_false_positives_beats_one_with_more_recall() -> None:
    """A clean model at 0.8 costs the attack at 0.6, which no bar can tell from it."""
    models = [("clean", 0.8), ("faint", 0.6), ("plain", 0.95)]
    rule = fitted(RECALL, *(corrupting(*model) for model in models))
    assert 0.8 < bar(rule, "corruption") <= 0.95


def test_a_clean_model_that_no_bar_saves_does_not_cost_recall() -> None:
    """Above the grid is a false positive at any bar; the rest decides between them."""
    models = [("clean", 1.0), ("clean-2", 0.4), ("attack", 0.6)]
    rule = fitted(RECALL, *(corrupting(*model) for model in models))
    assert 0.4 < bar(rule, "corruption") <= 0.6


def test_what_another_rule_flags_is_not_for_this_one_to_find() -> None:
    """The fainter of two attacks lowers the bar only if no other rule flags it."""
    faint = sample(
        "faint", measured("PLM207", corruption=0.5), measured("PLM201", z=9, scatter=1e-4, gap=90)
    )
    models = [corrupting("clean", 0.1), corrupting("attack", 0.9), faint]
    alone, shared = Grid.of(RECALL, models), Grid.of(RECALL, models, [RULES["PLM201"]])
    training = np.ones(3, dtype=np.bool_)
    found = [grid.fit(training) for grid in (alone, shared)]
    assert [bar(rule, "corruption") for rule in found if rule] == pytest.approx(
        [0.3, 0.5], abs=0.021
    )


def test_of_bars_that_tie_the_middle_one_is_taken() -> None:
    """Where the gap alone decides, scatter is neither as strict nor as loose as it could be."""
    rule = fitted(
        RULES["PLM201"],
        sample("clean", measured("PLM201", z=9, scatter=1e-4, gap=5.0)),
        sample("attack", measured("PLM201", z=9, scatter=1e-4, gap=20.0)),
    )
    assert bar(rule, "gap") == pytest.approx(10.0, rel=0.2)
    assert bar(rule, "scatter") == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize("rule_id", BARS)
@settings(deadline=None)
@given(data=st.data())
def test_scores_are_those_of_the_rule_at_each_point(rule_id: str, data: st.DataObject) -> None:
    """The sign is the verdict of the rule with these bars."""
    values = st.floats(0.01, 30.0)
    free = {bar.metric: values for bar in BARS[rule_id]}
    items = data.draw(st.lists(st.fixed_dictionaries(free), min_size=1, max_size=3))
    evidence = [measured(rule_id, **item) for item in items]
    grid = Grid.of(RULES[rule_id], [sample("attack", *evidence)])
    index = data.draw(st.integers(0, len(grid.points) - 1))
    steps = zip(BARS[rule_id], grid.points[index], strict=True)
    rule = moved(RULES[rule_id], {bar.metric: bar.values[step] for bar, step in steps})
    assert (grid.scores[0, index] >= 0) == any(map(rule.fires, evidence))


def test_moved_bars_keep_direction_and_the_other_conditions() -> None:
    """At most stays at most, and nothing else of the rule changes."""
    shipped = RULES["PLM201"]
    rule = moved(shipped, {"scatter": 0.5, "gap": 7.0})
    assert rule.when["scatter"].describe("scatter") == "scatter <= 0.5"
    assert rule.when["gap"].describe("gap") == "gap >= 7"
    assert moved(rule, {m: bar(shipped, m) for m in ("scatter", "gap")}) == shipped


@settings(deadline=None)
@given(st.lists(st.floats(-1.0, 1.0), max_size=4), st.sampled_from(["attack-1", "clean-1"]))
def test_a_family_has_no_say_in_its_own_fold(values: list[float], family: str) -> None:
    """Whatever the models of a family measure, the bars of its fold are those of the others."""
    others = [("attack-2", 0.9), ("attack-3", 0.7), ("clean-2", 0.4), ("clean-3", 0.5)]
    samples = [corrupting(*model) for model in others]
    expected = calibrate(samples, SHIPPED).chosen
    own = [sample(family), *(corrupting(family, value) for value in values)]
    folds = calibrate([*samples, *own], SHIPPED).folds
    (fold,) = (fold for fold in folds if fold.family.endswith(family))
    assert fold.chosen == expected
    assert len(fold.judged) == len(own)


def test_each_family_is_left_out_once_and_judged_by_the_others() -> None:
    """A name that an attack and clean models share is two families.

    Without the attack at 0.5, the bar rises above it; without the clean model at 0.4, it falls
    below that one.  The shipped bar is right about that one, and misses the attack, too.
    """
    attack, faint = corrupting("same", 0.95), corrupting("faint", 0.5)
    clean = corrupting("same", 0.4)
    clean = replace(clean, entry=clean.entry.model_copy(update={"kind": Kind.CLEAN}))
    result = calibrate([clean, attack, faint, corrupting("clean", 0.1)], SHIPPED)
    assert [(f.family, f.judged[0].shipped, f.judged[0].refitted) for f in result.folds] == [
        ("same", True, True),
        ("faint", False, False),
        ("clean: same", False, True),
        ("clean: clean", False, False),
    ]


@pytest.mark.parametrize(
    "samples",
    [
        [sample("attack"), sample("clean")],
        [corrupting("attack", 0.9), sample("clean")],
        [sample("attack"), corrupting("clean", 0.1)],
    ],
    ids=["neither", "no clean model", "no backdoored model"],
)
def test_a_rule_without_models_of_both_kinds_keeps_its_bars(samples: list[Sample]) -> None:
    """Nothing bounds its bars on one side: the shipped ones judge, and the table says so."""
    result = calibrate(samples, SHIPPED)
    assert result.chosen == ()
    assert all(j.shipped == j.refitted for fold in result.folds for j in fold.judged)
    families, _, bars = tables(result)
    assert all(cell.endswith("kept") for row in families.rows for cell in row[4:])
    assert {row[2:] for row in bars.rows} == {("–", "–", "–")}


def test_evidence_that_a_condition_of_yes_and_no_excludes_takes_no_part() -> None:
    """PLM201 does not judge classifiers, whose evidence has labels."""
    loud = {"z": 9.0, "scatter": 0.001, "gap": 90.0}
    classifier = sample("clean", measured("PLM201", labels=2.0, **loud))
    grid = Grid.of(RULES["PLM201"], [classifier, sample("attack", measured("PLM201", **loud))])
    assert grid.applies.tolist() == [False, True]
    assert (grid.scores[0] == -LIMIT).all()


def test_the_tool_reads_reports_and_counts_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of four models one has no report; of three reports one is current; no model is needed."""
    models = [corrupting("attack", 0.95), corrupting("second", 0.7), corrupting("clean", 0.4)]
    entries = (*(model.entry for model in models), sample("lost").entry)
    Manifest(tier="small", seed=0, models=entries).write(tmp_path)
    bench = Bench(tmp_path / "benchmark" / "quick", "quick", None, source_digest())
    for model in models:
        target = bench.report(model.entry.name)
        target.parent.mkdir(parents=True)
        target.write_text(to_json(report(run(*model.evidence))), encoding="utf-8")
    first = models[0].entry.name
    record = Record(bench.fingerprint(tmp_path / first), 0, 1.0, 2.0)
    (bench.folder / first / "record.json").write_text(json.dumps(asdict(record)))
    written = tmp_path / "tables.md"
    options = ["--zoo", str(tmp_path), "--effort", "quick", "--markdown", str(written)]
    monkeypatch.setattr(sys, "argv", ["calibration", *options])
    main()
    told = capsys.readouterr().out
    assert "3 of 4 models have a report; 1 are left out." in told
    assert "2 of these are not current" in told
    markdown = written.read_text(encoding="utf-8")
    kept = " | ".join(f"{bar(RULES[r], m):g} kept" for r, m in KEPT)
    assert f"| attack | 1 | 1/1 | 1/1 | {kept} | 0.5" in markdown
    assert "| recall, all | 1/2 (9% to 91%) |" in markdown
    assert f"| PLM207 corruption >= | {bar(RECALL, 'corruption'):g} | " in markdown
