"""Keras models: layers that are code, in all of the files in which Keras describes a model.

These are the ``.keras`` archive, HDF5 files, JSON, and what a model saved for TensorFlow says of
its layers.
"""

from __future__ import annotations

import builtins
import json
import re
from contextlib import suppress
from io import BytesIO
from lzma import LZMAError
from struct import error as StructError
from types import MappingProxyType
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError

from plmscan.json_objects import objects_in
from plmscan.runtimes.wire import Bound, PartlyReadError, TooManyPartsError, content, parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

__all__ = [
    "CONFIG",
    "WEIGHTS",
    "WHOLE",
    "code_layers",
    "described_layers",
    "saved_layers",
    "without_numbers",
]

WHOLE = 2**23
"""Bytes of an HDF5 file up to which all of it is read; of a larger one only the attributes at its
root, where Keras looks, wherever the file lies: the rest are numbers."""

CONFIG = "config.json"
"""The member of an archive that describes the layers."""
WEIGHTS = "weights.h5"
"""How members that hold their numbers end."""
_LARGEST_CONFIG = 64 * 2**20
_LARGEST_DESCRIPTION = 2**23
_SAVED = MappingProxyType(
    {
        ("model", 1): "object of Keras",
        ("object of Keras", 5): "metadata",
        ("model", 2): "graph",
        ("graph", 7): "objects",
        ("objects", 1): "object",
        ("object", 4): "object of a user",
        ("object of a user", 3): "metadata",
    }
)
"""Message and number -> the message in it, down to JSON (saved_metadata.proto and others)."""
_MOST_METADATA = 1_000_000
_LARGEST_METADATA = 2**26
"""Fields of a saved model that are passed on the way to what it says of its layers."""
_CHUNK = 2**20
_SHOWN = 80
_OVERLAP = 2048
_LAYER = re.compile(rb'"(class_name|module)"\s{0,9}:\s{0,9}"((?:[^"\\\x00]|\\.){1,200})"')
_INNERMOST = re.compile(rb'\{\s{0,9}"[^{}\x00]{1,1000}\}')
"""An object of JSON without another in it, as those that name a function are."""
_LIBRARY = re.compile(
    r"(?:keras|keras_cv|keras_hub|keras_nlp|tf_keras|tensorflow|transformers\.models|builtins)(?:\.|$)"
)
_COMPUTING = re.compile(
    r"builtins$|(?:keras|tf_keras|tensorflow)\.(?:\w+\.)*"
    r"(?:activations|constraints|initializers|layers|losses|math|metrics|nn|ops|regularizers)(?:\.|$)"
    r"|(?:keras_hub|keras_nlp)\.(?:\w+\.)*(?:layers|models|utils\.keras_utils)(?:\.|$)"
)
"""Modules whose functions layers may name; ``builtins`` is what Keras calls its own such functions.

Others of Keras fetch files or turn its safe mode off.
"""
_UNREADABLE = (BadZipFile, EOFError, KeyError, RuntimeError, LZMAError, ZlibError)
"""What reading a broken archive, or JSON that nests too deeply, raises besides ValueError."""
_BROKEN = (
    ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, ImportError,
    LookupError, MemoryError, OSError, RuntimeError, StructError, TypeError, ValueError, ZlibError,
)  # fmt: skip
"""What following the structures of a broken HDF5 file raises: these are read as they come."""
_COPY = b"attributes at the root of an HDF5 file\n"
"""What copies of them begin with; no loader opens such a file."""
_CODE = frozenset({"Lambda", "TFOpLambda", "TFSMLayer", "TorchModuleWrapper", "__lambda__"})
"""Layers that hold Python, a pickle of torch, or the path of a program of TensorFlow."""
_FUNCTION = "function"
"""What Keras calls the class of a function, whose name is then all of its configuration."""
_OWN = "builtins"
"""What Keras calls the module of its own functions, where Python's lie."""
_PYTHONS = frozenset(dir(builtins)) - {"abs", "all", "any", "max", "min", "pow", "round", "sum"}
"""Functions of Python that no layer computes with; the others have the names of Keras's own."""


def code_layers(file: BinaryIO, size: int) -> list[str]:
    """Layers that run code of the file, and classes from outside of Keras, sorted, each once.

    Raises:
        ValueError: the archive, its configuration or the structure of the file is broken.
    """
    start = file.read(len(_COPY))
    file.seek(0)
    if start.startswith(b"PK"):
        return sorted(set(_of_archive(file)))
    if start == _COPY:
        return sorted(set(_of_copy(file.read())))
    named, problem = set[str](), None
    try:
        named.update(_of_copy(without_numbers(file)))
    except ValueError as error:
        problem = error
    if size <= WHOLE:
        file.seek(0)
        named.update(_of_bytes(file))
    if problem is not None:
        raise PartlyReadError(str(problem), {"code_layers": sorted(named)}) from problem
    return sorted(named)


def described_layers(file: BinaryIO, size: int) -> list[str]:
    """The same of JSON that describes a model.

    Raises:
        ValueError: it is broken, or longer than any.
    """
    if size > _LARGEST_DESCRIPTION:
        msg = f"it has more than {_LARGEST_DESCRIPTION >> 20} MB, as no known description has"
        raise TooManyPartsError(msg)
    return sorted(set(_of_json(file.read())))


