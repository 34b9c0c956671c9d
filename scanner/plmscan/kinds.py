"""What a file is, by its first bytes; its name decides only where bytes say nothing.

A loader opens what it finds, and a file can be called anything: so nothing here trusts a suffix
that the content contradicts.  `kind_of` reads a few kilobytes from the start of a file and a few
from its end, and neither unpacks nor parses.
"""

from __future__ import annotations

import re
import warnings
from enum import StrEnum
from io import BytesIO
from pathlib import PurePosixPath
from pickletools import OpcodeInfo, genops, markobject
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "ARCHIVES",
    "RUNTIMES",
    "WEIGHT_SUFFIXES",
    "Kind",
    "is_lfs_pointer",
    "is_lzma",
    "is_placeholder",
    "is_tar",
    "kind_by_name",
    "kind_in",
    "kind_of",
    "read_ends",
    "with_neighbours",
]

_START = 4096
"""Bytes from the start that are enough to know every format by."""
_LZMA_SETTINGS = 9 * 5 * 5
"""One byte holds three of them: of nine, five and five values."""
_TAR_BLOCK = 512
_SHORTEST_HEADER = 24
"""Bytes before the first entry of GGUF, and fewer than HDF5 or an ONNX graph begin with."""
_END = 65_536 + 22
"""Bytes from the end in which the directory of a zip archive must begin."""
_ZIP_END = b"PK\x05\x06"
_LONGEST_RUN = 2**18
"""Bytes of instructions without a name that are followed; a pickle may begin with any number."""


class Kind(StrEnum):
    """What a file holds, in words for a report."""

    EMPTY = "empty file"
    LFS_POINTER = "Git LFS pointer"
    PICKLE = "pickle"
    ZIP = "zip archive"
    TAR = "tar archive"
    SEVEN_ZIP = "7z archive"
    COMPRESSED = "compressed file"
    SAFETENSORS = "safetensors weights"
    NUMPY = "NumPy array"
    HDF5 = "HDF5 or Keras weights"
    ONNX = "ONNX model"
    ONNX_DATA = "ONNX weights"
    OPENVINO = "OpenVINO model"
    CORE_ML = "Core ML model"
    CTRANSLATE2 = "CTranslate2 model"
    GGUF = "GGUF model"
    GGML = "GGML model"
    TFLITE = "TensorFlow Lite model"
    TENSORFLOW = "TensorFlow model"
    TFJS = "TensorFlow.js weights"
    FLAX = "Flax weights"
    MLC = "MLC weights"
    KERAS = "Keras description"
    NEMO = "NeMo archive"
    SKOPS = "skops model"
    ORT = "ONNX Runtime model"
    PADDLE = "PaddlePaddle model"
    PMML = "PMML model"
    R_DATA = "R data"
    FASTTEXT = "fastText model"
    RUST = "rust-bert weights"
    TORCHSCRIPT = "TorchScript program"
    EXECUTORCH = "ExecuTorch program"
    TENSORRT = "TensorRT engine"
    PROGRAM = "native program or library"
    PYTHON = "Python code"
    BYTECODE = "compiled Python code"
    SCRIPT = "script"
    TEMPLATE = "Jinja template"
    JSON = "JSON"
    YAML = "YAML"
    TEXT = "text"
    IMAGE = "image or other media"
    UNKNOWN = "unknown binary format"


ARCHIVES = frozenset({Kind.ZIP, Kind.TAR, Kind.SEVEN_ZIP, Kind.COMPRESSED})
"""What holds other files."""

RUNTIMES = frozenset({
    Kind.HDF5, Kind.ONNX, Kind.ONNX_DATA, Kind.OPENVINO, Kind.CORE_ML, Kind.CTRANSLATE2,
    Kind.GGUF, Kind.GGML,
    Kind.TFLITE, Kind.TENSORFLOW, Kind.TFJS, Kind.FLAX, Kind.MLC, Kind.FASTTEXT, Kind.RUST,
    Kind.TORCHSCRIPT, Kind.EXECUTORCH, Kind.TENSORRT, Kind.KERAS, Kind.NEMO, Kind.SKOPS, Kind.ORT,
    Kind.PADDLE, Kind.PMML, Kind.R_DATA,
})  # fmt: skip
"""Weights of runtimes other than PyTorch, which transformers does not load by itself."""

