"""One commit of a model of the Hub: found, listed, and fetched as far as is asked."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi, constants, get_cached_repo_tree, hf_hub_url
from huggingface_hub.errors import CachedRepoTreeNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils.tqdm import tqdm

from plmscan.errors import HubUnreachableError
from plmscan.source.artifact import HubIssue, HubStatus
from plmscan.source.room import is_plain, refuse_small_disk
from plmscan.source.session import HubModel, HubSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from plmscan.source.artifact import SourceOptions

__all__ = ["Commit", "Listed", "Listing", "part_of", "pin", "wanted"]

_MOST_FILES = 100_000
"""The largest repositories of models have some thousands."""
_LARGEST_FILE = 2**50
_REPEATS = 3
"""How often a file may be sent, all in all, before the Hub is taken to send without end."""
_OVERHEAD = 2**24


@dataclass(frozen=True)
class Listed:
    """What the Hub's listing says of a file."""

    size: int
    """Bytes."""
    identity: str
    """What names its content: the SHA-256 of a large file, the blob id of git of any other."""
    is_large: bool
    """Whether the identity is a SHA-256."""


Listing = dict[str, Listed]
"""The files of a commit, by path."""


@dataclass(frozen=True)
class Commit:
    """One commit of a model, and how to get its files."""

    session: HubSession
    """Which model, and how to call for it."""
    api: HfApi
    """Client for its Hub."""
    sha: str
    """Full commit SHA."""
    status: HubStatus | None
    """What the Hub's scanners say; None if it could not be asked."""
    local: bool
    """Whether the files must come from the cache."""

    @property
    def headers(self) -> dict[str, str]:
        """What requests for its files say about the visitor."""
        return build_hf_headers(library_name="plmscan")

    def url(self, name: str) -> str:
        """Where the file ``name`` is."""
        model = self.session.model
        return hf_hub_url(model.id, name, revision=self.sha, endpoint=model.endpoint)

    @property
    def folder(self) -> Path:
        """The model's folder in the cache."""
        name = "--".join(["models", *self.session.model.id.split("/")])
        return self.session.model.cache / name

    def listing(self) -> tuple[Path, Listing]:
        """The snapshot folder, and all files of the commit.

        Raises:
            SourceError: the Hub or the cache does not tell, or tells what cannot be.
        """
        model = self.session.model
        root = self._download(["config.json"], lambda _: None)
        with self.session.call():
            try:
                entries: Iterable[object] = get_cached_repo_tree(
                    model.id, revision=self.sha, cache_dir=model.cache
                )
            except CachedRepoTreeNotFoundError:
                if self.local:
                    raise
                # a cache that cannot be written may still hold the files
                entries = self.api.list_repo_tree(model.id, revision=self.sha, recursive=True)
            files = (entry for entry in entries if isinstance(entry, RepoFile))
            return root, _checked(list(islice(files, _MOST_FILES + 1)), self.session)

    def told(self) -> Listing:
        """All files as the Hub itself lists them, large ones with their SHA-256.

        Raises:
            SourceError: the Hub does not tell, or tells what cannot be.
        """
        with self.session.call():
            entries = self.api.list_repo_tree(
                self.session.model.id, revision=self.sha, recursive=True
            )
            files = (entry for entry in entries if isinstance(entry, RepoFile))
            return _checked(list(islice(files, _MOST_FILES + 1)), self.session)

    def fetch(self, sizes: Mapping[str, int], on_progress: Callable[[float, str], None]) -> None:
        """Make sure that the named files are in the cache.

        Raises:
            SourceError: the Hub or the cache does not deliver them, or the disk is too small.
        """
        if not sizes:
            return
        total = sum(sizes.values())
        self._refuse_small_disk(sizes)
        note = f"fetching {len(sizes)} files, {total / 1e6:.1f} MB"

        def on_bytes(done: int) -> None:
            if done > _REPEATS * total + _OVERHEAD:
                msg = f"{self.session.model.endpoint} sends more bytes than its listing says."
                raise HubUnreachableError(msg, "Check HF_ENDPOINT and the network.")
            on_progress(min(done / (total or 1), 1.0), note)

        self._download(sizes, on_bytes)
        on_progress(1.0, note)

    def _refuse_small_disk(self, sizes: Mapping[str, int]) -> None:
        """Refuse to fill the disk.

        Raises:
            SourceError: the files that are not in the cache do not fit.
        """
        snapshot = self.folder / "snapshots" / self.sha
        missing = sum(size for name, size in sizes.items() if not (snapshot / name).exists())
        refuse_small_disk(self.folder, missing)

    def _download(self, names: Iterable[str], on_bytes: Callable[[int], None]) -> Path:
        """Fetch the named files, or find them in the cache; the snapshot folder."""
        model = self.session.model
        with self.session.call():
            folder = self.api.snapshot_download(
                model.id,
                revision=self.sha,
                cache_dir=model.cache,
                local_files_only=self.local,
                allow_patterns=[glob.escape(name) for name in names],
                tqdm_class=_meter(on_bytes),
            )
        return Path(folder)


