"""Who may have signed a model, as the user names them; and where a signature lies.

A signer is a file with a public key or with certificates (PEM), or whoever Sigstore knows by
``identity=NAME,issuer=URL,trust=FILE``, where the file is Sigstore's trusted root, so that nobody
has to be asked.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from plmscan.errors import SourceError
from plmscan.evidence import FileDigest
from plmscan.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Signer", "beside", "is_signature", "signer", "with_files"]

_LARGEST = 2**20
_PARTS = ("identity", "issuer", "trust")
_ENDS = (".sig", ".sigstore", ".sigstore.json")
_FORMS = "Name a file with a public key or certificates, or identity=NAME,issuer=URL,trust=FILE."


@dataclass(frozen=True)
class Signer:
    """Somebody whose signature counts."""

    kind: str
    """``key``, ``certificates`` or ``sigstore``."""
    file: Path
    """The key, the certificates, or Sigstore's trusted root; absolute."""
    sha256: str
    """Digest of that file."""
    identity: str = ""
    """Who signed, as the issuer knows them; only for Sigstore."""
    issuer: str = ""
    """Address of whoever vouches for that; only for Sigstore."""

    @property
    def told(self) -> str:
        """Who it is, for a report."""
        if self.kind == "sigstore":
            return f"{self.identity} (by {self.issuer})"
        what = "the key" if self.kind == "key" else "the certificates"
        return f"{what} {self.file.name} (sha256 {self.sha256[:16]})"


def is_signature(name: str) -> bool:
    """Whether the name is that of a signature."""
    return name.lower().endswith(_ENDS)


def with_files(text: str, change: Callable[[str], str]) -> str:
    """The signer ``text`` with its file changed, as a configuration has to."""
    if "=" not in text:
        return change(text)
    parts = (part.partition("=") for part in text.split(","))
    return ",".join(
        f"{name}={change(value) if name.strip() == 'trust' else value}" for name, _, value in parts
    )


def signer(text: str) -> Signer:
    """The signer that ``text`` names.

    Raises:
        SourceError: it names none, or its file cannot be used.
    """
    if "=" in text:
        return _by_sigstore(text)
    file, content = _read(text)
    if b"-----BEGIN CERTIFICATE-----" in content:
        kind = "certificates"
    elif b"-----BEGIN PUBLIC KEY-----" in content:
        kind = "key"
    else:
        msg = f"The signer {text} is a file that holds neither a public key nor certificates (PEM)."
        raise SourceError(msg, _FORMS)
    return Signer(kind, file, hashlib.sha256(content).hexdigest())


def beside(root: Path) -> FileDigest | None:
    """The signature ``NAME.sig`` that lies beside the folder ``NAME``; None without one."""
    file = root.resolve()
    file = file.with_name(f"{file.name}.sig")
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST + 1)
    except OSError:
        return None
    sha256 = hashlib.sha256(content).hexdigest()
    return FileDigest(f"../{file.name}", len(content), sha256, Kind.JSON)


def _by_sigstore(text: str) -> Signer:
    """The signer that Sigstore knows."""
    given = {
        name.strip(): value.strip()
        for name, _, value in (part.partition("=") for part in text.split(","))
    }
    if tuple(sorted(given)) != tuple(sorted(_PARTS)) or not all(given.values()):
        msg = f"The signer {text!r} does not name {', '.join(_PARTS)}, each once."
        raise SourceError(msg, _FORMS)
    file, content = _read(given["trust"])
    digest = hashlib.sha256(content).hexdigest()
    return Signer("sigstore", file, digest, given["identity"], given["issuer"])


def _read(name: str) -> tuple[Path, bytes]:
    """A small file, and what it holds.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        file = Path(name).expanduser().absolute()
    except RuntimeError:
        msg = f"The signer {name} cannot be a path."
        raise SourceError(msg, "Nobody here has that name.") from None
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST + 1)
    except OSError as error:
        msg = f"The signer {name} cannot be read: {error.strerror}."
        raise SourceError(msg, _FORMS) from error
    if len(content) > _LARGEST:
        msg = f"The signer {name} is a file larger than {_LARGEST >> 20} MiB."
        raise SourceError(msg, _FORMS)
    return file, content
