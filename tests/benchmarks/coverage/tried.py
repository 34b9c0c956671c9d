"""One model type, tried: a tiny model through a whole check, a planted twin, and its heads."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file

import plmscan
from plmscan.errors import PlmscanError
from plmscan.evidence import ProbeStatus
from plmscan.loading import load
from plmscan.model_types import ModelType
from tests.artifacts import artifact_of
from tests.scans import QUICK
from tests.tiny_models import sentences
from tests.tiny_types import build_type, classes_of

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.evidence import Report
    from plmscan.loading import LoadedModel

__all__ = ["REASONS", "Tried", "facts_of", "heads_of", "tried", "write_texts"]

_SEARCHED = ("classifier", "masked-lm", "token-classification", "question-answering")
_TIMES = 40.0
"""How much longer the planted row is than the others."""
_WEIGHTS = "model.safetensors"

REASONS = {
    "blt": "its bytes come in patches that another model cuts",
    "bros": "needs the boxes of a page's words",
    "canine": "reads characters by hashes, and has no table of word embeddings",
    "dots3_note": "needs audio",
    "emu3": "needs a vocabulary of image tokens",
    "encoder-decoder": "is two models of other types; AutoModel has no class for both",
    "funnel": "cannot be run on texts of three tokens",
    "fsmt": "its encoder is no model by itself in transformers",
    "gemma3n": "needs the package timm",
    "gemma4_assistant": "needs the states of the model that it assists",
    "gemma4_unified_assistant": "needs the states of the model that it assists",
    "ibert": "its word embeddings come with a scale beside them",
    "layoutlmv2": "needs pixels and the package detectron2",
    "lxmert": "needs pixels",
    "musicgen": "writes music; its text encoder is a model of another type",
    "musicgen_melody": "writes music; its text encoder is a model of another type",
    "perceiver": "reads bytes into latent states, and gives none for each token",
    "trocr": "needs pixels; AutoModel has no class for the decoder alone",
    "voxtral_realtime": "needs audio",
    "whisper": "needs audio",
}
"""Why types are not measured, where the library's own message does not tell."""


@dataclass(frozen=True)
class Tried:
    """What became of one type."""

    model_type: ModelType
    """What is told of it."""
    clean: str
    """The verdict on random weights."""
    planted: str
    """The verdict on the same with one row of the word embeddings much longer."""
    seconds: float
    """For one check."""


def write_texts(file: Path) -> Path:
    """Carriers in words that every tiny vocabulary holds."""
    file.write_text("\n".join(sentences(120)), encoding="utf-8")
    return file


def tried(name: str, folder: Path, texts: Path) -> Tried:
    """A tiny model of the type ``name``, built in ``folder``, checked as its features are used."""
    try:
        build_type(name, folder)
        model = load(artifact_of(folder), "cpu", "bfloat16")
    except Exception as error:  # noqa: BLE001 - whatever a class of the library raises
        reason = REASONS.get(name, " ".join(str(error).split())[:160])
        return Tried(ModelType(name, reason=reason), "", "", 0.0)
    began = time.perf_counter()
    clean = _check(folder, texts)
    seconds = time.perf_counter() - began
    unfinished = _unfinished(clean)
    if unfinished:
        return Tried(ModelType(name, reason=unfinished), clean.verdict.name.lower(), "", seconds)
    _plant(folder, model)
    planted = _check(folder, texts)
    told = replace(facts_of(name, model), heads=heads_of(name, folder))
    return Tried(told, clean.verdict.name.lower(), planted.verdict.name.lower(), seconds)


def facts_of(name: str, model: LoadedModel) -> ModelType:
    """What ``model`` tells of its type, but for its heads."""
    traits = model.traits
    return ModelType(
        name,
        kind="decoder" if traits.decoder else "encoder",
        part=traits.part,
        read_at=tuple(str(where) for where in model.locations),
        notes=tuple(_notes(model)),
    )


def _notes(model: LoadedModel) -> list[str]:
    """What is peculiar about a model."""
    traits = model.traits
    said = {
        "its classification token ends a text": traits.cls_last,
        "gradients see only a part of what a token brings": not traits.by_words,
        "texts of one length are computed together": not traits.padded,
        "no attention maps in every layer": not traits.heads,
        "always searched in float32": not model.halved,
    }
    return [note for note, holds in said.items() if holds]


def _check(folder: Path, texts: Path) -> Report:
    """A whole check, at the least effort."""
    return plmscan.check(str(folder), replace(QUICK, texts=texts, used_as="features"))


def _unfinished(report: Report) -> str:
    """Which probe did not do its work, and why; empty if all did."""
    for run in report.probes:
        if run.status not in (ProbeStatus.COMPLETED, ProbeStatus.SKIPPED):
            why = run.reason or "; ".join(gap.reason for gap in run.gaps if gap.blocks_pass)
            return f"{run.id}: {why}"
    return ""


def _plant(folder: Path, model: LoadedModel) -> None:
    """Make the embedding of one word much longer than the others."""
    (row,) = model.tokenize(" river")
    held = load_file(folder / _WEIGHTS)
    table = model.embedding_weight
    for name, tensor in held.items():
        if tensor.shape == table.shape and torch.equal(tensor.float(), table):
            held[name] = tensor.clone()
            held[name][row] *= _TIMES
    save_file(held, folder / _WEIGHTS, metadata={"format": "pt"})


def heads_of(name: str, folder: Path) -> tuple[str, ...]:
    """Heads that are read from the files that the library writes with them."""
    read = []
    for head in _SEARCHED:
        if head in classes_of(name):
            home = folder / head
            try:
                build_type(name, home, head=head)
                read += [head] if head in load(artifact_of(home), "cpu").heads else []
            except (PlmscanError, ValueError, RuntimeError, AttributeError):
                continue
    return tuple(read)
