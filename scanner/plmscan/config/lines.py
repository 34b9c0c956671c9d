"""On which line of a file a value stands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import getitem
from typing import Any

import yaml

from plmscan.plain_yaml import UniqueKeyLoader

__all__ = ["JsonLines", "Keys", "Lines", "TomlLines", "YamlLines"]

Keys = tuple[str | int, ...]
"""The way to a value: keys of mappings and positions in lists, as pydantic tells it."""
_LONGEST_JSON = 2**20
"""To find a line of a longer text takes too long."""
_MARK = "plmscan was here"
"""Stands where a value stood whose line is looked for."""


@dataclass(frozen=True)
class YamlLines:
    """Lines of a YAML document, or of JSON, which YAML can read."""

    root: yaml.Node
    """The document, composed."""

    def line(self, keys: Keys) -> int:
        """The line of the value at ``keys``, or of the innermost thing around it that is there."""
        node, line = self.root, self.root.start_mark.line
        for key in keys:
            step = _step(node, key)
            if step is None:
                break
            line, node = step
        return line + 1


def _step(node: yaml.Node, key: str | int) -> tuple[int, yaml.Node] | None:
    """The line and the node of one entry; None if there is no such entry."""
    if isinstance(node, yaml.MappingNode):
        entries = ((k.start_mark.line, v) for k, v in node.value if k.value == str(key))
        return next(entries, None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key].start_mark.line, node.value[key]
    return None


@dataclass(frozen=True)
class TomlLines:
    """Lines of a table of a TOML file.

    No parser tells them.  But tomlkit writes a document back as it was read: so a value is replaced
    by a mark, and its line is that of the mark.
    """

    text: str
    """The whole file."""
    home: Keys
    """The table that is read."""

    def line(self, keys: Keys) -> int:
        """The line of the value at ``keys``, or of the innermost thing around it that is found."""
        path = (*self.home, *keys)
        found = (self._line(path[:length]) for length in range(len(path), 0, -1))
        return next((line for line in found if line is not None), 1)

    def _line(self, path: Keys) -> int | None:
        """The line of the value at ``path``; None where it has none of its own."""
        import tomlkit  # noqa: PLC0415 - few keep their configuration in TOML

        try:
            document: Any = tomlkit.parse(self.text)
            _mark(reduce(getitem, path[:-1], document), path[-1])
            before, mark, _ = document.as_string().partition(_MARK)
        except (LookupError, TypeError, ValueError, RecursionError):
            return None
        return before.count("\n") + 1 if mark else None


def _mark(holder: Any, key: str | int) -> None:  # noqa: ANN401 - a container of any kind
    """Put a mark where an entry of ``holder`` begins: instead of it, or in the head of a table.

    Dotted keys make tables without a head, and so do heads far apart; these begin with an entry.
    """
    from tomlkit.container import OutOfOrderTableProxy  # noqa: PLC0415
    from tomlkit.items import AoT, Table  # noqa: PLC0415

    value = holder[key]
    if isinstance(value, AoT):
        _mark(value, 0)
    elif isinstance(value, Table | OutOfOrderTableProxy):
        if isinstance(value, Table):
            value.comment(_MARK)
        if value:
            _mark(value, next(iter(value)))
    else:
        holder[key] = _MARK


@dataclass(frozen=True)
class JsonLines:
    """Lines of a JSON document, looked for only when one is asked for: JSON nearly is YAML."""

    text: str
    """The whole file."""

    def line(self, keys: Keys) -> int:
        """The line of the value at ``keys``, or of the innermost thing around it; 1 if unknown."""
        if len(self.text) > _LONGEST_JSON:
            return 1
        try:
            node = yaml.compose(self.text, yaml.SafeLoader)
        except (yaml.YAMLError, RecursionError, ValueError):
            return 1
        return 1 if node is None else YamlLines(node).line(keys)

    def line_of_repeat(self) -> int:
        """The line on which a key stands for the second time; 1 if unknown."""
        if len(self.text) > _LONGEST_JSON:
            return 1
        try:
            yaml.load(self.text, UniqueKeyLoader)  # noqa: S506 - a SafeLoader
        except yaml.MarkedYAMLError as error:
            return 1 if error.problem_mark is None else error.problem_mark.line + 1
        except (yaml.YAMLError, RecursionError, ValueError):
            return 1
        return 1


Lines = YamlLines | TomlLines | JsonLines
"""Lines of a file of any format."""
