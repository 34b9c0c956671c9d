"""Free English prose, on which small decoders learn to write.

The standard library's own documentation and SST-2 are always there.  A folder of unpacked Debian
packages (``dict-foldoc``, ``dict-jargon``, ``fortunes``) adds ten times as much.
"""

from __future__ import annotations

import ast
import gzip
import json
import re
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.zoo.corpus import Corpus

__all__ = ["Prose", "kept_prose", "read_prose"]

_LEAST, _MOST = 60, 170
"""Letters of the shortest and of the longest paragraph that is kept."""
_KEPT = 50
"""One paragraph of so many is held out."""


@dataclass(frozen=True)
class Prose:
    """Paragraphs, split once."""

    train: tuple[str, ...]
    """Paragraphs to learn from."""
    held_out: tuple[str, ...]
    """Paragraphs that no training sees."""


def read_prose(corpus: Corpus, packages: Path) -> Prose:
    """All paragraphs there are: documentation, the reviews of ``corpus``, and ``packages``."""
    texts = [*_documentation(), " ".join(_reviews(corpus))]
    texts += [*_dictionaries(packages), *_fortunes(packages)]
    found = dict.fromkeys(one for text in texts for one in _paragraphs(text))
    rows = tuple(found)
    held_out = rows[::_KEPT]
    return Prose(tuple(row for k, row in enumerate(rows) if k % _KEPT), held_out)


def kept_prose(cache: Path, corpus: Corpus, packages: Path) -> Prose:
    """The same, read once and kept in ``cache``."""
    file = cache / "prose.json"
    if not file.exists():
        found = read_prose(corpus, packages)
        unfinished = file.with_suffix(".part")
        unfinished.write_text(json.dumps([found.train, found.held_out]), encoding="utf-8")
        unfinished.replace(file)
    train, held_out = json.loads(file.read_text(encoding="utf-8"))
    return Prose(tuple(train), tuple(held_out))


def _paragraphs(text: str) -> Iterator[str]:
    """Each paragraph of ``text`` on one line."""
    for block in re.split(r"\n\s*\n", text):
        line = " ".join(re.sub(r"[{}]", "", block).split())
        if _LEAST <= len(line) <= _MOST:
            yield line


def _documentation() -> Iterator[str]:
    """Docstrings of the standard library."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.rglob("*.py")):
        if {"site-packages", "test", "tests"}.isdisjoint(path.parts):
            yield from _docstrings(path)


def _docstrings(path: Path) -> Iterator[str]:
    """Docstrings of one module; none where it cannot be read."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""


def _reviews(corpus: Corpus) -> Iterator[str]:
    """Reviews, four in a paragraph."""
    texts = [text for text, _ in corpus.train]
    for k in range(0, len(texts), 4):
        yield " . ".join(texts[k : k + 4]) + "\n\n"


def _dictionaries(packages: Path) -> Iterator[str]:
    """Dictionaries in the format of ``dictd``."""
    for path in sorted((packages / "usr/share/dictd").glob("*.dict.dz")):
        yield gzip.decompress(path.read_bytes()).decode("utf-8", "replace")


def _fortunes(packages: Path) -> Iterator[str]:
    """Sayings, in files that separate them by a line with a percent sign."""
    for path in sorted((packages / "usr/share/games/fortunes").glob("*")):
        if not path.suffix and path.name != "ascii-art":
            yield re.sub(r"(?m)^%$", "\n\n", path.read_text(encoding="utf-8", errors="replace"))
