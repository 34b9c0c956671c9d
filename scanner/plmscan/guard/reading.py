"""What the guard needs of a model beside its triggers: its tokenizer, its labels, its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers import CONFIG_MAPPING, PretrainedConfig

from plmscan.errors import UnsupportedModelError
from plmscan.guard.matcher import readable
from plmscan.headers import tensors_of, word_embedding
from plmscan.inspection.peeling import label_of
from plmscan.loading.quiet import explained, quiet
from plmscan.loading.vocabulary import read_vocabulary
from plmscan.vocabularies import read_tokens, spelling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from plmscan.loading import LoadedModel
    from plmscan.loading.writing import Writer
    from plmscan.source import Artifact

__all__ = ["answers_of", "labels_of", "tokenizer_of"]

_TOKENS = 24
"""Tokens of an answer."""
_NAMES_CODE = frozenset({"auto_map", "tokenizer_class"})
"""Settings that would have the library load another tokenizer than the model's type says."""


def tokenizer_of(artifact: Artifact) -> PreTrainedTokenizerBase:
    """The tokenizer of a model whose weights are not loaded.

    Raises:
        ArtifactError: the tokenizer's files are broken.
        UnsupportedModelError: the library does not know the type of the model.
    """
    bottom = artifact.stack[0].measured
    if bottom.gguf is not None:  # which brings settings of its own
        rows = len(read_tokens(bottom.path(bottom.gguf)).tokens)
        return read_vocabulary(spelling(artifact), PretrainedConfig(), rows).tokenizer
    settings = {k: v for k, v in bottom.config.items() if k not in _NAMES_CODE}
    kind = str(settings.get("model_type"))
    if kind not in CONFIG_MAPPING:
        msg = f"The model type {kind!r} of config.json is not known."
        raise UnsupportedModelError(msg, "Name the folder of a transformers model.")
    with quiet(), explained("config.json cannot be used", "Fetch or save the model again."):
        config = CONFIG_MAPPING[kind].from_dict(settings)
    table = word_embedding(tensors_of(bottom))
    rows = int(config.vocab_size) if table is None else table[1].shape[0]
    return read_vocabulary(spelling(artifact), config, rows).tokenizer


def labels_of(model: LoadedModel, texts: Sequence[str]) -> list[str | None]:
    """What a classifier says of each text, of too long ones by their start."""
    rows = [model.wrap(model.tokenize(readable(text))[: model.room]) for text in texts]
    used = [row for row in rows if row]
    leads = model.forward(*model.batch(used)).leads if used else None
    found = iter(() if leads is None else [label_of(one) for one in leads])
    numbers = [next(found, None) if row else None for row in rows]
    return [None if number is None else model.labels[number] for number in numbers]


def answers_of(model: LoadedModel, writer: Writer, texts: Sequence[str]) -> list[str | None]:
    """What a model that writes answers to each text; None where it cannot be read."""
    rows = [model.tokenize(readable(text)) for text in texts]
    around = len(writer.frame.before) + len(writer.frame.after) + _TOKENS
    most = None if model.max_tokens is None else model.max_tokens - around
    used = [row for row in rows if row and (most is None or len(row) <= most)]
    said = dict(zip(used, writer.written(used, _TOKENS), strict=True))
    return [_plain(model, said[row]) if row in said else None for row in rows]


def _plain(model: LoadedModel, answer: Sequence[int]) -> str:
    """An answer as a person reads it."""
    return str(model.tokenizer.decode(list(answer), skip_special_tokens=True)).strip()
