"""What experiments are made of: a model, a few short texts, and when two results are the same."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, cast

import torch

from plmscan.errors import PlmscanError, UnsupportedModelError
from plmscan.loading.passing import passed
from plmscan.loading.quiet import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

    from plmscan.loading.features import BaseOutputs
    from plmscan.loading.vocabulary import Vocabulary

__all__ = ["LONG", "Bench", "experiment", "refuse", "same", "word_rows"]

LONG = 9
"""Words of the longer text that is tried."""
_SHORT = 5
"""Words of the shorter one."""
_ROUNDING = 1e-3
"""Share of the size of a state by which rounding may change it in another batch."""
_TEXT = "a short text"
"""The experiment that all others begin with."""


@dataclass(frozen=True)
class Bench:
    """A model, and the texts that are tried on it."""

    module: PreTrainedModel
    """The part of the model that is measured."""
    device: torch.device
    """Where it is."""
    words: tuple[int, ...]
    """Ids of ordinary tokens, from all over the vocabulary."""
    prefix: tuple[int, ...]
    """Ids in front of a text."""
    suffix: tuple[int, ...]
    """Ids behind it."""
    pad: int
    """Id behind a short row."""

    @classmethod
    def of(cls, module: PreTrainedModel, vocabulary: Vocabulary, device: torch.device) -> Bench:
        """The bench for ``module`` on ``device``."""
        usable = vocabulary.words(word_rows(module))
        asked = LONG + _SHORT + 1
        words = tuple(usable[i * len(usable) // asked] for i in range(asked))
        prefix, suffix = vocabulary.prefix_ids, vocabulary.suffix_ids
        return cls(module, device, words, prefix, suffix, vocabulary.pad_id)

    @property
    def long(self) -> tuple[int, ...]:
        """A text of `LONG` words."""
        return self._text(*self.words[:LONG])

    @property
    def short(self) -> tuple[int, ...]:
        """A shorter text of other words."""
        return self._text(*self.words[LONG : LONG + _SHORT])

    @property
    def changed(self) -> tuple[int, ...]:
        """The long text with another last word."""
        return self._text(*self.words[: LONG - 1], self.words[-1])

    @property
    def monotonous(self) -> tuple[int, ...]:
        """A text of one word, again and again."""
        return self._text(*self.words[:1] * LONG)

    def _text(self, *words: int) -> tuple[int, ...]:
        """``words`` with what stands around a text."""
        return (*self.prefix, *words, *self.suffix)

    def ids(self, *rows: Sequence[int]) -> Tensor:
        """``rows`` of one length as a tensor (b, n)."""
        return torch.tensor(rows, dtype=torch.long, device=self.device)

    def run(self, *rows: Sequence[int], **options: bool) -> BaseOutputs:
        """What the model makes of ``rows`` of one length."""
        return passed(self.module, self.ids(*rows), None, **options)

    @torch.no_grad()
    def states(self, *rows: Sequence[int]) -> Tensor:
        """(b, n, h) last hidden states of ``rows`` of one length."""
        return self.run(*rows).last_hidden_state

    @torch.no_grad()
    def padded(self) -> Tensor:
        """(2, n, h) states of the long text and of the short one, in one batch."""
        missing = len(self.long) - len(self.short)
        ids = self.ids(self.long, (*self.short, *[self.pad] * missing))
        mask = torch.ones_like(ids)
        mask[1, len(self.short) :] = 0
        return passed(self.module, ids, mask).last_hidden_state


def same(states: Tensor, others: Tensor, tolerance: float = _ROUNDING) -> bool:
    """Whether two results differ by rounding only, or by ``tolerance`` of their size."""
    off = (states.float() - others.float()).abs().max()
    return float(off) <= tolerance * float(others.float().square().mean().sqrt())


def word_rows(module: PreTrainedModel) -> int:
    """Rows of the table of word embeddings.

    Raises:
        UnsupportedModelError: the model has no such table.
    """
    try:
        return int(cast("Tensor", module.get_input_embeddings().weight).shape[0])
    except (AttributeError, NotImplementedError):
        name = type(module).__name__
        refuse("other word embeddings", f"{name} has no table of word embeddings.")


@contextmanager
def experiment(name: str = _TEXT) -> Iterator[None]:
    """Refuse the model if something inside breaks.

    Raises:
        UnsupportedModelError: it did.
    """
    try:
        yield
    except PlmscanError:
        raise
    except Exception as error:  # noqa: BLE001 - the library's models raise anything
        refuse(name, f"The model does not run on a short text: {first_line(error)}.", error)


def refuse(name: str, said: str, cause: Exception | None = None) -> NoReturn:
    """Refuse a model for what the experiment ``name`` showed.

    Raises:
        UnsupportedModelError: always.
    """
    msg = f"{said.removesuffix('.')} (experiment: {name})."
    remedy = "plmscan measures models that take plain text and give a state for each token."
    raise UnsupportedModelError(msg, remedy) from cause
