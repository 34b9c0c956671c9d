"""The search, start to end: sweep, screen, grow, contrast, verify, and ask whether synonyms do it.

Screening, growth, verification and the trial of synonyms use disjoint carriers, so that what was
selected by luck on the one is not confirmed by the same luck on the other.

Half the digits make long lists, where the hardware gains by it.  All digits choose from these and
measure what was chosen, so that rounding decides about nothing that a report names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

import torch

from plmscan.carriers import split_carriers
from plmscan.loading.decisions import AnyOf
from plmscan.search.judge.comparison import judged
from plmscan.search.judge.sufficient import with_cores
from plmscan.search.measure.candidates import letters
from plmscan.search.measure.effects import exactly, measure
from plmscan.search.measure.readings import Panel
from plmscan.search.measure.selection import finalists
from plmscan.search.propose.completion import completed
from plmscan.search.propose.groups import Paired, paired
from plmscan.search.propose.opposed import dealt, turned_from, words_against
from plmscan.search.propose.parts import promising
from plmscan.search.propose.sequences import (
    contrasted,
    gathered,
    growers,
    grown,
    sufficient,
)
from plmscan.search.propose.together import together
from plmscan.search.sweep.distances import furthest_again, survivors, sweep
from plmscan.search.sweep.labels import (
    arguing,
    centred,
    class_words,
    honest_phrases,
    in_turn,
    overriding,
    read_again,
)
from plmscan.search.verify.finals import confirmed
from plmscan.search.verify.jointly import jointly
from plmscan.search.verify.neighbours import Neighbourhood

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel
    from plmscan.search.judge.profile import Candidate
    from plmscan.search.measure.effects import Measured
    from plmscan.search.propose.grow import Grower
    from plmscan.search.propose.objectives import Objective
    from plmscan.search.propose.together import Joint
    from plmscan.search.recipes import Recipe
    from plmscan.search.sweep.distances import Sweep
    from plmscan.search.sweep.labels import Phrases
    from plmscan.search.verify.finals import Finals
    from plmscan.search.verify.jointly import Jointly

__all__ = ["Search", "search"]


_FEW = 3
"""Carriers without a label that tell whether words turn texts to it, whatever the features do."""

_MOST = 0.75
"""Share of the ordinary texts with a label from which on it is one that they have."""


@dataclass(frozen=True)
class Search:
    """What a search did and found."""

    recipe: Recipe
    """How much was done."""
    sweep: Sweep
    """Scores of the whole vocabulary."""
    candidates: tuple[Candidate, ...]
    """Finalists; a `Relation` refers to this order."""
    screened: int
    """Vocabulary items that were tried on the screening carriers."""
    carriers: int
    """Carriers of the verification."""
    labels_met: tuple[int, ...]
    """Labels against which carriers argue in every trial; no other could be flipped to."""
    labels_held: tuple[int, ...]
    """Labels that most ordinary texts have: little is gained by adding them."""
    aims: tuple[Objective, ...]
    """What longer candidates were grown for."""
    starts: int
    """Starts of the contrastive search; 0 where features tell nothing."""
    paired: Paired
    """What the group test found."""
    joint: tuple[Jointly, ...]
    """Words that turn texts only together."""
    tried: Tensor
    """Displacement and scatter of each screened item, (screened, 2)."""
    null: Tensor
    """The same of the random items that single ones are held against, (m, 2)."""


@dataclass(frozen=True)
class _Panels:
    """Disjoint carriers for each step."""

    screening: Panel
    """Selects."""
    growing: Panel
    """Extends."""
    verification: Panel
    """Confirms."""
    synonyms: Panel
    """Tries synonyms."""

    @classmethod
    def of(cls, model: LoadedModel, carriers: Iterable[Sequence[Carrier]]) -> _Panels:
        """Read the carriers of each step once."""
        return cls(*(Panel.of(model, some) for some in carriers))

    def carriers(self) -> list[tuple[Carrier, ...]]:
        """Those of each step, in the order of a search."""
        panels = (self.screening, self.growing, self.verification, self.synonyms)
        return [panel.carriers for panel in panels]

    def flippable(self, fewest: int = 1) -> list[int]:
        """Labels to which a candidate can flip ``fewest`` carriers, and its synonyms others."""
        tried, met = self.synonyms.flippable(), self.verification
        return [i for i in met.flippable() if i in tried and len(met.against(i)) >= fewest]


@dataclass(frozen=True)
class _Swept:
    """What the sweep hands on."""

    sweep: Sweep
    """Scores of the whole vocabulary."""
    far_out: Tensor
    """Ids that go on to the screening, ascending."""
    words: tuple[tuple[int, ...], ...]
    """For each label the items that argue most for it; empty without a classifier."""
    panels: _Panels
    """In a classifier its carriers are strewn with words that argue."""
    ordinary: tuple[Carrier, ...]
    """The same carriers as they were."""


@dataclass(frozen=True)
class _Proposed:
    """What may be a trigger."""

    singles: list[tuple[int, ...]]
    """Single items that were screened."""
    screened: Measured
    """Of each."""
    longer: list[tuple[int, ...]]
    """Candidates of several tokens."""
    growers: tuple[Grower, ...]
    """What grew them, for each aim."""
    starts: int
    """Starts of the contrastive search."""
    paired: Paired
    """What the group test found."""
    joints: tuple[Joint, ...]
    """Words that are needed together."""


def search(model: LoadedModel, recipe: Recipe, budget: Budget) -> Search:
    """Sweep the vocabulary, screen the far-out, grow them, verify the best of every kind.

    Raises:
        OutOfTimeError: the budget's deadline passed.
        TextsError: too few carrier texts fit this model.
    """
    ordinary = _carriers(model, recipe, budget)
    model = centred(model, tuple(chain(*ordinary)))
    swept = _swept(model, recipe, ordinary, budget)
    proposed = _proposed(model, recipe, swept, budget)
    panels = swept.panels
    neighbourhood = Neighbourhood.of(model.embedding_weight, swept.sweep.ids, letters(model))
    screened, chosen = _screened(model, recipe, swept, proposed, neighbourhood, budget)
    finals = _confirmed(model, recipe, chosen, proposed, panels.verification, budget)
    finals = replace(finals, honest=honest_phrases(swept.words))
    both = (panels.verification, panels.synonyms)
    part = budget.part(0.7, 0.98)
    candidates, null = judged(model, finals, neighbourhood, both, recipe.null_items, part)
    candidates = with_cores(model, candidates, swept.ordinary, budget.part(0.98, 0.99))
    joint = jointly(
        model, proposed.joints, panels.verification, swept.ordinary, budget.part(0.99, 1)
    )
    return Search(
        recipe=recipe,
        sweep=swept.sweep,
        candidates=candidates,
        screened=len(proposed.singles),
        carriers=len(panels.verification.carriers),
        labels_met=tuple(panels.flippable(_FEW if model.reads_tokens else 1)),
        labels_held=_held(model, swept.ordinary),
        aims=tuple(grower.objective for grower in proposed.growers),
        starts=proposed.starts,
        paired=proposed.paired,
        joint=joint,
        tried=screened.points(),
        null=null,
    )


def _confirmed(
    model: LoadedModel,
    recipe: Recipe,
    chosen: Sequence[tuple[int, ...]],
    proposed: _Proposed,
    panel: Panel,
    budget: Budget,
) -> Finals:
    """Finalists on the verification panel, pieces of words among them completed.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    wholes: dict[tuple[int, ...], tuple[int, ...]] = {}
    if recipe.completes:
        tried, part = [*chosen, *proposed.longer], budget.part(0.69, 0.695)
        wholes = completed(proposed.growers, tried, part)
    return confirmed(model, chosen, proposed.longer, panel, budget.part(0.695, 0.7), wholes)


