"""The command line of the benchmark: measure, then tell all that is kept."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tests.benchmarks import speed
from tests.benchmarks.mitigation.results import kept
from tests.benchmarks.runs import source_digest, torch_megabytes
from tests.benchmarks.speed.bench import HELD_DOWN, Bench, Place, model_of, why_no_gpu
from tests.benchmarks.speed.results import Measured, Scaling
from tests.benchmarks.speed.shapes import SHAPES
from tests.benchmarks.speed.tables import tables
from tests.benchmarks.tables import show

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DEVICES = ("cpu", HELD_DOWN, "cuda")
_INTERRUPTED = 130
_SCALED = "minilm"
_WIDE = 180


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for, unless only the report is."""
    options = _options(arguments)
    console = Console()
    console = console if console.is_terminal else Console(width=_WIDE)
    if not options.only_report:
        try:
            _measure(options, console)
        except KeyboardInterrupt:
            console.print("Interrupted: what was measured is kept.")
            raise SystemExit(_INTERRUPTED) from None
    names = [*options.shapes, *(folder.name for folder in options.folders)]
    tell(options.out, names, options.markdown, console)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=speed.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    home = Path.home() / ".cache" / "plmscan-speed"
    parser.add_argument("--shapes", nargs="*", choices=list(SHAPES), default=list(SHAPES))
    more = "further models, measured under the names of their folders"
    parser.add_argument("--folders", nargs="*", type=Path, default=[], help=more)
    parser.add_argument("--device", choices=("auto", *_DEVICES), default="auto")
    parser.add_argument("--out", type=Path, default=home, help="models and results (%(default)s)")
    parser.add_argument("--scaling", action="store_true", help="how cost grows, on minilm, as well")
    parser.add_argument("--only-report", action="store_true", help="measure nothing")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, too")
    return parser.parse_args(arguments)


def _measure(options: argparse.Namespace, console: Console) -> None:
    """Every shape on every device, then how cost grows."""
    options.out.mkdir(parents=True, exist_ok=True)
    no_gpu = why_no_gpu() if options.device in ("auto", "cuda") else ""
    if no_gpu and options.device == "cuda":
        msg = f"Nothing can be measured on a GPU: {no_gpu}."
        raise SystemExit(msg)
    devices = [one for one in _DEVICES if options.device in ("auto", one)]
    devices = [one for one in devices if one != "cuda" or not no_gpu]

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    bench = Bench(options.out, source_digest(), torch_megabytes(), say)
    scaled = {name: model_of(name, options.out) for name in [_SCALED] * options.scaling}
    models = {name: model_of(name, options.out) for name in options.shapes}
    models |= {folder.name: folder for folder in options.folders}
    for device in devices:
        for name, model in models.items():
            bench.measure(Place(name, model, device), no_gpu)
        for name, model in scaled.items():
            bench.scale(Place(name, model, device))


def tell(out: Path, shapes: Sequence[str], markdown: Path | None, console: Console) -> None:
    """Print the tables of all that is kept of these shapes, and draw the figure."""
    names = [(name, device) for device in _DEVICES for name in shapes]
    read = [kept(Measured, out / f"{name}-{device}.json") for name, device in names]
    scaled = [kept(Scaling, out / f"scaling-{device}.json") for device in _DEVICES]
    found, grown = [one for one in read if one], [one for one in scaled if one]
    if not (found or grown):
        console.print(f"Nothing is kept in {out}.", highlight=False, markup=False)
        return
    show(console, tables(found, grown), markdown)
    for line in remarks(found, grown):
        console.print(line, highlight=False, markup=False)
    from tests.benchmarks.speed.figure import save_figure  # noqa: PLC0415 - matplotlib is heavy

    save_figure(out / "speed.png", found, grown)
    console.print(f"The figure is {out / 'speed.png'}.", highlight=False, markup=False)


def remarks(found: Sequence[Measured], grown: Sequence[Scaling]) -> list[str]:
    """What the reader of the tables has to know."""
    reasons = dict.fromkeys(one.no_gpu for one in found if one.no_gpu)
    on_gpu = any(one.device == "cuda" for one in found)
    lines = [] if on_gpu else [f"Nothing was measured on a GPU: {why}." for why in reasons]
    if {*(m.source for m in found), *(s.source for s in grown)} != {source_digest()}:
        lines.append("Some numbers are of another source of plmscan than the present one.")
    return lines


if __name__ == "__main__":
    main()
