"""Who signed the files, and are they still those that were signed?"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

from plmscan.errors import in_one_line
from plmscan.evidence import NO_SIGNATURE, Coverage, Evidence, Gap
from plmscan.probes.base import StaticProbe
from plmscan.probes.words import counted, some
from plmscan.source.signers import is_signature

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plmscan.evidence import Observation
    from plmscan.source import Artifact
    from plmscan.source.signers import Signer

__all__ = ["Probe"]

_ID = "model-signature"
_SUBJECT = "signature"
_LARGEST = 2**24
"""Bytes of a signature, which lists every file."""


@dataclass(frozen=True)
class _Checked:
    """What one signature says about the files."""

    file: str
    """Where it lies, seen from the model."""
    signer: Signer | None = None
    """Whose it is; None if of nobody who was named."""
    problem: str = ""
    """What is wrong with it, as a part of a sentence; empty if all is well."""
    others: int = 0
    """Files that it names and nobody read."""


class Probe(StaticProbe):
    """Verifies OpenSSF model signatures against the signers that the user names.

    Whoever replaces the files of a model on its way, to plant a backdoor, cannot sign them as the
    one who made it.  A signature covers the digest of every file; so files that were changed, added
    or taken away since are noticed, by whoever knows the signer.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "broken": "1 if the signature is that of a named signer and the files are others, else 0",
        "foreign": "1 if no named signer made the signature, else 0",
        "missing": "1 if a signature is required and there is none, else 0",
    }
    details: ClassVar[Mapping[str, str]] = {"why": "what is wrong, in words"}
    references: ClassVar[tuple[str, ...]] = (
        "https://github.com/sigstore/model-transparency",
        "https://openssf.org/projects/model-signing/",
    )

    def inspect(self, artifact: Artifact) -> Iterator[Observation]:
        """Look at every signature that lies in the model or beside it."""
        found = _signatures(artifact)
        if not found:
            yield from _without_any(artifact)
        elif not artifact.signers:
            reason = f"{some(found)} was not verified: nobody is named who may sign (--signer)."
            yield Gap(_SUBJECT, reason, blocks_pass=artifact.signature_required)
        else:
            yield from _verified(artifact, found)


def _signatures(artifact: Artifact) -> list[str]:
    """The signatures, seen from the model."""
    inside = [f.path for f in artifact.files if "/" not in f.path and is_signature(f.path)]
    return [*inside, *([artifact.signature.path] if artifact.signature else [])]


def _without_any(artifact: Artifact) -> Iterator[Observation]:
    """What there is to say where nobody has signed."""
    required = artifact.signature_required
    if required:
        yield _evidence(_SUBJECT, "no signature lies beside the model", missing=1.0)
    yield Gap(_SUBJECT, NO_SIGNATURE, blocks_pass=required)


def _verified(artifact: Artifact, found: list[str]) -> Iterator[Observation]:
    """Every signature, by the named signers."""
    try:
        checked = [_checked(artifact, file) for file in found]
    except ImportError as error:
        reason = (
            f"{some(found)} was not verified: the extra signatures is not installed "
            f"({in_one_line(error, 120)}). Install it with pip install 'plmscan[signatures]'."
        )
        yield Gap(_SUBJECT, reason)
        return
    for one in checked:
        if one.signer is None:
            yield _evidence(one.file, one.problem, foreign=1.0)
        elif one.problem:
            yield _evidence(one.file, one.problem, broken=1.0)
        else:
            read = len(artifact.files) - len(found) + bool(artifact.signature)
            more = f"; {counted(one.others, 'file')} that it names nobody read" * bool(one.others)
            yield Coverage(
                f"{one.file}: {one.signer.told} signed {_all(read)} that {_was(read)} read{more}."
            )
    if artifact.signature_required and not any(c.signer and not c.problem for c in checked):
        reason = "No signature of a named signer covers the files as they are."
        yield Gap(_SUBJECT, reason)


def _all(count: int) -> str:
    """So many files, all of them."""
    return "the one file" if count == 1 else f"all {count} files"


def _was(count: int) -> str:
    """The verb of so many files."""
    return "was" if count == 1 else "were"


def _evidence(subject: str, why: str, **found: float) -> Evidence:
    """What is wrong with a signature."""
    metrics = {"broken": 0.0, "foreign": 0.0, "missing": 0.0, **found}
    return Evidence(_ID, subject, metrics, {"why": why})


def _checked(artifact: Artifact, file: str) -> _Checked:
    """What the signature ``file`` says, by the first signer who made it."""
    path = artifact.root.resolve() / file
    if path.stat().st_size > _LARGEST:
        return _Checked(file, None, "it is larger than any signature")
    reasons = []
    for signer in artifact.signers:
        signed = _signed(path, signer)
        if isinstance(signed, str):
            reasons.append(f"{signer.told}: {signed}")
            continue
        problem, others = _compared(artifact, signed)
        return _Checked(file, signer, problem, others)
    return _Checked(file, None, f"no named signer made it ({some(reasons)})")


def _signed(path: object, signer: Signer) -> Any:  # noqa: ANN401 - a manifest of model_signing
    """The manifest that ``signer`` has signed, or why the signature is not theirs.

    The library compares the manifest that it has verified with the hash of the folder; what is
    handed in here for that hash takes the manifest, so that no file is read twice, and files that
    were not fetched count as such.
    """
    hashing = import_module("model_signing.hashing")
    verifying = import_module("model_signing.verifying")

    class Taken:
        """Equals any manifest, and keeps it."""

        manifest: Any = None

        def __eq__(self, other: object) -> bool:
            self.manifest = other
            return True

        __hash__ = None  # type: ignore[assignment] # it equals everything

    taken = Taken()

    class Hashing(hashing.Config):  # type: ignore[misc, name-defined] # imported only where used
        """Hashes nothing."""

        def hash(self, *_: object, **__: object) -> Taken:
            return taken

    config = verifying.Config().set_hashing_config(Hashing())
    try:
        if signer.kind == "key":
            config.use_elliptic_key_verifier(public_key=signer.file)
        elif signer.kind == "certificates":
            config.use_certificate_verifier(certificate_chain=[signer.file])
        else:
            config.use_sigstore_verifier(
                identity=signer.identity, oidc_issuer=signer.issuer, trust_config=signer.file
            )
        config.verify(str(path), path)
    except ImportError:
        raise
    except Exception as error:  # noqa: BLE001 - hostile bundles raise anything
        return in_one_line(error, 120)
    return "it holds no manifest" if taken.manifest is None else taken.manifest


def _compared(artifact: Artifact, manifest: Any) -> tuple[str, int]:  # noqa: ANN401 - see `_signed`
    """What differs between the files and those that were signed, and how many nobody read."""
    signed: dict[str, tuple[str, str]] = {
        PurePosixPath(item.identifier).as_posix(): (item.digest.algorithm, item.digest.digest_hex)
        for item in manifest.resource_descriptors()
    }
    if any(algorithm != "sha256" for algorithm, _ in signed.values()):
        return "it signs no SHA-256 of whole files, which is what is compared here", 0
    present = {file.path: file.sha256 for file in artifact.files if not is_signature(file.path)}
    unread = {file.path for file in artifact.not_fetched}
    changed = [p for p, digest in present.items() if p in signed and signed[p][1] != digest]
    added = [p for p in present if p not in signed]
    gone = [p for p in signed if p not in present and p not in unread and not is_signature(p)]
    told = (("changed", changed), ("not signed", added), ("gone", gone))
    problems = [f"{what}: {some(sorted(names))}" for what, names in told if names]
    return "; ".join(problems), len(signed.keys() & unread)
