"""Effects, against a reference that does one text at a time with NumPy."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts, insert, split_carriers
from plmscan.errors import OutOfTimeError
from plmscan.loading import LoadedModel, Location, load
from plmscan.search.measure.effects import Measured, measure, same_output
from plmscan.search.measure.readings import Panel
from tests.artifacts import artifact_of
from tests.tiny_models import WORDS, build_tiny
from tests.zoo.tiny import tiny_folder

BUDGET = Budget(bundled_texts())
CLS, MEAN = Location.CLS, Location.MEAN


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny model with ``cf`` and ``mn`` planted at CLS."""
    return load(artifact_of(tiny_folder(tmp_path_factory, "cls")), "cpu")


@pytest.fixture(scope="module")
def panel(model: LoadedModel) -> Panel:
    """Nine carriers of several lengths."""
    return Panel.of(model, split_carriers(model, BUDGET.texts, (9,), seed=5)[0])


@pytest.fixture(scope="module")
def candidates(model: LoadedModel) -> list[tuple[int, ...]]:
    """Candidates of one to three tokens, in no order of length."""
    return [model.tokenize(t) for t in ("water", "mn the road", "cf", "the old", "mn", "a the of")]


def middle(rows: np.ndarray) -> np.ndarray:
    """Coordinate-wise median, the lower one of two."""
    found: np.ndarray = np.sort(rows, axis=0)[(len(rows) - 1) // 2]
    return found


def trimmed(rows: np.ndarray) -> float:
    """Mean squared distance to the middle over the closest four fifths."""
    squared = np.sort(((rows - middle(rows)) ** 2).sum(1))
    return float(squared[: int(0.8 * len(rows))].mean())


def one_by_one(model: LoadedModel, texts: list[tuple[int, ...]]) -> dict[Location, np.ndarray]:
    """Features of texts, each run alone, (n, h) a location."""
    rows = [model.forward(torch.tensor([model.wrap(ids)])).features for ids in texts]
    return {where: np.stack([row[where][0].double().numpy() for row in rows]) for where in rows[0]}


def test_measure_is_the_definition(
    model: LoadedModel, panel: Panel, candidates: list[tuple[int, ...]]
) -> None:
    """D, S and the shift of every candidate at every location, in the order of the candidates."""
    found = measure(model, candidates, panel, BUDGET, "test")
    clean = one_by_one(model, [carrier.ids for carrier in panel.carriers])
    assert set(found.scatter) == set(clean) == set(model.locations)
    for index, candidate in enumerate(candidates):
        dirty = one_by_one(model, [insert(carrier, candidate) for carrier in panel.carriers])
        for where, still in clean.items():
            shift = middle(dirty[where]) - middle(still)
            wanted = (shift @ shift / trimmed(still), trimmed(dirty[where]) / (shift @ shift))
            measured = (found.displacement[where][index], found.scatter[where][index])
            assert tuple(map(float, measured)) == pytest.approx(wanted, rel=1e-3)
            assert found.shift[where][index].numpy() == pytest.approx(shift, abs=1e-4)


def test_chunks_change_nothing(
    model: LoadedModel,
    panel: Panel,
    candidates: list[tuple[int, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One candidate at a time gives what all at once give."""
    whole = measure(model, candidates, panel, BUDGET, "test")
    monkeypatch.setattr("plmscan.search.measure.effects._CHUNK_BYTES", 1)
    cut = measure(model, candidates, panel, BUDGET, "test")
    assert_close(dict(cut.scatter), dict(whole.scatter), rtol=1e-3, atol=1e-6)
    assert_close(dict(cut.shift), dict(whole.shift), rtol=1e-3, atol=1e-4)


def test_a_trigger_scatters_least_where_it_was_planted(
    model: LoadedModel, panel: Panel, candidates: list[tuple[int, ...]]
) -> None:
    """Both triggers stand far out in D and S; the words of a language do not."""
    found = measure(model, candidates, panel, BUDGET, "test")
    places = {where: i for i, where in enumerate(("water", "-", "cf", "the old", "mn", "a the of"))}
    triggers = [places["cf"], places["mn"]]
    words = [places["water"], places["the old"], places["a the of"]]
    assert found.scatter[Location.CLS][triggers].max() < 0.02
    assert found.scatter[Location.CLS][words].min() > 0.5
    assert found.displacement[Location.CLS][triggers].min() > 10


def test_a_late_measurement_stops(
    model: LoadedModel, panel: Panel, candidates: list[tuple[int, ...]]
) -> None:
    """The error names the step."""
    with pytest.raises(OutOfTimeError, match="the screening"):
        measure(model, candidates, panel, Budget((), deadline=time.monotonic()), "the screening")


def of_head(head: str, factory: pytest.TempPathFactory) -> tuple[LoadedModel, Panel]:
    """A tiny model with a head, and a panel of its own words."""
    loaded = load(artifact_of(build_tiny("bert", factory.mktemp(head), head=head)), "cpu")
    texts = [" ".join(WORDS[i : i + 7]) for i in range(len(WORDS) - 7)]
    (carriers,) = split_carriers(loaded, texts, (8,), seed=0)
    return loaded, Panel.of(loaded, carriers)


def test_labels_are_measured_of_a_classifier(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A push for every candidate, carrier and label; unknown where the carrier has the label."""
    model, panel = of_head("classifier", tmp_path_factory)
    found = measure(model, [(60,), (61, 62), (63,)], panel, BUDGET, "test")
    assert found.push is not None
    assert panel.clean.leads is not None
    assert found.push.shape == (3, 8, 3)
    had = torch.nn.functional.one_hot(panel.clean.leads.argmax(-1), 3).bool()
    assert torch.equal(found.push.isnan(), had.expand(3, -1, -1))
    assert found.corruption is None


def test_recall_is_measured_of_a_masked_language_model(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The empty candidate loses nothing, others lose at most all."""
    model, panel = of_head("masked-lm", tmp_path_factory)
    found = measure(model, [(), (60,), (61, 62)], panel, BUDGET, "test")
    assert found.push is None
    assert found.corruption is not None
    assert found.corruption[0].item() == pytest.approx(0, abs=1e-5)
    assert (found.corruption <= 1).all()


def test_a_bare_encoder_has_neither(
    model: LoadedModel, panel: Panel, candidates: list[tuple[int, ...]]
) -> None:
    """Without a head there are no labels and no words to recall."""
    found = measure(model, candidates, panel, BUDGET, "test")
    assert found.push is None
    assert found.corruption is None


def with_scatter(cls: list[float], mean: list[float]) -> Measured:
    """Candidates of which only S matters, at two locations."""
    ones = torch.ones(len(cls))
    return Measured(
        {Location.CLS: ones, Location.MEAN: ones},
        {Location.CLS: torch.tensor(cls), Location.MEAN: torch.tensor(mean)},
        {Location.CLS: torch.zeros(len(cls), 2), Location.MEAN: torch.zeros(len(cls), 2)},
    )


def test_a_table_is_cut_and_joined() -> None:
    """Picking keeps the asked order; joining keeps that of the parts."""
    table = with_scatter([0.3, 0.2, 0.1], [0.4, 0.1, 0.2])
    assert_close(table.best_scatter(), torch.tensor([0.3, 0.1, 0.1]))
    assert table.best_location() == (Location.CLS, Location.MEAN, Location.CLS)
    picked = table.pick(torch.tensor([2, 0]))
    assert_close(picked.scatter[Location.CLS], torch.tensor([0.1, 0.3]))
    assert_close(
        Measured.joined([picked, table]).scatter[Location.MEAN],
        torch.tensor([0.2, 0.4, 0.4, 0.1, 0.2]),
    )


def test_what_a_head_says_is_cut_and_joined_as_well() -> None:
    """Pushes and losses go with their candidates."""
    push, corruption = torch.arange(12.0).view(3, 2, 2), torch.tensor([0.1, 0.2, 0.3])
    table = replace(with_scatter([1.0] * 3, [1.0] * 3), push=push, corruption=corruption)
    both = Measured.joined([table.pick(torch.tensor([2])), table])
    assert both.push is not None
    assert both.corruption is not None
    assert_close(both.push, push[[2, 0, 1, 2]])
    assert_close(both.corruption, corruption[[2, 0, 1, 2]])


def test_same_output_is_a_matter_of_direction() -> None:
    """How far a candidate drags is its own; where it drags decides."""
    shifts = torch.tensor([[2.0, 0.0], [0.1, 0.02], [0.0, 3.0], [-1.0, 0.0]])
    assert same_output(shifts, torch.tensor([1.0, 0.0])).tolist() == [True, True, False, False]


def test_points_are_told_where_the_item_is_most_invariant() -> None:
    """Displacement and scatter of one and the same location."""
    s = {CLS: torch.tensor([0.1, 0.9]), MEAN: torch.tensor([0.2, 0.3])}
    d = {CLS: torch.tensor([1.0, 2.0]), MEAN: torch.tensor([3.0, 4.0])}
    found = Measured(d, s, {}).points()
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.1], [4.0, 0.3]]))
