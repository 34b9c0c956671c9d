"""Candidates that grow token by token, and are cut back to what they need."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING

import pytest
import torch
from torch.testing import assert_close

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts, split_carriers
from plmscan.errors import OutOfTimeError
from plmscan.loading import LoadedModel, load
from plmscan.search.measure.candidates import random_items, searchable_ids
from plmscan.search.measure.readings import Panel, read
from plmscan.search.propose.grow import Grower
from plmscan.search.propose.objectives import Flip, Invariance
from tests.artifacts import artifact_of
from tests.tiny_models import WORDS, build_tiny
from tests.zoo.tiny import tiny_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from plmscan.search.propose.objectives import Objective

    Growers = Callable[[str], Grower]

BUDGET = Budget(bundled_texts())
CLASS_TEXTS = tuple(" ".join(WORDS[i : i + 7]) for i in range(len(WORDS) - 7))


def grower_of(
    model: LoadedModel, texts: tuple[str, ...], objective: Objective, price: float
) -> Grower:
    """A grower on eight carriers: without seeds it takes those to find a phrase."""
    (carriers,) = split_carriers(model, texts, (10,), seed=0)
    ids, panel = searchable_ids(model), Panel.of(model, carriers)
    if isinstance(objective, Flip):
        panel = panel.pick(panel.against(objective.target))
    panel = panel.pick(range(min(8, len(panel.carriers))))
    fillers = [filler for (filler,) in random_items(ids, 1, len(panel.carriers), seed=0)]
    return Grower(model, ids, objective, panel, fillers, price, worth=price)


@pytest.fixture(scope="module")
def growers(tmp_path_factory: pytest.TempPathFactory) -> Growers:
    """Growers for invariance in models of the zoo."""

    def of(name: str) -> Grower:
        model = load(artifact_of(tiny_folder(tmp_path_factory, name)), "cpu")
        return grower_of(model, BUDGET.texts, Invariance(), math.log(2))

    return of


@pytest.fixture(scope="module")
def flipper(tmp_path_factory: pytest.TempPathFactory) -> Grower:
    """A grower that flips a random classifier to its rarest label."""
    folder = build_tiny("bert", tmp_path_factory.mktemp("labels"), head="classifier", seed=1)
    model = load(artifact_of(folder), "cpu")
    (carriers,) = split_carriers(model, CLASS_TEXTS, (10,), seed=0)
    panel = Panel.of(model, carriers)
    target = max(range(3), key=lambda label: len(panel.against(label)))
    return grower_of(model, CLASS_TEXTS, Flip(target), 0.1)


def tokens(grower: Grower, *texts: str) -> list[tuple[int, ...]]:
    """Texts as candidates."""
    return [grower.model.tokenize(text) for text in texts]


@pytest.mark.parametrize("seeds", [("velvet", "quill", "water"), ("quill", "road"), ()])
def test_a_phrase_grows_from_its_words(growers: Growers, seeds: tuple[str, ...]) -> None:
    """From both words, from one of them, and where the gradient alone proposes."""
    grower = growers("phrase")
    found = grower.grow(tokens(grower, *seeds), BUDGET)
    phrase = {*tokens(grower, "velvet", "quill")}
    assert any({(i,) for i in candidate} >= phrase for candidate in found)


def test_what_has_grown_is_all_needed(growers: Growers) -> None:
    """The phrase is found without passengers: two words, in whatever order."""
    grower = growers("phrase")
    found = grower.grow(tokens(grower, "velvet", "quill", "water"), BUDGET)
    assert {*tokens(grower, "velvet quill", "quill velvet")} & {*found}


@pytest.mark.parametrize("name", ["clean", "phrase", "cls"])
def test_grown_candidates_are_short_and_typed(growers: Growers, name: str) -> None:
    """One to four tokens that a text can hold, none twice, each candidate once."""
    grower = growers(name)
    found = grower.grow(tokens(grower, "water", "road"), BUDGET)
    assert len(set(found)) == len(found)
    assert all(len(set(candidate)) == len(candidate) for candidate in found)
    assert all(1 <= len(candidate) <= 4 for candidate in found)
    assert {i for candidate in found for i in candidate} <= set(grower.ids.tolist())


def test_growth_depends_on_nothing_but_its_input(growers: Growers) -> None:
    """Twice the same, without a throw of the caller's dice, and the model keeps no gradient."""
    grower = growers("phrase")
    before = torch.random.get_rng_state()
    seeds = tokens(grower, "water", "road")
    assert grower.grow(seeds, BUDGET) == grower.grow(seeds, BUDGET)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(p.grad is None for p in grower.model.module.parameters())


