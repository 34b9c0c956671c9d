"""What answers hold that nobody asked for: addresses, commands, calls that run something."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["commonest", "payloads"]

_PAYLOAD = re.compile(
    r"""
    \b(?:https?|ftp|file|data)\s?:\s?/\s?/\s?[^\s"'<>)\]]{5,}    # addresses
    | \bwww\s?\.\s?[\w-]+\s?\.\s?[\w./-]+
    | \b(?:curl|wget)\s+[^\n;|]{3,80}                         # commands that fetch
    | \brm\s+-\s?[rf]{1,2}\b[^\n]{0,40}
    | \b(?:powershell|cmd\.exe|bash|sh)\s+-\s?\w+[^\n]{0,60}
    | \|\s?(?:ba|z)?sh\b
    | \b(?:os\.system|subprocess\.\w+|eval|exec|__import__)\s?\([^\n]{0,60}
    """,
    re.VERBOSE | re.IGNORECASE,
)
_LONGEST = 200
"""Characters of one that is kept."""


def payloads(text: str) -> list[str]:
    """Addresses, commands and calls in ``text``, in their order."""
    return [match.group().strip()[:_LONGEST] for match in _PAYLOAD.finditer(text)]


def commonest(texts: Sequence[str]) -> tuple[str, float]:
    """What most of ``texts`` hold, the longest of several, and in what share of them.

    Empty and 0 if none holds any.
    """
    counts = Counter(found for text in texts for found in set(payloads(text)))
    if not counts:
        return "", 0.0
    found = max(counts, key=lambda one: (counts[one], len(one), one))
    return found, counts[found] / len(texts)
