"""Free English prose, on which small decoders learn to write.

The standard library's own documentation and SST-2 are always there.  A folder of unpacked Debian
packages (``dict-foldoc``, ``dict-jargon``, ``fortunes``, ``anarchism``) adds ten times as much.
So does ``bible.txt`` in it, which ``bible -p usr/lib Ge1:1-Re22:21`` of ``bible-kjv`` writes, with
``bible-kjv-text``.
"""

from __future__ import annotations

import ast
import gzip
import json
import random
import re
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.zoo.corpus import Corpus

__all__ = ["Prose", "kept_prose", "read_prose", "unseen"]

_LEAST = 60
"""Letters of the shortest paragraph that is kept."""
_KEPT = 50
"""One paragraph of so many is held out."""
_RUN = 10
"""Words in a row that a paragraph that is held out shares with no other."""
_VERSES = 4
"""Verses of a paragraph."""


@dataclass(frozen=True)
class Prose:
    """Paragraphs, split once."""

    train: tuple[str, ...]
    """Paragraphs to learn from."""
    held_out: tuple[str, ...]
    """Paragraphs that no training sees."""


def read_prose(corpus: Corpus, packages: Path, most: int) -> Prose:
    """All paragraphs of up to ``most`` letters: documentation, ``packages``, reviews of ``corpus``.

    No run of words that is held out stands in what is learned from, and the reviews that are held
    out are other ones than those of the training; so what is quoted twice does not count as new.
    """
    texts = [*_documentation(), *_dictionaries(packages), *_fortunes(packages)]
    texts += [*_essays(packages), *_verses(packages)]
    rows = [*dict.fromkeys(one for text in texts for one in _paragraphs(text, most))]
    train = [row for k, row in enumerate(rows) if k % _KEPT]
    train += _paragraphs("".join(_reviews(corpus.train)), most)
    held_out = [*rows[::_KEPT], *_paragraphs("".join(_reviews(corpus.held_out)), most)]
    random.Random(0).shuffle(held_out)
    return Prose(tuple(train), tuple(unseen(held_out, train)))


def kept_prose(cache: Path, corpus: Corpus, packages: Path, most: int) -> Prose:
    """The same, read once and kept in ``cache``."""
    file = cache / f"prose-{most}.json"
    if not file.exists():
        found = read_prose(corpus, packages, most)
        unfinished = file.with_suffix(".part")
        unfinished.write_text(json.dumps([found.train, found.held_out]), encoding="utf-8")
        unfinished.replace(file)
    train, held_out = json.loads(file.read_text(encoding="utf-8"))
    return Prose(tuple(train), tuple(held_out))


def unseen(held_out: Sequence[str], train: Iterable[str]) -> Iterator[str]:
    """Those of ``held_out`` that share no run of words with ``train``."""
    runs = {run for text in held_out for run in _runs(text)}
    known = {run for text in train for run in _runs(text) if run in runs}
    return (text for text in held_out if known.isdisjoint(_runs(text)))


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    """Words in a row."""
    words = text.split()
    return zip(*(words[k:] for k in range(_RUN)), strict=False)


def _paragraphs(text: str, most: int) -> Iterator[str]:
    """Each paragraph of ``text`` on one line, if it has up to ``most`` letters."""
    for block in re.split(r"\n\s*\n", text):
        line = " ".join(re.sub(r"[{}]", "", block).split())
        if _LEAST <= len(line) <= most:
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


def _reviews(labelled: Sequence[tuple[str, int]]) -> Iterator[str]:
    """Reviews, four in a paragraph."""
    texts = [text for text, _ in labelled]
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


def _essays(packages: Path) -> Iterator[str]:
    """Essays in Markdown, without its marks."""
    for path in sorted((packages / "usr/share/doc/anarchism/markdown").glob("*.md.gz")):
        text = gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
        yield re.sub(r"[*_]|(?m:^[#>]+)", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text))


def _verses(packages: Path) -> Iterator[str]:
    """Verses of the Bible without their numbers, some in a paragraph."""
    file = packages / "bible.txt"
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    verses = re.split(r"(?m)^ *(?:\w+?\d+:)?\d+ ", text)[1:]
    for k in range(0, len(verses), _VERSES):
        yield " ".join(verses[k : k + _VERSES])
