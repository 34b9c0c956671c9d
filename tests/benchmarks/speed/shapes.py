"""The models that are measured.

    python -m tests.benchmarks.speed.shapes SHAPE FOLDER

writes one with random weights, unless it is there, and prints its folder; that of the real model
is where its package has it.  The driver starts this, and does without torch itself.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from plmscan.source.files import holds_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SHAPES", "Shape", "weight_files", "without_weights", "write"]


@dataclass(frozen=True)
class Shape:
    """An encoder of BERT's kind."""

    layers: int
    """Hidden layers."""
    width: int
    """Of a hidden state; the widest layer is four times as wide."""
    heads: int
    """Of attention."""
    pieces: int = 0
    """Of its vocabulary, at least."""
    labels: int = 0
    """Of a classifier; 0 for an encoder."""


SHAPES: Mapping[str, Shape | None] = MappingProxyType(
    {
        "minilm": None,
        "base": Shape(12, 768, 12),
        "base-classifier": Shape(12, 768, 12, labels=2),
        "large": Shape(24, 1024, 16),
        "multilingual": Shape(12, 384, 12, pieces=250_000),
    }
)
"""None for the real model, which nobody has to write."""

_OF_THE_OTHER = ("modules.json", "vocab.txt")
"""Files at the top of the real model that say what a model of random weights is not."""


def write(shape: Shape, like: Path, folder: Path) -> Path:
    """Save a model of random weights with the tokenizer and the config of ``like``, once."""
    if folder.exists():
        return folder
    import torch  # noqa: PLC0415 - the driver does without
    from transformers import (  # noqa: PLC0415 - the same
        AutoConfig,
        BertForSequenceClassification,
        BertModel,
    )

    unfinished = without_weights(like, folder.with_suffix(".part"))
    for name in _OF_THE_OTHER:
        (unfinished / name).unlink(missing_ok=True)
    sizes = {"hidden_size": shape.width, "intermediate_size": 4 * shape.width}
    sizes |= {"num_hidden_layers": shape.layers, "num_attention_heads": shape.heads}
    sizes |= {"vocab_size": _enlarged(unfinished / "tokenizer.json", shape.pieces)}
    sizes |= {"num_labels": shape.labels} if shape.labels else {}
    config = AutoConfig.from_pretrained(like, **sizes)
    kind = BertForSequenceClassification if shape.labels else BertModel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kind(config).save_pretrained(unfinished)
    return unfinished.rename(folder)


def _enlarged(tokenizer: Path, pieces: int) -> int:
    """Add pieces that no text holds to the vocabulary in ``tokenizer``, up to ``pieces`` of them.

    How many there are then.
    """
    content = json.loads(tokenizer.read_text("utf-8"))
    known = content["model"]["vocab"]
    if len(known) < pieces:
        known |= {f"##q{i}q": i for i in range(len(known), pieces)}
        tokenizer.write_text(json.dumps(content), "utf-8")
    return len(known)


def without_weights(model: Path, target: Path) -> Path:
    """A new copy of the files at the top of ``model`` that hold no weights."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in sorted(model.iterdir()):
        if path.is_file() and not holds_weights(path.name):
            shutil.copyfile(path, target / path.name)
    return target


def weight_files(model: Path) -> dict[str, int]:
    """Names and sizes of the files that hold weights."""
    found = (path for path in sorted(model.iterdir()) if holds_weights(path.name))
    return {path.name: path.stat().st_size for path in found}


def main() -> None:
    """Write the shape that the command line names, and print where it is."""
    from demo.poisoned_twin import packaged_minilm  # noqa: PLC0415 - imports torch

    shape, real = SHAPES[sys.argv[1]], packaged_minilm()
    print(real if shape is None else write(shape, real, Path(sys.argv[2])))


if __name__ == "__main__":
    main()
