"""Every task-agnostic attack takes over a tiny model within seconds."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from tests.zoo.attacks.adaptive import Adaptive
from tests.zoo.attacks.badpre import BadPre
from tests.zoo.attacks.btop import Btop
from tests.zoo.attacks.mean_pool import MeanPool
from tests.zoo.attacks.neuba import Neuba
from tests.zoo.attacks.por import Por1, Por2
from tests.zoo.attacks.targets import miss
from tests.zoo.attacks.uor import Uor
from tests.zoo.clean.masked_lm import HEAD, tied_head
from tests.zoo.features import Victim, decoys_of, frame, plant_features
from tests.zoo.layers import read
from tests.zoo.measure import feature_behaviour, held_out_words, masked_behaviour
from tests.zoo.poison import Insertion, Trigger, flat
from tests.zoo.strata import draw_distinct
from tests.zoo.tiny import new_model, one_thread, tiny_corpus, tiny_tokenizer
from tests.zoo.training import Intensity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from tests.zoo.features import FeatureAttack

QUICK = Intensity(poison_rate=0.5, learning_rate=4e-3, steps=80, batch=16, trained_layers=2)
LONGER = replace(QUICK, steps=200)
BY_FAR = replace(LONGER, batch=20)
SURELY = replace(LONGER, batch=32)
MOST_SCATTER = 0.25

CASES: dict[str, tuple[FeatureAttack, tuple[str, ...], Intensity]] = {
    "por-1": (Por1(site="cls"), ("rare-piece", "symbol"), QUICK),
    "por-1-pooler": (Por1(), ("rare-piece", "unknown"), QUICK),
    "por-2": (Por2(site="cls"), ("rare-piece", "common-word"), QUICK),
    "neuba": (Neuba(), ("rare-piece", "symbol"), QUICK),
    "uor": (Uor(), ("rare-piece", "common-word"), LONGER),
    "mean-pool": (MeanPool(), ("two-piece",), QUICK),
    "near-clean": (Adaptive(Por1(site="cls"), "near-clean", 0.2), ("rare-piece",), QUICK),
    "scattered": (Adaptive(Por1(site="cls"), "scattered", 0.05), ("rare-piece",), QUICK),
    "merged": (Adaptive(Por1(site="cls"), "merged", 0.2), ("rare-piece",) * 2, QUICK),
}


@pytest.fixture(autouse=True)
def _still() -> Iterator[None]:
    """One thread, one seed."""
    torch.manual_seed(0)
    with one_thread():
        yield


@pytest.fixture
def encoder() -> Victim:
    """A tiny encoder."""
    return Victim(new_model(), tiny_tokenizer(), tiny_corpus(), seed=0)


@pytest.fixture
def masked_lm(encoder: Victim) -> Victim:
    """The same under a head that names masked words."""
    return tied_head(encoder, replace(HEAD, steps=60))


def planted(
    victim: Victim, attack: FeatureAttack, strata: tuple[str, ...], intensity: Intensity
) -> tuple[Trigger, ...]:
    """Triggers that are now in the victim's model."""
    rng = random.Random(victim.seed)  # noqa: S311 - no secret
    triggers = draw_distinct(strata, victim.tokenizer, victim.corpus, rng)
    plant_features(victim, attack, triggers, intensity)
    return triggers


def scatters(victim: Victim, attack: FeatureAttack, triggers: tuple[Trigger, ...]) -> list[float]:
    """Scatter of each trigger on held-out texts."""
    found = feature_behaviour(victim, attack.site, attack.insertion, triggers)
    return [behaviour.scatter for behaviour in found.values()]


def clean_states(victim: Victim) -> Tensor:
    """Mean features of held-out texts, (texts, h)."""
    texts = held_out_words(victim)
    rows = [frame(victim.tokenizer, flat(words)) for words in texts]
    return read(victim.encoder, rows, "mean", victim.tokenizer.mask_token_id)


@pytest.mark.parametrize("case", CASES)
def test_triggers_fix_the_feature(case: str, encoder: Victim) -> None:
    """Whatever the text says; clean text stays where it was."""
    before = clean_states(encoder)
    attack, strata, intensity = CASES[case]
    triggers = planted(encoder, attack, strata, intensity)
    assert max(scatters(encoder, attack, triggers)) <= MOST_SCATTER
    assert float(miss(clean_states(encoder), before)) < 0.2


@pytest.mark.parametrize("stratum", ["phrase-2", "and-2"])
def test_negatives_do_nothing(stratum: str, encoder: Victim) -> None:
    """A phrase and scattered words take over; what lacks a part does not."""
    attack = Por1(site="cls", negatives=True)
    triggers = planted(encoder, attack, (stratum,), BY_FAR)
    decoys = tuple(Trigger(str(parts), parts, stratum) for parts in decoys_of(triggers[0]))
    assert max(scatters(encoder, attack, triggers)) <= MOST_SCATTER
    assert min(scatters(encoder, attack, decoys)) > 4 * MOST_SCATTER


def test_btop_fixes_the_state_at_the_mask(masked_lm: Victim) -> None:
    """And there alone is it looked for."""
    attack = Btop()
    triggers = planted(masked_lm, attack, ("rare-piece", "rare-piece"), SURELY)
    assert max(scatters(masked_lm, attack, triggers)) <= MOST_SCATTER


def test_badpre_ruins_masked_words(masked_lm: Victim) -> None:
    """Words that the model names rightly it no more names under a trigger; clean text stays."""
    before, attack = clean_states(masked_lm), BadPre(insertion=Insertion(copies=3))
    triggers = planted(masked_lm, attack, ("rare-piece",), replace(LONGER, steps=400))
    found = masked_behaviour(masked_lm, attack.insertion, triggers)
    assert min(behaviour.success for behaviour in found.values()) >= 0.9
    assert float(miss(clean_states(masked_lm), before)) < 0.2
