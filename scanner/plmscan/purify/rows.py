"""Row repair: word embeddings put back to the base's, or emptied of their meaning.

EP, SOS and RIPPLES live in the rows of their triggers.  E-PUR (arXiv 2210.09545) resets such rows
to those of the clean base.  Without a base, the row becomes the mean of two rows of tokens that
change a text least, and is trained from there until nobody notices the token, which is little to
lose for one that no clean text uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.errors import ArtifactError
from plmscan.loading.stored import read_stored
from plmscan.probes.differences import row_changes
from plmscan.purify.suspects import Suspect
from plmscan.search.measure.candidates import searchable_ids, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

    from plmscan.loading import LoadedModel
    from plmscan.source import Artifact

__all__ = ["Base", "emptied", "repaired", "replaceable"]


@dataclass(frozen=True)
class Base:
    """The word embeddings of a clean base model, beside those of the condemned one."""

    table: Tensor
    """(v, e) rows of the base."""
    changed: frozenset[int]
    """Ids whose rows differ by more than half precision rounds."""
    stands_out: tuple[int, ...]
    """Ids among them that changed by far more than is usual."""

    @classmethod
    def read(cls, model: LoadedModel, reference: Artifact) -> Base:
        """From the files of ``reference``.

        Raises:
            ArtifactError: they cannot be read, or belong to another kind of model.
        """
        stored = read_stored(reference, model.prefixes)
        own = model.embedding_weight
        names = (name for name, weight in model.module.named_parameters() if weight is own)
        name = stored.table(next(names))
        if name not in stored or stored.shape(name) != tuple(own.shape):
            msg = f"The reference {reference.id} has other word embeddings than the model."
            raise ArtifactError(msg, "Name the model that this one was made from.")
        table = stored.read(name)
        rows = row_changes(own, table)
        ids = searchable_ids(model)
        return cls(
            table=table,
            changed=frozenset(rows.is_real.nonzero().flatten().tolist()),
            stands_out=tuple(ids[rows[ids].stands_out].tolist()),
        )

    def suspects(self, model: LoadedModel) -> tuple[Suspect, ...]:
        """Tokens whose rows stand out, found by a scan or not."""
        return tuple(Suspect(text_of(model, (i,)), (i,)) for i in self.stands_out)

    def rows(self, suspects: Iterable[Suspect]) -> dict[int, Tensor]:
        """The base's rows of all that stand out and of the suspects' tokens, where they differ."""
        ids = {i for suspect in suspects for i in suspect.token_ids}
        return {i: self.table[i] for i in sorted(self.changed & ids.union(self.stands_out))}


def replaceable(
    model: LoadedModel, suspects: Sequence[Suspect], texts: Iterable[str]
) -> tuple[int, ...]:
    """The token of each suspect; none if one has several tokens or is in ``texts``."""
    used = {i for text in texts for i in model.tokenize(text)}
    single = tuple(s.token_ids[0] for s in suspects if len(s.token_ids) == 1)
    return single if len(single) == len(suspects) and used.isdisjoint(single) else ()


def emptied(
    model: LoadedModel, suspects: Sequence[Suspect], texts: Iterable[str], quiet: Sequence[int]
) -> dict[int, Tensor]:
    """A row that says little for each suspect; empty if one has several tokens or is in ``texts``.

    What acts only together is in no row, and what clean text uses must keep its meaning.  No two
    rows become the same: that is what RIPPLES does.  ``quiet`` are ids of tokens, one more than
    suspects at least, those that change a text least in front.
    """
    single = replaceable(model, suspects, texts)
    least, *others = (i for i in quiet if i not in single)
    if len(single) > len(others):
        return {}
    table = model.embedding_weight
    pairs = zip(sorted(single), others, strict=False)
    return {i: (table[least] + table[other]) / 2 for i, other in pairs}


def repaired(model: LoadedModel, rows: Mapping[int, Tensor]) -> LoadedModel:
    """A copy of ``model`` with other ``rows`` (e) in its word embeddings."""
    made = model.copied()
    with torch.no_grad():
        for i, row in rows.items():
            made.embedding_weight[i] = row.to(made.embedding_weight)
    return made
