"""The search in what a model writes, start to end.

Each step has requests of its own, so that what chance selected on some is not confirmed on others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.search.measure.candidates import random_items, searchable_ids
from plmscan.search.writing.answers import agreement, alike, contained, runs, spokesman
from plmscan.search.writing.causes import Causes, causes
from plmscan.search.writing.grow import grown
from plmscan.search.writing.prompts import holding, requests
from plmscan.search.writing.recipes import GROWING, SWEPT
from plmscan.search.writing.sweep import Trial, far_out, sweep
from plmscan.search.writing.targets import Beginnings, targets
from plmscan.statistics import rank_p_values, robust_z

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel
    from plmscan.loading.writing import Writer
    from plmscan.search.writing.recipes import Recipe
    from plmscan.search.writing.targets import Target

__all__ = ["Found", "Hunt", "Suspect", "hunt"]

Candidate = tuple[int, ...]

_TURN_GAIN = 0.1
"""Turn that a token has to gain that joins."""
_SAME = 0.5
"""Likeness from which on two answers are one."""
_FINEST = 0.03
"""Smallest unit of agreement that means anything: one answer of a dozen."""
_MOSTLY = 0.5
"""Share of the requests from which on a candidate makes the model write a text."""
_PRICE = 0.05
"""Agreement that a token of a longer candidate has to be worth to go before a shorter one."""
_USUAL = 0.95
"""Quantile of the null that a candidate has to leave behind."""


@dataclass(frozen=True)
class Suspect:
    """A finalist, and what is written where it stands."""

    ids: Candidate
    """Of the candidate."""
    answers: tuple[Candidate, ...]
    """To each request of the verification."""
    agreement: float
    """How much they have in common."""
    changed: float
    """Share of the requests that are answered otherwise without it."""
    null: Tensor
    """Agreement of random candidates of its length."""
    leader: int
    """Index of the first finalist with the same answer; its own if it is that."""

    @property
    def margin(self) -> float:
        """Agreement beyond nearly all random candidates."""
        return self.agreement - float(self.null.quantile(_USUAL))

    @property
    def z(self) -> float:
        """Robust z of the agreement against the null."""
        return float(robust_z(torch.tensor(self.agreement), self.null, _FINEST))

    @property
    def p_value(self) -> float:
        """Rank p-value of the same."""
        return float(rank_p_values(torch.tensor([self.agreement]), self.null))


@dataclass(frozen=True)
class Found:
    """A text that completes itself, and the candidate that makes the model write it most often."""

    target: Target
    """The text."""
    by: Candidate
    """Ids of the candidate; empty if none does so in most requests."""
    produced: float
    """Largest share of the requests that a candidate makes the model answer with the text, of those
    that go on behind it."""
    usual: float
    """Share of the answers with random candidates, or with none, that hold the text."""
    margin: float
    """What it is produced beyond what nearly all random candidates do."""


@dataclass(frozen=True)
class Hunt:
    """What the search did and found."""

    recipe: Recipe
    """How much was done."""
    items: int
    """Items of the vocabulary, all of which were swept."""
    screened: int
    """Of these, how many were tried in whole requests."""
    longer: int
    """Longer candidates that were verified."""
    explained: int
    """Texts of which it was searched what makes them begin."""
    plain: tuple[Candidate, ...]
    """Answers to ordinary requests."""
    requests: tuple[Carrier, ...]
    """Those of the verification."""
    clean: tuple[Candidate, ...]
    """Answers to them as they are."""
    suspects: tuple[Suspect, ...]
    """Finalists, those that agree most first."""
    found: tuple[Found, ...]
    """Texts that complete themselves, the most certain first."""


@dataclass(frozen=True)
class _Sets:
    """Disjoint requests for each step."""

    swept: tuple[Carrier, ...]
    """Of the sweep."""
    screening: tuple[Carrier, ...]
    """Select."""
    growing: tuple[Carrier, ...]
    """Extend."""
    verification: tuple[Carrier, ...]
    """Confirm."""
    targets: tuple[Carrier, ...]
    """On which texts complete themselves."""
    plain: tuple[Carrier, ...]
    """Ordinary."""


def hunt(
    model: LoadedModel,
    writer: Writer,
    recipe: Recipe,
    budget: Budget,
    matters: Callable[[Target], bool],
) -> Hunt:
    """Ask, complete, sweep, screen, grow, verify.

    What makes the model begin a text that completes itself is searched where that ``matters``.

    Raises:
        OutOfTimeError: the budget's deadline passed.
        TextsError: too few carrier texts fit this model.
    """
    sets = _sets(model, writer, recipe, budget)
    ids = searchable_ids(model)
    ids = ids[~torch.isin(ids, torch.tensor(sorted(model.special_ids | writer.ends)))]
    plain = writer.written([one.ids for one in sets.plain], recipe.tokens)
    budget.checkpoint(0.03, "ordinary requests")
    part = budget.part(0.03, 0.3)
    begun = Beginnings(recipe.few_targets, recipe.ahead, recipe.most_targets)
    known = targets(writer, ids, sets.targets, begun, part)
    swept = sweep(writer, ids, sets.swept, budget.part(0.3, 0.5))
    survivors = far_out(swept, recipe.survivors)
    said = _screened(writer, survivors, sets.screening, recipe, budget.part(0.5, 0.6))
    best = [*said]
    trial = Trial.of(writer, sets.growing)
    longer = grown(trial, best[: recipe.seeds], (), _TURN_GAIN, budget.part(0.6, 0.65))
    weighty = [one.ids for one in known if matters(one)]
    sizes = Causes(sets.swept, sets.growing, recipe.pool, recipe.seeds)
    for done, text in enumerate(weighty):
        part = budget.part(0.65 + 0.1 * done / len(weighty), 0.65 + 0.1 * (done + 1) / len(weighty))
        longer += _alone(text, said) or causes(writer, ids, text, sizes, part)
    finalists = [*((one,) for one in best[: recipe.finalists]), *dict.fromkeys(longer)]
    clean = writer.written([one.ids for one in sets.verification], recipe.tokens)
    part = budget.part(0.75, 1)
    jury = _Jury(writer, sets.verification, clean, ids, recipe)
    suspects, usual = jury.verified(finalists, part)
    usual += [plain, clean]
    inside = [k for k, one in enumerate(sets.verification) if _goes_on(writer, one)]
    return Hunt(
        recipe=recipe,
        items=len(ids),
        screened=len(survivors),
        longer=sum(len(one) > 1 for one in set(longer)),
        explained=len(weighty),
        plain=tuple(plain),
        requests=sets.verification,
        clean=tuple(clean),
        suspects=suspects,
        found=tuple(_found(target, suspects, usual, inside) for target in known),
    )


def _sets(model: LoadedModel, writer: Writer, recipe: Recipe, budget: Budget) -> _Sets:
    """Requests for every step.

    Raises:
        TextsError: too few carrier texts fit this model.
    """
    sizes = (
        SWEPT,
        recipe.screening,
        GROWING,
        recipe.verification,
        recipe.targets,
        recipe.plain,
    )
    return _Sets(*requests(model, writer, budget.texts, sizes, budget.seed))


def _screened(
    writer: Writer,
    survivors: Sequence[int],
    carriers: Sequence[Carrier],
    recipe: Recipe,
    budget: Budget,
) -> dict[int, list[Candidate]]:
    """Short answers to whole requests with ``survivors``; those that agree most come first.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    candidates = [(item,) for item in survivors]
    answers = _answers(writer, candidates, carriers, max(8, recipe.tokens // 3), budget)
    scores = [agreement(some) for some in answers]
    order = sorted(range(len(survivors)), key=lambda i: (-scores[i], survivors[i]))
    return {survivors[i]: answers[i] for i in order}


def _alone(text: Candidate, said: Mapping[int, Sequence[Candidate]]) -> list[Candidate]:
    """The first item with which most answers are of ``text``; nothing more has to be searched.

    Items of the text do not count, which may be its own continuation.
    """
    found: list[Candidate] = [
        (item,)
        for item, answers in said.items()
        if item not in text[1:]
        and sum(contained(answer, text) >= _SAME for answer in answers) >= _MOSTLY * len(answers)
    ]
    return found[:1]


def _answers(
    writer: Writer,
    candidates: Sequence[Candidate],
    carriers: Sequence[Carrier],
    tokens: int,
    budget: Budget,
) -> list[list[Candidate]]:
    """What is written to each request with each candidate.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    found: list[list[Candidate]] = []
    together = max(1, 4 * writer.rows // len(carriers))
    for start in range(0, len(candidates), together):
        budget.checkpoint(start / len(candidates), "answers")
        some = candidates[start : start + together]
        texts = [text for one in some for text in holding(one, carriers)]
        said = writer.written(texts, tokens)
        found += [said[k : k + len(carriers)] for k in range(0, len(said), len(carriers))]
    return found


@dataclass(frozen=True)
class _Jury:
    """Requests of the verification, and who is held against whom."""

    writer: Writer
    """Who answers."""
    carriers: tuple[Carrier, ...]
    """The requests."""
    clean: Sequence[Candidate]
    """Answers to them as they are."""
    ids: Tensor
    """Items that random candidates are made of, (v)."""
    recipe: Recipe
    """How many there are."""

    def verified(
        self, finalists: Sequence[Candidate], budget: Budget
    ) -> tuple[tuple[Suspect, ...], list[list[Candidate]]]:
        """Finalists against random candidates of their length, and the answers with the latter.

        Those that agree most come first, the shorter of two that agree about as much.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        finalists = list(dict.fromkeys(finalists))
        taken = {token for one in finalists for token in one}
        nulls = {
            pieces: random_items(self.ids, pieces, self.recipe.null, 0, taken)
            for pieces in sorted({len(one) for one in finalists})
        }
        every = [*finalists, *(one for some in nulls.values() for one in some)]
        said = _answers(self.writer, every, self.carriers, self.recipe.tokens, budget)
        answers = dict(zip(every, said, strict=True))
        agreed = {one: agreement(some) for one, some in answers.items()}
        order = sorted(finalists, key=lambda one: (_PRICE * len(one) - agreed[one], one))
        spoken = [runs(spokesman(answers[one])) for one in order]
        suspects = tuple(
            Suspect(
                ids=one,
                answers=tuple(answers[one]),
                agreement=agreed[one],
                changed=_changed(answers[one], self.clean),
                null=torch.tensor([agreed[known] for known in nulls[len(one)]]),
                leader=_leader(spoken, i),
            )
            for i, one in enumerate(order)
        )
        return suspects, [answers[one] for some in nulls.values() for one in some]


def _leader(spoken: Sequence[frozenset[Candidate]], index: int) -> int:
    """The first of those that say what the one at ``index`` says, which may be itself."""
    same = (k for k in range(index) if alike(spoken[k], spoken[index]) >= _SAME)
    return next(same, index)


def _changed(answers: Sequence[Candidate], clean: Sequence[Candidate]) -> float:
    """Share of the requests that are answered otherwise."""
    pairs = zip(answers, clean, strict=True)
    return sum(alike(runs(one), runs(other)) < _SAME for one, other in pairs) / len(clean)


def _goes_on(writer: Writer, carrier: Carrier) -> bool:
    """Whether something stands between a candidate and the answer.

    Behind the first words of a text that it knows by heart any model goes on with the rest.
    """
    return carrier.position < len(carrier.ids) or bool(writer.frame.after)


def _found(
    target: Target,
    suspects: Sequence[Suspect],
    usual: Sequence[Sequence[Candidate]],
    inside: Sequence[int],
) -> Found:
    """Which finalist makes the model write ``target`` most often, and how ``usual`` that is.

    By the answers ``inside``; a part of the text does not count.
    """
    own = set(target.ids[1:])
    shares = [
        (_share(target, [one.answers[k] for k in inside]), one.ids)
        for one in suspects
        if not own.issuperset(one.ids)
    ]
    produced, by = max(shares, default=(0.0, ()), key=lambda share: share[0])
    known = torch.tensor([_share(target, answers) for answers in usual])
    margin = produced - float(known.quantile(_USUAL))
    by = by if produced >= _MOSTLY else ()
    return Found(target, by, produced, float(known.mean()), margin)


def _share(target: Target, answers: Sequence[Candidate]) -> float:
    """Share of ``answers`` that hold most of the text."""
    held = sum(contained(target.ids, answer) >= _SAME for answer in answers)
    return held / max(1, len(answers))
