"""Artifacts of folders that a test wrote, without the source layer in between."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from plmscan.evidence import Coverage, Evidence, FileDigest, Gap
from plmscan.rules import load_rules
from plmscan.source import Artifact, ListedFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from plmscan.probes.base import StaticProbe

__all__ = [
    "artifact_of",
    "coverage_of",
    "evidence_of",
    "fired",
    "gaps_of",
    "write_json",
    "write_safetensors",
]

_BYTES = {"F32": 4, "F16": 2, "I64": 8}


def artifact_of(
    folder: Path, *, weights: tuple[str, ...] | None = None, not_fetched: tuple[str, ...] = ()
) -> Artifact:
    """All files of ``folder`` as an artifact; its root safetensors files are the weights."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    if weights is None:
        weights = tuple(n for n in names if n.endswith(".safetensors") and "/" not in n)
    return Artifact(
        id="test-model",
        revision=None,
        root=folder,
        files=tuple(_digest(folder, name) for name in names),
        weights=weights,
        not_fetched=tuple(ListedFile(name, 1) for name in not_fetched),
        hub_status=None,
        weights_problem=None if weights else "There are no weight files.",
    )


def _digest(folder: Path, name: str) -> FileDigest:
    """Size and digest of one file."""
    data = (folder / name).read_bytes()
    return FileDigest(name, len(data), hashlib.sha256(data).hexdigest())


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as JSON, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def write_safetensors(
    path: Path, shapes: Mapping[str, tuple[int, ...]], dtype: str = "F32"
) -> None:
    """Write a safetensors file of zeros, by hand, so that tests can also write broken ones."""
    header: dict[str, object] = {}
    end = 0
    for name, shape in shapes.items():
        size = _BYTES[dtype]
        for dimension in shape:
            size *= dimension
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))


def evidence_of(probe: StaticProbe, artifact: Artifact) -> list[Evidence]:
    """What ``probe`` measures, once it is clear that it declares all of it."""
    found = [o for o in probe.inspect(artifact) if isinstance(o, Evidence)]
    assert all(e.metrics.keys() <= probe.metrics.keys() for e in found)
    assert all(e.details.keys() <= probe.details.keys() for e in found)
    return found


def gaps_of(probe: StaticProbe, artifact: Artifact) -> list[Gap]:
    """What ``probe`` leaves out."""
    return [o for o in probe.inspect(artifact) if isinstance(o, Gap)]


def coverage_of(probe: StaticProbe, artifact: Artifact) -> list[Coverage]:
    """What ``probe`` says that it searched."""
    return [o for o in probe.inspect(artifact) if isinstance(o, Coverage)]


def fired(probe: StaticProbe, artifact: Artifact) -> list[str]:
    """Ids of the packaged rules that fire on what ``probe`` measures, sorted, each once."""
    rules = load_rules()
    found = evidence_of(probe, artifact)
    return sorted({rule.id for rule in rules for e in found if rule.fires(e)})
