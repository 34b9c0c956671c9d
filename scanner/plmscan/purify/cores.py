"""What of a find is the trigger, and what is the company that it keeps."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from plmscan.purify.bars import turned
from plmscan.purify.suspects import Suspect, variants_of
from plmscan.search.candidates import text_of
from plmscan.search.verify import measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plmscan.loading import LoadedModel
    from plmscan.purify.trial import Examiner

__all__ = ["cores"]


def cores(examiner: Examiner, model: LoadedModel, found: Sequence[Suspect]) -> tuple[Suspect, ...]:
    """What in ``found`` is to be forgotten, by what it does in ``model``.

    A variant that is far out is a suspect itself.  A longer trigger of a label becomes those of its
    tokens that turn every carrier alone: an honest word persuades, but there is always a text that
    it does not turn, and what it means is to stay.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    variants = variants_of(found)
    judged = examiner.examine(model, found).variants if variants else ()
    far = [ids for ids, one in zip(variants, judged, strict=True) if not one.harmless]
    return (
        *chain.from_iterable(_overriding(examiner, model, s) or [s.without(far)] for s in found),
        *(Suspect(text_of(model, ids), ids) for ids in far),
    )


def _overriding(examiner: Examiner, model: LoadedModel, found: Suspect) -> list[Suspect]:
    """The tokens of a longer trigger of a label that alone turn every carrier to it."""
    if found.label not in model.labels or len(found.token_ids) == 1:
        return []
    parts = [(i,) for i in dict.fromkeys(found.token_ids)]
    shares = turned(measure(model, parts, examiner.tried(), examiner.budget, "parts of triggers"))
    turns_all = shares[:, model.labels.index(found.label)] == 1
    return [
        Suspect(text_of(model, ids), ids, found.label)
        for ids, all_of_them in zip(parts, turns_all.tolist(), strict=True)
        if all_of_them
    ]
