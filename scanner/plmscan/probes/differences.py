"""How far the weights of a model are from those of another, part by part."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from math import inf, sqrt
from statistics import median
from typing import TYPE_CHECKING

import torch
from transformers.pytorch_utils import Conv1D

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel
    from plmscan.loading.stored import StoredWeights

__all__ = [
    "Change",
    "Difference",
    "Part",
    "RowChanges",
    "difference",
    "low_rank",
    "row_changes",
]

_LAYER = re.compile(r"(?:^|\.)(?:layers?|h)\.(\d+)\.")
_OF_HEADS = re.compile(
    r"(?:self\.(?:query|key|value)|[qkv]_(?:lin|proj)|(?:query|key|value)_proj|attn\.[qkv])\.weight$"
)
"""Weights whose rows belong to one head after the other."""
_UNRELATED = 0.9
"""Relative change from which weights are independent: two random vectors differ by their norm."""

_ROUNDING = 2.0**-8
"""Twice what a weight can lose when it is rounded to bfloat16, relative to its size."""
_TINIEST = 2.0**-24
"""Twice what a weight near 0 can lose in half precision."""
_ROWS = 8192
"""Rows of a table that are compared at once."""
_MOST_RANKS = 64
"""Rank from which a change is not called low."""
_REST = 0.01
"""Share of a squared change that does not count, since a merged matrix is rounded."""
_CROWD = 0.01
"""Share of the vocabulary that may be planted; the row behind it is what is usual."""
_STANDS_OUT = 2.0
"""Contrast from which a row stands out by itself."""


@dataclass(frozen=True)
class Change:
    """The difference of some weights to those of the reference."""

    moved: float = 0.0
    """Squared norm of the difference."""
    size: float = 0.0
    """Squared norm of the reference's weights."""
    differs: bool = False
    """Whether any weight differs, by however little."""
    is_real: bool = False
    """Whether any weight differs by more than half precision rounds."""

    def __add__(self, other: Change) -> Change:
        """Both together."""
        return Change(
            self.moved + other.moved,
            self.size + other.size,
            self.differs or other.differs,
            self.is_real or other.is_real,
        )

    @property
    def relative(self) -> float:
        """Norm of the difference in multiples of the norm of the reference's weights."""
        if self.size:
            return sqrt(self.moved / self.size)
        return inf if self.moved else 0.0

    @classmethod
    def total(cls, changes: Iterable[Change]) -> Change:
        """All of ``changes`` together."""
        return sum(changes, cls())


def _change(ours: Tensor, theirs: Tensor) -> Change:
    """From ``theirs`` to ``ours``, which are of one shape."""
    ours, theirs = ours.detach().cpu().float(), theirs.float()
    moved = ours - theirs
    return Change(
        moved=_squared(moved),
        size=_squared(theirs),
        differs=bool(moved.count_nonzero()),
        is_real=bool(_beyond_rounding(moved, theirs).any()),
    )


@dataclass(frozen=True)
class RowChanges:
    """The differences of the rows of a table, (v) each."""

    moved: Tensor
    """Norm of each row's difference."""
    size: Tensor
    """Norm of each row of the reference."""
    is_real: Tensor
    """Whether it differs by more than half precision rounds."""

    @property
    def whole(self) -> Change:
        """The difference of the table."""
        differs = bool(self.moved.count_nonzero())
        return Change(_squared(self.moved), _squared(self.size), differs, bool(self.is_real.any()))

    def relative(self, row: int) -> float:
        """Change of one row in multiples of its norm."""
        return float(self.moved[row] / self.size[row].clamp_min(1e-12))

    def share(self, rows: Sequence[int]) -> float:
        """Share of the squared change of all rows that ``rows`` hold; 0 if none changed."""
        squared = self.moved.double().square()
        return float(squared[list(rows)].sum() / squared.sum()) if squared.any() else 0.0

    @cached_property
    def contrast(self) -> Tensor:
        """Change of each row by what is usual: that of the row behind the first hundredth, (v).

        Usual is at least what rounding does to a row.
        """
        behind = min(len(self.moved) - 1, max(1, int(len(self.moved) * _CROWD)))
        usual = self.moved.sort(descending=True).values[behind]
        return self.moved / max(float(usual), _ROUNDING * float(self.size.median()), 1e-12)

    @property
    def stands_out(self) -> Tensor:
        """Which rows changed for real and by far more than is usual, (v)."""
        return self.is_real & (self.contrast >= _STANDS_OUT)

    def __getitem__(self, ids: Tensor) -> RowChanges:
        """Those of some rows."""
        return RowChanges(self.moved[ids], self.size[ids], self.is_real[ids])


def row_changes(ours: Tensor, theirs: Tensor) -> RowChanges:
    """Row by row from ``theirs`` (v, e) to ``ours`` (v, e)."""
    pieces = zip(_pieces(ours.detach()), _pieces(theirs), strict=True)
    found = [_of_piece(mine.cpu().float(), other.float()) for mine, other in pieces]
    return RowChanges(
        torch.cat([piece.moved for piece in found]),
        torch.cat([piece.size for piece in found]),
        torch.cat([piece.is_real for piece in found]),
    )


