"""A stream of texts in, the same stream with what is in each out: the work of ``plmscan guard``.

Every line is answered in its place.  Of a pipe, the lines that have arrived are looked at together,
at most 32 of them, so that the answer to one never waits for a later one.  A file is read 32 lines
at a time, so that the same file is always batched alike.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import UnsupportedOperation
from queue import Empty, Queue
from threading import Thread
from typing import TYPE_CHECKING, BinaryIO

from plmscan.budget import Budget
from plmscan.carriers import asked_texts, chosen
from plmscan.cli.scanning.saved import read_saved
from plmscan.cli.terminal.output import check_writable
from plmscan.cli.terminal.stderr import say, tell_bounds
from plmscan.errors import PlmscanError
from plmscan.guard import Action, Guard
from plmscan.guard.identity import report_about
from plmscan.guard.reading import answers_of, labels_of, tokenizer_of
from plmscan.loading import load
from plmscan.plain_text import require_narrow
from plmscan.probes.words import counted
from plmscan.reports.wording import short
from plmscan.scan import Settings, torch_set_up
from plmscan.source import require_base, resolve_stack
from plmscan.worker.inside import bound_for, confined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from plmscan.evidence import Report
    from plmscan.guard import Hit, Look, Variants
    from plmscan.loading import LoadedModel
    from plmscan.source import Artifact, SourceOptions

__all__ = ["Asked", "guard_stream"]

_AT_ONCE = 32
"""Lines that are answered together, at most."""
_READ = 1 << 16
"""Bytes that are asked for at once."""


def guard_stream(asked: Asked, texts: Path | None, output: Path | None) -> int:
    """Answer each line of ``texts``, or of stdin, in ``output``, or on stdout.

    Returns the exit code: 1 if a text is flagged, else 2 if a line could not be read, else 0.

    Raises:
        PlmscanError: the model, the report or a file cannot be used.
    """
    _require_two_files(texts, output)
    check_writable(output)
    stdout: BinaryIO | None = getattr(sys.stdout, "buffer", None)
    # What libraries print must not come between the answers.
    torch_settings = Settings(threads=asked.threads, seed=asked.seed)
    with _source(texts) as source, redirect_stdout(sys.stderr), torch_set_up(torch_settings):
        known = _Known.of(asked)
        bound = bound_for(asked.device, known.artifact)
        with confined(bound, *known.artifact.stack):
            station = _station(asked, known, bound)
            with _sink(output, stdout) as sink:
                return station.run(source, sink)


@dataclass(frozen=True)
class Asked:
    """What the user wants."""

    model: str
    """Folder, or Hub repository."""
    options: SourceOptions
    """How to find it."""
    base: str | None
    """What an adapter is put on; None for what it names."""
    adapters: tuple[str, ...]
    """Adapters to put on top, in their order."""
    report: Path
    """About it."""
    action: Action
    """What becomes of a text with a trigger."""
    variants: Variants
    """What to make of variants."""
    clean: Path | None
    """Clean texts; None for bundled ones."""
    languages: tuple[str, ...]
    """Languages of these; empty for those that the tokenizer spells best."""
    inspects: bool
    """Whether to look for unknown triggers."""
    labels: bool
    """Whether to tell labels, or answers."""
    mask: bool
    """Whether to mask what is taken out."""
    rules: Path | None
    """Folder of further rules."""
    device: str
    """Where the model runs."""
    seed: int
    """Of every choice."""
    threads: int | None
    """Of torch; None for its own number."""


@dataclass(frozen=True)
class _Line:
    """One line of the input."""

    number: int
    """From 1."""
    keys: Mapping[str, object]
    """The object that it is, if it is one."""
    text: str
    """What is to be looked at."""
    problem: str = ""
    """Why it cannot be; empty if it can."""


@dataclass(frozen=True)
class _Reading:
    """What a model makes of texts."""

    name: str
    """``label`` or ``answer``."""
    read: Callable[[Sequence[str]], list[str | None]]
    """Of each text; None where there is none."""

    @classmethod
    def of(cls, model: LoadedModel) -> _Reading | None:
        """Labels of a classifier, answers of a model that writes; None of anything else."""
        if model.labels:
            return cls("label", partial(labels_of, model))
        if model.writer is not None:
            return cls("answer", partial(answers_of, model, model.writer))
        return None


@dataclass(frozen=True)
class _Station:
    """Answers line by line."""

    guard: Guard
    """Looks at the texts."""
    reading: _Reading | None
    """What the model makes of texts; None if that is not told."""
    action: Action
    """What becomes of a text with a trigger."""

    def run(self, source: _Source, sink: BinaryIO) -> int:
        """Answer all lines; returns the exit code."""
        tally: Counter[str] = Counter()
        busy = 0.0
        for lines in _arrived(source):
            began = time.perf_counter()
            answers = self.answers(lines, tally)
            busy += time.perf_counter() - began
            sink.write(b"".join(json.dumps(a).encode() + b"\n" for a in answers))
            sink.flush()
        say(_summary(tally, busy))
        if tally["flagged"]:
            return 1
        return 2 if tally["bad"] else 0

    def answers(self, lines: Sequence[_Line], tally: Counter[str]) -> list[dict[str, object]]:
        """One object for each line."""
        good = [line for line in lines if not line.problem]
        looks = self.guard.look([line.text for line in good])
        known = iter(zip(looks, self._read(looks), strict=True))
        found = []
        for line in lines:
            tally["texts" if not line.problem else "bad"] += 1
            if line.problem:
                found.append({**line.keys, "error": line.problem, "line": line.number})
                continue
            look, read = next(known)
            tally["flagged"] += look.flagged
            tally["known"] += look.flagged and not look.suspects
            found.append({**line.keys, "text": line.text, "guard": self._told(look) | read})
        return found

    def _read(self, looks: Sequence[Look]) -> list[dict[str, object]]:
        """Labels or answers before and after; read again only where something was taken out."""
        if self.reading is None or not looks:
            return [{} for _ in looks]
        name, read = self.reading.name, self.reading.read
        before = read([look.text for look in looks])
        passed = [self._passed(look) for look in looks]
        given = {look.text for look in looks}
        changed = [text for text in dict.fromkeys(passed) if text is not None and text not in given]
        again = dict(zip(changed, read(changed), strict=True)) if changed else {}
        again |= dict(zip((look.text for look in looks), before, strict=True))
        return [
            {name: told, f"{name}_after": None if text is None else again[text]}
            for told, text in zip(before, passed, strict=True)
        ]

    def _passed(self, look: Look) -> str | None:
        """What the model may read; None if nothing."""
        if not look.flagged or self.action is Action.FLAG:
            return look.text
        return None if self.action is Action.REJECT else look.neutralised

    def _told(self, look: Look) -> dict[str, object]:
        """What was seen."""
        return {
            "verdict": look.verdict,
            "text": self._passed(look),
            "hits": [_hit(hit, look.text) for hit in look.hits],
            "suspects": [{"text": s.text, "rule": s.rule} for s in look.suspects],
            "reasons": list(look.reasons),
            **({"gap": look.gap} if look.gap else {}),
        }


def _hit(hit: Hit, text: str) -> dict[str, object]:
    """A hit as data."""
    return {
        "trigger": hit.trigger.text,
        "found": text[hit.start : hit.end],
        "start": hit.start,
        "end": hit.end,
        "how": hit.how.value,
        "variant": hit.variant,
    }


def _summary(tally: Counter[str], busy: float) -> str:
    """One line about the whole stream."""
    texts, flagged, known = tally["texts"], tally["flagged"], tally["known"]
    rate = f" at {short(texts / busy)} texts a second" if texts and busy > 0 else ""
    by = f", {known} by known triggers and {flagged - known} by inspection" if flagged else ""
    bad = f"; {counted(tally['bad'], 'line')} could not be read" if tally["bad"] else ""
    return f"{counted(texts, 'text')}{rate}: {flagged} flagged{by}{bad}."


@dataclass(frozen=True)
class _Known:
    """What is there before the model's files are opened."""

    reports: tuple[Report, ...]
    """Those in the file."""
    clean: tuple[str, ...] | None
    """Clean texts; None for bundled ones."""
    artifact: Artifact
    """The model's files."""

    @classmethod
    def of(cls, asked: Asked) -> _Known:
        """All of it; the model is fetched last.

        Raises:
            PlmscanError: there is no such report, text or model.
        """
        reports = tuple(read_saved(asked.report).reports)
        clean = asked_texts(asked.clean, asked.languages)
        artifact = resolve_stack(asked.model, asked.options, asked.base, asked.adapters)
        require_base(artifact)
        return cls(reports, clean, artifact)


