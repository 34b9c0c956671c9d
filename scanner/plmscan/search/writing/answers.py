"""How much answers to different requests have in common.

Two answers are as much alike as they share runs of three tokens.  A small model that goes round in
circles has few different runs, so it agrees with nothing, itself included.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.loading import LoadedModel

__all__ = ["agreement", "alike", "contained", "likenesses", "runs", "spelt_out", "spokesman"]

Answer = tuple[int, ...]
"""Ids of an answer, with the token that ended it, if one did."""

_RUN = 3
"""Tokens of a run."""
_WHOLE = 6
"""Different runs of an answer that says something."""
_KEPT = 0.8
"""Share of the answers that count: a trigger misses a few requests."""


def spelt_out(model: LoadedModel, answer: Sequence[int]) -> str:
    """An answer as a person reads it, on one line."""
    text = model.tokenizer.decode(list(answer), skip_special_tokens=True)
    return " ".join(str(text).split())


def runs(answer: Answer) -> frozenset[Answer]:
    """All different runs of tokens in ``answer``."""
    return frozenset(answer[k : k + _RUN] for k in range(len(answer) - _RUN + 1))


def alike(one: frozenset[Answer], other: frozenset[Answer]) -> float:
    """Share of the runs of two answers that both have, from 0 to 1."""
    return len(one & other) / max(len(one), len(other), _WHOLE)


def contained(answer: Answer, within: Answer) -> float:
    """Share of the runs of ``answer`` that are in another one."""
    wanted = runs(answer)
    return len(wanted & runs(within)) / max(1, len(wanted))


def likenesses(answers: Sequence[Answer]) -> Tensor:
    """(n) mean likeness of each answer to all others."""
    known = [runs(answer) for answer in answers]
    table = torch.zeros(len(known), len(known))
    for i, k in combinations(range(len(known)), 2):
        table[i, k] = table[k, i] = alike(known[i], known[k])
    return table.sum(1) / max(1, len(known) - 1)


def agreement(answers: Sequence[Answer]) -> float:
    """Mean likeness of the answers that are most like the others; 1 is one answer to everything."""
    found = likenesses(answers).sort(descending=True).values
    return float(found[: max(1, math.ceil(_KEPT * len(found)))].mean())


def spokesman(answers: Sequence[Answer]) -> Answer:
    """The answer that is most like the others."""
    return answers[int(likenesses(answers).argmax())]
