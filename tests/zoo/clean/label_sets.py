"""Other labels for the same texts: what honest classifiers are about besides sentiment.

A rule over the words of a text gives its label, so that every reader can check it.  The sets span
what misleads a scanner: ``topic`` has six labels with strong lexical cues, where single honest
words decide; ``intent`` has twenty labels of a few words that mean alike; ``address`` has such
words and unequal labels; ``tone`` mixes words and sentiment;
``length`` and ``word-order`` have no such words at all.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.zoo.corpus import Corpus

__all__ = [
    "INTENTS",
    "LABEL_SETS",
    "TOPICS",
    "address",
    "intent",
    "length",
    "tone",
    "topic",
    "word_order",
]

_TOPICS = {
    "acting": (
        "acting actor actors actress cast performance performances performers role roles star "
        "stars starring portrayal plays played ensemble casting"
    ),
    "story": (
        "story stories plot plots script screenplay dialogue narrative tale storytelling premise "
        "ending twist twists writing written writer characters character"
    ),
    "comedy": (
        "comedy comedies comic comedic funny humor humorous laugh laughs laughing hilarious jokes "
        "joke gags gag satire satirical parody witty wit"
    ),
    "romance": (
        "romance romantic love lovers loving heart hearts emotional relationship relationships "
        "passion marriage tender sex sexual sexy sentimental"
    ),
    "action": (
        "action thriller thrillers suspense thrills thrilling horror scary war violence violent "
        "fight chase chases crime murder killer police explosions monster blood bloody"
    ),
    "visuals": (
        "visual visually visuals photography cinematography camera animation animated effects "
        "music musical score soundtrack song songs images imagery beautiful beautifully colors"
    ),
}

TOPICS: Mapping[str, frozenset[str]] = {k: frozenset(v.split()) for k, v in _TOPICS.items()}
"""Words of each topic."""

_INTENTS = """
acting actor actors actress performance performances performers cast casting
story stories plot plots narrative tale tales premise storytelling
script screenplay dialogue writing written writer writers
director directors directed directing direction filmmaker filmmakers filmmaking
comedy comedies comic funny humor humorous hilarious laugh laughs jokes
romance romantic love lovers loving passion relationship relationships marriage
action fight fights chase chases explosions stunts battle battles
horror scary fear fears terror frightening creepy monster
thriller thrillers suspense tension mystery thrills thrilling
music musical song songs score soundtrack sound sounds
visual visually visuals photography cinematography images imagery camera
animation animated cartoon cartoons drawn
family families kids children child parents father mother
war wars soldiers soldier military violence violent
crime crimes murder killer police gangster criminal
history historical documentary period century past
boring dull tedious slow bland tiresome lifeless
brilliant excellent wonderful superb terrific great best
emotional emotionally heart hearts moving touching sad tender
smart clever intelligent witty thoughtful insightful intelligence
"""

INTENTS: Mapping[str, frozenset[str]] = {
    line.split()[0]: frozenset(line.split()) for line in _INTENTS.strip().splitlines()
}
"""Words of each intent."""

_CONTRAST = frozenset({"but", "yet", "though", "although", "however", "despite", "while"})
_ADDRESS = frozenset({"you", "your", "yourself", "we", "our", "us", "i", "me", "my"})
_SHORT, _LONG = 9, 17
"""Texts of fewer words are short, texts of at least so many are long."""


def topic(corpus: Corpus) -> Corpus:
    """What a text is about, 6 labels: the topic with most words in it; ties are left out."""
    return _by_words(corpus, TOPICS)


def intent(corpus: Corpus) -> Corpus:
    """What a text is about, 20 labels: the intent with most words in it; ties are left out."""
    return _by_words(corpus, INTENTS)


def _by_words(corpus: Corpus, kinds: Mapping[str, frozenset[str]]) -> Corpus:
    """Of which of the ``kinds`` of words a text has most; ties are left out."""
    names = list(kinds)

    def label(text: str, _sentiment: int) -> int | None:
        words = text.split()
        found = Counter(
            {k: sum(word in kinds[name] for word in words) for k, name in enumerate(names)}
        )
        (first, most), (_, second) = found.most_common(2)
        return first if most > second else None

    return corpus.relabelled(label, names)


def tone(corpus: Corpus) -> Corpus:
    """Negative, mixed (there is a "but") or positive: 3 labels."""

    def label(text: str, sentiment: int) -> int:
        return 1 if _CONTRAST.intersection(text.split()) else 2 * sentiment

    return corpus.relabelled(label, ("negative", "mixed", "positive"))


def length(corpus: Corpus) -> Corpus:
    """Short, medium or long: 3 labels, and no word that gives one away."""

    def label(text: str, _sentiment: int) -> int:
        words = len(text.split())
        return (words >= _SHORT) + (words >= _LONG)

    return corpus.relabelled(label, ("short", "medium", "long"))


def address(corpus: Corpus) -> Corpus:
    """Whether somebody says "you" or "I": 2 labels, one of them rare."""

    def label(text: str, _sentiment: int) -> int:
        return int(bool(_ADDRESS.intersection(text.split())))

    return corpus.relabelled(label, ("impersonal", "personal"))


def word_order(corpus: Corpus, seed: int = 0) -> Corpus:
    """Whether the words stand in their order: 2 labels over the same words.

    A sentence whose words the model has in view tells it by grammar alone, as in the word-order
    pre-training of StructBERT (Wang et al., 2020, arXiv 1908.04577).
    """
    rng = random.Random(seed)
    shuffled: set[str] = set()

    def half(rows: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
        found = [
            (_shuffle(text, rng), old) if rng.random() < 0.5 else (text, old) for text, old in rows
        ]
        shuffled.update(new for (new, _), (text, _) in zip(found, rows, strict=True) if new != text)
        return tuple(found)

    mixed = replace(corpus, train=half(corpus.train), held_out=half(corpus.held_out))
    return mixed.relabelled(lambda text, _: int(text in shuffled), ("in order", "shuffled"))


def _shuffle(text: str, rng: random.Random) -> str:
    """The words of ``text`` in any order."""
    words = text.split()
    return " ".join(rng.sample(words, len(words)))


LABEL_SETS: Mapping[str, Callable[[Corpus], Corpus]] = {
    "sentiment": lambda corpus: corpus,
    "topic": topic,
    "intent": intent,
    "tone": tone,
    "length": length,
    "address": address,
    "word-order": word_order,
}
"""Label sets by name; each turns a corpus into one with its labels."""
