"""The search, start to end: sweep, screen, grow, contrast, verify, and ask whether synonyms do it.

Screening, growth, verification and the trial of synonyms use disjoint carriers, so that what was
selected by luck on the one is not confirmed by the same luck on the other.

Half the digits make long lists, where the hardware gains by it.  All digits choose from these and
measure what was chosen, so that rounding decides about nothing that a report names.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import torch

from plmscan.carriers import split_carriers
from plmscan.search.judge.comparison import judged
from plmscan.search.judge.sufficient import with_cores
from plmscan.search.measure.candidates import letters
from plmscan.search.measure.effects import exactly, measure
from plmscan.search.measure.readings import Panel
from plmscan.search.measure.selection import finalists
from plmscan.search.propose.groups import Paired, paired
from plmscan.search.propose.parts import promising
from plmscan.search.propose.sequences import contrasted, growers, grown
from plmscan.search.sweep.distances import survivors, sweep
from plmscan.search.sweep.labels import arguing, class_words, overriding, read_again
from plmscan.search.verify.finals import confirmed
from plmscan.search.verify.neighbours import Neighbourhood

if TYPE_CHECKING:
    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel
    from plmscan.search.judge.profile import Candidate
    from plmscan.search.propose.objectives import Objective
    from plmscan.search.recipes import Recipe
    from plmscan.search.sweep.distances import Sweep

__all__ = ["Search", "search"]


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
    aims: tuple[Objective, ...]
    """What longer candidates were grown for."""
    starts: int
    """Starts of the contrastive search; 0 where features tell nothing."""
    paired: Paired
    """What the group test found."""
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

    def flippable(self) -> list[int]:
        """Labels to which a candidate can flip carriers, and its synonyms others."""
        tried = self.synonyms.flippable()
        return [label for label in self.verification.flippable() if label in tried]


def search(model: LoadedModel, recipe: Recipe, budget: Budget) -> Search:
    """Sweep the vocabulary, screen the far-out, grow them, verify the best of every kind.

    Raises:
        OutOfTimeError: the budget's deadline passed.
        TextsError: too few carrier texts fit this model.
    """
    sizes = (
        recipe.screening_carriers,
        recipe.growing_carriers,
        recipe.carriers,
        recipe.synonym_carriers,
    )
    carriers = ordinary = split_carriers(model, budget.texts, sizes, budget.seed)
    swept = sweep(model, recipe.reference_items, budget.part(0, 0.3))
    far_out = survivors(swept, recipe.survivors)
    words: tuple[tuple[int, ...], ...] = ()
    if swept.leads is not None:
        words = class_words(*read_again(model, swept.ids, swept.leads))
        carriers = tuple(arguing(c, words, budget.seed + i) for i, c in enumerate(carriers))
        part = budget.part(0.3, 0.4)
        over = overriding(model, swept.ids, swept.leads, words, recipe.label_items, part)
        far_out = torch.unique(torch.cat([far_out, over]))
    panels = _Panels(*(Panel.of(model, c) for c in carriers))
    with model.half_precision():
        by = growers(model, panels.growing, swept.ids, budget.seed)
        proposed = [i for grower in by for i in grower.proposals([((), 0)])[0]]
        singles = [(i,) for i in sorted({*far_out.tolist(), *proposed})]
        screened = measure(model, singles, panels.screening, budget.part(0.4, 0.5), "screening")
        longer = grown(by, singles, screened, recipe.seeds, budget.part(0.5, 0.6))
        found, starts = contrasted(by, panels.growing, recipe.contrast, budget.part(0.6, 0.62))
    pairs = Paired()
    if recipe.grouping is not None:
        pairs = paired(model, swept, words, recipe.grouping, budget.part(0.62, 0.67))
    tried = promising(model, pairs.pairs, panels.growing, budget.part(0.67, 0.68))
    neighbourhood = Neighbourhood.of(model.embedding_weight, swept.ids, letters(model))
    twins = neighbourhood.twins([i for (i,) in singles])
    listed = finalists(screened, 2 * recipe.finalists, twins)
    part = budget.part(0.68, 0.69)
    screened = exactly(model, singles, screened, listed, panels.screening, part)
    chosen = [singles[i] for i in finalists(screened, recipe.finalists, twins)]
    longer = [*longer, *found, *tried]
    finals = confirmed(model, chosen, longer, panels.verification, budget.part(0.69, 0.7))
    both = (panels.verification, panels.synonyms)
    part = budget.part(0.7, 0.99)
    candidates, null = judged(model, finals, neighbourhood, both, recipe.null_items, part)
    candidates = with_cores(model, candidates, [*chain(*ordinary)], budget.part(0.99, 1))
    return Search(
        recipe=recipe,
        sweep=swept,
        candidates=candidates,
        screened=len(singles),
        carriers=len(panels.verification.carriers),
        labels_met=tuple(panels.flippable()),
        aims=tuple(grower.objective for grower in by),
        starts=starts,
        paired=pairs,
        tried=screened.points(),
        null=null,
    )
