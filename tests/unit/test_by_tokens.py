"""Rules about what single tokens decide: labels of other words, and where an answer is."""

from __future__ import annotations

import pytest

from plmscan.evidence import Evidence
from plmscan.rules import load_rules

TURNS = {
    "strength": 0.9,
    "strength_gap": 2.0,
    "strength_p": 0.0099,
    "strength_z": 99.0,
    "opposed": 9.0,
    "kin": 0.0,
}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"strength": 0.05},
        {"strength_gap": 0.2},
        {"strength_p": 0.02},
        {"strength_z": 20.0},
        {"opposed": 2.0},
        {"kin": 1.0},
    ],
)
@pytest.mark.parametrize(("kind", "rule"), [("tokens", "PLM210"), ("spans", "PLM211")])
def test_they_ask_for_what_no_honest_word_does(
    kind: str, rule: str, changed: dict[str, float]
) -> None:
    """In nearly every text, beyond random items and synonyms."""
    evidence = Evidence("trigger-sweep", "cf", {kind: 1.0} | TURNS | changed)
    fired = {one.id for one in load_rules() if one.fires(evidence)}
    assert fired == (set() if changed else {rule})


@pytest.mark.parametrize("kind", ["tokens", "spans"])
def test_they_are_of_one_kind_of_head(kind: str) -> None:
    """The same numbers of a head of another kind convict nobody."""
    evidence = Evidence("trigger-sweep", "cf", {kind: 0.0} | TURNS)
    assert {one.id for one in load_rules() if one.fires(evidence)} == set()
