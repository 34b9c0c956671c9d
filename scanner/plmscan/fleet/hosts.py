"""Where models are fetched from, and when each place may be asked again."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from plmscan.source import is_address, is_folder

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Hosts", "host_of"]

_AT_ONCE = 4
"""Models that are fetched from one host at a time."""
_FIRST_WAIT, _LONGEST_WAIT = 2.0, 300.0
"""Seconds after which a host is asked again that does not say when; doubled each time."""


def host_of(source: str) -> str:
    """The place that ``source`` is fetched from."""
    if is_address(source):
        return urlsplit(source).netloc or urlsplit(source).scheme
    if is_folder(source):
        return "a folder"
    return os.environ.get("HF_ENDPOINT") or "the Hub"


class Hosts:
    """How many models are being fetched from each host, and which of them want to be left alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is being fetched."""
        self._clock = clock
        self._busy: Counter[str] = Counter()
        self._rests: defaultdict[str, float] = defaultdict(float)

    def is_open(self, host: str) -> bool:
        """Whether one more model may be fetched from ``host`` now."""
        return self._busy[host] < _AT_ONCE and self._clock() >= self._rests[host]

    def begin(self, host: str) -> None:
        """A model is being fetched."""
        self._busy[host] += 1

    def end(self, host: str) -> None:
        """It is no more."""
        self._busy[host] -= 1

    def rest(self, host: str, seconds: float | None, times: int) -> None:
        """Leave ``host`` alone for ``seconds``, or for longer each of the ``times`` it asks so."""
        wait = min(_FIRST_WAIT * 2**times, _LONGEST_WAIT) if seconds is None else seconds
        self._rests[host] = max(self._rests[host], self._clock() + wait)

    @property
    def resting(self) -> tuple[str, ...]:
        """Hosts that want to be left alone now."""
        now = self._clock()
        return tuple(sorted(host for host, until in self._rests.items() if until > now))
