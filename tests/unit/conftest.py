"""What unit tests of several folders share."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from plmscan.budget import Budget
from plmscan.inspection import Inspector
from tests.poisoned import CLEAN, model_of

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def calibrate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Inspector]:
    """Calibrates a model on clean texts, once."""
    return functools.cache(
        lambda name: Inspector.of(model_of(tmp_path_factory, name), Budget(CLEAN))
    )
