"""YAML files: what their tags and settings make a loader import and call.

PyYAML's full and unsafe loaders, and those that are made of them, make the objects that tags name;
HyperPyYAML and Hydra import and call what is named by tags of their own and by ``_target_``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    import yaml

    from plmscan.runtimes.wire import Bound

__all__ = ["Named", "Way", "named_objects"]

_LARGEST = 2**20
"""Bytes that are parsed; no configuration has a tenth of that."""
_LARGEST_SLOWLY = 2**17
"""The same where PyYAML was built without its parser in C, which is twenty times as fast."""
_MOST_BRACKETS = 20_000
"""The parser's work grows with the square of how deeply lists in brackets nest."""
_STANDARD = "tag:yaml.org,2002:"
_PLAIN = frozenset({
    "binary", "bool", "float", "int", "map", "merge", "null", "omap", "pairs", "seq", "set", "str",
    "timestamp", "value", "yaml",
})  # fmt: skip
"""Types of YAML itself."""
_PYTHON = re.compile(r"python/(module|name|object(?:/apply|/new)?):(.*)", re.DOTALL)
_DATA = re.compile(r"python/(bool|bytes|complex|dict|float|int|list|long|none|str|tuple|unicode)$")
_HYPER = re.compile(r"!(apply|module|name|new):(.+)", re.DOTALL)
"""Tags of HyperPyYAML, by which SpeechBrain reads its models."""
_OTHER_LANGUAGES = re.compile(r"!?(java|javax|jruby|perl|php|ruby)[/:.]")
_KEYS = frozenset({"_target_", "loader_module"})
"""Keys of Hydra and MLflow that name what is imported."""
_SIGNS = (b"!", b"%", b"_target_", b"loader_module", b"\\")
"""Without one of these no YAML names code."""


class Way(StrEnum):
    """How a YAML file comes to have something imported."""

    OBJECT = "object"
    """The loader of YAML itself makes it."""
    BUILDER = "builder"
    """HyperPyYAML makes it, for models of SpeechBrain."""
    SETTING = "setting"
    """A library makes it that reads the settings: Hydra, MLflow, NeMo."""


@dataclass(frozen=True, order=True)
class Named:
    """Something that a YAML file names for import."""

    module: str
    """The module, with dots; the whole tag where it is none of Python's."""
    name: str
    """The name in it; nothing for the module itself."""
    way: Way
    """Who imports it."""

    @property
    def full(self) -> str:
        """Both, as a reader knows them."""
        return f"{self.module}.{self.name}" if self.name else self.module


def named_objects(
    file: BinaryIO, size: int, bound: Bound | None = None
) -> tuple[list[Named], str | None]:
    """What the file names, sorted, each once, and why the rest of it was not read, if it was not.

    Raises:
        ValueError: it is too long to be followed.
    """
    import yaml  # noqa: PLC0415 - few models hold YAML

    is_fast = yaml.__with_libyaml__
    data = file.read(_LARGEST + 1)
    if not _may_name(data) and size <= _LARGEST:
        return [], None
    brackets = data.count(b"[") + data.count(b"{")
    if size > (_LARGEST if is_fast else _LARGEST_SLOWLY) or brackets > _MOST_BRACKETS:
        msg = "it is longer than any configuration"
        raise ValueError(msg)
    if bound is not None:
        bound.seen += size
        if bound.seen > bound.most:
            msg = "all YAML of the model together is longer than any configuration"
            raise ValueError(msg)
    found: set[Named] = set()
    problem = None
    try:
        loader = yaml.CSafeLoader if is_fast else yaml.SafeLoader
        found.update(_of_events(yaml.parse(data, Loader=loader)))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # What names nothing is read by nobody as code, whether it is YAML or not.
        if _has_tags(data):
            problem = f"it is no YAML from some place on ({type(error).__name__})"
    return sorted(found), problem


def _may_name(data: bytes) -> bool:
    """Whether a sign is in it by which YAML names code, or its letters are wider than a byte."""
    return b"\0" in data or any(sign in data for sign in _SIGNS)


def _has_tags(data: bytes) -> bool:
    """Whether a broken file has what may be a tag, or a key that names code."""
    is_wide = b"\0" in data
    return is_wide or re.search(rb"(^|[\s,\[{:-])!|^%TAG|_target_", data, re.MULTILINE) is not None


def _of_events(events: Iterator[yaml.Event]) -> Iterator[Named]:
    """What tags name, and what stands behind keys, there or where an alias points."""
    key, anchored = None, dict[str, str]()
    for event in events:
        tag, value = getattr(event, "tag", None), getattr(event, "value", None)
        anchor = getattr(event, "anchor", None)
        if value is None and anchor in anchored:
            value = anchored[anchor]
        elif value is not None and anchor:
            anchored[anchor] = value
        if tag:
            yield from _of_tag(tag)
        if key is not None and isinstance(value, str):
            module, _, name = value.rpartition(".")
            yield Named(module or value, name if module else "", Way.SETTING)
        key = value if value in _KEYS else None


def _of_tag(tag: str) -> Iterator[Named]:
    """What one tag names, resolved as its loader resolves it."""
    tag = unquote(tag)
    kind = tag.removeprefix(_STANDARD)
    if (made := _PYTHON.match(kind)) is not None:
        yield _split(made, Way.OBJECT)
    elif (built := _HYPER.match(tag)) is not None:
        yield _split(built, Way.BUILDER)
    elif _OTHER_LANGUAGES.match(kind) or (tag.startswith(_STANDARD) and _is_foreign(kind)):
        yield Named(kind.lstrip("!"), "", Way.OBJECT)


def _is_foreign(kind: str) -> bool:
    """Whether a type that neither YAML nor Python has is a class of another language."""
    return kind not in _PLAIN and not _DATA.match(kind)


def _split(match: re.Match[str], way: Way) -> Named:
    """The module and the name that a tag holds."""
    dotted = match[2].strip()
    if match[1] == "module":
        return Named(dotted, "", way)
    module, _, name = dotted.rpartition(".")
    return Named(module or "builtins", name, way)
