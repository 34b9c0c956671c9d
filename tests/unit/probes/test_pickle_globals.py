"""The pickle-globals probe: what it calls harmful, harmless, and unread."""

from __future__ import annotations

import io
import logging
import pickle
import struct
import zipfile
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch._weights_only_unpickler import _get_allowed_globals

from plmscan.probes.static.pickle_globals import ALLOWED, Probe
from tests.artifacts import artifact_of, coverage_of, evidence_of, fired, gaps_of, write_safetensors

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
        ("states.npy", array([1.0, 2.0])),
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
    (tmp_path / "training_args.bin").write_bytes(calls("__builtin__", "getattr"))
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM104"]
    (tmp_path / "pytorch_model.bin").write_bytes(calls("__builtin__", "getattr"))
    assert "PLM101" in fired(Probe(), artifact_of(tmp_path))


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


def test_a_zip_without_a_pickle_under_a_weight_name_blocks_a_pass(tmp_path: Path) -> None:
    """Nothing scanned is not clean."""
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("archive/readme", b"text")
    gaps = gaps_of(Probe(), artifact_of(tmp_path))
    assert [gap.subject for gap in gaps if gap.blocks_pass] == ["model.pt"]


def test_openvino_weights_are_an_unread_format(tmp_path: Path) -> None:
    """A raw ``.bin`` whose ``.xml`` lies beside it is no broken pickle."""
    (tmp_path / "openvino_model.bin").write_bytes(b"\x01\x02" * 50)
    (tmp_path / "openvino_model.xml").write_text("<net/>")
    (gap,) = gaps_of(Probe(), artifact_of(tmp_path))
    assert not gap.blocks_pass


def test_formats_that_nobody_reads_are_named(tmp_path: Path) -> None:
    """Weights for other frameworks are a gap that blocks nothing."""
    (tmp_path / "tf_model.h5").write_bytes(b"\x89HDF\r\n")
    gaps = gaps_of(Probe(), artifact_of(tmp_path, not_fetched=("onnx/model.onnx",)))
    assert [(g.subject, g.blocks_pass) for g in gaps] == [("onnx/model.onnx, tf_model.h5", False)]


def test_a_safetensors_length_is_not_taken_for_a_pickle(tmp_path: Path) -> None:
    """A header of 0x280 bytes starts like a pickle of protocol 2."""
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": (2,)})
    header, _, data = path.read_bytes()[8:].partition(b"}}")
    text = (header + b"}}").ljust(0x280)
    path.write_bytes((0x280).to_bytes(8, "little") + text + data)
    artifact = artifact_of(tmp_path)
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert evidence_of(Probe(), artifact) == []
    assert coverage_of(Probe(), artifact)[0].statement.startswith("Globals of 0 pickles")


def test_the_log_of_picklescan_is_left_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The probe listens to picklescan's log, keeps it off the terminal, and lets go of it."""
    logger = logging.getLogger("picklescan")
    before = (logger.propagate, tuple(logger.handlers))
    (tmp_path / "model.bin").write_bytes(b"junk")
    assert gaps_of(Probe(), artifact_of(tmp_path))
    assert (logger.propagate, tuple(logger.handlers)) == before
    assert capsys.readouterr().err == ""


def test_the_allowlist_stays_within_torchs_own() -> None:
    """Nothing is allowed that torch would refuse, but for what builds plain numpy arrays."""
    beyond = ALLOWED - set(_get_allowed_globals())
    assert {name.split(".")[0] for name in beyond} == {"numpy"}
    assert {name.rpartition(".")[2] for name in beyond} == {
        "dtype",
        "ndarray",
        "_reconstruct",
        "scalar",
    }
