"""What attention tells of triggers, and how well attention times gradient filters texts.

    python -m tests.benchmarks.detection --zoo ZOO
    python -m tests.benchmarks.attention --zoo ZOO [--part heads|saliency|filters] [--markdown FILE]

The first two parts need the reports of the detection benchmark, whose candidates they look at.  The
third runs on the classifiers of two labels.  What is measured of each model lies in
``ZOO/benchmark/attention/`` and is not measured again; delete it after a change of the source.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel
from rich.console import Console

from plmscan.loading import load
from tests.artifacts import artifact_of
from tests.benchmarks.attention import filtering, heads, localising
from tests.benchmarks.attention.filtering import Filtered, filtered
from tests.benchmarks.attention.heads import Subject, measured
from tests.benchmarks.attention.localising import Localised, localised
from tests.benchmarks.outcomes import read_report
from tests.benchmarks.tables import show
from tests.zoo.corpus import read_sst2
from tests.zoo.manifest import Kind, Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from plmscan.evidence import Evidence
    from tests.benchmarks.tables import Table
    from tests.zoo.manifest import Entry

_LANGUAGE = "clean-mlm"
"""The masked language model that ONION asks."""


class HeadRecord(BaseModel):
    """The first part, of one model."""

    architecture: str
    """``model_type`` of its config."""
    subjects: list[Subject]
    """Its candidates."""


class SaliencyRecord(BaseModel):
    """The second part, of one model."""

    candidates: list[Localised]
    """True triggers, and the best candidates of the search."""


def main() -> None:
    """Measure what is missing, then tell."""
    options = _options()
    chosen = [
        entry
        for entry in Manifest.read(options.zoo).models
        if not options.only or entry.name in options.only
    ]
    console = Console(width=180)
    drawn: list[Table] = []
    if options.part in (None, "heads"):
        drawn += heads.tables(list(_head_records(options.zoo, chosen, console)))
    if options.part in (None, "saliency"):
        drawn += localising.tables(list(_saliency_records(options.zoo, chosen, console)))
    if options.part in (None, "filters"):
        drawn += filtering.tables(list(_filter_records(options, chosen, console)))
    show(console, drawn, options.markdown)


def _options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--zoo", type=Path, required=True, help="folder with manifest.json")
    parser.add_argument("--texts", type=Path, required=True, help="folder of SST-2")
    parser.add_argument("--part", choices=("heads", "saliency", "filters"), help="only this part")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="only these models")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, too")
    return parser.parse_args()


def _head_records(
    zoo: Path, entries: Sequence[Entry], console: Console
) -> Iterator[tuple[Entry, str, list[Subject]]]:
    """Of each model that has a report of the detection benchmark."""
    for entry, suspects in _searched(zoo, entries, console):
        kept = _kept(zoo, "heads", entry)
        if not kept.exists():
            model = load(artifact_of(zoo / entry.name), "cpu")
            found = measured(model, entry, suspects)
            _keep(kept, HeadRecord(architecture=model.config.model_type, subjects=found))
            console.print(f"{entry.name}: {len(found)} candidates")
        record = HeadRecord.model_validate_json(kept.read_text(encoding="utf-8"))
        yield entry, record.architecture, record.subjects


def _saliency_records(
    zoo: Path, entries: Sequence[Entry], console: Console
) -> Iterator[tuple[Entry, list[Localised]]]:
    """Of the same models."""
    for entry, suspects in _searched(zoo, entries, console):
        kept = _kept(zoo, "saliency", entry)
        if not kept.exists():
            model = load(artifact_of(zoo / entry.name), "cpu")
            found = localised(model, entry, suspects)
            _keep(kept, SaliencyRecord(candidates=found))
            console.print(f"{entry.name}: {sum(one.fires() for one in found)} of {len(found)}")
        record = SaliencyRecord.model_validate_json(kept.read_text(encoding="utf-8"))
        yield entry, record.candidates


def _searched(
    zoo: Path, entries: Sequence[Entry], console: Console
) -> Iterator[tuple[Entry, list[Evidence]]]:
    """Models with the candidates of their search."""
    for entry in entries:
        report = read_report(zoo / "benchmark" / "standard" / entry.name / "report.json")
        if report is None:
            console.print(f"{entry.name}: no report of the detection benchmark")
            continue
        told = [e for run in report.probes for e in run.evidence if e.trigger is not None]
        yield entry, told


def _filter_records(
    options: argparse.Namespace, entries: Sequence[Entry], console: Console
) -> Iterator[tuple[str, Filtered]]:
    """Of each classifier of SST-2's two labels."""
    corpus, zoo = read_sst2(options.texts), options.zoo
    language = load(artifact_of(zoo / _LANGUAGE), "cpu")
    for entry in entries:
        if not _reads_sst2(entry):
            continue
        kept = _kept(zoo, "filters", entry)
        if not kept.exists():
            model = load(artifact_of(zoo / entry.name), "cpu")
            found = filtered(model, language, entry, zoo / entry.name, corpus)
            _keep(kept, found)
            console.print(f"{entry.name}: {found.results['plmscan inspect']}")
        yield entry.name, Filtered.model_validate_json(kept.read_text(encoding="utf-8"))


def _reads_sst2(entry: Entry) -> bool:
    """Whether a model is a classifier of sentiment, backdoored or not."""
    sentiment = entry.settings.get("label_set") == "sentiment"
    return entry.task == "classifier" and (entry.kind is Kind.BACKDOORED or sentiment)


def _kept(zoo: Path, part: str, entry: Entry) -> Path:
    """Where the measurement of a model is kept."""
    return zoo / "benchmark" / "attention" / part / f"{entry.name}.json"


def _keep(path: Path, record: BaseModel) -> None:
    """Write a measurement."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
