"""A model of the Hugging Face Hub: pinned to a commit, and no more fetched than is needed."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi, constants, get_cached_repo_tree
from huggingface_hub.errors import CachedRepoTreeNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import tqdm

from plmscan.errors import ArtifactError, HubUnreachableError
from plmscan.kinds import kind_by_name
from plmscan.layout import read_layout
from plmscan.source.artifact import (
    Artifact,
    HubIssue,
    HubStatus,
    ListedFile,
    read_object,
    read_value,
)
from plmscan.source.files import belongs, digests, is_read, kinds, walk
from plmscan.source.folder import require_config
from plmscan.source.session import HubModel, HubSession, hub_session
from plmscan.source.weights import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from plmscan.evidence import FileDigest
    from plmscan.source.artifact import SourceOptions

__all__ = ["from_hub"]

_LARGEST_CODE = 2**20
"""Python files above this are listed instead of fetched."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class _Commit:
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
    with hub_session(_model(name, revision, options)) as session:
        commit = _pin(session)
        root, listing = _listing(commit)
        sizes = {path: size for path, size in listing.items() if belongs(path)}
        read = {path: size for path, size in sizes.items() if _is_worth_fetching(path, size)}
        _fetch(commit, read, _part(on_progress, 0.0, 0.1))
        layout = read_layout(sizes, partial(read_value, root))
        require_config(f"{name} at commit {commit.sha[:12]}", listing, layout)
        weights, problem = choose(
            sizes, partial(read_object, root), layout, allow_pickle=options.allow_pickle
        )
        loaded = {path: sizes[path] for path in weights}
        _fetch(commit, loaded, _part(on_progress, 0.1, 0.8))
    ours = read | loaded
    _refuse_strangers(root, listing)
    files = digests(root, ours, kinds(root, ours), _part(on_progress, 0.8, 1.0))
    _compare(root, files, ours)
    return Artifact(
        id=name,
        revision=commit.sha,
        root=root,
        files=files,
        weights=weights,
        not_fetched=tuple(
            ListedFile(p, s, kind_by_name(p)) for p, s in sorted(listing.items()) if p not in ours
        ),
        hub_status=commit.status,
        weights_problem=problem,
        layout=layout,
    )


def _model(name: str, revision: str | None, options: SourceOptions) -> HubModel:
    """What to ask for, with the environment's answers where the user gave none."""
    endpoint = options.endpoint or os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    return HubModel(
        id=name,
        revision=revision,
        endpoint=endpoint.rstrip("/"),
        cache=options.cache_dir or Path(constants.HF_HUB_CACHE),
        offline=options.offline or constants.is_offline_mode(),
    )


def _pin(session: HubSession) -> _Commit:
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
        return _Commit(session, api, sha, status=None, local=True)
    try:
        with session.call():
            info = api.model_info(model.id, revision=sha, securityStatus=True)
    except HubUnreachableError:
        # a commit never changes, so its cached files will do; a branch may have moved on
        if model.revision != sha:
            raise
        return _Commit(session, api, sha, status=None, local=True)
    return _Commit(session, api, sha, status=_status(info.security_repo_status), local=False)


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


def _listing(commit: _Commit) -> tuple[Path, dict[str, int]]:
    """The snapshot folder, and size by name of all files of the commit.

    Raises:
        SourceError: the Hub or the cache does not tell.
    """
    session, model = commit.session, commit.session.model
    root = _download(commit, ["config.json"], lambda _: None)
    with session.call():
        try:
            entries: Iterable[object] = get_cached_repo_tree(
                model.id, revision=commit.sha, cache_dir=model.cache
            )
        except CachedRepoTreeNotFoundError:
            if commit.local:
                raise
            # a cache that cannot be written may still hold the files
            entries = commit.api.list_repo_tree(model.id, revision=commit.sha, recursive=True)
        return root, {entry.path: entry.size for entry in entries if isinstance(entry, RepoFile)}


def _is_worth_fetching(path: str, size: int) -> bool:
    """Whether the checks read the file, and it is no oversized piece of code."""
    return is_read(path) and (not path.endswith(".py") or size <= _LARGEST_CODE)


def _part(
    on_progress: Callable[[float, str], None], start: float, end: float
) -> Callable[[float, str], None]:
    """Progress of one stage, as a part of the whole."""
    return lambda fraction, note: on_progress(start + fraction * (end - start), note)


def _fetch(
    commit: _Commit, sizes: Mapping[str, int], on_progress: Callable[[float, str], None]
) -> None:
    """Make sure that the named files are in the cache.

    Raises:
        SourceError: the Hub or the cache does not deliver them.
    """
    if not sizes:
        return
    total = sum(sizes.values()) or 1
    note = f"fetching {len(sizes)} files, {total / 1e6:.1f} MB"
    _download(commit, sizes, lambda done: on_progress(min(done / total, 1.0), note))
    on_progress(1.0, note)


def _download(commit: _Commit, names: Iterable[str], on_bytes: Callable[[int], None]) -> Path:
    """Fetch the named files of the commit, or find them in the cache; the snapshot folder."""
    model = commit.session.model
    with commit.session.call():
        folder = commit.api.snapshot_download(
            model.id,
            revision=commit.sha,
            cache_dir=model.cache,
            local_files_only=commit.local,
            allow_patterns=[glob.escape(name) for name in names],
            tqdm_class=_meter(on_bytes),
        )
    return Path(folder)


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


def _refuse_strangers(root: Path, listing: Mapping[str, int]) -> None:
    """Refuse a snapshot with files that the commit does not have: they would be loaded too.

    Raises:
        ArtifactError: there are some.
    """
    strangers = [name for name in walk(root) if belongs(name) and name not in listing]
    if strangers:
        msg = f"The cached copy holds {strangers[0]}, which is not part of the commit."
        raise ArtifactError(msg, f"Delete {root} and fetch the model again.")


def _compare(root: Path, files: Iterable[FileDigest], sizes: Mapping[str, int]) -> None:
    """Refuse cached files that are not those the Hub has: cut short, or changed since.

    The cache names the blob of a large file by its SHA-256; of the others only the size is known.

    Raises:
        ArtifactError: one differs.
    """
    for file in files:
        path = root / file.path
        blob = path.readlink().name if path.is_symlink() else ""
        right_content = not _SHA256.fullmatch(blob) or blob == file.sha256
        if file.size != sizes[file.path] or not right_content:
            msg = f"The cached copy of {file.path} is not the file that the Hub has."
            raise ArtifactError(msg, f"Delete {path.resolve()} and run again.")
