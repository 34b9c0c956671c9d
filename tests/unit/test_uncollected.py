"""Importing without collecting garbage."""

from __future__ import annotations

import gc
from contextlib import suppress

import pytest

from plmscan.uncollected import uncollected


@pytest.mark.parametrize("wanted", [True, False])
def test_garbage_is_collected_again_afterwards(*, wanted: bool) -> None:
    """Off inside; afterwards as before, also where something breaks inside."""
    before = gc.isenabled()
    (gc.enable if wanted else gc.disable)()
    try:
        with suppress(ArithmeticError), uncollected():
            assert not gc.isenabled()
            raise ArithmeticError
        assert gc.isenabled() is wanted
    finally:
        (gc.enable if before else gc.disable)()
