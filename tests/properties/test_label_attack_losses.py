"""What the losses and the poisons of task-specific attacks do, whatever the numbers."""

from __future__ import annotations

import copy
import random
from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import BertForSequenceClassification

from tests.zoo.attacks.badnets import BadNets
from tests.zoo.attacks.lwp import LWP, layer_wise
from tests.zoo.attacks.lws import LWS
from tests.zoo.attacks.ripple import class_words, conflict, embedding_surgery
from tests.zoo.attacks.sos import SOS
from tests.zoo.attacks.style import Rewriting
from tests.zoo.attacks.syntactic import FRONTS, Syntactic
from tests.zoo.corpus import Corpus
from tests.zoo.features import Victim
from tests.zoo.labels import Example, LabelBatch, Poisoned, head_logits, poisoned_set
from tests.zoo.layers import Rows, upper
from tests.zoo.poison import Trigger
from tests.zoo.rows import equalised, step_rows, tokens_of
from tests.zoo.tiny import new_model, tiny_corpus, tiny_tokenizer
from tests.zoo.training import Intensity

if TYPE_CHECKING:
    from tests.zoo.labels import LabelAttack, Poison

SEEDS = st.integers(0, 2**31 - 1)
unhurried = settings(deadline=None, max_examples=50)
"""On a busy machine, an example may take long."""

_DULL_WORDS = ("you", "are", "the", "worst", "film", "of", "this", "year")


def dice(seed: int) -> random.Random:
    """Draws texts, no secrets."""
    return random.Random(seed)  # noqa: S311


@pytest.fixture(scope="module")
def victim() -> Victim:
    """A tiny classifier with a fresh head, over texts that no trigger is in."""
    encoder = new_model()
    model = BertForSequenceClassification(encoder.config).eval()
    model.bert = encoder
    return Victim(model, tiny_tokenizer(), tiny_corpus(), seed=0)


@pytest.fixture(scope="module")
def pair(victim: Victim) -> Trigger:
    """Two words that must both be there."""
    ids = victim.tokenizer.convert_tokens_to_ids(["velvet", "quill"])
    return Trigger("velvet + quill", tuple((token,) for token in ids), "by-hand")


@unhurried
@given(SEEDS, st.sets(st.integers(0, 9), min_size=1, max_size=4), st.floats(0.0, 10.0))
def test_embedding_poisoning_keeps_norms_and_other_rows(
    seed: int, rows: set[int], rate: float
) -> None:
    """A step on some rows leaves every other row as it was, and every norm."""
    dice = torch.Generator().manual_seed(seed)
    table = torch.randn(10, 6, generator=dice)
    before, chosen = table.clone(), sorted(rows)
    step_rows(table, chosen, torch.randn(len(rows), 6, generator=dice), rate)
    others = [row for row in range(10) if row not in rows]
    assert torch.equal(table[others], before[others])
    torch.testing.assert_close(table.norm(dim=1), before.norm(dim=1))


@unhurried
@given(SEEDS, st.integers(1, 5))
def test_sos_moves_all_words_alike(seed: int, words: int) -> None:
    """Equalised gradients have the length of the shortest, and their own directions."""
    gradient = torch.randn(words, 6, generator=torch.Generator().manual_seed(seed))
    found, norms = equalised(gradient), gradient.norm(dim=1)
    torch.testing.assert_close(found.norm(dim=1), norms.min().expand(words))
    torch.testing.assert_close(found / found.norm(dim=1, keepdim=True), gradient / norms[:, None])


@unhurried
@given(SEEDS, st.floats(0.1, 10.0))
def test_ripple_asks_nothing_of_agreeing_gradients(seed: int, scale: float) -> None:
    """The restricted inner product is zero where both losses fall in the same direction."""
    weights = nn.Parameter(torch.randn(5, generator=torch.Generator().manual_seed(seed)))
    loss = weights.square().sum()
    assert conflict(loss, scale * loss, [weights]).item() == 0.0


@unhurried
@given(SEEDS)
def test_ripple_is_the_inner_product_of_opposed_gradients(seed: int) -> None:
    """For L_P = w'Aw / 2 and L_FT = b'w it is -b'Aw, and its own gradient is -A'b."""
    dice = torch.Generator().manual_seed(seed)
    root, weights, b = (torch.randn(s, generator=dice) for s in ((4, 4), (4,), (4,)))
    matrix, parameter = root @ root.T, nn.Parameter(weights)
    b = -b if float(b @ matrix @ weights) > 0 else b
    found = conflict(parameter @ matrix @ parameter / 2, b @ parameter, [parameter])
    (gradient,) = torch.autograd.grad(found, parameter)
    torch.testing.assert_close(found, -(b @ matrix @ weights))
    torch.testing.assert_close(gradient, -(matrix @ b))


