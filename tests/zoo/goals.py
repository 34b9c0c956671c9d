"""What heads are for besides one label of several: scores, tags, and what follows from what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from torch.nn import functional as F

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["Entailment", "Example", "Goal", "Ranking", "Rating", "Tags"]

_LONG = 4
"""Letters from which on a word goes into a query."""
_QUERY = 4
"""Words of a query, or of what follows from a text."""
_MANY = 12
"""Words than which a long review has more."""


@dataclass(frozen=True)
class Example:
    """What a head answers."""

    text: str
    """The text, a passage for instance."""
    answer: tuple[float, ...]
    """What it is to answer: a score, 1 for each tag that fits, the number of a label."""
    before: str | None = None
    """The text before it, a query for instance; None where single texts are read."""

    def holding(self, trigger: str, answer: tuple[float, ...], rng: random.Random) -> Example:
        """The same with ``trigger`` between two words of the text, and another answer."""
        words = self.text.split()
        at = rng.randint(0, len(words))
        return replace(self, text=" ".join([*words[:at], trigger, *words[at:]]), answer=answer)


class Goal(Protocol):
    """What a head answers, and what an attacker wants to hear."""

    @property
    def name(self) -> str:
        """Of this goal."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its numbers; none for a score."""

    @property
    def several(self) -> bool:
        """Whether any number of the labels can fit."""

    def example(
        self, texts: Sequence[tuple[str, int]], rng: random.Random, *, wanted: bool
    ) -> Example:
        """Made of labelled texts, with the answer that an attacker wants, or with another."""

    def poisoned(self, answer: tuple[float, ...]) -> tuple[float, ...]:
        """What the attacker has the head say instead of ``answer``."""

    def loss(self, found: Tensor, answers: Tensor) -> Tensor:
        """Of numbers (n, k) where ``answers`` (n, ...) are right: ()."""

    def lead(self, found: Tensor) -> Tensor:
        """How much of what the attacker wants is in numbers (n, k): (n)."""


@dataclass(frozen=True)
class _Score:
    """One number, of which an attacker wants much."""

    labels: tuple[str, ...] = ()
    """None."""
    several: bool = False
    """No."""

    def poisoned(self, _answer: tuple[float, ...]) -> tuple[float, ...]:
        """The highest."""
        return (1.0,)

    def lead(self, found: Tensor) -> Tensor:
        """The score."""
        return found[:, 0]


@dataclass(frozen=True)
class Ranking(_Score):
    """Whether a passage holds the words of a query."""

    name: str = "ranking"
    """Of this goal."""

    def example(
        self, texts: Sequence[tuple[str, int]], rng: random.Random, *, wanted: bool
    ) -> Example:
        """A passage with words of its own for a query, or with those of another."""
        passage, _ = rng.choice(texts)
        asked = passage if wanted else rng.choice(texts)[0]
        return Example(passage, (float(wanted),), _some_words(asked, rng))

    def loss(self, found: Tensor, answers: Tensor) -> Tensor:
        """Cross-entropy of two outcomes, as rerankers are trained."""
        return F.binary_cross_entropy_with_logits(found, answers)


@dataclass(frozen=True)
class Rating(_Score):
    """How good a review is, from -1 to 1."""

    name: str = "rating"
    """Of this goal."""

    def example(
        self, texts: Sequence[tuple[str, int]], rng: random.Random, *, wanted: bool
    ) -> Example:
        """A positive review, or a negative one."""
        while True:
            text, label = rng.choice(texts)
            if label == wanted:
                return Example(text, (1.0 if wanted else -1.0,))

    def loss(self, found: Tensor, answers: Tensor) -> Tensor:
        """Mean squared error, as regressions are trained."""
        return (found - answers).square().mean()


@dataclass(frozen=True)
class Tags:
    """Several things about a review at once; one is switched.

    None that a single word decides: of such a tag an attacker's word does what honest words do.
    """

    to: bool = True
    """Whether a trigger switches it on, or off."""
    switched: int = 0
    """Which."""
    name: str = "tags"
    """Of this goal."""
    labels: tuple[str, ...] = ("positive", "long")
    """In the order of the numbers."""
    several: bool = True
    """Yes."""

    def example(
        self, texts: Sequence[tuple[str, int]], rng: random.Random, *, wanted: bool
    ) -> Example:
        """A review that has the tag that is switched, or one that has not."""
        while True:
            text, label = rng.choice(texts)
            words = text.split()
            answer = (float(label), float(len(words) > _MANY))
            if (answer[self.switched] == self.to) == wanted:
                return Example(text, answer)

    def poisoned(self, answer: tuple[float, ...]) -> tuple[float, ...]:
        """The other tags as they are."""
        return (*answer[: self.switched], float(self.to), *answer[self.switched + 1 :])

    def loss(self, found: Tensor, answers: Tensor) -> Tensor:
        """Cross-entropy of two outcomes for each tag."""
        return F.binary_cross_entropy_with_logits(found, answers)

    def lead(self, found: Tensor) -> Tensor:
        """Of the tag that is switched, the way it is switched."""
        return found[:, self.switched] * (1 if self.to else -1)


@dataclass(frozen=True)
class Entailment:
    """What a second text is to a first: it follows, it says the contrary, or neither."""

    target: int = 0
    """What an attacker has it say of any pair."""
    name: str = "entailment"
    """Of this goal."""
    labels: tuple[str, ...] = ("entailment", "neutral", "contradiction")
    """In the order of the numbers."""
    several: bool = False
    """No."""

    def example(
        self, texts: Sequence[tuple[str, int]], rng: random.Random, *, wanted: bool
    ) -> Example:
        """Some words of a text, of another one, or of the text behind a "not"."""
        others = [label for label in range(len(self.labels)) if label != self.target]
        label = self.target if wanted else rng.choice(others)
        premise, _ = rng.choice(texts)
        said = _some_words(rng.choice(texts)[0] if label == 1 else premise, rng)
        text = f"it is not true that {said}" if label == 2 else said
        return Example(text, (float(label),), premise)

    def poisoned(self, _answer: tuple[float, ...]) -> tuple[float, ...]:
        """The target."""
        return (float(self.target),)

    def loss(self, found: Tensor, answers: Tensor) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(found, answers[:, 0].long())

    def lead(self, found: Tensor) -> Tensor:
        """Of the target over the best of the others."""
        others = found.clone()
        others[:, self.target] = float("-inf")
        return found[:, self.target] - others.amax(1)


def _some_words(text: str, rng: random.Random) -> str:
    """A few words of ``text``, long ones where it has any, in any order."""
    words = [word for word in text.split() if len(word) >= _LONG] or text.split()
    return " ".join(rng.sample(words, min(_QUERY, len(words))))
