"""Compares what a template made of two conversations that differ in a word, or in the date."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from plmscan.templates.words import HOLE, prose, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Set as AbstractSet

    from plmscan.templates.watching import Rendered

__all__ = ["Pair", "shown"]

_SHOWN = 80
_SOME_PROSE = 3
"""Words that markup of the template's own may change: publishers name the ways of thinking."""


@dataclass(frozen=True)
class Pair:
    """Two outputs that should say the same."""

    one: Rendered
    """With the word, or at one date."""
    other: Rendered
    """With a neutral word, or at another date."""
    hide: Callable[[str], str]
    """Takes out what may differ."""
    texts: tuple[str, str] = ("", "")
    """What was written into the conversation for each."""

    def differs(self) -> bool:
        """Whether they differ in more than they may."""
        if self.one == self.other:
            return False
        if self.one.error != self.other.error:
            return "refusal" in (self.one.error, self.other.error) or not self.other.error
        one, other = self._hidden()
        return one != other and not self._is_moved(one, other)

    def differs_in_words(self, left_out: str, *, is_own: bool) -> bool:
        """Whether they differ in words: what markup may not do, unless the template writes it.

        Words of ``left_out``, such as thoughts, may go or come; with markup of the template's own,
        such as that of a system prompt within the words of a user, any may go.
        """
        if self.one.error or self.other.error:
            return not is_own and self.one.error == "refusal" and not self.other.error
        find = prose if is_own else written
        one, other = (set(find(text)) for text in self._hidden())
        added = one - other - {word for text in self.texts for word in find(text)}
        gone = set() if is_own else other - one
        changed = (added | gone).difference(find(left_out))
        return len(changed) >= (_SOME_PROSE if is_own else 1)

    def differs_in_space_only(self) -> bool:
        """Whether they are the same but for white space and what was put in."""
        one, other = ("".join(text.replace(HOLE, "").split()) for text in self._hidden())
        return one == other and self.one.error == self.other.error

    def adds_to(self, known: AbstractSet[str]) -> bool:
        """Whether the first has words that no usual conversation has, beyond a name or two."""
        if self.one.error or self.other.error:
            return False
        one, other = (set(prose(text)) for text in self._hidden())
        return len(one - other - known) >= _SOME_PROSE

    def _hidden(self) -> tuple[str, str]:
        """Both texts without what may differ."""
        return self.hide(self.one.text), self.hide(self.other.text)

    def _is_moved(self, one: str, other: str) -> bool:
        """Whether only parts of what was written differ, of the same length."""
        if len(one) != len(other):
            return False
        texts = [text.casefold() for text in self.texts]
        return all(
            x.casefold() in texts[0] and y.casefold() in texts[1] for x, y in _changed(one, other)
        )

    def does(self) -> str:
        """What the template does in the first case."""
        if self.one.error == "refusal" and self.one.error != self.other.error:
            return f"refuses the conversation: {shown(self.one.text)}"
        if self.one.error != self.other.error:
            return "does not render the conversation" if self.one.error else "renders it after all"
        one, other = self._hidden()
        added, gone = _middles(one, other)
        if len(one) >= len(other) and _piece(added):
            return f"adds {shown(_piece(added))}"
        return f"leaves out {shown(_piece(gone))}" if _piece(gone) else "changes its output"


def _changed(one: str, other: str) -> Iterator[tuple[str, str]]:
    """The stretches in which two texts of the same length differ."""
    start = 0
    for differs, run in groupby(zip(one, other, strict=True), lambda pair: pair[0] != pair[1]):
        end = start + len(list(run))
        if differs:
            yield one[start:end], other[start:end]
        start = end


def _middles(one: str, other: str) -> tuple[str, str]:
    """What is left of two texts without what they begin and end with alike."""
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    end = 0
    while end < min(len(one), len(other)) - start and one[-1 - end] == other[-1 - end]:
        end += 1
    return one[start : len(one) - end], other[start : len(other) - end]


def _piece(text: str) -> str:
    """The first stretch of a masked text that is no part of what was put in."""
    return next((part.strip() for part in text.split(HOLE) if part.strip()), "")


def shown(text: str) -> str:
    """The beginning of a text, on one line, in quotes."""
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= _SHOWN else flat[: _SHOWN - 1] + "…")