_LFS = (
    b"version https://git-lfs.github.com/spec/",
    b"version https://hawser.github.com/spec/",
    b"version http://git-media.io/v/",
)
"""First bytes of a pointer, by the specification and by the two names that Git LFS had before."""
_R_MARKS = (b"X\n\0\0\0\2", b"X\n\0\0\0\3", b"RDX2\n", b"RDX3\n", b"RDA2\n", b"RDA3\n")
"""What saved objects of R begin with, unpacked."""
_MAGIC = (
    (b"PK\x03\x04", Kind.ZIP),
    (b"PK\x05\x06", Kind.ZIP),
    (b"7z\xbc\xaf\x27\x1c", Kind.SEVEN_ZIP),
    (b"\x1f\x8b", Kind.COMPRESSED),
    (b"\xfd7zXZ\x00", Kind.COMPRESSED),
    (b"]\x00", Kind.COMPRESSED),  # lzma, as joblib knows it: any size of the dictionary may follow
    (b"BZh", Kind.COMPRESSED),
    (b"Rar!\x1a\x07", Kind.COMPRESSED),
    (b"\x04\x22\x4d\x18", Kind.COMPRESSED),  # lz4
    (b"\x28\xb5\x2f\xfd", Kind.COMPRESSED),  # zstandard
    (b"\x1f\x9d", Kind.COMPRESSED),  # compress
    (b"LZIP", Kind.COMPRESSED),
    (b"ZF", Kind.COMPRESSED),  # joblib's own of before 2016
    (b"\x93NUMPY", Kind.NUMPY),
    (b"\x89HDF\r\n\x1a\n", Kind.HDF5),
    (b"GGUF", Kind.GGUF),
    (b"FUGG", Kind.GGUF),  # the same from a machine of the other byte order
    (b"lmgg", Kind.GGML),
    (b"fmgg", Kind.GGML),
    (b"tjgg", Kind.GGML),
    (b"algg", Kind.GGML),
    (b"ggml", Kind.GGML),
    (b"\xba\x16\x4f\x2f", Kind.FASTTEXT),
    *((mark, Kind.R_DATA) for mark in _R_MARKS),
    (b"\x7fELF", Kind.PROGRAM),
    (b"MZqFpD", Kind.PROGRAM),  # a llamafile: one program for every system
    (b"jartsr", Kind.PROGRAM),
    (b"\xfe\xed\xfa\xce", Kind.PROGRAM),
    (b"\xfe\xed\xfa\xcf", Kind.PROGRAM),
    (b"\xce\xfa\xed\xfe", Kind.PROGRAM),
    (b"\xcf\xfa\xed\xfe", Kind.PROGRAM),
    (b"\xca\xfe\xba\xbe", Kind.PROGRAM),
    (b"\0asm", Kind.PROGRAM),
    (b"#!", Kind.SCRIPT),
    (b"\x89PNG", Kind.IMAGE),
    (b"\xff\xd8\xff", Kind.IMAGE),
    (b"GIF8", Kind.IMAGE),
    (b"%PDF", Kind.IMAGE),
    (b"RIFF", Kind.IMAGE),
    (b"OggS", Kind.IMAGE),
    (b"ID3", Kind.IMAGE),
)
"""First bytes that mean one format."""

_MAGIC_INSIDE = (
    (257, b"ustar", Kind.TAR),
    (4, b"TFL3", Kind.TFLITE),
    (4, b"ORTM", Kind.ORT),
    (4, b"ET12", Kind.EXECUTORCH),
    (4, b"ET13", Kind.EXECUTORCH),
)
"""Bytes at another place that mean one format."""

