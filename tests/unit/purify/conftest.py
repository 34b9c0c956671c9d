"""What the tests of purification share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plmscan.loading import load
from tests.artifacts import artifact_of
from tests.zoo.tiny import one_thread, tiny_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plmscan.loading import LoadedModel


@pytest.fixture(scope="module", autouse=True)
def _on_one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """An encoder with both triggers; read only."""
    return load(artifact_of(tiny_folder(tmp_path_factory, "cls")), "cpu")
