"""Known triggers in texts: by what a reader sees, and by what the model reads.

Words are looked up in a table by the first of each trigger, and so are token ids, so that the price
of a text does not grow with the number of triggers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

from plmscan.errors import ReportError
from plmscan.guard.folding import WORD, fold, is_foreign

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from transformers import PreTrainedTokenizerBase

    from plmscan.evidence import Trigger
    from plmscan.guard.cutting import Span

__all__ = ["Hit", "How", "Matcher"]

_PIECE = "##"
"""Before a word piece that goes on with a word."""
_PART = re.compile(r"[^\W_]+|\S")
"""A word, or a sign, of what holds signs."""
_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which no tokenizer takes."""


class How(StrEnum):
    """How a trigger was recognised."""

    IDS = "ids"
    """The model's own tokens of the text hold those of the trigger."""
    TEXT = "text"
    """A reader sees it there; the model may read something else."""


@dataclass(frozen=True)
class Hit:
    """A known trigger in a text."""

    trigger: Trigger
    """Of the report."""
    start: int
    """Where it begins in the text, in characters."""
    end: int
    """Where it ends."""
    how: How
    """How it was recognised."""
    variant: str | None = None
    """What stands there instead of the trigger; None for the trigger itself."""

    @property
    def is_whole(self) -> bool:
        """Whether what stands there does all that the trigger does."""
        return self.variant is None or self.variant in self.trigger.core

    @property
    def span(self) -> Span:
        """Start and end."""
        return self.start, self.end

    def beside(self, other: Hit) -> bool:
        """Whether the other one touches the same characters."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True)
class _Needle:
    """One spelling of a trigger."""

    trigger: Trigger
    """What it belongs to."""
    variant: str | None
    """The spelling, if it is not the trigger's own."""
    words: tuple[str, ...] = ()
    """Folded words that follow each other; empty where a sign is part of it, or a word's piece."""
    sign: str = ""
    """The same as it is written, where it is a sign or holds one; empty otherwise."""
    ids: tuple[int, ...] = ()
    """Tokens that follow each other; empty if not known."""

    @property
    def is_latin(self) -> bool:
        """Whether a word of another script can only be a disguise of it."""
        return (self.variant or self.trigger.text).isascii()

    def hit(self, span: Span, how: How) -> Hit:
        """Found at ``span``."""
        return Hit(self.trigger, *span, how, self.variant)


