"""Which functions and classes do the model's pickles ask for?"""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar
from zipfile import is_zipfile

from picklescan.scanner import SafetyLevel, scan_bytes  # type: ignore[import-untyped]

from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.probes.base import StaticProbe
from plmscan.probes.words import counted, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from picklescan.scanner import Global

    from plmscan.evidence import Observation
    from plmscan.source import Artifact

__all__ = ["ALLOWED", "Probe"]

_ID = "pickle-globals"

_ALLOWED_BY_MODULE = {
    "_codecs": "encode",
    "builtins": "bytearray complex set",
    "collections": "Counter OrderedDict",
    "torch": (
        "BFloat16Storage BFloat16Tensor BoolStorage BoolTensor ByteStorage ByteTensor CharStorage "
        "CharTensor ComplexDoubleStorage ComplexFloatStorage DoubleStorage DoubleTensor "
        "FloatStorage FloatTensor HalfStorage HalfTensor IntStorage IntTensor LongStorage "
        "LongTensor QInt32Storage QInt8Storage QUInt2x4Storage QUInt4x2Storage QUInt8Storage "
        "ShortStorage ShortTensor Size Tensor bfloat16 bits16 bits1x8 bits2x4 bits4x2 bits8 bool "
        "complex128 complex32 complex64 device float16 float32 float4_e2m1fn_x2 float64 "
        "float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu int1 int16 int2 "
        "int3 int32 int4 int5 int6 int64 int7 int8 per_channel_affine "
        "per_channel_affine_float_qparams per_channel_symmetric per_tensor_affine "
        "per_tensor_symmetric qint32 qint8 quint2x4 quint4x2 quint8 uint1 uint16 uint2 uint3 "
        "uint32 uint4 uint5 uint6 uint64 uint7 uint8"
    ),
    "torch._tensor": "_rebuild_from_type_v2",
    "torch._utils": (
        "_rebuild_device_tensor_from_cpu_tensor _rebuild_device_tensor_from_numpy "
        "_rebuild_meta_tensor_no_storage _rebuild_nested_tensor _rebuild_parameter "
        "_rebuild_parameter_with_state _rebuild_qtensor _rebuild_sparse_tensor _rebuild_tensor "
        "_rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_wrapper_subclass"
    ),
    "torch.cuda": (
        "BFloat16Storage BFloat16Tensor BoolStorage BoolTensor ByteStorage ByteTensor CharStorage "
        "CharTensor ComplexDoubleStorage ComplexFloatStorage DoubleStorage DoubleTensor "
        "FloatStorage FloatTensor HalfStorage HalfTensor IntStorage IntTensor LongStorage "
        "LongTensor ShortStorage ShortTensor"
    ),
    "torch.cuda.sparse": (
        "BFloat16Tensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor IntTensor "
        "LongTensor ShortTensor"
    ),
    "torch.nn.parameter": "Parameter",
    "torch.serialization": "_get_layout",
    "torch.sparse": (
        "BFloat16Tensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor IntTensor "
        "LongTensor ShortTensor"
    ),
    "torch.storage": "TypedStorage UntypedStorage",
    "numpy": "dtype ndarray",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy.core.multiarray": "_reconstruct scalar",
}
ALLOWED = frozenset(
    f"{module}.{name}" for module, names in _ALLOWED_BY_MODULE.items() for name in names.split()
)
"""Globals that only build tensors, arrays and containers: those that torch's ``weights_only``
loading accepts, and what numpy needs to build an array of plain numbers."""

_WAYS_TO_CODE = frozenset({"builtins.__import__", "builtins.globals", "builtins.setattr"})
_CODE_MODULES = frozenset({"importlib", "marshal", "types", "zipimport"})
"""Ways from a global to any code that picklescan lists as merely unknown."""

_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}
_WEIGHT_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".th"})
_PICKLE_SUFFIXES = _WEIGHT_SUFFIXES | frozenset(
    {".pkl", ".pickle", ".pk", ".dill", ".cloudpickle", ".joblib", ".npy", ".npz"}
)
_UNREAD_FORMATS = (
    "h5 hdf5 keras pb onnx onnx_data msgpack tflite gguf ggml ot mlmodel nemo mar engine pte"
)
_UNREAD_SUFFIXES = frozenset(f".{name}" for name in _UNREAD_FORMATS.split())
_TRAINING_STATE = re.compile(
    r"(training_args|optimizer|scheduler|scaler|rng_state(_\d+)?|random_states_\d+|.*optim_states)"
    r"\.(bin|pt|pth|pkl)$"
)
_ENUM_ACCESS = "builtins.getattr"
"""Python 3.11 pickles every enum member of training_args.bin through it."""
_NUMPY_MAGIC = b"\x93NUMPY"
_PROTOCOLS = range(6)
_TEXT_PICKLE = re.compile(rb"\(?c[A-Za-z_][\w.]*\r?\n[A-Za-z_][\w.]*\r?\n")
_TENSOR_MEMBER = re.compile(r":[^:]*/data/\d+ as pickle")


