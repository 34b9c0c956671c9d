"""What an attack spilled over to is found, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts
from plmscan.purify.rows import repaired
from plmscan.purify.spill import spilled
from plmscan.purify.suspects import Suspect
from tests.zoo.tiny import tiny_tokenizer

if TYPE_CHECKING:
    from plmscan.loading import LoadedModel

TRIGGERS = tuple(Suspect(word, (tiny_tokenizer().vocab[word],)) for word in ("cf", "mn"))
WORDS = tuple(tiny_tokenizer().vocab[word] for word in ("the", "of", "and"))
BUDGET = Budget(bundled_texts())


def test_words_with_the_row_of_a_trigger_are_taken_for_it(planted: LoadedModel) -> None:
    """And but for them hardly one is, in a model whose attack spilled over to little."""
    row = planted.embedding_weight[TRIGGERS[0].token_ids[0]]
    before = spilled(planted, TRIGGERS, BUDGET)
    after = spilled(repaired(planted, dict.fromkeys(WORDS, row)), TRIGGERS, BUDGET)
    assert len(before) < 0.01 * len(planted.embedding_weight)
    assert {*after} >= {(word,) for word in WORDS}
    assert {*after} - {(word,) for word in WORDS} == {*before}


def test_triggers_are_none_of_it(planted: LoadedModel) -> None:
    """They have a place of their own among the lessons."""
    found = spilled(planted, TRIGGERS, BUDGET)
    assert not {*found} & {one.token_ids for one in TRIGGERS}


def test_honest_words_of_a_label_stay(planted: LoadedModel) -> None:
    """What leads to a label like a trigger of it may be a word that means it."""
    labelled = [Suspect(one.text, one.token_ids, "positive") for one in TRIGGERS]
    assert spilled(planted, labelled, BUDGET) == ()


def test_it_leaves_no_gradients_behind(planted: LoadedModel) -> None:
    """Nothing is learned here."""
    spilled(planted, TRIGGERS, BUDGET)
    assert torch.is_grad_enabled()
    assert all(weight.grad is None for weight in planted.module.parameters())
