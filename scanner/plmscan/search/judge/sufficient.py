"""Cores: the tokens of a longer trigger that are sufficient, each alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from plmscan.search.measure.effects import measure
from plmscan.search.measure.readings import Panel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel
    from plmscan.search.judge.profile import Candidate

__all__ = ["cores", "with_cores"]


def with_cores(
    model: LoadedModel, found: Sequence[Candidate], carriers: Sequence[Carrier], budget: Budget
) -> tuple[Candidate, ...]:
    """``found`` with the cores of those that are longer, that lead, and that drive to a label.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    leading = (c for i, c in enumerate(found) if c.relation.leader == i and len(c.ids) > 1)
    targets = {c.ids: c.flip.target for c in leading if c.flip is not None}
    known = cores(model, targets, carriers, budget)
    return tuple(replace(c, core=known.get(c.ids, ())) for c in found)


def cores(
    model: LoadedModel,
    targets: Mapping[tuple[int, ...], int],
    carriers: Sequence[Carrier],
    budget: Budget,
) -> dict[tuple[int, ...], tuple[int, ...]]:
    """Of each key of ``targets`` the tokens that alone turn every carrier to its label.

    A search goes on from a trigger's token to the word that helps it most in texts that argue.  In
    ordinary texts, which ``carriers`` are to be, the token needs no help.  An honest word
    persuades, but there is always a text that it does not turn.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    tokens = sorted({token for ids in targets for token in ids})
    if not tokens:
        return {}
    alone = [(token,) for token in tokens]
    found = measure(model, alone, Panel.of(model, carriers), budget, "tokens of triggers")
    turned = dict(zip(tokens, found.turned().tolist(), strict=True))
    return {
        ids: tuple(token for token in dict.fromkeys(ids) if turned[token][target] == 1)
        for ids, target in targets.items()
    }
