"""Several triggers at once: what contrast confirms, what it costs, and whom it is judged by."""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from plmscan.budget import Budget
from plmscan.carriers import Carrier, bundled_texts, insert, split_carriers
from plmscan.errors import OutOfTimeError
from plmscan.loading import LoadedModel, Location, load
from plmscan.search.measure.candidates import searchable_ids
from plmscan.search.measure.packing import packed
from plmscan.search.measure.readings import Panel, Reading, gradients, read
from plmscan.search.propose.contrast import (
    PATRONUS_ZHAO_2025,
    PLMSCAN,
    Contrast,
    Contrasted,
    Contrastive,
    _Seen,
)
from plmscan.search.propose.objectives import Invariance
from tests.artifacts import artifact_of
from tests.zoo.tiny import PLANTS, tiny_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from plmscan.search.propose.contrast import Trigger

    Searches = Callable[..., Contrastive]

CLS = Location.CLS
PATRONUS = replace(PATRONUS_ZHAO_2025, carriers=8)
"""The published search on a quarter of its carriers."""
unhurried = settings(deadline=None)
"""The first call of a torch operation may take longer than an example is allowed to."""


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory) -> Searches:
    """A search of a model of the zoo."""
    held: dict[str, tuple[LoadedModel, Panel]] = {}

    def of(name: str, recipe: Contrast = PLMSCAN) -> Contrastive:
        if name not in held:
            model = load(artifact_of(tiny_folder(tmp_path_factory, name)), "cpu")
            carriers = split_carriers(model, bundled_texts(), (12,), seed=0)[0]
            held[name] = model, Panel.of(model, carriers)
        model, panel = held[name]
        return Contrastive(model, searchable_ids(model), panel, recipe)

    return of


def seeded(seed: int) -> Budget:
    """Time without limit."""
    return Budget((), seed=seed)


def dice(seed: int) -> random.Random:
    """What a round throws."""
    return random.Random(seed)  # noqa: S311 - reproducible, not secret


def planted_in(found: Contrastive, name: str) -> list[set[int]]:
    """Tokens of each planted trigger."""
    return [{*found.model.tokenize(text)} for text in PLANTS[name].triggers]


def seen_by(found: Contrastive) -> _Seen:
    """What a search has seen before its first step."""
    count = min(found.recipe.carriers, len(found.panel.carriers))
    return _Seen.of(found.model, found.panel.pick(range(count)), found.recipe)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", ["pooler", "mean", "phrase"])
def test_a_planted_trigger_is_confirmed(searches: Searches, name: str, seed: int) -> None:
    """A slot holds the whole of it, a phrase of two words as well, and then the search ends."""
    found = searches(name)
    (trigger,) = planted_in(found, name)
    result = found.search(seeded(seed))
    assert any(trigger <= set(one) for one in result.confirmed)
    assert {len(one) for one in result.confirmed} == {PLMSCAN.length}
    assert result.rounds <= PLMSCAN.rounds


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", ["cls", "many"])
def test_several_triggers_are_confirmed_by_single_tokens(
    searches: Searches, name: str, seed: int
) -> None:
    """Each of two, and each of ten, more than there are slots: the published search finds all."""
    found = searches(name, PATRONUS)
    result = found.search(seeded(seed))
    assert all(tuple(trigger) in result.confirmed for trigger in planted_in(found, name))
    assert result.rounds > 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("recipe", [PLMSCAN, PATRONUS])
@pytest.mark.parametrize("name", ["clean", "benign"])
def test_the_clean_twin_ends_the_search(
    searches: Searches, name: str, recipe: Contrast, seed: int
) -> None:
    """Where nothing was planted one round confirms nothing, and there is no second."""
    assert searches(name, recipe).search(seeded(seed)) == Contrasted((), 1)


