"""Whether checks of one zoo on several kinds of arithmetic say the same.

    python -m tests.benchmarks.detection --zoo ZOO --arithmetic float32
    python -m tests.benchmarks.detection --zoo ZOO --arithmetic avx2
    python -m tests.benchmarks.agreement --zoo ZOO standard-float32 standard-avx2

The names are those of folders in ``ZOO/benchmark``.  A verdict agrees if it is the same, names
agree if the triggers of both reports are the same texts.  Nothing is asserted.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tests.benchmarks.outcomes import read_report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Answers:
    """What the checks of one model said, in the order of the folders."""

    model: str
    """Its name."""
    verdicts: tuple[str, ...]
    """One a check."""
    named: tuple[tuple[str, ...], ...]
    """The triggers of each, sorted."""

    @property
    def same_verdict(self) -> bool:
        """Whether all verdicts are one."""
        return len(set(self.verdicts)) == 1

    @property
    def same_names(self) -> bool:
        """Whether all name the same triggers."""
        return len(set(self.named)) == 1


def main() -> None:
    """Print what differs, and how much does not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--zoo", type=Path, required=True, help="folder with manifest.json")
    parser.add_argument("folders", nargs="+", help="of the benchmark, two or more")
    options = parser.parse_args()
    found = list(answers(options.zoo / "benchmark", options.folders))
    console = Console(width=160)
    console.print(_table([one for one in found if not one.same_names], options.folders))
    verdicts, names = (sum(one.same_verdict for one in found), sum(one.same_names for one in found))
    console.print(f"{len(found)} models: same verdict {verdicts}, same triggers named {names}.")


def answers(benchmark: Path, folders: Sequence[str]) -> Iterator[Answers]:
    """Of every model that has a report in each of the ``folders``."""
    models = sorted(path.parent.name for path in (benchmark / folders[0]).glob("*/report.json"))
    for model in models:
        told = [read_report(benchmark / folder / model / "report.json") for folder in folders]
        reports = [one for one in told if one is not None]
        if len(reports) == len(folders):
            yield Answers(
                model,
                tuple(str(one.verdict) for one in reports),
                tuple(tuple(sorted(trigger.text for trigger in one.triggers)) for one in reports),
            )


def _table(differing: Sequence[Answers], folders: Sequence[str]) -> Table:
    """What differs, a row a model."""
    table = Table("model", *folders, title="Reports that differ")
    for one in differing:
        cells = (
            f"{verdict}: {', '.join(named)}"
            for verdict, named in zip(one.verdicts, one.named, strict=True)
        )
        table.add_row(one.model, *cells)
    return table


if __name__ == "__main__":
    main()