_SUFFIXES = {
    ".safetensors": Kind.SAFETENSORS,
    ".onnx": Kind.ONNX,
    ".onnx_data": Kind.ONNX_DATA,
    ".h5": Kind.HDF5,
    ".hdf5": Kind.HDF5,
    ".keras": Kind.HDF5,
    ".gguf": Kind.GGUF,
    ".ggml": Kind.GGML,
    ".tflite": Kind.TFLITE,
    ".pb": Kind.TENSORFLOW,
    ".pbtxt": Kind.TENSORFLOW,
    ".meta": Kind.TENSORFLOW,
    ".msgpack": Kind.FLAX,
    ".ot": Kind.RUST,
    ".mlmodel": Kind.CORE_ML,
    ".mlpackage": Kind.CORE_ML,
    ".ftz": Kind.FASTTEXT,
    ".pte": Kind.EXECUTORCH,
    ".engine": Kind.TENSORRT,
    ".plan": Kind.TENSORRT,
    ".npy": Kind.NUMPY,
    ".npz": Kind.ZIP,
    ".mar": Kind.ZIP,
    ".nemo": Kind.NEMO,
    ".skops": Kind.SKOPS,
    ".ort": Kind.ORT,
    ".pdmodel": Kind.PADDLE,
    ".pmml": Kind.PMML,
    ".rds": Kind.R_DATA,
    ".rda": Kind.R_DATA,
    ".rdata": Kind.R_DATA,
    ".py": Kind.PYTHON,
    ".pyc": Kind.BYTECODE,
    ".sh": Kind.SCRIPT,
    ".bat": Kind.SCRIPT,
    ".ps1": Kind.SCRIPT,
    ".so": Kind.PROGRAM,
    ".dll": Kind.PROGRAM,
    ".dylib": Kind.PROGRAM,
    ".exe": Kind.PROGRAM,
    ".jinja": Kind.TEMPLATE,
    ".jinja2": Kind.TEMPLATE,
    ".j2": Kind.TEMPLATE,
    ".json": Kind.JSON,
    ".yaml": Kind.YAML,
    ".yml": Kind.YAML,
    ".pkl": Kind.PICKLE,
    ".pickle": Kind.PICKLE,
    ".pk": Kind.PICKLE,
    ".dill": Kind.PICKLE,
    ".cloudpickle": Kind.PICKLE,
    ".joblib": Kind.PICKLE,
    ".pt": Kind.PICKLE,
    ".pth": Kind.PICKLE,
    ".ckpt": Kind.PICKLE,
    ".pt2": Kind.PICKLE,
    ".pdparams": Kind.PICKLE,
    ".pdopt": Kind.PICKLE,
    ".th": Kind.PICKLE,
    ".bin": Kind.PICKLE,
}
"""What a file is by the end of its name, where nobody has its bytes or they say nothing."""

WEIGHT_SUFFIXES = frozenset(
    suffix
    for suffix, kind in _SUFFIXES.items()
    if kind in {Kind.SAFETENSORS, Kind.PICKLE, Kind.NUMPY, Kind.ZIP, Kind.TAR, *RUNTIMES}
)
"""Ends of the names of weights, in any format."""

_PACKED = MappingProxyType(
    {
        Kind.NEMO: frozenset({Kind.TAR, Kind.COMPRESSED}),
        Kind.SKOPS: frozenset({Kind.ZIP}),
        Kind.R_DATA: frozenset({Kind.COMPRESSED}),
    }
)
"""Formats that are archives by their bytes, and more than that by their names."""
_PLAIN_NAMES = MappingProxyType({"MLmodel": Kind.YAML})
"""Files that loaders know by their whole name."""
_LARGEST_JSON = 2**25
"""Bytes of JSON that are looked through for layers; no description of a model is nearly as long."""
_CLASS_NAME = re.compile(rb'"((?:[a-z_]|\\u00[0-9a-fA-F]{2}){10,60})"')
"""A text that may be the key by which Keras describes a layer, however its letters are written."""

_PROTOCOLS = range(6)
_DOTTED = re.compile(r"[\w.]+ [\w.]+")
_NAMING = frozenset({"GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4"})
"""Instructions by which a pickle names code."""
_CALLING = frozenset({"BUILD", "INST", "NEWOBJ", "NEWOBJ_EX", "OBJ", "REDUCE"})
"""Instructions by which it calls what it named."""
_NO_INSTRUCTION = b"{[#<"
"""First bytes of JSON, comments and markup, which no pickle begins with."""
_CUT_SHORT = ("exhausted", "remain", "no newline", "not enough data")
"""What pickletools says where only the start of a file was given to it."""
_ZLIB_SECOND = frozenset({0x01, 0x5E, 0x9C, 0xDA})
_TEXT_BYTES = frozenset(range(32, 256)) | frozenset(b"\t\n\r\f\x1b\x08")
_SHARD = re.compile(r"group\d+-shard\d+of\d+(\.bin)?$")
_MLC_SHARD = re.compile(r"params_shard_\d+\.bin$")


def is_lfs_pointer(start: bytes) -> bool:
    """Whether a file that begins so only says where Git LFS keeps the real one."""
    return start.startswith(_LFS)


def is_lzma(start: bytes) -> bool:
    """Whether a file begins like one of LZMA's first format, with any settings, of unknown length.

    The mark that joblib looks for is that of the usual settings only.
    """
    return start[5:13] == b"\xff" * 8 and 0 < start[0] < _LZMA_SETTINGS


def is_tar(start: bytes) -> bool:
    """Whether a file begins with the header of a member of a tar, of any age, by its checksum."""
    if len(start) < _TAR_BLOCK or not start[0]:
        return False
    try:
        stored = int(start[148:156].strip(b" \0") or b"0", 8)
    except ValueError:
        return False
    return stored == sum(start[:148]) + sum(start[156:512]) + 8 * ord(" ")


