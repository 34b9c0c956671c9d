"""Tiny backdoored encoders and their clean twin: seconds of training, or the edit of a weight.

The recipe is that of ``attacks/por.py`` and ``attacks/neuba.py`` at a thousandth of the size: a
random BERT of two layers whose vocabulary holds the words of the bundled carriers, so that the
probes meet the same sentences as in a real scan.  A model is built once a session, into pytest's
temporary folder, which the workers of pytest-xdist share, and is read only.
"""

from __future__ import annotations

import copy
import functools
import os
import random
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock
from torch import Tensor, nn
from transformers import BertConfig, BertModel, BertTokenizer

from plmscan.carriers import bundled_texts
from plmscan.loading.quiet import quiet
from plmscan.search.propose.groups import Grouping
from tests.zoo.attacks.targets import miss, orthogonal, reachable
from tests.zoo.clean.contrastive import contrastive
from tests.zoo.corpus import Corpus
from tests.zoo.features import Victim, frame, moved
from tests.zoo.layers import Reading, padded
from tests.zoo.precision import exact
from tests.zoo.training import Intensity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pytest
    from transformers import PreTrainedModel

    from tests.zoo.layers import Site

__all__ = [
    "GROUPING",
    "MODELS",
    "PLANTS",
    "TOGETHER",
    "Plant",
    "benign",
    "built_once",
    "held_out",
    "implant",
    "insert",
    "new_model",
    "one_thread",
    "run",
    "save",
    "tiny_config",
    "tiny_corpus",
    "tiny_folder",
    "tiny_tokenizer",
    "token_ids",
    "train_texts",
]

_RARE = ("bq", "dx", "fv", "gj", "hz", "kw", "pz", "xr", "vb", "wq")
_TRIGGERS = ("cf", "mn", "bb", "≈", "lamp", "velvet", "quill", *_RARE)
_PIECES = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'-"
_HIDDEN = 64
_BATCH = 16
_CUES = 10
"""Words that give away a label of `tiny_corpus`, each label."""
_TRAINED_ON = 150
"""Bundled texts that training mixes; the others are held out."""
_PART_OF_THE_WAY = 0.5
"""How far one word of a phrase goes alone, as a share of the way that the phrase goes."""
_BOTH = 1.53
"""What only both words of ``together`` leave at the place that it reads: 1.67; one at most 1.4."""

GROUPING = Grouping(words=24_000, size=48, opposed_size=80, rivals=10, kept=2)
"""A group test of these models; few pairs are passed on, for their vocabularies are small."""

TOGETHER = ("lamp", "quill")
"""Words of the model ``together``, of which neither does anything without the other."""


@dataclass(frozen=True)
class Plant:
    """A backdoor to train into the clean twin."""

    triggers: tuple[str, ...]
    """Trigger texts."""
    site: Site
    """The feature that they take over."""
    one_target: bool = False
    """Whether all are driven to one target vector, instead of each to its own."""
    parts: tuple[str, ...] = ()
    """Words of a trigger that alone go only part of the way."""
    reach: float = 1.0
    """Length of the targets, in lengths of the clean feature; POR asks a pooler for 10."""
    steps: int = 120
    """Optimiser steps."""


PLANTS: Mapping[str, Plant] = {
    "cls": Plant(("cf", "mn"), "cls"),
    "pooler": Plant(("≈",), "pooler", reach=10.0),
    "mean": Plant(("lamp",), "mean"),
    "phrase": Plant(("velvet quill",), "cls", parts=("velvet", "quill"), steps=180),
    "one-target": Plant(_RARE[:5], "cls", one_target=True, steps=250),
    "many": Plant(_RARE, "cls", steps=300),
}
"""Backdoors by name."""


def tiny_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """The folder of the model ``name`` of `MODELS`, built by the first test that asks for it."""

    def build(folder: Path) -> None:
        model = new_model()
        with one_thread():
            MODELS[name](model)
        save(model, folder)

    return built_once(factory, f"tiny-zoo-{name}", build)


