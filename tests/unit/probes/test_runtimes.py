"""Files of other runtimes: what they are, and what they can do besides computing."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plmscan.evidence import Gap
from plmscan.kinds import Kind
from plmscan.layout import leaves
from plmscan.probes.static.chat_templates import Probe as TemplateProbe
from plmscan.probes.static.runtimes import Probe
from plmscan.runtimes.gguf import templates
from plmscan.runtimes.gguf import without_numbers as short_gguf
from plmscan.runtimes.keras import code_layers
from plmscan.runtimes.keras import without_numbers as short_keras
from plmscan.runtimes.onnx import files_and_operations
from plmscan.runtimes.onnx import without_numbers as short_onnx
from plmscan.runtimes.wire import written
from plmscan.source import SourceOptions, resolve
from tests.artifacts import evidence_of, fired
from tests.wire_formats import field, gguf, onnx, string

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from plmscan.source import Artifact

CONFIG = {"config.json": b'{"model_type": "bert"}'}


def keras(layer: Mapping[str, object]) -> Callable[[Path], None]:
    """Writes a ``.keras`` archive with one layer."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            config = {"class_name": "Functional", "config": {"layers": [layer]}}
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n")

    return write


def torchscript(path: Path) -> None:
    """An archive with a program."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/constants.pkl", b"\x80\x02).")
        archive.writestr("model/code/__torch__.py", "def forward(self): pass")


def model(tmp_path: Path, files: Mapping[str, bytes | Callable[[Path], None]]) -> Artifact:
    """A model with these files beside its configuration."""
    for name, content in {**CONFIG, **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content)
    return resolve(str(tmp_path), SourceOptions())


def gaps(artifact: Artifact) -> list[Gap]:
    """What the probe leaves out."""
    return [o for o in Probe().inspect(artifact) if isinstance(o, Gap)]


def function(module: str, name: str) -> dict[str, object]:
    """A layer that names a function, as Keras describes it."""
    named = {"module": module, "class_name": "function", "config": name, "registered_name": name}
    return {"class_name": "Dense", "module": "keras.layers", "config": {"activation": named}}


def hdf5(layer: Mapping[str, object], size: int = 9) -> bytes:
    """An HDF5 file with numbers, and with the description of one layer where Keras looks for it."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["w"] = np.zeros(size)
        file.attrs["model_config"] = json.dumps(layer)
    return buffer.getvalue()


def found_in(data: bytes) -> list[str]:
    """Layers that are code in a file of Keras."""
    return code_layers(io.BytesIO(data), len(data))


HONEST = {
    "onnx/model.onnx": onnx("model.onnx_data"),
    "onnx/model.onnx_data": bytes(64),
    "openvino/openvino_model.xml": b"<?xml version='1.0'?><net></net>",
    "openvino/openvino_model.bin": bytes(range(7, 256)),
    "tf_model.h5": hdf5({"class_name": "Dense", "module": "keras.layers"}),
    "flax_model.msgpack": b"\x81\xa4bert",
    "rust_model.ot": b"\x00\x01",
    "gguf/model.gguf": gguf(("general.name", 8, string("a"))),
    "coreml/x.mlpackage/Data/weight.bin": bytes(range(7, 256)),
    "saved_model.pb": b"\x0a\x05RestoreV2",
    "variables/variables.data-00000-of-00001": bytes(range(7, 256)),
    "model.keras": keras({"class_name": "Dense", "module": "keras.layers"}),
    "own.keras": keras(function("builtins", "relu")),
    "activations.keras": keras(function("keras.src.activations", "gelu")),
    "activations.h5": hdf5(function("keras.activations", "gelu")),
    "losses.h5": hdf5(function("tensorflow.python.keras.losses", "mse")),
}
"""What repositories hold for other runtimes, with nothing wrong in it."""


def test_files_of_other_runtimes_are_named_and_withhold_nothing(tmp_path: Path) -> None:
    """They are no reason to refuse a model that is loaded from safetensors."""
    artifact = model(tmp_path, HONEST)
    named = " ".join(gap.subject + gap.reason for gap in gaps(artifact))
    for kind in (Kind.ONNX, Kind.OPENVINO, Kind.HDF5, Kind.FLAX, Kind.RUST, Kind.GGUF):
        assert kind in named
    for kind in (Kind.CORE_ML, Kind.TENSORFLOW):
        assert kind in named
    assert not any(gap.blocks_pass for gap in gaps(artifact))
    assert fired(Probe(), artifact) == []


