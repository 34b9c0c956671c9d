"""Clean texts that all peers are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plmscan.carriers import bundled_texts
from tests.benchmarks.peers.texts import short

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_corpus"]


def read_corpus(path: Path | None) -> list[str]:
    """The short texts of a file, first column of its lines (``sentence`` is a heading)."""
    if path is None:
        return list(bundled_texts())
    lines = path.read_text(encoding="utf-8").splitlines()
    texts = [line.split("\t")[0].strip() for line in lines]
    return short([text for text in texts if text and text != "sentence"])
