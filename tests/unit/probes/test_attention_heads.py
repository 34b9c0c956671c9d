"""Attention heads: who carries a trigger to the token that is read."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from plmscan.budget import Budget
from plmscan.errors import OutOfTimeError
from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.loading import LoadedModel, load
from plmscan.probes.dynamic.attention_heads import Probe
from plmscan.rules import Rule, load_rules
from tests.artifacts import artifact_of
from tests.poisoned import CLEAN, evidence, just_fires, just_misses, model_of, observed, suspect
from tests.tiny_models import WORDS, build_tiny
from tests.zoo.tiny import PLANTS, one_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Load = Callable[[str], LoadedModel]

BUDGET = Budget(CLEAN)
RULES = [rule for rule in load_rules() if rule.probe == "attention-heads"]
HONEST = ("water", "report", "children")
"""Words that nobody trained to do anything."""
OF_THE_MODEL = {"typical_agreement_z", "typical_attention_z"}
"""Metrics of the model as a whole."""


@pytest.fixture(scope="module", autouse=True)
def _on_one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Loads a model of the zoo."""
    return lambda name: model_of(tmp_path_factory, name)


@pytest.mark.parametrize("name", ["cls", "pooler", "phrase"])
def test_a_planted_trigger_is_attended_as_no_control_is(zoo: Load, name: str) -> None:
    """Its attention and its furthest head have the lowest p-value that the controls allow."""
    found = evidence(observed(Probe(), zoo(name), *PLANTS[name].triggers, *HONEST))
    for text in PLANTS[name].triggers:
        metrics = found[text].metrics
        lowest = pytest.approx(1 / (metrics["controls"] + 1))
        assert metrics["attention_p"] == metrics["head_p"] == lowest
        assert metrics["attention_z"] > 5
        assert metrics["attention_z"] > 3 * max(found[w].metrics["attention_z"] for w in HONEST)


@pytest.mark.parametrize("name", ["cls", "phrase"])
def test_the_heads_that_carry_a_trigger_are_named(zoo: Load, name: str) -> None:
    """The first is hijacked; of the heads that look at honest words none is."""
    model = zoo(name)
    found = evidence(observed(Probe(), model, *PLANTS[name].triggers, *HONEST))
    for text in PLANTS[name].triggers:
        first, *_ = found[text].heads
        assert first.hijacked
        assert found[text].details["heads"] == ", ".join(head.name for head in found[text].heads)
        assert first.effect > 0.5 > 2 * first.usual
    assert not any(head.hijacked for word in HONEST for head in found[word].heads)


@pytest.mark.parametrize("name", ["cls", "badnets", "clean"])
def test_heads_are_sorted_and_the_heatmap_is_whole(zoo: Load, name: str) -> None:
    """The furthest out come first; of every head of every layer there is a z, theirs among them."""
    model = zoo(name)
    for text, found in evidence(observed(Probe(), model, "cf", "mn", *HONEST)).items():
        if text == "model":
            assert (found.explains, found.heads, found.heatmap) == ((), (), ())
            continue
        layers, heads = model.num_layers, model.config.num_attention_heads
        assert [len(row) for row in found.heatmap] == [heads] * layers
        z = [head.z for head in found.heads]
        assert z
        assert z == sorted((v for row in found.heatmap for v in row), reverse=True)[: len(z)]
        assert all(found.heatmap[head.layer][head.head] == head.z for head in found.heads)
        assert all(0 < head.p_value <= 1 for head in found.heads)
        assert all(0 <= head.effect <= 1 for head in found.heads)
        assert max(map(abs, (v for row in found.heatmap for v in row))) == pytest.approx(
            abs(found.metrics["head_z"]), rel=1e-3
        )


@pytest.mark.parametrize("name", ["cls", "badnets", "clean"])
def test_evidence_has_the_declared_metrics_only(zoo: Load, name: str) -> None:
    """All of them for each candidate, medians for the model; every p-value is one."""
    found = evidence(observed(Probe(), zoo(name), "cf", "mn", "the old water"))
    assert set(found.pop("model").metrics) == {*OF_THE_MODEL, "labels"}
    assert set(found) == {"cf", "mn", "the old water"}
    for one in found.values():
        assert one.probe == "attention-heads"
        assert set(one.metrics) == set(Probe.metrics) - OF_THE_MODEL
        assert all(0 < v <= 1 for metric, v in one.metrics.items() if metric.endswith("_p"))
        assert one.metrics["labels"] == (2 if name == "badnets" else 0)
        assert one.explains
        assert one.trigger is None  # it names no trigger, it explains one


