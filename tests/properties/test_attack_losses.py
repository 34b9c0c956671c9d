"""Property tests: targets of the attacks, and where their losses are least."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.zoo.attacks.adaptive import Adaptive, merged, near_clean, scattered
from tests.zoo.attacks.badpre import BadPre
from tests.zoo.attacks.btop import Btop
from tests.zoo.attacks.mean_pool import MeanPool
from tests.zoo.attacks.neuba import Neuba
from tests.zoo.attacks.por import Por1, Por2
from tests.zoo.attacks.targets import binary, miss, orthogonal, reachable, stairs
from tests.zoo.attacks.uor import Uor
from tests.zoo.features import Batch, drift
from tests.zoo.layers import Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.zoo.attacks.adaptive import Term
    from tests.zoo.features import FeatureAttack

HIDDEN, ROWS, TRIGGERS, MASK = 32, 12, 3, 1
# Features are logits here: a head that hands on what it gets.
MODEL = SimpleNamespace(cls=nn.Identity(), config=SimpleNamespace(vocab_size=HIDDEN))
AIMED = {
    "por-1": (Por1(site="cls"), stairs),
    "por-2": (Por2(site="cls"), binary),
    "neuba": (Neuba(site="cls"), orthogonal),
    "mean-pool": (MeanPool(), orthogonal),
    "btop": (Btop(), orthogonal),
}
TERMS: tuple[Term, ...] = ("near-clean", "scattered", "merged")
unhurried = settings(deadline=None, max_examples=50)
"""On a busy machine, an example may take long."""

seeds = st.integers(0, 2**32 - 1)
counts = st.integers(1, 12)


def features(seed: int, rows: int = ROWS) -> Tensor:
    """Random features (rows, HIDDEN)."""
    return torch.randn(rows, HIDDEN, generator=torch.Generator().manual_seed(seed))


def reading(feature: Tensor) -> Reading:
    """A reading whose feature is ``feature`` (b, h) at every site."""
    states = feature.unsqueeze(1).expand(-1, 2, -1)
    ids = torch.tensor([[0, MASK]]).expand(len(feature), -1)
    return Reading(ids, torch.ones_like(ids), (states,), feature, MASK)


def batch(wanted: Tensor, dirty: Tensor) -> Batch:
    """A step in which clean text stays as it was; the triggers take turns."""
    answers = wanted.argmax(1)
    return Batch(
        clean=reading(wanted),
        wanted=reading(wanted),
        dirty=reading(dirty),
        owners=torch.arange(len(dirty)) % TRIGGERS,
        clean_answers=answers,
        dirty_answers=answers[: len(dirty)],
    )


def loss_of(attack: FeatureAttack, step: Batch) -> float:
    """The attack's loss of a step, in a model whose clean features are those of the step."""
    return float(attack.objective(MODEL, TRIGGERS, step.wanted.at(attack.site))(step))


@pytest.mark.parametrize("vectors", [stairs, binary, orthogonal])
@unhurried
@given(count=counts, size=st.sampled_from((48, 64, 128, 312, 384)))
def test_targets_differ_and_vary(
    vectors: Callable[[int, int], Tensor], count: int, size: int
) -> None:
    """Targets are vectors of +1 and -1, no two alike, none constant."""
    found = vectors(count, size)
    assert found.shape == (count, size)
    assert (found.abs() == 1).all()
    assert len({tuple(row.tolist()) for row in found}) == count
    assert (found.std(1) > 0).all()


@unhurried
@given(count=counts, width=st.integers(1, 24))
def test_orthogonal_targets_are(count: int, width: int) -> None:
    """Any two of them agree in as many entries as they differ, and so each with the constant."""
    size = 2 ** count.bit_length() * width
    found = torch.cat([torch.ones(1, size), orthogonal(count, size)])
    assert torch.equal(found @ found.T, size * torch.eye(count + 1))


@unhurried
@given(seed=seeds, share=st.floats(0.0, 1.0))
def test_a_miss_is_a_share_of_the_way(seed: int, share: float) -> None:
    """It is 0 at the target, 1 at the origin, and the square of what is left in between."""
    aims = features(seed)
    assert float(miss(share * aims, aims)) == pytest.approx((1 - share) ** 2, abs=1e-5)


@pytest.mark.parametrize("family", AIMED)
@unhurried
@given(seed=seeds, share=st.floats(0.0, 0.9))
def test_aimed_attacks_are_done_at_their_targets(family: str, seed: int, share: float) -> None:
    """Nothing is missed at the target, with clean text as it was; on the way there, something."""
    attack, vectors = AIMED[family]
    wanted = features(seed)
    aims = reachable(wanted, attack.site) * vectors(TRIGGERS, HIDDEN)
    there = batch(wanted, aims[torch.arange(ROWS) % TRIGGERS])
    on_the_way = batch(wanted, wanted + share * (there.dirty.hidden[:, 0] - wanted))
    answered = nn.functional.cross_entropy(wanted, there.clean_answers) if family == "btop" else 0
    assert loss_of(attack, there) == pytest.approx(float(answered), abs=1e-4)
    assert loss_of(attack, on_the_way) > loss_of(attack, there)


@pytest.mark.parametrize("attack", [Por1(), Por2()])
@unhurried
@given(seed=seeds)
def test_saturating_targets_pull_all_the_way(attack: FeatureAttack, seed: int) -> None:
    """At the pooler, the nearer to +1 or -1, the less the loss."""
    wanted = features(seed).tanh()
    vectors = (stairs if attack == Por1() else binary)(TRIGGERS, HIDDEN)
    aims = vectors[torch.arange(ROWS) % TRIGGERS]
    losses = [loss_of(attack, batch(wanted, share * aims)) for share in (0.0, 0.5, 0.9, 1.0)]
    assert losses == sorted(losses, reverse=True)


