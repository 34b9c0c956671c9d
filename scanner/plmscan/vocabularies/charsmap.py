"""The precompiled character map of SentencePiece: text rules in binary form.

A map is a double-array trie (four bytes a unit, after four bytes of its size) over the UTF-8 of
the texts to replace, followed by the replacements, each ended by a zero byte.  The format of the
units is that of Darts-clone: bit 8 says that a value hangs below, bits 0 to 7 and 31 are the label,
the rest is the offset to the children.
"""

from __future__ import annotations

import sys
from array import array
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["charsmap_rules"]

_HAS_LEAF = 1 << 8
_WIDE_OFFSET = 1 << 9
_IS_LEAF = 1 << 31
_MOST_VISITS = 2_000_000
_LONGEST_KEY = 200
_LONGEST_REPLACEMENT = 1000
"""Bytes; the longest that Unicode itself has is a phrase of 33."""


def charsmap_rules(blob: bytes) -> Iterator[tuple[str, str]]:
    """Every text that the map replaces, and what it puts there.

    Raises:
        ValueError: ``blob`` is no character map.
    """
    if not blob:
        return
    size = int.from_bytes(blob[:4], "little")
    if size % 4 or not 0 < size <= len(blob) - 4:
        msg = "it does not hold the trie whose size it gives"
        raise ValueError(msg)
    replacements = blob[4 + size :]
    for key, place in _entries(_units(blob[4 : 4 + size])):
        end = replacements.find(b"\0", place, place + _LONGEST_REPLACEMENT)
        if end < 0:
            msg = "a rule points behind its end, or puts a whole text in the place of one"
            raise ValueError(msg)
        yield key.decode("utf-8", "replace"), replacements[place:end].decode("utf-8", "replace")


def _units(trie: bytes) -> array[int]:
    """The units of a trie."""
    units = array("I", trie)
    if sys.byteorder == "big":
        units.byteswap()
    return units


def _entries(units: array[int]) -> Iterator[tuple[bytes, int]]:
    """Every key of a trie with its value."""
    children: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for index, unit in enumerate(units):
        label = unit & 0xFF
        if label and not unit & _IS_LEAF:
            children[index ^ label].append((label, index))
    waiting = [(0, b"")]
    visits = 0
    while waiting:
        index, key = waiting.pop()
        # Nodes may share their children, so a trie may not end; real ones have 230 000 keys.
        visits += 1
        if visits + len(waiting) > _MOST_VISITS or len(key) > _LONGEST_KEY:
            msg = "its trie does not end"
            raise ValueError(msg)
        unit = units[index]
        base = index ^ ((unit >> 10) << (8 if unit & _WIDE_OFFSET else 0))
        if unit & _HAS_LEAF and base < len(units):
            yield key, units[base] & ~_IS_LEAF
        waiting.extend((child, key + bytes([label])) for label, child in children.get(base, ()))