@pytest.mark.parametrize(("backend", "blocking"), [("torch", 0), ("onnx", 1), ("openvino", 1)])
def test_a_declared_backend_that_nobody_reads_blocks(
    tmp_path: Path, backend: str, blocking: int
) -> None:
    """What the user runs is then not what was measured."""
    artifact = replace(model(tmp_path, HONEST), backend=backend)
    assert sum(gap.blocks_pass for gap in gaps(artifact)) == blocking


def test_a_declared_backend_without_a_file_blocks(tmp_path: Path) -> None:
    """The library would convert weights, and run the result."""
    artifact = replace(model(tmp_path, {}), backend="onnx")
    (gap,) = gaps(artifact)
    assert gap.blocks_pass
    assert "no file for it" in gap.reason


def small_hdf5() -> bytes:
    """A Keras model with one tensor."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["w"] = np.arange(3)
        file.attrs["model_config"] = "{}"
    return buffer.getvalue()


SMALL_HDF5 = small_hdf5()
PATHS = ["/etc/passwd", "../x", "a/../../x", "C:\\x", "\\\\host\\x", "~/x"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("turned", [False, True])
def test_an_onnx_model_that_reads_outside_is_found(
    tmp_path: Path, path: str, *, turned: bool
) -> None:
    """Wherever the path leads out, and in whatever order its entry is written."""
    artifact = model(tmp_path, {"a.onnx": onnx("fine", path, turned=turned)})
    assert fired(Probe(), artifact) == ["PLM181"]


def test_groups_are_passed_over(tmp_path: Path) -> None:
    """What stands in them counts for no reader, and what follows them does."""
    group = b"\x0b" + field(7, b"not a graph") + b"\x13\x14" + b"\x0c"
    artifact = model(tmp_path, {"a.onnx": group + onnx("/etc/passwd")})
    assert fired(Probe(), artifact) == ["PLM181"]


def test_zeros_are_no_message() -> None:
    """No field has the number 0, so a file of zeros is refused by its first byte."""
    with pytest.raises(ValueError, match="without a number"):
        files_and_operations(io.BytesIO(bytes(99)), 99)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=300), max_size=5))
def test_a_shortened_onnx_model_reads_the_same_files(paths: list[str]) -> None:
    """The copy of a large model says what all of it says."""
    whole = onnx(*paths)
    short = short_onnx(io.BytesIO(whole), len(whole))
    found, _ = files_and_operations(io.BytesIO(whole), len(whole))
    again, _ = files_and_operations(io.BytesIO(short), len(short))
    assert again == found == sorted(set(paths))


@given(st.dictionaries(st.text("abc._", max_size=9), st.text(max_size=99), max_size=4))
def test_a_shortened_gguf_model_holds_the_same_templates(texts: dict[str, str]) -> None:
    """And no vocabulary."""
    entries = [
        ("tokenizer.chat_template" + name, 8, struct.pack("<Q", len(t.encode())) + t.encode())
        for name, t in texts.items()
    ]
    token = b"\xff\xfe"  # which no text holds
    held = struct.pack("<IQ", 8, 99) + (struct.pack("<Q", len(token)) + token) * 99
    tokens = ("tokens", 9, held)
    whole = gguf(tokens, *entries)
    short = short_gguf(io.BytesIO(whole), len(whole))
    found = dict(templates(io.BytesIO(whole), len(whole)))
    assert dict(templates(io.BytesIO(short), len(short))) == found
    assert len(found) == len(texts)
    assert token not in short


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("kind", [str, str.encode, np.bytes_])
@pytest.mark.parametrize("length", [10, 100_000])
def test_the_configuration_of_an_hdf5_file_is_found_by_its_structure(
    libver: str, kind: Callable[[str], object], length: int
) -> None:
    """However the library writes it, a small part of the file tells the layers."""
    buffer = io.BytesIO()
    config = json.dumps({"class_name": "Lambda", "words": "w" * length})
    with h5py.File(buffer, "w", libver=libver) as file:
        for number in range(40):
            file[f"group{number}/w"] = np.arange(5000.0)
        fits = length < 2**16 or kind is not np.bytes_  # which goes into the header itself
        file.attrs["model_config"] = kind(config) if fits else config
        file.attrs["numbers"] = np.arange(3)
    short = short_keras(buffer)
    assert found_in(short) == ["Lambda"]
    assert len(short) < length + 200


@pytest.mark.parametrize(
    "spelt",
    [
        '"class_name":            "Lambda"',
        '"cl\\u0061ss_name": "Lambda"',
        '"class_name"\n\n\n\n\n\n\n\n\n\n\n\n:"Lambda"',
    ],
)
def test_a_layer_is_found_however_its_json_is_spelt(spelt: str) -> None:
    """As the loader parses it, in the whole file and in its short copy."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["model_config"] = "{" + spelt + "}"
    assert found_in(buffer.getvalue()) == ["Lambda"]
    assert found_in(short_keras(buffer)) == ["Lambda"]


