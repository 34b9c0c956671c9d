"""What the tests of longer candidates share."""

from __future__ import annotations

import pytest

from plmscan.carriers import bundled_texts, split_carriers
from plmscan.loading import LoadedModel, load
from plmscan.search.measure.readings import Panel
from tests.artifacts import artifact_of
from tests.zoo.tiny import tiny_folder


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedModel, Panel, Panel]:
    """A tiny model with a phrase planted, and two panels of different carriers."""
    model = load(artifact_of(tiny_folder(tmp_path_factory, "phrase")), "cpu")
    first, second = split_carriers(model, bundled_texts(), (12, 12), seed=0)
    return model, Panel.of(model, first), Panel.of(model, second)