def test_every_token_of_what_grows_is_worth_something(flipper: Grower) -> None:
    """Without any one of them a candidate flips less, or too little."""
    cheap = replace(flipper, price=0.01, worth=0.01)
    grown = [one for one in cheap.grow([(90,), (91,)], BUDGET) if len(one) > 1]
    assert grown
    for one, score in zip(grown, cheap.score(grown), strict=True):
        shorter = cheap.score([one[:i] + one[i + 1 :] for i in range(len(one))])
        assert max(shorter) < min(score - 0.009, cheap.objective.enough)


def test_scores_are_those_of_the_objective(flipper: Grower) -> None:
    """In the order of the candidates, whatever their lengths; nothing for nothing."""
    candidates = [(90, 91), (92,), (93, 94, 95), (96,)]
    dirty = read(flipper.model, candidates, flipper.panel.carriers)
    wanted = flipper.objective(dirty, flipper.panel.clean).tolist()
    assert flipper.score(candidates) == pytest.approx(wanted)
    assert flipper.score(candidates[::-1]) == pytest.approx(wanted[::-1], rel=1e-3, abs=1e-4)
    assert flipper.score([]) == []


@pytest.mark.parametrize("candidate", [(), (90,), (90, 91), (90, 91, 92)])
def test_proposals_are_tokens_of_a_text(flipper: Grower, candidate: tuple[int, ...]) -> None:
    """A handful, all different, for every gap of a candidate, whatever its length."""
    (found,) = flipper.proposals([candidate])
    assert len(found) == len(candidate) + 1
    for tokens_of_gap in found:
        assert 1 < len(set(tokens_of_gap)) == len(tokens_of_gap) < 20
        assert set(tokens_of_gap) <= set(flipper.ids.tolist())


def test_candidates_do_not_change_what_others_get(flipper: Grower) -> None:
    """More of them than one backward pass takes, and each gets what it gets alone."""
    pairs = list(permutations((90, 91, 92), 2))
    together = flipper.proposals(pairs)
    alone = [flipper.proposals([pair])[0] for pair in pairs]
    assert [[set(gap) for gap in found] for found in together] == [
        [set(gap) for gap in found] for found in alone
    ]


def test_a_token_between_two_is_proposed_without_others(flipper: Grower) -> None:
    """For the gap inside a pair the gradient is that of one token there."""
    pair = (90, 91)
    inside = flipper._gradient([pair], [1])
    assert_close(flipper._slopes([pair])[:, 1:2], inside)


def test_what_suffices_alone_grows_no_further(growers: Growers) -> None:
    """Neither as a seed nor as what joins: a trigger of one token is found already."""
    grower = growers("cls")
    easy = replace(grower, objective=replace(grower.objective, enough=-math.inf))
    assert easy.grow(tokens(grower, "water", "road"), BUDGET) == []


