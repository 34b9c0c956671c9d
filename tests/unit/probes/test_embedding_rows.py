"""Embedding rows: too long, and shared."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import torch

from plmscan.budget import Budget
from plmscan.errors import OutOfTimeError
from plmscan.evidence import Coverage, Evidence
from plmscan.loading import LoadedModel, load
from plmscan.probes.dynamic.embedding_rows import Probe, copies
from plmscan.rules import load_rules
from tests.artifacts import artifact_of
from tests.tiny_models import FAMILIES, build_tiny
from tests.zoo.tiny import PLANTS, one_thread, tiny_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from plmscan.evidence import Observation

    Load = Callable[[str], LoadedModel]


@pytest.fixture(scope="module", autouse=True)
def _on_one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread."""
    with one_thread():
        yield


@pytest.fixture
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Loads a model of the zoo; the test may change it."""
    return lambda name: load(artifact_of(tiny_folder(tmp_path_factory, name)), "cpu")


def observed(model: LoadedModel, seed: int = 0) -> list[Observation]:
    """What the probe yields."""
    return list(Probe().inspect(model, Budget((), seed=seed)))


def evidence(model: LoadedModel, seed: int = 0) -> dict[str, Evidence]:
    """Measurements by subject."""
    return {o.subject: o for o in observed(model, seed) if isinstance(o, Evidence)}


def fired(found: Iterable[Evidence]) -> set[str]:
    """Rules that fire."""
    return {rule.id for rule in load_rules() for one in found if rule.fires(one)}


@pytest.mark.parametrize("name", ["clean", "benign", *PLANTS])
def test_trained_rows_are_no_finding(zoo: Load, name: str) -> None:
    """A backdoor in the layers leaves no trace here, and a benign fine-tune none either."""
    found = evidence(zoo(name))
    assert fired(found.values()) == set()
    assert found["longest row"].metrics["norm_ratio"] < 2
    assert found["shared rows"].metrics["shared_rows"] == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_random_rows_are_no_finding(family: str, tmp_path: Path) -> None:
    """Nor do those of any other family."""
    assert fired(evidence(load(artifact_of(build_tiny(family, tmp_path)), "cpu")).values()) == set()


def test_plm401_names_the_long_row(zoo: Load) -> None:
    """A row 1e8 times too long is all that fires: seen from it, other rows must not look alike."""
    found = evidence(zoo("long-row"))
    assert fired(found.values()) == {"PLM401"}
    assert found["longest row"].details == {"text": "cf"}
    assert found["longest row"].metrics["norm_ratio"] == pytest.approx(1e8, rel=0.5)


@pytest.mark.parametrize("times", [3.0, 8.0])
def test_a_rather_long_row_is_no_finding(zoo: Load, times: float) -> None:
    """Frequent words of honest models have rows a few times as long as others."""
    model = zoo("clean")
    model.embedding_weight[200] *= times
    found = evidence(model)
    assert found["longest row"].metrics["norm_ratio"] == pytest.approx(times, rel=0.5)
    assert fired(found.values()) == set()


@pytest.mark.parametrize("seed", range(4))
def test_plm402_names_the_words_that_share_a_row(zoo: Load, seed: int) -> None:
    """All three of them, whatever the seed."""
    found = evidence(zoo("shared-rows"), seed)
    assert fired(found.values()) == {"PLM402"}
    assert found["shared rows"].metrics["shared_rows"] == 3
    assert found["shared rows"].details == {"texts": "bb, cf, mn"}


def test_reserved_entries_may_share_a_row(zoo: Load) -> None:
    """Digits, signs, word pieces and one plain word: entries that no text trained."""
    model = zoo("clean")
    tokens = ["[UNK]", "0", "1", "?", "##q", "##z", "water"]
    ids = model.tokenizer.convert_tokens_to_ids(tokens)
    model.embedding_weight[ids] = model.embedding_weight[ids[0]].clone()
    assert evidence(model)["shared rows"].metrics["shared_rows"] == 0


def test_it_says_what_it_searched(zoo: Load) -> None:
    """One statement, with the number of rows."""
    model = zoo("clean")
    (statement,) = [o.statement for o in observed(model) if isinstance(o, Coverage)]
    assert str(model.vocabulary_size - 4) in statement


def test_it_keeps_the_deadline(zoo: Load) -> None:
    """A late probe measures nothing."""
    with pytest.raises(OutOfTimeError):
        next(Probe().inspect(zoo("clean"), Budget((), deadline=time.monotonic())))


def table(rows: int = 3000, width: int = 32) -> torch.Tensor:
    """A table of random rows around a common offset, as trained embeddings are."""
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(0)) + 0.5


def test_copies_finds_every_group() -> None:
    """A pair, a group of 30, and nothing in between."""
    rows = table()
    rows[7] = rows[9]
    rows[100:130] = rows[100]
    groups = sorted(copies(rows, seed=0), key=len)
    assert groups == [{7, 9}, set(range(100, 130))]


def test_copies_is_about_direction() -> None:
    """Rows that differ by rounding are copies, opposite rows are not."""
    rows = table()
    rows[7] = rows[9] + 1e-3
    rows[11] = 2 * rows.mean(0) - rows[12]
    assert copies(rows, seed=0) == [{7, 9}]


def test_an_oversized_row_hides_no_copies() -> None:
    """Neither are they lost beside it, nor does it make all others look alike."""
    rows = table()
    rows[7] = rows[9]
    rows[20] *= 1e8
    assert copies(rows, seed=0) == [{7, 9}]
