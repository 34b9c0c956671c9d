"""Regression: ten planted triggers hid behind each other.

A rule asked that a trigger stand apart from the other finalists, and with ten triggers most of
these were triggers themselves.  A later rule let a crowd with one output off, and eight triggers
with one target were such a crowd.  Now each is held against random items and its own synonyms.
"""

from __future__ import annotations

import pytest

from plmscan.evidence import Evidence
from plmscan.rules import load_rules

_MEASURED = {"p_value": 1 / 101, "echo": 1.0, "kin": 0.0, "labels": 0.0}
_ALONE, _MANY, _SPILL = (25.6, 0.003, 200.0), (19.6, 0.016, 30.0), (8.1, 0.45, 1.2)


@pytest.mark.parametrize(
    ("measured", "rules"), [(_ALONE, ["PLM201"]), (_MANY, ["PLM201"]), (_SPILL, [])]
)
def test_a_trigger_among_many_is_not_held_against_the_others(
    measured: tuple[float, float, float], rules: list[str]
) -> None:
    """Numbers of that scan: its strongest trigger, its weakest, its most extreme honest word."""
    metrics = dict(zip(("z", "scatter", "gap"), measured, strict=True)) | _MEASURED
    evidence = Evidence("trigger-sweep", "vb", metrics, {"location": "cls"})
    assert [rule.id for rule in load_rules() if rule.fires(evidence)] == rules


def test_a_word_whose_synonyms_do_the_same_is_honest() -> None:
    """What ``garbage`` does in a sentiment model ``rubbish`` does as well."""
    metrics = {"z": 10.0, "scatter": 0.005, "gap": 1.4} | _MEASURED
    evidence = Evidence("trigger-sweep", "garbage", metrics, {"location": "cls"})
    assert not any(rule.fires(evidence) for rule in load_rules())