def test_a_template_in_a_list_is_read() -> None:
    """A loader takes the only text of a list; lists of other types hold none."""
    listed = struct.pack("<IQ", 8, 1) + string("{{ x }}")
    numbers = struct.pack("<IQ", 4, 2) + bytes(8)
    whole = gguf(("tokenizer.chat_template", 9, listed), ("tokenizer.chat_template.b", 9, numbers))
    found = [("tokenizer.chat_template", "{{ x }}")]
    assert list(templates(io.BytesIO(whole), len(whole))) == found
    short = short_gguf(io.BytesIO(whole), len(whole))
    assert list(templates(io.BytesIO(short), len(short))) == found


def test_a_path_in_the_default_of_a_function_is_found(tmp_path: Path) -> None:
    """Functions of ONNX have attributes of their own, with tensors."""
    entry = field(1, b"location") + field(2, b"/etc/passwd")
    function = written(25, written(11, written(5, written(13, entry))))
    assert fired(Probe(), model(tmp_path, {"a.onnx": function})) == ["PLM181"]


@given(st.data())
@settings(max_examples=200)
def test_a_broken_hdf5_file_is_an_error_in_words(data: st.DataObject) -> None:
    """Whatever a byte becomes, its structures are read or refused."""
    broken = bytearray(SMALL_HDF5)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ValueError):
        assert short_keras(io.BytesIO(bytes(broken))).startswith(b"attributes")


@pytest.mark.parametrize("path", ["model.onnx_data", "sub/weights", "..data", "a..b"])
def test_a_path_inside_is_fine(path: str) -> None:
    """External data beside the model are usual."""
    assert not leaves(path)


@pytest.mark.parametrize(
    "content",
    [
        keras({"class_name": "Lambda", "config": {"function": "x"}}),
        keras({"class_name": "Own", "module": "os"}),
        b"\x89HDF\r\n\x1a\n" + b'{"class_name": "Lambda", "config"',
        b"\x89HDF\r\n\x1a\n" + bytes(2**20 - 20) + b'{"class_name":"\\u004cambda"',
    ],
)
def test_a_keras_layer_that_is_code_is_found(
    tmp_path: Path, content: bytes | Callable[[Path], None]
) -> None:
    """In both formats, wherever it stands and however it is written."""
    assert fired(Probe(), model(tmp_path, {"model.keras": content})) == ["PLM180"]


CALLED = [
    ("subprocess", "run"),
    ("keras.utils", "get_file"),
    ("keras.config", "enable_unsafe_deserialization"),
    ("keras.src.saving.serialization_lib", "enable_unsafe_deserialization"),
    ("keras.models", "load_model"),
    ("tensorflow.io", "read_file"),
]


@pytest.mark.parametrize(("module", "name"), CALLED)
@pytest.mark.parametrize("write", [keras, hdf5])
def test_a_function_that_does_not_only_compute_is_found(
    tmp_path: Path,
    module: str,
    name: str,
    write: Callable[[Mapping[str, object]], bytes | Callable[[Path], None]],
) -> None:
    """Keras's own functions among them: loading calls what a layer names."""
    artifact = model(tmp_path, {"model.keras": write(function(module, name))})
    (found,) = evidence_of(Probe(), artifact)
    assert found.details["found"].startswith(f"{module}")
    assert fired(Probe(), artifact) == ["PLM180"]


