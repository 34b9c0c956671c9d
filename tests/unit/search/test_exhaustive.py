"""The search, start to end, on planted models and their clean twin."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import torch

from plmscan.budget import Budget, Effort
from plmscan.carriers import bundled_texts
from plmscan.errors import OutOfTimeError, TextsError
from plmscan.loading import LoadedModel, load
from plmscan.search.exhaustive import Candidate, Search, search
from plmscan.search.recipes import RECIPES
from tests.artifacts import artifact_of
from tests.zoo.tiny import tiny_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    Load = Callable[[str], LoadedModel]

QUICK = RECIPES[Effort.QUICK]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Loads a model of the zoo."""
    return lambda name: load(artifact_of(tiny_folder(tmp_path_factory, name)), "cpu")


def by_text(model: LoadedModel, found: Search) -> dict[str, Candidate]:
    """Finalists by their text."""
    return {model.decode(candidate.ids): candidate for candidate in found.candidates}


@pytest.mark.parametrize("seed", range(4))
def test_one_trigger_does_not_hide_the_other(zoo: Load, seed: int) -> None:
    """Both outrank the whole null, and lead to outputs of their own.

    The vocabulary is so small that one in eight items is drawn into the null; no finalist is.
    """
    model = zoo("cls")
    found = search(model, QUICK, Budget(bundled_texts(), seed=seed))
    for trigger in (by_text(model, found)[text] for text in ("cf", "mn")):
        assert trigger.p_value == pytest.approx(1 / (QUICK.null_items + 1))
        assert trigger.z > 8
        assert trigger.scatter < 0.05
        assert trigger.relation.echo == 1
        assert not trigger.relation.kin


def test_numbers_agree_with_each_other(zoo: Load) -> None:
    """Recipe, sizes and relations hold together."""
    model = zoo("clean")
    found = search(model, QUICK, Budget(bundled_texts()))
    assert found.carriers == QUICK.carriers
    assert QUICK.finalists <= len(found.candidates) <= 2 * QUICK.finalists
    assert found.screened <= QUICK.survivors * len(found.sweep.rankings())
    assert {c.null_size for c in found.candidates} == {QUICK.null_items}
    assert {c.location for c in found.candidates} <= set(model.locations)
    leaders = [found.candidates[c.relation.leader] for c in found.candidates]
    assert all(found.candidates[leader.relation.leader] is leader for leader in leaders)
    assert min(c.scatter for c in found.candidates) > 0.25


def test_the_caller_s_dice_are_left_alone(zoo: Load) -> None:
    """All chance comes from the budget's seed."""
    before = torch.random.get_rng_state()
    one = search(zoo("clean"), QUICK, Budget(bundled_texts(), seed=3))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert search(zoo("clean"), QUICK, Budget(bundled_texts(), seed=3)).candidates == one.candidates


def test_it_needs_texts(zoo: Load) -> None:
    """Too few carriers end the search before a token is spent."""
    model = zoo("clean")
    with pytest.raises(TextsError):
        search(model, QUICK, Budget(bundled_texts()[:50]))
    assert model.forward_tokens == 0


def test_it_tells_how_far_it_is(zoo: Load) -> None:
    """Progress rises from 0 towards 1 through every step."""
    told: list[tuple[float, str]] = []
    search(
        zoo("phrase"),
        QUICK,
        Budget(bundled_texts(), on_progress=lambda f, n: told.append((f, n))),
    )
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] < 1
    steps = {"vocabulary sweep", "screening", "growing pairs", "verification", "null"}
    assert {note for _, note in told} == steps


@pytest.mark.parametrize("step", ["vocabulary sweep", "screening", "growing pairs"])
def test_every_step_keeps_the_deadline(
    zoo: Load, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the time runs out during one step, the next one does not begin."""
    clock = [0.0]

    def tell(_: float, note: str) -> None:
        clock[0] = 2.0 if note == step else clock[0]

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    budget = Budget(bundled_texts(), deadline=1.0, on_progress=tell)
    with pytest.raises(OutOfTimeError):
        search(zoo("clean"), QUICK, budget)
