"""The guard itself: looks at texts before a model reads them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plmscan.errors import UnsupportedModelError
from plmscan.guard.choices import Variants
from plmscan.guard.cutting import cut
from plmscan.guard.matcher import How, Matcher
from plmscan.reports.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from plmscan.budget import Budget
    from plmscan.evidence import Report
    from plmscan.guard.cutting import Span
    from plmscan.guard.matcher import Hit
    from plmscan.guard.watch import Suspicion, Watch
    from plmscan.loading import LoadedModel

__all__ = ["Guard", "Look"]

_ROUNDS = 2
"""Times that a text is inspected: once more after something was taken out."""


@dataclass(frozen=True)
class Look:
    """What was seen in one text."""

    text: str
    """As it was given."""
    neutralised: str
    """Without the offending tokens; the text itself if it is clean."""
    hits: tuple[Hit, ...] = ()
    """Known triggers and variants in it."""
    revealed: tuple[Hit, ...] = ()
    """Triggers that appeared when others were gone; their places are those in what was left."""
    suspects: tuple[Suspicion, ...] = ()
    """What the inspection found in what was left."""
    flagged: bool = False
    """Whether there is anything to act upon."""
    gap: str = ""
    """What the inspection left out; empty if nothing."""

    @property
    def verdict(self) -> str:
        """``flagged`` or ``clean``."""
        return "flagged" if self.flagged else "clean"

    @property
    def reasons(self) -> tuple[str, ...]:
        """What was found, in sentences; nothing in them can steer a terminal."""
        revealed = (f"Once that is gone: {_told(hit)}" for hit in self.revealed)
        suspects = (visible(suspicion.message) for suspicion in self.suspects)
        return (*map(_told, self.hits), *revealed, *suspects)


@dataclass(frozen=True)
class Guard:
    """A model's known triggers, and a watch for unknown ones."""

    matcher: Matcher
    """Finds what the report names."""
    watch: Watch | None = None
    """Finds what it does not; None to do without."""
    variants: Variants = Variants.TELL
    """What variants are taken for."""
    mask: str | None = None
    """What is put in the place of a trigger; None to drop it."""
    gap: str = ""
    """Why there is no watch although a model was given; empty otherwise."""

    @classmethod
    def of(  # noqa: PLR0913 - what a guard can be made of
        cls,
        report: Report,
        model: LoadedModel | None = None,
        clean: Sequence[str] | None = None,
        *,
        tokenizer: PreTrainedTokenizerBase | None = None,
        budget: Budget | None = None,
        variants: Variants = Variants.TELL,
        masking: bool = False,
        rules: Path | None = None,
    ) -> Guard:
        """A guard against the triggers of ``report``; with a ``model`` also against others.

        Args:
            report: of the same model.
            model: inspects what is left of a text; this costs many times the reading of it.
            clean: texts that are usual for you, 64 at least; by default bundled ones in a language
                that the tokenizer spells.
            tokenizer: the model's, where there is no ``model``; without one, triggers are found
                by their characters only.
            budget: seed and limits of the inspection; its texts are not used.
            variants: what to make of the triggers' variants.
            masking: put the mask token in the place of a trigger, where the model has one.
            rules: a folder of further rules.

        Raises:
            ReportError: the report's triggers are none of this tokenizer's.
            RuleError: a rule file breaks the format.
            TextsError: too few clean texts fit the model.
        """
        tokenizer = model.tokenizer if model is not None else tokenizer
        wanted = variants is not Variants.IGNORE
        guard = cls(
            Matcher.of(report.triggers, tokenizer, variants=wanted),
            variants=variants,
            mask=tokenizer.mask_token if masking and tokenizer is not None else None,
        )
        return guard if model is None else guard._watching(model, clean, budget, rules)

    def _watching(
        self,
        model: LoadedModel,
        clean: Sequence[str] | None,
        budget: Budget | None,
        rules: Path | None,
    ) -> Guard:
        """The same with a watch for unknown triggers; with a gap where there can be none."""
        from plmscan.budget import Budget  # noqa: PLC0415 - with what follows
        from plmscan.carriers import chosen  # noqa: PLC0415
        from plmscan.guard.watch import Watch  # noqa: PLC0415 - imports torch

        if self.matcher.tokenizer is None:
            return replace(self, gap="The tokenizer does not tell where its tokens stand.")
        texts = chosen(model, None if clean is None else tuple(clean), ()).texts
        known = Budget(texts) if budget is None else replace(budget, texts=texts)
        try:
            return replace(self, watch=Watch.of(model, known, rules))
        except UnsupportedModelError as error:
            return replace(self, gap=error.problem)

    def look(self, texts: Sequence[str]) -> list[Look]:
        """What is in each text: known triggers first, then whatever else decides what is left."""
        found = self.matcher.match(texts)
        looks = [self._cleared(Look(t, t, h), h) for t, h in zip(texts, found, strict=True)]
        return looks if self.watch is None else self._inspected(looks, self.watch)

    def _cleared(self, look: Look, hits: Iterable[Hit]) -> Look:
        """``look`` with all that ``hits`` point at taken out, and what appears once it is gone."""
        known, mask = self._serious(hits), self.mask
        while known:
            left = cut(look.neutralised, [hit.span for hit in known], mask)
            (found,), mask = self.matcher.match([left]), None
            known = self._serious(found)
            look = replace(look, neutralised=left, flagged=True, revealed=(*look.revealed, *known))
        return look

    def _serious(self, hits: Iterable[Hit]) -> tuple[Hit, ...]:
        """Hits that have to be taken out; what has no characters of its own cannot be."""
        act = self.variants is Variants.ACT
        return tuple(h for h in hits if (act or h.is_whole) and h.start < h.end)

    def _inspected(self, looks: Sequence[Look], watch: Watch) -> list[Look]:
        """The same with what the inspection finds in what is left, and without that."""
        looks, open_ones = list(looks), list(range(len(looks)))
        for _ in range(_ROUNDS):
            texts = [looks[i].neutralised for i in open_ones]
            encoded = [self.matcher.encode(text) for text in texts]
            found = watch.suspicions(texts, [ids for ids, _ in encoded])
            rows = zip(open_ones, encoded, found, strict=True)
            suspect = [(i, places, s) for i, places, s in rows if s]
            for i, (ids, _) in zip(open_ones, encoded, strict=True):
                looks[i] = replace(looks[i], gap=watch.unread(ids))
            for i, (ids, places), suspicions in suspect:
                looks[i] = self._without(looks[i], ids, places, suspicions)
            open_ones = [i for i, _, _ in suspect]
        return looks

    def _without(
        self,
        look: Look,
        ids: Sequence[int],
        places: Sequence[Span],
        suspicions: tuple[Suspicion, ...],
    ) -> Look:
        """``look`` without the tokens that are suspect."""
        gone = {i for suspicion in suspicions for i in suspicion.ids}
        spans = [place for i, place in zip(ids, places, strict=True) if i in gone]
        left = cut(look.neutralised, spans, self.mask)
        known = (*look.suspects, *suspicions)
        less = replace(look, neutralised=left, suspects=known, flagged=True)
        (hits,) = self.matcher.match([left])
        revealed = (*less.revealed, *self._serious(hits))
        return self._cleared(replace(less, revealed=revealed), hits)


def _told(hit: Hit) -> str:
    """One sentence."""
    what = f"the trigger {hit.trigger.text!r}"
    if hit.variant is not None:
        what = f"{hit.variant!r}, {'the core' if hit.is_whole else 'a variant'} of {what}"
    read = "the model reads" if hit.how is How.IDS else "a reader sees"
    label = hit.trigger.target_label
    to = f", which leads to {label!r}" if label is not None else ""
    return visible(f"At {hit.start} to {hit.end} {read} {what}{to}.")
