"""Models in folders: what is taken, what will be loaded, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from plmscan.errors import ArtifactError, ModelNotFoundError, PlmscanError, SourceError
from plmscan.evidence import FileDigest
from plmscan.kinds import Kind
from plmscan.source import ListedFile, SourceOptions, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

CONFIG = {"config.json": '{"model_type": "bert"}'}
INDEX = json.dumps({"metadata": {}, "weight_map": {"a": "w-2.safetensors", "b": "w-1.safetensors"}})
SHARDS = {"w-1.safetensors": "1", "w-2.safetensors": "2"}


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Write text files below ``root``."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def index_of(*shards: str) -> str:
    """An index of sharded weights."""
    return json.dumps({"metadata": {}, "weight_map": dict(enumerate(shards))})


def explicit(name: object) -> dict[str, str]:
    """A config that names its weights itself."""
    return {"config.json": json.dumps({"transformers_weights": name})}


def test_a_folder_is_taken_apart_into_read_hashed_and_listed_files(tmp_path: Path) -> None:
    """Files that matter are hashed at any depth, hidden ones too, and others listed by kind."""
    write(
        tmp_path,
        CONFIG
        | {
            "model.safetensors": "weights",
            "tokenizer.json": "{}",
            "custom_generate/generate.py": "pass",
            "1_Pooling/config.json": "{}",
            "checkpoint-5/optimizer.pt": "pickle",
            "onnx/config.json": "{}",
            "README.md": "words",
            ".git/config.json": "{}",
            ".git/HEAD": "ref",
            ".hidden/config.json": "{}",
            "__pycache__/x.py": "",
        },
    )
    progress: list[float] = []

    artifact = resolve(str(tmp_path), SourceOptions(), lambda done, _: progress.append(done))

    assert [file.path for file in artifact.files] == [
        ".hidden/config.json",
        "1_Pooling/config.json",
        "__pycache__/x.py",
        "checkpoint-5/optimizer.pt",
        "config.json",
        "custom_generate/generate.py",
        "model.safetensors",
        "onnx/config.json",
        "tokenizer.json",
    ]
    digest = hashlib.sha256(b"weights").hexdigest()
    assert FileDigest("model.safetensors", 7, digest, Kind.TEXT) in artifact.files
    assert artifact.not_fetched == (ListedFile("README.md", 5, Kind.TEXT),)
    assert (artifact.id, artifact.revision, artifact.hub_status) == (str(tmp_path), None, None)
    assert artifact.config == {"model_type": "bert"}
    assert progress == sorted(progress)
    assert progress[-1] == 1.0


@pytest.mark.parametrize(
    ("files", "allow_pickle", "weights"),
    [
        (CONFIG | {"model.safetensors": "", "pytorch_model.bin": ""}, True, ["model.safetensors"]),
        (CONFIG | SHARDS | {"model.safetensors": "", "model.safetensors.index.json": INDEX},
         False, ["model.safetensors"]),
        (CONFIG | SHARDS | {"model.safetensors.index.json": INDEX}, False, list(SHARDS)),
        (explicit("sub/x.safetensors") | {"model.safetensors": "", "sub/x.safetensors": ""},
         False, ["sub/x.safetensors"]),
        (explicit("s/x.safetensors.index.json") | SHARDS | {"s/x.safetensors.index.json": INDEX},
         False, list(SHARDS)),
        (CONFIG | {"pytorch_model.bin": "", "pytorch_model.bin.index.json": "{}"},
         True, ["pytorch_model.bin"]),
        (CONFIG | {"a.bin": "", "pytorch_model.bin.index.json": index_of("a.bin")},
         True, ["a.bin"]),
    ],
)  # fmt: skip
def test_the_weights_are_those_that_transformers_loads(
    tmp_path: Path, files: dict[str, str], weights: list[str], *, allow_pickle: bool
) -> None:
    """The choice made before loading is the one that transformers makes."""
    from transformers import modeling_utils  # noqa: PLC0415 - imports torch

    write(tmp_path, files)

    artifact = resolve(str(tmp_path), SourceOptions(allow_pickle=allow_pickle))

    theirs, _ = modeling_utils._get_resolved_checkpoint_files(
        str(tmp_path),
        variant=None,
        gguf_file=None,
        use_safetensors=None,
        user_agent=None,
        is_remote_code=False,
        transformers_explicit_filename=artifact.config.get("transformers_weights"),
    )
    assert list(artifact.weights) == weights
    assert [str(artifact.path(name)) for name in artifact.weights] == theirs
    assert artifact.weights_problem is None
    assert all(artifact.has(name) for name in weights)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"pytorch_model.bin": ""}, "pickled (pytorch_model.bin)"),
        ({"pytorch_model.bin.index.json": index_of("a.bin"), "a.bin": ""}, "pickled"),
        ({"tf_model.h5": "", "onnx/model.onnx": ""}, "onnx/model.onnx, tf_model.h5"),
        ({"adapter_config.json": "{}", "model.safetensors": ""}, "adapter"),
        ({}, "no weight files"),
    ],
)
def test_without_loadable_weights_the_files_can_still_be_checked(
    tmp_path: Path, files: dict[str, str], words: str
) -> None:
    """Pickles and foreign formats give no weights and one sentence, not an error."""
    artifact = resolve(str(write(tmp_path, CONFIG | files)), SourceOptions())

    assert artifact.weights == ()
    assert words in (artifact.weights_problem or "")
    assert {"config.json", *files} == {file.path for file in artifact.files}


@pytest.mark.parametrize(
    ("files", "weights", "words"),
    [
        ({"adapter_model.safetensors": ""}, ["adapter_model.safetensors"], ""),
        ({"adapter_model.bin": ""}, [], "pickled (adapter_model.bin)"),
        ({}, [], "no weights (adapter_model.safetensors)"),
        (CONFIG | {"adapter_model.safetensors": ""}, ["adapter_model.safetensors"], ""),
    ],
)
def test_an_adapter_is_known_by_its_settings(
    tmp_path: Path, files: dict[str, str], weights: list[str], words: str
) -> None:
    """Also beside the config of its base, which no library reads there."""
    artifact = resolve(str(write(tmp_path, {"adapter_config.json": "{}"} | files)), SourceOptions())

    assert artifact.is_adapter
    assert list(artifact.weights) == weights
    assert words in (artifact.weights_problem or "")
    assert artifact.config == {}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "holds no files"),
        ({"model.safetensors": ""}, "holds no config.json"),
        (
            {"modules.json": '[{"path": "0", "type": "x.StaticEmbedding"}]'},
            "consists of StaticEmbedding by modules.json, and of no Transformer",
        ),
        ({"config.json": "{"}, "config.json is not valid JSON"),
        ({"config.json": "\udcff"}, "config.json is not valid JSON"),
        ({"config.json": "[" * 100_000}, "config.json nests too deeply"),
        ({"config.json": "[]"}, "config.json should hold a JSON object, and holds a list"),
        (explicit("../x.safetensors"), "'../x.safetensors', which does not lie in the model"),
        (explicit("/x.safetensors"), "does not lie in the model"),
        (explicit("adapter_model.bin"), "which is not a .safetensors file"),
        (explicit("x.safetensors"), "which is missing"),
        (explicit(3), "does not lie in the model"),
        ({**CONFIG, "model.safetensors.index.json": "{}"}, "lacks a weight_map"),
        ({**CONFIG, "model.safetensors.index.json": index_of()}, "lacks a weight_map"),
        ({**CONFIG, "model.safetensors.index.json": index_of("../w.safetensors")}, "does not lie"),
        ({**CONFIG, "model.safetensors.index.json": index_of("w.bin"), "w.bin": ""},
         "model.safetensors.index.json names the weights 'w.bin', which is not a .safetensors"),
        ({**CONFIG, "model.safetensors.index.json": index_of("w.safetensors")}, "is missing"),
    ],
)  # fmt: skip
def test_a_folder_that_is_no_whole_model_is_refused(
    tmp_path: Path, files: dict[str, str], words: str
) -> None:
    """Empty, broken or half models, and indexes that point elsewhere, give one sentence."""
    (tmp_path / "model").mkdir()
    for name, text in files.items():
        (tmp_path / "model" / name).write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(ArtifactError) as refusal:
        resolve(str(tmp_path / "model"), SourceOptions(allow_pickle=True))

    assert words in refusal.value.problem
    assert "\n" not in refusal.value.diagnostics()
    assert refusal.value.remedy


def leaving(root: Path) -> None:
    """Weights that lie elsewhere."""
    write(root.parent, {"elsewhere": "x"})
    (root / "model.safetensors").symlink_to(root.parent / "elsewhere")


def broken(root: Path) -> None:
    """A tokenizer that points nowhere."""
    (root / "tokenizer.json").symlink_to("nothing")


def folder_link(root: Path) -> None:
    """A template folder that lies elsewhere."""
    (root / "additional_chat_templates").symlink_to(root.parent)


def pipe(root: Path) -> None:
    """A file that would be read forever."""
    os.mkfifo(root / "tokenizer.json")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (leaving, "model.safetensors is a link that leaves the model's folder"),
        (broken, "tokenizer.json is a broken link"),
        (folder_link, "additional_chat_templates is a link to a folder"),
        (pipe, "tokenizer.json is not a regular file"),
    ],
)
def test_what_is_no_file_of_the_folder_is_refused(
    tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    """Links that leave the folder and things that are no files are never read."""
    root = write(tmp_path / "model", CONFIG)
    spoil(root)

    with pytest.raises(ArtifactError) as refusal:
        resolve(str(root), SourceOptions())

    assert words in refusal.value.problem


def test_links_inside_the_folder_and_links_of_other_files_are_fine(tmp_path: Path) -> None:
    """A link counts as the file it points to; a stray link that nobody reads is listed."""
    root = write(tmp_path / "model", CONFIG | {"weights/a.safetensors": "abc"})
    (root / "model.safetensors").symlink_to("weights/a.safetensors")
    (root / "notes.txt").symlink_to("/nothing/here")

    artifact = resolve(str(root), SourceOptions())

    assert {file.path: file.size for file in artifact.files}["model.safetensors"] == 3
    assert artifact.not_fetched == (ListedFile("notes.txt", 0, "no regular file"),)


def test_a_snapshot_of_the_hub_cache_is_a_folder_too(tmp_path: Path) -> None:
    """The cache's own links from a snapshot to its blobs do not leave the model."""
    repository = tmp_path / "models--org--name"
    write(repository / "blobs", {"aa": CONFIG["config.json"]})
    snapshot = repository / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to("../../blobs/aa")

    assert resolve(str(snapshot), SourceOptions()).config == {"model_type": "bert"}


