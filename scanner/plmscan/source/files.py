"""Which files belong to a model, and their digests.

A file *belongs* if the checks read it (configuration, tokenizer, chat templates, Python code, the
indexes of sharded weights), if it is named like weights in any format, or if its first bytes say
that something could load or run it, whatever its name.  Belonging files of a folder are hashed, at
any depth, hidden or not; everything else (a README, plots, logs, data) is only listed with its
kind, so that a folder full of training data costs nothing.  Only the notes of version control and
of downloads (``.git``, ``.cache/huggingface``) are neither.
"""

from __future__ import annotations

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from plmscan.errors import ArtifactError
from plmscan.evidence import FileDigest
from plmscan.kinds import WEIGHT_SUFFIXES, Kind, kind_of, with_neighbours
from plmscan.layout import NOTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "LOADABLE",
    "READ",
    "belongs",
    "digests",
    "holds_weights",
    "is_read",
    "kinds",
    "walk",
]

READ = (
    "*config*.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "*vocab*.json",
    "*vocab*.txt",
    "vocab.bpe",
    "merges.txt",
    "bpe.codes",
    "dict.txt",
    "tekken.json",
    "*.model",
    "*.spm",
    "*.tiktoken",
    "*.jinja",
    "*.jinja2",
    "*.j2",
    "chat_template*.json",
    "modules.json",
    "*.py",
    "*.safetensors.index.json",
    "pytorch_model.bin.index.json",
    "*.sig",
    "*.sigstore",
    "*.sigstore.json",
)
"""Names of what the checks read, in any folder."""
LOADABLE = frozenset(Kind) - {Kind.EMPTY, Kind.IMAGE, Kind.JSON, Kind.TEXT, Kind.UNKNOWN}
"""Kinds that some program loads or runs, whatever the file is called."""
_DEEPEST = 100
"""Folders in folders; no model has a tenth of that, and Python's own walk ends below a thousand."""
_COPY_INSTEAD = "Replace the link by a copy of what it points to."


def is_read(name: str) -> bool:
    """Whether the checks read the file: configuration, tokenizer, templates, code, indexes."""
    file = PurePosixPath(name).name
    return not holds_weights(name) and any(fnmatchcase(file, pattern) for pattern in READ)


def holds_weights(name: str) -> bool:
    """Whether the name is that of weights, in any format."""
    return PurePosixPath(name).suffix.lower() in WEIGHT_SUFFIXES


def belongs(name: str) -> bool:
    """Whether the name alone says that the file is read by the checks or could be loaded."""
    return is_read(name) or holds_weights(name)


def kinds(root: Path, names: Iterable[str]) -> dict[str, Kind]:
    """What each of the files holds, by name.

    Raises:
        ArtifactError: one of them cannot be read.
    """
    found = {}
    for name in names:
        try:
            found[name] = kind_of(root / name, name)
        except OSError as error:
            msg = f"{name} cannot be read: {error.strerror}."
            raise ArtifactError(msg, "Check its permissions.") from error
    return with_neighbours(found)


def walk(root: Path) -> dict[str, int | None]:
    """Size by name of all files below ``root``, hidden ones too, sorted by name.

    None stands for what is no readable file of the model and need not be: a pipe, a broken link.

    Raises:
        ArtifactError: a folder cannot be read or lies too deep, a link leads to a folder or out of
            ``root``, or a file that belongs is no regular file.
    """
    sizes: dict[str, int | None] = {}
    homes = _homes(root)
    for folder, subfolders, names in os.walk(root, onerror=_raise_unreadable):
        here = Path(folder).relative_to(root)
        if len(here.parts) > _DEEPEST:
            msg = f"The folders in {root} nest deeper than those of any model."
            raise ArtifactError(msg, "Name the folder inside that holds config.json.")
        subfolders[:] = [s for s in subfolders if (here / s).as_posix() not in NOTES]
        for subfolder in subfolders:
            _refuse_link(Path(folder, subfolder), root)
        for path in (Path(folder, name) for name in names):
            name = _printable(path.relative_to(root).as_posix())
            sizes[name] = _size(path, name, homes)
    return dict(sorted(sizes.items()))


def _printable(name: str) -> str:
    """The name without bytes that are no UTF-8: it must survive a report."""
    return os.fsencode(name).decode("utf-8", "replace")


def _raise_unreadable(error: OSError) -> None:
    """Refuse a folder that cannot be listed: what is in it would go unchecked."""
    msg = f"The folder {error.filename} cannot be read: {error.strerror}."
    raise ArtifactError(msg, "Check its permissions.") from error


def _refuse_link(path: Path, root: Path) -> None:
    """Refuse a link to a folder: following it could leave the model or never end."""
    if path.is_symlink():
        msg = f"{path.relative_to(root).as_posix()} is a link to a folder, and is not followed."
        raise ArtifactError(msg, _COPY_INSTEAD)


def _homes(root: Path) -> tuple[Path, ...]:
    """Folders in which the target of a link may lie: the model's own, and the Hub cache's blobs."""
    real = root.resolve()
    repository = real.parent.parent
    if real.parent.name != "snapshots" or not repository.name.startswith("models--"):
        return (real,)
    return real, repository / "blobs", repository.parent / "blobs"


def _size(path: Path, name: str, homes: tuple[Path, ...]) -> int | None:
    """Size of a file, None if it does not belong and is odd.

    Raises:
        ArtifactError: it belongs, and is a link out of the model, broken, or no regular file.
    """
    problem = "cannot be read"
    try:
        target = path.resolve(strict=True)
        status = target.stat()
    except OSError as error:
        problem = "is a broken link" if path.is_symlink() else f"cannot be read: {error.strerror}"
    else:
        inside = any(target.is_relative_to(home) for home in homes)
        if inside and stat.S_ISREG(status.st_mode):
            return status.st_size
        problem = "is not a regular file" if inside else "is a link that leaves the model's folder"
    if belongs(name):
        msg = f"{name} {problem}."
        raise ArtifactError(msg, _COPY_INSTEAD)
    return None


def digests(
    root: Path,
    sizes: Mapping[str, int],
    kinds: Mapping[str, Kind],
    on_progress: Callable[[float, str], None],
) -> tuple[FileDigest, ...]:
    """SHA-256 of the files ``sizes``, sorted by name, each with its kind; sizes weigh the progress.

    Raises:
        ArtifactError: one of them cannot be read.
    """
    total, done = sum(sizes.values()) or 1, 0
    found: list[FileDigest] = []
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        running = [pool.submit(_digest, root, name) for name in _largest_first(sizes)]
        for future in as_completed(running):
            file = future.result()
            found.append(replace(file, kind=kinds[file.path]))
            done += found[-1].size
            on_progress(min(done / total, 1.0), f"hashed {found[-1].path}")
    return tuple(sorted(found, key=lambda file: file.path))


def _largest_first(sizes: Mapping[str, int]) -> Iterable[str]:
    """The names, so ordered that no thread is left alone with the largest file."""
    return sorted(sizes, key=lambda name: -sizes[name])


def _digest(root: Path, name: str) -> FileDigest:
    """Digest and size of one file, of the same open file."""
    try:
        with (root / name).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return FileDigest(name, file.tell(), sha256)
    except OSError as error:
        msg = f"{name} cannot be read: {error.strerror}."
        raise ArtifactError(msg, "Check its permissions.") from error
