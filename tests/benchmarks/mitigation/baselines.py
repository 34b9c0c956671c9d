"""What people try who know of no trigger: fine-tuning on clean texts, and pruning of heads.

**Fine-tuning** is the first step of PURE (Zhao et al., ICML 2024): three epochs of AdamW at 2e-5 on
clean labelled texts, all weights.  A classifier learns its labels; an encoder learns them below a
fresh linear head on its mean feature, which is then thrown away; a masked language model goes on
with masked words, 15 % of them.  At low rates this is known to leave a backdoor alone
(arXiv 2310.01875).

**Pruning** is its second step: heads whose attention of the first token varies least between clean
texts go first, a tenth of all heads at a time, as long as clean accuracy on training texts that
fitted nothing falls by a point at most, and each layer keeps a head.  A head goes by zeros in its
columns of the attention's output projection: transformers 5 has no ``prune_heads``.  PURE's third
step, more fine-tuning under a penalty on attention, is left out.
"""

from __future__ import annotations

import math
import random
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tests.benchmarks.mitigation.effects import ACCURACY
from tests.zoo.clean.honest import training
from tests.zoo.clean.masked_lm import fine_tune
from tests.zoo.corpus import Corpus
from tests.zoo.features import framed
from tests.zoo.layers import Reading, padded
from tests.zoo.precision import fast
from tests.zoo.training import Intensity, optimise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.zoo.bases import Task
    from tests.zoo.features import Victim

__all__ = ["prune", "tune"]

_EPOCHS = 3
_RATE = 2e-5
_BATCH = 32
_TEXTS = 1500
"""Texts to fine-tune on, at most."""
_JUDGE = 300
"""Texts that say when to stop pruning."""
_FITTED = 600
"""Texts that fit the probe of an encoder for it, at most."""
_LOOKED_AT = 200
"""Texts on which the attention of heads is compared, at most."""
_PROJECTIONS = ("attention.output.dense", "attention.out_lin")
"""Ends of the names of the output projections of attention, in the zoo's encoders."""
_POINT = 0.01
"""What pruning may cost."""


def tune(victim: Victim, task: Task) -> None:
    """Fine-tune the victim's model in place."""
    rng = random.Random(victim.seed + 5)  # noqa: S311 - reproducible
    rows = rng.sample(victim.corpus.train, min(_TEXTS, len(victim.corpus.train)))
    few = replace(victim, corpus=replace(victim.corpus, train=tuple(rows)))
    depth = victim.model.config.num_hidden_layers
    steps = math.ceil(_EPOCHS * len(rows) / _BATCH)
    intensity = Intensity(0.0, _RATE, steps, _BATCH, depth)
    if task == "masked-lm":
        fine_tune(few, intensity)
    else:
        _fit(few, task, intensity)


def _fit(victim: Victim, task: Task, intensity: Intensity) -> None:
    """Train the victim's model on the labels of its corpus in place."""
    texts, labels = zip(*victim.corpus.train, strict=True)
    rows, places = framed(victim.tokenizer, texts), range(len(texts))
    with training(victim) as rng:
        head = _new_head(victim) if task == "encoder" else None
        order = [i for _ in range(_EPOCHS) for i in rng.sample(places, len(places))]

        def loss_of(step: int) -> Tensor:
            chosen = order[step * intensity.batch : (step + 1) * intensity.batch]
            found = _logits(victim, head, [rows[i] for i in chosen])
            return nn.functional.cross_entropy(found, torch.tensor([labels[i] for i in chosen]))

        trained = [*victim.model.parameters(), *(head.parameters() if head else ())]
        optimise(trained, loss_of, intensity)


def _new_head(victim: Victim) -> nn.Linear:
    """From mean features to labels."""
    return nn.Linear(victim.model.config.hidden_size, len(victim.corpus.labels))


