"""Carrier texts: ordinary sentences, and how candidates come into them.

A carrier is an ordinary sentence: a trigger has to override it.  plmscan brings some in many
languages and in source code; `chosen` takes those that a model's tokenizer can spell.
"""

from plmscan.carriers.carrier import (
    Carrier,
    argued,
    insert,
    restored,
    shortest,
    split_carriers,
)
from plmscan.carriers.choice import Choice, chosen
from plmscan.carriers.contexts import FORMS
from plmscan.carriers.files import asked_texts, given_texts, read_texts
from plmscan.carriers.languages import bundled_texts

__all__ = [
    "FORMS",
    "Carrier",
    "Choice",
    "argued",
    "asked_texts",
    "bundled_texts",
    "chosen",
    "given_texts",
    "insert",
    "read_texts",
    "restored",
    "shortest",
    "split_carriers",
]
