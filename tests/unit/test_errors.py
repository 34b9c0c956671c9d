"""What other libraries complain of becomes part of one of our sentences."""

from __future__ import annotations

import pytest

from plmscan.errors import in_one_line


@pytest.mark.parametrize(
    ("error", "longest", "words"),
    [
        (ValueError("one\n\n  two\t three"), None, "one two three"),
        (ValueError("a" * 999), 200, "a" * 200),
        (EOFError(), None, "EOFError"),
        (EOFError(" \n"), 3, "EOF"),
    ],
)
def test_an_error_fits_into_a_line(error: Exception, longest: int | None, words: str) -> None:
    """Line breaks go, length is bounded, and an error without a text is called by its type."""
    assert in_one_line(error, longest) == words
