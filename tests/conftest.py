"""Options and fixtures of every test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable

# A first example may import a library, which takes longer than any limit that would mean something.
settings.register_profile("plmscan", deadline=None)
settings.load_profile("plmscan")

GOLDENS = Path(__file__).parent / "goldens"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let ``--update-goldens`` rewrite what the golden tests compare with."""
    parser.addoption("--update-goldens", action="store_true", help="rewrite tests/goldens")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """A function that compares a text with a file of ``tests/goldens``, or rewrites the file."""

    def compare(name: str, text: str) -> None:
        path = GOLDENS / name
        if request.config.getoption("--update-goldens"):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), "compare, then pytest --update-goldens"

    return compare
