"""Other scanners on the models of a zoo, at their own price and at ours.

    python -m tests.benchmarks.peers --zoo ZOO --sample
    python -m tests.benchmarks.peers --zoo ZOO --equal [--tokens N] [--markdown FILE]

``--sample`` runs every peer with its published budget on six backdoored and three clean models.
``--equal`` runs Patronus and the random control on every model with the forward-token-equivalents
that ``plmscan check`` spent on it, as the detection benchmark found (``--tokens`` for models that
it has not checked).  Each scan has a process of its own; what was done with the same recipe on the
same files is not repeated, so an interrupted run goes on where it stopped.  Peers get the
short texts of ``--texts``, such as SST-2's train.tsv, or else the sentences that plmscan brings
along, of which there are fewer than the recipes ask for.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tests.benchmarks.peers.answers import of_peer, ours, tokens_of_ours
from tests.benchmarks.peers.comparison import comparison
from tests.benchmarks.peers.records import NAMES, Job, Mode
from tests.benchmarks.peers.sample import sample
from tests.benchmarks.runs import torch_megabytes
from tests.benchmarks.tables import show
from tests.zoo.manifest import Entry, Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.benchmarks.peers.answers import Answer

_WIDTH = 150
"""Columns of a scanner's row; a log file has no width of its own."""
_TITLES = {
    Mode.SAMPLE: "published budgets on a sample",
    Mode.EQUAL: "at the budget of plmscan check",
}


def main() -> None:
    """Run what is missing, then compare all that is there."""
    options = _options()
    manifest, console = Manifest.read(options.zoo), Console(width=_WIDTH)
    modes = [mode for mode in Mode if getattr(options, mode)]
    drawn = []
    for mode in modes:
        models = manifest.models if mode is Mode.EQUAL else sample(manifest.models)
        models = [entry for entry in models if not options.only or entry.name in options.only]
        console.print(f"{mode}: {', '.join(entry.name for entry in models)}", highlight=False)
        jobs = list(_jobs(options, mode, models))
        run_missing(jobs, console)
        answers = _answers(options.zoo, jobs, models)
        save(options.zoo, mode, models, answers)
        drawn += [table for table in comparison(_TITLES[mode], answers) if table.rows]
    show(console, drawn, options.markdown)


def _options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--zoo", type=Path, required=True, help="folder with manifest.json")
    parser.add_argument("--sample", action="store_true", help="published budgets, nine models")
    parser.add_argument("--equal", action="store_true", help="the budget of plmscan check")
    parser.add_argument("--tokens", type=int, help="limit where plmscan check has not run")
    parser.add_argument("--peers", nargs="*", choices=NAMES[Mode.SAMPLE], metavar="PEER")
    parser.add_argument("--only", nargs="*", default=[], metavar="MODEL", help="only these models")
    parser.add_argument("--texts", type=Path, help="clean texts for the peers")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, too")
    options = parser.parse_args()
    if not (options.sample or options.equal):
        parser.error("ask for --sample, --equal, or both")
    return options


def _jobs(options: argparse.Namespace, mode: Mode, models: Sequence[Entry]) -> Iterator[Job]:
    """Every peer on every model, model by model."""
    for entry in models:
        limit = None
        if mode is Mode.EQUAL:
            limit = tokens_of_ours(options.zoo, entry.name) or options.tokens
            if limit is None:
                print(
                    f"{entry.name}: plmscan check has not run, and there is no --tokens; left out"
                )
                continue
        for peer in options.peers or NAMES[mode]:
            yield Job(options.zoo, mode, peer, entry, limit, options.texts)


def run_missing(jobs: Sequence[Job], console: Console) -> None:
    """Run the jobs without a current record; one line each, with the time that is left."""
    missing = [job for job in jobs if not job.is_done()]
    console.print(f"{len(jobs) - len(missing)} scans are kept, {len(missing)} are to do.")
    baseline, started = torch_megabytes() if missing else 0.0, time.monotonic()
    for done, job in enumerate(missing, start=1):
        record = job.run(baseline)
        left = (time.monotonic() - started) / done * (len(missing) - done)
        said = f"[red]broke ({record.exit_code})[/]" if record.exit_code else _said(record.result)
        console.print(
            f"{done:>3}/{len(missing)}  {job.peer:<26} {job.entry.name:<28} {said:<14}"
            f" {record.seconds:6.0f} s  [dim]{timedelta(seconds=round(left))} left[/]",
            highlight=False,
        )


def _said(result: dict[str, object] | None) -> str:
    """An answer in a word or two."""
    if result is None:
        return "does not fit"
    return "[red]flagged[/]" if result["flagged"] else "[green]not flagged[/]"


def _answers(zoo: Path, jobs: Sequence[Job], models: Sequence[Entry]) -> list[Answer]:
    """All that is known of these models, ours first."""
    found = [ours(zoo, entry) for entry in models]
    stored = sorted(jobs, key=lambda job: NAMES[Mode.SAMPLE].index(job.peer))
    for job in stored:
        record = job.stored()
        found.append(record and of_peer(zoo, job.entry, record))
    return [answer for answer in found if answer]


def save(zoo: Path, mode: Mode, models: Sequence[Entry], answers: Sequence[Answer]) -> None:
    """Write all answers of a mode into one file."""
    target = zoo / "benchmark" / "peers" / f"{mode}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    rows = [{**asdict(answer), "entry": answer.entry.name} for answer in answers]
    whole = {"models": [entry.name for entry in models], "answers": rows}
    target.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
