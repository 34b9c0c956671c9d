"""What is an adapter made for, and is it put on that?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.layout import ADAPTER
from plmscan.probes.base import StaticProbe
from plmscan.probes.words import some
from plmscan.source import Named, named_base

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plmscan.evidence import Observation
    from plmscan.source import Artifact

__all__ = ["Probe"]

_ID = "adapter-base"
_SHOWN = 16
"""Characters of a digest that are told."""


class Probe(StaticProbe):
    """Compares the base that an adapter is put on with the one that it names.

    An adapter is a change, and says nothing without what it changes: on another base a backdoor may
    sleep that works on the right one, so that whoever can choose the base chooses the verdict.  The
    base is known by its commit and by the digests of its weights; whether the shapes fit is found
    out when the adapter is put on it.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "base_differs": "1 if the Hub lists other weights for the base that it names (flag)",
        "base_unpinned": "1 if the adapter names a base without its commit (flag)",
    }
    details: ClassVar[Mapping[str, str]] = {
        "named": "the base that the adapter names",
        "base": "the base that it is put on",
        "known_by": "how it is known that it is that base",
    }
    references: ClassVar[tuple[str, ...]] = (
        "https://huggingface.co/docs/peft/developer_guides/checkpoint",
    )

    def inspect(self, artifact: Artifact) -> Iterator[Observation]:
        """Measure the adapter, if the artifact is one."""
        if not artifact.is_adapter:
            return
        named = named_base(artifact)
        if artifact.base is None:
            reason = artifact.base_problem or "Only the files of the adapter were looked at."
            yield Gap("base", reason, blocks_pass=artifact.base_problem is not None)
            return
        base, differs = artifact.base, _differs(artifact.base)
        known_by = "" if differs else _known_by(base, named)
        unpinned = isinstance(named, Named) and not named.is_pinned and base.locked is None
        yield Evidence(
            _ID,
            artifact.layout.at_home(ADAPTER),
            {"base_differs": float(differs), "base_unpinned": float(unpinned)},
            {
                "named": named.source if isinstance(named, Named) else "none",
                "base": _told(base),
                "known_by": known_by or "its shapes alone",
            },
        )
        if not known_by and not differs:
            reason = f"{_told(base)}: it is known by its shapes alone, and by no digest."
            yield Gap("identity of the base", reason, blocks_pass=False)
        yield Coverage(f"The base: {_told(base)}, known by {known_by or 'its shapes alone'}.")


def _differs(base: Artifact) -> bool:
    """Whether the Hub lists other weights for the base that the adapter names."""
    listed = base.named_digests
    return bool(listed) and not _weights(base) <= {*(listed or {}).values()}


def _known_by(base: Artifact, named: Named | str) -> str:
    """How it is known that ``base`` is the named one; empty where nothing says so."""
    if base.named_digests and isinstance(named, Named):
        return f"the digests that the Hub lists for {named.source}"
    if base.locked is not None and _weights(base) <= {*base.locked.values()}:
        return "the digests in the lock file"
    if base.revision is not None and isinstance(named, Named) and base.id == named.name:
        return f"its name, at commit {base.revision[:12]}"
    return ""


def _weights(base: Artifact) -> set[str]:
    """Digests of the weights."""
    return {file.sha256 for file in base.files if file.path in base.weights}


def _told(base: Artifact) -> str:
    """The base and what identifies it, as a report says it."""
    if base.revision is not None:
        return f"{base.id} at commit {base.revision}"
    files = (file for file in base.files if file.path in base.weights)
    return f"{base.id} ({some(f'{f.path} sha256 {f.sha256[:_SHOWN]}' for f in files)})"
