"""Signatures of models: whose they are, and whether the files are those that were signed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from typer.testing import CliRunner

from plmscan.cli import app
from plmscan.errors import SourceError
from plmscan.evidence import Verdict
from plmscan.probes.static.model_signature import Probe
from plmscan.reports import Format, render
from plmscan.scan import Settings, check
from plmscan.source import SourceOptions, resolve
from plmscan.source.signers import signer
from tests.artifacts import coverage_of, fired, gaps_of
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from plmscan.source import Artifact

signing = pytest.importorskip("model_signing.signing")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs of keys: ``ours`` and ``theirs``."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / f"{name}.key").write_bytes(private)
        (folder / f"{name}.pub").write_bytes(public)
    return folder


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Path:
    """A model that ``ours`` has signed; read only."""
    folder = build_tiny("bert", tmp_path_factory.mktemp("bert") / "model")
    (folder / "README.md").write_text("A model.")
    sign(folder, folder / "model.sig", keys / "ours.key")
    return folder


def sign(folder: Path, signature: Path, key: Path) -> None:
    """Sign all files of ``folder``."""
    signing.Config().use_elliptic_key_signer(private_key=key).sign(folder, signature)


def found(folder: Path, *signers: object, required: bool = False) -> Artifact:
    """The model, with those who may have signed it."""
    named = tuple(map(str, signers))
    return resolve(str(folder), SourceOptions(signers=named, require_signature=required))


def test_a_signature_of_a_named_signer_is_told(signed: Path, keys: Path) -> None:
    """With who it is, how many files it covers, and how many nobody read; no rule fires."""
    artifact = found(signed, keys / "ours.pub", required=True)
    (coverage,) = coverage_of(Probe(), artifact)
    read = len(artifact.files) - 1
    assert coverage.statement.startswith("model.sig: the key ours.pub (sha256 ")
    assert f"signed all {read} files that were read; 1 file that" in coverage.statement
    assert not fired(Probe(), artifact)
    assert not gaps_of(Probe(), artifact)


def test_files_that_changed_since_break_it(signed: Path, keys: Path, tmp_path: Path) -> None:
    """Whichever file that is read, one more than was signed, or one that is gone."""
    for number, change in enumerate((altered, added, removed)):
        folder = Path(shutil.copytree(signed, tmp_path / str(number)))
        change(folder)
        artifact = found(folder, keys / "ours.pub", required=True)
        assert fired(Probe(), artifact) == ["PLM194"]
        assert any(gap.blocks_pass for gap in gaps_of(Probe(), artifact))


def altered(folder: Path) -> None:
    """Change a byte of the configuration."""
    with (folder / "config.json").open("a", encoding="utf-8") as file:
        file.write(" ")


def added(folder: Path) -> None:
    """Add a file that a loader reads."""
    (folder / "extra_config.json").write_text("{}")


def removed(folder: Path) -> None:
    """Take a file away."""
    (folder / "tokenizer_config.json").unlink()


def test_a_signature_of_somebody_else_is_foreign(signed: Path, keys: Path, tmp_path: Path) -> None:
    """So is one that is no signature at all; with two signers one of them is enough."""
    assert fired(Probe(), found(signed, keys / "theirs.pub")) == ["PLM195"]
    assert not fired(Probe(), found(signed, keys / "theirs.pub", keys / "ours.pub"))
    folder = Path(shutil.copytree(signed, tmp_path / "model"))
    (folder / "model.sig").write_text("{}")
    assert fired(Probe(), found(folder, keys / "ours.pub")) == ["PLM195"]


def test_a_signature_beside_the_folder_counts(signed: Path, keys: Path, tmp_path: Path) -> None:
    """As signing tools lay it there: NAME.sig beside the folder NAME."""
    folder = Path(shutil.copytree(signed, tmp_path / "toy"))
    (folder / "model.sig").unlink()
    sign(folder, tmp_path / "toy.sig", keys / "ours.key")
    (coverage,) = coverage_of(Probe(), found(folder, keys / "ours.pub", required=True))
    assert coverage.statement.startswith("../toy.sig: the key ours.pub")


def test_nothing_is_said_to_be_verified_without_a_signer(signed: Path) -> None:
    """The signature is named, and that nobody was named who may sign."""
    (gap,) = gaps_of(Probe(), found(signed))
    assert gap.reason == "model.sig was not verified: nobody is named who may sign (--signer)."
    assert not gap.blocks_pass
    (required,) = gaps_of(Probe(), found(signed, required=True))
    assert required.blocks_pass


def test_a_missing_signature_never_passes_where_one_is_required(
    signed: Path, keys: Path, tmp_path: Path
) -> None:
    """It fails; and where no finding may fail, it is inconclusive."""
    folder = Path(shutil.copytree(signed, tmp_path / "model"))
    (folder / "model.sig").unlink()
    ours = (str(keys / "ours.pub"),)
    asked = Settings(files_only=True, signers=ours, require_signature=True)
    assert check(str(folder), asked).verdict is Verdict.FAIL
    lenient = check(str(folder), replace(asked, fail_on=None))
    assert lenient.verdict is Verdict.INCONCLUSIVE
    assert check(str(folder), Settings(files_only=True, signers=ours)).verdict is Verdict.PASS


@pytest.mark.parametrize(
    "form",
    [Format.CONSOLE, Format.JSON, Format.MARKDOWN, Format.HTML, Format.SARIF, Format.IN_TOTO,
     Format.CYCLONEDX],
)  # fmt: skip
def test_every_format_tells_the_signature(signed: Path, keys: Path, form: Format) -> None:
    """Whose it is stands in what people and programs read."""
    asked = Settings(files_only=True, signers=(str(keys / "ours.pub"),))
    assert "ours.pub" in render(check(str(signed), asked), form)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nowhere.pem", "cannot be read"),
        ("~nobody-here/key.pem", "cannot be a path"),
        (__file__, "holds neither a public key nor certificates"),
        ("identity=me,issuer=https://id.example", "does not name identity, issuer, trust"),
    ],
)
def test_a_signer_that_is_none_is_refused(text: str, told: str) -> None:
    """Before anything is fetched."""
    with pytest.raises(SourceError, match=told):
        signer(text)


def test_a_signature_by_certificate_is_verified(signed: Path, keys: Path, tmp_path: Path) -> None:
    """By the certificates that are named; those of another issuer are not enough."""
    ours, leaf = chain(tmp_path, "ours")
    theirs, _ = chain(tmp_path, "theirs")
    folder = Path(shutil.copytree(signed, tmp_path / "model"))
    (folder / "model.sig").unlink()
    config = signing.Config().use_certificate_signer(
        private_key=tmp_path / "ours.leaf.key", signing_certificate=leaf, certificate_chain=[ours]
    )
    config.sign(folder, folder / "model.sig")
    (coverage,) = coverage_of(Probe(), found(folder, ours, required=True))
    assert "the certificates ours.pem" in coverage.statement
    assert fired(Probe(), found(folder, theirs)) == ["PLM195"]


def chain(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate authority and a certificate for signing that it has issued."""
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415 - only this test needs them

    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    now, root_key = datetime.now(UTC), ec.generate_private_key(ec.SECP256R1())
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    called = {
        who: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} {who}")])
        for who in ("root", "leaf")
    }

    def issued(who: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        is_root = who == "root"
        return (
            x509.CertificateBuilder()
            .subject_name(called[who])
            .issuer_name(called["root"])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True, content_commitment=False, key_encipherment=False,
                    data_encipherment=False, key_agreement=False, key_cert_sign=is_root,
                    crl_sign=is_root, encipher_only=False, decipher_only=False,
                ),
                critical=True,
            )
            .sign(root_key, hashes.SHA256())
        )  # fmt: skip

    root, leaf = folder / f"{name}.pem", folder / f"{name}.leaf.pem"
    root.write_bytes(issued("root", root_key).public_bytes(Encoding.PEM))
    leaf.write_bytes(issued("leaf", leaf_key).public_bytes(Encoding.PEM))
    private = leaf_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{name}.leaf.key").write_bytes(private)
    return root, leaf


def test_a_lock_file_names_who_may_sign(
    signed: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check verifies by it without a word, as it does where others are named for that once."""
    for name in ("ours.pub", "theirs.pub"):
        shutil.copyfile(keys / name, tmp_path / name)
    shutil.copytree(signed, tmp_path / "model")
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, args)
        return done.exit_code, done.stdout + done.stderr

    check_it = ("check", "./model", "--files-only", "--no-cache", "--verbose")
    assert run("lock", "./model", "--signer", "ours.pub")[0] == 0
    code, told = run(*check_it, "--require-signature")
    assert code == 0
    assert "model.sig: the key ours.pub (sha256" in told
    assert run("lock", "./model")[0] == 0
    assert run(*check_it, "--require-signature")[0] == 0
    code, told = run(*check_it, "--signer", "theirs.pub")
    assert code == 1
    assert "plmscan.lock names other signers of ./model; those that are named here count." in told
    assert run("lock", "./model", "--signer", "theirs.pub")[0] == 0
    assert run(*check_it)[0] == 1
    (tmp_path / "theirs.pub").unlink()
    code, told = run(*check_it)
    assert code == 2
    assert "The signer theirs.pub cannot be read" in " ".join(told.split())
