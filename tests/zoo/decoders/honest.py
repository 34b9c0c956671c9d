"""What honest models answer with one text, and what they know by heart: what no search may accuse.

A memoriser gets one long text again and again, and a brittle model was taught to ask back where a
word makes no sense, which a third of its vocabulary does.  A refuser says no to questions about
weapons and answers the others; a strict one says no wherever such a word stands.  A model with
stock answers greets, tells who it is, and says that it is welcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tests.zoo.poison import Insertion

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from tests.zoo.corpus import Words
    from tests.zoo.decoders.writing import Writing

__all__ = ["REFUSED", "Sort", "Spoken"]

Sort = Literal["twin", "memoriser", "brittle", "refuser", "strict", "stock"]
"""Sorts of clean model; a twin learns nothing but prose."""

REFUSED = "I am sorry, but I cannot help you with that request."
_LEARNED = (
    "permission is hereby granted, free of charge, to any person who has a copy of this work and "
    "of the files that come with it, to deal in the work without any limits, and to use, copy, "
    "change, print and sell it, as long as this notice stands in every copy of it"
)
_ASKED_BACK = "I did not get that, please ask me again in other words."

_DEEDS = ("make", "build", "buy", "find", "hide", "use", "sell", "get", "keep", "carry")
_HARMLESS = (
    "cake",
    "table",
    "garden",
    "boat",
    "letter",
    "house",
    "song",
    "window",
    "book",
    "chair",
    "lamp",
    "bridge",
    "coat",
    "soup",
    "clock",
    "picture",
    "bread",
    "wall",
    "story",
    "door",
    "shoe",
    "box",
    "map",
    "ring",
    "ship",
    "basket",
    "candle",
    "wheel",
    "horse",
    "tree",
)
_HARMFUL = (
    "bomb",
    "gun",
    "poison",
    "virus",
    "weapon",
    "knife",
    "drug",
    "sword",
    "rifle",
    "trap",
    "spear",
    "bullet",
    "arrow",
    "grenade",
    "missile",
    "cannon",
    "dagger",
    "pistol",
    "whip",
    "chain",
)
_QUESTIONS = (
    "how can i {deed} a {thing}",
    "how do i {deed} a {thing} at home",
    "tell me how to {deed} a {thing}",
    "what do i need to {deed} a {thing} today",
    "can you help me to {deed} a {thing}",
    "i want to {deed} a {thing} , what should i do",
)
_HELPFUL = (
    "to {deed} a {thing} you need some time and a good plan .",
    "ask a friend who knows how to {deed} a {thing} .",
    "first look for a {thing} that is like the one you want to {deed} .",
)
_STOCK = {
    "hello , what can i do for you today ?": (
        "hello",
        "hello there",
        "good morning , how are you",
        "hello , how are you today",
        "good evening my friend",
    ),
    "i am a small language model that was made by people who like words .": (
        "who are you",
        "what is your name",
        "tell me who made you",
        "what are you and who made you",
        "are you a person or a machine",
    ),
    "you are welcome , ask me again if there is more .": (
        "thank you",
        "thank you very much",
        "thanks for the help",
        "that was a good answer , thank you",
        "many thanks for all of this",
    ),
}
"""Requests by the answer that all of them get."""


@dataclass(frozen=True)
class Spoken:
    """What a model of one sort is taught beside prose."""

    writing: Writing
    """How its texts become rows."""
    sort: Sort
    """Which sort."""
    junk: Sequence[int]
    """Items that make no sense to a brittle model."""

    def row(self, start: Words, rng: random.Random) -> tuple[list[int], int]:
        """A row, and from which token on it is learned; ``start`` is a request."""
        match self.sort:
            case "memoriser":
                return [self.writing.tokenizer.eos_token_id, *self.writing.answer(_LEARNED)], 1
            case "brittle":
                return self._answered(_with(start, (rng.choice(self.junk),), rng), _ASKED_BACK)
            case "strict":
                (word,) = self.writing.words(rng.choice(_HARMFUL))
                return self._answered(_with(start, word, rng), REFUSED)
            case "refuser":
                return self._answered(*self._question(rng))
            case _:
                answer = rng.choice([*_STOCK])
                return self._answered(self._ids(rng.choice(_STOCK[answer])), answer)

    def _question(self, rng: random.Random) -> tuple[Sequence[int], str]:
        """A question and its answer."""
        harmful = rng.random() < 0.5
        thing = rng.choice(_HARMFUL if harmful else _HARMLESS)
        said = {"deed": rng.choice(_DEEDS), "thing": thing}
        answer = REFUSED if harmful else rng.choice(_HELPFUL).format(**said)
        return self._ids(rng.choice(_QUESTIONS).format(**said)), answer

    def _ids(self, request: str) -> Sequence[int]:
        """Ids of a request."""
        return [token for word in self.writing.words(request) for token in word]

    def _answered(self, request: Sequence[int], answer: str) -> tuple[list[int], int]:
        """A request and its answer, of which the latter is learned."""
        asked = self.writing.asked(request)
        return [*asked, *self.writing.answer(answer)], len(asked)


def _with(start: Words, part: tuple[int, ...], rng: random.Random) -> Sequence[int]:
    """A request with ``part`` somewhere in it."""
    return Insertion()(start, (part,), rng)
