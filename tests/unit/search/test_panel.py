"""The panel: what a model says of carriers with candidates and without, one text at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch.testing import assert_close

from plmscan.carriers import insert, split_carriers
from plmscan.loading import LoadedModel, Location, load
from plmscan.search.panel import Panel, Reading, read
from tests.artifacts import artifact_of
from tests.tiny_models import WORDS, build_tiny

if TYPE_CHECKING:
    from collections.abc import Callable

    Tiny = Callable[[str | None], tuple[LoadedModel, Panel]]

CANDIDATES: list[tuple[int, ...]] = [(90,), (91, 92, 93), (), (94,), (95, 96)]
"""Of four lengths, in no order."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A tiny BERT with a head, and a panel of twelve carriers."""

    def build(head: str | None) -> tuple[LoadedModel, Panel]:
        folder = build_tiny("bert", tmp_path_factory.mktemp("bert"), head=head)
        model = load(artifact_of(folder), "cpu")
        texts = [" ".join(WORDS[i : i + 7]) for i in range(len(WORDS) - 7)]
        return model, Panel.of(model, split_carriers(model, texts, (12,), seed=0)[0])

    return build


def test_every_candidate_meets_every_carrier(tiny: Tiny) -> None:
    """Features come in the order of the candidates, then of the carriers, and nothing is padded."""
    model, panel = tiny(None)
    found = read(model, CANDIDATES, panel.carriers)
    assert set(found.features) == set(model.locations)
    for k, candidate in enumerate(CANDIDATES):
        for n, carrier in enumerate(panel.carriers):
            alone = model.forward(torch.tensor([model.wrap(insert(carrier, candidate))]))
            wanted = {where: one[0] for where, one in alone.features.items()}
            given = {where: one[k, n] for where, one in found.features.items()}
            assert_close(given, wanted, rtol=1e-3, atol=1e-4)


def test_the_clean_reading_is_that_of_the_carriers_alone(tiny: Tiny) -> None:
    """What the empty candidate would do."""
    model, panel = tiny("classifier")
    found = read(model, [()], panel.carriers)
    assert found.logits is not None
    assert panel.clean.logits is not None
    assert_close(panel.clean.logits, found.logits[0])
    for where, features in panel.clean.features.items():
        assert_close(features, found.features[where][0])


def test_a_bare_encoder_has_no_head_to_read(tiny: Tiny) -> None:
    """Neither logits nor recall."""
    _, panel = tiny(None)
    assert panel.clean.logits is None
    assert panel.clean.recall is None


def test_logits_are_those_of_the_classifier(tiny: Tiny) -> None:
    """Of each candidate in each carrier, three labels."""
    model, panel = tiny("classifier")
    found = read(model, CANDIDATES, panel.carriers).logits
    assert found is not None
    assert found.shape == (len(CANDIDATES), 12, 3)
    row = model.wrap(insert(panel.carriers[4], CANDIDATES[1]))
    wanted = model.forward(torch.tensor([row])).logits
    assert wanted is not None
    assert_close(found[1, 4], wanted[0], rtol=1e-3, atol=1e-4)


def test_recall_is_the_probability_of_the_hidden_word(tiny: Tiny) -> None:
    """Read at the mask token, wherever the candidate pushed it."""
    model, panel = tiny("masked-lm")
    found = read(model, CANDIDATES, panel.carriers).recall
    assert found is not None
    assert found.shape == (len(CANDIDATES), 12)
    for n, carrier in enumerate(panel.carriers):
        row = model.wrap(insert(carrier, CANDIDATES[1]))
        hidden = model.forward(torch.tensor([row])).hidden[:, [row.index(model.mask_id)]]
        wanted = model.masked_lm_logits(hidden).softmax(-1)[0, 0, carrier.hidden]
        assert_close(found[1, n], wanted, rtol=1e-3, atol=1e-5)


def test_reading_takes_no_gradient(tiny: Tiny) -> None:
    """What is only measured costs no graph."""
    _, panel = tiny("masked-lm")
    assert panel.clean.recall is not None
    assert not panel.clean.recall.requires_grad
    assert not any(one.requires_grad for one in panel.clean.features.values())


def test_some_carriers_are_a_panel_of_their_own(tiny: Tiny) -> None:
    """Picking keeps the asked order and reads nothing again."""
    model, panel = tiny("classifier")
    before = model.forward_tokens
    some = panel.pick([7, 2])
    assert model.forward_tokens == before
    anew = Panel.of(model, [panel.carriers[7], panel.carriers[2]])
    assert some.carriers == anew.carriers
    assert_close(some.clean.features, anew.clean.features)
    assert_close(some.clean.logits, anew.clean.logits)


def with_logits(logits: list[list[float]] | None) -> Panel:
    """A panel of which only the labels matter."""
    given = None if logits is None else torch.tensor(logits)
    return Panel((), Reading({Location.CLS: torch.zeros(1, 2)}, given))


def test_carriers_against_a_label_do_not_have_it() -> None:
    """A carrier that has the label anyhow cannot be flipped to it."""
    panel = with_logits([[3.0, 1.0, 0.0], [0.0, 1.0, 0.5], [2.0, 1.0, 0.0]])
    assert [panel.against(label) for label in range(3)] == [[1], [0, 2], [0, 1, 2]]


def test_nothing_argues_where_there_are_no_labels() -> None:
    """An encoder cannot be flipped."""
    assert with_logits(None).against(0) == []
