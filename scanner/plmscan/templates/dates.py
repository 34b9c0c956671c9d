"""Dates to render a template at: far and near, and those that its constants could mean."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["dates"]

_EPOCH = range(1_000_000_000, 4_000_000_000)
_YEAR_DAYS = range(1, 367)
_MINUTES = range(60)
_WRITTEN_DATES = (
    "%Y-%m-%d", "%d %b %Y", "%d %B %Y", "%B %d, %Y", "%d.%m.%Y", "%m/%d/%Y", "%Y/%m/%d",
    "%d/%m/%Y", "%Y-%m", "%d-%m-%Y", "%b %d", "%d %b", "%d %B", "%B %d", "%B %Y",
    "%H:%M", "%m-%d", "%d-%m", "%d.%m",
)  # fmt: skip


def dates(
    numbers: Iterable[int], words: Iterable[str], own_patterns: Sequence[str]
) -> Iterator[datetime]:
    """Dates far and near, and those that a template could mean by its constants."""
    patterns = (*_WRITTEN_DATES, *own_patterns)
    start = datetime(2024, 1, 1, 0, 0, 0, tzinfo=UTC)
    yield datetime(2026, 3, 18, 10, 20, 30, tzinfo=UTC)
    yield from (
        datetime(year, 6, 15, 12, 30, 15, tzinfo=UTC)
        for year in (*range(2020, 2046), *range(2050, 2101, 10))
    )
    yield from (start.replace(month=month, day=8) for month in range(1, 13))
    yield from (start + timedelta(days=day, hours=day % 24, minutes=2 * day) for day in range(31))
    yield from (start + timedelta(hours=hour) for hour in range(24))
    for digit in range(1, 10):
        yield from (
            datetime(2020 + digit, digit, d + digit, digit, tzinfo=UTC) for d in (0, 10, 19)
        )
    for number in sorted(numbers):
        for date in _meant(number):
            yield from _around(date)
    for word in words:
        for date in _written(word, patterns):
            yield from _around(date)


def _around(date: datetime) -> Iterator[datetime]:
    """A date, and the days before and after it."""
    for days in (-1, 0, 1):
        try:
            yield date + timedelta(days=days)
        except OverflowError:
            continue


def _meant(number: int) -> Iterator[datetime]:
    """Dates that a number may stand for."""
    text = str(abs(number))
    patterns = {4: ("%Y", "%m%d", "%H%M"), 6: ("%Y%m", "%y%m%d"), 8: ("%Y%m%d", "%d%m%Y")}
    for pattern in patterns.get(len(text), ()):
        yield from _parsed(text, pattern)
    if number in _EPOCH:
        yield datetime.fromtimestamp(number, UTC)
    if number in _YEAR_DAYS:
        yield datetime(2028, 1, 1, tzinfo=UTC) + timedelta(days=number - 1)
    if number in _MINUTES:
        yield datetime(2028, 1, 1, number % 24, number, number, tzinfo=UTC)


def _written(word: str, patterns: Iterable[str]) -> Iterator[datetime]:
    """Dates that a text may stand for, as ``patterns`` write them."""
    for pattern in patterns:
        yield from _parsed(word.strip(), pattern)


def _parsed(text: str, pattern: str) -> Iterator[datetime]:
    """A date as a pattern reads it, if it does."""
    year = "" if "%Y" in pattern or "%y" in pattern else "2028 "
    try:
        yield datetime.strptime(year + text, ("%Y " if year else "") + pattern).replace(tzinfo=UTC)
    except (ValueError, re.error):
        return
