"""Taking stretches out of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Span", "cut"]

Span = tuple[int, int]
"""Start and end of a stretch of a text."""


def cut(text: str, spans: Iterable[Span], mask: str | None = None) -> str:
    """``text`` without ``spans``, or with ``mask`` in the place of each; one blank stays of two."""
    left, at = "", 0
    for start, end in _joined(spans):
        left, at = _closed(left + text[at:start], text[end:], mask), end
        at += text[end : end + 1].isspace() and (not left or left[-1].isspace())
    return left + text[at:]


def _closed(left: str, right: str, mask: str | None) -> str:
    """``left`` with the mask behind it, apart from the words on both sides."""
    if mask is None:
        return left if right.strip() else left.rstrip()
    before = "" if not left or left[-1].isspace() else " "
    after = "" if not right or right[0].isspace() else " "
    return f"{left}{before}{mask}{after}"


def _joined(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, those that touch or overlap as one."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