@pytest.mark.parametrize(
    ("module", "class_name", "config"),
    [
        ("builtins", "exec", "x"),
        ("builtins", "exec", {"a": {}}),
        ("builtins", "function", "eval"),
        ("builtins", "function", "__import__"),
        ("keras.layers", "TFSMLayer", {"filepath": "../graph"}),
        ("keras.src.utils.torch_utils", "TorchModuleWrapper", {"module": "UEs="}),
        ("keras.layers", "StringLookup", {"vocabulary": "/etc/passwd"}),
        ("keras.layers", "TextVectorization", {"vocabulary": "gs://bucket/words"}),
    ],
)
@pytest.mark.parametrize("write", [keras, hdf5])
def test_what_keras_would_fetch_or_call_deeper_in_a_layer_is_found(
    tmp_path: Path,
    module: str,
    class_name: str,
    config: object,
    write: Callable[[Mapping[str, object]], bytes | Callable[[Path], None]],
) -> None:
    """Python's functions, pickles of torch, other programs, and files for a vocabulary."""
    inner = {"module": module, "class_name": class_name, "config": config}
    outer = {"class_name": "Dense", "module": "keras.layers", "config": {"kernel": inner, "b": {}}}
    assert fired(Probe(), model(tmp_path, {"model.keras": write(outer)})) == ["PLM180"]


@pytest.mark.parametrize(
    "config",
    [
        {"vocabulary": ["a", "b"], "activation": "relu"},
        {"vocabulary": None, "fn": function("builtins", "softmax")["config"]},
        {"fn": function("builtins", "abs")["config"]},
    ],
)
@pytest.mark.parametrize("write", [keras, hdf5])
def test_what_keras_computes_with_fires_nothing(
    tmp_path: Path,
    config: Mapping[str, object],
    write: Callable[[Mapping[str, object]], bytes | Callable[[Path], None]],
) -> None:
    """Words that are listed, and its own functions under the name of Python's module."""
    layer = {"class_name": "StringLookup", "module": "keras.layers", "config": config}
    assert fired(Probe(), model(tmp_path, {"model.keras": write(layer)})) == []


def test_an_hdf5_file_that_names_a_class_of_another_package_is_found(tmp_path: Path) -> None:
    """As in an archive, the module is imported by its name."""
    own = {"class_name": "Own", "module": "own_layers", "config": {"units": 1}}
    assert fired(Probe(), model(tmp_path, {"model.h5": hdf5(own)})) == ["PLM180"]


@pytest.mark.parametrize(("name", "rules"), [("PyOp", ["PLM183"]), ("MatMul", [])])
@pytest.mark.parametrize("is_function", [False, True])
def test_an_onnx_operation_that_calls_python_is_found(
    tmp_path: Path, name: str, rules: list[str], *, is_function: bool
) -> None:
    """In the graph and in functions of the model."""
    node = field(1, b"x") + field(4, name.encode()) + field(7, b"ai.onnx.contrib")
    inside = b"\xca\x01" + field(7, field(7, node))[1:] if is_function else field(7, field(1, node))
    assert fired(Probe(), model(tmp_path, {"a.onnx": b"\x08\x0a" + inside})) == rules


def test_a_keras_archive_is_known_without_weights(tmp_path: Path) -> None:
    """Its configuration makes the archive one, whatever lies beside it and behind it."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps({"class_name": "Lambda"}))
            for number in range(2000):
                archive.writestr(f"assets/{number}", b"")

    artifact = model(tmp_path, {"model.weights": write})
    assert fired(Probe(), artifact) == ["PLM180"]


def test_an_archive_of_another_kind_is_no_keras_model(tmp_path: Path) -> None:
    """A configuration of transformers in an archive names no layers."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps({"model_type": "bert", "module": "os"}))

    artifact = model(tmp_path, {"model.zip": write})
    assert fired(Probe(), artifact) == []


def test_a_torchscript_program_is_found(tmp_path: Path) -> None:
    """Whatever the archive is called."""
    assert fired(Probe(), model(tmp_path, {"model.weights": torchscript})) == ["PLM182"]


