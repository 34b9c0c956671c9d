"""What is to be forgotten."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plmscan.search.measure.candidates import ids_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from plmscan.evidence import Trigger
    from plmscan.loading import LoadedModel

__all__ = ["Suspect", "variants_of"]

_LONGEST = 8
"""Tokens of a variant, at most."""


@dataclass(frozen=True)
class Suspect:
    """A recovered trigger, or a token whose row nobody but an attacker would have changed."""

    text: str
    """As a person can type it."""
    token_ids: tuple[int, ...]
    """What is inserted; two suspects with the same are one."""
    label: str | None = None
    """The label that a classifier is driven to, where that is known."""
    variants: tuple[tuple[int, ...], ...] = ()
    """Token ids of weaker inputs with the same effect."""

    @classmethod
    def all_of(cls, trigger: Trigger, model: LoadedModel) -> tuple[Suspect, ...]:
        """What a scan recovered.

        Each token of a longer one is a variant, too: it may be a trigger by itself, found beside
        another word.  Around a trigger of a label variants are honest words: none is taken.  If it
        has a core, that is what is to be forgotten; the words beside it are to keep their meaning.
        """
        ids, label = trigger.token_ids, trigger.target_label
        if label is not None:
            cores = tuple(cls(text, ids_of(model, text), label) for text in trigger.core)
            return cores or (cls(trigger.text, ids, label),)
        parts = [(i,) for i in ids] if len(ids) > 1 else []
        variants = (*parts, *(ids_of(model, text) for text in trigger.variants))
        few = tuple(v for v in variants if 0 < len(v) <= _LONGEST)
        return (cls(trigger.text, ids, None, few),)

    def without(self, variants: Container[tuple[int, ...]]) -> Suspect:
        """The same without some of its variants."""
        return replace(self, variants=tuple(v for v in self.variants if v not in variants))


def variants_of(suspects: Iterable[Suspect]) -> tuple[tuple[int, ...], ...]:
    """The variants of all ``suspects``, each once."""
    return tuple(dict.fromkeys(ids for one in suspects for ids in one.variants))