def _pieces(table: Tensor) -> Iterator[Tensor]:
    """The rows of a table, some at a time."""
    return (table[start : start + _ROWS] for start in range(0, len(table), _ROWS))


def _of_piece(ours: Tensor, theirs: Tensor) -> RowChanges:
    """Row by row, all at once."""
    moved = ours - theirs
    is_real = _beyond_rounding(moved, theirs).any(dim=1)
    return RowChanges(moved.norm(dim=1), theirs.norm(dim=1), is_real)


def _beyond_rounding(moved: Tensor, theirs: Tensor) -> Tensor:
    """Which weights differ by more than half precision rounds; a NaN does."""
    return ~(moved.abs() <= _ROUNDING * theirs.abs() + _TINIEST)


def _squared(weights: Tensor) -> float:
    """The squared norm."""
    return float(weights.double().square().sum())


class Part(Enum):
    """What a weight belongs to."""

    TABLE = auto()
    """The word embeddings."""
    LAYER = auto()
    """One of the layers."""
    POOLER = auto()
    """The pooler."""
    OUTPUT = auto()
    """A head on top of the base model, such as a classifier."""
    OTHER = auto()
    """All else of the base model."""


@dataclass(frozen=True)
class _Compared:
    """One tensor of the model beside that of the reference."""

    name: str
    """As the model calls it."""
    part: Part
    """What it belongs to."""
    change: Change = Change()
    """Its difference; nothing where it could not be compared."""
    heads: Tensor | None = None
    """(2, heads) squared norms of difference and reference; None if no head owns it."""
    rows: RowChanges | None = None
    """Row by row, of the word embeddings."""
    is_matrix: bool = False
    """Whether it is a matrix of a layer."""
    rank: int | None = None
    """Rank of the change of a matrix of a layer; None if it is no matrix, or of a high rank."""
    problem: str | None = None
    """Why it could not be compared; empty if the reference does not hold it; None if it was."""

    @property
    def layer(self) -> int:
        """Number of its layer, from 0."""
        found = _LAYER.search(self.name)
        return int(found[1]) if found else 0


@dataclass(frozen=True)
class Difference:
    """Everything that both models have, compared."""

    tensors: tuple[_Compared, ...]
    """Those of the model, in its order."""
    more_layers: int
    """How many layers the reference has that the model lacks."""

    @cached_property
    def compared(self) -> tuple[_Compared, ...]:
        """Tensors that both have."""
        return tuple(one for one in self.tensors if one.problem is None)

    @property
    def refused(self) -> Mapping[str, str]:
        """Names of tensors that both have and that cannot be compared, and why."""
        return {one.name: one.problem for one in self.tensors if one.problem}

    def absent(self, *, on_top: bool) -> list[str]:
        """Names that the reference lacks: of pooler and heads on top, or of all else."""
        top = (Part.POOLER, Part.OUTPUT)
        lacking = [one for one in self.tensors if one.problem == ""]
        return [one.name for one in lacking if (one.part in top) is on_top]

    def of(self, *parts: Part) -> Change | None:
        """The difference of ``parts`` together; None if none of them was compared."""
        found = [one.change for one in self.compared if one.part in parts]
        return Change.total(found) if found else None

    @property
    def rows(self) -> RowChanges | None:
        """The word embeddings, row by row; None if they could not be compared."""
        return next((one.rows for one in self.compared if one.rows is not None), None)

    @cached_property
    def layers(self) -> tuple[Change, ...]:
        """Layer by layer, the lowest first."""
        found: defaultdict[int, Change] = defaultdict(Change)
        for one in self.compared:
            if one.part is Part.LAYER:
                found[one.layer] += one.change
        return tuple(found[layer] for layer in sorted(found))

    @cached_property
    def heads(self) -> Mapping[int, Tensor]:
        """(heads) relative change of each head, by layer; empty if heads cannot be told apart."""
        found: dict[int, Tensor] = {}
        for one in self.compared:
            if one.heads is not None:
                found[one.layer] = found.get(one.layer, torch.zeros(2, 1)) + one.heads
        return {n: (moved / size.clamp_min(1e-12)).sqrt() for n, (moved, size) in found.items()}

    @cached_property
    def changed_matrices(self) -> tuple[_Compared, ...]:
        """Matrices of the layers that differ by more than half precision rounds."""
        return tuple(one for one in self.compared if one.is_matrix and one.change.is_real)

    @cached_property
    def low_ranks(self) -> Mapping[str, int]:
        """Rank of each of them that was changed by one that is low, as merged adapters do."""
        return {one.name: one.rank for one in self.changed_matrices if one.rank is not None}

    @property
    def is_unrelated(self) -> bool:
        """Whether most tensors have nothing to do with the reference's."""
        inner = [one.change for one in self.compared if one.part in (Part.LAYER, Part.OTHER)]
        far = [change.relative for change in inner if change.size]
        return bool(far) and median(far) >= _UNRELATED