def wanted(name: str, revision: str | None, options: SourceOptions) -> HubModel:
    """What to ask for, with the environment's answers where the user gave none."""
    endpoint = options.endpoint or os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    return HubModel(
        id=name,
        revision=revision,
        endpoint=endpoint.rstrip("/"),
        cache=options.cache_dir or Path(constants.HF_HUB_CACHE),
        offline=options.offline or constants.is_offline_mode(),
    )


def pin(session: HubSession) -> Commit:
    """Resolve the revision to a commit, before anything else is asked.

    Raises:
        SourceError: there is no such model or revision, or nobody to ask.
    """
    model = session.model
    api = HfApi(endpoint=model.endpoint, library_name="plmscan")
    with session.call():
        revision = api.resolve_revision(
            model.id,
            revision=model.revision,
            cache_dir=model.cache,
            local_files_only=model.offline,
        )
    sha = revision.resolved
    if model.offline:
        return Commit(session, api, sha, status=None, local=True)
    try:
        with session.call():
            info = api.model_info(model.id, revision=sha, securityStatus=True)
    except HubUnreachableError:
        # a commit never changes, so its cached files will do; a branch may have moved on
        if model.revision != sha:
            raise
        return Commit(session, api, sha, status=None, local=True)
    return Commit(session, api, sha, status=_status(info.security_repo_status), local=False)


def _status(said: object) -> HubStatus | None:
    """What the Hub's scanners say, in our words; None where the Hub says nothing we know."""
    if not isinstance(said, dict) or not isinstance(said.get("filesWithIssues"), list):
        return None
    issues = (
        HubIssue(str(issue.get("path")), str(issue.get("level")))
        for issue in said["filesWithIssues"]
        if isinstance(issue, dict)
    )
    ordered = tuple(sorted(issues, key=lambda issue: (issue.path, issue.level)))
    return HubStatus(scans_done=said.get("scansDone") is True, issues=ordered)


def _checked(entries: list[RepoFile], session: HubSession) -> Listing:
    """The listing, if it is one of files that can lie in a folder.

    Raises:
        HubUnreachableError: a name, a size or the number of files is that of no model.
    """
    if len(entries) > _MOST_FILES:
        session.refuse(f"it lists more than {_MOST_FILES} files")
    found: Listing = {}
    for entry in entries:
        path, size = entry.path, entry.size
        if not is_plain(path) or path in found:
            session.refuse(f"it lists the file {str(path)[:80]!a}, which no folder can hold")
        if type(size) is not int or not 0 <= size <= _LARGEST_FILE:
            session.refuse(f"it says that {path[:80]} has {str(size)[:40]!a} bytes")
        large = None if entry.lfs is None else str(entry.lfs.sha256)
        found[path] = Listed(size, large or str(entry.blob_id), large is not None)
    if any(parent.as_posix() in found for path in found for parent in PurePosixPath(path).parents):
        session.refuse("it lists files below another file")
    return found


def part_of(
    on_progress: Callable[[float, str], None], start: float, end: float
) -> Callable[[float, str], None]:
    """Progress of one stage, as a part of the whole."""
    return lambda fraction, note: on_progress(start + fraction * (end - start), note)


def _meter(on_bytes: Callable[[int], None]) -> Any:  # noqa: ANN401 - a class made for huggingface_hub
    """A progress bar that draws nothing and tells how many bytes have come."""
    lock = Lock()

    class Meter(tqdm):
        """Counts the one of huggingface_hub's bars that stands for received bytes."""

        monitor_interval = 0  # no watching thread

        def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - tqdm's own signature
            """Draw nothing, whatever is asked."""
            super().__init__(*args, **kwargs | {"disable": True})  # type: ignore[no-untyped-call]
            self.is_bytes = str(kwargs.get("desc")).startswith("Downloading bytes")
            self.received = 0

        def update(self, n: float | None = 1) -> None:
            """Count ``n`` more of whatever this bar counts."""
            if self.is_bytes:
                with lock:
                    self.received += int(n or 0)
                on_bytes(self.received)

    return Meter
