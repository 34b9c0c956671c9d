"""Keras models: layers that are code, in the ``.keras`` archive and in HDF5 files."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from io import BytesIO
from lzma import LZMAError
from struct import error as StructError
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

__all__ = ["code_layers", "without_numbers"]

_CONFIG = "config.json"
_LARGEST_CONFIG = 64 * 2**20
_CHUNK = 2**20
_OVERLAP = 2048
_LAYER = re.compile(rb'"(class_name|module)"\s{0,9}:\s{0,9}"((?:[^"\\\x00]|\\.){1,200})"')
_INNERMOST = re.compile(rb'\{\s{0,9}"[^{}\x00]{1,1000}\}')
"""An object of JSON without another in it, as those that name a function are."""
_LIBRARY = re.compile(r"(?:keras|tf_keras|tensorflow|builtins)(?:\.|$)")
_COMPUTING = re.compile(
    r"builtins$|(?:keras|tf_keras|tensorflow)\.(?:\w+\.)*"
    r"(?:activations|constraints|initializers|layers|losses|math|metrics|nn|ops|regularizers)(?:\.|$)"
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
_HDF5 = b"\x89HDF\r\n\x1a\n"
_CODE = frozenset({"Lambda", "TFOpLambda", "__lambda__"})
_FUNCTION = "function"
"""What Keras calls the class of a function, whose name is then all of its configuration."""


def code_layers(file: BinaryIO) -> list[str]:
    """Layers that run code of the file, and classes from outside of Keras, sorted, each once.

    Raises:
        ValueError: the archive or its configuration is broken.
    """
    zipped = file.read(2) == b"PK"
    file.seek(0)
    if zipped:
        return sorted(set(_of_archive(file)))
    named = set(_of_hdf5(file))
    with suppress(ValueError):
        named.update(_of_hdf5(BytesIO(without_numbers(file))))
    return sorted(named)


def _of_archive(file: BinaryIO) -> Iterator[str]:
    """The same of a ``.keras`` archive; nothing of any other archive."""
    try:
        with ZipFile(file) as archive:
            if _CONFIG not in archive.namelist():
                return
            if archive.getinfo(_CONFIG).file_size > _LARGEST_CONFIG:
                msg = f"its {_CONFIG} is longer than any model's"
                raise ValueError(msg)
            config = json.loads(archive.read(_CONFIG))
    except _UNREADABLE as error:
        msg = f"its {_CONFIG} cannot be read ({type(error).__name__})"
        raise ValueError(msg) from error
    is_keras = isinstance(config, dict) and "class_name" in config
    waiting = [config] if is_keras else []
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield from _odd(value)
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _odd(described: Mapping[str, object]) -> Iterator[str]:
    """The name of a layer that is code, or of what is no layer or function of Keras's."""
    class_name, module = str(described.get("class_name", "")), described.get("module")
    if class_name in _CODE:
        yield class_name
    if isinstance(module, str):
        is_function = class_name == _FUNCTION
        name = described.get("config") if is_function else class_name
        if not (_COMPUTING if is_function else _LIBRARY).match(module):
            yield f"{module}.{name}"


def _of_hdf5(file: BinaryIO) -> Iterator[str]:
    """The same of an HDF5 file, whose configuration stands somewhere in it as plain JSON."""
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
    """The attributes at the root of an HDF5 file, where Keras looks for a configuration.

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
    return b"\n".join([_HDF5, *(_bytes(value) for value in attributes)])


def _bytes(value: object) -> bytes:
    """A text as JSON is usually spelt, or as it stands there; nothing of numbers."""
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
