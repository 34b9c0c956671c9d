"""What do files of other runtimes do, which the scan does not load?"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from plmscan.errors import in_one_line
from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.kinds import RUNTIMES, Kind
from plmscan.layout import leaves
from plmscan.probes.base import StaticProbe
from plmscan.probes.words import counted, some
from plmscan.runtimes.keras import code_layers
from plmscan.runtimes.onnx import files_and_operations
from plmscan.runtimes.tensorflow import reaching_operations
from plmscan.runtimes.torchscript import code_files
from plmscan.runtimes.wire import TooManyPartsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import BinaryIO

    from plmscan.evidence import Observation
    from plmscan.source import Artifact

    _Found = Mapping[str, list[str]]

__all__ = ["Probe"]

_ID = "runtimes"
_DECLARED = {"onnx": Kind.ONNX, "openvino": Kind.OPENVINO}
"""Kind of the files that a backend runs, by what sentence-transformers calls the backend."""


class Probe(StaticProbe):
    """Names the weights of other runtimes, and looks for what they can do besides computing.

    A repository often holds the same model for several runtimes, and nothing makes them agree: who
    runs the ONNX export runs weights that nobody measured here.  Some of the formats also carry
    code, or read other files, so that opening one is enough for an attack.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "code_layers": "layers of a Keras model that are code, or come from elsewhere (count)",
        "outside_files": "files outside of the model that an ONNX model reads (count)",
        "program_files": "files of the program that the loader of an archive runs (count)",
        "reaching_operations": "operations of a graph that use files or call Python (count)",
        "native_programs": "1 if the file is a program or library of the machine (flag)",
    }
    details: ClassVar[Mapping[str, str]] = {
        "found": "the layers, files or operations",
    }
    references: ClassVar[tuple[str, ...]] = (
        "https://sbert.net/docs/sentence_transformer/usage/efficiency.html",
        "https://onnx.ai/onnx/repo-docs/ExternalData.html",
        "https://nvd.nist.gov/vuln/detail/CVE-2024-3660",
        "https://github.com/tensorflow/tensorflow/blob/master/SECURITY.md",
    )

    def inspect(self, artifact: Artifact) -> Iterator[Observation]:
        """Measure every file of another runtime; one that cannot be read is named."""
        here = {file.path: file.kind for file in artifact.files}
        kinds = {**here, **{file.path: file.kind for file in artifact.not_fetched}}
        yield from _declared(artifact.backend, kinds)
        yield from _listed(artifact.backend, kinds)
        programs = [name for name in artifact.programs if kinds[name] in _LOOKS]
        looked_at = [name for name, kind in here.items() if kind in _LOOKS] + programs
        for name in looked_at:
            yield from _look(artifact, name, Kind(kinds[name]))
        others = sum(kind in RUNTIMES for kind in kinds.values())
        yield Coverage(
            f"{counted(others, 'file')} of other runtimes; {len(looked_at)} looked into."
        )


def _declared(backend: str, kinds: Mapping[str, str]) -> Iterator[Gap]:
    """What the user's backend runs, which the scan does not."""
    if backend not in _DECLARED:
        return
    names = [name for name, kind in kinds.items() if kind == _DECLARED[backend]]
    if names:
        reason = "It is what the declared backend runs, and plmscan cannot read its weights yet."
    else:
        reason = "The model has no file for it, so what runs is converted from files elsewhere."
    remedy = "Load the model with the torch backend, or leave --backend out."
    yield Gap(f"backend {backend} ({some(names)})" if names else backend, f"{reason} {remedy}")


def _listed(backend: str, kinds: Mapping[str, str]) -> Iterator[Gap]:
    """Files that the default backend does not load, by kind."""
    by_kind: defaultdict[str, list[str]] = defaultdict(list)
    for name, kind in kinds.items():
        if kind in RUNTIMES and kind != _DECLARED.get(backend):
            by_kind[kind].append(name)
    for kind, names in by_kind.items():
        reason = f"{kind}: not what the default backend loads, and not measured."
        yield Gap(some(names), reason, blocks_pass=False)


def _look(artifact: Artifact, name: str, kind: Kind) -> Iterator[Observation]:
    """What one file can do besides computing; nothing where that is nothing."""
    path = artifact.readable[name]
    for read in _LOOKS[kind]:
        try:
            with path.open("rb") as file:
                found = read(file, path.stat().st_size)
        except (OSError, ValueError) as error:
            problem = f"{kind}, which could not be read: {in_one_line(error)}."
            yield Gap(name, problem, blocks_pass=isinstance(error, TooManyPartsError))
            return
        for metric, names in found.items():
            if names:
                yield Evidence(_ID, name, {metric: float(len(names))}, {"found": some(names)})


def _of_onnx(file: BinaryIO, size: int) -> _Found:
    """Paths out of the folder that an ONNX model reads, and its calls of Python."""
    paths, operations = files_and_operations(file, size)
    outside = [path for path in paths if leaves(path)]
    return {"outside_files": outside, "reaching_operations": operations}


def _whole(
    metric: str, read: Callable[[BinaryIO], list[str]], file: BinaryIO, _size: int
) -> _Found:
    """What ``read`` finds, which needs no size."""
    return {metric: read(file)}


def _native(_file: BinaryIO, _size: int) -> _Found:
    """A native program is one whatever it holds."""
    return {"native_programs": ["machine code"]}


_LOOKS: dict[str, tuple[Callable[[BinaryIO, int], _Found], ...]] = {
    Kind.ONNX: (_of_onnx,),
    Kind.HDF5: (partial(_whole, "code_layers", code_layers),),
    Kind.TORCHSCRIPT: (partial(_whole, "program_files", code_files),),
    Kind.ZIP: (
        partial(_whole, "code_layers", code_layers),
        partial(_whole, "program_files", code_files),
    ),
    Kind.TENSORFLOW: (partial(_whole, "reaching_operations", reaching_operations),),
    Kind.PROGRAM: (_native,),
}
