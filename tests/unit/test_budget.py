"""The limits that every dynamic probe is handed."""

from __future__ import annotations

import time
from dataclasses import FrozenInstanceError, replace

import pytest

from plmscan.budget import Budget, Effort
from plmscan.errors import OutOfTimeError

BUDGET = Budget(("a text",))


def test_without_a_deadline_nothing_ends() -> None:
    """The default is standard effort, seed 0, no limit, nobody watching."""
    BUDGET.checkpoint(0.5, "a step")
    assert (BUDGET.effort, BUDGET.seed, BUDGET.deadline) == (Effort.STANDARD, 0, None)


def test_a_deadline_ahead_lets_work_go_on() -> None:
    """Progress is told as long as there is time."""
    told: list[tuple[float, str]] = []
    watched = Budget(
        (), deadline=time.monotonic() + 60, on_progress=lambda f, n: told.append((f, n))
    )
    watched.checkpoint(0.25, "a step")
    assert told == [(0.25, "a step")]


@pytest.mark.parametrize(("note", "where"), [("the null", "the null"), ("", "the probe")])
def test_a_deadline_behind_ends_work(note: str, where: str) -> None:
    """The error says how far the work came and what to do, and progress is not told."""
    told: list[float] = []
    late = Budget((), deadline=time.monotonic(), on_progress=lambda f, _: told.append(f))
    with pytest.raises(OutOfTimeError) as caught:
        late.checkpoint(0.37, note)
    assert caught.value.problem == f"The time limit ran out 37% into {where}."
    assert "--time-limit" in caught.value.remedy
    assert told == []


def test_a_part_reports_its_stretch_of_the_whole() -> None:
    """Half of the stretch from 0.4 to 0.8 is 0.6 of the probe; parts nest; limits stay."""
    told: list[float] = []
    whole = replace(BUDGET, seed=7, deadline=time.monotonic() + 60)
    watched = replace(whole, on_progress=lambda f, _: told.append(f))
    part = watched.part(0.4, 0.8)
    part.checkpoint(0.5)
    part.part(0.5, 1.0).checkpoint(0.5)
    assert told == pytest.approx([0.6, 0.7])
    assert (part.seed, part.deadline, part.texts) == (7, whole.deadline, whole.texts)


def test_a_budget_is_frozen() -> None:
    """A probe cannot give itself more."""
    with pytest.raises(FrozenInstanceError):
        BUDGET.seed = 1  # type: ignore[misc]