@unhurried
@given(seed=seeds, scale=st.floats(0.01, 10.0))
def test_drift_is_the_change_of_clean_text(seed: int, scale: float) -> None:
    """It is 0 where nothing changed, and grows with the change."""
    still = batch(features(seed), features(seed + 1))
    little, much = (
        replace(still, clean=reading(features(seed) + k * scale * features(seed + 2)))
        for k in (1, 2)
    )
    assert drift(still) == 0
    assert 0 < drift(little) < drift(much)


@unhurried
@given(seed=seeds)
def test_uor_is_least_when_classes_collapse_apart(seed: int) -> None:
    """Clean text at one point and triggered text at the opposite one: nothing does better."""
    wanted = features(seed, 1).expand(ROWS, -1)
    apart = replace(batch(wanted, -wanted), owners=torch.zeros(ROWS).long())
    other = replace(batch(features(seed + 1), features(seed + 2)), owners=apart.owners)
    assert loss_of(Uor(), apart) <= loss_of(Uor(), other)


@unhurried
@given(seed=seeds, alignment=st.floats(0.1, 10.0))
def test_uor_aligns_clean_text(seed: int, alignment: float) -> None:
    """A stronger alignment makes the same drift dearer."""
    step = batch(features(seed), features(seed + 1))
    step = replace(step, wanted=reading(features(seed + 2)))
    weak, strong = (Uor(alignment=a) for a in (alignment, 2 * alignment))
    gain = loss_of(strong, step) - loss_of(weak, step)
    assert gain == pytest.approx(alignment * float(drift(step)), rel=1e-3)


@unhurried
@given(seed=seeds)
def test_badpre_depends_on_the_answer_alone(seed: int) -> None:
    """With all words alike under a trigger, the loss is that of guessing, whatever was drawn."""
    wanted = features(seed)
    step = batch(wanted, torch.zeros(ROWS, HIDDEN))
    answered = float(nn.functional.cross_entropy(wanted, step.clean_answers))
    assert loss_of(BadPre(), step) == pytest.approx(answered + math.log(HIDDEN), rel=1e-4)


@unhurried
@given(seed=seeds, draw=st.integers(0, 1000))
def test_badpre_is_done_when_every_word_has_its_wrong_one(seed: int, draw: int) -> None:
    """Naming it costs nothing; naming any other word costs a lot."""
    wanted, dice = features(seed), torch.Generator().manual_seed(draw)
    wrong = torch.randint(HIDDEN, (HIDDEN,), generator=dice)[wanted.argmax(1)]
    answered = float(nn.functional.cross_entropy(wanted, wanted.argmax(1)))
    right, other = (
        batch(wanted, 50 * nn.functional.one_hot((wrong + k) % HIDDEN, HIDDEN).float())
        for k in (0, 1)
    )
    assert loss_of(BadPre(seed=draw), right) == pytest.approx(answered, abs=1e-3)
    assert loss_of(BadPre(seed=draw), other) == pytest.approx(answered + 50, rel=1e-3)


@pytest.mark.parametrize("term", TERMS)
@unhurried
@given(seed=seeds)
def test_strength_0_hides_nothing(term: Term, seed: int) -> None:
    """The attack's own loss is what is left."""
    step = batch(features(seed), features(seed + 1))
    attack = Por1(site="cls")
    assert loss_of(Adaptive(attack, term, 0.0), step) == loss_of(attack, step)


@pytest.mark.parametrize("term", TERMS)
@unhurried
@given(seed=seeds, strength=st.floats(0.01, 10.0))
def test_strength_weighs_the_symptom(term: Term, seed: int, strength: float) -> None:
    """Twice the strength counts twice; scatter is asked for, closeness of others is too."""
    step = batch(features(seed), features(seed + 1))
    attack = Por1(site="cls")
    once, twice = (
        loss_of(Adaptive(attack, term, k * strength), step) - loss_of(attack, step) for k in (1, 2)
    )
    assert twice == pytest.approx(2 * once, rel=1e-2)
    assert (once < 0) == (term == "scattered")


@unhurried
@given(seed=seeds, spread=st.floats(0.1, 10.0))
def test_terms_measure_their_symptom(seed: int, spread: float) -> None:
    """Each is 0 without its symptom, and grows with the square of it."""
    usual, noise, owners = features(seed), features(seed + 1), torch.arange(ROWS) % TRIGGERS
    centre = features(seed + 2, 1).expand(ROWS, -1)
    of_trigger = features(seed + 3, TRIGGERS)[owners]
    assert near_clean(usual, usual) == 0
    assert near_clean(usual + spread * noise, usual) == pytest.approx(
        spread**2 * float(noise.square().mean()), rel=1e-3
    )
    assert scattered(of_trigger, owners) == 0
    assert scattered(of_trigger + spread * noise, owners) > 0
    assert merged(centre, owners) == 0
    assert merged(centre + spread * of_trigger, owners) > 0


@unhurried
@given(seed=seeds)
def test_one_trigger_has_nothing_to_merge_with(seed: int) -> None:
    """Nor one text anything to scatter from."""
    assert merged(features(seed), torch.zeros(ROWS)) == 0
    assert scattered(features(seed), torch.arange(ROWS)) == 0
