"""Objects of JSON whose names repeat."""

from __future__ import annotations

import json

from plmscan.json_objects import object_of, repeated


def test_names_that_repeat_are_told_as_they_come_again() -> None:
    """Each once, so that the first is the one that a line shows; the last value counts."""
    pairs: list[tuple[str, int]] = [("a", 1), ("b", 2), ("b", 3), ("a", 4), ("b", 5)]
    assert object_of(pairs) == ({"a": 4, "b": 5}, ("b", "a"))
    assert repeated("abba") == ("b", "a")


def test_an_object_without_repeats_is_what_json_makes_of_it() -> None:
    """Nothing is told of it."""
    text = '{"a": {"b": 1, "c": 2}}'
    assert json.loads(text, object_pairs_hook=lambda p: object_of(p)[0]) == json.loads(text)
    assert object_of([("a", 1)]) == ({"a": 1}, ())
