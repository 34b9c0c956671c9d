"""What the user asks of a scan."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from plmscan.budget import Effort
from plmscan.evidence import Severity
from plmscan.source import SourceOptions
from plmscan.waivers import NO_WAIVERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plmscan.evidence import Scalar
    from plmscan.source import Pinned
    from plmscan.waivers import Waivers

__all__ = ["Settings"]

_UNTOLD = frozenset({"cache_dir", "waivers", "locked", "pinned"})
"""The cache's place on disk changes no result; a waived finding says by whom, and the probe of the
lock file what it compared."""


@dataclass(frozen=True)
class Settings:
    """What the user asks for."""

    effort: Effort = Effort.STANDARD
    """How much work the probes may do."""
    time_limit: float | None = None
    """Seconds for all probes together, counted once the files are there; None for no limit."""
    device: str = "auto"
    """``auto``, ``cpu`` or ``cuda``."""
    precision: str = "auto"
    """Arithmetic of what only selects: ``auto``, ``float32`` or ``bfloat16``."""
    seed: int = 0
    """Seed of every random choice."""
    threads: int | None = None
    """Threads that torch may use during the scan; None leaves torch's own choice."""
    allow_pickle: bool = False
    """Whether a model without safetensors may be loaded from pickles (weights only)."""
    backend: str = "torch"
    """Runtime that the user loads the model with: ``torch``, ``onnx`` or ``openvino``."""
    used_as: Literal["features"] | None = None
    """``features`` declares that nobody reads a head of the model; None that anybody may."""
    control: bool = False
    """Whether to search a copy of the model with triggers planted in it as well."""
    all_files: bool = False
    """Whether to fetch all files of a Hub model, also those that nothing loads."""
    files_only: bool = False
    """Whether to stop after the file probes, without torch."""
    fail_fast: bool = False
    """Whether a search ends with the first probe whose finding fails the model."""
    inspected: Path | None = None
    """File of texts to inspect with the model, one a line; None to search the model itself."""
    texts: Path | None = None
    """File of carrier texts, one a line; None for bundled ones."""
    language: tuple[str, ...] = ()
    """Codes of the languages of bundled carrier texts; empty for those that the tokenizer spells
    best."""
    fail_on: Severity | None = Severity.HIGH
    """The mildest severity that fails; None lets no finding fail."""
    offline: bool = False
    """Whether to use only what is on disk."""
    cache_dir: Path | None = None
    """Cache of downloaded models; None for that of huggingface_hub."""
    revision: str | None = None
    """Branch, tag or commit of a Hub model."""
    reference: str | None = None
    """Clean base model to compare with: a folder, or ``org/name@revision`` on the Hub."""
    base: str | None = None
    """What an adapter is put on: a folder, or ``org/name@revision`` on the Hub; None for what the
    adapter names itself."""
    adapter: tuple[str, ...] = ()
    """Adapters that are put on the model, in their order: folders, or ``org/name@revision``."""
    also: tuple[str, ...] = ()
    """Copies that are checked as well: ``quantised:int8``, ``quantised:nf4``."""
    shrunken: Literal["int8", "nf4"] | None = None
    """How the matrices are rounded before the model is searched; None for not at all."""
    adapter_folder: str | None = None
    """Folder of the adapter that is meant, where a repository has several; None for the first."""
    rules: Path | None = None
    """Folder of further rules."""
    signers: tuple[str, ...] = ()
    """Who may have signed the model: files with a public key or certificates, or
    ``identity=NAME,issuer=URL,trust=FILE`` for Sigstore."""
    require_signature: bool = False
    """Whether the model must not pass without a signature of one of them."""
    waivers: Waivers = NO_WAIVERS
    """Findings that do not count: waived ones and those of a baseline."""
    locked: Mapping[str, str] | None = None
    """SHA-256 of each file of the model as a lock file has it; None without one."""
    pinned: Mapping[str, Pinned] = field(default_factory=dict)
    """What a lock file holds of other models, by their names: a base or adapters among them."""

    @property
    def source_options(self) -> SourceOptions:
        """How to find and fetch the model."""
        return SourceOptions(
            revision=self.revision,
            offline=self.offline,
            cache_dir=self.cache_dir,
            allow_pickle=self.allow_pickle,
            locked=self.locked,
            backend=self.backend,
            all_files=self.all_files,
            pinned=self.pinned,
            adapter_folder=self.adapter_folder,
            signers=self.signers,
            require_signature=self.require_signature,
        )

    @property
    def reference_options(self) -> SourceOptions:
        """How to find and fetch the reference, of which only its weights matter."""
        return replace(
            self.source_options,
            revision=None,
            locked=None,
            all_files=False,
            adapter_folder=None,
            signers=(),
            require_signature=False,
        )

    def told(self) -> dict[str, Scalar]:
        """The settings as a report shows them; what it shows elsewhere is left out."""
        names = (field.name for field in fields(self) if field.name not in _UNTOLD)
        return {name: _told(getattr(self, name), name) for name in names}


def _told(value: object, name: str) -> Scalar:
    """One setting as something that survives JSON; an endless time limit is none."""
    match value:
        case Severity():
            return value.name.lower()
        case Path():
            return value.as_posix()
        case tuple():
            return (" | " if name == "signers" else ",").join(value) or None
        case float() if not math.isfinite(value):
            return None
        case str() | bool() | int() | float():
            return value
        case _:
            return "none" if name == "fail_on" else None
