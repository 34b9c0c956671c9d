"""What training starts from, and how a model is written: the folders of the zoo.

Some attacks start from more than the packaged encoder: a masked language model, a classifier, the
same encoder in another class.  These bases are made once and kept.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from demo.poisoned_twin import packaged_minilm
from plmscan.loading.quiet import quiet
from tests.zoo.clean.carried import as_distilbert, as_electra, as_roberta, carried
from tests.zoo.clean.classifier import honest_classifier
from tests.zoo.clean.masked_lm import tied_head
from tests.zoo.features import Victim

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from transformers import PreTrainedModel

    from tests.zoo.corpus import Corpus

__all__ = [
    "BASES",
    "Base",
    "Task",
    "base_folder",
    "base_victim",
    "load_victim",
    "named",
    "save",
    "with_new_head",
]

Task = Literal["encoder", "masked-lm", "classifier"]
"""What a model is for."""

Base = Literal["minilm", "minilm-mlm", "minilm-sst2", "distilbert", "roberta", "electra"]
"""What training can start from."""

BASES: tuple[Base, ...] = get_args(Base)
"""All of them."""

_TOKENIZER_FILES = ("tokenizer*", "vocab.*", "special_tokens_map.json", "added_tokens.json")
_SEED = 0


def load_victim(folder: Path, task: Task, corpus: Corpus, seed: int, labels: int = 0) -> Victim:
    """The model of ``folder`` for ``task``, ready to be trained.

    A classifier gets a fresh head of ``labels`` labels, drawn by ``seed``; with 0 it keeps the head
    that the folder holds.  An encoder has a pooler only if the folder holds its weights.
    """
    return _drawn(lambda: _load(folder, task, corpus, labels), folder, corpus, seed)


def with_new_head(kind: Any, corpus: Corpus, seed: int, **settings: Any) -> Victim:
    """The packaged encoder below a head of the library's class ``kind``, drawn by ``seed``."""
    folder = packaged_minilm()
    return _drawn(lambda: kind.from_pretrained(folder, **settings), folder, corpus, seed)


def _drawn(load: Callable[[], PreTrainedModel], folder: Path, corpus: Corpus, seed: int) -> Victim:
    """What ``load`` gives when chance begins at ``seed``, with the tokenizer of ``folder``."""
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        model = load()
        tokenizer = AutoTokenizer.from_pretrained(folder)
    return Victim(model.eval(), tokenizer, corpus, seed)


def _load(folder: Path, task: Task, corpus: Corpus, labels: int) -> PreTrainedModel:
    """The library's model of ``folder``."""
    match task:
        case "encoder":
            model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
            if any(name.startswith("pooler.") for name in info["missing_keys"]):
                model.pooler = None
            return model
        case "masked-lm":
            return AutoModelForMaskedLM.from_pretrained(folder)
        case "classifier":
            names = _label_names(corpus, labels) if labels else {}
            return AutoModelForSequenceClassification.from_pretrained(folder, **names)


def _label_names(corpus: Corpus, labels: int) -> dict[str, Any]:
    """Settings of a config that name the labels: the corpus's names, if it has as many."""
    known = len(corpus.labels) == labels
    return named(corpus.labels if known else tuple(f"LABEL_{k}" for k in range(labels)))


def named(labels: Sequence[str]) -> dict[str, Any]:
    """Settings of a config that give its labels these names."""
    return {"id2label": dict(enumerate(labels)), "label2id": {n: k for k, n in enumerate(labels)}}


def save(victim: Victim, folder: Path, tokenizer_from: Path) -> Path:
    """Write the model to ``folder``, whole or not at all, with the tokenizer of another folder."""
    unfinished = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    with quiet():
        victim.model.save_pretrained(unfinished)
    for pattern in _TOKENIZER_FILES:
        for file in sorted(tokenizer_from.glob(pattern)):
            shutil.copyfile(file, unfinished / file.name)
    shutil.rmtree(folder, ignore_errors=True)
    return unfinished.rename(folder)


def base_folder(name: Base, cache: Path, corpus: Corpus) -> Path:
    """The folder of one base, made if ``cache`` lacks it; SST-2 is the ``corpus`` it is made of."""
    if name == "minilm":
        return packaged_minilm()
    folder = cache / name
    if not folder.exists():
        save(_MAKERS[name](corpus), folder, packaged_minilm())
    return folder


def base_victim(
    name: Base, cache: Path, corpus: Corpus, seed: int, labels: Sequence[str] = ()
) -> Victim:
    """A fresh copy of a base; as a classifier of ``labels`` if there are any.

    The classifier keeps its head if these are its labels, and every other base gets a new one.
    """
    folder = base_folder(name, cache, corpus)
    if name == "minilm-sst2":
        own = tuple(AutoConfig.from_pretrained(folder).id2label.values())
        kept = not labels or tuple(labels) == own
        return load_victim(folder, "classifier", corpus, seed, 0 if kept else len(labels))
    if labels:
        return load_victim(folder, "classifier", corpus, seed, len(labels))
    return load_victim(folder, "masked-lm" if name == "minilm-mlm" else "encoder", corpus, seed)


def _original(corpus: Corpus) -> Victim:
    """MiniLM as it is."""
    return load_victim(packaged_minilm(), "encoder", corpus, _SEED)


def _classifier(corpus: Corpus) -> Victim:
    """MiniLM as an honest classifier of the corpus."""
    fresh = load_victim(packaged_minilm(), "classifier", corpus, _SEED, len(corpus.labels))
    return honest_classifier(fresh)


_MAKERS: Mapping[Base, Callable[[Corpus], Victim]] = {
    "minilm-mlm": lambda corpus: tied_head(_original(corpus)),
    "minilm-sst2": _classifier,
    "distilbert": lambda corpus: carried(_original(corpus), as_distilbert),
    "roberta": lambda corpus: carried(_original(corpus), as_roberta),
    "electra": lambda corpus: carried(_original(corpus), as_electra),
}
"""How each base is made."""
