"""Options and fixtures of every test."""

from __future__ import annotations

import gc
import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from plmscan.uncollected import uncollected
from tests.ordering import dealt

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

# A first example may import a library, which takes longer than any limit that would mean something.
settings.register_profile("plmscan", deadline=None)
settings.load_profile("plmscan")

# Processes that share the cores (pytest -n) must not each take all of them; torch reads it once.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Hundreds of processes that tests start import plmscan: it is compiled for the first of them, and
# tests for the first run, also where an image was set up to write no bytecode.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

GOLDENS = Path(__file__).parent / "goldens"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let ``--update-goldens`` rewrite what the golden tests compare with."""
    parser.addoption("--update-goldens", action="store_true", help="rewrite tests/goldens")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while tests are imported, nor among what they imported later on."""
    with uncollected():
        done = yield
    gc.freeze()
    return done


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked ``long`` come first on each worker, the longest before the others.

    A module that is marked as a whole stays together.
    """
    long: dict[object, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("long"):
            long.setdefault(_module_marked_long(item) or item, []).append(item)
    groups = sorted(long.values(), key=lambda group: -_seconds(group[0]))
    others = [item for item in items if not item.get_closest_marker("long")]
    items[:] = dealt(groups, others, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def _module_marked_long(item: pytest.Item) -> pytest.Module | None:
    """The module of ``item`` if it is marked as a whole."""
    module = item.getparent(pytest.Module)
    is_marked = module is not None and any(mark.name == "long" for mark in module.own_markers)
    return module if is_marked else None


def _seconds(item: pytest.Item) -> float:
    """What ``item``, or its module, is said to take."""
    mark = item.get_closest_marker("long")
    return 0.0 if mark is None else float(mark.args[0])


@pytest.fixture(autouse=True, scope="session")
def _cache_of_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Verdicts of tests stay out of the user's cache, and so do the user's out of tests."""
    folder = tmp_path_factory.mktemp("verdicts")
    os.environ["PLMSCAN_CACHE"] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def _cache_of_test(
    _cache_of_session: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test gets a verdict that another one left."""
    name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
    monkeypatch.setenv("PLMSCAN_CACHE", str(_cache_of_session / name))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """A function that compares a text with a file of ``tests/goldens``, or rewrites the file."""

    def compare(name: str, text: str) -> None:
        path = GOLDENS / name
        if request.config.getoption("--update-goldens"):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), "compare, then pytest --update-goldens"

    return compare