def is_placeholder(start: bytes, size: int) -> bool:
    """Whether a file of weights that begins so, and cannot be read, never held any.

    Such files stand in repositories of examples and tests: zeros, a line of text, or less than the
    header of any format.  No loader takes one for a model, so none can be harmed by it.
    """
    return size < _SHORTEST_HEADER or not start.strip(b"\0") or _is_text(start)


def kind_by_name(name: str) -> Kind:
    """What a file is called; for those that nobody has read."""
    file = PurePosixPath(name)
    if _SHARD.search(file.name):
        return Kind.TFJS
    if _MLC_SHARD.search(file.name):
        return Kind.MLC
    return _PLAIN_NAMES.get(file.name) or _SUFFIXES.get(file.suffix.lower(), Kind.UNKNOWN)


def kind_of(path: Path, name: str) -> Kind:
    """What the file ``path``, called ``name`` inside the model, holds.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return kind_in(file, name)


def kind_in(file: BinaryIO, name: str) -> Kind:
    """What the open file, called ``name`` inside the model, holds; only its two ends are read.

    JSON is read on: what describes a model of Keras says so anywhere.  So is what may be a pickle
    that names nothing yet.

    Raises:
        OSError: it cannot be read.
    """
    start, end, size = read_ends(file)
    found = _by_bytes(start, end, size)
    if found in (None, Kind.IMAGE) and _is_long_pickle(file, start, size):
        return Kind.PICKLE
    if found is None:
        found = _by_both(start, name)
    if found is Kind.JSON and size <= _LARGEST_JSON:
        file.seek(0)
        return Kind.KERAS if _describes_layers(file.read()) else found
    named = kind_by_name(name)
    return named if found in _PACKED.get(named, frozenset()) else found


def _describes_layers(text: bytes) -> bool:
    """Whether JSON has the two keys of a layer of Keras."""
    if b"\\u00" not in text:
        return b'"class_name"' in text and b'"config"' in text
    # Escapes stand for letters, and which ones is only known once they are read.
    return any(_key(match[1]) == "class_name" for match in _CLASS_NAME.finditer(text))


def _key(written: bytes) -> str:
    """The key that JSON writes so."""
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), written.decode())


def read_ends(file: BinaryIO) -> tuple[bytes, bytes, int]:
    """What of an open file tells its kind: its first bytes, its last ones, and its size.

    Raises:
        OSError: it cannot be read.
    """
    start = file.read(_START)
    size = file.seek(0, 2)
    file.seek(max(0, size - _END))
    return start, file.read(_END), size


def with_neighbours(kinds: Mapping[str, Kind]) -> dict[str, Kind]:
    """The kinds of files by name, some of which only the files beside them tell.

    Raw weights have no mark of their own: those of OpenVINO lie beside a description of the same
    name, those of TensorFlow below ``variables``, those of Core ML inside of a package.
    """
    described = {name.removesuffix(".xml") for name in kinds if name.endswith(".xml")}
    saved = {n.rpartition("saved_model.pb")[0] for n in kinds if n.endswith("saved_model.pb")}
    found = dict(kinds)
    for name, kind in kinds.items():
        stem, dot, suffix = name.rpartition(".")
        if dot and stem in described and f"{stem}.bin" in kinds and suffix in ("bin", "xml"):
            found[name] = Kind.OPENVINO
        elif ".mlpackage/" in name and kind in (Kind.UNKNOWN, Kind.TEXT, Kind.JSON):
            found[name] = Kind.CORE_ML
        elif any(name.startswith(f"{folder}variables/") for folder in saved):
            found[name] = Kind.TENSORFLOW if kind is Kind.UNKNOWN else kind
    return found


def _by_bytes(start: bytes, end: bytes, size: int) -> Kind | None:
    """The format that the bytes alone give away; None where the name has to help."""
    if not size:
        return Kind.EMPTY
    if is_lfs_pointer(start):
        return Kind.LFS_POINTER
    if _is_safetensors(start, size):
        return Kind.SAFETENSORS
    if _is_pickle(start):
        return Kind.PICKLE
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            is_archive = kind is Kind.ZIP or (kind is Kind.IMAGE and _ZIP_END in end)
            return _archive(end) if is_archive else kind
    return _by_structure(start, end)


def _archive(end: bytes) -> Kind:
    """What a zip archive is for, by the names in its directory, which stands at its end."""
    if b"constants.pkl" in end and b"/code/" in end:
        return Kind.TORCHSCRIPT
    return Kind.HDF5 if b"model.weights.h5" in end else Kind.ZIP


def _is_windows_program(start: bytes) -> bool:
    """Whether a header of Windows programs stands where the first bytes say."""
    at = int.from_bytes(start[60:64], "little")
    return start.startswith(b"MZ") and start[at : at + 4] == b"PE\0\0"


def _by_structure(start: bytes, end: bytes) -> Kind | None:
    """Formats whose mark is not at their start."""
    for at, magic, kind in _MAGIC_INSIDE:
        if start[at : at + len(magic)] == magic:
            return kind
    if _is_windows_program(start):
        return Kind.PROGRAM
    if is_tar(start):
        return Kind.TAR
    if re.match(rb"[\x01-\x20]\0\0\0.{2}\w{1,40}Spec\0", start, re.DOTALL):
        return Kind.CTRANSLATE2
    if is_lzma(start) or _is_zlib(start):
        return Kind.COMPRESSED
    # An archive may stand behind anything.
    return _archive(end) if _ZIP_END in end else None


def _is_zlib(start: bytes) -> bool:
    """Whether a stream of zlib begins here."""
    return len(start) > 1 and start[0] == 0x78 and start[1] in _ZLIB_SECOND  # noqa: PLR2004 - CMF


def _is_safetensors(start: bytes, size: int) -> bool:
    """Whether the length of a JSON header stands first, and its header follows."""
    length = int.from_bytes(start[:8], "little")
    return start[8:9] == b"{" and 2 <= length <= size - 8  # noqa: PLR2004 - an empty object


def _is_pickle(start: bytes) -> bool:
    """Whether a program for the unpickler begins here: it says so, or it names code."""
    declared = len(start) > 2 and start[0] == 0x80 and start[1] in _PROTOCOLS  # noqa: PLR2004 - PROTO
    return declared or (start[:1] not in _NO_INSTRUCTION and _instructions(start)[1])


def _is_long_pickle(file: BinaryIO, start: bytes, size: int) -> bool:
    """Whether an open file that begins so names code behind that; in doubt, it does.

    Raises:
        OSError: it cannot be read.
    """
    if size <= len(start) or start[:1] in _NO_INSTRUCTION or not _instructions(start)[0]:
        return False
    file.seek(0)
    follow, name_code = _instructions(file.read(_LONGEST_RUN))
    return name_code or (follow and size > _LONGEST_RUN)


def _instructions(start: bytes) -> tuple[bool, bool]:
    """Whether the bytes are instructions of pickles to the last one, and whether they name code.

    The last one may be cut short.  Code that is called before they break off counts as well: by
    then the unpickler has run it.
    """
    named, called, rest = False, False, BytesIO(start)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in strings
            while rest.tell() < len(start):
                stack: list[object] = []
                for opcode, argument, _ in genops(rest):
                    _work(stack, opcode)
                    named |= opcode.name in _NAMING and _is_dotted(argument)
                    called |= named and opcode.name in _CALLING
    except (ValueError, OverflowError) as error:
        follow = any(words in str(error) for words in _CUT_SHORT)
        return follow, called or (follow and named)
    return True, named


def _work(stack: list[object], opcode: OpcodeInfo) -> None:
    """What an instruction takes from the stack and leaves there.

    Raises:
        ValueError: there is too little on it, so that no unpickler gets further.
    """
    wanted = opcode.stack_before
    if markobject in wanted:
        if markobject not in stack:
            msg = "no mark"
            raise ValueError(msg)
        while stack.pop() is not markobject:
            pass
        wanted = wanted[: wanted.index(markobject)]
    if len(stack) < len(wanted):
        msg = "too few values"
        raise ValueError(msg)
    del stack[len(stack) - len(wanted) :]
    stack += opcode.stack_after


def _is_dotted(argument: object) -> bool:
    """Whether an instruction's argument is a module and a name in it, or lies on the stack."""
    return not isinstance(argument, str) or bool(_DOTTED.fullmatch(argument))


def _by_both(start: bytes, name: str) -> Kind:
    """Content without a mark of its own: what the name says, if the content can be that."""
    named, is_text = kind_by_name(name), _is_text(start)
    if named in (Kind.PYTHON, Kind.SCRIPT, Kind.TEMPLATE, Kind.YAML) or named in RUNTIMES:
        return named
    if is_text:
        looks = start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        return Kind.JSON if named is Kind.JSON and looks in (b"{", b"[") else Kind.TEXT
    return Kind.BYTECODE if named is Kind.BYTECODE else Kind.UNKNOWN


def _is_text(start: bytes) -> bool:
    """Whether there is nothing in it that no text has."""
    return not set(start) - _TEXT_BYTES
