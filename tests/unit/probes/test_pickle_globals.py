"""The pickle-globals probe: what it calls harmful, harmless, and unread."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import LabelEncoder

from plmscan.probes.static.pickle_globals import Probe
from tests.artifacts import artifact_of, evidence_of, fired, gaps_of, write_safetensors

if TYPE_CHECKING:
    from pathlib import Path


def calls(module: str, name: str) -> bytes:
    """A protocol 2 pickle that calls ``module.name`` with one string; never load it."""
    word = b"X" + struct.pack("<I", 4) + b"true"
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + word + b"\x85R."


def zipped(pickled: bytes, member: str = "archive/data.pkl") -> bytes:
    """A torch-like zip archive around ``pickled``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, pickled)
        archive.writestr("archive/data/0", b"\x80\x02" + bytes(64))
    return buffer.getvalue()


def saved(value: object, **options: bool) -> bytes:
    """``value`` as torch writes it."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def array(values: object) -> bytes:
    """``values`` as a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, np.array(values), allow_pickle=True)
    return buffer.getvalue()


class Unlisted:
    """A class that no allowlist knows."""


STATE = OrderedDict(weight=torch.zeros(2, 3), count=torch.tensor(4), half=torch.ones(2).half())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pytorch_model.bin", saved(STATE)),
        ("pytorch_model.bin", saved(STATE, _use_new_zipfile_serialization=False)),
        ("pytorch_model.bin", saved({"p": torch.nn.Parameter(torch.zeros(2))})),
        ("weights.pkl", pickle.dumps({"a": [1, 2.5, "x", b"y"]})),
        ("states.npy", array(["a", None])),
        ("states.pkl", pickle.dumps(np.arange(3))),
        ("rng_state.pth", saved({"numpy": np.random.default_rng(0).integers(9, size=4)})),
        ("rust_model.ot", zipped(b"\x80\x02c__torch__\nNet\n)\x81.")),
    ],
)
def test_honest_pickles_hold_nothing_to_report(tmp_path: Path, name: str, content: bytes) -> None:
    """State dicts in both of torch's formats, arrays and plain containers fire no rule."""
    (tmp_path / name).write_bytes(content)
    artifact = artifact_of(tmp_path, weights=("pytorch_model.bin",))
    (evidence,) = evidence_of(Probe(), artifact)
    assert evidence.metrics["dangerous_globals"] == 0
    assert evidence.metrics["unknown_globals"] == 0
    assert not [g for g in gaps_of(Probe(), artifact) if g.blocks_pass]
    assert set(fired(Probe(), artifact)) <= {"PLM106"}


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pkl", "notes", "vocab.txt", "training_args.bin", "a.npy"]
)
@pytest.mark.parametrize(
    ("module", "function"),
    [
        ("posix", "system"),
        ("__builtin__", "eval"),
        ("builtins", "__import__"),
        ("importlib", "import_module"),
    ],
)
def test_a_harmful_global_is_critical_under_any_name(
    tmp_path: Path, name: str, module: str, function: str
) -> None:
    """Content decides: a pickle that calls a shell is found whatever its file is called."""
    (tmp_path / name).write_bytes(calls(module, function))
    assert "PLM101" in fired(Probe(), artifact_of(tmp_path))


@pytest.mark.parametrize(
    "content",
    [
        zipped(calls("posix", "system")),
        zipped(calls("posix", "system"), member="archive/innocent"),
        b"cposix\nsystem\n(S'true'\ntR.",
        b"\x93NUMPY" + array([Unlisted])[6:].partition(b"\n")[0] + b"\n" + calls("posix", "system"),
        calls("posix", "system")[:-1],
    ],
    ids=["zip", "zip-odd-member", "text-protocol", "object-array", "cut-short"],
)
def test_a_harmful_global_is_found_in_every_wrapping(tmp_path: Path, content: bytes) -> None:
    """Archives, the text protocol, object arrays and broken pickles do not hide it."""
    (tmp_path / "weights.bin").write_bytes(content)
    assert "PLM101" in fired(Probe(), artifact_of(tmp_path))


