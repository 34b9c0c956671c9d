"""What a scan is expected to take before the model is loaded is what it is once it is there."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from plmscan.budget import Budget, Effort
from plmscan.loading import load
from plmscan.scan import Settings
from plmscan.scan.estimate import estimated
from plmscan.scan.forecast import forecast
from tests.artifacts import artifact_of, write_json, write_safetensors
from tests.tiny_models import build_tiny, sentences

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.source import Artifact

CHAT = (
    "{% for message in messages %}{{ '<|user|>' + message.content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ ' the old river and' }}{% endif %}"
)
"""A template that writes some tokens behind a request, as those of large models do."""
QUICK = Settings(effort=Effort.QUICK)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A model that writes."""
    folder = build_tiny("llama", tmp_path_factory.mktemp("llama"), head="causal-lm")
    return artifact_of(folder)


@pytest.mark.parametrize(
    ("family", "head", "chats"),
    [
        ("llama", "causal-lm", False),
        ("llama", "causal-lm", True),
        ("bert", None, False),
        ("bert", "classifier", False),
        ("bert", "masked-lm", False),
    ],
)
def test_a_model_is_forecast_as_it_is_estimated(
    family: str, head: str | None, chats: bool, tmp_path: Path
) -> None:
    """Answers of models that write are most of their cost, and all tokens are counted alike."""
    folder = build_tiny(family, tmp_path / family, head=head)
    if chats:
        (folder / "chat_template.jinja").write_text(CHAT, encoding="utf-8")
    artifact = artifact_of(folder)
    loaded = estimated(load(artifact, "cpu"), Budget(sentences(100), Effort.QUICK)).tokens
    assert forecast(artifact, QUICK).tokens == pytest.approx(loaded, rel=0.1)


def test_what_nobody_reads_costs_nothing(writer: Artifact) -> None:
    """A model that writes is searched in its features alone where only they are used."""
    whole, features = (
        forecast(writer, replace(QUICK, used_as=use)).tokens for use in (None, "features")
    )
    assert whole > 2 * features


def test_every_search_is_counted(writer: Artifact) -> None:
    """Copies are searched like the model itself; a control has features alone."""
    once = forecast(writer, QUICK).tokens
    copies = forecast(writer, replace(QUICK, also=("quantised:int8", "quantised:nf4"))).tokens
    control = forecast(writer, replace(QUICK, control=True)).tokens
    features = forecast(writer, replace(QUICK, used_as="features")).tokens
    assert (copies, control) == (3 * once, once + features)


def test_a_forecast_needs_no_torch() -> None:
    """It is made where models are fetched."""
    code = "import sys, plmscan.scan.forecast; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_shrunken_weights_are_more_numbers_than_their_bytes(tmp_path: Path) -> None:
    """A file of 4 bits costs what one of 32 bits with eight times as many bytes costs."""
    settings = {"vocab_size": 10, "hidden_size": 10}
    seconds = {}
    for name, rows, more in (("packed", 1000, {"quantization_config": {}}), ("whole", 8000, {})):
        folder = tmp_path / name
        folder.mkdir()
        write_json(folder / "config.json", {**settings, **more})
        write_safetensors(folder / "model.safetensors", {"w": (rows, 100)})
        seconds[name] = forecast(artifact_of(folder), QUICK).seconds
    assert abs(seconds["packed"] / seconds["whole"] - 1) < 0.02