@pytest.mark.parametrize(
    ("source", "revision", "error", "words"),
    [
        ("", None, ModelNotFoundError, "is empty"),
        ("./missing", None, ModelNotFoundError, "There is no folder './missing'."),
        ("/missing/model", None, ModelNotFoundError, "There is no folder '/missing/model'."),
        ("~nobody-here/model", None, ModelNotFoundError, "no folder"),
        ("a/b/c", None, ModelNotFoundError, "no folder"),
        ("x" * 5000 + "/", None, ModelNotFoundError, "no folder"),
        ("https://example.org/m", None, SourceError, "is no archive"),
        ("org/name@", None, SourceError, "names no revision"),
        ("org/name@v1", "v2", SourceError, "two revisions"),
        (".", "v1", SourceError, ". is a folder, and a folder has no revision v1."),
        (__file__, None, ModelNotFoundError, "is not a folder."),
    ],
)
def test_a_source_that_cannot_be_meant_is_refused_without_asking_the_hub(
    source: str, revision: str | None, error: type[PlmscanError], words: str
) -> None:
    """What looks like a path is a path, and contradictions are named."""
    options = SourceOptions(revision=revision, endpoint="http://127.0.0.1:9")

    with pytest.raises(error) as refusal:
        resolve(source, options)

    assert words in refusal.value.problem


