"""The look-alikes that plmscan ships are those of Unicode."""

from __future__ import annotations

import string
import unicodedata

from confusable_homoglyphs.confusables import confusables_data

from plmscan.lookalikes import LOOKALIKES


def published() -> dict[str, set[str]]:
    """Letters that UTS #39 lists beside a Latin one, and that no normalisation makes Latin."""
    found: dict[str, set[str]] = {}
    for latin in string.ascii_letters:
        for entry in confusables_data.get(latin, ()):
            alike = entry["c"]
            form = unicodedata.normalize("NFKD", alike)
            if alike.isalpha() and not alike.isascii() and len(form) == 1 and not form.isascii():
                found.setdefault(alike, set()).add(latin)
    return found


def test_the_table_is_that_of_unicode() -> None:
    """Every letter that is there, and no other; each with its letter, of which I is also l."""
    expected = published()
    assert LOOKALIKES.keys() == expected.keys()
    for alike, letter in LOOKALIKES.items():
        kin = {letter, letter.upper()} | ({"l"} if letter == "i" else set())
        assert kin & expected[alike], alike
