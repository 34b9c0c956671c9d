"""A configuration file as keys and values, each with its line."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from plmscan.config.files import read_text, seen_from_here
from plmscan.config.lines import TomlLines, YamlLines
from plmscan.errors import ConfigError
from plmscan.plain_yaml import UniqueKeyLoader
from plmscan.survey import Place

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.config.lines import Keys, Lines
    from plmscan.errors import PlmscanError

__all__ = ["Document", "has_table", "read_document"]

_LARGEST = 2**20
"""Nobody writes more by hand."""
_TABLE = ("tool", "plmscan")
_TOML_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)")
_DATES = "tag:yaml.org,2002:timestamp"


class _Loader(UniqueKeyLoader):
    """YAML without aliases, which can grow without bounds, and with dates left as text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class's name
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _DATES]
        for first, resolvers in UniqueKeyLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node; an alias is an error."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed", mark)
        return super().compose_node(parent, index)


@dataclass(frozen=True)
class Document:
    """What a file says, and where."""

    path: Path
    """The file."""
    data: Any
    """What it holds, not yet looked at."""
    lines: Lines
    """Where each value stands."""
    error: type[PlmscanError] = ConfigError
    """What to raise about it."""

    @property
    def folder(self) -> Path:
        """The folder from which its paths are seen."""
        return self.path.parent

    def place(self, keys: Keys) -> Place:
        """The line of the value at ``keys``."""
        return _place(self.path, self.lines.line(keys))

    def refuse(self, keys: Keys, problem: str, remedy: str = "") -> NoReturn:
        """Say what is wrong with the value at ``keys``."""
        self.refuse_line(self.lines.line(keys), problem, remedy)

    def refuse_line(self, line: int, problem: str, remedy: str = "") -> NoReturn:
        """Say what is wrong on ``line``."""
        msg = f"{_place(self.path, line)}: {problem}"
        raise self.error(msg, remedy)


def read_document(path: Path) -> Document:
    """The configuration in ``path``: the whole of a YAML file, one table of a TOML file.

    Raises:
        ConfigError: it cannot be read, or breaks the format.
    """
    text = read_text(path, ConfigError, _LARGEST)
    if path.suffix.lower() == ".toml":
        return _read_toml(path, text)
    return _read_yaml(path, text)


def has_table(path: Path) -> bool:
    """Whether the TOML file ``path`` has a table for plmscan.

    Raises:
        ConfigError: it cannot be read, or it seems to have one and breaks the format.
    """
    text = read_text(path, ConfigError, _LARGEST)
    return _TABLE[-1] in text and _table(_parsed(path, text)) is not None


def _read_yaml(path: Path, text: str) -> Document:
    """The only document of a YAML file."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        data = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        _refuse_syntax(path, 1 if mark is None else mark.line + 1, error.problem or "broken YAML")
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        _refuse_syntax(path, line, f"the character U+{error.character:04X} is not allowed")
    except RecursionError:
        _refuse_syntax(path, 1, "it nests too deeply")
    except ValueError as error:
        _refuse_syntax(path, 1, str(error))
    if node is None or data == {}:
        _refuse_empty(path, 1)
    return Document(path, data, YamlLines(node))


def _read_toml(path: Path, text: str) -> Document:
    """The table of plmscan in a TOML file."""
    table = _table(_parsed(path, text))
    if table is None:
        msg = f"{_place(path, 1)}: there is no table [{'.'.join(_TABLE)}]."
        raise ConfigError(msg, "Add it, or name another file.")
    lines = TomlLines(text, _TABLE)
    if not table:
        _refuse_empty(path, lines.line(()))
    return Document(path, table, lines)


def _parsed(path: Path, text: str) -> dict[str, Any]:
    """A whole TOML file."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _TOML_LINE.search(str(error))
        at_end = text.rstrip().count("\n") + 1
        line = int(found[1]) if found and found[1] else at_end
        _refuse_syntax(path, line, _TOML_LINE.sub("", str(error)), "TOML")
    except RecursionError:
        _refuse_syntax(path, 1, "it nests too deeply", "TOML")


def _table(data: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever the file holds there
    """What a TOML file says to plmscan; None if it says nothing."""
    tool = data.get(_TABLE[0])
    return tool.get(_TABLE[1]) if isinstance(tool, dict) else None


def _place(path: Path, line: int) -> Place:
    """A line of ``path``."""
    return Place(seen_from_here(path).as_posix(), line)


def _refuse_syntax(path: Path, line: int, problem: str, language: str = "YAML") -> NoReturn:
    """Say where the file breaks its format."""
    msg = f"{_place(path, line)}: this is not {language}: {problem.rstrip('.')}."
    raise ConfigError(msg, "Mend the line, or the one before it.")


def _refuse_empty(path: Path, line: int) -> NoReturn:
    """Say that nothing is there: a file that lost its lines must not loosen a check."""
    msg = f"{_place(path, line)}: the configuration is empty."
    raise ConfigError(msg, "Write `models:` with the models to check, or remove it.")
