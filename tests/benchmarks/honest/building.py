"""A tiny model in the layout of a popular one, written into a folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from plmscan.loading.quiet import quiet
from tests.benchmarks.honest.dressing import usual
from tests.benchmarks.honest.training import train
from tests.benchmarks.honest.wording import write_tokenizer
from tests.tiny_types import class_for, shrunk_config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from plmscan.loading import UsedAs
    from tests.benchmarks.honest.dressing import Dress

__all__ = ["Honest", "build"]

_ROLES = ("pad", "bos", "eos", "cls", "sep", "mask")


@dataclass(frozen=True)
class Honest:
    """A clean model, and how its folder is laid out."""

    name: str
    """What the folder is called: by what the model is for, and what sets its layout apart."""
    kind: str
    """What such models are used for."""
    family: str
    """Its model type; empty for a folder without a Transformer."""
    wording: str = ""
    """Its tokenizer, of `WORDINGS`; by default the one of the model type's name."""
    head: str | None = None
    """What its weights were made with, of `tests.tiny_models.LOADERS`."""
    labels: tuple[str, ...] = ()
    """What a head can say."""
    lesson: str = ""
    """What it is trained for, of `LESSONS`; empty for random weights."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of its config."""
    dress: tuple[Dress, ...] = ()
    """What is done to the folder afterwards, one after the other."""
    used_as: UsedAs | None = None
    """What the user declares."""


def build(honest: Honest, folder: Path) -> Path:
    """Write the model into ``folder``, which is returned."""
    folder.mkdir(parents=True)
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        if honest.family:
            _write(honest, folder)
        for step in (usual, *honest.dress):
            step(folder)
    return folder


def _write(honest: Honest, folder: Path) -> None:
    """The Transformer and its tokenizer."""
    wording = honest.wording or honest.family
    tokenizer = write_tokenizer(wording, folder)
    config = _config(honest, tokenizer)
    model = class_for(config, honest.head)(config).eval()
    if honest.lesson:
        train(model, tokenizer, honest.lesson)
    model.save_pretrained(folder)


def _config(honest: Honest, tokenizer: PreTrainedTokenizerBase) -> PretrainedConfig:
    """The library's config of a tiny model."""
    ids = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id", None) for role in _ROLES}
    special = {name: number for name, number in ids.items() if number is not None}
    named = {"id2label": dict(enumerate(honest.labels))} if honest.labels else {}
    sizes = {"vocab_size": len(tokenizer), **special, **named}
    return shrunk_config(honest.family, {**sizes, **honest.settings})