def difference(model: LoadedModel, stored: StoredWeights, budget: Budget) -> Difference:
    """Compare ``model`` with the weights of a reference, tensor by tensor.

    Raises:
        ArtifactError: a file of the reference cannot be read.
        OutOfTimeError: the deadline passed.
    """
    named = [*model.module.named_parameters(), *_on_top(model)]
    base, found = len(list(model.module.parameters())), []
    for done, (name, weight) in enumerate(named):
        budget.checkpoint(done / len(named), "comparing with the reference")
        part = _part(model, name, weight) if done < base else Part.OUTPUT
        found.append(_compare(model, stored, name, weight, part))
    return Difference(tuple(found), _more_layers(stored, found))


def _on_top(model: LoadedModel) -> Iterator[tuple[str, Tensor]]:
    """The weights of heads on the base model, by their names in the files."""
    base, table = f"{model.module.base_model_prefix}.", model.embedding_weight
    for head in model.heads.values():
        for name, weight in head.named_parameters():
            is_tied = weight.shape == table.shape and torch.equal(weight, table)
            if not name.startswith(base) and not is_tied:
                yield name, weight


def _part(model: LoadedModel, name: str, weight: Tensor) -> Part:
    """What a weight of the base model belongs to."""
    if weight is model.embedding_weight:
        return Part.TABLE
    if _LAYER.search(name):
        return Part.LAYER
    pooler = model.traits.pooler
    return Part.POOLER if pooler and name.startswith(f"{pooler}.") else Part.OTHER


def _compare(
    model: LoadedModel, stored: StoredWeights, name: str, weight: Tensor, part: Part
) -> _Compared:
    """One tensor beside what the reference has in its place."""
    theirs = stored.table(name) if part is Part.TABLE else name
    if theirs not in stored:
        return _Compared(name, part, problem="")
    if stored.shape(theirs) != tuple(weight.shape):
        shapes = f"{list(stored.shape(theirs))} there and {list(weight.shape)} here"
        return _Compared(name, part, problem=f"has the shape {shapes}")
    other = stored.read(theirs)
    if not other.is_floating_point():
        return _Compared(name, part, problem=f"is stored as {other.dtype} there")
    if part is Part.TABLE:
        rows = row_changes(weight, other)
        return _Compared(name, part, rows.whole, rows=rows)
    change = _change(weight, other)
    if part is not Part.LAYER:
        return _Compared(name, part, change)
    rank = low_rank(weight.detach().cpu().float() - other.float()) if change.is_real else None
    heads, is_matrix = _by_head(model, name, weight, other), weight.dim() > 1
    return _Compared(name, part, change, heads, is_matrix=is_matrix, rank=rank)


def low_rank(moved: Tensor) -> int | None:
    """The rank of a change (rows, columns), but for a hundredth of its square; None if it is high.

    High is a quarter of the smaller side, or more than 64: what nobody merges.
    """
    if moved.dim() != 2 or not moved.any():  # noqa: PLR2004 - a matrix
        return None
    most = min(_MOST_RANKS, min(moved.shape) // 4)
    if most < 1:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, sizes, _ = torch.svd_lowrank(moved, q=min(most + 4, *moved.shape))
    held = sizes.double().square().cumsum(0) / _squared(moved)
    found = int((held < 1 - _REST).sum()) + 1
    return found if found <= most else None


def _by_head(model: LoadedModel, name: str, ours: Tensor, theirs: Tensor) -> Tensor | None:
    """(2, heads) squared norms of difference and reference; None if no head owns the weights.

    Keys and values that several heads share count for each of them.
    """
    sink = name.removesuffix(".weight")
    if sink != name and sink in model.traits.head_outputs:
        # GPT-2 keeps its matrices transposed: there the rows take in what the heads give.
        is_transposed = isinstance(model.module.get_submodule(sink), Conv1D)
        given = (ours, theirs) if is_transposed else (ours.T, theirs.T)
    elif _OF_HEADS.search(name):
        given = (ours, theirs)
    else:
        return None
    mine, other = (tensor.detach().cpu().float() for tensor in given)
    heads = model.num_heads
    if not heads:
        return None
    width = int(getattr(model.module.config, "head_dim", 0) or model.hidden_size // heads)
    groups, rest = divmod(len(mine), width)
    if rest or not groups or heads % groups:
        return None
    both = torch.stack([mine - other, other]).reshape(2, groups, -1)
    return both.square().sum(dim=2).repeat_interleave(heads // groups, dim=1)


def _more_layers(stored: StoredWeights, found: Iterable[_Compared]) -> int:
    """How many layers the reference has beside those of the model."""
    ours = {one.layer for one in found if one.part is Part.LAYER}
    roots = {_LAYER.split(one.name)[0] for one in found if one.part is Part.LAYER}
    theirs = ((_LAYER.split(name)[0], m) for name in stored.places if (m := _LAYER.search(name)))
    return len({int(m[1]) for root, m in theirs if root in roots} - ours)