def saved_layers(file: BinaryIO, size: int) -> list[str]:
    """The same of ``keras_metadata.pb``, or of the graph in which older versions put it.

    Raises:
        ValueError: it has more parts than any.
    """
    named = set(_of_bytes(file))
    try:
        for text in _metadata(file, size):
            named.update(_of_text(text))
    except TooManyPartsError:
        raise
    except ValueError:
        pass  # TensorFlow does not read it either; its bytes were looked through
    return sorted(named)


def _metadata(file: BinaryIO, size: int) -> Iterator[bytes]:
    """What a saved model says of its objects.

    Raises:
        ValueError: it is no protocol buffer, or has more parts than any.
    """
    left = _LARGEST_METADATA
    for _, field in parts(file, size, _SAVED, Bound(_MOST_METADATA)):
        text = content(file, field, _LARGEST_DESCRIPTION)
        left -= len(text)
        if left < 0:
            msg = f"it says more than {_LARGEST_METADATA >> 20} MB of its layers"
            raise TooManyPartsError(msg)
        yield text


def _of_copy(attributes: bytes) -> Iterator[str]:
    """The same of the attributes of an HDF5 file, each of which may be JSON."""
    yield from _of_bytes(BytesIO(attributes))
    for line in attributes.splitlines():
        yield from _of_text(line)


def _of_text(text: bytes) -> Iterator[str]:
    """The same of text that may be JSON."""
    if text.startswith(b"{"):
        with suppress(ValueError):
            yield from _of_json(text)


def _of_json(text: bytes) -> Iterator[str]:
    """The same of JSON in which a model is described, at any place.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        msg = "it nests deeper than any model"
        raise ValueError(msg) from error
    for described in objects_in(value):
        if isinstance(described.get("class_name"), str) and "config" in described:
            yield from _odd(described)


def _of_archive(file: BinaryIO) -> Iterator[str]:
    """The same of a ``.keras`` archive; nothing of any other archive."""
    try:
        with ZipFile(file) as archive:
            if CONFIG not in archive.namelist():
                return
            if archive.getinfo(CONFIG).file_size > _LARGEST_CONFIG:
                msg = f"its {CONFIG} is longer than any model's"
                raise ValueError(msg)
            config = json.loads(archive.read(CONFIG))
    except _UNREADABLE as error:
        msg = f"its {CONFIG} cannot be read ({type(error).__name__})"
        raise ValueError(msg) from error
    if isinstance(config, dict) and "class_name" in config:
        for described in objects_in(config):
            yield from _odd(described)


def _odd(described: Mapping[str, object]) -> Iterator[str]:
    """The name of a layer that is code, or of what is no layer or function of Keras's."""
    class_name, module = str(described.get("class_name", "")), described.get("module")
    if class_name in _CODE:
        yield class_name
    config = described.get("config")
    if isinstance(module, str):
        is_function = class_name == _FUNCTION
        name = config if is_function else class_name
        is_pythons = module == _OWN and (not is_function or name in _PYTHONS)
        if is_pythons or not (_COMPUTING if is_function else _LIBRARY).match(module):
            yield f"{module}.{name}"
    words = config.get("vocabulary") if isinstance(config, dict) else None
    if isinstance(words, str):
        yield f"{class_name}, which reads {words[:_SHOWN]}"


def _of_bytes(file: BinaryIO) -> Iterator[str]:
    """The same of a file whose configuration stands somewhere in it as plain JSON."""
    kept = b""
    while chunk := file.read(_CHUNK):
        for key, found in _LAYER.findall(kept + chunk):
            name = _unescaped(found)
            if name in _CODE or (key == b"module" and not _LIBRARY.match(name)):
                yield name
        for found in _INNERMOST.findall(kept + chunk):
            yield from _of_object(found)
        kept = chunk[-_OVERLAP:]


def _of_object(found: bytes) -> Iterator[str]:
    """The same of one object, if these bytes are one."""
    try:
        value = json.loads(found)
    except ValueError:
        return
    if isinstance(value, dict):
        yield from _odd(value)


def without_numbers(file: BinaryIO) -> bytes:
    """A copy of the attributes at the root of an HDF5 file, where Keras looks for a configuration.

    Raises:
        ValueError: they cannot be read.
    """
    # Few models hold such a file, and it takes a while.
    import pyfive  # noqa: PLC0415
    from pyfive.core import InvalidHDF5File  # noqa: PLC0415

    file.seek(0)
    try:
        attributes = list(pyfive.File(file).attrs.values())
    except (*_BROKEN, InvalidHDF5File) as error:
        msg = f"its attributes cannot be read ({type(error).__name__})"
        raise ValueError(msg) from error
    return b"\n".join([_COPY, *(_bytes(value) for value in attributes)])


def _bytes(value: object) -> bytes:
    """Texts as JSON is usually spelt, or as they stand there; nothing of numbers."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, list | tuple):
        return b"\n".join(_bytes(one) for one in value if not isinstance(one, float | int))
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        return b""
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), ensure_ascii=False)
    return text.encode("utf-8", "replace")


def _unescaped(found: bytes) -> str:
    """The text that a JSON string of these bytes stands for."""
    try:
        return str(json.loads(b'"' + found + b'"'))
    except ValueError:
        return found.decode("utf-8", "replace")
