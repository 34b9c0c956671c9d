"""Run one of the measurements: ``python -m tests.benchmarks.fleet many|overhead|sixty|sizing``."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.fleet import measuring, sixty, sizing

_MEASURES = {
    "many": measuring.many,
    "overhead": measuring.overhead,
    "sixty": sixty.survived,
    "sizing": sizing.table,
}


def main() -> None:
    """Print one table."""
    if len(sys.argv) < 2 or sys.argv[1] not in _MEASURES:
        sys.exit(f"Name one of {', '.join(_MEASURES)}.")
    with TemporaryDirectory() as folder:
        for line in _MEASURES[sys.argv[1]](Path(folder), *sys.argv[2:]):
            print(line, flush=True)


if __name__ == "__main__":
    main()