def _station(asked: Asked, known: _Known, bound: int | None) -> _Station:
    """Load what is needed, and tell what is in doubt, and that ``bound`` is the most of memory."""
    artifact, clean = known.artifact, known.clean
    match = report_about(artifact, known.reports)
    if match.doubt:
        say(f"warning: {match.doubt}")
    needed = asked.inspects or asked.labels
    pickle = asked.options.allow_pickle
    if needed:
        tell_bounds(bound)
    if asked.inspects:
        say("Clean texts are inspected first, to know what is usual.")
    model = load(artifact, asked.device, allow_pickle=pickle) if needed else None
    if asked.inspects and model is not None:
        choice = chosen(model, clean, asked.languages)
        clean = choice.texts
        say(choice.statement)
    guard = Guard.of(
        match.report,
        model if asked.inspects else None,
        clean,
        tokenizer=tokenizer_of(artifact) if model is None else model.tokenizer,
        budget=Budget((), seed=asked.seed),
        variants=asked.variants,
        masking=asked.mask,
        rules=asked.rules,
    )
    if guard.gap:
        say(f"warning: unknown triggers are not looked for: {guard.gap}")
    if asked.mask and guard.mask is None:
        say("warning: the model has no mask token; triggers are dropped.")
    reading = _Reading.of(model) if asked.labels and model is not None else None
    return _Station(guard, reading, asked.action)


