"""Reading safetensors headers: what is accepted, what is refused, and the same as the library."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from safetensors import SafetensorError, safe_open

from plmscan.errors import ArtifactError
from plmscan.headers import (
    TensorInfo,
    parameter_count,
    read_header,
    tensor_names,
    tensors_of,
    word_embedding,
)
from tests.artifacts import artifact_of, write_safetensors

if TYPE_CHECKING:
    from pathlib import Path

F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def raw(header: object, data: int = 8) -> bytes:
    """A safetensors file with this header (JSON, or bytes as they are) and ``data`` zeros."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(data)


BROKEN = {
    "empty": b"",
    "seven-bytes": b"\x02\x00\x00\x00\x00\x00\x00",
    "cut-header": raw({"a": F32})[:20],
    "cut-data": raw({"a": F32}, 7),
    "data-too-long": raw({"a": F32}, 9),
    "huge-header": (2**62).to_bytes(8, "little") + b"{}",
    "list-header": raw([1]),
    "not-json": raw(b"{]"),
    "not-utf8": raw(b'{"\xff": 1}'),
    "deep": raw(b'{"a":' * 5000 + b"1" + b"}" * 5000),
    "overlap": raw({"a": F32, "b": F32}),
    "hole": raw({"a": F32, "b": F32 | {"data_offsets": [16, 24]}}, 24),
    "hole-at-start": raw({"a": F32 | {"data_offsets": [8, 16]}}, 16),
    "backwards": raw({"a": F32 | {"data_offsets": [8, 0]}}),
    "wrong-size": raw({"a": F32 | {"shape": [3]}}),
    "negative-shape": raw({"a": F32 | {"shape": [-1, -2]}}),
    "unknown-type": raw({"a": F32 | {"dtype": "F99"}}),
    "no-offsets": raw({"a": {"dtype": "F32", "shape": [2]}}),
    "entry-no-object": raw({"a": 1}),
    "metadata-no-string": raw({"__metadata__": {"n": 1}, "a": F32}),
    "lfs-pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n",
}
FINE = {
    "one-tensor": raw({"a": F32}),
    "padded": raw(json.dumps({"a": F32}).encode() + b"    "),
    "metadata": raw({"__metadata__": {"format": "pt"}, "a": F32}),
    "empty-tensor": raw({"a": F32, "e": F32 | {"shape": [0, 5], "data_offsets": [8, 8]}}),
    "scalar": raw({"a": {"dtype": "F64", "shape": [], "data_offsets": [0, 8]}}),
    "half-bytes": raw({"a": {"dtype": "F4", "shape": [16], "data_offsets": [0, 8]}}),
    "unsorted": raw({"b": F32 | {"data_offsets": [8, 16]}, "a": F32}, 16),
    "no-tensors": raw({}, 0),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_here_and_by_the_library(tmp_path: Path, content: bytes) -> None:
    """Everything that the library refuses is refused, with a sentence and a remedy."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ArtifactError) as caught:
        read_header(path)
    assert caught.value.problem.startswith("model.safetensors is ")
    assert caught.value.remedy
    with pytest.raises((SafetensorError, OSError)):
        safe_open(path, "np")


@pytest.mark.parametrize("content", FINE.values(), ids=FINE)
def test_a_whole_file_is_read_as_the_library_reads_it(tmp_path: Path, content: bytes) -> None:
    """Names and shapes agree with the library's own."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    tensors = read_header(path).tensors
    with safe_open(path, "np") as opened:
        shapes = {n: tuple(opened.get_slice(n).get_shape()) for n in opened.keys()}  # noqa: SIM118
    assert {name: info.shape for name, info in tensors.items()} == shapes


def test_a_repeated_name_is_refused_even_though_the_library_takes_it(tmp_path: Path) -> None:
    """Readers disagree on which of the two counts."""
    entry = json.dumps(F32).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(raw(b'{"a": ' + entry + b', "a": ' + entry + b"}"))
    with pytest.raises(ArtifactError, match="names 'a' twice"):
        read_header(path)


def test_parameters_are_counted_over_all_shards(tmp_path: Path) -> None:
    """Masks and position ids are no parameters."""
    write_safetensors(tmp_path / "model-1.safetensors", {"w": (3, 4)})
    write_safetensors(tmp_path / "model-2.safetensors", {"position_ids": (1, 9)}, dtype="I64")
    artifact = artifact_of(tmp_path)
    assert parameter_count(artifact) == 12
    assert tensor_names(artifact) == {"w", "position_ids"}
    assert tensors_of(artifact)["w"] == TensorInfo("F32", (3, 4))


def test_weights_without_headers_have_no_known_size(tmp_path: Path) -> None:
    """A pickle is not opened to count its parameters."""
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02}.")
    assert parameter_count(artifact_of(tmp_path)) is None
    assert parameter_count(artifact_of(tmp_path, weights=("pytorch_model.bin",))) is None


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["bert.embeddings.word_embeddings.weight"], "bert.embeddings.word_embeddings.weight"),
        (["transformer.wte.weight", "transformer.wpe.weight"], "transformer.wte.weight"),
        (["encoder.embed_tokens.weight", "shared.weight"], "shared.weight"),
        (["embeddings.tok_embeddings.weight"], "embeddings.tok_embeddings.weight"),
        (["transformer.word_embedding.weight"], "transformer.word_embedding.weight"),
        (["classifier.weight"], None),
    ],
)
def test_the_word_embedding_is_found_by_its_name(names: list[str], expected: str | None) -> None:
    """Each family's name is known, and the table shared by encoder and decoder comes first."""
    found = word_embedding({name: TensorInfo("F32", (5, 2)) for name in names})
    assert (found and found[0]) == expected


@pytest.mark.timeout(20)
def test_a_name_that_comes_twice_among_many_is_found_at_once(tmp_path: Path) -> None:
    """Counting every name once for every name would take minutes."""
    entry = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    names = [*(f"t{i}" for i in range(60_000)), "z", "z"]
    text = ("{" + ",".join(f'"{name}":{entry}' for name in names) + "}").encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(ArtifactError, match="its header names 'z' twice"):
        read_header(path)


@pytest.mark.timeout(20)
def test_a_shape_of_long_numbers_is_not_multiplied_out(tmp_path: Path) -> None:
    """The product of thousands of long numbers would take hours, and no file holds as many."""
    shape = ",".join(["9" * 4000] * 5000)
    text = f'{{"t":{{"dtype":"F32","shape":[{shape}],"data_offsets":[0,0]}}}}'.encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(ArtifactError, match="'t' has 0 bytes, which do not fit its shape"):
        read_header(path)


def test_more_tensors_than_any_model_has_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one file as in all together: whatever is done with each would take too long."""
    monkeypatch.setattr("plmscan.headers._MOST_TENSORS", 3)
    for number in (1, 2):
        names = (f"{number}{letter}" for letter in "ab")
        write_safetensors(tmp_path / f"model-{number}.safetensors", dict.fromkeys(names, (1,)))
    with pytest.raises(ArtifactError, match="The weights have more than 3 tensors"):
        tensors_of(artifact_of(tmp_path))
    write_safetensors(tmp_path / "model-1.safetensors", dict.fromkeys("abcd", (1,)))
    with pytest.raises(ArtifactError, match="its header has more than 3 tensors"):
        read_header(tmp_path / "model-1.safetensors")
