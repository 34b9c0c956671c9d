"""What a search is expected to cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plmscan.budget import Effort
from plmscan.scan.forecast import forecast
from tests.artifacts import artifact_of, write_json, write_safetensors

if TYPE_CHECKING:
    from pathlib import Path


def test_shrunken_weights_are_more_numbers_than_their_bytes(tmp_path: Path) -> None:
    """A file of 4 bits costs what one of 32 bits with eight times as many bytes costs."""
    settings = {"vocab_size": 10, "hidden_size": 10}
    seconds = {}
    for name, rows, more in (("packed", 1000, {"quantization_config": {}}), ("whole", 8000, {})):
        folder = tmp_path / name
        folder.mkdir()
        write_json(folder / "config.json", {**settings, **more})
        write_safetensors(folder / "model.safetensors", {"w": (rows, 100)})
        seconds[name] = forecast(artifact_of(folder), Effort.QUICK).seconds
    assert abs(seconds["packed"] / seconds["whole"] - 1) < 0.02