def _held(model: LoadedModel, ordinary: Sequence[Carrier]) -> tuple[int, ...]:
    """Labels that most ordinary texts have, so that little is gained by adding them."""
    leads = Panel.of(model, ordinary).clean.leads if model.common_labels else None
    if leads is None:
        return ()
    share = (leads > 0).float().mean(0)
    return tuple(i for i in model.common_labels if share[i] >= _MOST)


def _carriers(
    model: LoadedModel, recipe: Recipe, budget: Budget
) -> tuple[tuple[Carrier, ...], ...]:
    """Ordinary texts for every step: more where each of many labels has to be on in some.

    Raises:
        TextsError: too few of them fit this model.
    """
    switched = len(model.labels) // 2 if isinstance(model.decision, AnyOf) else 0
    judging = (recipe.carriers, recipe.synonym_carriers)
    sizes = (
        recipe.screening_carriers,
        recipe.growing_carriers,
        *(max(size, min(2 * size, switched)) for size in judging),
    )
    recalls = "masked-lm" in model.heads
    cut = () if recalls else (recipe.selecting_tokens, recipe.selecting_tokens)
    return split_carriers(model, budget.texts, sizes, budget.seed, cut)


def _swept(
    model: LoadedModel,
    recipe: Recipe,
    ordinary: Sequence[Sequence[Carrier]],
    budget: Budget,
) -> _Swept:
    """Carriers for every step, and who is far out in the sweep."""
    swept = sweep(model, recipe.reference_items, budget.part(0, 0.28))
    again = furthest_again(model, swept, recipe.survivors, budget.part(0.28, 0.3))
    far_out, every = survivors(again, recipe.survivors), tuple(chain(*ordinary))
    if swept.leads is None:
        return _Swept(swept, far_out, (), _Panels.of(model, ordinary), every)
    words = class_words(*read_again(model, swept.ids, swept.leads))
    part = budget.part(0.3, 0.38)
    over = overriding(model, swept.ids, swept.leads, words, recipe.label_items, part)
    turns = in_turn(model, words)
    panels = _opposed(model, swept, ordinary, turns, budget.part(0.38, 0.4))
    return _Swept(swept, torch.unique(torch.cat([far_out, over])), words, panels, every)


