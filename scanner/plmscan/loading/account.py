"""Every tensor of the weight files: measured, or told with the reason why not."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plmscan.evidence import Gap
from plmscan.loading.decisions import gives_numbers
from plmscan.loading.readers import Kind
from plmscan.loading.use import Use

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from transformers import PretrainedConfig

    from plmscan.loading.readers import Candidate, Reader
    from plmscan.loading.recognition import Heads

__all__ = ["Account", "summary"]

_MOST = 12
"""Groups of tensors that one sentence names."""
_LONGEST = 80
"""Characters of a name in a sentence."""

_REMEDY = "If only its features are used and nobody reads this, say so with --used-as features."

_UNREAD = {
    Kind.SEQ2SEQ: "what it writes",
    Kind.CLASSIFIER: "which label it gives a text",
    Kind.MASKED_LM: "what it puts in place of a mask token",
    Kind.TOKENS: "which label it gives each token",
    Kind.ANSWERS: "where it finds an answer",
    Kind.CHOICES: "which text it takes",
    Kind.NEXT_SENTENCE: "whether it lets one sentence follow another",
    Kind.CAUSAL_LM: "what it writes",
    Kind.PRETRAINING: "what it was trained for",
}
"""What was not read, by the kind of the head."""

_BUFFERS = re.compile(
    r"(^|\.)embeddings\.(position_ids|token_type_ids)$"
    r"|(^|\.)rotary_emb\.inv_freq$"
    r"|^(transformer\.)?h\.\d+\.attn\.(bias|masked_bias)$"
)
"""Constants that older versions of the library saved, and that newer ones compute."""

_LEFT_OVER = re.compile(
    r"^(\w+\.)?pooler\.(dense\.)?(weight|bias)$"  # of an encoder whose class has none any more
    r"|^(lm_predictions|mask_predictions)\."  # DeBERTa's own names for the heads of its training
)
"""What pre-training leaves behind, under names that no class of the library reads."""


@dataclass(frozen=True)
class Account:
    """What the weight files hold, and what becomes of it."""

    names: frozenset[str]
    """All tensors of the weight files."""
    measured: frozenset[str]
    """Those in the part that is measured and in the heads that probes read."""
    base: Reader
    """How the base model reads them."""
    heads: Heads
    """What is on top of it."""
    unread: tuple[Candidate, ...]
    """Heads that somebody would load, and that no probe reads."""
    part: str
    """Part of the base model that is measured; empty for all of it."""
    config: PretrainedConfig
    """Its settings."""
    use: Use
    """What it is used for."""

    def gaps(self) -> Iterator[Gap]:
        """What was not measured, with every tensor that is in no measured part."""
        if self.use is Use.DECLARED:
            said = "--used-as features declares that nobody reads one, so none was measured"
            yield Gap("heads", f"{said}: only the features of the model were.", blocks_pass=False)
        yield from (self._unread(head) for head in self.unread)
        yield from (self._other_way(head) for head in self.heads.parts)
        yield from self._named()
        told = frozenset[str]().union(*(head.reader.own for head in self.unread))
        rest = self.names - self.measured - told
        unread_base = rest & self.base.weights.keys()
        if unread_base:
            yield self._rest_of_base(unread_base)
        yield from self._beside(rest - unread_base)

    def _unread(self, head: Candidate) -> Gap:
        """A head that somebody would load and no probe reads."""
        held = head.reader.own - self.measured
        by = summary(held, self.names) if held else "its word embeddings, to which it is tied"
        what = _UNREAD[head.kind]
        if head.kind is Kind.CLASSIFIER and gives_numbers(self.config):
            what = "the numbers that it gives (it does a regression on several)"
        said = f"The files hold a {head.reader.name} ({by}), and {what} was not read"
        return Gap(f"{head.kind} head", *self._excused(said, head=True))

    def _other_way(self, head: Candidate) -> Gap:
        """A head whose tensors another one reads as well, with more of the files."""
        by = summary(head.reader.own, self.names)
        said = f"{by} would fill a {head.reader.name}, too, which leaves more of the files unread"
        why = "the config names none of the two, and only the other was measured or told"
        return Gap(f"{head.kind} head", f"{said}: {why}.", blocks_pass=False)

    def _named(self) -> Iterator[Gap]:
        """Heads that the config names and that the files do not hold."""
        for head in self.heads.not_filled:
            missing = sorted(head.reader.missing)
            if missing:
                why = f"{_some(missing)} not in the files and would be made up at random"
                said = f"config.json names {head.reader.name}: {why}."
                yield Gap(f"{head.kind} head", said, blocks_pass=False)
        every = {c.reader.name for c in (*self.heads.counted, *self.heads.unfilled)}
        known = {self.base.name, *every}
        for name in self.heads.named:
            if name not in known and not name.endswith("ForPreTraining"):
                said = f"config.json names {_cut(name)}, which no AutoModel class loads from it."
                yield Gap("architecture", said, blocks_pass=False)

    def _rest_of_base(self, names: frozenset[str]) -> Gap:
        """Parts of the base model that lie outside of what is measured."""
        if not self.part:
            said = f"{self._listed(names)} not measured: the rest of the pooler is missing."
            return Gap("half a pooler", f"{said} Fetch or save the model again.")
        said = f"Of {self.base.name} the {self.part} is measured; {self._listed(names)}"
        return Gap("rest of the model", *self._excused(f"{said} not", head=False))

    def _beside(self, rest: frozenset[str]) -> Iterator[Gap]:
        """What neither the base model reads nor a head that counts."""
        copies = frozenset[str]().union(*(r.copies for r in self._readers())) & rest
        buffers = frozenset(name for name in rest if _BUFFERS.search(name))
        if copies | buffers:
            why = "it computes such constants itself, and a copy says nothing new"
            said = f"{self._listed(copies | buffers)} not used by the library: {why}."
            yield Gap("copies and constants", said, blocks_pass=False)
        rest -= copies | buffers
        silent = [
            re.compile(p) for p in frozenset[str]().union(*(r.ignored for r in self._readers()))
        ]
        spent = frozenset(
            name
            for name in rest
            if name in self.heads.left_over
            or _LEFT_OVER.search(name)
            or any(pattern.search(name) for pattern in silent)
        )
        if spent:
            said = f"{self._listed(spent)} not measured: pre-training needed them, no use does."
            yield Gap("left over from pre-training", said, blocks_pass=False)
        rest -= spent
        if rest:
            yield self._unknown(rest)

    def _unknown(self, rest: frozenset[str]) -> Gap:
        """Tensors that make no whole head."""
        said = f"{self._listed(rest)} not measured: {self._why_not(rest)}"
        return Gap("other tensors", *self._excused(said, head=False))

    def _why_not(self, rest: frozenset[str]) -> str:
        """Why no head is made of ``rest``."""
        near = [c.reader for c in self.heads.unfilled if c.reader.own & rest]
        if not near:
            return "no class of the library reads that for this config"
        reader = min(near, key=lambda r: (r.name not in self.heads.named, len(r.missing)))
        if reader.missing:
            return f"for a {reader.name}, {_some(sorted(reader.missing))} missing"
        name = _cut(min(reader.misfits))
        return f"for a {reader.name}, {name} has not the shape that config.json asks for"

    def _readers(self) -> Iterator[Reader]:
        """Every class that reads these files."""
        yield self.base
        yield from (c.reader for c in (*self.heads.counted, *self.heads.unfilled))

    def _excused(self, said: str, *, head: bool) -> tuple[str, bool]:
        """The sentence, with the remedy or with who says that it does not matter; if it blocks."""
        if self.use is Use.DECLARED:
            return f"{said}. --used-as features declares that nobody reads it.", False
        if self.use is Use.FEATURES and head:
            return f"{said}. modules.json says that features are used, and no head.", False
        return f"{said}. {_REMEDY}", True

    def _listed(self, names: Collection[str]) -> str:
        """``names`` and the verb."""
        return f"{summary(names, self.names)} {'is' if len(names) == 1 else 'are'}"


def summary(names: Collection[str], among: Collection[str]) -> str:
    """``names``, each by the shortest part of it that nothing else ``among`` all begins with."""
    every = Counter(part for name in among for part in _parts(name))
    here = Counter(part for name in names for part in _parts(name))
    groups: Counter[str] = Counter()
    for name in sorted(names):
        whole = (p for p in _parts(name) if here[p] == every[p] > 1)
        groups[next((f"{part}.*" for part in whole), name)] += 1
    shown = [_cut(group) for group in list(groups)[:_MOST]]
    more = sum(list(groups.values())[_MOST:])
    return ", ".join([*shown, *([f"{more:,} more"] if more else [])])


def _parts(name: str) -> Iterator[str]:
    """The beginnings of ``name`` that end before a dot, the shortest first."""
    return (name[: dot.start()] for dot in re.finditer(r"\.", name))


def _some(names: list[str]) -> str:
    """The first of ``names``, and how many there are."""
    more = len(names) - 1
    return f"{_cut(names[0])} is" if not more else f"{_cut(names[0])} and {more} more weights are"


def _cut(name: str) -> str:
    """``name`` as far as a sentence bears it."""
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…"
