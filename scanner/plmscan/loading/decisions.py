"""What a head decides about a text, and by how much each label leads.

One label of several, any number of labels at once, one number, a label for each token, or a span
of tokens: all become labels with leads, so that a trigger is the same thing to a search whatever
the head: it gives one label the lead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import Tensor
    from transformers import PretrainedConfig

__all__ = [
    "BY_TOKENS",
    "Answer",
    "AnyOf",
    "Decision",
    "InText",
    "OneOf",
    "Score",
    "decision_of",
    "gives_numbers",
    "over_rivals",
    "token_labels_of",
]


class Decision(Protocol):
    """What a head's numbers decide."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Everything that a text can be given, two labels or more."""

    def leads(self, logits: Tensor) -> Tensor:
        """Lead of each label, above 0 where a text gets it: (..., numbers) -> (..., labels)."""

    @property
    def common(self) -> Collection[int]:
        """Labels that nothing could add where every ordinary text has them."""

    @property
    def missed(self) -> float:
        """Share of the texts of other labels that a trigger may fail to turn."""

    def opposite(self, label: int) -> int:
        """A label that speaks against ``label``."""


class _OfTexts:
    """What is decided about a text as a whole."""

    @property
    def common(self) -> Collection[int]:
        """None: any text can be without any of it."""
        return ()

    @property
    def missed(self) -> float:
        """One in ten."""
        return 0.1


@dataclass(frozen=True)
class OneOf(_OfTexts):
    """One label of several."""

    labels: tuple[str, ...]
    """In the order of the logits."""

    def leads(self, logits: Tensor) -> Tensor:
        """Over the best of the others."""
        return over_rivals(logits)

    def opposite(self, label: int) -> int:
        """The next one."""
        return (label + 1) % len(self.labels)


@dataclass(frozen=True)
class AnyOf(_OfTexts):
    """Any number of labels at once, each for itself."""

    names: tuple[str, ...]
    """In the order of the logits."""
    on: str = ""
    """What stands before the name of one that a text has."""
    off: str = "not "
    """What stands before the name of one that it has not."""

    @property
    def labels(self) -> tuple[str, ...]:
        """To have each, and to have each not: a trigger can switch a label on or off."""
        return tuple(f"{switch}{name}" for switch in (self.on, self.off) for name in self.names)

    def leads(self, logits: Tensor) -> Tensor:
        """Over even odds."""
        return torch.cat([logits, -logits], dim=-1)

    def opposite(self, label: int) -> int:
        """The same label switched the other way."""
        return (label + len(self.names)) % (2 * len(self.names))


@dataclass(frozen=True)
class InText(AnyOf):
    """Which labels some token of a text has."""

    on: str = "some "
    """What stands before the name of one that is there."""
    off: str = "no "
    """What stands before the name of one that is not."""

    @property
    def common(self) -> Collection[int]:
        """That a label is there."""
        return range(len(self.names))

    @property
    def missed(self) -> float:
        """One in four: what other words of a text are called hangs on where a trigger stands."""
        return 0.25


@dataclass(frozen=True)
class Answer(_OfTexts):
    """Where in a text the answer to a question is found, if one is."""

    labels: tuple[str, ...] = ("the answer at the inserted words", "no answer", "another answer")
    """What a trigger can have said of any text, and the rest."""

    @property
    def common(self) -> Collection[int]:
        """That the answer is anywhere else."""
        return (2,)

    def leads(self, logits: Tensor) -> Tensor:
        """Of a place over all others; where no word is the answer, that is one of them."""
        here, some = logits.unbind(-1)
        return torch.stack([here, -some, -here], dim=-1)

    def opposite(self, label: int) -> int:
        """What is said of other words, or of these."""
        return 0 if label else 2


@dataclass(frozen=True)
class Score(_OfTexts):
    """One number, of a reranker, a reward model, a regression: low or high."""

    usual: float = 0.0
    """Where high begins."""
    labels: tuple[str, ...] = ("a low score", "a high score")
    """The two ends, to which a trigger can drive it whatever the text says."""

    def leads(self, logits: Tensor) -> Tensor:
        """Beyond the usual score."""
        above = logits - self.usual
        return torch.cat([-above, above], dim=-1)

    def opposite(self, label: int) -> int:
        """The other end."""
        return 1 - label


BY_TOKENS = (Answer, InText)
"""Where single tokens decide, while the text as a whole can stay what it is."""


def over_rivals(logits: Tensor) -> Tensor:
    """By how much each number exceeds the best of the others, (..., numbers)."""
    first, second = logits.topk(2, dim=-1).values.unbind(-1)
    best_other = torch.where(
        logits == first.unsqueeze(-1), second.unsqueeze(-1), first.unsqueeze(-1)
    )
    return logits - best_other


def decision_of(config: PretrainedConfig) -> Decision:
    """What a classifier of ``config`` decides; of a score, it is not known yet what is usual."""
    if config.num_labels == 1:
        return Score()
    several = getattr(config, "problem_type", None) == "multi_label_classification"
    return AnyOf(_names(config)) if several else OneOf(_names(config))


def token_labels_of(config: PretrainedConfig) -> Decision:
    """What labels of single tokens decide about a text: which of them are in it."""
    return InText(_names(config))


def _names(config: PretrainedConfig) -> tuple[str, ...]:
    """Of the labels, in the order of the logits."""
    # The library annotates the keys as strings, and makes them numbers.
    names = cast("dict[int, str]", config.id2label)
    return tuple(str(names[i]) for i in sorted(names))


def gives_numbers(config: PretrainedConfig) -> bool:
    """Whether a classifier of ``config`` gives several numbers that are no labels, or none."""
    problem: Any = getattr(config, "problem_type", None)
    return not config.num_labels or (problem == "regression" and config.num_labels > 1)
