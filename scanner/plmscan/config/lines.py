"""On which line of a file a value stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import yaml

from plmscan.plain_yaml import UniqueKeyLoader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["JsonLines", "Keys", "Lines", "TomlLines", "YamlLines"]

Keys = tuple[str | int, ...]
"""The way to a value: keys of mappings and positions in lists, as pydantic tells it."""
_TABLE = re.compile(r"\s*(\[\[?)([^\[\]]+)\]\]?\s*(#.*)?")
_LONGEST_JSON = 2**20
"""To find a line of a longer text takes too long."""
_ENTRY = re.compile(r"""\s*([\w\s"'.-]+?)\s*=""")


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
    """Lines of a table of a TOML file, found by reading the text: tomllib tells none.

    What stands inside an inline table or a list has the line of the list's entry, or of its key.
    """

    text: str
    """The whole file."""
    home: Keys
    """The table that is read."""
    data: Mapping[str, object]
    """What it holds."""

    def line(self, keys: Keys) -> int:
        """The line of the value at ``keys``, or of the innermost thing around it that is found."""
        known = _toml_entries(self.text)
        path = (*self.home, *keys)
        depth = next((n for n in range(len(path), 0, -1) if path[:n] in known), 0)
        line = known.get(path[:depth], 1)
        if len(path) > depth and isinstance(path[depth], int):
            return self._item_line(path[len(self.home) : depth + 1], line)
        return line

    def _item_line(self, keys: Keys, start: int) -> int:
        """The line from ``start`` on that holds the entry of a list; ``start`` if none does."""
        items: Any = self.data
        for key in keys[:-1]:
            items = items[key]
        position = keys[-1]
        item = items[position]
        words = [w for w in (item.values() if isinstance(item, dict) else [item]) if _is_word(w)]
        if not words:
            return start
        lines = enumerate(self.text.split("\n")[start - 1 :], start)
        held = (n for n, text in lines if all(f'"{w}"' in text or f"'{w}'" in text for w in words))
        return next(islice(held, items[:position].count(item), None), start)


def _is_word(value: object) -> bool:
    """Whether a value can be looked for in the text."""
    return isinstance(value, str)


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


def _toml_entries(text: str) -> dict[Keys, int]:
    """The line of every table and of every key that begins one."""
    found: dict[Keys, int] = {}
    table: Keys = ()
    for number, line in enumerate(text.split("\n"), 1):
        if head := _TABLE.fullmatch(line.rstrip("\r")):
            table = _opened(found, tuple(_names(head[2])), in_list=head[1] == "[[")
            found[table] = number
        elif entry := _ENTRY.match(line):
            found.setdefault((*table, *_names(entry[1])), number)
    return found


def _opened(found: Mapping[Keys, int], names: Keys, *, in_list: bool) -> Keys:
    """The way to a table whose header names ``names``; the next of its list, if it is of one."""
    if not in_list:
        return names
    position = 0
    while (*names, position) in found:
        position += 1
    return (*names, position)


def _names(dotted: str) -> Iterator[str]:
    """The parts of a dotted key, without quotes."""
    return (part.strip().strip("\"'") for part in dotted.split("."))
