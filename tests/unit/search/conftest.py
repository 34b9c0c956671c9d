"""What the tests of the search share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plmscan.carriers import split_carriers
from plmscan.loading import load
from plmscan.search.measure.readings import Panel
from tests.artifacts import artifact_of
from tests.tiny_models import WORDS, build_tiny
from tests.zoo.tiny import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plmscan.loading import LoadedModel


@pytest.fixture(scope="package", autouse=True)
def _on_one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread."""
    with one_thread():
        yield


@pytest.fixture(scope="package")
def tiny_bert(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str | None, int], tuple[LoadedModel, Panel]]:
    """Builds a random BERT with a head, and a panel of so many carriers in its own words."""

    def build(head: str | None, carriers: int) -> tuple[LoadedModel, Panel]:
        folder = build_tiny("bert", tmp_path_factory.mktemp("bert"), head=head)
        model = load(artifact_of(folder), "cpu")
        texts = [" ".join(WORDS[i : i + 7]) for i in range(len(WORDS) - 7)]
        return model, Panel.of(model, split_carriers(model, texts, (carriers,), seed=0)[0])

    return build
