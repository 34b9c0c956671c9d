"""Files that code can hide in: YAML, descriptions of Keras, graphs as text, archives, R data."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import pickle
import struct
from typing import TYPE_CHECKING

import h5py
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plmscan.evidence import Gap
from plmscan.kinds import Kind
from plmscan.probes.static.chat_templates import Probe as TemplateProbe
from plmscan.probes.static.custom_code import Probe as CodeProbe
from plmscan.probes.static.pickle_globals import Probe as PickleProbe
from plmscan.probes.static.runtimes import Probe
from plmscan.runtimes.onnx import files_and_operations
from plmscan.runtimes.tensorflow import operations_in_text, reaching_operations
from plmscan.runtimes.wire import written
from plmscan.runtimes.yaml_objects import named_objects
from plmscan.source import SourceOptions, resolve
from tests import pickled
from tests.artifacts import fired

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from plmscan.source import Artifact

LAMBDA: dict[str, object] = {"class_name": "Lambda", "config": {"function": ["4wE=", None, None]}}
DENSE: dict[str, object] = {"class_name": "Dense", "module": "keras.layers", "config": {}}
ESCAPED = b'{"cl\\u0061ss_name": "L\\u0061mbda", "c\\u006fnfig": {}}'
OUTSIDE = written(5, written(13, written(1, b"location") + written(2, b"../../x")))
ONNX = b"\x08\x08" + written(7, OUTSIDE)
APPLY = b"a: !!python/object/apply:os.system [id]\n"


def model(tmp_path: Path, files: Mapping[str, bytes]) -> Artifact:
    """A model with these files beside its configuration."""
    for name, content in {"config.json": b'{"model_type": "bert"}', **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return resolve(str(tmp_path), SourceOptions())


def blocking(artifact: Artifact, probe: Probe | TemplateProbe | PickleProbe) -> list[str]:
    """The reasons of the probe for withholding a pass."""
    return [o.reason for o in probe.inspect(artifact) if isinstance(o, Gap) and o.blocks_pass]


def described(layer: Mapping[str, object]) -> bytes:
    """A model of one layer, as Keras writes it in JSON."""
    return json.dumps({"class_name": "Functional", "config": {"layers": [layer]}}).encode()


def zipped(members: Mapping[str, bytes]) -> bytes:
    """A zip archive."""
    return pickled.zipped(*members.items())


def tarred(members: Mapping[str, bytes], mode: str = "w") -> bytes:
    """A tar archive."""
    return pickled.tarred(*members.items(), mode=mode)


def hdf5(layer: Mapping[str, object]) -> bytes:
    """A model of one layer, as Keras 2 saves it."""
    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        file.attrs["model_config"] = described(layer).decode()
    return held.getvalue()


YAML = {
    "config.yaml": APPLY,
    "a/conf.yml": b"x: [1, {y: !!python/name:os.system ''}]",
    "new.yaml": b"!!python/object/new:type {args: [z, [], {}]}",
    "module.yaml": b"a: !!python/module:subprocess ''",
    "directive.yaml": b"%TAG ! tag:yaml.org,2002:python/\n---\na: !object/apply:os.system [x]\n",
    "verbatim.yaml": b"a: !<tag:yaml.org,2002:python/object/apply:os.system> [x]\n",
    "encoded.yaml": b"a: !!p%79thon/object/apply:os.system [x]\n",
    "wide.yaml": APPLY.decode().encode("utf-16"),
    "second.yaml": b"a: 1\n---\n" + APPLY,
    "before-damage.yaml": APPLY + b"---\n{",
    "speech.yaml": b"a: !apply:os.system [x]\nb: !new:torch.nn.Linear {}\n",
    "hydra.yaml": b"model:\n  _target_: os.system\n",
    "alias.yaml": b"x: &x os.system\nmodel:\n  _target_: *x\n",
    "MLmodel": b"flavors: {python_function: {loader_module: subprocess}}\n",
}
"""YAML by which a loader runs code, by its name in the model."""


@pytest.mark.parametrize("name", YAML)
def test_yaml_that_runs_code_is_found(tmp_path: Path, name: str) -> None:
    """However its tags are written, and whichever loader reads them."""
    assert fired(Probe(), model(tmp_path, {name: YAML[name]})) == ["PLM185"]


@pytest.mark.parametrize(
    "text",
    [
        b"lr: 0.1\nargs: !!python/object:argparse.Namespace {a: 1}\nt: !!python/tuple [1, 2]\n",
        b"a: !ENV ${HOME}\nb: !include x.yaml\nc: 'wow!'\nd: !!str 1\n",
        b"_target_: nemo.collections.nlp.models.Bert\noptim: {_target_: torch.optim.AdamW}\n",
        b"a: !new:speechbrain.nnet.Linear {n: 1}\nb: !name:torch.nn.functional.gelu\n",
        b"{{ not: yaml",
        b"",
    ],
)
def test_usual_yaml_is_no_matter(tmp_path: Path, text: bytes) -> None:
    """Settings of training, tags of other tools, and classes of the libraries."""
    artifact = model(tmp_path, {"c.yaml": text})
    assert fired(Probe(), artifact) == []
    assert blocking(artifact, Probe()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"a: !!python/object:own.module.Thing {}", "does not know what that does"),
        (b"a: !!javax.script.ScriptEngineManager []", "does not know what that does"),
        (b"a: !x [1\nb: {", "no YAML from some place on"),
        (b"!x " + b"[" * 2**20, "longer than any configuration"),
        (b"a: !x 1\n#" + bytes(b" " * 2**21), "longer than any configuration"),
    ],
)
def test_yaml_that_nobody_can_judge_withholds_a_pass(
    tmp_path: Path, text: bytes, words: str
) -> None:
    """Unknown classes, and what was not read to its end."""
    artifact = model(tmp_path, {"c.yaml": text})
    assert fired(Probe(), artifact) == []
    assert words in " ".join(blocking(artifact, Probe()))


@given(st.binary(max_size=60))
def test_any_bytes_are_yaml_or_a_reason(data: bytes) -> None:
    """Nothing that a file holds stops the look at it."""
    named, problem = named_objects(io.BytesIO(b"!!python/" + data), 9 + len(data))
    assert isinstance(named, list)
    assert problem is None or problem.startswith("it is no YAML")


KERAS = {
    "architecture.json": described(LAMBDA),
    "deep/in/a/folder/model.json": json.dumps({"modelTopology": {"model_config": LAMBDA}}).encode(),
    "escaped.json": ESCAPED,
    "behind.json": json.dumps({"pad": "x" * 9000} | LAMBDA).encode(),
    "keras_metadata.pb": written(1, b"\x10\x01" + written(5, json.dumps(LAMBDA).encode())),
    "m/keras_metadata.pb": written(1, written(5, ESCAPED)),
    "saved_model.pb": written(2, written(7, written(1, written(4, written(3, ESCAPED))))),
    "m.tar.gz": tarred({"a/m.keras": zipped({"config.json": described(LAMBDA)})}, "w:gz"),
    "h5.tar.gz": tarred({"a/m.h5": hdf5(LAMBDA)}, "w:gz"),
    "m.json.gz": gzip.compress(described(LAMBDA)),
}
"""Layers that are code, by the name of the file that describes them."""


@pytest.mark.parametrize("name", KERAS)
def test_a_layer_that_is_code_is_found_wherever_keras_describes_it(
    tmp_path: Path, name: str
) -> None:
    """In JSON of any name, in what a saved model says of its objects, and in archives."""
    assert fired(Probe(), model(tmp_path, {name: KERAS[name]})) == ["PLM180"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("architecture.json", described(DENSE)),
        ("keras_metadata.pb", written(1, written(5, json.dumps(DENSE).encode()))),
        ("labels.json", json.dumps({"class_name": ["a"], "config": {}, "module": "own"}).encode()),
        (
            "task.json",
            json.dumps(
                {"module": "keras_hub.src.models.gemma", "class_name": "Gemma", "config": {}}
            ).encode(),
        ),
        ("words.json", b'{"class_name": '),
    ],
)
def test_usual_descriptions_are_no_matter(tmp_path: Path, name: str, content: bytes) -> None:
    """Layers of Keras and of its hub, and other JSON."""
    artifact = model(tmp_path, {name: content})
    assert fired(Probe(), artifact) == []
    assert blocking(artifact, Probe()) == []


def test_a_description_that_is_cut_short_withholds_a_pass(tmp_path: Path) -> None:
    """What it would have said behind the cut, nobody knows."""
    artifact = model(tmp_path, {"architecture.json": described(DENSE)[:-3]})
    assert "could not be read" in " ".join(blocking(artifact, Probe()))


def operations(data: bytes) -> list[str]:
    """Operations of a graph that reach out."""
    return reaching_operations(io.BytesIO(data))


@given(st.integers(0, 8), st.integers(0, 8))
def test_numbers_may_be_longer_than_they_need_to_be(tag: int, length: int) -> None:
    """Readers of protocol buffers take them, so a name behind them is a name."""
    long_tag = b"\x92" + b"\x80" * tag + b"\x00"
    long_length = b"\x88" + b"\x80" * length + b"\x00"
    for first in (b"\x12", long_tag):
        for second in (b"\x08", long_length):
            assert operations(first + second + b"ReadFile") == ["ReadFile"]
    assert operations(long_tag + b"\x09" + b"ReadFile") == []


@given(st.integers(0, 7), st.integers(0, 3))
def test_tags_are_read_as_far_as_their_readers_do(high: int, padding: int) -> None:
    """What lies above 32 bits of a tag is dropped, in a graph and in a model of ONNX."""
    over = b"\xba\x80\x80\x80" + bytes([high << 4]) + ONNX[3:]
    long = b"\xba" + b"\x80" * padding + b"\x00" + ONNX[3:]
    for data in (over, long):
        assert files_and_operations(io.BytesIO(data), len(data)) == (["../../x"], [])
    assert operations(b"\x92\x80\x80\x80" + bytes([high << 4]) + b"\x06PyFunc") == ["PyFunc"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b'node {\n name: "a"\n op: "ReadFile"\n}', ["ReadFile"]),
        (b"node { op:'PyFunc' }", ["PyFunc"]),
        (b"op: \"Py\" # in two parts\n 'Func'", ["PyFunc"]),
        (b'op # words\n : "\\120yFu\\x6ec"', ["PyFunc"]),
        (b'name: "op #" op: "WriteFile"', ["WriteFile"]),
        (b'name: "ReadFile" op: "MatMul"', []),
        (b'stop: "ReadFile"', []),
        (b'op: "ReadFile', []),
    ],
)
def test_operations_are_found_in_the_text_of_a_graph(
    tmp_path: Path, text: bytes, found: list[str]
) -> None:
    """In every way to write a string."""
    assert operations_in_text(io.BytesIO(text)) == found
    rules = ["PLM183"] if found else []
    assert fired(Probe(), model(tmp_path, {"graph.pbtxt": text})) == rules


def test_a_graph_beside_a_checkpoint_is_read(tmp_path: Path) -> None:
    """It is restored with the numbers, and may call Python."""
    graph = written(2, written(1, written(2, b"PyFunc")))
    assert fired(Probe(), model(tmp_path, {"model.ckpt-9.meta": graph})) == ["PLM183"]


ARCHIVES = {
    "m.nemo": (tarred({"./model_config.yaml": b"_target_: os.system"}), "PLM185"),
    "n.nemo": (tarred({"model_config.yaml": APPLY}, "w:gz"), "PLM185"),
    "c.nemo": (tarred({"model_config.yaml": b"a: 1", "layer.py": b"import os"}), "PLM182"),
    "m.mar": (tarred({"MAR-INF/MANIFEST.json": b"{}", "h.py": b"import os"}, "w:gz"), "PLM182"),
    "model.tar.gz": (tarred({"code/inference.py": b"import os"}, "w:gz"), "PLM182"),
    "m.pt2": (zipped({"m/data/aotinductor/x.so": b"\x7fELF\x02" + bytes(99)}), "PLM184"),
    "m.jar": (zipped({"A.class": b"\xca\xfe\xba\xbe" + bytes(9)}), "PLM184"),
    "m.onnx.gz": (gzip.compress(ONNX), "PLM181"),
    "m.zip": (zipped({"x/m.onnx": ONNX}), "PLM181"),
    "m.yaml.xz": (lzma.compress(APPLY), "PLM185"),
}
"""Archives, with the rule that fires."""


@pytest.mark.parametrize("name", ARCHIVES)
def test_members_of_archives_are_looked_into(tmp_path: Path, name: str) -> None:
    """As if they lay in the folder."""
    content, rule = ARCHIVES[name]
    assert fired(Probe(), model(tmp_path, {name: content})) == [rule]


def skops(module: str, name: str, **more: object) -> bytes:
    """A skops archive of one object."""
    own = {"__class__": name, "__module__": module, "__loader__": "ObjectNode", **more}
    return zipped({"schema.json": json.dumps(own | {"protocol": 2}).encode()})


@pytest.mark.parametrize("name", ["m.skops", "weights.dat"])
@pytest.mark.parametrize(
    ("module", "kind", "more"),
    [
        ("posix", "system", {}),
        ("operator", "methodcaller", {}),
        ("own", "Thing", {"content": {"func": "__call__", "obj": {}}}),
        ("builtins", "list", {"content": [{"__class__": "Popen", "__module__": "subprocess"}]}),
        ("builtins", "str", {"content": {"module_path": "os", "function": "system"}}),
    ],
)
def test_types_of_skops_are_judged_like_those_of_pickles(
    tmp_path: Path, name: str, module: str, kind: str, more: dict[str, object]
) -> None:
    """Whoever trusts all types of the file runs them."""
    assert fired(PickleProbe(), model(tmp_path, {name: skops(module, kind, **more)})) == ["PLM101"]


def test_a_classifier_of_skops_is_not_measured(tmp_path: Path) -> None:
    """It decides what the model answers, as one in a pickle does."""
    data = skops("sklearn.linear_model._logistic", "LogisticRegression")
    artifact = model(tmp_path, {"head.skops": data})
    assert fired(PickleProbe(), artifact) == []
    assert "holds a classifier" in " ".join(blocking(artifact, PickleProbe()))


@pytest.mark.parametrize(
    "settings", [{"dict_size": 0x1100}, {"lc": 0}, {"lc": 1, "lp": 1, "pb": 0}]
)
def test_a_pickle_in_lzma_of_any_settings_is_found(
    tmp_path: Path, settings: dict[str, int]
) -> None:
    """Python and joblib unpack it, whatever it is called."""
    packed = lzma.compress(
        b"cposix\nsystem\n(S'x'\ntR.",
        format=lzma.FORMAT_ALONE,
        filters=[{"id": lzma.FILTER_LZMA1, **settings}],
    )
    assert fired(PickleProbe(), model(tmp_path, {"weights.dat": packed})) == ["PLM101"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.rds", gzip.compress(b"X\n\0\0\0\3" + bytes(50), mtime=0)),
        ("notes.txt", b"RDX3\nX\n" + bytes(50)),
        ("weights.dat", gzip.compress(b"RDX3\nX\n" + bytes(50), mtime=0)),
        ("m.onnx", b"\x08\x08\x3a\xff\xff\x7f" + bytes(range(1, 99))),
        ("m.h5", b"\x89HDF\r\n\x1a\n" + bytes(range(1, 99))),
        ("m.tar.gz", tarred({"m.gguf": b"GGUF" + bytes(99)}, "w:gz")),
    ],
)
def test_what_can_run_and_is_not_read_withholds_a_pass(
    tmp_path: Path, name: str, content: bytes
) -> None:
    """Data of R, and models that are known and broken."""
    assert blocking(model(tmp_path, {name: content}), Probe()) != []


def test_broken_metadata_withhold_a_pass(tmp_path: Path) -> None:
    """A loader may go on where they are broken, and find a template behind."""
    broken = b"GGUF" + struct.pack("<IQQ", 3, 0, 5) + b"\xff" * 40
    artifact = model(tmp_path, {"m.gguf": broken})
    assert "cannot be read" in " ".join(blocking(artifact, TemplateProbe()))


@pytest.mark.parametrize("name", ["m.onnx", "m.gguf", "tf_model.h5"])
@pytest.mark.parametrize("content", [bytes(9999), b"the model is not here", b"GGUF"])
def test_what_stands_for_a_model_withholds_nothing(
    tmp_path: Path, name: str, content: bytes
) -> None:
    """Zeros, a line of text and the first letters of a format are a model for no loader."""
    artifact = model(tmp_path, {name: content})
    assert blocking(artifact, Probe()) == blocking(artifact, TemplateProbe()) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("m.nemo", Kind.NEMO),
        ("m.skops", Kind.SKOPS),
        ("m.pmml", Kind.PMML),
        ("m.pdmodel", Kind.PADDLE),
        ("model.onnx_data", Kind.ONNX_DATA),
    ],
)
def test_formats_that_are_not_loaded_are_named(tmp_path: Path, name: str, kind: Kind) -> None:
    """As what they are, and withhold nothing by being there."""
    packed = {Kind.NEMO: tarred({"a": b"b"}), Kind.SKOPS: zipped({"a": b"b"})}
    artifact = model(tmp_path, {name: packed.get(kind, b"\x0a\x01\x00" + bytes(range(7, 99)))})
    (gap,) = (o for o in Probe().inspect(artifact) if isinstance(o, Gap))
    assert kind in gap.reason
    assert not gap.blocks_pass


@pytest.mark.parametrize(("named", "rules"), [("os.system", ["PLM115"]), ("own.Net", [])])
def test_a_configuration_that_has_code_built_is_found(
    tmp_path: Path, named: str, rules: list[str]
) -> None:
    """Hydra calls what the setting names; a class of the model's own library is usual."""
    config = json.dumps({"model_type": "bert", "net": {"_target_": named}}).encode()
    assert fired(CodeProbe(), model(tmp_path, {"config.json": config})) == rules


def test_a_pickle_among_the_inputs_of_an_exported_program_is_found(tmp_path: Path) -> None:
    """They are unpickled when torch loads the archive."""
    inputs = zipped({"a/data.pkl": pickle.dumps(eval)})
    archive = zipped({"m/archive_format": b"pt2", "m/data/sample_inputs/model.pt": inputs})
    assert fired(PickleProbe(), model(tmp_path, {"m.pt2": archive})) == ["PLM101"]