class Probe(StaticProbe):
    """Lists the globals of every pickle, by content and by suffix, and loads none.

    A pickle is a program: whoever loads it runs what it names, so a poisoned weight file owns the
    machine before the first token.  The same file is also the second copy of the weights that a
    loader without safetensors takes: a clean model for the scanner, another one for the user.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "dangerous_globals": "globals that can run code, read or write files (count)",
        "unknown_globals": "other globals that torch's weights_only loading refuses (count)",
        "weights": "1 if the file is named like weights, 0 otherwise (flag)",
        "training_state": "1 if only the trainer that wrote the file reads it (flag)",
        "loaded": "1 if the file is the one that is loaded (flag)",
        "pickle_twin": "1 if the pickled weights lie beside safetensors (flag)",
    }
    references: ClassVar[tuple[str, ...]] = (
        "https://docs.python.org/3/library/pickle.html",
        "https://pytorch.org/docs/stable/notes/serialization.html#weights-only",
        "https://github.com/mmaitre314/picklescan",
        "https://nvd.nist.gov/vuln/detail/CVE-2025-32434",
    )

    def inspect(self, artifact: Artifact) -> Iterator[Observation]:
        """Measure every file that is a pickle, and name the formats that nobody reads."""
        scanned = 0
        for name, path in artifact.readable.items():
            suffix = _reader(path, PurePosixPath(name).suffix.lower())
            if suffix is None:
                continue
            scan = _scan(path, suffix)
            if scan.is_empty and not _is_pickle_name(name):
                continue
            scanned += 1
            yield from _judge(artifact, name, scan)
        yield from _not_here(artifact)
        yield from _unread_formats(artifact)
        looked_at = counted(len(artifact.readable), "file")
        yield Coverage(f"Globals of {counted(scanned, 'pickle')}; {looked_at} looked at.")


@dataclass(frozen=True)
class _Scan:
    """What picklescan makes of one file."""

    dangerous: tuple[str, ...]
    """Globals that can do harm, sorted."""
    unknown: tuple[str, ...]
    """Other globals that are not in `ALLOWED`, sorted."""
    problem: str
    """Why the file was not read to its end; empty if it was."""
    is_empty: bool
    """Whether there was no pickle in it, and nothing was wrong."""


def _is_pickle_name(name: str) -> bool:
    """Whether the suffix alone says that loaders unpickle the file."""
    return PurePosixPath(name).suffix.lower() in _PICKLE_SUFFIXES


def _reader(path: Path, suffix: str) -> str | None:
    """The suffix by which picklescan shall read the file; None if it is no pickle."""
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(_NUMPY_MAGIC):
        return ".npy"
    binary = len(start) > 1 and start[0] == 0x80 and start[1] in _PROTOCOLS  # noqa: PLR2004 - opcode PROTO
    # The length that starts a safetensors header can look like the start of a pickle.
    if suffix != ".safetensors" and (binary or _TEXT_PICKLE.match(start)):
        return ".pkl" if suffix in _PICKLE_SUFFIXES - _WEIGHT_SUFFIXES else ".bin"
    return ".bin" if suffix in _PICKLE_SUFFIXES or is_zipfile(path) else None


def _scan(path: Path, suffix: str) -> _Scan:
    """The globals in one file; whatever stops picklescan is a problem, never a clean result."""
    with _complaints() as complaints:
        try:
            with path.open("rb") as file:
                # Not strict: that calls all it does not know dangerous, and `ALLOWED` is stricter.
                result = scan_bytes(file, path.name, suffix, strict=False)
        except Exception as error:  # noqa: BLE001 - picklescan raises what its readers raise
            text = " ".join(str(error).split())
            return _Scan((), (), f"{type(error).__name__} {text}".strip(), is_empty=False)
    dangerous, unknown = _sorted(result.globals, _TRAINING_STATE.match(path.name) is not None)
    problem = complaints[0] if complaints else ""
    if result.scan_err and not problem:
        problem = "it breaks off inside a pickle"
    is_empty = result.scanned_files == 0 and not problem
    return _Scan(dangerous, unknown, problem, is_empty)


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What picklescan says in its log about parts that it could not read.

    It skips such parts and calls the rest clean; its log is the only place that tells.
    """
    logger = logging.getLogger("picklescan")
    handler = _Listener()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield handler.complaints
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