def _opposed(
    model: LoadedModel,
    swept: Sweep,
    ordinary: Sequence[Sequence[Carrier]],
    turns: Sequence[Phrases],
    budget: Budget,
) -> _Panels:
    """Carriers of every step that argue for labels in ``turns``.

    Where all of a step have a label that no ordinary text lacks, some are turned from it; where
    tokens have labels no word takes one from all others of a text.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    panels, ordinary = _lacking(model, ordinary, turns, budget.seed)
    if model.reads_tokens:
        return panels
    carriers, plain = panels.carriers(), Panel.of(model, ordinary[-1])
    against: dict[int, tuple[int, ...]] = {}
    asked = {*range(len(model.labels))} - {*model.common_labels}
    while new := asked - {*panels.flippable(), *against}:
        for label in sorted(new):
            budget.checkpoint(len(against) / len(model.labels), "texts of other labels")
            against[label] = words_against(model, plain, swept, label, budget.seed)
        words = [some for some in against.values() if some]
        if not words:
            break
        both = zip(carriers, ordinary, strict=True)
        turned = (turned_from(*pair, words, budget.seed + i) for i, pair in enumerate(both))
        panels = _Panels.of(model, turned)
    return panels


def _lacking(
    model: LoadedModel, ordinary: Sequence[Sequence[Carrier]], turns: Sequence[Phrases], seed: int
) -> tuple[_Panels, Sequence[Sequence[Carrier]]]:
    """Carriers that argue for labels in ``turns``, and the ``ordinary`` ones behind them.

    Where all of a step have a label, ordinary ones that lack it are exchanged between the steps,
    and stay as they are.
    """
    common = {*model.common_labels}
    wanted, few = (
        (common, _FEW) if model.reads_tokens else ({*range(len(model.labels))} - common, 1)
    )
    carriers = [arguing(some, turns, seed + i) for i, some in enumerate(ordinary)]
    panels, lacking = _Panels.of(model, carriers), set[int]()
    while new := wanted - {*panels.flippable(few)} - lacking:
        lacking |= new
        shares = dealt(model, ordinary, sorted(lacking), few)
        ordinary = [(*plain, *rest) for plain, rest in shares]
        both = enumerate(shares)
        carriers = [(*plain, *arguing(rest, turns, seed + i)) for i, (plain, rest) in both]
        panels = _Panels.of(model, carriers)
    return panels, ordinary


def _proposed(model: LoadedModel, recipe: Recipe, swept: _Swept, budget: Budget) -> _Proposed:
    """Single items on the screening carriers, and longer candidates of every kind."""
    growing = swept.panels.growing
    with model.half_precision():
        by = growers(model, growing, swept.sweep.ids, budget.seed)
        proposed = [i for grower in by for i in grower.proposals([()])[0][0]]
        ids = sorted({*swept.far_out.tolist(), *proposed})
        singles: list[tuple[int, ...]] = [(i,) for i in ids]
        part = budget.part(0.4, 0.48)
        screened = measure(model, singles, swept.panels.screening, part, "screening")
        part = budget.part(0.48, 0.53)
        gathering = gathered(by, growing, swept.sweep, recipe.companies, part)
        longer = grown(gathering, singles, screened, recipe.seeds, budget.part(0.53, 0.6))
        known = sufficient(singles, screened, recipe.seeds)
        part = budget.part(0.6, 0.62)
        found, starts = contrasted(by, growing, recipe.contrast, known, part)
        sizes, part = recipe.together, budget.part(0.62, 0.63)
        joints = () if sizes is None else together(by, sizes, part)
    pairs = Paired()
    if recipe.grouping is not None:
        part = budget.part(0.63, 0.67)
        pairs = paired(model, swept.sweep, swept.words, recipe.grouping, part)
    tried = promising(model, pairs.pairs, growing, budget.part(0.67, 0.68))
    longer = [*longer, *found, *tried]
    return _Proposed(singles, screened, longer, tuple(by), starts, pairs, joints)


def _screened(
    model: LoadedModel,
    recipe: Recipe,
    swept: _Swept,
    proposed: _Proposed,
    neighbourhood: Neighbourhood,
    budget: Budget,
) -> tuple[Measured, list[tuple[int, ...]]]:
    """The screening with all digits for whoever may go on, and the single items that do."""
    singles = proposed.singles
    twins = neighbourhood.twins([i for (i,) in singles])
    listed = finalists(proposed.screened, 2 * recipe.finalists, twins)
    panel, part = swept.panels.screening, budget.part(0.68, 0.69)
    screened = exactly(model, singles, proposed.screened, listed, panel, part)
    return screened, [singles[i] for i in finalists(screened, recipe.finalists, twins)]
