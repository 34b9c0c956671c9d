"""Is each file there, or only something in its place?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.probes.base import StaticProbe
from plmscan.probes.words import counted, some
from plmscan.source import hollow, is_read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plmscan.evidence import Observation
    from plmscan.source import Artifact

__all__ = ["Probe"]


class Probe(StaticProbe):
    """Looks at the first bytes of every file: pointers of Git LFS, and files without any.

    What stands in the place of a file is not what the user will load: once the real file is
    fetched, it can hold anything, and nobody has looked at it. A scan that took the stand-in for
    the file would vouch for bytes that it never saw.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "hollow_files": "files that are empty, or pointers of Git LFS (count)",
    }
    details: ClassVar[Mapping[str, str]] = {
        "files": "the files",
    }
    references: ClassVar[tuple[str, ...]] = (
        "https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md",
    )

    def inspect(self, artifact: Artifact) -> Iterator[Observation]:
        """Look at each file's kind."""
        names = [file.path for file in artifact.files]
        looked_at = ((file.path, hollow(file)) for file in artifact.files)
        found = {name: problem for name, problem in looked_at if problem is not None}
        for name, problem in found.items():
            needed = is_read(name) or name in artifact.weights
            yield Gap(name, problem.diagnostics(), blocks_pass=needed)
        if found:
            metrics = {"hollow_files": float(len(found))}
            yield Evidence("file-contents", "model", metrics, {"files": some(sorted(found))})
        yield Coverage(f"First bytes of {counted(len(names), 'file')}.")
