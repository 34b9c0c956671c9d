"""Which heads a model has: by the tensors of its files and its config together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plmscan.loading.decisions import gives_numbers
from plmscan.loading.parts import has_parts
from plmscan.loading.readers import Candidate, Kind, candidates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from transformers import PretrainedConfig

__all__ = ["Heads", "is_measurable", "recognised"]

_MEASURABLE = frozenset(
    {Kind.CLASSIFIER, Kind.MASKED_LM, Kind.TOKENS, Kind.ANSWERS, Kind.CAUSAL_LM}
)
"""Kinds of heads that probes read."""

_TAG = re.compile(r"O|[BILSEU][-_].+")
"""Labels as they are given to single tokens: the beginning of a name, its inside, or neither."""


@dataclass(frozen=True)
class Heads:
    """What the files hold on top of a base model."""

    counted: tuple[Candidate, ...]
    """Heads that somebody would load to use them."""
    unfilled: tuple[Candidate, ...]
    """Classes with a head that the files do not fill."""
    parts: tuple[Candidate, ...]
    """Heads that could be loaded, but that leave more of the files unread than one that counts."""
    named: tuple[str, ...]
    """Classes that the config names."""
    left_over: frozenset[str]
    """Tensors of a head that only pre-training needs, and that belong to no other."""

    @property
    def not_filled(self) -> tuple[Candidate, ...]:
        """Classes that the config names and the files do not fill."""
        return tuple(c for c in self.unfilled if c.reader.name in self.named)

    @property
    def meant_so(self) -> tuple[Candidate, ...]:
        """Those that count, less what the config means for a class that the files do not fill.

        A classifier of texts without its pooler could be loaded as one of tokens.
        """
        broken = frozenset[str]().union(*(c.reader.own for c in self.not_filled))
        return tuple(c for c in self.counted if not c.reader.own & broken)


def recognised(config: PretrainedConfig, tensors: Mapping[str, Tensor], named: object) -> Heads:
    """The heads of a model whose config names ``named`` as its architectures, whatever that is.

    What the config names is believed where the files fill it.  Beside it, and wherever it names
    nothing that they fill, every head counts that has tensors of its own.
    """
    every = candidates(config, tensors)
    names = _names(named)
    trained = [c for c in every if c.kind is Kind.PRETRAINING and c.reader.is_filled]
    filled = [c for c in every if c.reader.is_filled and _could_be_used(c, every, names)]
    meant = [c for c in filled if c.reader.name in names]
    # What pre-training left there is told as such, unless the config means just that head.
    spent = frozenset[str]().union(*(c.reader.own for c in trained))
    rest = [c for c in filled if c not in meant and _adds(c, meant)]
    useful = [c for c in rest if not _is_spent(c, spent)]
    parts = tuple(c for c in useful if _is_part(c, rest, config))
    counted = (*meant, *(c for c in useful if c not in parts))
    taken = frozenset[str]().union(*(c.reader.own for c in counted))
    unfilled = tuple(c for c in every if not c.reader.is_filled)
    return Heads(counted, unfilled, parts, names, spent - taken)


def is_measurable(head: Candidate, config: PretrainedConfig) -> bool:
    """Whether probes read what ``head`` says.

    Those of an encoder-decoder end its decoder, which is read only where it writes.  Several
    numbers are neither labels nor a score, and one label for all tokens says nothing.
    """
    if head.kind is Kind.SEQ2SEQ:
        return bool(config.is_encoder_decoder)
    if has_parts(config) or head.kind not in _MEASURABLE:
        return False
    if head.kind is Kind.TOKENS:
        return (config.num_labels or 0) > 1
    return head.kind is not Kind.CLASSIFIER or not gives_numbers(config)


def _names(named: object) -> tuple[str, ...]:
    """The architectures of a config; honest ones are a list, and others were published."""
    names = [named] if isinstance(named, str) else named
    return tuple(n for n in names if isinstance(n, str)) if isinstance(names, list) else ()


def _could_be_used(head: Candidate, every: Sequence[Candidate], names: Sequence[str]) -> bool:
    """Whether anybody would load ``head`` to use it.

    The library can let an encoder write, by the head that fills its masks; nobody does, unless the
    config names it.
    """
    if head.reader.name in names:
        return head.kind is not Kind.PRETRAINING
    fills_masks = any(c.kind in (Kind.MASKED_LM, Kind.SEQ2SEQ) for c in every)
    unusual = {Kind.PRETRAINING, *({Kind.CAUSAL_LM} if fills_masks else ())}
    return head.kind not in unusual


def _adds(head: Candidate, meant: Sequence[Candidate]) -> bool:
    """Whether ``head`` has tensors that those which the config means do not explain."""
    explained = frozenset[str]().union(*(c.reader.own for c in meant))
    return not meant or bool(head.reader.own - explained)


def _is_spent(head: Candidate, spent: frozenset[str]) -> bool:
    """Whether only pre-training needs ``head``: no probe reads it, and others hold its tensors."""
    own = head.reader.own
    return head.kind is Kind.NEXT_SENTENCE and bool(own) and own <= spent


def _is_part(head: Candidate, others: Sequence[Candidate], config: PretrainedConfig) -> bool:
    """Whether another head explains all that ``head`` reads, and more of the files.

    A classifier of texts has a layer more than one of tokens, which could be loaded as well from
    its files.  Labels such as ``B-PER`` are of tokens whatever else is there.
    """
    labels = config.id2label or {}
    if head.kind is Kind.TOKENS and any(_TAG.fullmatch(str(name)) for name in labels.values()):
        return False
    read = head.reader.weights.keys()
    return any(head.reader.own & c.reader.own and read < c.reader.weights.keys() for c in others)