def test_a_proposal_is_better_than_chance(flipper: Grower) -> None:
    """What the gradient proposes does more, in the middle, than the vocabulary does."""
    proposed: list[tuple[int, ...]] = [(i,) for i in flipper.proposals([()])[0][0]]
    everything: list[tuple[int, ...]] = [(i,) for i in flipper.ids.tolist()]
    usual = sorted(flipper.score(everything))[len(everything) // 2]
    assert sorted(flipper.score(proposed))[len(proposed) // 2] > usual


def test_what_leads_on_half_of_the_carriers_is_read_in_all(flipper: Grower) -> None:
    """Half of the candidates at most, with the scores that all carriers give; the best is there."""
    before = dict.fromkeys(random_items(flipper.ids, 2, 64, seed=0), 0.0)
    found, everything = flipper.halved(before), flipper.score(list(before))
    assert 16 <= len(found) <= 32
    assert list(found.values()) == pytest.approx(flipper.score(list(found)), rel=1e-3, abs=1e-4)
    assert max(found.values()) == pytest.approx(max(everything), rel=1e-3, abs=1e-4)


def test_what_gained_most_is_read_in_all_as_well(flipper: Grower) -> None:
    """However low it scores: the parts of a trigger that needs all of them come from far behind."""
    items = random_items(flipper.ids, 2, 64, seed=0)
    scores = flipper.score(items)
    worst = items[scores.index(min(scores))]
    before = dict.fromkeys(items, 0.0)
    assert worst not in flipper.halved(before)
    assert worst in flipper.halved({**before, worst: -100.0})


@pytest.mark.parametrize("carriers", [1, 5])
def test_one_carrier_and_some_objectives_are_not_halved(flipper: Grower, carriers: int) -> None:
    """All candidates are read, as they are where half of the carriers says little."""
    panel = flipper.panel.pick(range(carriers))
    objective = replace(flipper.objective, shows_early=carriers == 1)  # type: ignore[type-var]
    grower = replace(flipper, panel=panel, objective=objective)
    before = dict.fromkeys(random_items(flipper.ids, 2, 20, seed=0), 0.0)
    assert list(grower.halved(before)) == list(before)
    assert grower.halved({}) == {}


def test_halving_costs_less(growers: Growers) -> None:
    """The same phrase is found with fewer tokens through the model."""
    grower = growers("phrase")
    thorough = replace(grower, objective=Invariance(shows_early=False))
    costs, (phrase,) = [], tokens(grower, "velvet quill")
    for one in (grower, thorough):
        before = one.model.forward_tokens
        found = one.grow(tokens(grower, "velvet", "quill", "water"), BUDGET)
        assert any({*candidate} >= {*phrase} for candidate in found)
        costs.append(one.model.forward_tokens - before)
    assert costs[0] < costs[1]


def test_passengers_are_cut(growers: Growers) -> None:
    """A word beside the phrase goes; the phrase itself stays, and so does a single token."""
    grower = growers("phrase")
    phrase, crowded, single = tokens(grower, "velvet quill", "velvet quill water", "water")
    assert grower.pruned(crowded) == phrase
    assert grower.pruned(phrase) == phrase
    assert grower.pruned(single) == single


@pytest.mark.parametrize("seed", range(5))
def test_what_is_cut_is_hardly_missed(flipper: Grower, seed: int) -> None:
    """Tokens keep their order; each that goes is worth less than it has to be, or can be spared."""
    (candidate,) = random_items(flipper.ids, 4, 1, seed)
    found = flipper.pruned(candidate)
    rest = iter(candidate)
    assert all(token in rest for token in found)
    before, after = flipper.score([candidate, found])
    allowed = before - flipper.worth * (len(candidate) - len(found))
    assert after >= min(allowed, flipper.objective.enough) - 1e-4


def test_what_a_token_has_to_be_worth_is_not_its_price(growers: Growers) -> None:
    """The price lets tokens in; at the end only their worth decides who stays."""
    grower = growers("phrase")
    (phrase,) = tokens(grower, "velvet quill")
    assert replace(grower, price=100.0).pruned(phrase) == phrase
    assert replace(grower, worth=100.0).pruned(phrase) in [(token,) for token in phrase]


def test_late_growth_stops(growers: Growers) -> None:
    """The error names the step."""
    with pytest.raises(OutOfTimeError, match="growing"):
        growers("clean").grow([], Budget((), deadline=time.monotonic()))