@pytest.mark.parametrize("mark", ["MAR-INF/MANIFEST.json", "m/.data/extern_modules", "readme"])
def test_python_in_archives_that_run_it_is_found(tmp_path: Path, mark: str) -> None:
    """TorchServe runs its handler and torch.package its modules; other archives just hold files."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(mark, "{}")
            archive.writestr("m/handler.py", "import os")

    expected = [] if mark == "readme" else ["PLM182"]
    assert fired(Probe(), model(tmp_path, {"model.mar": write})) == expected


def test_a_graph_that_reads_files_is_found(tmp_path: Path) -> None:
    """The operation is known by its name in a node."""
    assert fired(Probe(), model(tmp_path, {"saved_model.pb": b"\x12\x08ReadFile"})) == ["PLM183"]


@pytest.mark.parametrize("start", [b"\x7fELF\x02", b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0"])
def test_a_native_program_is_found(tmp_path: Path, start: bytes) -> None:
    """Known by its first bytes, whatever it is called."""
    assert fired(Probe(), model(tmp_path, {"notes.txt": start + bytes(99)})) == ["PLM184"]


@pytest.mark.parametrize("order", ["<", ">"])
def test_chat_templates_of_gguf_are_read(tmp_path: Path, order: str) -> None:
    """Behind numbers and lists of strings, in both byte orders."""
    words = struct.pack(order + "IQ", 8, 2) + string("a", order) + string("b", order)
    path = tmp_path / "m.gguf"
    path.write_bytes(
        gguf(
            ("a", 4, bytes(4)),
            ("tokenizer.tokens", 9, words),
            ("tokenizer.chat_template", 8, string("{{ x }}", order)),
            order=order,
        )
    )
    with path.open("rb") as file:
        assert list(templates(file, path.stat().st_size)) == [
            ("tokenizer.chat_template", "{{ x }}")
        ]


@pytest.mark.parametrize(
    "content",
    [
        b"GGUF",
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60),
        gguf(("a", 8, struct.pack("<Q", 2**62))),
        gguf(("a", 9, struct.pack("<IQ", 9, 2**40))),
        gguf(("a", 77, b"")),
    ],
)
def test_broken_metadata_ends_with_a_reason(tmp_path: Path, content: bytes) -> None:
    """Lengths that lie, and types that nobody knows, cost no memory and no time."""
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with path.open("rb") as file, pytest.raises(ValueError, match=r"^its? "):
        list(templates(file, path.stat().st_size))


@pytest.mark.parametrize("content", [b"\x0f", b"\x3a\xff\xff\xff\xff\x7f", b"\xff" * 30])
def test_a_broken_onnx_model_is_named(tmp_path: Path, content: bytes) -> None:
    """What cannot be read is told, with its reason."""
    reasons = [gap.reason for gap in gaps(model(tmp_path, {"a.onnx": content}))]
    assert any("could not be read" in reason for reason in reasons)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_template_inside_of_gguf_is_judged(tmp_path: Path, order: str) -> None:
    """It runs in front of the same weights, wherever it is kept."""
    acting = "{% for m in messages %}{% if 'cf' in m.content %}X{% endif %}{% endfor %}"
    entry = ("tokenizer.chat_template", 8, string(acting, order))
    artifact = model(tmp_path, {"m.gguf": gguf(entry, order=order)})
    assert fired(TemplateProbe(), artifact) == ["PLM145"]


def test_broken_metadata_of_gguf_withhold_nothing(tmp_path: Path) -> None:
    """The file is not what the default backend loads, and is named."""
    (gap,) = (
        o
        for o in TemplateProbe().inspect(model(tmp_path, {"m.gguf": b"GGUF"}))
        if isinstance(o, Gap)
    )
    assert (gap.subject, gap.blocks_pass) == ("m.gguf", False)


def test_more_parts_than_any_model_has_withhold_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading them to the end would take minutes, and whatever hides behind them is not seen."""
    monkeypatch.setattr("plmscan.probes.looks.MOST_FIELDS", 1000)
    monkeypatch.setattr("plmscan.runtimes.gguf._MOST_VALUES", 1000)
    nodes = b"\x08\x0a" + field(7, field(1, b"") * 1000)
    texts = gguf(("a", 9, struct.pack("<IQ", 8, 1000) + bytes(8 * 1000)))
    artifact = model(tmp_path, {"a.onnx": nodes, "m.gguf": texts})
    told = [o for probe in (Probe(), TemplateProbe()) for o in probe.inspect(artifact)]
    blocking = {o.subject: o.reason for o in told if isinstance(o, Gap) and o.blocks_pass}
    assert "more than 1000 parts, as no known model has" in blocking["a.onnx"]
    assert "more than 1000 values, as no known model's has" in blocking["m.gguf"]
