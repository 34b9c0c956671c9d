"""skops archives: the types that their schema names, which the loader imports like a pickle's.

skops asks its user to trust every type that it does not know; who trusts them all, as examples do,
runs what is named.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from plmscan.json_objects import objects_in
from plmscan.pickles.names import Global
from plmscan.pickles.streams import BoundError, BrokenError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["LARGEST_SCHEMA", "SCHEMA", "types_in"]

SCHEMA = "schema.json"
"""The member of the archive that says what is made of the others."""
LARGEST_SCHEMA = 2**23
"""Bytes; the schema of a forest of a hundred trees has half a megabyte."""
_OWN = ("__class__", "__module__", "__loader__")
"""What skops says of every object."""
_KEYS = (("__module__", "__class__"), ("module_path", "function"))
"""Where it says which type an object has, and in its first versions which function it is."""


def types_in(schema: bytes) -> tuple[Global, ...] | None:
    """The types and functions in a schema; None where it is another file of that name.

    Raises:
        BoundError: it is longer than any.
        BrokenError: it cannot be read.
    """
    if not all(key.encode() in schema for key in _OWN):
        return None
    if len(schema) > LARGEST_SCHEMA:
        msg = "its schema is longer than plmscan reads"
        raise BoundError(msg)
    try:
        value = json.loads(schema)
    except (ValueError, RecursionError) as error:
        msg = "its schema is no JSON"
        raise BrokenError(msg) from error
    return tuple(dict.fromkeys(named for node in objects_in(value) for named in _of_node(node)))


def _of_node(node: Mapping[str, object]) -> Iterator[Global]:
    """The type of one object, the function that it is, and the method that is looked up in it."""
    content = node.get("content")
    method = content.get("func") if isinstance(content, dict) else None
    for first, second in _KEYS:
        module, name = node.get(first), node.get(second)
        if isinstance(module, str) and isinstance(name, str):
            yield Global.of(module, name)
            if isinstance(method, str):
                yield Global.of(module, f"{name}.{method}")
