"""What ``plmscan check`` says about every model of a zoo, compared with the truth.

    python -m tests.zoo build --tier small --out ZOO --texts SST2
    python -m tests.benchmarks.detection --zoo ZOO [--effort standard] [--markdown FILE]
    python -m tests.benchmarks.detection --zoo ZOO --arithmetic avx2    (another kind of processor)

Each model is checked in a process of its own.  Reports, records, ``results.json``,
``results.csv`` and the figures lie in ``ZOO/benchmark/<effort>/``, or in
``ZOO/benchmark/<effort>-<arithmetic>/``, which ``tests.benchmarks.agreement`` compares.  A check
that was done with the same source of plmscan on the same files with the same settings is not
repeated, so an interrupted benchmark goes on where it stopped, and ``--only`` adds models to the
tables bit by bit.  Seconds are only as honest as the machine is quiet: leave ``--jobs`` at 1 to
quote them.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from plmscan.budget import Effort
from tests.benchmarks.outcomes import Outcome, outcome
from tests.benchmarks.runs import ARITHMETICS, Bench, source_digest, torch_megabytes
from tests.benchmarks.scoring import Recovery, wilson
from tests.benchmarks.tables import curves, show, tables
from tests.zoo.manifest import Entry, Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.benchmarks.runs import Record

_INTERRUPTED = 130
_WIDE = 160
_COLOURS = {"pass": "green", "fail": "red"}


def main() -> None:
    """Check what is not checked yet, then tell about all that is."""
    options = _options()
    manifest = Manifest.read(options.zoo)
    usual = options.arithmetic == "auto"
    name = options.effort if usual else f"{options.effort}-{options.arithmetic}"
    folder = options.zoo / "benchmark" / name
    bench = Bench(folder, options.effort, options.texts, source_digest(), options.arithmetic)
    wanted = [e for e in manifest.models if not options.only or e.name in options.only]
    unknown = set(options.only) - {entry.name for entry in wanted}
    if unknown:
        msg = f"Not in the zoo: {', '.join(sorted(unknown))}."
        raise SystemExit(msg)
    console = _console()
    try:
        check_missing(bench, options.zoo, wanted, options.jobs, console)
    except KeyboardInterrupt:
        console.print("Interrupted: the same command goes on from here.")
        raise SystemExit(_INTERRUPTED) from None
    if source_digest() != bench.source:
        console.print("The source of plmscan changed meanwhile: the checks do not belong together.")
    outcomes = list(known_outcomes(bench, options.zoo, manifest.models))
    console.print(f"{len(outcomes)} of {len(manifest.models)} models have a current check.")
    save(bench, manifest, outcomes)
    show(console, tables(outcomes), options.markdown)


def _console() -> Console:
    """Stdout, wide enough for the tables where nobody sees the edge."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDE)


def _options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--zoo", type=Path, required=True, help="folder with manifest.json")
    parser.add_argument("--effort", choices=list(Effort), default=Effort.STANDARD.value)
    parser.add_argument("--arithmetic", choices=[*ARITHMETICS], default="auto")
    parser.add_argument("--texts", type=Path, help="carrier texts for plmscan, one a line")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="check only these")
    parser.add_argument("--jobs", type=int, default=1, help="checks at the same time")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, too")
    return parser.parse_args()