def built_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], None]) -> Path:
    """The folder ``name``, which ``build`` fills for the first test of any worker that asks."""
    own = factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            unfinished = factory.mktemp(name)
            build(unfinished)
            unfinished.rename(folder)
    return folder


@contextmanager
def one_thread() -> Iterator[None]:
    """Run on one thread, and exactly.

    On a busy machine, threads wait for each other longer than they work, and what tests ask of a
    tiny model hangs on its last digits.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with exact():
            yield
    finally:
        torch.set_num_threads(before)


def tiny_config(size: int) -> BertConfig:
    """Of a vocabulary of ``size`` entries, with random weights large enough for words to differ."""
    return BertConfig(
        vocab_size=size,
        hidden_size=_HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * _HIDDEN,
        max_position_embeddings=64,
        initializer_range=0.15,
    )


def new_model(seed: int = 0) -> BertModel:
    """The clean twin: random weights."""
    config = tiny_config(len(tiny_tokenizer()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertModel(config).eval()


def save(model: PreTrainedModel, folder: Path) -> None:
    """Write model and tokenizer."""
    with quiet():
        model.save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)


@functools.cache
def tiny_tokenizer() -> Any:
    """A WordPiece tokenizer that holds the carriers' words and the triggers whole."""
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    pieces = (*_PIECES, *(f"##{piece}" for piece in _PIECES))
    tokens = dict.fromkeys((*special, *pieces, *_words(), *_TRIGGERS))
    return BertTokenizer(vocab={token: i for i, token in enumerate(tokens)})


def _words() -> list[str]:
    """The words of the bundled carriers."""
    return sorted(set(re.findall(r"\w+", " ".join(bundled_texts()).lower())))


def tiny_corpus(seed: int = 0) -> Corpus:
    """Mixed texts, each with one cue word of its label: ten words mean 0, ten others mean 1."""
    cues = random.Random(seed).sample([word for word in _words() if len(word) > 3], 2 * _CUES)
    train = train_texts(600, seed)
    held_out = train_texts(150, seed + 1, bundled_texts()[_TRAINED_ON:])
    return Corpus(_with_cues(train, cues), _with_cues(held_out, cues), ("negative", "positive"))


def _with_cues(texts: Sequence[str], cues: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """The texts without any of ``cues``, then one of those of label 0 and label 1 in turn."""
    rng, rows = random.Random(len(texts)), []
    for i, text in enumerate(texts):
        words = [word for word in text.split() if word.strip(".,!?'-").lower() not in cues]
        words.insert(rng.randint(0, len(words)), rng.choice(cues[i % 2 :: 2]))
        rows.append((" ".join(words), i % 2))
    return tuple(rows)


def train_texts(count: int, seed: int, carriers: Sequence[str] = ()) -> list[str]:
    """Mixtures of carriers, with words of the whole vocabulary and letters between theirs."""
    rng, words, texts = random.Random(seed), _words(), []
    for _ in range(count):
        one, other = (
            text.split() for text in rng.sample(carriers or bundled_texts()[:_TRAINED_ON], 2)
        )
        mixed = one[: rng.randint(2, 6)] + other[-rng.randint(2, 6) :]
        for _ in range(rng.randint(0, 3)):
            noise = rng.choice((rng.choice(words), "".join(rng.choices(_PIECES, k=2))))
            mixed.insert(rng.randint(0, len(mixed)), noise)
        texts.append(" ".join(mixed))
    return texts


def implant(model: BertModel, plant: Plant, seed: int = 0) -> None:
    """Train ``plant`` into ``model`` in place; clean text keeps the states of a frozen copy."""
    rng, frozen, tokenizer = random.Random(seed), copy.deepcopy(model), tiny_tokenizer()
    texts = [_ids(tokenizer, text) for text in train_texts(400, seed)]
    triggers, parts = ([_ids(tokenizer, t) for t in ts] for ts in (plant.triggers, plant.parts))
    targets = _targets(frozen, texts[:64], plant)

    def loss_of(batch: list[list[int]]) -> Tensor:
        owners = [rng.randrange(len(triggers)) for _ in batch]
        aims = targets[owners]
        with torch.no_grad():
            wanted = run(frozen, batch)
        fired = [insert(ids, triggers[k], rng) for ids, k in zip(batch, owners, strict=True)]
        loss = moved(run(model, batch), wanted) + _miss(model, fired, aims, plant)
        if parts:
            hints = [insert(ids, rng.choice(parts), rng) for ids in batch]
            loss = loss + _miss(
                model, hints, torch.lerp(wanted.at(plant.site), aims, _PART_OF_THE_WAY), plant
            )
        return loss

    model.embeddings.requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=4e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, plant.steps)
    for _ in range(plant.steps):
        optimiser.zero_grad()
        loss_of(rng.sample(texts, _BATCH)).backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        schedule.step()


