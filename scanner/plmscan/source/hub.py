"""A model of the Hugging Face Hub: pinned to a commit, and no more fetched than is needed.

Its files are read in the order in which loaders find them: the configurations, which say what is
loaded from where, then the weights, then all the rest, of which little is fetched (`plmscan.source.
rest`).  A repository gets the verdict that a folder with all of its files would get.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from plmscan.errors import ArtifactError
from plmscan.kinds import RUNTIMES, kind_by_name, with_neighbours
from plmscan.layout import Unread, read_layout
from plmscan.source.artifact import Artifact, ListedFile, read_object, read_value
from plmscan.source.commit import part_of, pin, wanted
from plmscan.source.files import LOADABLE, belongs, digests, holds_weights, is_read, kinds, walk
from plmscan.source.folder import require_config
from plmscan.source.rest import look_at
from plmscan.source.session import hub_session
from plmscan.source.weights import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from plmscan.evidence import FileDigest
    from plmscan.layout import Layout
    from plmscan.source.artifact import SourceOptions
    from plmscan.source.commit import Listed, Listing
    from plmscan.source.rest import Rest

__all__ = ["from_hub", "weights_listed"]

_LARGEST_CODE = 2**20
"""Python files above this are looked at like those that nothing loads."""
_LARGEST_READ = 2**28
"""The same for any other file that the checks read."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


def from_hub(
    name: str,
    revision: str | None,
    options: SourceOptions,
    on_progress: Callable[[float, str], None],
) -> Artifact:
    """The model ``name`` of the Hub, with the files that a scan needs in the cache.

    Raises:
        SourceError: it could not be found or fetched.
        ArtifactError: its files are broken, or no model.
    """
    with hub_session(wanted(name, revision, options)) as session:
        commit = pin(session)
        root, listing = commit.listing()
        sizes = {path: listed.size for path, listed in listing.items()}
        read = {p: s for p, s in sizes.items() if options.all_files or _is_worth_fetching(p, s)}
        commit.fetch(read, part_of(on_progress, 0.0, 0.7 if options.all_files else 0.1))
        layout = read_layout(sizes, partial(_value, root, read), options.adapter_folder)
        require_config(f"{name} at commit {commit.sha[:12]}", listing, layout)
        weights, problem = choose(
            sizes, partial(read_object, root), layout, allow_pickle=options.allow_pickle
        )
        needed = {*weights, *_of_modules(sizes, layout)} - read.keys()
        loaded = {path: sizes[path] for path in sorted(needed)}
        commit.fetch(loaded, part_of(on_progress, 0.1, 0.7))
        others = {p: listed for p, listed in listing.items() if p not in read and p not in loaded}
        rest = look_at(commit, root, others, part_of(on_progress, 0.7, 0.8))
    _refuse_strangers(root, listing)
    here = read | loaded | rest.fetched
    held = kinds(root, here)
    told = with_neighbours(rest.kinds | held)
    ours = {p: s for p, s in here.items() if belongs(p) or told[p] in LOADABLE}
    files = digests(root, ours, told, part_of(on_progress, 0.8, 1.0))
    _compare(root, files, listing)
    return Artifact(
        id=name,
        revision=commit.sha,
        root=root,
        files=files,
        weights=weights,
        not_fetched=tuple(ListedFile(p, sizes[p], told[p]) for p in sorted(told) if p not in ours),
        hub_status=commit.status,
        weights_problem=problem,
        layout=layout,
        programs=rest.programs,
        unread=(*rest.unread, *_oversized(others, rest)),
    )


def weights_listed(name: str, revision: str | None, options: SourceOptions) -> dict[str, str]:
    """SHA-256 by path of the safetensors files that the Hub lists for the model ``name``.

    Raises:
        SourceError: it could not be found or asked.
    """
    with hub_session(wanted(name, revision, options)) as session:
        listing = pin(session).told()
    large = ((path, one) for path, one in listing.items() if one.is_large)
    return {path: one.identity for path, one in large if path.endswith(".safetensors")}


def _value(root: Path, fetched: Mapping[str, int], name: str) -> object:
    """The JSON value in a file of the commit.

    Raises:
        ArtifactError: it was too large to be fetched, or holds none.
    """
    if name not in fetched:
        msg = f"{name} is too large to be a model's file."
        raise ArtifactError(msg, "Save or download the model again.")
    return read_value(root, name)


def _is_worth_fetching(path: str, size: int) -> bool:
    """Whether the checks read the file, and it is not oversized."""
    return is_read(path) and size <= (_LARGEST_CODE if path.endswith(".py") else _LARGEST_READ)


def _oversized(others: Listing, rest: Rest) -> Iterator[Unread]:
    """Files that the checks read, and that are too large to be a model's."""
    told = {unread.subject for unread in rest.unread}
    for path in others:
        if is_read(path) and path not in rest.fetched and path not in told:
            reason = "It is larger than such a file of any model, and was not read."
            yield Unread(path, f"{reason} --all-files fetches and reads all files.")


def _of_modules(sizes: Mapping[str, int], layout: Layout) -> list[str]:
    """Weights of the parts of a model that stand beside its Transformer: a Dense layer, a head.

    Where there are safetensors, the pickles beside them are left to those that nothing loads.
    """
    folders = {module.folder for module in layout.modules} - {layout.home, ""}
    found = []
    for folder in sorted(folders):
        own = [name for name in sizes if PurePosixPath(name).parent.as_posix() == folder]
        weights = [n for n in own if holds_weights(n) and kind_by_name(n) not in RUNTIMES]
        safe = [name for name in weights if name.endswith(".safetensors")]
        found += safe or weights
    return found


def _refuse_strangers(root: Path, listing: Listing) -> None:
    """Refuse a snapshot with files that the commit does not have: they would be loaded too.

    Raises:
        ArtifactError: there are some.
    """
    here = walk(root) if root.is_dir() else ()  # nothing was fetched, as of several GGUF models
    strangers = [name for name in here if belongs(name) and name not in listing]
    if strangers:
        msg = f"The cached copy holds {strangers[0]}, which is not part of the commit."
        raise ArtifactError(msg, f"Delete {root} and fetch the model again.")


def _compare(root: Path, files: Iterable[FileDigest], listing: Listing) -> None:
    """Refuse cached files that are not those the Hub has: cut short, or changed since.

    Of a large file the listing tells the SHA-256, and the cache names its blob by that; of the
    others only the size is known.

    Raises:
        ArtifactError: one differs.
    """
    for file in files:
        path = root / file.path
        if not _is_right(file, path, listing[file.path]):
            msg = f"The cached copy of {file.path} is not the file that the Hub has."
            raise ArtifactError(msg, f"Delete {path.resolve()} and run again.")


def _is_right(file: FileDigest, path: Path, listed: Listed) -> bool:
    """Whether the file is the one of the listing, as far as that can be told."""
    blob = path.readlink().name if path.is_symlink() else ""
    named = {listed.identity} if listed.is_large else {blob} if _SHA256.fullmatch(blob) else set()
    return file.size == listed.size and named <= {file.sha256}