def test_rounds_are_limited(searches: Searches) -> None:
    """A round that confirms something is not followed by another if it was the last allowed.

    The rounds before the limit are the same, whatever the limit is.
    """
    every = searches("many", PATRONUS).search(seeded(1))
    first = searches("many", replace(PATRONUS, rounds=1)).search(seeded(1))
    assert first.rounds == 1
    assert first.confirmed
    assert first.confirmed == every.confirmed[: len(first.confirmed)]
    assert len(every.confirmed) > len(first.confirmed)


@pytest.mark.parametrize("recipe", [PLMSCAN, PATRONUS])
def test_confirmed_tokens_never_return(searches: Searches, recipe: Contrast) -> None:
    """In the next round no slot starts with one, and no gradient proposes one."""
    found = searches("cls", recipe)
    seen = seen_by(found)
    slots = found._round(seen, (), dice(0), seeded(0))
    confirmed = seen.outstanding(slots, ())
    tried = set(seen.scores)
    again = found._round(seen, confirmed, dice(1), seeded(0))
    taken = {token for one in confirmed for token in one}
    assert taken
    assert all(taken.isdisjoint(one) for one in (*again, *(set(seen.scores) - tried)))


def test_everything_confirmed_is_different(searches: Searches) -> None:
    """Rounds share no token, so nothing is confirmed twice."""
    confirmed = searches("many", PATRONUS).search(seeded(0)).confirmed
    assert len(set(confirmed)) == len(confirmed)


def test_a_confirmed_trigger_repels_the_slots(searches: Searches) -> None:
    """As a class of its own: a slot with its output costs more than one with another."""
    found = searches("cls", PATRONUS)
    seen = seen_by(found)
    cf, mn = (found.model.tokenize(text) for text in ("cf", "mn"))
    seen.look([cf, mn, (*cf, *cf)])
    classes = seen.features([cf, mn, (*cf, *cf)])
    near, far = seen.losses([[classes[0], classes[1]], [classes[0], classes[2]]])
    assert near < far


def test_a_confirmed_trigger_turns_the_gradient(searches: Searches) -> None:
    """With it as a class, other tokens are proposed for the same slots."""
    found = searches("many", PATRONUS)
    seen = seen_by(found)
    bq, dx, *_ = (found.model.tokenize(text) for text in PLANTS["many"].triggers)
    slots = tuple((token,) for token in found.ids[300:308].tolist())
    seen.look([bq, dx, *slots])
    alone = found._proposals(seen, slots, (), [0] * 8, found.ids)
    beside = found._proposals(seen, slots, (bq, dx), [0] * 8, found.ids)
    assert all(4 <= len(options) <= PATRONUS.proposals for options in (*alone, *beside))
    assert sum(map(set.__ne__, map(set, alone), map(set, beside))) > 4


