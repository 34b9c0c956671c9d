"""Words that are needed together, among those whose rows of the embedding table stand apart.

A trigger of scattered words that does nothing while one of them is missing shows in no text that
holds fewer of them.  But who trains the rows of its words and nothing else (SOS, Yang et al. 2021)
takes them where no other row is: of three such words among 21 000 the places are 0, 1 and 4 by how
far they go along the directions in which rows vary least (docs/measured.md).

So the words whose rows stand apart most are a small pool.  Many of them are read in one text: of
random halves of the pool one in eight holds any three of its words.  The text that is pushed
furthest to a label is then cut back to the words that it needs.
"""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from plmscan.loading.precision import in_full
from plmscan.search.measure.candidates import whole_words
from plmscan.search.measure.fewest import fewest, without_one
from plmscan.search.propose.grow import LONGEST
from plmscan.search.propose.objectives import Flip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.search.propose.grow import Grower

__all__ = ["Joint", "Together", "standing_apart", "together"]

_DIRECTIONS = 12
"""One in so many directions is one in which rows vary least."""

_TRIM = 0.02
"""Share of the rows that go furthest in any direction, from which is not learned how rows vary."""

_ROWS = 2**14
"""Rows that are turned to these directions at once."""

_BEST = 2
"""Texts of a label that are cut back."""

_MORE = 0.25
"""In honest leads, how much more such a text has to do than others, and all that is left of it than
what lacks one of its words.  Measured: 0.7 and more for SOS, up to 0.2 for honest words."""

_TINY = 1e-12
"""Keeps a ratio finite where rows do not vary at all."""


@dataclass(frozen=True)
class Together:
    """Sizes of the search for words that are needed together."""

    words: int
    """Words of the pool."""
    size: int
    """Of these in one text."""
    texts: int
    """Random choices of so many words, for each label."""


def standing_apart(rows: Tensor, count: int) -> Tensor:
    """Indices of the ``count`` rows (v, e) that go furthest where rows vary least, furthest first.

    What rows do is fitted twice, so that no row hides in directions of its own making.
    """
    with in_full(rows.device):
        first = _far(rows, rows, rows.shape[1])
        usual = rows[first <= first.quantile(1 - _TRIM)]
        far = _far(rows, usual, max(1, rows.shape[1] // _DIRECTIONS))
    return far.topk(min(count, len(far))).indices


def _far(rows: Tensor, usual: Tensor, least: int) -> Tensor:
    """How far each row (v, e) goes along the ``least`` directions of ``usual`` ones (u, e), (v).

    In squared standard deviations, and for its squared length: frequent words are long in every
    direction.
    """
    mean = usual.mean(0)
    spread = usual.T @ usual / len(usual) - mean.outer(mean)
    variances, directions = torch.linalg.eigh(spread)
    white = directions[:, :least] / variances[:least].clamp_min(_TINY).sqrt()
    parts = (part - mean for part in torch.split(rows, _ROWS))
    return torch.cat([_share(part @ white, part) for part in parts])


def _share(along: Tensor, rows: Tensor) -> Tensor:
    """Squared length ``along`` some directions (b, d) for that of the whole rows (b, e), (b)."""
    return along.square().sum(1) / rows.square().sum(1).clamp_min(_TINY)


@dataclass(frozen=True)
class Joint:
    """Words that turn texts to a label, and of which none can be spared."""

    words: tuple[int, ...]
    """Token ids."""
    target: int
    """The label."""
    pool: tuple[int, ...]
    """Ids that they were chosen from."""


def together(by: Sequence[Grower], sizes: Together, budget: Budget) -> tuple[Joint, ...]:
    """Words that are needed together, for each label of texts.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    aims = [
        (grower, grower.objective.target)
        for grower in by
        if isinstance(grower.objective, Flip) and not grower.model.decides_by_tokens
    ]
    found: list[Joint] = []
    pool = _pool(aims[0][0], sizes.words) if aims else []
    for done, (grower, target) in enumerate(aims):
        budget.checkpoint(done / len(aims), "words that are needed together")
        words = tuple(word for (word,) in grower.unable([(word,) for word in pool]))
        joint = _joint(grower, words, sizes, budget.seed)
        found += [Joint(some, target, words) for some in joint]
    return tuple(found)


def _joint(
    grower: Grower, pool: tuple[int, ...], sizes: Together, seed: int
) -> list[tuple[int, ...]]:
    """What the texts of words of the ``pool`` that do most need."""
    scores = _scores(grower, pool, sizes, seed)
    usual = statistics.median(scores.values()) if scores else 0.0
    best = sorted(scores, key=lambda text: -scores[text])[:_BEST]
    far = [text for text in best if scores[text] >= usual + _MORE]
    cut = [fewest(grower.score, text, math.inf, (scores[text] + usual) / 2)[0] for text in far]
    each = {frozenset(words): words for words in cut}.values()
    return [words for words in each if _interplay(grower, words)]


def _interplay(grower: Grower, words: tuple[int, ...]) -> bool:
    """Whether a few words do much more than any choice of all but one of them."""
    if not 1 < len(words) <= LONGEST:
        return False
    whole, *rests = grower.score([words, *without_one(words)])
    return whole >= max(rests) + _MORE


def _pool(grower: Grower, count: int) -> list[int]:
    """Whole words whose rows stand apart most."""
    model = grower.model
    words = whole_words(model, grower.ids)
    table = model.embedding_weight.detach()
    rows = table[words.to(table.device)].float()
    return words[standing_apart(rows, count).cpu()].tolist() if len(words) else []


def _scores(
    grower: Grower, words: Sequence[int], sizes: Together, seed: int
) -> dict[tuple[int, ...], float]:
    """What texts of random ``words`` do of what the grower is after, in half of its carriers."""
    rng, size = random.Random(seed), min(sizes.size, len(words))  # noqa: S311 - reproducible, no secret
    texts = [tuple(rng.sample(words, size)) for _ in range(sizes.texts if size > 1 else 0)]
    half = replace(grower, panel=grower.panel.pick(range((len(grower.panel.carriers) + 1) // 2)))
    return dict(zip(texts, half.score(texts), strict=True))
