"""JSON files that plmscan writes and people review: written the same way, and read strictly.

Such a file ends up in version control, where a merge or a hand may spoil it.  So a key that stands
twice, an unknown key and a wrong type are errors, with the line.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from plmscan.config.documents import Document
from plmscan.config.files import read_text, write_whole
from plmscan.config.lines import JsonLines
from plmscan.json_objects import object_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from plmscan.errors import PlmscanError

__all__ = ["Written", "read_written", "write_json"]


class Written(BaseModel):
    """Frozen, strict, and closed to keys that nobody declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


_Form = TypeVar("_Form", bound=Written)


def read_written(
    path: Path, form: type[_Form], error: type[PlmscanError], remedy: str
) -> tuple[Document, _Form]:
    """The file ``path`` as it stands, and as a ``form``.

    Raises:
        PlmscanError: an ``error`` with ``remedy``: it cannot be read, or is no such form.
    """
    text = read_text(path, error)
    lines = JsonLines(text)
    document = Document(path, text, lines, error)
    try:
        return document, form.model_validate(json.loads(text, object_pairs_hook=_once))
    except json.JSONDecodeError as broken:
        document.refuse_line(broken.lineno, f"this is not JSON: {broken.msg}.", remedy)
    except _RepeatedKeyError as broken:
        line, key = lines.line_of_repeat(), broken.args[0]
        document.refuse_line(line, f"the key {key!a} stands twice.", remedy)
    except ValidationError as broken:
        problem = broken.errors(include_url=False, include_input=False)[0]
        what = "It must be an object" if problem["type"] == "model_type" else problem["msg"]
        told = ": ".join([*map(str, problem["loc"]), what])
        document.refuse(problem["loc"], f"{told}.", remedy)
    except (RecursionError, ValueError):
        document.refuse_line(1, "this is no JSON that plmscan has written.", remedy)


def write_json(path: Path, content: Mapping[str, object], error: type[PlmscanError]) -> None:
    """Write ``content`` to ``path`` as indented ASCII, so that nothing in it can hide.

    Raises:
        PlmscanError: an ``error``: the file cannot be written.
    """
    write_whole(path, json.dumps(content, indent=2) + "\n", error)


class _RepeatedKeyError(ValueError):
    """A key of JSON stands twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON in which every key stands once."""
    found, again = object_of(pairs)
    if again:
        raise _RepeatedKeyError(again[0])
    return found
