"""The panel: what a model says of carriers with candidates and without, one text at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch.testing import assert_close

from plmscan.carriers import insert, split_carriers
from plmscan.loading import LoadedModel, Location, load
from plmscan.loading.decisions import OneOf
from plmscan.search.measure.readings import Panel, Reading, gradients, read
from plmscan.search.propose.objectives import Corruption, Flip, Invariance
from tests.artifacts import artifact_of
from tests.tiny_models import WORDS, build_tiny

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor

    from plmscan.carriers import Carrier
    from plmscan.search.propose.objectives import Objective

    Tiny = Callable[[str | None], tuple[LoadedModel, Panel]]

CANDIDATES: list[tuple[int, ...]] = [(90,), (91, 92, 93), (), (94,), (95, 96)]
"""Of four lengths, in no order."""


@pytest.fixture(scope="module")
def tiny(tiny_bert: Callable[[str | None, int], tuple[LoadedModel, Panel]]) -> Tiny:
    """A tiny BERT with a head, and a panel of twelve carriers."""
    return lambda head: tiny_bert(head, 12)


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
    assert found.leads is not None
    assert panel.clean.leads is not None
    assert_close(panel.clean.leads, found.leads[0])
    for where, features in panel.clean.features.items():
        assert_close(features, found.features[where][0])


def test_a_bare_encoder_has_no_head_to_read(tiny: Tiny) -> None:
    """Neither leads nor recall."""
    _, panel = tiny(None)
    assert panel.clean.leads is None
    assert panel.clean.recall is None


def test_leads_are_those_of_the_classifier(tiny: Tiny) -> None:
    """Of each candidate in each carrier, three labels."""
    model, panel = tiny("classifier")
    found = read(model, CANDIDATES, panel.carriers).leads
    assert found is not None
    assert found.shape == (len(CANDIDATES), 12, 3)
    row = model.wrap(insert(panel.carriers[4], CANDIDATES[1]))
    wanted = model.forward(torch.tensor([row])).leads
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
    assert_close(some.clean.leads, anew.clean.leads)


def of_several_lengths(model: LoadedModel, texts: int = 6) -> Panel:
    """Carriers of seven tokens to ten, so that a batch of them is padded."""
    words = [" ".join(WORDS[i : i + 7 + i % 4]) for i in range(66)]
    panel = Panel.of(model, split_carriers(model, words, (texts,), seed=0)[0])
    assert len({len(carrier.ids) for carrier in panel.carriers}) > 2
    return panel


LETTERS = [
    [(10, 11)] * 6,
    [(12, 13), (14, 15), (16, 17), (18, 19), (20, 21), (22, 23)],
    [(24, 10)] * 6,
]
"""Two tokens for each of three candidates in each of six carriers, which hold no letter."""


def by_hand(
    model: LoadedModel, carriers: Sequence[Carrier], value: Callable[[Reading], Tensor]
) -> Tensor:
    """The gradient at `LETTERS`, from texts that run one by one and are never padded."""
    leaves, readings = [], []
    for inserted in LETTERS:
        for tokens, carrier in zip(inserted, carriers, strict=True):
            ids = torch.tensor([model.wrap(insert(carrier, tokens))])
            leaves.append(model.embed(ids).requires_grad_())
            outputs = model.forward_embeddings(leaves[-1], ids)
            readings.append(Reading(dict(outputs.features), outputs.leads, None))
            if "masked-lm" in model.heads:
                hidden = outputs.features[Location.MASK].unsqueeze(1)
                recall = model.masked_lm_logits(hidden).softmax(-1)[:, 0, carrier.hidden]
                readings[-1] = Reading(dict(outputs.features), None, recall)
    shape = (len(LETTERS), len(carriers))
    every = Reading.joined(readings, lambda rows: torch.cat(rows).unflatten(0, shape))
    found = iter(torch.autograd.grad(value(every), leaves))
    summed = []
    for inserted in LETTERS:
        rows = []
        for tokens, carrier in zip(inserted, carriers, strict=True):
            at = model.wrap(insert(carrier, tokens)).index(tokens[0])
            rows.append(next(found)[0, at : at + 2])
        summed.append(torch.stack(rows).sum(0))
    return torch.stack(summed)


@pytest.mark.parametrize(
    ("head", "objective"),
    [(None, Invariance()), ("classifier", Flip(1)), ("masked-lm", Corruption())],
)
def test_gradients_are_those_of_texts_alone(
    tiny: Tiny, head: str | None, objective: Objective
) -> None:
    """At the inserted tokens and nowhere else, summed over carriers of several lengths.

    The value is of all candidates at once, and of everything that the model says: features, labels
    or recall.
    """
    model, _ = tiny(head)
    panel = of_several_lengths(model)

    def value(dirty: Reading) -> Tensor:
        return (objective(dirty, panel.clean) * torch.tensor([1.0, -2.0, 3.0])).sum().square()

    found = gradients(model, LETTERS, panel.carriers, value)
    wanted = by_hand(model, panel.carriers, value)
    assert found.shape == (3, 2, model.embedding_weight.shape[1])
    assert (found.flatten(1).abs().amax(1) > 0).all()
    assert_close(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("family", ["gpt2", "xlnet", "bart"])
def test_gradients_stand_where_the_family_puts_the_text(tmp_path: Path, family: str) -> None:
    """GPT-2 and XLNet put nothing before a text; XLNet looks up its words the other way round."""
    model = load(artifact_of(build_tiny(family, tmp_path)), "cpu")
    panel = of_several_lengths(model)

    def value(dirty: Reading) -> Tensor:
        return Invariance()(dirty, panel.clean).sum()

    found = gradients(model, LETTERS, panel.carriers, value)
    wanted = by_hand(model, panel.carriers, value)
    assert_close(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


def test_what_a_gradient_is_taken_of_is_what_is_read(tiny: Tiny) -> None:
    """The recall of a masked language model is in it, for every candidate in every carrier."""
    model, _ = tiny("masked-lm")
    panel = of_several_lengths(model)
    candidates = [(10, 11), (12, 13)]
    seen: list[Reading] = []

    def value(dirty: Reading) -> Tensor:
        seen.append(dirty)
        return Corruption()(dirty, panel.clean).sum()

    found = gradients(model, [[one] * 6 for one in candidates], panel.carriers, value)
    wanted = read(model, candidates, panel.carriers)
    assert (found.abs().amax(-1) > 0).all()
    assert seen[0].recall is not None
    assert seen[0].recall.requires_grad
    assert_close(seen[0].recall, wanted.recall, rtol=1e-3, atol=1e-6)
    assert_close(dict(seen[0].features), dict(wanted.features), rtol=1e-3, atol=1e-4)


def test_a_gradient_tells_what_a_small_step_does(tiny: Tiny) -> None:
    """Of the row of a token that stands in one candidate only, moved a little to either side."""
    model, _ = tiny(None)
    panel = of_several_lengths(model)
    inserted = [[(10, 11)] * 6, [(12, 13)] * 6]

    def value(dirty: Reading) -> Tensor:
        return Invariance()(dirty, panel.clean).sum()

    def moved(by: float) -> float:
        row = model.embedding_weight.data[13]
        before = row.clone()
        row[5] += by
        try:
            return float(value(read(model, [one[0] for one in inserted], panel.carriers)))
        finally:
            row.copy_(before)

    step = 2e-3
    slope = (moved(step) - moved(-step)) / (2 * step)
    found = gradients(model, inserted, panel.carriers, value)
    assert abs(slope) > 1e-3
    assert float(found[1, 1, 5]) == pytest.approx(slope, rel=0.02)


def test_a_gradient_leaves_nothing_behind(tiny: Tiny) -> None:
    """No weight has one, no dice are thrown, and it costs three passes of the padded batch."""
    model, _ = tiny(None)
    panel = of_several_lengths(model)
    state, before = torch.random.get_rng_state(), model.forward_tokens
    found = gradients(model, LETTERS, panel.carriers, lambda r: r.features[Location.CLS].sum())
    longest = max(len(model.wrap(carrier.ids)) for carrier in panel.carriers) + 2
    assert model.forward_tokens - before == 3 * 3 * 6 * longest
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(p.grad is None for p in model.module.parameters())
    assert not found.requires_grad


def labelled(logits: list[list[float]] | None) -> Panel:
    """A panel of which only the labels matter."""
    given = None if logits is None else OneOf(()).leads(torch.tensor(logits))
    return Panel((), Reading({Location.CLS: torch.zeros(1, 2)}, given))


def test_carriers_against_a_label_do_not_have_it() -> None:
    """A carrier that has the label anyhow cannot be flipped to it."""
    panel = labelled([[3.0, 1.0, 0.0], [0.0, 1.0, 0.5], [2.0, 1.0, 0.0]])
    assert [panel.against(label) for label in range(3)] == [[1], [0, 2], [0, 1, 2]]
    assert panel.flippable() == [0, 1, 2]


def test_a_label_that_all_carriers_have_is_not_flippable() -> None:
    """Only those that some carrier does not have."""
    assert labelled([[3.0, 1.0, 0.0], [2.0, 1.0, 0.5]]).flippable() == [1, 2]


def test_nothing_argues_where_there_are_no_labels() -> None:
    """An encoder cannot be flipped."""
    assert labelled(None).against(0) == []
    assert labelled(None).flippable() == []