@pytest.mark.parametrize(
    ("name", "rule"),
    [("pytorch_model.bin", "PLM102"), ("head.pkl", "PLM103"), ("training_args.bin", "PLM104")],
)
def test_an_unknown_global_weighs_by_what_the_file_is_for(
    tmp_path: Path, name: str, rule: str
) -> None:
    """Weights must hold tensors only; other pickles less so; the trainer's own hardly matter."""
    (tmp_path / name).write_bytes(calls("some.library", "Thing"))
    assert fired(Probe(), artifact_of(tmp_path)) == [rule]


def test_enum_members_in_training_arguments_are_no_alarm(tmp_path: Path) -> None:
    """Python 3.11 wrote enums with ``getattr``, in training_args.bin of thousands of models."""
    owner = b"ctransformers.trainer_utils\nIntervalStrategy\n"
    member = b"\x80\x02c__builtin__\ngetattr\n" + owner + b"X\x02\0\0\0NO\x86R."
    (tmp_path / "training_args.bin").write_bytes(member)
    assert fired(Probe(), artifact_of(tmp_path)) == []
    (tmp_path / "training_args.bin").write_bytes(calls("__builtin__", "getattr"))
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM101"]


@pytest.mark.parametrize("fetched", [True, False])
def test_pickled_weights_beside_safetensors_are_a_twin(tmp_path: Path, fetched: bool) -> None:
    """Whether it was downloaded or not, the second copy of the weights is reported."""
    write_safetensors(tmp_path / "model.safetensors", {"a": (2,)})
    if fetched:
        (tmp_path / "pytorch_model.bin").write_bytes(saved(STATE))
    rest = () if fetched else ("pytorch_model.bin",)
    artifact = artifact_of(tmp_path, not_fetched=rest)
    assert fired(Probe(), artifact) == ["PLM105"]
    assert not any(gap.blocks_pass for gap in gaps_of(Probe(), artifact))


def test_pickled_weights_that_are_loaded_are_told(tmp_path: Path) -> None:
    """With --allow-pickle the report says that a pickle was loaded."""
    (tmp_path / "pytorch_model.bin").write_bytes(saved(STATE))
    artifact = artifact_of(tmp_path, weights=("pytorch_model.bin",))
    assert fired(Probe(), artifact) == ["PLM106"]


def locked() -> bytes:
    """A zip archive whose pickle is marked as encrypted with an unsupported method."""
    content = bytearray(zipped(pickle.dumps({"a": 1})))
    central = content.index(b"PK\x01\x02")
    content[central + 10 : central + 12] = b"\x63\x00"
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\x01junk", saved(STATE)[:200], b"7z\xbc\xaf'\x1c" + bytes(40), locked()],
    ids=["empty", "junk", "cut-zip", "7z", "locked-zip"],
)
def test_what_cannot_be_read_blocks_a_pass(tmp_path: Path, content: bytes) -> None:
    """An unreadable pickle is a gap, never a clean result."""
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    assert any(gap.blocks_pass for gap in gaps_of(Probe(), artifact_of(tmp_path)))


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("pytorch_model.bin", True),
        ("pytorch_model-00001-of-00002.bin", True),
        ("training_args.bin", True),
        ("model_head.pkl", True),
        ("labels.joblib", True),
        ("openvino_model.bin", False),
        ("model.bin", False),
        ("ggml-model-f16.bin", False),
        ("group1-shard1of1.bin", False),
        ("model.pt", False),
    ],
)
@pytest.mark.parametrize(
    "content",
    [bytes(range(7, 256)), zipped(b"", member="archive/readme"), b"\x80\x02" + b"\xff" * 40],
)
def test_without_a_pickle_the_name_decides(
    tmp_path: Path, name: str, blocks: bool, content: bytes
) -> None:
    """What loaders unpickle for its name is broken; a ``.bin`` of another runtime is only told."""
    (tmp_path / name).write_bytes(content)
    gaps = gaps_of(Probe(), artifact_of(tmp_path))
    assert {(gap.subject, gap.blocks_pass) for gap in gaps} == {(name, blocks)}


