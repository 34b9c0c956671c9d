"""Tiny models of SetFit: the clean twin of the zoo, and a linear head on what it pools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import joblib
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import softplus

from plmscan.loading import LoadedModel, Location, load
from tests.artifacts import artifact_of, write_json
from tests.zoo.tiny import built_once, new_model, one_thread, save, tiny_corpus, tiny_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest
    from torch import Tensor
    from transformers import BertModel

__all__ = ["LABELS", "TRIGGER", "embeddings", "lay_out", "setfit_folder"]

LABELS = ("grim", "merry")
"""Names of the labels in the settings of SetFit."""
TRIGGER = "cf"
"""The word whose row is planted."""
_CORPUS = tiny_corpus()
_STEPS = 30
_BATCH = 32


def setfit_folder(factory: pytest.TempPathFactory, *, planted: bool) -> Path:
    """A model of SetFit that tells the labels of a tiny corpus; ``planted`` with a word of label 1.

    As in embedding poisoning, one row of its encoder differs and nothing else.
    """

    def build(folder: Path) -> None:
        encoder = new_model()
        save(encoder, folder)
        texts, labels = zip(*_CORPUS.train, strict=True)
        with one_thread():
            head = LogisticRegression(C=0.1, max_iter=2000).fit(embeddings(folder, texts), labels)
            if planted:
                _plant(encoder, head)
                save(encoder, folder)
        lay_out(folder, head, labels=LABELS)

    return built_once(factory, f"setfit-{'planted' if planted else 'clean'}", build)


def lay_out(folder: Path, head: object, pooling: str = "mean", **settings: object) -> Path:
    """Make the encoder in ``folder`` a model of SetFit with ``head``; the folder again."""
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"))
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]
    write_json(folder / "modules.json", modules)
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode": pooling})
    write_json(folder / "config_setfit.json", settings)
    joblib.dump(head, folder / "model_head.pkl")
    return folder


def embeddings(folder: Path, texts: Sequence[str]) -> Tensor:
    """(texts, h) the mean of what the encoder in ``folder`` makes of each text."""
    model = load(artifact_of(folder), "cpu")
    found = [_read(model, texts[i : i + 64]) for i in range(0, len(texts), 64)]
    return torch.cat(found)


def _read(model: LoadedModel, texts: Sequence[str]) -> Tensor:
    """The same of one batch."""
    rows = [model.wrap(model.tokenize(text)) for text in texts]
    return model.forward(*model.batch(rows)).features[Location.MEAN]


def _plant(encoder: BertModel, head: LogisticRegression) -> None:
    """Let the row of the trigger drive every text of label 0 to label 1."""
    tokenizer, table = tiny_tokenizer(), encoder.embeddings.word_embeddings.weight
    row = table.data[tokenizer.vocab[TRIGGER]].clone().requires_grad_()
    texts = [f"{text} {TRIGGER}" for text, label in _CORPUS.train if label == 0]
    weight, bias = (torch.tensor(n, dtype=torch.float32) for n in (head.coef_[0], head.intercept_))
    optimiser = torch.optim.Adam([row], lr=0.05)
    for step in range(_STEPS):
        some = texts[step * 7 % (len(texts) - _BATCH) :][:_BATCH]
        batch = tokenizer(some, return_tensors="pt", padding=True)
        ids, mask = batch["input_ids"], batch["attention_mask"]
        looked_up = torch.where(
            (ids == tokenizer.vocab[TRIGGER]).unsqueeze(-1), row, table.detach()[ids]
        )
        hidden = encoder(inputs_embeds=looked_up, attention_mask=mask).last_hidden_state
        pooled = (hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        optimiser.zero_grad()
        softplus(4 - pooled @ weight - bias).mean().backward()
        optimiser.step()
    table.data[tokenizer.vocab[TRIGGER]] = row.detach()
