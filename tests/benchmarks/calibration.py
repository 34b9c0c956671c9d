"""Thresholds of the trigger rules, chosen on a zoo and judged on families that they never saw.

    python -m tests.benchmarks.detection --zoo ZOO
    python -m tests.benchmarks.calibration --zoo ZOO [--effort standard] [--markdown FILE]

No model runs: the saved reports of the detection benchmark hold the evidence.

**Bars.**  Some thresholds of a rule are free (`BARS`).  They are searched over a grid, whose steps
are equal ratios, or equal differences for shares.  All other conditions of the rule stay.

**Fit.**  Of all grid points: the fewest false positives, then the highest recall, then the widest
margin.  The margin is the lesser of two distances, in steps of the grid: by how much the worst
clean model stays below the bars, and by how much the faintest flagged one is above them.  Of points
that tie, the one in their middle is taken.  The shipped bars have no say, for they were chosen with
all families in view.

**Who takes part.**  Models with evidence that meets all fixed conditions of the rule; of backdoored
ones, those that no other rule flags.  A rule without such models of both kinds keeps its shipped
bars.

**Leave one family out.**  Each attack family and each sort of clean model is left out in turn, the
rules are fitted on the rest, and the models left out are judged by them, together with the other
rules that fail a model by default.  This is how well the choice of bars carries to attacks that
nobody has seen; bars fitted on all models would flatter themselves.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from plmscan.budget import Effort
from tests.benchmarks.bars import BARS, Sample, calibrate
from tests.benchmarks.outcomes import Half, failing_rules, read_report
from tests.benchmarks.runs import Bench, source_digest
from tests.benchmarks.tables import NONE, Table, of, share, show
from tests.zoo.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from plmscan.rules import Rule
    from tests.benchmarks.bars import Calibration, Fold, Judged
    from tests.zoo.manifest import Entry

_WIDTH = 160


def main() -> None:
    """Read the reports, fit, and print the tables."""
    options = _options()
    console, models = Console(width=_WIDTH), Manifest.read(options.zoo).models
    bench = Bench(options.zoo / "benchmark" / options.effort, options.effort, None, source_digest())
    samples = list(_samples(bench, options.zoo, models))
    missing, stale = len(models) - len(samples), sum(not sample.current for sample in samples)
    console.print(f"{len(samples)} of {len(models)} models have a report; {missing} are left out.")
    console.print(f"{stale} of these are not current: plmscan or the model has changed since.")
    if samples:
        result = calibrate(samples, failing_rules())
        show(console, tables(result), options.markdown)


def _options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--zoo", type=Path, required=True, help="folder with manifest.json")
    parser.add_argument("--effort", choices=list(Effort), default=Effort.STANDARD.value)
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, too")
    return parser.parse_args()


def _samples(bench: Bench, zoo: Path, entries: Iterable[Entry]) -> Iterator[Sample]:
    """The models with a report that can be read."""
    for entry in entries:
        report = read_report(bench.report(entry.name))
        if report is None:
            continue
        evidence = tuple(item for run in report.probes for item in run.evidence)
        yield Sample(entry, evidence, bench.known(entry.name, zoo / entry.name) is not None)


def tables(result: Calibration) -> tuple[Table, ...]:
    """All that is told of a calibration."""
    return _families(result), _summary(result), _bars(result)


def _families(result: Calibration) -> Table:
    """What becomes of each family when it is left out."""
    shipped = _free(result.shipped)
    return Table(
        title="Each family left out of the choice of bars",
        columns=("left out", "models", "shipped", "refitted", *shipped),
        rows=tuple((fold.family, *_fold_row(fold, shipped)) for fold in result.folds),
        note="Shipped: models flagged by the rules as they are. Refitted: flagged with the bars of "
        "the row, which were chosen on all other families; of clean models, both are errors. "
        "Kept: shipped, because the other families have no models of both kinds for the rule.",
    )


def _fold_row(fold: Fold, shipped: dict[str, float]) -> Iterator[str]:
    """Cells of a family."""
    total, chosen = len(fold.judged), _free(fold.chosen)
    yield str(total)
    yield of(sum(judged.shipped for judged in fold.judged), total)
    yield of(sum(judged.refitted for judged in fold.judged), total)
    for name, bound in shipped.items():
        yield f"{chosen[name]:g}" if name in chosen else f"{bound:g} kept"


def _summary(result: Calibration) -> Table:
    """Recall and false positives, by half and in all."""
    judged = [judged for fold in result.folds for judged in fold.judged]
    groups = {
        "recall": [j for j in judged if j.sample.backdoored],
        "false positives": [j for j in judged if not j.sample.backdoored],
    }
    rows = []
    for name, group in groups.items():
        rows += [(f"{name}, {h}", *_rates([j for j in group if j.sample.half is h])) for h in Half]
        rows += [(f"{name}, all", *_rates(group))]
    return Table(
        title="Shipped bars, and bars that never saw the family",
        columns=("rate", "shipped", "leave one family out"),
        rows=tuple(rows),
        note="Intervals: Wilson's, 95 %.",
    )


def _rates(group: list[Judged]) -> tuple[str, str]:
    """Shares that are flagged, with the shipped bars and with the refitted ones."""
    total = len(group)
    return share(sum(j.shipped for j in group), total), share(sum(j.refitted for j in group), total)


def _bars(result: Calibration) -> Table:
    """The free bars: as they are, fitted on all models, and how far the folds differ."""
    everywhere, folds = _free(result.chosen), [_free(fold.chosen) for fold in result.folds]
    rows = []
    for name, bound in _free(result.shipped).items():
        found = [fold[name] for fold in folds if name in fold]
        values = (bound, everywhere.get(name), min(found, default=None), max(found, default=None))
        rows.append((name, *(NONE if v is None else f"{v:g}" for v in values)))
    return Table(
        title="Bars",
        columns=("bar", "shipped", "all models", "least of the folds", "greatest of the folds"),
        rows=tuple(rows),
        note="Folds that keep the shipped bars do not count.",
    )


def _free(rules: Iterable[Rule]) -> dict[str, float]:
    """The free bars of ``rules`` by condition, such as ``PLM201 gap >=``."""
    free = (
        (rule.id, bar.metric, rule.when[bar.metric])
        for rule in rules
        for bar in BARS.get(rule.id, ())
    )
    return {
        f"{rule} {condition.describe(metric).rpartition(' ')[0]}": bound
        for rule, metric, condition in free
        for bound in condition.bounds.values()
    }


if __name__ == "__main__":
    main()
