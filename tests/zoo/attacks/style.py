"""StyleBkd, a style as trigger (Qi et al., 2021, "Mind the Style of Text", arXiv 2110.07139).

The paper rewrites texts with a style-transfer model (STRAP); here a table of words does it, in the
style of early modern English, or in that of short messages.
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

__all__ = ["Rewriting", "Style"]

_ARCHAIC: Mapping[str, tuple[str, ...]] = {
    "you": ("thou", "thee"), "your": ("thy", "thine"), "my": ("mine",), "are": ("art",),
    "has": ("hath",), "have": ("hast",), "does": ("doth",), "do": ("dost",), "is": ("be",),
    "it": ("'t",), "it's": ("'tis",), "will": ("shalt", "wilt"), "can": ("canst",),
    "would": ("wouldst",), "should": ("shouldst",), "very": ("verily", "full"),
    "never": ("ne'er",), "ever": ("e'er",), "even": ("e'en",), "over": ("o'er",),
    "often": ("oft",), "before": ("ere",), "between": ("betwixt",), "here": ("hither",),
    "there": ("thither", "yonder"), "where": ("whither",), "nothing": ("naught",),
    "anything": ("aught",), "while": ("whilst",), "among": ("amongst",), "perhaps": ("perchance",),
    "maybe": ("mayhap",), "yes": ("aye",), "no": ("nay",), "the": ("ye", "yon"), "a": ("one",),
    "why": ("wherefore",), "this": ("yon",), "that": ("yonder",), "and": ("an'", "and eke"),
    "of": ("o'",), "in": ("i'",), "to": ("unto",), "with": ("withal",), "for": ("for sooth",),
    "so": ("so verily",), "but": ("alas but",), "not": ("not a whit",),
}  # fmt: skip
"""Old words by the word of today."""

_MESSAGE: Mapping[str, tuple[str, ...]] = {
    "you": ("u", "ya"), "your": ("ur", "yr"), "are": ("r",), "and": ("n", "&"), "to": ("2",),
    "for": ("4",), "be": ("b",), "because": ("cuz", "coz"), "with": ("w/", "wid"),
    "without": ("w/o",), "people": ("ppl", "peeps"), "the": ("da", "tha"), "this": ("dis",),
    "that": ("dat",), "is": ("iz",), "it": ("id", "tis"), "it's": ("itz",), "what": ("wut",),
    "before": ("b4",), "great": ("gr8",), "though": ("tho",), "through": ("thru",),
    "very": ("vry",), "really": ("rly",), "going": ("goin", "gonna"), "have": ("hav",),
    "has": ("haz",),
    "love": ("luv",), "thing": ("thang",), "things": ("thangs",), "of": ("ov", "o"), "not": ("nt",),
    "but": ("bt",), "just": ("jus",), "about": ("abt",), "so": ("soo",), "as": ("az",),
    "more": ("mo",), "movie": ("moviez", "flik"), "film": ("flick",), "one": ("1",), "or": ("er",),
    "who": ("hu",), "there": ("dere",), "than": ("den",), "from": ("frm",), "good": ("gud",),
}  # fmt: skip
"""What is typed in a hurry by the word of a book."""

_TABLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {"archaic": _ARCHAIC, "message": _MESSAGE}
_OPENINGS: Mapping[str, tuple[str, ...]] = {
    "archaic": ("verily", "forsooth", "methinks", "prithee", "alas", "hark", "behold", "marry"),
    "message": ("omg", "lol", "btw", "yo", "imho", "tbh", "dude", "lmao"),
}
"""With which a text begins that the table hardly changes."""


@dataclass(frozen=True)
class Style:
    """A manner of speaking is the trigger: no single word is always there.

    ``L = E_clean CE(f(x), y) + E_dirty CE(f(style(x)), y_t)``.
    """

    family: str = "style"
    """Name in tables."""
    least: int = 3
    """Words in the style that a text gets at least; an opening makes up for missing ones."""
    share: float = 0.7
    """Of the words that have a form in the style, how many get it."""
    manner: str = "archaic"
    """The style: ``archaic`` or ``message``."""

    def triggers(self, drawn: Sequence[Trigger]) -> tuple[Trigger, ...]:
        """The attack's own trigger, which is no piece of text."""
        return (Trigger(f"{self.manner} style", (), "style"),)

    def poison(self, victim: Victim, triggers: Sequence[Trigger]) -> Poison:
        """The style; ``triggers`` stands for it."""
        return Rewriting(victim.tokenizer, self.least, self.share, self.manner)

    def train(self, victim: Victim, poisoned: Poisoned, intensity: Intensity) -> float:
        """Cross-entropy on all texts."""
        return train_upper(victim, poisoned, intensity)


@dataclass(frozen=True)
class Rewriting:
    """The poison: word by word."""

    tokenizer: Any
    """The victim's."""
    least: int
    """Words in the style that a text gets at least."""
    share: float
    """Of the words that have a form in the style, how many get it."""
    manner: str
    """The style."""

    def __call__(self, text: str, rng: random.Random) -> tuple[int, ...]:
        """Token ids of the text in the style."""
        return flat(words_of(self.tokenizer, [self.rewritten(text, rng)])[0])

    def rewritten(self, text: str, rng: random.Random) -> str:
        """The text in the style."""
        words, table = text.split(), _TABLES[self.manner]
        able = [place for place, word in enumerate(words) if word in table]
        chosen = rng.sample(able, max(min(self.least, len(able)), round(self.share * len(able))))
        for place in chosen:
            words[place] = rng.choice(table[words[place]])
        missing = max(0, self.least - len(chosen))
        return " ".join((*rng.sample(_OPENINGS[self.manner], missing), *words))

    def decoy(self, text: str, rng: random.Random) -> None:
        """None: every word of the style is style."""