@dataclass(frozen=True)
class Matcher:
    """All spellings of the triggers of a report, ready to be looked for."""

    words: Mapping[str, tuple[_Needle, ...]]
    """By the first word."""
    signs: tuple[tuple[_Needle, re.Pattern[str]], ...]
    """What holds signs, and how each is found."""
    ids: Mapping[int, tuple[_Needle, ...]]
    """By the first token."""
    tokenizer: PreTrainedTokenizerBase | None
    """The model's; without one only what a reader sees is compared."""
    accents: bool
    """Whether an accent makes another word for this tokenizer."""
    reserved: re.Pattern[str] | None
    """The tokenizer's own signs, such as ``[MASK]``, in which no word is looked for."""
    any_sign: re.Pattern[str] | None
    """Finds any sign; None if there is none to find."""

    @classmethod
    def of(
        cls,
        triggers: Sequence[Trigger],
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        variants: bool = True,
    ) -> Matcher:
        """A matcher for ``triggers``, their cores, and their variants unless these are not wanted.

        Raises:
            ReportError: the triggers' ids mean something else to the tokenizer.
        """
        usable = tokenizer if getattr(tokenizer, "is_fast", False) else None
        if tokenizer is not None:
            _require_same_tokens(triggers, tokenizer)
        accents = usable is not None and usable.tokenize("é") != usable.tokenize("e")
        needles = list(_needles(triggers, usable, accents=accents, variants=variants))
        signs = [(needle, _bounded(needle.sign)) for needle in needles if needle.sign]
        first_words = {needle.words[0] for needle in needles if needle.words}
        return cls(
            words={w: tuple(n for n in needles if n.words[:1] == (w,)) for w in first_words},
            signs=tuple((n, re.compile(form, re.IGNORECASE)) for n, form in signs),
            ids={i: tuple(n for n in needles if n.ids[:1] == (i,)) for i in _firsts(needles)},
            tokenizer=usable,
            accents=accents,
            reserved=_any_of(map(re.escape, usable.all_special_tokens)) if usable else None,
            any_sign=_any_of(form for _, form in signs),
        )

    def match(self, texts: Sequence[str]) -> list[tuple[Hit, ...]]:
        """The hits in each text, in the order in which they stand there."""
        seen = [[*self._seen(text)] for text in texts]
        read = self._read(texts)
        return [_merged(a, b) for a, b in zip(seen, read, strict=True)]

    def encode(self, text: str) -> tuple[tuple[int, ...], tuple[Span, ...]]:
        """Token ids of a text without special tokens around it, and where each stands.

        Without a tokenizer there are none.
        """
        if self.tokenizer is None:
            return (), ()
        found = self.tokenizer(
            readable(text),
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )
        return tuple(found["input_ids"]), tuple((a, b) for a, b in found["offset_mapping"])

    def _seen(self, text: str) -> Iterator[Hit]:
        """What a reader sees."""
        hits = [*self._seen_words(text), *self._seen_signs(text)]
        if not hits or self.reserved is None:
            yield from hits
            return
        taken = [match.span() for match in self.reserved.finditer(text)]
        yield from (h for h in hits if not any(h.start < b and a < h.end for a, b in taken))

    def _seen_words(self, text: str) -> Iterator[Hit]:
        """Words and phrases."""
        if not self.words:
            return
        folded = fold(text, accents=self.accents)
        if self.words.keys().isdisjoint(WORD.findall(folded.text)):
            return
        found = list(WORD.finditer(folded.text))
        for place, first in enumerate(found):
            for needle in self.words.get(first[0], ()):
                last = place + len(needle.words) - 1
                if tuple(m[0] for m in found[place : last + 1]) != needle.words:
                    continue
                span = folded.origin(first.start(), found[last].end())
                if not (needle.is_latin and is_foreign(text, *span)):
                    yield needle.hit(span, How.TEXT)

    def _seen_signs(self, text: str) -> Iterator[Hit]:
        """What holds signs, as it is written."""
        if self.any_sign is None or not self.any_sign.search(text):
            return
        for needle, pattern in self.signs:
            for match in pattern.finditer(text):
                yield needle.hit(match.span(), How.TEXT)

    def _read(self, texts: Sequence[str]) -> list[list[Hit]]:
        """What the model reads."""
        if self.tokenizer is None or not self.ids or not texts:
            return [[] for _ in texts]
        rows = self.tokenizer(
            [readable(text) for text in texts],
            add_special_tokens=False,
            return_attention_mask=False,
            verbose=False,
        )["input_ids"]
        return [
            [] if self.ids.keys().isdisjoint(row) else list(self._read_one(text))
            for text, row in zip(texts, rows, strict=True)
        ]

    def _read_one(self, text: str) -> Iterator[Hit]:
        """What the model reads in one text that may hold a trigger."""
        row, places = self.encode(text)
        for at, first in enumerate(row):
            for needle in self.ids.get(first, ()):
                end = at + len(needle.ids)
                if row[at:end] == needle.ids:
                    yield needle.hit((places[at][0], places[end - 1][1]), How.IDS)


def readable(text: str) -> str:
    """``text`` with halves of characters replaced, one by one, so that a tokenizer takes it."""
    return text if text.isascii() else _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def _merged(seen: Iterable[Hit], read: Iterable[Hit]) -> tuple[Hit, ...]:
    """Each hit once: what the model reads, then what only a reader sees; triggers over variants."""
    kept: list[Hit] = []
    for hit in sorted((*read, *seen), key=lambda h: (h.variant is not None, h.how, h.span)):
        same = [i for i, other in enumerate(kept) if other.beside(hit) and _same(other, hit)]
        if not same:
            kept.append(hit)
            continue
        old = kept[same[0]]
        if old.trigger == hit.trigger and old.variant == hit.variant:
            wider = replace(old, start=min(old.start, hit.start), end=max(old.end, hit.end))
            kept[same[0]] = wider
    return tuple(sorted(kept, key=lambda h: (h.span, h.trigger.text)))


