"""A sentence about tensors names all of them, and no other."""

from __future__ import annotations

from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from plmscan.loading.account import summary

PARTS = st.lists(st.sampled_from(["a", "b", "cls", "weight"]), min_size=1, max_size=4)
NAMES = st.sets(PARTS.map(".".join), min_size=1, max_size=30)


def groups_of(told: str) -> list[str]:
    """What a sentence names, less the count of those that it leaves out."""
    return [part for part in told.split(", ") if not part.endswith(" more")]


@given(NAMES, st.data())
def test_groups_hold_exactly_the_names(among: set[str], data: st.DataObject) -> None:
    """Nothing beside the names fits a group, and every name fits one, or is counted."""
    names = data.draw(st.sets(st.sampled_from(sorted(among)), min_size=1))
    told = summary(names, among)
    groups = groups_of(told)
    fitting = {name for name in among if any(fnmatchcase(name, group) for group in groups)}
    assert fitting <= names
    left = len(names) - len(fitting)
    assert told.endswith(f"{left:,} more") if left else " more" not in told


@given(NAMES)
def test_all_names_together_are_few_groups(among: set[str]) -> None:
    """What begins alike and is told together takes one group a beginning."""
    beginnings = {name.partition(".")[0] for name in among}
    assert len(groups_of(summary(among, among))) <= 2 * len(beginnings)
