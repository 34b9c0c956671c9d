"""The benchmark's scores say what they claim: recovery, intervals, curves, tables."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from plmscan.rules import Rule
from tests.benchmarks.outcomes import Answer, Outcome, failing_rules, outcome
from tests.benchmarks.runs import Bench, Record
from tests.benchmarks.scoring import (
    Recovery,
    Reported,
    recovery,
    roc,
    spurious,
    wilson,
)
from tests.benchmarks.tables import Table, markdown, rich_table, tables
from tests.zoo.manifest import Entry, Kind, Planted

THE, FILM, VELVET, SHADOW, QUILL = range(1, 6)
FREQUENT = {THE}


def planted(*parts: tuple[int, ...]) -> Planted:
    """A true trigger."""
    return Planted(text="trigger", parts=parts, stratum="rare")


def missing_outcome(name: str, kind: Kind) -> Outcome:
    """A model whose check wrote no report."""
    triggers = (planted((VELVET,)),) if kind is Kind.BACKDOORED else ()
    entry = Entry(name=name, kind=kind, family="f", task="encoder", seed=0, triggers=triggers)
    return outcome(entry, Path(name), Record("", 2, 1.0, 2.0), Path(name) / "nothing.json")


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
