"""Every model type of the library that reads text, through whole checks of tiny models.

    python -m tests.benchmarks.coverage --write
    python -m tests.benchmarks.coverage --heads         (only which heads of known types are read)
    python -m tests.benchmarks.coverage --languages     (only vocabularies of one language)

Each type is built from its default config with every size shrunk, checked at the least effort,
clean and with one long row planted, and loaded with each head that is searched.  Prints a table,
and with ``--write`` renews the record that ships with the package, which the documentation repeats.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from plmscan.model_types import read_model_types, written
from tests.benchmarks.coverage.spoken import HEADS, VOCABULARIES, spoken, table_of_languages
from tests.benchmarks.coverage.tried import heads_of, tried, write_texts
from tests.benchmarks.tables import Table, show
from tests.tiny_types import classes_of, text_types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plmscan.model_types import ModelType
    from tests.benchmarks.coverage.spoken import Spoken
    from tests.benchmarks.coverage.tried import Tried

_RECORD = Path(__file__).parents[3] / "scanner" / "plmscan" / "model_types.json"


def main() -> None:
    """Try all types, or those that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("types", nargs="*", help="model types; all without one")
    parser.add_argument("--write", action="store_true", help="write the record of the package")
    parser.add_argument("--heads", action="store_true", help="renew the heads in the record")
    parser.add_argument("--languages", action="store_true", help="languages by heads instead")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.languages:
        show(Console(width=200), [table_of_languages(_languages())], None)
    elif asked.heads:
        _renew_heads()
    else:
        _try_types(asked)


def _languages() -> list[Spoken]:
    """Each vocabulary below each head."""
    found = []
    for kind, language in VOCABULARIES:
        for head in HEADS:
            with tempfile.TemporaryDirectory() as folder:
                found.append(spoken(kind, language, head, Path(folder)))
    return found


def _renew_heads() -> None:
    """Write the record again with the heads that are read of each type in it."""
    new = []
    for one in read_model_types():
        with tempfile.TemporaryDirectory() as folder:
            heads = heads_of(one.name, Path(folder)) if one.is_measured else ()
        new.append(replace(one, heads=heads))
        print(f"{one.name}: {', '.join(heads) or 'none'}", flush=True)
    _RECORD.write_text(written(new), encoding="utf-8")


def _try_types(asked: argparse.Namespace) -> None:
    """Try the types that are asked for, and tell."""
    found = []
    with tempfile.TemporaryDirectory() as home:
        texts = write_texts(Path(home) / "texts.txt")
        for name in asked.types or text_types():
            with tempfile.TemporaryDirectory(dir=home) as folder:
                found.append(tried(name, Path(folder), texts))
            print(_told(found[-1]), flush=True)
            if asked.write:
                _RECORD.write_text(written(_renewed(found)), encoding="utf-8")
    show(Console(width=200), [table_of(found)], None)


def _renewed(found: Sequence[Tried]) -> list[ModelType]:
    """The record with what was ``found``, by name."""
    new = {one.model_type.name: one.model_type for one in found}
    old = {one.name: one for one in read_model_types()}
    return [one for _, one in sorted({**old, **new}.items())]


def _told(one: Tried) -> str:
    """A line as the work goes on."""
    name, why = one.model_type.name, one.model_type.reason
    return f"{name}: {why or f'{one.clean}, planted {one.planted}, {one.seconds:.1f} s'}"


def table_of(found: Sequence[Tried]) -> Table:
    """What became of each type, and of all."""
    measured = [one for one in found if one.model_type.is_measured]
    rows = [
        (
            one.model_type.name,
            ", ".join(classes_of(one.model_type.name)),
            one.model_type.kind,
            ", ".join(one.model_type.heads),
            one.clean,
            one.planted,
            f"{one.seconds:.1f}",
            one.model_type.reason,
        )
        for one in found
    ]
    clean = sum(one.clean == "pass" for one in measured)
    planted = sum(one.planted == "fail" for one in measured)
    share = f"{len(measured)} of {len(found)} ({len(measured) / len(found):.0%})"
    total = ("all", share, "", "", f"{clean} pass", f"{planted} fail", "", "")
    columns = ("type", "classes", "kind", "heads", "clean", "planted", "s", "not measured because")
    return Table("Model types that are measured", columns, (*rows, total), totals=1)


if __name__ == "__main__":
    main()
