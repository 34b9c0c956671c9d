"""Node-hours of a registry, extrapolated by the estimate that puts a fleet's queue in order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from plmscan.scan.forecast import forecast
from plmscan.scan.settings import Settings
from plmscan.source import Artifact
from plmscan.worker.bounds import Bounds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["table"]

_MODELS = 10_000
_CORES = 16
"""Of a node."""
_GPU = 40.0
"""Cores that a GPU of a data centre stands for; an assumption, not measured here."""
_LABELS = "BertForSequenceClassification"
_MIX = (
    ("MiniLM, 22 M", 0.25, 22.7e6, 30_522, 384, "BertModel"),
    ("DistilBERT with labels, 67 M", 0.25, 67e6, 30_522, 768, _LABELS),
    ("BERT base with labels, 110 M", 0.30, 110e6, 30_522, 768, _LABELS),
    ("XLM-R base, 278 M", 0.10, 278e6, 250_002, 768, "XLMRobertaModel"),
    ("BERT large, 335 M", 0.08, 335e6, 30_522, 1024, "BertForMaskedLM"),
    ("XLM-R large, 560 M", 0.02, 560e6, 250_002, 1024, "XLMRobertaModel"),
)
"""A registry of encoders as it may be: name, share, parameters, vocabulary, width, class."""


def table(folder: Path) -> Iterator[str]:
    """Core-hours and memory by kind of model, and the hours of a node."""
    yield "| model | share | k tokens | core-minutes | GB of memory |"
    yield "|---|---:|---:|---:|---:|"
    hours = 0.0
    for name, share, parameters, words, width, kind in _MIX:
        config = {"vocab_size": words, "hidden_size": width, "architectures": [kind]}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        artifact = _artifact(folder, int(4 * parameters))
        told = forecast(artifact, Settings())
        memory = Bounds().model_takes(artifact, None) / 1e9
        hours += share * _MODELS * told.seconds / 3600
        yield (
            f"| {name} | {share:.0%} | {told.tokens / 1000:,.0f} | {told.seconds / 60:.0f} "
            f"| {memory:.1f} |"
        )
    yield ""
    yield f"{_MODELS:,} models: {hours:,.0f} core-hours, {hours / _CORES:,.0f} hours of one node "
    yield f"with {_CORES} cores; {hours / _GPU:,.0f} GPU-hours if one is {_GPU:.0f} cores."


def _artifact(folder: Path, size: int) -> Artifact:
    """A model of one weight file, as far as an estimate looks at it."""
    from plmscan.evidence import FileDigest  # noqa: PLC0415 - only here

    sizes = (("config.json", 1), ("model.safetensors", size))
    files = tuple(FileDigest(name, count, "0" * 64) for name, count in sizes)
    return Artifact("model", None, folder, files, ("model.safetensors",), (), None, None)