class _Listener(logging.Handler):
    """Keeps the warnings that are about unread parts."""

    def __init__(self) -> None:
        """Listen for warnings and worse."""
        super().__init__(logging.WARNING)
        self.complaints: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record unless it reports a global, or a part that no loader unpickles."""
        text = record.getMessage()
        is_global = "' FOUND" in record.msg
        is_retry = "Trying to scan as non-PyTorch file" in text
        if not (is_global or is_retry or _TENSOR_MEMBER.search(text)):
            self.complaints.append(" ".join(text.split()).removeprefix("WARNING: "))


def _sorted(found: Iterable[Global], is_training_state: bool) -> tuple[tuple[str, ...], ...]:  # noqa: FBT001 - a fact about the file
    """Dangerous and unknown globals, sorted, each once."""
    dangerous, unknown = set(), set()
    for item in found:
        module = _PYTHON_2.get(item.module, item.module)
        name = f"{module}.{item.name}"
        harmful = item.safety is SafetyLevel.Dangerous or name in _WAYS_TO_CODE
        harmful = harmful or module.split(".")[0] in _CODE_MODULES
        if harmful and not (is_training_state and name == _ENUM_ACCESS):
            dangerous.add(name)
        # TorchScript finds ``__torch__`` classes in its own archive and never imports them.
        elif name not in ALLOWED and not module.startswith("__torch__"):
            unknown.add(name)
    return tuple(sorted(dangerous)), tuple(sorted(unknown))


def _judge(artifact: Artifact, name: str, scan: _Scan) -> Iterator[Observation]:
    """The evidence of one file, and a gap if it could not be read to its end."""
    readable = scan.dangerous or scan.unknown or not scan.problem
    if scan.is_empty:
        yield Gap(name, "It is named like a pickle, and no pickle was found in it.")
        return
    if scan.problem and not readable and _is_openvino(artifact, name):
        yield Gap(name, "OpenVINO weights are never loaded and were not read.", blocks_pass=False)
        return
    if scan.problem:
        yield Gap(name, f"Its pickles could not be read to the end: {scan.problem}.")
    if not readable:
        return
    training_state = _TRAINING_STATE.match(PurePosixPath(name).name) is not None
    yield Evidence(
        probe=_ID,
        subject=name,
        metrics={
            "dangerous_globals": float(len(scan.dangerous)),
            "unknown_globals": float(len(scan.unknown)),
            "weights": float(_is_weights(name)),
            "training_state": float(training_state),
            "loaded": float(name in artifact.weights),
            "pickle_twin": float(_is_twin(artifact, name)),
        },
        details={"dangerous": some(scan.dangerous), "unknown": some(scan.unknown)},
    )


def _is_weights(name: str) -> bool:
    """Whether the file is named like weights."""
    file = PurePosixPath(name)
    return file.suffix.lower() in _WEIGHT_SUFFIXES and not _TRAINING_STATE.match(file.name)


def _is_twin(artifact: Artifact, name: str) -> bool:
    """Whether pickled weights lie in the folder of safetensors weights that are loaded instead."""
    folder = PurePosixPath(name).parent
    safe = (PurePosixPath(w) for w in artifact.weights if w.endswith(".safetensors"))
    return _is_weights(name) and any(weights.parent == folder for weights in safe)


def _is_openvino(artifact: Artifact, name: str) -> bool:
    """Whether the file is the raw half of an OpenVINO pair."""
    listed = (*(f.path for f in artifact.files), *(f.path for f in artifact.not_fetched))
    return PurePosixPath(name).with_suffix(".xml").as_posix() in listed


def _not_here(artifact: Artifact) -> Iterator[Observation]:
    """Files of the repository that could run, and of which not enough was fetched to tell."""
    by_reason: dict[str, list[str]] = {}
    for file in artifact.unread:
        by_reason.setdefault(file.reason, []).append(file.subject)
    for reason, names in by_reason.items():
        yield Gap(some(names), reason)
    for name in (file.path for file in artifact.not_fetched):
        if name not in artifact.programs and _is_twin(artifact, name):
            yield Evidence(_ID, name, {"pickle_twin": 1.0})


def _unread_formats(artifact: Artifact) -> Iterator[Gap]:
    """Weights in formats that plmscan neither reads nor loads."""
    listed = (*(f.path for f in artifact.files), *(f.path for f in artifact.not_fetched))
    names = sorted(n for n in listed if PurePosixPath(n).suffix.lower() in _UNREAD_SUFFIXES)
    if names:
        reason = "Formats that plmscan never loads and does not read."
        yield Gap(some(names), reason, blocks_pass=False)