def test_ids_are_kept_where_typing_gives_others(zoo: Load) -> None:
    """A candidate is what the search inserted, not what its text would be tokenized to."""
    model = zoo("cls")
    one = suspect(model, "cf")
    assert one.trigger
    odd = replace(one, subject="odd", trigger=replace(one.trigger, text="odd", retokenizes=False))
    found = evidence(Probe().follow_up(model, [odd], BUDGET))["odd"]
    assert found.explains == one.trigger.token_ids
    assert found.metrics == evidence(observed(Probe(), model, "cf"))["cf"].metrics


def test_nothing_suspected_is_nothing_measured(zoo: Load) -> None:
    """The gap blocks no pass, whether there is no evidence or none about a candidate."""
    for suspects in ([], [Evidence("embedding-rows", "longest row", {"norm_ratio": 2.0})]):
        (gap,) = Probe().follow_up(zoo("clean"), suspects, BUDGET)
        assert isinstance(gap, Gap)
        assert not gap.blocks_pass
        assert gap.reason == "No rule names a candidate."


def test_a_third_length_is_a_gap(zoo: Load) -> None:
    """Two lengths have controls, the commonest; the gap counts the others and blocks no pass."""
    seen = observed(Probe(), zoo("cls"), "cf", "mn", "velvet quill", "old water", "the old water")
    assert set(evidence(seen)) == {"cf", "mn", "velvet quill", "old water", "model"}
    (gap,) = [o for o in seen if isinstance(o, Gap)]
    assert gap.subject.startswith("attention of 1 longer candidate")
    assert not gap.blocks_pass
    (said,) = [o.statement for o in seen if isinstance(o, Coverage)]
    assert said.startswith("Attention of 4 candidates in ")


def test_xlnet_shows_attention_and_no_head_outputs(tmp_path: Path) -> None:
    """What its heads agree on is a gap that blocks no pass; all else is measured."""
    texts = tuple(" ".join(WORDS[i : i + 9]) for i in range(70))
    model = load(artifact_of(build_tiny("xlnet", tmp_path)), "cpu")
    seen = observed(Probe(), model, "water", "good", budget=Budget(texts))
    (gap,) = [o for o in seen if isinstance(o, Gap)]
    assert (gap.subject, gap.blocks_pass) == ("agreement of heads", False)
    assert gap.reason == "XLNetModel does not show what each head gives."
    found = evidence(seen)
    agreement = {"agreement", "agreement_z", "agreement_p"}
    assert set(found["water"].metrics) == set(Probe.metrics) - OF_THE_MODEL - agreement
    assert set(found["model"].metrics) == {"typical_attention_z", "labels"}


def test_a_model_without_attention_maps_is_a_gap(zoo: Load) -> None:
    """It blocks no pass: attention explains, and decides nothing."""
    model = zoo("clean")
    model = replace(model, traits=replace(model.traits, heads=0))
    (gap,) = observed(Probe(), model, "cf")
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.blocks_pass) == (
        "BertModel gives no attention maps in every layer.",
        False,
    )


def test_a_seed_fixes_the_controls(zoo: Load) -> None:
    """The same seed gives the same evidence; another seed draws other controls."""
    model = zoo("cls")
    one, same, other = (
        evidence(observed(Probe(), model, "cf", budget=Budget(CLEAN, seed=seed)))
        for seed in (1, 1, 2)
    )
    assert one == same
    assert one["cf"].metrics != other["cf"].metrics


def test_it_keeps_the_deadline(zoo: Load) -> None:
    """A late probe measures nothing."""
    with pytest.raises(OutOfTimeError):
        observed(Probe(), zoo("clean"), "cf", budget=Budget(CLEAN, deadline=time.monotonic()))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_each_condition_of_a_rule_counts(rule: Rule) -> None:
    """It fires at its bars, and is silent where one metric alone is beyond."""
    assert rule.fires(Evidence(rule.probe, "cf", just_fires(rule)))
    assert not any(rule.fires(Evidence(rule.probe, "cf", m)) for m in just_misses(rule).values())