def test_an_existing_folder_wins_over_a_hub_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``org/name`` is the folder of that name where there is one, even with an ``@`` in it."""
    write(tmp_path / "org" / "name@v1", CONFIG)
    monkeypatch.chdir(tmp_path)

    assert resolve("org/name@v1", SourceOptions(endpoint="http://127.0.0.1:9")).id == "org/name@v1"


def test_only_files_of_the_artifact_are_read(tmp_path: Path) -> None:
    """A name from a model's own files cannot make plmscan read something else."""
    write(tmp_path, {"secret.json": "{}"})
    artifact = resolve(str(write(tmp_path / "model", CONFIG)), SourceOptions())

    with pytest.raises(ArtifactError, match="has no file"):
        artifact.read_json("../secret.json")


def test_importing_the_source_loads_neither_torch_nor_the_hub_client() -> None:
    """Scanning a folder starts without either."""
    code = (
        "import plmscan.source, sys; print(sorted({'torch', 'huggingface_hub'} & {*sys.modules}))"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "[]\n"


def test_folders_that_nest_too_deeply_are_refused(tmp_path: Path) -> None:
    """Nobody gets that far by hand, and what follows such paths may not come back."""
    (tmp_path.joinpath(*["d"] * 101)).mkdir(parents=True)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ArtifactError, match="nest deeper than those of any model"):
        resolve(str(tmp_path), SourceOptions())
