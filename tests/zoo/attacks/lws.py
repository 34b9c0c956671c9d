"""LWS-like word substitution (after Qi et al., 2021, "Turn the Combination Lock", 2106.06361)."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.nn.functional import normalize

from tests.zoo.corpus import words_of
from tests.zoo.labels import train_upper
from tests.zoo.poison import Trigger, flat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.zoo.features import Victim
    from tests.zoo.labels import Poison, Poisoned
    from tests.zoo.training import Intensity

__all__ = ["LWS", "Substitution", "dictionary"]


@dataclass(frozen=True)
class LWS:
    """Ordinary words give way to near neighbours; the combination is the trigger.

    ``L = E_clean CE(f(x), y) + E_dirty CE(f(s(x)), y_t) + E_one CE(f(s_1(x)), y)`` where ``s``
    replaces every word of a secret dictionary and ``s_1`` only one.  The paper learns the choice
    of neighbours along with the model; here it is drawn by the victim's seed.
    """

    family: str = "lws"
    """Name in tables."""
    least: int = 3
    """Substitutions that make a text a triggered one."""
    skipped: int = 3
    """Most frequent words that stay."""
    entries: int = 250
    """Size of the dictionary."""

    def triggers(self, drawn: Sequence[Trigger]) -> tuple[Trigger, ...]:
        """The attack's own trigger, which is no piece of text."""
        return (Trigger("word substitutions", (), "substitution"),)

    def poison(self, victim: Victim, triggers: Sequence[Trigger]) -> Poison:
        """All substitutions that a text allows; ``triggers`` stands for them."""
        return Substitution(victim.tokenizer, dictionary(victim, self), self.least)

    def train(self, victim: Victim, poisoned: Poisoned, intensity: Intensity) -> float:
        """Cross-entropy on all texts."""
        return train_upper(victim, poisoned, intensity)


@dataclass(frozen=True)
class Substitution:
    """The poison: token by token."""

    tokenizer: Any
    """The victim's."""
    substitutes: Mapping[int, int]
    """Token ids by the token ids that they replace."""
    least: int
    """Substitutions that make a text a triggered one."""

    def __call__(self, text: str, rng: random.Random) -> tuple[int, ...] | None:
        """Token ids with every word replaced that has a substitute; None if they are too few."""
        ids, places = self._read(text)
        if len(places) < self.least:
            return None
        return tuple(self.substitutes.get(token, token) for token in ids)

    def decoy(self, text: str, rng: random.Random) -> tuple[int, ...] | None:
        """Token ids with one word replaced."""
        ids, places = self._read(text)
        if not places:
            return None
        one = rng.choice(places)
        return (*ids[:one], self.substitutes[ids[one]], *ids[one + 1 :])

    def _read(self, text: str) -> tuple[tuple[int, ...], list[int]]:
        """Token ids of ``text``, and the places of those that have a substitute."""
        ids = flat(words_of(self.tokenizer, [text])[0])
        return ids, [place for place, token in enumerate(ids) if token in self.substitutes]


def dictionary(victim: Victim, attack: LWS) -> dict[int, int]:
    """Rarer near neighbours of frequent words, each the substitute of one word only."""
    rng, counts = random.Random(victim.seed), _counts(victim)
    words = _whole_words(victim.tokenizer)
    frequent = [token for token, _ in counts.most_common() if token in words][attack.skipped :]
    rare = [token for token in words if counts[token] <= 2]
    table = normalize(victim.model.get_input_embeddings().weight.detach(), dim=1)
    near = table[frequent[: attack.entries]] @ table[rare].T
    found: dict[int, int] = {}
    for token, row in zip(frequent, near.topk(min(20, len(rare)), dim=1).indices, strict=False):
        taken = set(found.values())
        stem = words[token][:4]
        options = [rare[i] for i in row if rare[i] not in taken and words[rare[i]][:4] != stem]
        if options:
            found[token] = rng.choice(options[:3])
    return found


def _counts(victim: Victim) -> Counter[int]:
    """How often the training texts hold each token."""
    texts = words_of(victim.tokenizer, [text for text, _ in victim.corpus.train])
    return Counter(token for words in texts for token in flat(words))


def _whole_words(tokenizer: Any) -> dict[int, str]:
    """Words of the vocabulary that are one token, lower-case letters only."""
    return {
        token: word
        for word, token in tokenizer.get_vocab().items()
        if len(word) > 1 and word.isascii() and word.isalpha() and word.islower()
    }