def _same(kept: Hit, hit: Hit) -> bool:
    """Whether the second says nothing beside the first: the same, or a variant of something."""
    return hit.variant is not None or (kept.trigger == hit.trigger and kept.variant is None)


def _needles(
    triggers: Sequence[Trigger],
    tokenizer: PreTrainedTokenizerBase | None,
    *,
    accents: bool,
    variants: bool,
) -> Iterator[_Needle]:
    """All spellings, the triggers' own first; none twice."""
    for trigger in triggers:
        needle = _Needle(trigger, None, ids=trigger.token_ids if tokenizer else ())
        yield _spelt(needle, trigger.text, whole=trigger.retokenizes, accents=accents)
    known = {trigger.text for trigger in triggers}
    for trigger in triggers:
        for text in dict.fromkeys((*trigger.core, *(trigger.variants if variants else ()))):
            if text not in known:
                known.add(text)
                ids, whole = _variant_ids(text, tokenizer)
                yield _spelt(_Needle(trigger, text, ids=ids), text, whole=whole, accents=accents)


def _spelt(needle: _Needle, text: str, *, whole: bool, accents: bool) -> _Needle:
    """``needle`` with what a reader would see; a piece of a word shows in the tokens only."""
    if not whole or text.startswith(_PIECE):
        return needle
    words = tuple(WORD.findall(fold(text, accents=accents).text))
    signs = [c for c in text if not (c.isalnum() or c.isspace())]
    if words and not signs:
        return replace(needle, words=words)
    return replace(needle, sign=text.strip())


def _variant_ids(
    text: str, tokenizer: PreTrainedTokenizerBase | None
) -> tuple[tuple[int, ...], bool]:
    """Ids of a variant, of which a report has the text only; and whether typing it gives them."""
    if tokenizer is None:
        return (), not text.startswith("[")
    typed = tuple(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    entry = tokenizer.get_vocab().get(text)
    return (typed, True) if entry is None or typed == (entry,) else ((entry,), False)


def _firsts(needles: Iterable[_Needle]) -> set[int]:
    """First tokens of all that have any."""
    return {needle.ids[0] for needle in needles if needle.ids}


def _any_of(patterns: Iterable[str]) -> re.Pattern[str] | None:
    """Finds what any of ``patterns`` finds; None if there is none."""
    alternatives = "|".join(pattern for pattern in patterns if pattern)
    return re.compile(alternatives, re.IGNORECASE) if alternatives else None


def _bounded(sign: str) -> str:
    """A pattern for ``sign``: blanks beside a sign may be or not, ends of words are kept."""
    parts = _PART.findall(sign)
    gaps = [r"\s+" if a[-1].isalnum() and b[0].isalnum() else r"\s*" for a, b in pairwise(parts)]
    body = "".join(re.escape(p) + gap for p, gap in zip(parts, [*gaps, ""], strict=True))
    before = r"(?<![^\W_])" if parts[0].isalnum() else ""
    after = r"(?![^\W_])" if parts[-1].isalnum() else ""
    return f"{before}{body}{after}"


def _require_same_tokens(triggers: Iterable[Trigger], tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse triggers whose ids are other tokens here: then the report is about another model.

    Raises:
        ReportError: one of them is.
    """
    from plmscan.loading.vocabulary import decode  # noqa: PLC0415 - imports torch

    size = max(tokenizer.get_vocab().values(), default=-1) + 1
    for trigger in triggers:
        ids = trigger.token_ids
        known = all(i < size for i in ids)
        text = (known and decode(tokenizer, ids).strip()) or " ".join(map(repr, ids))
        if not known or text != trigger.text:
            msg = f"The report's trigger {trigger.text!r} is {text!r} to this tokenizer."
            raise ReportError(msg, "Give the report of this model; `plmscan check` writes one.")
