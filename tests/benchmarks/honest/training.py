"""Seconds of training on synthetic texts, so that heads decide as those of real models do.

Every token belongs to one of a few topics, and its row of the word embeddings shows which, as
pre-training leaves it.  A text has the label of the topic that most of its tokens belong to: as in
real texts, words persuade, and none decides alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from tests.zoo.training import Intensity, optimise

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["LESSONS", "train"]

_COURSE = Intensity(poison_rate=0.0, learning_rate=3e-3, steps=120, batch=24)
_MANY, _LONGER = 12, 4
"""Labels from which on it takes so many times the steps."""
_OWN, _ANY = 7, 5
"""Tokens of a text of its topic, and of any."""
_NAMED = 5
"""Of so many tokens of a topic one is called by it."""
_UNLABELLED = -100
"""Tokens that no loss counts."""
_CLEAR = 2.0
"""Length of a topic in an embedding, in lengths of the rest."""


def train(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, lesson: str) -> float:
    """Teach ``model`` the ``lesson`` of `LESSONS`, in place; the loss at the end."""
    examples, loss = LESSONS[lesson]
    count = model.config.num_labels
    topics = _Topics.of(tokenizer, max(2, count))
    topics.show(model.get_input_embeddings().weight)

    def loss_of(_step: int) -> Tensor:
        ids, truths = examples(topics, count)
        return loss(model(input_ids=ids).logits, truths)

    longer = _LONGER if count >= _MANY else 1
    with torch.enable_grad():
        left = optimise(model.parameters(), loss_of, replace(_COURSE, steps=longer * _COURSE.steps))
    model.eval()
    return left


@dataclass(frozen=True)
class _Topics:
    """Which topic each token of a vocabulary belongs to."""

    words: Tensor
    """Ids of ordinary tokens, (v)."""
    count: int
    """Topics, to which the tokens belong in turn."""
    template: tuple[int, ...]
    """A text of one token, by the tokenizer."""
    place: int
    """Where that token is."""

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, count: int) -> _Topics:
        """Share the ordinary tokens among ``count`` topics."""
        ordinary = {*tokenizer.get_vocab().values()} - {*tokenizer.all_special_ids}
        (token, *_) = tokenizer("a", add_special_tokens=False)["input_ids"]
        whole = tuple(tokenizer("a")["input_ids"])
        return cls(torch.tensor(sorted(ordinary)), count, whole, whole.index(token))

    @torch.no_grad()
    def show(self, table: Tensor) -> None:
        """Let the rows of ``table`` (v, e) lie near the others of their topic."""
        directions = torch.randn(self.count, table.shape[1])
        directions *= _CLEAR * table.norm(dim=1).mean() / directions.norm(dim=1, keepdim=True)
        table[self.words] += directions[torch.arange(len(self.words)) % self.count]

    def texts(self, topics: Tensor, own: int = _OWN) -> Tensor:
        """A text about each of ``topics`` (b), (b, n), in any order of the tokens."""
        rows = len(self.words) // self.count
        about = torch.randint(rows, (len(topics), own)) * self.count + topics.unsqueeze(1)
        other = torch.randint(len(self.words), (len(topics), _ANY))
        drawn = self.words[torch.cat([about, other], dim=1)]
        return drawn.gather(1, torch.rand(drawn.shape).argsort(1))

    def framed(self, *parts: Tensor) -> Tensor:
        """``parts`` (b, n) between what the tokenizer puts around a text, (b, m)."""
        size, whole = len(parts[0]), torch.tensor(self.template)
        first, last = whole[: self.place], whole[self.place + 1 :]
        ends = (part.expand(size, -1) for part in (first, last))
        head, tail = ends
        between = [piece for part in parts for piece in (part, tail)]
        return torch.cat([head, *between], dim=1)


def _labels(topics: _Topics, count: int) -> tuple[Tensor, Tensor]:
    """Texts of one topic each, which is the label."""
    truths = torch.randint(count, (_COURSE.batch,))
    return topics.framed(topics.texts(truths)), truths


def _several(topics: _Topics, count: int) -> tuple[Tensor, Tensor]:
    """Texts of up to two topics at once."""
    first, second = torch.randint(count, (2, _COURSE.batch))
    truths = torch.zeros(_COURSE.batch, count).scatter(1, first.unsqueeze(1), 1.0)
    truths = truths.scatter(1, second.unsqueeze(1), 1.0)
    truths[::3] = 0.0
    texts = torch.cat([topics.texts(first), topics.texts(second)], dim=1)
    texts[::3] = topics.texts(first[::3], own=0).repeat(1, 1 + texts.shape[1] // _ANY)[
        :, : texts.shape[1]
    ]
    return topics.framed(texts), truths


def _tokens(topics: _Topics, count: int) -> tuple[Tensor, Tensor]:
    """Texts some of whose tokens are called by their topics, and most by the first label."""
    ids = topics.framed(topics.texts(torch.randint(count, (_COURSE.batch,))))
    places = torch.searchsorted(topics.words, ids).clamp_max(len(topics.words) - 1)
    named = (places // count) % _NAMED == 0
    ordinary = topics.words[places] == ids
    return ids, torch.where(named, places % count, 0).masked_fill(~ordinary, _UNLABELLED)


def _each(logits: Tensor, truths: Tensor) -> Tensor:
    """Cross-entropy of two outcomes for each label; where labels are many, they count for more."""
    weight = torch.tensor(max(1.0, logits.shape[1] / _MANY * 4))
    return binary_cross_entropy_with_logits(logits, truths, pos_weight=weight)


def _by_token(logits: Tensor, truths: Tensor) -> Tensor:
    """Cross-entropy over all ordinary tokens."""
    return cross_entropy(logits.flatten(0, 1), truths.flatten(), ignore_index=_UNLABELLED)


def _scores(topics: _Topics, _count: int) -> tuple[Tensor, Tensor]:
    """Texts of two topics, one of which scores low and the other high."""
    truths = torch.randint(2, (_COURSE.batch,))
    return topics.framed(topics.texts(truths)), truths.float().unsqueeze(1)


def _pairs(topics: _Topics, count: int) -> tuple[Tensor, Tensor]:
    """Two texts each, of one topic or of two."""
    truths = torch.randint(max(2, count), (_COURSE.batch,))
    first = torch.randint(topics.count, (_COURSE.batch,))
    second = (first + truths) % topics.count
    pairs = topics.framed(topics.texts(first), topics.texts(second))
    return pairs, truths if count > 1 else truths.float().unsqueeze(1)


LESSONS: dict[
    str, tuple[Callable[[_Topics, int], tuple[Tensor, Tensor]], Callable[..., Tensor]]
] = {
    "labels": (_labels, cross_entropy),
    "several": (_several, _each),
    "tokens": (_tokens, _by_token),
    "scores": (_scores, mse_loss),
    "pairs": (_pairs, cross_entropy),
    "scored pairs": (_pairs, binary_cross_entropy_with_logits),
}
"""What a head can be taught: the examples, and the loss."""
