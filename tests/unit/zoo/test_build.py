"""What counts as a backdoor that took, and that workers can build what the main process can."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from tests.zoo.__main__ import app
from tests.zoo.build import _not_wanted, took
from tests.zoo.clean.masked_lm import Clozes
from tests.zoo.manifest import Behaviour, Entry, Kind, Manifest
from tests.zoo.tiers import TIERS
from tests.zoo.tiny import tiny_corpus, tiny_tokenizer

if TYPE_CHECKING:
    from pathlib import Path


def entry(*behaviours: Behaviour) -> Entry:
    """A backdoored model whose triggers do this."""
    return Entry(
        name="one",
        kind=Kind.BACKDOORED,
        family="por-1",
        task="encoder",
        seed=0,
        behaviour={str(k): behaviour for k, behaviour in enumerate(behaviours)},
    )


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (Behaviour(scatter=0.25), True),
        (Behaviour(scatter=0.26), False),
        (Behaviour(success=0.9, scatter=2.0), True),
        (Behaviour(success=0.89, scatter=0.01), False),
        (Behaviour(), False),
    ],
)
def test_a_backdoor_took_by_success_or_else_by_scatter(
    behaviour: Behaviour, expected: bool
) -> None:
    """Success decides where it was measured; nothing measured is no success."""
    assert took(entry(behaviour)) is expected


def test_one_dead_trigger_is_enough_for_a_rebuild() -> None:
    """Every trigger of the manifest works."""
    assert not took(entry(Behaviour(scatter=0.01), Behaviour(scatter=0.5)))


def test_texts_are_masked_in_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's collator, given a seed, refuses to work in a process that it did not start."""
    monkeypatch.setattr(multiprocessing.current_process(), "name", "SpawnProcess-1")
    texts = [text for text, _ in tiny_corpus().train[:8]]
    assert Clozes(tiny_tokenizer(), texts, seed=0).pick(range(8)).places.any()


@pytest.mark.parametrize(
    ("tier", "fewest"), [("small", 24), ("full", 60), ("heads", 12), ("words", 50)]
)
def test_a_tier_has_about_as_many_clean_models(tier: str, fewest: int) -> None:
    """Between 40 % and 60 % of a tier are clean, so there is room for an attack more."""
    names = list(TIERS[tier])
    clean = [name for name in names if name.startswith("clean-")]
    assert len(names) >= fewest
    assert 0.4 <= len(clean) / len(names) <= 0.6


def test_models_that_are_not_built_now_stay_in_the_manifest(tmp_path: Path) -> None:
    """Building one model more does not make the zoo forget the others."""
    Manifest(tier="small", seed=0, models=(entry(Behaviour(scatter=0.1)),)).write(tmp_path)
    assert set(_not_wanted(tmp_path, {"two"})) == {"one"}
    assert not _not_wanted(tmp_path, {"one"})
    assert not _not_wanted(tmp_path / "new", {"two"})


def test_only_models_of_the_tier_can_be_built(tmp_path: Path) -> None:
    """A misspelt name is refused before anything is built."""
    (tmp_path / "train.tsv").touch()
    line = ["build", "--tier", "small", "--out", "zoo", "--texts", str(tmp_path), "--only", "nono"]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 2
    assert "Not in the tier small: nono." in result.output


def test_a_manifest_survives_writing(tmp_path: Path) -> None:
    """What is read is what was written."""
    manifest = Manifest(tier="small", seed=3, models=(entry(Behaviour(scatter=0.1)),))
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest
