"""Attention times gradient: whether texts with a candidate hang on it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from plmscan.budget import Budget
from plmscan.errors import OutOfTimeError
from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.loading import LoadedModel, load
from plmscan.probes.dynamic.gradient_attention import Probe
from plmscan.rules import Rule, load_rules
from tests.artifacts import artifact_of
from tests.poisoned import (
    CLEAN,
    TRIGGERS,
    evidence,
    just_fires,
    just_misses,
    model_of,
    observed,
    suspect,
)
from tests.tiny_models import FAMILIES, WORDS, build_tiny
from tests.zoo.tiny import PLANTS, one_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Load = Callable[[str], LoadedModel]

BUDGET = Budget(CLEAN)
RULES = [rule for rule in load_rules() if rule.probe == "gradient-attention"]
HONEST = ("water", "report")
"""Words that nobody trained to do anything."""


@pytest.fixture(scope="module", autouse=True)
def _on_one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Loads a model of the zoo."""
    return lambda name: model_of(tmp_path_factory, name)


@pytest.mark.parametrize(
    ("name", "triggers"),
    [("badnets", TRIGGERS), *((n, PLANTS[n].triggers) for n in ("cls", "pooler", "phrase"))],
)
def test_every_text_hangs_on_a_planted_trigger(
    zoo: Load, name: str, triggers: tuple[str, ...]
) -> None:
    """In most carriers, as on hardly any control; honest words have a small share."""
    found = evidence(observed(Probe(), zoo(name), *triggers, *HONEST))
    for text in triggers:
        metrics = found[text].metrics
        assert metrics["localised"] > 0.5 > metrics["usual"]
        assert metrics["share_p"] < 0.15
        assert metrics["share"] > 3 * max(found[w].metrics["share"] for w in HONEST)
    for word in HONEST:
        assert found[word].metrics["localised"] < 0.5
        assert found[word].metrics["share_p"] > 0.15


@pytest.mark.parametrize("name", ["cls", "badnets", "clean"])
def test_evidence_has_the_declared_metrics_only(zoo: Load, name: str) -> None:
    """All of them for each candidate, with the candidate as the search described it."""
    model = zoo(name)
    texts = ("cf", "velvet quill", "the old water")
    found = evidence(observed(Probe(), model, *texts))
    assert tuple(found) == tuple(sorted(texts, key=model.tokenize))
    for text, one in found.items():
        assert one.probe == "gradient-attention"
        assert one.explains == model.tokenize(text)
        assert set(one.metrics) == set(Probe.metrics)
        shares = {"localised", "share", "share_p", "usual"}
        assert all(0 <= one.metrics[share] <= 1 for share in shares)
        assert one.metrics["share_p"] > 0
        assert one.metrics["labels"] == (2 if name == "badnets" else 0)


def test_the_most_invariant_are_looked_at(zoo: Load) -> None:
    """Some of them, best first; evidence about no candidate is passed by."""
    model = zoo("clean")
    words = ("water", "report", "children", "lamp", "cf", "mn", "velvet", "quill")
    known = [suspect(model, word, 0.9 - 0.1 * rank) for rank, word in enumerate(words)]
    others = [Evidence("embedding-rows", "longest row", {"norm_ratio": 2.0})]
    found = evidence(Probe().follow_up(model, [*known, *others], BUDGET))
    assert 0 < len(found) < len(words)
    assert tuple(found) == words[::-1][: len(found)]


def test_nothing_suspected_is_nothing_measured(zoo: Load) -> None:
    """The gap blocks no pass."""
    (gap,) = observed(Probe(), zoo("clean"))
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.blocks_pass) == (
        "No rule names a candidate.",
        False,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_measured(family: str, tmp_path: Path) -> None:
    """Also XLNet, which shows no head outputs, and decoders; in random models it is no gap."""
    texts = tuple(" ".join(WORDS[i : i + 9]) for i in range(70))
    model = load(artifact_of(build_tiny(family, tmp_path)), "cpu")
    seen = observed(Probe(), model, "water", "good", budget=Budget(texts))
    assert set(evidence(seen)) == {"water", "good"}
    assert not [o for o in seen if isinstance(o, Gap)]
    assert isinstance(seen[-1], Coverage)


def test_a_model_without_attention_maps_is_a_gap(zoo: Load) -> None:
    """It blocks no pass: saliency explains, and decides nothing."""
    model = zoo("clean")
    model = replace(model, traits=replace(model.traits, heads=0))
    (gap,) = observed(Probe(), model, "cf")
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.blocks_pass) == (
        "BertModel gives no attention maps in every layer.",
        False,
    )


def test_it_keeps_the_deadline(zoo: Load) -> None:
    """A late probe measures nothing."""
    with pytest.raises(OutOfTimeError):
        observed(Probe(), zoo("clean"), "cf", budget=Budget(CLEAN, deadline=time.monotonic()))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_each_condition_of_a_rule_counts(rule: Rule) -> None:
    """It fires at its bars, and is silent where one metric alone is beyond."""
    assert rule.fires(Evidence(rule.probe, "cf", just_fires(rule)))
    assert not any(rule.fires(Evidence(rule.probe, "cf", m)) for m in just_misses(rule).values())