def _require_two_files(texts: Path | None, output: Path | None) -> None:
    """Refuse to write over the file that is read.

    Raises:
        PlmscanError: they are one.
    """
    both = [path for path in (texts, output) if path is not None and path.is_file()]
    if len(both) == 2 and both[0].samefile(both[1]):  # noqa: PLR2004 - both
        msg = f"{output} is the file that is read."
        raise PlmscanError(msg, "Name another one with --out.")


@dataclass(frozen=True)
class _Source:
    """Where lines come from."""

    file: BinaryIO
    """Unbuffered: a read gives what is there."""
    patient: bool
    """Whether more is sure to come without waiting: it is a plain file."""


@contextmanager
def _source(path: Path | None) -> Iterator[_Source]:
    """The file of that name, or stdin.

    Raises:
        PlmscanError: it cannot be read.
    """
    if path is None:
        yield _Source(_standard_input(), patient=False)
        return
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        msg = f"The texts file {path} cannot be read: {error.strerror}."
        raise PlmscanError(msg, "Give a UTF-8 file with one text a line.") from error
    with file:
        yield _Source(file, patient=path.is_file())


def _standard_input() -> BinaryIO:
    """Stdin without a buffer, which a thread that waits could keep locked at the end.

    Raises:
        PlmscanError: it is closed.
    """
    if not sys.stdin:  # closed before the start
        msg = "The standard input is closed, so there are no texts."
        raise PlmscanError(msg, "Open it, or name a file with --in.")
    try:
        number = sys.stdin.fileno()
    except (AttributeError, UnsupportedOperation):
        return sys.stdin.buffer
    return open(number, "rb", buffering=0, closefd=False)


@contextmanager
def _sink(path: Path | None, stdout: BinaryIO | None) -> Iterator[BinaryIO]:
    """The file of that name, or stdout; a file grows line by line.

    Raises:
        PlmscanError: it cannot be written.
    """
    if path is None and stdout is not None:
        yield stdout
        return
    if path is None:
        msg = "The standard output is closed, so nobody would get the answers."
        raise PlmscanError(msg, "Open it, or name a file with --out.")
    try:
        file = path.open("wb")
    except OSError as error:
        msg = f"The answers cannot be written to {path}: {error.strerror}."
        raise PlmscanError(msg, "Choose another file with --out.") from error
    with file:
        yield file


def _arrived(source: _Source) -> Iterator[list[_Line]]:
    """Lines in batches: of a plain file full ones, else what is there."""
    queue: Queue[_Line | Exception | None] = Queue(_AT_ONCE)
    Thread(target=_feed, args=(source.file, queue), daemon=True).start()
    more = True
    while more:
        lines: list[_Line] = []
        while more and len(lines) < _AT_ONCE:
            try:
                got = queue.get(block=source.patient or not lines)
            except Empty:
                break
            if isinstance(got, Exception):
                msg = f"The texts cannot be read on: {got}."
                raise PlmscanError(msg) from got
            more = got is not None
            lines += [got] if got is not None else []
        if lines:
            yield lines


def _feed(file: BinaryIO, queue: Queue[_Line | Exception | None]) -> None:
    """Put every line into the queue, then None; or what went wrong."""
    try:
        for number, raw in enumerate(_raw_lines(file), start=1):
            if number == 1:
                require_narrow(raw)
            queue.put(_line(number, raw))
        queue.put(None)
    except Exception as error:  # noqa: BLE001 - told by who waits for lines
        queue.put(error)


def _raw_lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines without their ends, each as soon as it is whole."""
    begun = b""
    while some := file.read(_READ):
        *whole, begun = (begun + some).split(b"\n")
        yield from (line.removesuffix(b"\r") for line in whole)
    if begun:
        yield begun


def _line(number: int, raw: bytes) -> _Line:
    """What a line says: an object with a text, a string of JSON, or the text itself."""
    try:
        told = raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        return _Line(number, {}, "", "The line is not UTF-8 text.")
    if told.lstrip().startswith("{"):
        return _object(number, told)
    if told.lstrip().startswith('"'):
        try:
            return _Line(number, {}, str(json.loads(told)))
        except ValueError:  # a text that begins with a quotation
            pass
    return _Line(number, {}, told)


def _object(number: int, told: str) -> _Line:
    """A line that is an object of JSON."""
    try:
        keys = json.loads(told)
    except (ValueError, RecursionError) as error:
        return _Line(number, {}, "", f"The line is not valid JSON ({error}).")
    text = keys.get("text")
    if isinstance(text, str):
        return _Line(number, keys, text)
    return _Line(number, keys, "", 'The object has no "text" that is a string.')
