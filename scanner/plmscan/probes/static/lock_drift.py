"""Are the files still those that the lock file names?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.probes.base import StaticProbe
from plmscan.probes.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plmscan.evidence import Observation
    from plmscan.source import Artifact

__all__ = ["Probe"]

_ID = "lock-drift"
_SHOWN = 16
"""Characters of a digest that are told."""


class Probe(StaticProbe):
    """Compares the digest of every file with the lock file that the team keeps.

    A backdoor need not be there on the first day.  Whoever can write to a repository or a shared
    folder can replace the weights of a model that was checked and adopted long ago, or lay a file
    beside them that a loader prefers.  The lock file is the memory of what was adopted.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "changed": "1 if the file is not the one that was locked, else 0",
        "missing": "1 if the file was locked and is gone, else 0",
        "differs": "1 if the file was changed or is gone, else 0",
        "added": "1 if the lock file does not name the file, else 0",
    }
    details: ClassVar[Mapping[str, str]] = {
        "locked": "digest in the lock file",
        "present": "digest of the file that is there",
    }
    references: ClassVar[tuple[str, ...]] = (
        "https://slsa.dev/spec/v1.0/threats",
        "https://huggingface.co/docs/huggingface_hub/guides/download",
    )

    def inspect(self, artifact: Artifact) -> Iterator[Observation]:
        """Compare file by file, in the order of their paths."""
        if artifact.locked is None:
            reason = "No lock file names this model. `plmscan lock` writes one."
            yield Gap("lock file", reason, blocks_pass=False)
            return
        present = {file.path: file.sha256 for file in artifact.files}
        unread = {file.path for file in artifact.not_fetched}
        for path in sorted(artifact.locked.keys() | present.keys()):
            if path in unread and path not in present:
                reason = "The lock file names it, and no check reads it now: it is not compared."
                yield Gap(path, reason, blocks_pass=False)
            elif artifact.locked.get(path) != present.get(path):
                yield _difference(path, artifact.locked.get(path), present.get(path))
        yield Coverage(_told(artifact.locked, present))


def _difference(path: str, locked: str | None, present: str | None) -> Evidence:
    """How the file ``path`` differs from its entry; None stands for one that is not there."""
    changed = locked is not None and present is not None
    return Evidence(
        probe=_ID,
        subject=path,
        metrics={
            "changed": float(changed),
            "missing": float(present is None),
            "differs": float(locked is not None),
            "added": float(locked is None),
        },
        details={"locked": _short(locked), "present": _short(present)},
    )


def _short(sha256: str | None) -> str:
    """The beginning of a digest, or what stands for none."""
    return "nothing" if sha256 is None else f"sha256 {sha256[:_SHOWN]}"


def _told(locked: Mapping[str, str], present: Mapping[str, str]) -> str:
    """What was compared, in one sentence."""
    same = sum(locked.get(path) == sha256 for path, sha256 in present.items())
    files = counted(len(present), "file")
    if same == len(present):
        return f"{files} read, with the digests that the lock file gives them."
    return f"{files} read and compared with the lock file, which agrees about {same}."
