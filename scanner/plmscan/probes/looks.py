"""What a file does that is no pickle: what its reader finds, in the file and in archives."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from plmscan.errors import in_one_line
from plmscan.kinds import ARCHIVES, Kind, is_placeholder, kind_in
from plmscan.layout import leaves
from plmscan.pickles import Allowance, Global, Level, Use, judge, walk
from plmscan.probes.words import some
from plmscan.runtimes.keras import (
    CONFIG,
    WEIGHTS,
    code_layers,
    described_layers,
    saved_layers,
)
from plmscan.runtimes.onnx import MOST_FIELDS, files_and_operations
from plmscan.runtimes.tensorflow import operations_in_text, reaching_operations
from plmscan.runtimes.torchscript import code_files, code_members, holds_numbers
from plmscan.runtimes.wire import Bound, PartlyReadError, TooManyPartsError
from plmscan.runtimes.yaml_objects import Way, named_objects

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from plmscan.runtimes.yaml_objects import Named

__all__ = ["LOOKED_INTO", "Look", "Looker"]

_HOLDING = ARCHIVES | {Kind.NEMO, Kind.SKOPS, Kind.TORCHSCRIPT}
"""Kinds of files with members."""
_TEXTS = frozenset({Kind.KERAS, Kind.YAML})
"""Kinds that are text, so that being text tells nothing."""
_READ = _TEXTS | {Kind.ONNX, Kind.HDF5, Kind.TENSORFLOW}
"""Kinds that are read for themselves."""
LOOKED_INTO = _HOLDING | _READ | {Kind.PROGRAM}
"""Kinds of files that are looked into."""
_INSIDE = _READ | {Kind.JSON, Kind.GGUF}
"""Kinds of members that are opened; what JSON holds is only known to its end."""

_ALL_FIELDS = 2 * MOST_FIELDS
"""Fields of all ONNX models of a folder: those of a million nodes, which take some seconds."""
_FEWEST_FIELDS = 50_000
"""What every model may have, however many the others had."""
_ALL_YAML = 2**22
"""Bytes of all YAML with tags in a folder, which take some seconds to follow."""
_START = 4096
_GRAPH_TEXT = ".pbtxt"
_LIBRARIES = re.compile(
    r"(lightning|megatron|mlflow|nemo|omegaconf|pytorch_lightning|sentencepiece|speechbrain|torch"
    r"|torchaudio|torchmetrics|transformers)(\.|$)"
)
"""Libraries whose classes honest configurations name."""


@dataclass
class Look:
    """What is known of one file."""

    found: dict[str, list[str]] = field(default_factory=dict)
    """Names by metric."""
    blocking: list[str] = field(default_factory=list)
    """Why a pass is withheld, as sentences."""
    told: list[str] = field(default_factory=list)
    """What else is to be said, as sentences."""

    def add(self, found: Mapping[str, Iterable[str]], place: str = "") -> None:
        """Something was found, in a member of the file where ``place`` says so."""
        for metric, names in found.items():
            shown = [f"{name} in {place}" if place else name for name in names]
            if shown:
                self.found.setdefault(metric, []).extend(shown)


class Looker:
    """Looks into the files of one model, within bounds for all of them together."""

    def __init__(self) -> None:
        """Nothing was looked at yet."""
        self._fields = _ALL_FIELDS
        self._yaml = Bound(_ALL_YAML)
        self._allowance = Allowance.of_model()

    def look(self, name: str, path: Path, kind: Kind) -> Look:
        """What the file ``name`` of the model does, which lies at ``path``.

        Raises:
            OSError: it cannot be read.
        """
        look = Look()
        if kind is Kind.PROGRAM:
            look.add({"native_programs": ["machine code"]})
        with path.open("rb") as file:
            self._read(look, _Part(name, "", kind, file, path.stat().st_size))
        if kind in _HOLDING:
            self._look_inside(look, name, path, kind)
        return look

    def _read(self, look: Look, part: _Part) -> None:
        """What one file or member does; what cannot be read of it withholds a pass."""
        part.file.seek(0)
        try:
            for found in self._found(look, part):
                look.add(found, part.place)
        except (OSError, ValueError) as error:
            if isinstance(error, PartlyReadError):
                look.add(error.found, part.place)
            # What is wrong with an archive is told where it is read for its pickles.
            blocks = isinstance(error, TooManyPartsError) or not (
                part.kind in ARCHIVES or part.is_placeholder()
            )
            (look.blocking if blocks else look.told).append(part.unreadable(error))

    def _found(self, look: Look, part: _Part) -> Iterator[Mapping[str, list[str]]]:
        """What the readers of its kind find in a file, by metric.

        Raises:
            OSError: it cannot be read.
            ValueError: it is broken, or too large.
        """
        file, size = part.file, part.size
        match part.kind:
            case Kind.ONNX:
                yield self._of_onnx(file, size)
            case Kind.KERAS:
                yield {"code_layers": described_layers(file, size)}
            case Kind.HDF5:
                yield {"code_layers": code_layers(file, size)}
            case Kind.TORCHSCRIPT | Kind.ZIP:
                yield {"code_layers": code_layers(file, size)}
                yield {"program_files": code_files(file)}
            case Kind.TENSORFLOW:
                yield from _of_tensorflow(part)
            case Kind.YAML:
                yield _of_yaml(look, part, self._yaml)

    def _of_onnx(self, file: BinaryIO, size: int) -> Mapping[str, list[str]]:
        """Paths out of the folder that an ONNX model reads, and its calls of Python."""
        bound = Bound(min(MOST_FIELDS, max(self._fields, _FEWEST_FIELDS)))
        try:
            paths, operations = files_and_operations(file, size, bound)
        finally:
            self._fields -= bound.seen
        outside = [path for path in paths if leaves(path)]
        return {"outside_files": outside, "reaching_operations": operations}

    def _look_inside(self, look: Look, name: str, path: Path, kind: Kind) -> None:
        """What the members of an archive do."""
        names: list[str] = []

        def wants(place: str, start: bytes) -> bool:
            names.append(place)
            member = _called(place, name)
            found = kind_in(BytesIO(start), member)
            if found is Kind.PROGRAM:
                look.add({"native_programs": [place or name]})
            elif found is Kind.R_DATA:
                look.blocking.append(f"It holds {Kind.R_DATA}, which plmscan cannot read.")
            # The description of a model of Keras is read with the archive.
            is_known = place == CONFIG and kind is Kind.ZIP
            is_numbers = holds_numbers(member) or place.endswith(WEIGHTS)
            return found in _INSIDE and not is_known and not is_numbers

        def visit(place: str, file: BinaryIO, size: int) -> None:
            found = kind_in(file, _called(place, name))
            if found is Kind.GGUF:
                look.blocking.append(
                    f"The chat template of {place or 'what it holds'} is not read."
                )
            self._read(look, _Part(_called(place, name), place or "it", found, file, size))

        walk(path, self._allowance.share(), wants, visit)
        if kind not in (Kind.TORCHSCRIPT, Kind.ZIP):
            look.add({"program_files": code_members(names, is_program=kind is Kind.NEMO)})


@dataclass(frozen=True)
class _Part:
    """A file, or a member of an archive."""

    name: str
    """What it is called."""
    place: str
    """Where it lies in the file; nothing for the file itself."""
    kind: Kind
    """What it holds."""
    file: BinaryIO
    """Its bytes, from any place on."""
    size: int
    """Their number."""

    def start(self) -> bytes:
        """Its first bytes."""
        self.file.seek(0)
        start = self.file.read(_START)
        self.file.seek(0)
        return start

    def is_placeholder(self) -> bool:
        """Whether it stands for a model, and never held one."""
        return self.kind not in _TEXTS and is_placeholder(self.start(), self.size)

    def unreadable(self, error: Exception) -> str:
        """What is wrong with it, and what to do."""
        which = f"{self.place}: " if self.place else ""
        return (
            f"{which}{self.kind}, which could not be read: {in_one_line(error)}. Save or download "
            "it again, or leave it out."
        )


def _called(place: str, name: str) -> str:
    """The name of a member; what a compressed file holds is called as the file is, without .gz."""
    return place.rpartition(":")[2] or PurePosixPath(name).stem


def _of_tensorflow(part: _Part) -> Iterator[Mapping[str, list[str]]]:
    """Operations of a graph that reach out, and layers of Keras that are code."""
    if part.name.endswith(_GRAPH_TEXT) or b"\0" not in part.start():
        part.file.seek(0)
        yield {"reaching_operations": operations_in_text(part.file)}
    part.file.seek(0)
    yield {"reaching_operations": reaching_operations(part.file)}
    part.file.seek(0)
    yield {"code_layers": saved_layers(part.file, part.size)}


def _of_yaml(look: Look, part: _Part, bound: Bound) -> Mapping[str, list[str]]:
    """Objects that a YAML file has made which lead to code; what nobody knows is told."""
    named, problem = named_objects(part.file, part.size, bound)
    levels = {one: _level(one) for one in named}
    unknown = [one for one, level in levels.items() if level is Level.UNKNOWN]
    for way in Way:
        names = some(one.full for one in unknown if one.way is way)
        if names:
            which = f"{part.place} names" if part.place else "It names"
            reason = f"{which} {names}, and plmscan does not know what that does: {_RUNS[way]}."
            (look.told if way is Way.SETTING else look.blocking).append(reason)
    found = [one.full for one, level in levels.items() if level is Level.DANGEROUS]
    if problem is not None:
        raise PartlyReadError(problem, {"yaml_objects": found})
    return {"yaml_objects": found}


_RUNS = {
    Way.OBJECT: "a YAML loader that makes objects imports and calls it",
    Way.BUILDER: "SpeechBrain imports and calls it when it builds the model",
    Way.SETTING: "a library that builds what settings name imports and calls it",
}


def _level(named: Named) -> Level:
    """How harmful it is to import something and to call it."""
    item = Global.of(named.module, named.name)
    is_object = named.way is Way.OBJECT
    level = judge(item, Use.CALL if is_object else Use.BUILD)
    is_usual = level is Level.UNKNOWN and not is_object and _LIBRARIES.match(named.module)
    return Level.ALLOWED if is_usual else level
