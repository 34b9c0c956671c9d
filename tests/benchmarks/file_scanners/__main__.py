"""plmscan and other scanners of model files on the same files, without loading a model.

    python -m tests.benchmarks.file_scanners.making FOLDER [GROUP=FOLDER ...]
    python -m tests.benchmarks.file_scanners FOLDER [NAME=PYTHON ...] [--markdown FILE]

``NAME=PYTHON`` gives picklescan, fickling or modelaudit by the Python interpreter of an environment
that has it.  Run it without a network (``unshare --net``): a scanner needs none.  A specimen
counts as found where the scanner calls it harmful, as unsure where it warns or cannot read it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tests.benchmarks.file_scanners.scanners import OWN, SCANNERS, Answer, scan
from tests.benchmarks.tables import NONE, Table, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.benchmarks.file_scanners.scanners import Result

    Truth = Mapping[str, bool]
    Results = Mapping[str, Result]

TRUTH = "truth.json"
_WIDTH = 170
_COLUMNS = (
    *("group", "scanner", "harmful", "found", "unsure", "missed"),
    *("honest", "called harmful", "unsure about", "s", "peak MB"),
)


def main() -> None:
    """Scan every group with every scanner, and draw the tables."""
    options = _options()
    pythons = {OWN: sys.executable} | dict(one.split("=", 1) for one in options.scanners)
    truth: dict[str, Truth] = json.loads((options.folder / TRUTH).read_text(encoding="utf-8"))
    drawn: list[tuple[str, ...]] = []
    others: list[tuple[str, ...]] = []
    for group, specimens in truth.items():
        names = sorted(specimens)
        results = {
            name: scan(SCANNERS[name], python, options.folder / group, names)
            for name, python in pythons.items()
        }
        drawn += [_row(group, specimens, name, result) for name, result in results.items()]
        others += _disagreements(group, specimens, results)
    tables = [
        Table("Files, by group and scanner", _COLUMNS, tuple(drawn)),
        Table("Disagreements", ("specimen", "truth", *pythons, "words"), tuple(others)),
    ]
    show(Console(width=_WIDTH), tables, options.markdown)


def _options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="what the module making wrote")
    parser.add_argument("scanners", nargs="*", metavar="NAME=PYTHON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, too")
    return parser.parse_args()


def _row(group: str, truth: Truth, name: str, result: Result) -> tuple[str, ...]:
    """What one scanner says about one group."""
    cells = [group, name]
    for is_harmful in (True, False):
        here = [result.answers[n][0] for n, harmful in truth.items() if harmful is is_harmful]
        counts = [str(here.count(answer)) for answer in reversed(Answer)]
        cells += [str(len(here)), *counts] if here else [NONE] * 4
    cells.pop()  # honest files about which nothing is said are the rest
    return (*cells, f"{result.usage.seconds:.1f}", f"{result.usage.megabytes:.0f}")


def _disagreements(group: str, truth: Truth, results: Results) -> Iterator[tuple[str, ...]]:
    """Specimens that one scanner judges right, and another not."""
    for name, is_harmful in truth.items():
        answers = {scanner: result.answers[name] for scanner, result in results.items()}
        right = Answer.FOUND if is_harmful else Answer.NOTHING
        if any(answer is not right for answer, _ in answers.values()):
            said = "; ".join(f"{s}: {words[:90]}" for s, (_, words) in answers.items() if words)
            judged = (answer.name.lower() for answer, _ in answers.values())
            yield (f"{group}/{name}", "harmful" if is_harmful else "honest", *judged, said)


if __name__ == "__main__":
    main()
