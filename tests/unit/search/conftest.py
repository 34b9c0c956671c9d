"""What the tests of the search share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.zoo.tiny import one_thread

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package", autouse=True)
def _on_one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread."""
    with one_thread():
        yield
