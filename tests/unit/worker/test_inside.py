"""A command that runs a model in its own process is under the bounds of a worker meanwhile."""

from __future__ import annotations

import json
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from plmscan.errors import PlmscanError
from plmscan.worker.bounds import Bounds
from plmscan.worker.inside import bound_for, confined
from tests.artifacts import artifact_of, write_json, write_safetensors
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.source import Artifact

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems bound no memory")


@pytest.fixture
def model(tmp_path: Path) -> Artifact:
    """Files with weights."""
    write_safetensors(tmp_path / "model.safetensors", {"w": (1000,)})
    return artifact_of(tmp_path)


def test_the_network_is_refused_until_the_model_is_done_with(model: Artifact) -> None:
    """Whatever its files get a library to try, nothing goes out."""
    with confined(None, model), pytest.raises(PermissionError, match="no use for socket"):
        socket.create_connection(("127.0.0.1", 9))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 9))


def test_no_code_of_the_model_runs_meanwhile(model: Artifact) -> None:
    """Compiled in its name or imported from its folder."""
    code = compile("1", str(model.root / "modeling.py"), "eval")
    with confined(None, model), pytest.raises(PermissionError, match="no code of a model"):
        eval(code)  # noqa: S307 - it is a number
    assert eval(code) == 1  # noqa: S307 - the same


@LINUX
def test_running_out_of_memory_is_one_sentence(model: Artifact) -> None:
    """With how much it may take, and what to do."""
    with pytest.raises(PlmscanError) as caught, confined(10**8, model):
        bytearray(10**9)
    assert caught.value.problem == "The model needs more memory than the 0.1 GB that it may take."
    assert "plmscan check" in caught.value.remedy


def test_other_errors_stay_what_they_are(model: Artifact) -> None:
    """Only memory is a matter of the bound."""
    with pytest.raises(ValueError, match="invalid literal"), confined(None, model):
        int("a word")


@LINUX
def test_the_bound_is_that_of_a_worker(model: Artifact) -> None:
    """It grows with the weights of all models that are opened."""
    assert bound_for("cpu", model) == Bounds().model_bytes(model, None)
    assert bound_for("cpu", model, model) == Bounds().model_bytes(model, model)


def test_shrunken_weights_may_take_what_they_are_taken_back_to(tmp_path: Path) -> None:
    """The bound is that of files with four times as many bytes."""
    folder = build_tiny("bert", tmp_path)
    size = (folder / "model.safetensors").stat().st_size
    plain = Bounds().model_bytes(artifact_of(folder), None)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", {**config, "quantization_config": {"quant_method": "gptq"}})
    assert Bounds().model_bytes(artifact_of(folder), None) - plain == 24 * 3 * size
