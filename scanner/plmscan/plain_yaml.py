"""YAML that people write: without code, and without a second value for one key."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import yaml
from yaml.constructor import SafeConstructor

if TYPE_CHECKING:
    from yaml import SafeLoader as _SwiftLoader
else:
    _SwiftLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # not built everywhere

__all__ = ["OwnLoader", "UniqueKeyLoader"]


class _UniqueKeys(SafeConstructor):
    """Refuses a repeated key, where YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - the base class's signature
        """A mapping in which every key stands once."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # the base class refuses it
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


class UniqueKeyLoader(_UniqueKeys, yaml.SafeLoader):
    """A SafeLoader that refuses a repeated key."""


class OwnLoader(_UniqueKeys, _SwiftLoader):
    """The same, ten times as fast where libyaml is there, for files that come with plmscan.

    Of libyaml a file that nests deeply would end the process, which for a stranger's is no error.
    """
