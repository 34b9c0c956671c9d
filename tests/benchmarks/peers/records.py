"""What became of each peer on each model, kept so that nothing runs twice.

``ZOO/benchmark/peers/<mode>/<peer>/<model>.json`` is a record, the ``.log`` beside it what the
scan told.  A record counts as long as its fingerprint does: the peer's source and settings, the
limit, the texts, and the model's files.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tests.benchmarks.runs import fingerprint, measured, store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.zoo.manifest import Entry

__all__ = ["NAMES", "Job", "Mode", "PeerRecord"]

_PEERS = Path(__file__).parent
_ROOT = _PEERS.parents[2]
_SEARCHING = ("gate", "inversion", "lmsanitator", "patronus", "prompts", "random_tokens")
_SHARED = ("child", "contract", "corpus", "recipes", "running", "texts", "vocabulary")
_LOSSES = Path("scanner/plmscan/search/propose/losses.py")


class Mode(StrEnum):
    """How much a peer may spend."""

    SAMPLE = "sample"
    """Its published budget."""
    EQUAL = "equal"
    """What ``plmscan check`` spent on the same model."""


NAMES: Mapping[Mode, tuple[str, ...]] = MappingProxyType(
    {
        Mode.SAMPLE: (
            "patronus_zhao_2025",
            "patronus_mask_zhao_2025",
            "patronus_remembering",
            "patronus_mask_remembering",
            "lmsanitator_wei_2024",
            "dbs_shen_2022",
            "uat_wallace_2019",
            "random_tokens",
        ),
        Mode.EQUAL: (
            "patronus_zhao_2025",
            "patronus_remembering",
            "patronus_mask_remembering",
            "random_tokens",
        ),
    }
)
"""Which peers of ``recipes.py`` run; here by name, since this side does without torch."""


@dataclass(frozen=True)
class PeerRecord:
    """One scan."""

    fingerprint: str
    """Of everything that the answer depends on."""
    peer: str
    """Name of the recipe."""
    model: str
    """Name of the model."""
    limit: int | None
    """Most forward-token-equivalents; None for the published budget."""
    exit_code: int
    """0, unless the scan broke."""
    seconds: float
    """Wall-clock time of the whole process, loading included."""
    megabytes: float
    """Peak resident memory above an interpreter with torch imported."""
    result: dict[str, Any] | None
    """A `PeerResult`; None where the recipe does not fit the model, or the scan broke."""


@dataclass(frozen=True)
class Job:
    """A scan to do."""

    zoo: Path
    """Folder with the models."""
    mode: Mode
    """Whose budget."""
    peer: str
    """Name of the recipe."""
    entry: Entry
    """The model."""
    limit: int | None
    """Most forward-token-equivalents."""
    texts: Path | None
    """Clean texts."""

    @property
    def target(self) -> Path:
        """The file of the record."""
        folder = self.zoo / "benchmark" / "peers" / self.mode / self.peer
        return folder / f"{self.entry.name}.json"

    @property
    def fingerprint(self) -> str:
        """Digest of source, settings and files."""
        model = self.zoo / self.entry.name
        return fingerprint(model, self.texts, source_digest(), self.peer, self.limit)

    def stored(self) -> PeerRecord | None:
        """The record of an earlier run; None if there is none."""
        try:
            return PeerRecord(**json.loads(self.target.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def is_done(self) -> bool:
        """Whether an earlier run still counts."""
        record = self.stored()
        whole = record is not None and record.exit_code == 0
        return whole and record is not None and record.fingerprint == self.fingerprint

    def run(self, baseline: float) -> PeerRecord:
        """Scan now, in a process of its own; ``baseline`` megabytes are not its own."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        answer = self.target.with_suffix(".result")
        answer.unlink(missing_ok=True)
        current = self.fingerprint
        usage = measured(self._command(answer), self.target.with_suffix(".log"))
        result = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else None
        answer.unlink(missing_ok=True)
        record = PeerRecord(
            fingerprint=current,
            peer=self.peer,
            model=self.entry.name,
            limit=self.limit,
            exit_code=usage.exit_code,
            seconds=usage.seconds,
            megabytes=usage.megabytes - baseline,
            result=result,
        )
        store(record, self.target)
        return record

    def _command(self, answer: Path) -> list[str]:
        """The scan as a command line."""
        command = [sys.executable, "-m", "tests.benchmarks.peers.child", "--peer", self.peer]
        command += ["--model", str((self.zoo / self.entry.name).resolve())]
        command += ["--output", str(answer.resolve())]
        command += ["--tokens", str(self.limit)] if self.limit is not None else []
        return command + (["--texts", str(self.texts.resolve())] if self.texts else [])


@cache
def source_digest() -> str:
    """Digest of the peers."""
    digest = hashlib.sha256()
    for name in (*_SEARCHING, *_SHARED):
        digest.update((_PEERS / f"{name}.py").read_bytes())
    digest.update((_ROOT / _LOSSES).read_bytes())
    return digest.hexdigest()
