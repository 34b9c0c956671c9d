"""What a fleet has found out: a report a model, and an index of all in SQLite.

A report is written whole before the index names it, under a name that holds what was asked; so
whoever dies in between loses nothing, and the next run finds the report by its name.  What it took
to answer is in the index before the report is there.  The index can be read while a run goes on.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from plmscan.errors import FleetError, ReportError
from plmscan.fleet.answers import read_answer
from plmscan.whole_files import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from plmscan.fleet.answers import Answer
    from plmscan.fleet.questions import Question

__all__ = ["Ledger", "Measures", "Row", "opened", "read_ledger"]

_INDEX, _REPORTS, _LOCK = "fleet.sqlite", "reports", "fleet.lock"
_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 80
"""Characters of a model's name in that of its report."""
_TABLES = """
CREATE TABLE IF NOT EXISTS models (
  name TEXT PRIMARY KEY, position INTEGER, question TEXT NOT NULL, place TEXT,
  stage TEXT NOT NULL, model TEXT, revision TEXT, digest TEXT, rules TEXT, verdict TEXT,
  reason TEXT, nearest TEXT, margin REAL, seconds REAL, attempts INTEGER NOT NULL DEFAULT 0,
  twin TEXT, same_as TEXT, weights INTEGER, expected_seconds REAL, asked_bytes INTEGER,
  used_bytes INTEGER, cores REAL, machine TEXT, report TEXT, finished REAL
);
CREATE INDEX IF NOT EXISTS twins ON models (twin);
CREATE TABLE IF NOT EXISTS run (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_WAITING = "waiting"


@dataclass(frozen=True)
class Measures:
    """What answering took, beside what was expected."""

    seconds: float | None = None
    """That the probes took."""
    twin: str | None = None
    """Everything that the report depends on but for the model's name, hashed."""
    same_as: str | None = None
    """Name of the model with the same files whose answer this is; None if it was scanned itself."""
    weights: int | None = None
    """Bytes of its weight files."""
    expected_seconds: float | None = None
    """Seconds of the search on one core, by its configuration."""
    asked_bytes: int | None = None
    """Memory that was asked for."""
    used_bytes: int | None = None
    """Memory that the search had at most."""
    cores: float | None = None
    """Cores that were asked for."""
    machine: str | None = None
    """Where it was searched."""


@dataclass(frozen=True)
class Row:
    """One model of the index; None for what is not known."""

    name: str
    """As it was named, with the revision that was asked for."""
    position: int | None
    """Its place among the models of the last run, from 0; None if that did not ask about it."""
    question: str
    """What was asked, hashed."""
    place: str | None
    """Where it is declared."""
    stage: str
    """In their order: ``waiting``, ``fetch``, ``fetched`` or ``twin``, ``examine``, ``ready``,
    ``search``, ``done``."""
    model: str | None
    """What reports call it."""
    revision: str | None
    """Commit of a Hub model."""
    digest: str | None
    """SHA-256 over the digests of its weight files."""
    rules: str | None
    """Ids of the rules that fired and count."""
    verdict: str | None
    """``pass``, ``fail``, ``inconclusive``; None before it is answered."""
    reason: str | None
    """The first reason of the verdict."""
    nearest: str | None
    """What comes nearest to failing it."""
    margin: float | None
    """Natural log of how far that is inside the bound."""
    seconds: float | None
    """That its probes took."""
    attempts: int
    """How often its examination or search was begun."""
    twin: str | None
    """Everything that its report depends on but for its name, hashed."""
    same_as: str | None
    """Model with the same files whose answer this is."""
    weights: int | None
    """Bytes of its weight files."""
    expected_seconds: float | None
    """What searching it was expected to take, on one core."""
    asked_bytes: int | None
    """Memory that was asked for."""
    used_bytes: int | None
    """Memory that the search had at most."""
    cores: float | None
    """Cores that were asked for."""
    machine: str | None
    """Where it was searched."""
    report: str | None
    """File of its report, seen from the fleet's folder."""
    finished: float | None
    """When it was answered, in seconds since 1970."""