def check_missing(
    bench: Bench, zoo: Path, entries: Sequence[Entry], jobs: int, console: Console
) -> None:
    """Check the models without a current record, and tell of each as it ends."""
    missing = [entry for entry in entries if bench.known(entry.name, zoo / entry.name) is None]
    if len(missing) < len(entries):
        console.print(f"{len(entries) - len(missing)} checks are kept from an earlier run.")
    if not missing:
        return
    baseline = torch_megabytes()
    console.print(f"An interpreter with torch imported takes {baseline:.0f} MB.")
    columns = (TextColumn("checking"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(missing))
        for line in _check_all(bench, zoo, missing, jobs, baseline):
            progress.console.print(line, highlight=False)
            progress.advance(task)


def _check_all(
    bench: Bench, zoo: Path, entries: Sequence[Entry], jobs: int, baseline: float
) -> Iterator[str]:
    """Check ``entries``, ``jobs`` at a time; one line each, with the time that is left."""
    pool, started = ThreadPoolExecutor(jobs), time.monotonic()
    try:
        running = {
            pool.submit(bench.check, entry.name, zoo / entry.name, baseline): entry
            for entry in entries
        }
        for done, future in enumerate(as_completed(running), start=1):
            left = (time.monotonic() - started) / done * (len(entries) - done)
            found = _outcome(bench, zoo, running[future], future.result())
            yield f"{done:>3}/{len(entries)}  {_line(found)}  {_left(left)}"
    finally:
        pool.shutdown(cancel_futures=True)


def _left(seconds: float) -> str:
    """The time that is left, to the second."""
    return f"[dim]{timedelta(seconds=round(seconds))} left[/]"


def _line(found: Outcome) -> str:
    """One model: name, family, verdict, seconds."""
    answer = found.answer.value
    colour = _COLOURS.get(answer, "yellow")
    entry = found.entry
    model = f"{entry.name:<32} {entry.kind:<10} {entry.family:<16}"
    return f"{model} [{colour}]{answer:<12}[/] {found.seconds:5.0f} s"


def _outcome(bench: Bench, zoo: Path, entry: Entry, record: Record) -> Outcome:
    """The outcome of a check that is done."""
    return outcome(entry, zoo / entry.name, record, bench.report(entry.name))


def known_outcomes(bench: Bench, zoo: Path, entries: Sequence[Entry]) -> Iterator[Outcome]:
    """Outcomes of all current checks."""
    for entry in entries:
        record = bench.known(entry.name, zoo / entry.name)
        if record is not None:
            yield _outcome(bench, zoo, entry, record)


def save(bench: Bench, manifest: Manifest, outcomes: Sequence[Outcome]) -> None:
    """Write ``results.json``, ``results.csv`` and the figures."""
    if not outcomes:
        return
    (bench.folder / "results.json").write_text(
        json.dumps(to_jsonable_python(_results(bench, manifest, outcomes)), indent=1) + "\n",
        encoding="utf-8",
    )
    rows = [_flat(o) for o in outcomes]
    with (bench.folder / "results.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    from tests.benchmarks.plots import save_plots  # noqa: PLC0415 - matplotlib is heavy

    save_plots(bench.folder, outcomes, curves(outcomes))


def _results(bench: Bench, manifest: Manifest, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """All that is known."""
    clean = [o for o in outcomes if not o.backdoored]
    failed = sum(o.answer.value == "fail" for o in clean)
    return {
        "zoo": {"tier": manifest.tier, "seed": manifest.seed, "models": len(manifest.models)},
        "effort": bench.effort,
        "arithmetic": bench.arithmetic,
        "texts": bench.texts and bench.texts.name,
        "source": bench.source,
        "false_positives": {
            "count": failed,
            "of": len(clean),
            "wilson": wilson(failed, len(clean)),
        },
        "roc": curves(outcomes),
        "tables": tables(outcomes),
        "models": outcomes,
    }


def _flat(o: Outcome) -> dict[str, object]:
    """One line of the CSV file."""
    return {
        "name": o.entry.name,
        "kind": o.entry.kind.value,
        "family": o.entry.family,
        "half": o.half.value,
        "answer": o.answer.value,
        "rules": " ".join(o.rules),
        "score": round(o.nearest.score, 6),
        "nearest_rule": o.nearest.rule,
        "triggers": len(o.found),
        **{how.value: o.recovered(how) for how in Recovery},
        "reported": o.reported,
        "spurious": o.spurious,
        "displacement": o.finalist and o.finalist.displacement,
        "scatter": o.finalist and o.finalist.scatter,
        "seconds": round(o.seconds, 2),
        "megabytes": round(o.megabytes),
        "forward_tokens": o.forward_tokens,
    }


if __name__ == "__main__":
    main()