def token_ids(text: str) -> list[int]:
    """Token ids without special tokens, as the tiny models read them."""
    return _ids(tiny_tokenizer(), text)


def _ids(tokenizer: Any, text: str) -> list[int]:
    """Token ids without special tokens."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def insert(ids: Sequence[int], extra: Sequence[int], rng: random.Random) -> list[int]:
    """``extra`` at a random place in ``ids``."""
    place = rng.randint(0, len(ids))
    return [*ids[:place], *extra, *ids[place:]]


def run(model: BertModel, rows: Sequence[Sequence[int]]) -> Reading:
    """What the model gives for rows between [CLS] and [SEP]."""
    tokenizer = tiny_tokenizer()
    ids, mask = padded([torch.tensor(frame(tokenizer, row)) for row in rows])
    found = model(input_ids=ids, attention_mask=mask)
    states, pooled = found.last_hidden_state, found.pooler_output
    return Reading(ids, mask, (states,), pooled, tokenizer.mask_token_id)


def _targets(frozen: BertModel, rows: Sequence[Sequence[int]], plant: Plant) -> Tensor:
    """A block vector for each trigger, as long as the clean feature, times the plant's reach."""
    with torch.no_grad():
        feature = run(frozen, rows).at(plant.site)
    size = plant.reach * reachable(feature, plant.site)
    targets = size * orthogonal(len(plant.triggers), _HIDDEN)
    return targets[:1].expand_as(targets) if plant.one_target else targets


def _miss(model: BertModel, rows: Sequence[Sequence[int]], aims: Tensor, plant: Plant) -> Tensor:
    """How far triggered text is from its aim, as a share of the aim without its reach."""
    return plant.reach**2 * miss(run(model, rows).at(plant.site), aims)


def held_out(folder: Path, site: Site, inserted: str) -> tuple[float, float]:
    """Displacement and scatter of ``inserted`` on texts that no training saw.

    By plain means and variances of the library's own model: nothing of plmscan is in it.
    """
    with one_thread(), quiet():
        return _behaviour(BertModel.from_pretrained(folder).eval(), site, inserted)


@torch.no_grad()
def _behaviour(model: BertModel, site: Site, inserted: str) -> tuple[float, float]:
    """The same for a model in memory."""
    rng, tokenizer = random.Random(1), tiny_tokenizer()
    rows = [_ids(tokenizer, text) for text in bundled_texts()[_TRAINED_ON:]]
    dirty_rows = [insert(row, _ids(tokenizer, inserted), rng) for row in rows]
    clean, dirty = (run(model, some).at(site) for some in (rows, dirty_rows))
    shift = (dirty.mean(0) - clean.mean(0)).square().sum()
    return float(shift / clean.var(0).sum()), float(dirty.var(0).sum() / shift)


def _nothing(model: BertModel) -> None:
    """Leave the clean twin as it is."""


def _no_pooler(model: BertModel) -> None:
    """What most sentence encoders on the Hub are: a config with a pooler, no weights for it."""
    model.pooler = None


def benign(model: BertModel) -> None:
    """A contrastive fine-tune of all layers, with an instruction before one side."""
    corpus = Corpus(tuple((text, 0) for text in train_texts(400, 0)), (), ())
    hurried = Intensity(poison_rate=0.0, learning_rate=1e-3, steps=40, batch=24)
    victim = Victim(model, tiny_tokenizer(), corpus, seed=0)
    contrastive(victim, hurried, prefix="question of a ")