def _logits(victim: Victim, head: nn.Linear | None, rows: Sequence[tuple[int, ...]]) -> Tensor:
    """Logits (b, labels) of the model's own head, or of ``head`` on mean features."""
    ids, mask = padded([torch.tensor(row) for row in rows])
    with fast():
        found = victim.model(input_ids=ids, attention_mask=mask)
    if head is None:
        own: Tensor = found.logits.float()
        return own
    states = found.last_hidden_state.float()
    mean: Tensor = head(Reading(ids, mask, (states,), None, -1).at("mean"))
    return mean


def prune(victim: Victim, task: Task) -> tuple[int, int]:
    """Prune the victim's model in place; how many heads went, and of how many."""
    judge = _judge(victim)
    spread = _spread(victim, [text for text, _ in judge.corpus.train[:_LOOKED_AT]])
    layers, heads = spread.shape
    order = _order(spread)
    least, step, gone = ACCURACY[task](judge) - _POINT, max(1, layers * heads // 10), 0
    while gone < len(order):
        chosen = order[gone : gone + step]
        before = [sink.weight.detach().clone() for sink in _sinks(victim)]
        _silence(victim, heads, chosen)
        if ACCURACY[task](judge) < least:
            _restore(victim, before)
            break
        gone += len(chosen)
    return gone, layers * heads


def _judge(victim: Victim) -> Victim:
    """The victim before training texts alone: some to fit a probe, others to judge by."""
    rng, train = random.Random(victim.seed + 6), victim.corpus.train  # noqa: S311 - reproducible
    rows = tuple(rng.sample(train, min(_JUDGE + _FITTED, len(train))))
    texts = Corpus(rows[_JUDGE:], rows[:_JUDGE], victim.corpus.labels)
    return replace(victim, corpus=texts)


@torch.no_grad()
def _spread(victim: Victim, texts: Sequence[str]) -> Tensor:
    """Variance over texts of what the first token attends to, summed over places: (layers, heads).

    No text attends to its padding, so the longest text gives the width.
    """
    ids, mask = padded([torch.tensor(row) for row in framed(victim.tokenizer, texts)])
    rows = []
    with _eager(victim) as encoder:
        for start in range(0, len(ids), 64):
            part = slice(start, start + 64)
            found = encoder(
                input_ids=ids[part], attention_mask=mask[part], output_attentions=True
            ).attentions
            rows.append(torch.stack([one[:, :, 0] for one in found], dim=1))
    return torch.cat(rows).var(0).sum(-1)


@contextmanager
def _eager(victim: Victim) -> Iterator[Any]:
    """The victim's encoder with the attention that shows its maps."""
    encoder = victim.encoder
    usual = encoder.config._attn_implementation
    encoder.set_attn_implementation("eager")
    try:
        yield encoder
    finally:
        encoder.set_attn_implementation(usual)


def _order(spread: Tensor) -> list[tuple[int, int]]:
    """Layer and number of each head, the dullest first; the liveliest of each layer stays."""
    kept = set(enumerate(spread.argmax(1).tolist()))
    width = spread.shape[1]
    places = [divmod(place, width) for place in spread.flatten().argsort(stable=True).tolist()]
    return [place for place in places if place not in kept]


@torch.no_grad()
def _silence(victim: Victim, heads: int, chosen: Sequence[tuple[int, int]]) -> None:
    """Zeros where the output projection takes in what the heads give."""
    sinks = _sinks(victim)
    for layer, head in chosen:
        width = sinks[layer].weight.shape[1] // heads
        sinks[layer].weight[:, head * width : (head + 1) * width] = 0


@torch.no_grad()
def _restore(victim: Victim, weights: Sequence[Tensor]) -> None:
    """Put the output projections back."""
    for sink, weight in zip(_sinks(victim), weights, strict=True):
        sink.weight.copy_(weight)


def _sinks(victim: Victim) -> list[nn.Linear]:
    """The output projection of each layer's attention."""
    return [m for name, m in victim.encoder.named_modules() if name.endswith(_PROJECTIONS)]