@pytest.mark.parametrize("name", ["model_head.pkl", "training_args.bin", "preprocessor.joblib"])
def test_an_unknown_name_blocks_a_pass(tmp_path: Path, name: str) -> None:
    """Nobody can vouch for it, and honest files of unknown libraries look the same."""
    (tmp_path / name).write_bytes(calls("some.library", "Thing"))
    gaps = gaps_of(Probe(), artifact_of(tmp_path))
    assert any(gap.blocks_pass and "some.library.Thing" in gap.reason for gap in gaps)


@pytest.mark.parametrize("name", ["model_head.pkl", "model_head.joblib", "classifier.pkl"])
def test_a_classifier_that_is_not_measured_blocks_a_pass(tmp_path: Path, name: str) -> None:
    """It is honest as a pickle, and it decides what the model answers."""
    head = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    if name.endswith(".joblib"):
        joblib.dump(head, tmp_path / name)
    else:
        (tmp_path / name).write_bytes(pickle.dumps(head))
    (gap,) = gaps_of(Probe(), artifact_of(tmp_path))
    assert gap.blocks_pass
    assert "LogisticRegression" in gap.reason
    assert fired(Probe(), artifact_of(tmp_path)) == []


def test_a_label_encoder_is_no_classifier(tmp_path: Path) -> None:
    """What only names the labels needs no measuring."""
    encoder = LabelEncoder().fit(["a", "b"])
    (tmp_path / "labels.pkl").write_bytes(pickle.dumps(encoder))
    assert gaps_of(Probe(), artifact_of(tmp_path)) == []
    assert fired(Probe(), artifact_of(tmp_path)) == []


def test_weights_hold_only_tensors(tmp_path: Path) -> None:
    """What is honest in a classifier's file has no place in weights."""
    content = pickle.dumps(LabelEncoder().fit(["a", "b"]))
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM102"]


def test_a_pickle_called_safetensors_is_a_pickle(tmp_path: Path) -> None:
    """Content decides against the name, too."""
    (tmp_path / "adapter.safetensors").write_bytes(calls("posix", "system"))
    assert fired(Probe(), artifact_of(tmp_path, weights=())) == ["PLM101"]


def test_an_array_of_numbers_holds_no_pickle(tmp_path: Path) -> None:
    """There is nothing to be told about it."""
    (tmp_path / "states.npy").write_bytes(array([1.0, 2.0]))
    artifact = artifact_of(tmp_path)
    assert evidence_of(Probe(), artifact) == []
    assert gaps_of(Probe(), artifact) == []


@pytest.mark.parametrize(
    "name",
    [
        "global_step10/mp_rank_00_model_states.pt",
        "global_step10/zero_pp_rank_0_mp_rank_00_optim_states.pt",
        "last.ckpt",
        "custom_checkpoint_0.pkl",
    ],
)
def test_states_of_trainers_are_honest(tmp_path: Path, name: str) -> None:
    """What DeepSpeed, Lightning and accelerate keep beside the tensors is known by its class."""
    states = (
        ("deepspeed.runtime.fp16.loss_scaler", "LossScaler"),
        ("pytorch_lightning.utilities.parsing", "AttributeDict"),
        ("omegaconf.dictconfig", "DictConfig"),
        ("accelerate.state", "AcceleratorState"),
    )
    made = b"".join(f"c{module}\n{kind}\n)\x81}}b0".encode("latin-1") for module, kind in states)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(zipped(b"\x80\x02" + made + b"N."))
    artifact = artifact_of(tmp_path)
    assert fired(Probe(), artifact) == []
    assert gaps_of(Probe(), artifact) == []
