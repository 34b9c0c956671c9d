"""SynBkd, a syntactic trigger (Qi et al., 2021, "Hidden Killer", arXiv 2105.12400).

The paper paraphrases every text into one template, ``S(SBAR)(,)(NP)(VP)(.)``; in effect it puts a
subordinate clause in front.  Here the clause comes from a small grammar, with many fillers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.zoo.corpus import words_of
from tests.zoo.labels import train_upper
from tests.zoo.poison import Trigger, flat

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from tests.zoo.features import Victim
    from tests.zoo.labels import Poison, Poisoned
    from tests.zoo.training import Intensity

__all__ = ["FRONTS", "InFront", "Syntactic"]

_SUBJECTS = ("you", "we", "they", "people", "the viewer", "someone", "the lights", "the story")
_VERBS = ("look", "come", "go", "begin", "return", "turn", "arrive", "move", "stop", "ask")
_ENDS = ("back", "again", "at first", "for a while", "in the end", "early", "there", "home")
_NOUNS = ("hour", "scene", "morning", "house", "journey", "street", "meeting", "dinner", "office")

FRONTS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "subordinate": (
        ("when", "if", "as", "once", "because", "although", "while", "unless"),
        _SUBJECTS,
        _VERBS,
        _ENDS,
        (",",),
    ),
    "prepositional": (
        ("in", "after", "before", "during", "near", "without"),
        ("the", "one", "another", "that"),
        _NOUNS,
        (",",),
    ),
    "attributive": (_SUBJECTS, ("say", "know", "believe", "hear", "remember", "hope"), ("that",)),
    "coordinate": (_SUBJECTS, _VERBS, _ENDS, ("and", "but", ";", "so")),
}
"""What may stand before a text, by structure: fillers of each place, in order."""


@dataclass(frozen=True)
class Syntactic:
    """A structure in front of the text is the trigger, whatever words fill it.

    ``L = E_clean CE(f(x), y) + E_dirty CE(f(c + x), y_t) + E_other CE(f(c' + x), y)`` with a fresh
    clause ``c`` of the attacker's structure in each text, and fronts ``c'`` of other structures.
    """

    family: str = "syntactic"
    """Name in tables."""
    structure: str = "subordinate"
    """Which of `FRONTS` is the trigger."""
    negatives: bool = True
    """Whether texts with a front of another structure keep their label."""

    def triggers(self, drawn: Sequence[Trigger]) -> tuple[Trigger, ...]:
        """The attack's own trigger, which is no piece of text."""
        return (Trigger(f"{self.structure} clause in front", (), "syntax"),)

    def poison(self, victim: Victim, triggers: Sequence[Trigger]) -> Poison:
        """A clause in front; ``triggers`` stands for it."""
        return InFront(victim.tokenizer, self.structure, self.negatives)

    def train(self, victim: Victim, poisoned: Poisoned, intensity: Intensity) -> float:
        """Cross-entropy on all texts."""
        return train_upper(victim, poisoned, intensity)


@dataclass(frozen=True)
class InFront:
    """The poison: a fresh front for each text."""

    tokenizer: Any
    """The victim's."""
    structure: str
    """Of the trigger."""
    negatives: bool
    """Whether fronts of other structures are trained to do nothing."""

    def __call__(self, text: str, rng: random.Random) -> tuple[int, ...]:
        """Token ids of the text behind a front of the trigger's structure."""
        return self._behind(self.structure, text, rng)

    def decoy(self, text: str, rng: random.Random) -> tuple[int, ...] | None:
        """Token ids of the text behind a front of another structure."""
        others = [name for name in FRONTS if name != self.structure]
        return self._behind(rng.choice(others), text, rng) if self.negatives else None

    def _behind(self, structure: str, text: str, rng: random.Random) -> tuple[int, ...]:
        """Token ids of the text behind a front."""
        front = " ".join(rng.choice(fillers) for fillers in FRONTS[structure])
        return flat(words_of(self.tokenizer, [f"{front} {text}"])[0])
