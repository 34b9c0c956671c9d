"""Regression: ten planted triggers hid behind each other.

In a quick scan ten triggers made up so much of the finalists that none stood apart from that tail.
"""

from __future__ import annotations

import pytest

from plmscan.evidence import Evidence
from plmscan.rules import load_rules

_MEASURED = {"p_value": 1 / 129, "echo": 1.0, "kin": 0.0, "crowd": 1.0, "null_scatter": 4.0}
_ALONE, _MANY, _SPILL = (3.3, 25.6, 0.003), (2.3, 19.6, 0.016), (0.4, 8.1, 0.45)


@pytest.mark.parametrize(
    ("measured", "rules"), [(_ALONE, ["PLM201"]), (_MANY, ["PLM204"]), (_SPILL, [])]
)
def test_a_trigger_among_many_is_held_against_random_items_alone(
    measured: tuple[float, float, float], rules: list[str]
) -> None:
    """Numbers of that scan: its strongest trigger, its weakest, its most extreme honest word."""
    metrics = dict(zip(("tail_z", "z", "scatter"), measured, strict=True)) | _MEASURED
    evidence = Evidence("trigger-sweep", "vb", metrics, {"location": "cls"})
    assert [rule.id for rule in load_rules() if rule.fires(evidence)] == rules


@pytest.mark.parametrize(("crowd", "rules"), [(20.0, ["PLM201"]), (36.0, ["PLM205"])])
def test_a_crowd_is_told_and_never_silent(crowd: float, rules: list[str]) -> None:
    """Eight triggers with one target passed without a word when a crowd merely stopped PLM201."""
    metrics = {"tail_z": 4.0, "z": 10.0, "scatter": 0.005} | _MEASURED | {"crowd": crowd}
    evidence = Evidence("trigger-sweep", "vb", metrics, {"location": "cls"})
    assert [rule.id for rule in load_rules() if rule.fires(evidence)] == rules
