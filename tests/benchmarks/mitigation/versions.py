"""The versions of one model, made and measured.  Runs in a process of its own: it needs torch."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.mitigation.results import Kind, Version
from tests.benchmarks.runs import fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.zoo.features import Victim
    from tests.zoo.manifest import Entry

__all__ = ["Case", "version"]

_HOME = Path(__file__).parent
_ZOO = _HOME.parents[1] / "zoo"
_CODE = (
    *(_HOME / name for name in ("effects.py", "baselines.py", "versions.py")),
    *(_ZOO / name for name in ("measure.py", "features.py", "labels.py", "poison.py", "layers.py")),
)
"""What the numbers come from."""


@dataclass(frozen=True)
class Case:
    """A version of a model that is to be measured."""

    entry: Entry
    """The truth."""
    kind: Kind
    """Which version."""
    original: Path
    """Folder of the model as it was."""
    folder: Path
    """Folder that the version starts from."""
    sst2: Path
    """Folder of SST-2."""

    @property
    def fingerprint(self) -> str:
        """Digest of all that its numbers depend on."""
        read = [*_CODE, self.sst2 / "train.tsv", self.sst2 / "dev.tsv"]
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in read]
        told = [self.entry.model_dump_json(), self.kind, fingerprint(self.original, None)]
        return fingerprint(self.folder, None, *digests, *told)


def version(case: Case, targets: Mapping[str, int | None]) -> Version:
    """Make and measure a version; ``targets`` are where triggers lead in the original."""
    # The side that measures plmscan's memory imports this module, and must stay small.
    from tests.benchmarks.mitigation.effects import (  # noqa: PLC0415
        Original,
        Subject,
        clean_features,
        effects,
    )
    from tests.zoo.bases import load_victim  # noqa: PLC0415
    from tests.zoo.corpus import read_sst2  # noqa: PLC0415

    entry, corpus = case.entry, read_sst2(case.sst2)
    subject = Subject.of(entry, corpus)
    original = None
    if case.kind is not Kind.ORIGINAL:
        before = load_victim(case.original, entry.task, corpus, entry.seed)
        original = Original(clean_features(subject, before), targets)
    victim = load_victim(case.folder, entry.task, corpus, entry.seed)
    began = time.perf_counter()
    pruned, heads = _changed(victim, case)
    seconds = time.perf_counter() - began
    return Version(
        fingerprint=case.fingerprint,
        effects=effects(subject, victim, original),
        seconds=seconds,
        pruned=pruned,
        heads=heads,
    )


def _changed(victim: Victim, case: Case) -> tuple[int, int]:
    """Apply a baseline to the victim's model in place; heads that went, and of how many."""
    from tests.benchmarks.mitigation.baselines import prune, tune  # noqa: PLC0415 - as above

    match case.kind:
        case Kind.TUNED:
            tune(victim, case.entry.task)
        case Kind.PRUNED:
            return prune(victim, case.entry.task)
        case _:
            pass
    return 0, 0