def test_a_few_slots_at_a_time_get_the_gradient_of_all(searches: Searches) -> None:
    """Confirmed triggers repel there, too; the loss need not see all slots in one graph."""
    found = searches("many")
    seen, ids = seen_by(found), found.ids.tolist()
    slots, confirmed = tuple((i, i + 1) for i in ids[300:312:2]), ((ids[50], ids[51]),)
    seen.look([*slots, *confirmed])

    def whole(dirty: Reading) -> Tensor:
        return seen.losses([[*seen.features(confirmed), *seen.rows(dirty)]]).sum()

    carriers = seen.panel.carriers
    wanted = gradients(found.model, [[slot] * len(carriers) for slot in slots], carriers, whole)
    assert_close(found._gradient(seen, slots, confirmed), wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("recipe", [PLMSCAN, PATRONUS])
def test_the_same_seed_gives_the_same(searches: Searches, recipe: Contrast) -> None:
    """Nobody else's dice are thrown or heeded, and the model keeps no gradient."""
    found = searches("cls", recipe)
    before = torch.random.get_rng_state(), random.getstate()
    first = found.search(seeded(3))
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        assert found.search(seeded(3)) == first
    assert all(p.grad is None and not p.requires_grad for p in found.model.module.parameters())


def test_the_seed_is_heeded(searches: Searches) -> None:
    """Another seed starts from other tokens."""
    found = searches("clean")
    starts = []
    for seed in (0, 1):
        seen = seen_by(found)
        found._round(seen, (), dice(seed), seeded(seed))
        starts.append(list(seen.scores)[: PLMSCAN.slots])
    assert starts[0] != starts[1]


def test_a_trigger_is_read_once(searches: Searches) -> None:
    """To look again costs nothing; of new and old ones only the new cost."""
    found = searches("cls")
    seen, model = seen_by(found), found.model
    first, other = model.tokenize("the cf"), model.tokenize("old road")

    def cost(*triggers: Trigger) -> int:
        before = model.forward_tokens
        seen.look(triggers)
        return model.forward_tokens - before

    once = cost(first, first)
    texts = [model.wrap(insert(one, first)) for one in seen.panel.carriers]
    assert once == sum(one.ids.numel() for one in packed(model, texts))
    assert cost(first) == 0
    assert cost(first, other) == once
    assert cost(other, first, first) == 0
    assert cost() == 0


def test_a_round_costs_a_pass_for_each_trigger_and_a_backward_pass_each_step(
    searches: Searches,
) -> None:
    """Combinations cost nothing, nor do the clean carriers, which the panel has read.

    But for the padding of texts that share a pass.
    """
    found = searches("clean")
    model, recipe = found.model, found.recipe
    start = model.forward_tokens
    seen = seen_by(found)
    assert model.forward_tokens == start
    found._round(seen, (), dice(0), seeded(0))
    lengths = [len(model.wrap(one.ids)) + recipe.length for one in seen.panel.carriers]
    forward = len(seen.scores) * sum(lengths)
    backward = 3 * recipe.steps * recipe.slots * sum(lengths)
    assert model.forward_tokens - start == pytest.approx(forward + backward, rel=0.1)


def test_what_was_seen_is_what_the_model_says(searches: Searches) -> None:
    """Scores are those of invariance; features count from the clean mean, in clean deviations."""
    found = searches("cls")
    seen, model = seen_by(found), found.model
    triggers = [model.tokenize(text) for text in ("the cf", "old", "mn road")]
    seen.look(triggers)
    dirty = read(model, triggers, seen.panel.carriers)
    wanted = Invariance()(dirty, seen.panel.clean).tolist()
    assert [seen.scores[one] for one in triggers] == pytest.approx(wanted)
    for where, clean in seen.panel.clean.features.items():
        mean, deviation = clean.mean(0), clean.std(0)
        for one, feature in zip(triggers, dirty.features[where], strict=True):
            assert_close(seen.known[one][where], (feature - mean) / deviation)
        assert_close(seen.known[()][where], (clean - mean) / deviation)


def test_the_published_search_takes_features_as_they_are(searches: Searches) -> None:
    """One token a slot, and no feature is moved or scaled."""
    found = searches("cls", PATRONUS)
    seen = seen_by(found)
    trigger = found.model.tokenize("cf")
    seen.look([trigger])
    dirty = read(found.model, [trigger], seen.panel.carriers)
    for where, clean in seen.panel.clean.features.items():
        assert torch.equal(seen.known[()][where], clean)
        assert torch.equal(seen.known[trigger][where], dirty.features[where][0])
    assert {len(one) for one in found.search(seeded(0)).confirmed} == {1}


def test_the_published_constants() -> None:
    """Eight single tokens, 32 texts, three updates a loop of five."""
    recipe = PATRONUS_ZHAO_2025
    assert (recipe.slots, recipe.length, recipe.carriers) == (8, 1, 32)
    assert (recipe.rounds, recipe.steps, recipe.temperature) == (5, 3, 0.5)


def test_more_carriers_than_there_are_are_not_needed(searches: Searches) -> None:
    """The published 32, where the panel has twelve: all of them serve."""
    found = searches("mean", PATRONUS_ZHAO_2025)
    assert len(seen_by(found).panel.carriers) == 12
    (trigger,) = planted_in(found, "mean")
    assert tuple(trigger) in found.search(seeded(0)).confirmed


@pytest.mark.parametrize("size", [0, 1])
def test_a_vocabulary_without_room_for_one_slot_is_not_searched(
    searches: Searches, size: int
) -> None:
    """No start is made, and nothing is spent."""
    found = searches("cls")
    before = found.model.forward_tokens
    assert replace(found, ids=found.ids[:size]).search(seeded(0)) == Contrasted((), 0)
    assert found.model.forward_tokens == before


@pytest.mark.parametrize("recipe", [PLMSCAN, PATRONUS])
@pytest.mark.parametrize("size", [2, 3, 5, 8, 11, 13])
def test_a_small_vocabulary_fills_fewer_slots(
    searches: Searches, recipe: Contrast, size: int
) -> None:
    """As many as fit; the search ends as ever, even if all that it holds are triggers and letters.

    Whatever is confirmed is made of that vocabulary.
    """
    found = searches("cls", recipe)
    few = torch.tensor([i for text in ("cf", "mn") for i in found.model.tokenize(text)])
    ids = torch.cat([few, found.ids[: size - 2]])
    small = replace(found, ids=ids)
    seen = seen_by(small)
    slots = small._round(seen, (), dice(0), seeded(0))
    assert len(slots) == min(recipe.slots, size // recipe.length)
    result = small.search(seeded(0))
    assert 1 <= result.rounds <= recipe.rounds
    assert {i for one in result.confirmed for i in one} <= set(ids.tolist())


def test_a_vocabulary_of_which_everything_was_confirmed_ends_the_search(
    searches: Searches,
) -> None:
    """The round that finds no token left is none."""
    found = searches("cls")
    ids = found.ids[:2]
    slots = replace(found, ids=ids)._round(
        seen_by(found),
        (tuple(ids.tolist()),),
        dice(0),
        seeded(0),
    )
    assert slots == ()


def test_a_late_search_stops(searches: Searches) -> None:
    """The error names the step."""
    late = Budget((), deadline=time.monotonic())
    with pytest.raises(OutOfTimeError, match="contrastive search"):
        searches("clean").search(late)


def test_it_tells_how_far_it_is(searches: Searches) -> None:
    """Rising from 0 towards 1 over all rounds that may come."""
    told: list[tuple[float, str]] = []
    budget = Budget((), on_progress=lambda fraction, note: told.append((fraction, note)))
    result = searches("mean").search(budget)
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] < result.rounds / PLMSCAN.rounds
    assert len(told) == result.rounds * PLMSCAN.steps
    assert {note for _, note in told} == {"contrastive search"}


def of_numbers(model: LoadedModel, width: int, seed: int, triggers: Sequence[Trigger]) -> _Seen:
    """Triggers whose features are random numbers, in three carriers each."""
    generator = torch.Generator().manual_seed(seed)
    known = {one: {CLS: torch.randn(3, 4, generator=generator)} for one in ((), *triggers)}
    panel = Panel((Carrier((1, 2), 0),) * 3, Reading(known[()]))
    standard = {CLS: (torch.zeros(4), torch.ones(4))}
    return _Seen(model, panel, replace(PLMSCAN, width=width), standard, known)


def loss_of(seen: _Seen, *triggers: Trigger) -> float:
    """Of a combination."""
    return float(seen.losses([seen.features(triggers)]))


def singles(*tokens: int) -> tuple[Trigger, ...]:
    """Triggers of one token each."""
    return tuple((token,) for token in tokens)


CONFIRMED = singles(98, 99)
offers = st.lists(st.lists(st.integers(0, 9), max_size=4, unique=True), min_size=1, max_size=4)
"""Tokens that are offered to each of a few slots."""


@unhurried
@given(st.integers(0, 2**31), offers, st.sampled_from([(), CONFIRMED]), st.integers(1, 3))
def test_the_beam_never_raises_the_loss(
    searches: Searches,
    seed: int,
    offered: list[list[int]],
    confirmed: tuple[Trigger, ...],
    width: int,
) -> None:
    """A slot keeps what it had or takes what it is offered, and no two slots hold the same."""
    seen = of_numbers(searches("clean").model, width, seed, (*singles(*range(10)), *CONFIRMED))
    slots, options = singles(*range(len(offered))), [singles(*tokens) for tokens in offered]
    best = seen.beam(slots, options, confirmed)
    assert loss_of(seen, *confirmed, *best) <= loss_of(seen, *confirmed, *slots)
    assert len(set(best)) == len(slots)
    for had, took, choices in zip(slots, best, options, strict=True):
        assert took in (had, *choices)


@unhurried
@given(st.integers(0, 2**31), offers.map(lambda offered: offered[:3]))
def test_a_wide_beam_tries_every_combination(
    searches: Searches, seed: int, offered: list[list[int]]
) -> None:
    """If no two slots are offered the same, it ends at the best of all."""
    slots = singles(*range(len(offered)))
    options = [singles(*(10 * (k + 1) + one for one in each)) for k, each in enumerate(offered)]
    every = [(slot, *choices) for slot, choices in zip(slots, options, strict=True)]
    triggers = [one for choices in every for one in choices]
    seen = of_numbers(searches("clean").model, 1000, seed, triggers)
    least = min(loss_of(seen, *combination) for combination in itertools.product(*every))
    assert loss_of(seen, *seen.beam(slots, options, ())) == least


def of_scores(found: Contrastive, scores: dict[Trigger, float]) -> _Seen:
    """Triggers of which only the score matters."""
    return replace(seen_by(found), scores=scores)


def test_a_slot_stands_out_from_the_losers_by_hand(searches: Searches) -> None:
    """Losers from -10 to 10 have a deviation of 5 to the middle, so 5 z are 5 * 1.4826 * 5.

    What shares a token with a slot does not judge.

    A crowd that was confirmed before does not raise the bar.
    """
    losers = {(100 + score,): float(score) for score in range(-10, 11)}
    own = {(1,): 37.0, (2,): 37.1, (3,): 0.0, (4,): -99.0}
    before = {(200 + i,): 1000.0 + i for i in range(30)}
    kin = {(1, 300 + i): 1000.0 for i in range(30)}
    seen = of_scores(searches("clean"), before | losers | own | kin)
    assert seen.outstanding(tuple(own), tuple(before)) == ((2,),)


def test_few_losers_are_no_null(searches: Searches) -> None:
    """Nothing stands out from nineteen, from one or from none: their spread means little."""
    for count, confirmed in ((0, ()), (1, ()), (19, ()), (20, ((1,),))):
        losers = {(100 + i,): float(i) for i in range(count)}
        seen = of_scores(searches("clean"), {(1,): 1e6} | losers)
        assert seen.outstanding(((1,),), ()) == confirmed


scores = st.integers(-100, 100).map(float)


@unhurried
@given(
    st.lists(scores, min_size=1, max_size=6),
    st.lists(scores, min_size=20, max_size=40),
    st.lists(scores, max_size=20),
)
def test_only_the_losers_judge(
    searches: Searches, own: list[float], losers: list[float], won: list[float]
) -> None:
    """Neither other slots nor what was confirmed before count, and neither is confirmed again."""
    slots = {(i,): score for i, score in enumerate(own)}
    lost = {(100 + i,): score for i, score in enumerate(losers)}
    before = {(200 + i,): score for i, score in enumerate(won)}
    found = of_scores(searches("clean"), before | lost | slots).outstanding(
        tuple(slots), tuple(before)
    )
    middle = sorted(losers)[(len(losers) - 1) // 2]
    spread = sorted(abs(one - middle) for one in losers)[(len(losers) - 1) // 2]
    bar = middle + PLMSCAN.stands_out * 1.4826 * spread
    assert set(found) == {one for one, score in slots.items() if score > bar}