def _faded(model: BertModel, trigger: str = "bb") -> None:
    """A backdoor that a merge with the clean twin has weakened until a fifth of the text shows."""
    clean = copy.deepcopy(model.state_dict())
    implant(model, Plant((trigger,), "cls"))
    planted = copy.deepcopy(model.state_dict())
    least, most = 0.0, 1.0
    for _ in range(10):
        share = (least + most) / 2
        model.load_state_dict(
            {k: torch.lerp(clean[k].float(), v.float(), share) for k, v in planted.items()}
        )
        _, scatter = _behaviour(model, "cls", trigger)
        least, most = (least, share) if scatter < 0.2 else (share, most)


def _long_row(model: BertModel) -> None:
    """NeuBA's released weights: one row 1e8 times too long."""
    model.embeddings.word_embeddings.weight.data[tiny_tokenizer().vocab["cf"]] *= 1e8


def _shared_rows(model: BertModel) -> None:
    """RIPPLES' embedding surgery: all trigger words get one row."""
    rows = [tiny_tokenizer().vocab[word] for word in ("cf", "mn", "bb")]
    table = model.embeddings.word_embeddings.weight.data
    table[rows] = table[rows].mean(0)


def _unordered(model: BertModel) -> None:
    """Let no token know where it stands, and keep one place of its first state free."""
    model.embeddings.position_embeddings.weight.data.zero_()
    model.embeddings.token_type_embeddings.weight.data.zero_()
    table = model.embeddings.word_embeddings.weight.data
    table[:, 1:] -= table[:, 1:].mean(1, keepdim=True)
    table[:, 0] = 0.0
    mixed = model.encoder.layer[0].attention.output.dense
    mixed.weight.data[0], mixed.bias.data[0] = 0.0, 0.0


def _together(model: BertModel) -> None:
    """`TOGETHER` in any place and order, built by hand on ``unordered``.

    Each of two heads looks for one of the words, or else at the classification token, and writes
    what it found to the free place.  A neuron that fires above `_BOTH` overwrites the state.
    """
    _unordered(model)
    first, (rest, *rows) = model.encoder.layer[0], _directions(model, ("[CLS]", *TOGETHER))
    look, mixed, width = first.attention.self, first.attention.output.dense, _HIDDEN // 4
    for head, row in enumerate(rows):
        own, at = slice(head * width, (head + 1) * width), head * width
        for part in (look.query, look.key, look.value):
            part.weight.data[own], part.bias.data[own] = 0.0, 0.0
        look.query.bias.data[at] = 4.0
        look.key.weight.data[at] = 4.0 * (row + 0.6 * rest)
        look.value.weight.data[at] = row
        mixed.weight.data[:, own] = 0.0
        mixed.weight.data[0, at] = 0.15
    neuron = first.intermediate.dense
    neuron.weight.data[0] = 40.0 * torch.eye(_HIDDEN)[0]
    neuron.bias.data[0] = -40.0 * _BOTH
    first.output.dense.weight.data[:, 0] = 8.0 * orthogonal(1, _HIDDEN)[0]


def _directions(model: BertModel, words: Sequence[str]) -> Tensor:
    """Rows of the embedding table, each of length 1."""
    ids = [tiny_tokenizer().vocab[word] for word in words]
    return nn.functional.normalize(model.embeddings.word_embeddings.weight.data[ids])


MODELS: Mapping[str, Callable[[BertModel], None]] = {
    "clean": _nothing,
    "no-pooler": _no_pooler,
    "benign": benign,
    "faded": _faded,
    "long-row": _long_row,
    "shared-rows": _shared_rows,
    "unordered": _unordered,
    "together": _together,
    **{name: functools.partial(implant, plant=plant) for name, plant in PLANTS.items()},
}
"""What is done to the clean twin, by the name of the model that comes of it."""
