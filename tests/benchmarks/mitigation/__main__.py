"""The command line of the benchmark: measure what is missing, model by model, then tell."""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from plmscan.budget import Effort
from tests.benchmarks import mitigation
from tests.benchmarks.mitigation.filters import filtered, fingerprint_of
from tests.benchmarks.mitigation.results import Kind, Results, keep, kept
from tests.benchmarks.mitigation.steps import Bench
from tests.benchmarks.mitigation.tables import Judged, tables
from tests.benchmarks.mitigation.versions import Case, version
from tests.benchmarks.runs import source_digest
from tests.benchmarks.tables import show
from tests.zoo.manifest import Kind as Half
from tests.zoo.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor

    from tests.zoo.manifest import Entry

__all__ = ["main"]

_INTERRUPTED = 130
_PARTS = ("purify", "baselines", "guard")
_WIDE = 200


@dataclass(frozen=True)
class Run:
    """What is to be done to each model."""

    bench: Bench
    """Runs plmscan."""
    apart: Executor
    """A process with torch in it: this one stays small, for the memory of others is measured."""
    sst2: Path
    """Folder of SST-2."""
    parts: frozenset[str]
    """What is measured, of `_PARTS`."""
    again: bool
    """Whether to forget earlier results."""
    inspected: int
    """Clean texts that the guard inspects, and as many triggered ones."""

    def judged(self, entry: Entry) -> Judged | None:
        """All of a model; None if its report names nothing to purify."""
        known = self.bench.known(entry)
        if not known.names_triggers:
            return None
        home = self.bench.home(entry.name)
        if self.again:
            for name in ("results.json", "record.json"):
                (home / name).unlink(missing_ok=True)
        original, wants = self.bench.model(entry.name), "purify" in self.parts
        purified = (self.bench.purified if wants else self.bench.earlier)(entry.name)
        results = kept(Results, home / "results.json") or Results()
        written = purified is not None and purified.verdict == "purified"
        for kind, folder in self._kinds(entry, written=written):
            results = self._with_version(Case(entry, kind, original, folder, self.sst2), results)
        if not written:
            results = _without(results, Kind.PURIFIED)
        return Judged(entry, known.recovered, purified, self._with_guard(entry, results))

    def _kinds(self, entry: Entry, *, written: bool) -> Iterator[tuple[Kind, Path]]:
        """Versions to measure, and what each starts from; all depend on the first."""
        original, clean = self.bench.model(entry.name), self.bench.clean(entry)
        yield Kind.ORIGINAL, original
        if clean is not None:
            yield Kind.BASE, clean
        if written:
            yield Kind.PURIFIED, self.bench.written(entry.name)
        if "baselines" in self.parts:
            yield Kind.TUNED, original
            yield Kind.PRUNED, original

    def _with_version(self, case: Case, results: Results) -> Results:
        """The results with a version that is measured now, unless an earlier one counts."""
        kind = case.kind
        earlier = results.versions.get(kind)
        if earlier is not None and earlier.fingerprint == case.fingerprint:
            return results
        before = results.versions.get(Kind.ORIGINAL)
        triggers = before.effects.triggers.items() if before else ()
        targets = {text: effect.target for text, effect in triggers}
        made = self.apart.submit(version, case, targets).result()
        found = results.model_copy(update={"versions": {**results.versions, kind: made}})
        keep(found, self.bench.home(case.entry.name) / "results.json")
        return found

    def _with_guard(self, entry: Entry, results: Results) -> Results:
        """The results with the guard, measured now unless an earlier run counts."""
        if entry.task != "classifier":
            return results
        current = fingerprint_of(self.bench, entry, self.inspected)
        if results.guard is not None and results.guard.fingerprint == current:
            return results
        if "guard" not in self.parts:
            return results.model_copy(update={"guard": None})
        found = filtered(self.bench, entry, self.sst2, self.inspected)
        results = results.model_copy(update={"guard": found})
        keep(results, self.bench.home(entry.name) / "results.json")
        return results


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, then tell."""
    options = _options(arguments)
    chosen = _chosen(options.zoo, options.only)
    console = Console()
    console = console if console.is_terminal else Console(width=_WIDE)
    judged: list[Judged] = []
    idle: dict[str, str] = {}
    try:
        with ExitStack() as stack:
            run = _run(options, stack)
            for entry in chosen:
                found = run.judged(entry) if _has_tokens(entry) else None
                if found is not None:
                    judged.append(found)
                else:
                    idle[entry.name] = _why(run.bench, entry)
                line = _line(found) if found else f"{entry.name:<28} {idle[entry.name]}"
                console.print(line, highlight=False, markup=False)
    except KeyboardInterrupt:
        console.print("Interrupted: the same command goes on from here.")
        raise SystemExit(_INTERRUPTED) from None
    show(console, tables(judged, idle), options.markdown)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=mitigation.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--zoo", type=Path, required=True, help="folder with manifest.json")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="only these models")
    parser.add_argument("--effort", choices=list(Effort), help="of plmscan")
    parser.add_argument("--texts", type=Path, help="carrier texts for plmscan, one a line")
    parser.add_argument("--sst2", type=Path, required=True, help="folder of SST-2")
    parser.add_argument("--inspected", type=int, default=30, help="clean texts to inspect (30)")
    parser.add_argument("--skip", nargs="*", default=[], choices=_PARTS, help="leave these out")
    parser.add_argument("--again", action="store_true", help="forget all but the reports")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, too")
    return parser.parse_args(arguments)


def _chosen(zoo: Path, only: Sequence[str]) -> list[Entry]:
    """The backdoored models, or those that are named."""
    known = [one for one in Manifest.read(zoo).models if one.kind is Half.BACKDOORED]
    unknown = set(only) - {one.name for one in known}
    if unknown:
        msg = f"Not a backdoored model of the zoo: {', '.join(sorted(unknown))}."
        raise SystemExit(msg)
    return [one for one in known if not only or one.name in only]


def _run(options: argparse.Namespace, stack: ExitStack) -> Run:
    """What the options ask for; ``stack`` ends its process."""
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    stack.callback(pool.shutdown, cancel_futures=True)
    return Run(
        bench=Bench(options.zoo, options.effort, options.texts, source_digest()),
        apart=pool,
        sst2=options.sst2,
        parts=frozenset(_PARTS).difference(options.skip),
        again=options.again,
        inspected=options.inspected,
    )


def _has_tokens(entry: Entry) -> bool:
    """Whether a planted trigger is made of tokens, as no style or syntax is."""
    return any(planted.parts for planted in entry.triggers)


def _why(bench: Bench, entry: Entry) -> str:
    """Why there is nothing to purify."""
    if not _has_tokens(entry):
        return "its trigger has no tokens"
    wrote = bench.report(entry.name).exists()
    return "its report names no trigger" if wrote else "plmscan check wrote no report"


def _without(results: Results, kind: Kind) -> Results:
    """The results without a version that is no longer there."""
    versions = {name: one for name, one in results.versions.items() if name is not kind}
    return results.model_copy(update={"versions": versions})


def _line(judged: Judged) -> str:
    """One model: name, family, purify, and the worst success before and after."""
    run = judged.purified
    told = f"{run.verdict} {' '.join(run.methods)} {run.seconds:.0f} s" if run else "not purified"
    worst = {
        kind: max((one.excess for one in judged.triggers(kind)), default=None) for kind in Kind
    }
    after = ", ".join(f"{kind} {one:.1%}" for kind, one in worst.items() if one is not None)
    model = f"{judged.entry.name:<28} {judged.entry.family:<16}"
    return f"{model} {told:<30} ASR beyond the clean rate: {after}"


if __name__ == "__main__":
    main()
