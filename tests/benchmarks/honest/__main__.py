"""Honest models in the layouts of popular ones, each through a whole check.

    python -m tests.benchmarks.honest [NAME ...] [--keep FOLDER]

Tiny random or shortly trained weights, and the files that such models are published with.  None
may fail, and one that does not pass has to say why, and what would help.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console

import plmscan
from plmscan.errors import PlmscanError
from plmscan.evidence import Verdict
from tests.benchmarks.honest.building import build
from tests.benchmarks.honest.models import MODELS
from tests.benchmarks.tables import Table, show
from tests.scans import QUICK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.honest.building import Honest


@dataclass(frozen=True)
class _Checked:
    """What became of one model."""

    honest: Honest
    """The model."""
    verdict: Verdict
    """The answer."""
    seconds: float
    """For the check."""
    reason: str
    """Why it does not pass; empty if it does."""


def main() -> None:
    """Check all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a part of names; all without")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the models stay")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    with tempfile.TemporaryDirectory() as home:
        for honest in MODELS:
            if not asked.names or any(name in honest.name for name in asked.names):
                found.append(
                    _checked(honest, build(honest, (asked.keep or Path(home)) / honest.name))
                )
                print(*_row(found[-1]), sep=" | ", flush=True)
    show(Console(width=200), [_table(found)], None)


def _checked(honest: Honest, folder: Path) -> _Checked:
    """Check the model in ``folder``."""
    began = time.perf_counter()
    try:
        report = plmscan.check(str(folder), replace(QUICK, used_as=honest.used_as))
        verdict, reasons = report.verdict, report.reasons
    except PlmscanError as error:
        verdict, reasons = Verdict.INCONCLUSIVE, (error.problem, error.remedy)
    said = "" if verdict is Verdict.PASS else " ".join(reasons)
    return _Checked(honest, verdict, time.perf_counter() - began, said)


def _row(one: _Checked) -> tuple[str, ...]:
    """Cells of one model."""
    verdict = one.verdict.name.lower()
    return one.honest.name, one.honest.kind, verdict, f"{one.seconds:.1f}", one.reason


def _table(found: Sequence[_Checked]) -> Table:
    """All models, and how many got each verdict."""
    verdicts = Counter(one.verdict.name.lower() for one in found)
    seconds = sum(one.seconds for one in found)
    told = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    total = (f"{len(found)} models", "", told, f"{seconds:.0f}", "")
    columns = ("folder", "kind", "verdict", "s", "why it does not pass")
    return Table("Honest models", columns, (*map(_row, found), total), totals=1)


if __name__ == "__main__":
    main()