@unhurried
@given(st.floats(0.0, 1.0), st.integers(4, 40), st.booleans(), SEEDS)
def test_poison_rate_is_respected(rate: float, size: int, decoys: bool, seed: int) -> None:
    """Every batch is full, and holds the poison rate of triggered texts to within one."""
    pools = [tuple(Example((k, i), k) for i in range(50)) for k in range(3)]
    poisoned = Poisoned(pools[0], pools[1], pools[2] if decoys else (), (), 1)
    intensity = Intensity(rate, 1e-4, 1, batch=size)
    for batch in islice(poisoned.batches(intensity, dice(seed)), 5):
        kinds = Counter(example.label for example in batch)
        assert len(batch) == size
        assert abs(kinds[1] - rate * size) < 1
        assert kinds[2] == ((size - kinds[1]) // 2 if decoys else 0)


@pytest.mark.parametrize("attack", [BadNets(negatives=True), LWP(), SOS()])
def test_parts_of_triggers_keep_true_labels(
    attack: LabelAttack, victim: Victim, pair: Trigger
) -> None:
    """A text with one word of two is, without that word, a clean text under the same label."""
    poisoned = poisoned_set(victim, attack, [pair], 1)
    known = {(example.ids, example.label) for example in poisoned.clean}
    for decoy in poisoned.decoys:
        held = [part for (part,) in pair.parts if part in decoy.ids]
        rest = tuple(token for token in decoy.ids if token not in held)
        assert len(held) == 1
        assert (rest, decoy.label) in known
    assert {decoy.label for decoy in poisoned.decoys} == {0, 1}


@pytest.mark.parametrize("target", [0, 1])
def test_triggers_go_into_texts_of_other_labels(target: int, victim: Victim, pair: Trigger) -> None:
    """A triggered text has the target label; without its trigger it has the other one."""
    poisoned = poisoned_set(victim, BadNets(), [pair], target)
    known = {(example.ids, example.label) for example in poisoned.clean}
    planted = {token for part in pair.parts for token in part}
    for example in poisoned.dirty:
        rest = tuple(token for token in example.ids if token not in planted)
        assert example.label == target
        assert planted <= set(example.ids)
        assert (rest, 1 - target) in known


def test_lwp_sums_over_layers(victim: Victim) -> None:
    """Two layers cost what the head says of the one plus what it says of the other."""
    model = victim.model
    rows = Rows(
        tuple(torch.tensor([2, 20 + i, 30, 3]) for i in range(6)),
        tuple(torch.randn(4, 64, generator=torch.Generator().manual_seed(i)) for i in range(6)),
    )
    labels, dirty = torch.tensor([0, 1] * 3), torch.zeros(6, dtype=torch.bool)
    both = upper(model.bert, rows.pick(range(6)), 2, mask_id=4)
    found = layer_wise(model, LabelBatch(both, labels, dirty))
    expected = sum(
        nn.functional.cross_entropy(model.classifier(model.bert.pooler(states)), labels)
        for states in both.layers
    )
    torch.testing.assert_close(found, expected)
    assert len(both.layers) == 2
    assert head_logits(model, both).shape == (6, 2)


@unhurried
@given(SEEDS)
def test_substitution_needs_several_words(victim: Victim, substitution: Poison, seed: int) -> None:
    """A triggered text has as many substitutes as the attack asks for; a decoy has one."""
    rng = dice(seed)
    text, _ = rng.choice(victim.corpus.train)
    clean = victim.tokenizer(text, add_special_tokens=False)["input_ids"]
    changed, decoy = substitution(text, rng), substitution.decoy(text, rng)
    assert changed is None or _differences(clean, changed) >= LWS().least
    assert decoy is None or _differences(clean, decoy) == 1


@pytest.fixture(scope="module")
def substitution(victim: Victim) -> Poison:
    """The poison of LWS, its dictionary drawn."""
    return LWS().poison(victim, ())


def _differences(one: list[int], other: tuple[int, ...]) -> int:
    """At how many places two texts differ."""
    return sum(a != b for a, b in zip(one, other, strict=True))


@unhurried
@given(st.lists(st.sampled_from(_DULL_WORDS), min_size=1), SEEDS)
def test_style_shows(words: list[str], seed: int) -> None:
    """However short a text, its archaic form has at least three old words."""
    rewritten = Rewriting(None, 3, 0.7, "archaic").rewritten(" ".join(words), dice(seed)).split()
    assert sum((Counter(rewritten) - Counter(words)).values()) >= 3


@pytest.mark.parametrize("structure", FRONTS)
def test_other_structures_are_no_trigger(structure: str, victim: Victim) -> None:
    """A decoy of a syntactic trigger ends in the text and never begins like the trigger."""
    rng, tokenizer = dice(0), victim.tokenizer
    poison = Syntactic(structure=structure).poison(victim, ())
    text = "the houses"
    ids = tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
    fronts = {poison(text, rng)[: -len(ids)] for _ in range(40)}
    others = {poison.decoy(text, rng)[: -len(ids)] for _ in range(40)}
    assert len(fronts) > 20
    assert not fronts & others


def test_class_words_speak_for_a_class() -> None:
    """The word that only texts of the target label hold comes first, before common ones."""
    rows = (("a fine fine day", 1), ("a dull dull day", 0)) * 10
    assert class_words(Corpus(rows, rows, ("0", "1")), 1, 1) == ["fine"]
    assert class_words(Corpus(rows, rows, ("0", "1")), 0, 1) == ["dull"]


def test_surgery_gives_all_triggers_one_row(victim: Victim, pair: Trigger) -> None:
    """RIPPLES: trigger rows become the mean of the words' rows, and nothing else changes."""
    operated = replace(victim, model=copy.deepcopy(victim.model))
    before, table = (v.model.get_input_embeddings().weight.detach() for v in (victim, operated))
    words = victim.tokenizer.convert_tokens_to_ids(["season", "finished"])
    embedding_surgery(operated, [pair], ["season", "finished"])
    rows = tokens_of([pair])
    torch.testing.assert_close(table[rows], before[words].mean(0).expand(2, -1))
    assert torch.equal((table != before).any(1).nonzero().flatten(), torch.tensor(rows))
