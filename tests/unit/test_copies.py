"""Models behind addresses: copied with digests before anything is read, and nothing else."""

from __future__ import annotations

import io
import json
import stat
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import fsspec
import pytest

from plmscan.config.names import key_of
from plmscan.errors import ArtifactError, HubUnreachableError, ModelNotFoundError, SourceError
from plmscan.source import SourceOptions, is_address, is_folder, name_of, resolve
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model; read only."""
    return build_tiny("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture
def store(model: Path) -> Iterator[fsspec.AbstractFileSystem]:
    """An object store in memory that holds the model as ``memory://bucket/model``."""
    memory = fsspec.filesystem("memory")
    for file in model.iterdir():
        memory.pipe(f"/bucket/model/{file.name}", file.read_bytes())
    yield memory
    memory.rm("/bucket", recursive=True)


@pytest.fixture
def options(tmp_path: Path) -> SourceOptions:
    """A cache of its own."""
    return SourceOptions(cache_dir=tmp_path / "cache")


def zipped(files: Mapping[str, bytes], mode: int = 0) -> bytes:
    """An archive of ``files``."""
    target = io.BytesIO()
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            member = ZipInfo(name)
            member.external_attr = mode << 16
            member.compress_type = ZIP_DEFLATED
            archive.writestr(member, content)
    return target.getvalue()


def digests(source: str, options: SourceOptions) -> dict[str, str]:
    """SHA-256 by path of a model."""
    return {file.path: file.sha256 for file in resolve(source, options).files}


@pytest.mark.usefixtures("store")
def test_a_model_in_a_store_is_the_model_in_a_folder(model: Path, options: SourceOptions) -> None:
    """The same files with the same digests, under the name that was typed."""
    found = resolve("memory://bucket/model", options)
    assert found.id == "memory://bucket/model"
    assert found.root != model
    assert digests("memory://bucket/model", options) == digests(str(model), options)


def test_a_copy_is_made_anew_where_the_store_changed(
    store: fsspec.AbstractFileSystem, options: SourceOptions
) -> None:
    """A file of the same size and another time is fetched again; without the network, the last."""
    before = digests("memory://bucket/model", options)
    config = json.loads(store.cat("/bucket/model/config.json"))
    text = json.dumps(config | {"hidden_size": config["hidden_size"]}, indent=2) + "\n"
    store.pipe("/bucket/model/config.json", text.encode())
    after = digests("memory://bucket/model", options)
    assert after.keys() == before.keys()
    store.rm("/bucket/model/config.json")
    offline = SourceOptions(cache_dir=options.cache_dir, offline=True)
    assert digests("memory://bucket/model", offline) == after
    with pytest.raises(HubUnreachableError, match="There is no copy of memory://bucket/other"):
        resolve("memory://bucket/other", offline)


@pytest.mark.usefixtures("store")
def test_a_copy_that_was_changed_is_refused(options: SourceOptions) -> None:
    """Whoever writes to the cache changes no model unnoticed."""
    found = resolve("memory://bucket/model", options)
    with found.path("config.json").open("a", encoding="utf-8") as file:
        file.write(" ")
    with pytest.raises(ArtifactError, match=r"is not what came: config\.json differs"):
        resolve("memory://bucket/model", options)


def test_an_archive_is_taken_apart(
    store: fsspec.AbstractFileSystem, model: Path, options: SourceOptions
) -> None:
    """Its only folder is the model."""
    files = {f"toy/{file.name}": file.read_bytes() for file in model.iterdir()}
    store.pipe("/bucket/toy.zip", zipped(files))
    assert digests("memory://bucket/toy.zip", options) == digests(str(model), options)


@pytest.mark.parametrize(
    ("files", "mode", "told"),
    [
        ({"../config.json": b"{}"}, 0, "which no folder can hold"),
        ({"/etc/config.json": b"{}"}, 0, "which no folder can hold"),
        ({"a/config.json": b"{}", "A/CONFIG.json": b"{}"}, 0, "which no folder can hold"),
        ({"config.json": b"/etc/passwd"}, stat.S_IFLNK | 0o777, "which is no regular file"),
        ({"model.safetensors": bytes(2**30 + 2**21)}, 0, "and would grow to"),
        ({}, 0, "holds no files"),
    ],
)
def test_an_archive_that_leads_elsewhere_is_refused(
    store: fsspec.AbstractFileSystem,
    options: SourceOptions,
    tmp_path: Path,
    files: Mapping[str, bytes],
    mode: int,
    told: str,
) -> None:
    """Before a byte of it is written, and nothing of it stays."""
    if "would grow" in told:
        pytest.MonkeyPatch().setattr("plmscan.source.copies.archives._FREE", 2**20)
        files = {"model.safetensors": bytes(2**25)}
    store.pipe("/bucket/bad.zip", zipped(files, mode))
    with pytest.raises(SourceError, match=told):
        resolve("memory://bucket/bad.zip", options)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.suffix == ".json"]


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("memory://bucket/nothing", "There is nothing at memory://bucket/nothing."),
        ("zip::memory://bucket/toy.zip", "is a chain of addresses"),
        ("file:///etc", "is a file of this machine"),
        ("https://example.org/models/toy", "is no archive"),
        ("https://user:secret@example.org/toy.zip", "holds more than a place"),
        ("https://example.org/toy.zip?token=secret", "holds more than a place"),
        ("nosuch://bucket/model", "cannot be read"),
    ],
)
def test_an_address_that_is_none_is_refused(
    options: SourceOptions, address: str, told: str
) -> None:
    """In a sentence that shows no secret."""
    with pytest.raises(SourceError) as refused:
        resolve(address, options)
    assert told in refused.value.problem
    assert "secret" not in refused.value.diagnostics()


def test_an_address_has_no_revision(options: SourceOptions) -> None:
    """What is behind it is what is there."""
    with pytest.raises(ModelNotFoundError):
        resolve("memory://bucket/model", options)
    asked = SourceOptions(revision="v1", cache_dir=options.cache_dir)
    with pytest.raises(SourceError, match="has no revision v1"):
        resolve("memory://bucket/model", asked)


@pytest.mark.parametrize("address", ["s3://bucket/a/b", "mlflow:toy@best", "gs://x"])
def test_an_address_is_neither_a_folder_nor_a_hub_model(address: str, tmp_path: Path) -> None:
    """It is called what it is, wherever a file names it."""
    assert is_address(address)
    assert not is_folder(address)
    assert name_of(address) == address
    assert key_of(address, None, tmp_path) == address


@pytest.mark.parametrize("name", ["org/name", "./a:b", "C:\\models", "org/name@v1"])
def test_no_other_name_is_an_address(name: str) -> None:
    """Folders and Hub models are not."""
    assert not is_address(name)