class Ledger:
    """The folder of one fleet."""

    def __init__(self, folder: Path, index: sqlite3.Connection) -> None:
        """The ledger of ``folder``, whose ``index`` is open."""
        self.folder = folder
        self._index = index

    def enrol(self, questions: Sequence[Question], *, again: bool = False) -> list[Question]:
        """Write down what is asked; the questions that have no answer yet, in their order.

        ``again`` forgets inconclusive answers.
        """
        known = {row.name: row for row in self.rows()}
        self._index.execute("UPDATE models SET position = NULL")
        todo = []
        for position, question in enumerate(questions):
            row = known.get(question.name)
            place = None if question.place is None else str(question.place)
            answered = row is not None and row.question == question.key and row.verdict is not None
            if answered and not (again and row is not None and row.verdict == "inconclusive"):
                self._write(question.name, position=position, place=place)
                continue
            self._index.execute("DELETE FROM models WHERE name = ?", (question.name,))
            self._index.execute(
                "INSERT INTO models (name, position, question, place, stage) VALUES (?,?,?,?,?)",
                (question.name, position, question.key, place, _WAITING),
            )
            took = _measures_of(row) if row is not None else Measures()
            if again or not self._adopt(question, took):
                todo.append(question)
        self.save()
        return todo

    def forget(self) -> None:
        """Forget every answer."""
        self._index.execute("DELETE FROM models")
        for file in (self.folder / _REPORTS).glob("*.json"):
            file.unlink(missing_ok=True)

    def stage(self, name: str, stage: str, *, attempt: bool = False) -> None:
        """Note what is done with a model; `save` writes it down."""
        more = int(attempt)
        self._index.execute(
            "UPDATE models SET stage = ?, attempts = attempts + ? WHERE name = ?",
            (stage, more, name),
        )

    def record(self, question: Question, answer: Answer, text: str, measures: Measures) -> None:
        """Write what a model took, its report, then its answer; from now on it is answered.

        Raises:
            FleetError: they cannot be written.
        """
        file = _file_of(question)
        try:
            self._write(question.name, **_told(measures))
            self.save()
            replace_file(self.folder / file, text)
            self._answer(question, answer, file)
            self.save()
        except (OSError, sqlite3.Error) as error:
            msg = f"The answer about {question.name} cannot be written to {self.folder}: {error}."
            raise FleetError(msg, "Make room; the same command goes on from there.") from error

    def answered_twin(self, twin: str) -> Row | None:
        """A model with the same files that was answered by a scan of its own; None without one."""
        found = self._rows("WHERE twin = ? AND verdict IS NOT NULL AND same_as IS NULL", (twin,))
        return next(found, None)

    def rows(self) -> Iterator[Row]:
        """All models, those of the last run first, in the order in which it named them."""
        return self._rows("ORDER BY position IS NULL, position, name")

    def report(self, row: Row) -> bytes | None:
        """The document about a model; None if it is not answered, or the file is gone."""
        if row.report is None:
            return None
        with suppress(OSError):
            return (self.folder / row.report).read_bytes()
        return None

    def note(self, name: str, value: object) -> None:
        """Write down something about the run."""
        self._index.execute("INSERT OR REPLACE INTO run VALUES (?, ?)", (name, str(value)))
        self.save()

    def noted(self, name: str) -> str | None:
        """What `note` wrote; None if nothing was."""
        found = self._index.execute("SELECT value FROM run WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def save(self) -> None:
        """Let whoever reads the index see all that was noted."""
        self._index.commit()

    def counts(self) -> list[tuple[str | None, str, int]]:
        """Verdict, stage, and how many models of the run have both."""
        return self._index.execute(
            "SELECT verdict, stage, count(*) FROM models WHERE position IS NOT NULL "
            "GROUP BY verdict, stage"
        ).fetchall()

    def answered_since(self, moment: float) -> int:
        """How many models of the run were answered since ``moment``, in seconds since 1970."""
        ((count,),) = self._index.execute(
            "SELECT count(*) FROM models WHERE position IS NOT NULL AND finished > ?", (moment,)
        )
        return int(count)

    def _rows(self, rest: str, given: tuple[object, ...] = ()) -> Iterator[Row]:
        """The rows that ``rest`` of a query chooses."""
        names = ", ".join(field.name for field in fields(Row))
        sql = f"SELECT {names} FROM models {rest}"  # noqa: S608 - our own words
        return (Row(*found) for found in self._index.execute(sql, given))

    def _adopt(self, question: Question, took: Measures) -> bool:
        """Take a report into the index that was written just before a run was killed."""
        file = _file_of(question)
        try:
            answer, _ = read_answer((self.folder / file).read_bytes())
        except (OSError, ReportError):
            return False
        self._write(question.name, **_told(took))
        self._answer(question, answer, file)
        return True

    def _answer(self, question: Question, answer: Answer, file: str) -> None:
        """Write an answer into the index."""
        told = _told(answer)
        self._write(question.name, **told, stage="done", report=file, finished=time.time())

    def _write(self, name: str, **told: object) -> None:
        """Change columns of a model."""
        columns = ", ".join(f"{column} = ?" for column in told)
        sql = f"UPDATE models SET {columns} WHERE name = ?"  # noqa: S608 - our own words
        self._index.execute(sql, (*told.values(), name))


@contextmanager
def opened(folder: Path) -> Iterator[Ledger]:
    """The ledger of ``folder`` for the run that fills it; made if it is not there.

    Raises:
        FleetError: the folder cannot be used, or another run fills it.
    """
    try:
        (folder / _REPORTS).mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        msg = f"Another run is filling {folder}."
        raise FleetError(msg, f"Watch it with `plmscan fleet status {folder}`.") from None
    except OSError as error:
        msg = f"The folder {folder} cannot be used: {error.strerror}."
        raise FleetError(msg, "Name another folder with --out.") from error
    try:
        with closing(_connected(f"file:{_path(folder)}?mode=rwc")) as index:
            index.execute("PRAGMA journal_mode = WAL")
            index.execute("PRAGMA synchronous = NORMAL")
            index.executescript(_TABLES)
            yield Ledger(folder, index)
            index.commit()
    except sqlite3.DatabaseError as error:
        msg = f"The index {folder / _INDEX} cannot be used: {error}."
        raise FleetError(msg, "Remove it; the reports beside it are found again.") from error
    finally:
        lock.release()


@contextmanager
def read_ledger(folder: Path) -> Iterator[Ledger]:
    """The ledger of ``folder``, to be read, also while a run fills it.

    Raises:
        FleetError: there is none.
    """
    if not (folder / _INDEX).is_file():
        msg = f"{folder} holds no fleet: there is no {_INDEX} in it."
        raise FleetError(msg, "Name the folder that was given to `plmscan fleet --out`.")
    try:
        with closing(_connected(f"file:{_path(folder)}?mode=ro")) as index:
            yield Ledger(folder, index)
    except sqlite3.DatabaseError as error:
        msg = f"The index {folder / _INDEX} cannot be read: {error}."
        raise FleetError(msg, "Look at the reports beside it.") from error


def _connected(address: str) -> sqlite3.Connection:
    """The open index at ``address``."""
    return sqlite3.connect(address, uri=True, timeout=30.0)


def _path(folder: Path) -> str:
    """The index of ``folder`` as a part of an address."""
    return (folder / _INDEX).absolute().as_posix().replace("?", "%3f").replace("#", "%23")


def _told(line: Answer | Measures) -> dict[str, object]:
    """The columns that ``line`` fills."""
    return {field.name: getattr(line, field.name) for field in fields(line)}


def _measures_of(row: Row) -> Measures:
    """What answering a model took, as far as the index knows."""
    return Measures(**{field.name: getattr(row, field.name) for field in fields(Measures)})


def _file_of(question: Question) -> str:
    """The report of ``question``, seen from the fleet's folder: one name a question."""
    name = _ODD.sub("--", question.name).strip("-.")[:_LONGEST] or "model"
    told = hashlib.sha256(f"{question.name}\n{question.key}".encode("utf-8", "surrogateescape"))
    return f"{_REPORTS}/{name}-{told.hexdigest()[:16]}.json"
