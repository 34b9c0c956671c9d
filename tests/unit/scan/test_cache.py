"""Verdicts that need not be measured again: what makes a key, and what is never kept."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plmscan.cli.scanning.store import Store
from plmscan.evidence import ProbeStatus, Report, Severity
from plmscan.rules import load_rules
from plmscan.scan import Done, ProbeStarted, Settings, scan_events
from plmscan.scan.cache import is_lasting, key_of
from plmscan.source import SourceOptions, resolve
from plmscan.waivers import Known, Waiver, Waivers
from tests.specimens import clean, poisoned, run, unfinished
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plmscan.scan import Event

FILES_ONLY = Settings(files_only=True)
TODAY = date(2026, 11, 23)
WAIVER = Waiver("PLM401", "Known.", date(2026, 12, 1), "plmscan.yaml:3")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model; read only."""
    return build_tiny("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty cache."""
    return Store(tmp_path / "verdicts")


def scanned(folder: Path, store: Store, settings: Settings = FILES_ONLY) -> list[Event]:
    """What a scan with a cache tells."""
    return list(scan_events(str(folder), settings, cache=store))


def report_of(events: list[Event]) -> Report:
    """The report at the end."""
    assert isinstance(events[-1], Done)
    return events[-1].report


def test_the_second_scan_measures_nothing_and_says_the_same(model: Path, store: Store) -> None:
    """The files are hashed, and the report is the one that was kept."""
    first, second = scanned(model, store), scanned(model, store)
    assert any(isinstance(event, ProbeStarted) for event in first)
    assert not any(isinstance(event, ProbeStarted) for event in second)
    assert report_of(second) == report_of(first)
    assert second[-1] == replace(first[-1], cached=True)


def test_another_byte_is_another_model(model: Path, store: Store, tmp_path: Path) -> None:
    """A file that changed is measured again, under the same name."""
    copy = Path(shutil.copytree(model, tmp_path / "copy"))
    scanned(copy, store)
    (copy / "README.md").write_text("Changed.", encoding="utf-8")
    config = copy / "config.json"
    config.write_text(config.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert any(isinstance(event, ProbeStarted) for event in scanned(copy, store))


def variants() -> Iterator[Settings]:
    """Settings that may change a report."""
    yield replace(FILES_ONLY, seed=1)
    yield replace(FILES_ONLY, used_as="features")
    yield replace(FILES_ONLY, require_signature=True)
    yield replace(FILES_ONLY, fail_on=Severity.LOW)
    yield replace(FILES_ONLY, fail_fast=True)
    yield replace(FILES_ONLY, locked={"config.json": "0" * 64})
    yield replace(FILES_ONLY, waivers=Waivers("m", TODAY, (WAIVER,)))
    yield replace(FILES_ONLY, waivers=Waivers("m", date(2027, 1, 1), (WAIVER,)))
    yield replace(FILES_ONLY, waivers=Waivers("m", TODAY, (), Known(frozenset({"a", "b"}), "b")))


def key(model: Path, settings: Settings = FILES_ONLY, torch: str = "2.13.0") -> str:
    """The key of a scan."""
    options = SourceOptions(locked=settings.locked)
    versions = {"plmscan": "0.1.0", "torch": torch}
    return key_of(resolve(str(model), options), settings, load_rules(settings.rules), versions)


def test_every_setting_has_its_own_key(model: Path) -> None:
    """What may change a report changes the key."""
    keys = [key(model), key(model, torch="2.14.0"), *(key(model, other) for other in variants())]
    assert len(set(keys)) == len(keys)


def test_the_day_is_no_part_of_the_key_while_nothing_expires(model: Path) -> None:
    """A pipeline that runs every day measures once."""
    days = (TODAY, date(2026, 11, 24))
    keys = {key(model, replace(FILES_ONLY, waivers=Waivers("m", day, (WAIVER,)))) for day in days}
    assert len(keys) == 1


def test_texts_and_rules_count_by_what_is_in_them(model: Path, tmp_path: Path) -> None:
    """A file of the same name with other lines is another question."""
    texts = tmp_path / "texts.txt"
    keys = set()
    for word in ("one", "two"):
        texts.write_text(word, encoding="utf-8")
        keys.add(key(model, replace(FILES_ONLY, texts=texts)))
    assert len(keys) == 2


def test_the_language_of_the_texts_is_another_question(model: Path) -> None:
    """Also the order in which a mix is drawn."""
    asked = ((), ("zh",), ("zh", "en"), ("en", "zh"))
    keys = {key(model, replace(FILES_ONLY, language=languages)) for languages in asked}
    assert len(keys) == len(asked)


@pytest.mark.parametrize(
    ("report", "lasting"),
    [
        (clean(), True),
        (poisoned(), True),
        (unfinished(), False),
        (replace(poisoned(), probes=(replace(run(), status=ProbeStatus.TIMED_OUT),)), False),
        (replace(clean(), probes=(replace(run(), status=ProbeStatus.FAILED),)), False),
    ],
)
def test_only_what_would_come_out_again_is_kept(report: Report, *, lasting: bool) -> None:
    """What was inconclusive, broke or was cut short gets another chance."""
    assert is_lasting(report) is lasting


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff", b"[" * 100_000])
def test_a_damaged_entry_is_measured_again(model: Path, store: Store, damage: bytes) -> None:
    """A cache can cost time, never a verdict."""
    before = report_of(scanned(model, store))
    (file,) = store.folder.iterdir()
    file.write_bytes(damage)
    events = scanned(model, store)
    assert any(isinstance(event, ProbeStarted) for event in events)
    assert report_of(events).verdict is before.verdict


def test_a_cache_that_cannot_be_written_is_no_error(model: Path, tmp_path: Path) -> None:
    """A read-only home keeps nobody from scanning."""
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    assert report_of(scanned(model, Store(file / "below")))
