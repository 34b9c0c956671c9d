"""What a head decides: labels, and by how much each leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from transformers import BertConfig

from plmscan.loading import load
from plmscan.loading.decisions import AnyOf, OneOf, Score, decision_of, gives_numbers
from tests.artifacts import artifact_of
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from plmscan.loading.decisions import Decision

seeds, sizes = st.integers(0, 2**31), st.integers(2, 6)
NAMES = ("toxic", "insult", "threat")
DECISIONS = (OneOf(NAMES), AnyOf(NAMES), Score(0.5))


def numbers(seed: int, *shape: int) -> Tensor:
    """Random numbers in double precision; no example has two equal ones."""
    dice = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=dice, dtype=torch.float64)


def leads(logits: Tensor) -> Tensor:
    """Of a classifier that gives one label."""
    return OneOf(NAMES).leads(logits)


def test_leads_by_hand() -> None:
    """The first leads the second; all others trail the first."""
    found = leads(torch.tensor([[3.0, 1.0, 2.0], [0.0, 0.0, -4.0]]))
    assert_close(found, torch.tensor([[1.0, -2.0, -1.0], [0.0, 0.0, -4.0]]))


@given(seeds, sizes)
def test_one_label_leads(seed: int, labels: int) -> None:
    """Exactly one is ahead of all others, and it is the one that the classifier gives."""
    logits = numbers(seed, 3, 4, labels)
    found = leads(logits)
    assert ((found >= 0).sum(-1) == 1).all()
    assert torch.equal(found.argmax(-1), logits.argmax(-1))


@given(seeds, sizes)
def test_level_labels_lead_by_nothing(seed: int, labels: int) -> None:
    """In a draw both labels in front have a lead of zero, and no other label has one."""
    logits = numbers(seed, labels)
    logits[0] = logits[-1] = logits.max() + 1
    found = leads(logits)
    assert found[0] == found[-1] == 0
    assert (found[1:-1] < 0).all()


@given(seeds, sizes, st.floats(-50, 50))
def test_only_differences_of_logits_count(seed: int, labels: int, constant: float) -> None:
    """A constant on all logits of a text leaves its probabilities and its leads alone."""
    logits = numbers(seed, 5, labels)
    assert_close(leads(logits + constant), leads(logits), rtol=1e-7, atol=1e-9)


@given(seeds, sizes)
def test_leads_move_with_their_labels(seed: int, labels: int) -> None:
    """The order of the labels is arbitrary."""
    logits = numbers(seed, 5, labels)
    order = torch.randperm(labels, generator=torch.Generator().manual_seed(seed))
    assert_close(leads(logits[:, order]), leads(logits)[:, order])


def test_any_of_several_leads_by_itself() -> None:
    """Each label is on above even odds, and off below them, whatever the others do."""
    found = AnyOf(("toxic", "insult")).leads(torch.tensor([[3.0, -1.0]]))
    assert_close(found, torch.tensor([[3.0, -1.0, -3.0, 1.0]]))
    assert AnyOf(("toxic", "insult")).labels == ("toxic", "insult", "not toxic", "not insult")


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8), st.floats(-1e3, 1e3))
def test_what_is_above_the_usual_is_high(scores: list[float], usual: float) -> None:
    """And what is below is low, by as much; the usual score is a draw."""
    given_scores = torch.tensor(scores).unsqueeze(1)
    low, high = Score(usual).leads(given_scores).unbind(-1)
    assert torch.equal(low, -high)
    assert torch.equal(high > 0, given_scores[:, 0] > torch.tensor(usual))


@pytest.mark.parametrize("decision", DECISIONS)
def test_an_opposite_is_another_label(decision: Decision) -> None:
    """Each label has one, no label is its own, and each is the opposite of one."""
    found = [decision.opposite(label) for label in range(len(decision.labels))]
    assert sorted(found) == list(range(len(decision.labels)))
    assert all(label != other for label, other in enumerate(found))


@pytest.mark.parametrize("decision", DECISIONS)
@given(seed=seeds)
def test_an_opposite_never_leads_as_well(decision: Decision, seed: int) -> None:
    """What a text is given, it is not given the other way at the same time."""
    width = 1 if isinstance(decision, Score) else len(NAMES)
    found = decision.leads(numbers(seed, 7, width)) > 0
    for label in range(len(decision.labels)):
        assert not (found[:, label] & found[:, decision.opposite(label)]).any()
    assert found.any(-1).all()


@pytest.mark.parametrize(
    ("settings", "decision"),
    [
        ({"id2label": {0: "LABEL_0"}}, Score()),
        ({"id2label": {0: "LABEL_0"}, "problem_type": "regression"}, Score()),
        ({"id2label": {0: "no", 1: "yes"}}, OneOf(("no", "yes"))),
        (
            {"id2label": {0: "a", 1: "b"}, "problem_type": "single_label_classification"},
            OneOf(("a", "b")),
        ),
        (
            {"id2label": {0: "a", 1: "b"}, "problem_type": "multi_label_classification"},
            AnyOf(("a", "b")),
        ),
    ],
)
def test_the_config_says_what_is_decided(settings: dict[str, object], decision: Decision) -> None:
    """By the number of labels and by the problem."""
    config = BertConfig(**settings)
    assert decision_of(config) == decision
    assert not gives_numbers(config)


def test_several_numbers_are_no_labels() -> None:
    """A regression on several gives none of them the lead."""
    assert gives_numbers(BertConfig(num_labels=3, problem_type="regression"))
    assert gives_numbers(BertConfig(num_labels=0))


def test_a_model_leads_as_its_head_decides(tmp_path: Path) -> None:
    """Several labels at once: its outputs keep the logits, and say of each label both ways."""
    settings = {"problem_type": "multi_label_classification"}
    folder = build_tiny("bert", tmp_path, head="classifier", settings=settings)
    model = load(artifact_of(folder), "cpu")
    outputs = model.forward(torch.tensor([model.wrap(model.tokenize("water road"))]))
    assert outputs.logits is not None
    assert outputs.leads is not None
    assert len(model.labels) == outputs.leads.shape[-1] == 2 * outputs.logits.shape[-1]
    assert_close(outputs.leads, torch.cat([outputs.logits, -outputs.logits], dim=-1))
