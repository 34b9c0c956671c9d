"""What the Hub's own scanners say about the files."""

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


class Probe(StaticProbe):
    """The files that the Hub's virus and pickle scanners flag.

    The Hub runs several scanners over every commit.  A file that one of them flags may run code
    when it is opened, which is the plainest backdoor of all.  That they flag nothing proves
    nothing, and where they have not looked, that is a gap: their silence never lets a model pass.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "unsafe": "1 if the Hub calls the file unsafe, else 0",
        "suspicious": "1 if the Hub flags the file with any other word, else 0",
        "in_use": "1 if the file is one that transformers reads from this model, else 0",
    }
    details: ClassVar[Mapping[str, str]] = {
        "level": "what the Hub calls the file",
    }
    references: ClassVar[tuple[str, ...]] = (
        "https://huggingface.co/docs/hub/security",
        "https://huggingface.co/docs/hub/security-pickle",
    )

    def inspect(self, artifact: Artifact) -> Iterator[Observation]:
        """Repeat what the Hub says."""
        status = artifact.hub_status
        if status is None:
            yield Gap("Hub security status", _silence(artifact), blocks_pass=False)
            return
        for issue in status.issues:
            yield Evidence(
                probe="hub-security",
                subject=issue.path,
                metrics={
                    "unsafe": float(issue.level == "unsafe"),
                    "suspicious": float(issue.level != "unsafe"),
                    "in_use": float(artifact.has(issue.path)),
                },
                details={"level": issue.level},
            )
        if status.scans_done:
            flagged = counted(len(status.issues), "file")
            yield Coverage(f"The Hub's scanners have finished and flag {flagged}.")
        else:
            reason = "The Hub's scanners have not finished with this commit."
            yield Gap("Hub security status", reason, blocks_pass=False)


def _silence(artifact: Artifact) -> str:
    """Why the Hub says nothing."""
    if artifact.revision is None:
        return "The model is a folder, and the Hub's scanners do not know it."
    return "The Hub was not asked, or gave no status for this commit."
