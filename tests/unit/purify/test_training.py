"""What training reads, and what it leaves unread because it is known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts, split_carriers
from plmscan.purify import rounds
from plmscan.purify.batches import batches
from plmscan.purify.losses import Spread
from plmscan.purify.methods import Method, student
from plmscan.purify.rounds import Bench
from plmscan.purify.training import train
from plmscan.scan import Settings
from plmscan.search.measure.readings import Panel
from tests.artifacts import artifact_of
from tests.guarding import report_on, trigger
from tests.zoo.tiny import tiny_folder, tiny_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from plmscan.loading import LoadedModel

TRIGGER = (tiny_tokenizer().vocab["cf"],)


def trained(model: LoadedModel, *, spares: bool) -> tuple[Tensor, int]:
    """The word embeddings after some steps of training a row, and the tokens that it read."""
    (carriers,) = split_carriers(model, bundled_texts(), (60,), 0)
    learner = student(model, Method.ROWS, rows=TRIGGER)
    assert learner is not None
    learner = learner if spares else replace(learner, rows=None)
    spread = Spread.of(Panel.of(model, carriers).clean)
    train(learner, model, batches(model, carriers, {TRIGGER: 1.0}, 0), spread, 8.0, Budget(()))
    return learner.model.embedding_weight, learner.model.forward_tokens


def test_text_without_a_trained_row_need_not_be_read_again(planted: LoadedModel) -> None:
    """The student says of it what the teacher does, so the same is learned by half the tokens."""
    (table, tokens), (whole, all_tokens) = (trained(planted, spares=one) for one in (True, False))
    assert torch.equal(table, whole)
    assert tokens < 0.6 * all_tokens


@pytest.mark.parametrize(("ids", "kept"), [([[5, 6]], True), ([[5, *TRIGGER]], False)])
def test_only_text_without_a_row_that_may_change_stays(
    planted: LoadedModel, ids: list[list[int]], *, kept: bool
) -> None:
    """And none does where more than rows may change."""
    rows, layers = student(planted, Method.ROWS, rows=TRIGGER), student(planted, Method.LAYERS)
    assert rows is not None
    assert layers is not None
    assert rows.keeps(torch.tensor(ids)) is kept
    assert not layers.keeps(torch.tensor(ids))


def test_rows_are_not_tried_where_many_words_do_the_same(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backdoor is in the layers then, and a new scan would find the other words."""
    folder = tiny_folder(tmp_path_factory, "cls")
    budget = Budget(bundled_texts())
    bench = Bench.of(
        artifact_of(folder),
        None,
        report_on(folder, trigger("cf", TRIGGER)),
        Settings(device="cpu"),
        budget,
        lambda _estimate: None,
    )
    assert len(bench.spilled) < rounds.MANY
    monkeypatch.setattr(rounds, "MANY", 0)
    assert bench._made(Method.ROWS, bench.teacher, bench.suspects, budget) is None
