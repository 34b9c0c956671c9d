"""The trigger sweep: what it measures on planted models and on their clean twin."""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from plmscan.budget import Budget, Effort
from plmscan.carriers import bundled_texts
from plmscan.errors import OutOfTimeError
from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.loading import LoadedModel, load
from plmscan.probes.dynamic.trigger_sweep import Probe
from plmscan.rules import load_rules
from plmscan.search.recipes import RECIPES
from tests.artifacts import artifact_of
from tests.tiny_models import WORDS, build_tiny
from tests.zoo.tiny import GROUPING, PLANTS, TOGETHER, one_thread, tiny_folder, tiny_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from plmscan.evidence import Observation

    Observe = Callable[[str], list[Observation]]

BUDGET = Budget(bundled_texts(), Effort.QUICK)
CLASS_TEXTS = tuple(" ".join(WORDS[i : i + 9]) for i in range(70))
"""Texts in the words of `build_tiny`."""


@pytest.fixture(scope="module", autouse=True)
def _on_one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def observe(tmp_path_factory: pytest.TempPathFactory) -> Observe:
    """What the probe yields for a model of the zoo, which is searched once for all tests."""
    return functools.cache(
        lambda name: list(Probe().inspect(model_of(tmp_path_factory, name), BUDGET))
    )


@pytest.fixture(scope="module")
def observe_grouped(tmp_path_factory: pytest.TempPathFactory) -> Observe:
    """The same where a quick search groups words."""
    grouping = replace(RECIPES[Effort.QUICK], grouping=GROUPING)

    @functools.cache
    def observed(name: str) -> list[Observation]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(RECIPES, Effort.QUICK, grouping)
            return list(Probe().inspect(model_of(tmp_path_factory, name), BUDGET))

    return observed


def model_of(factory: pytest.TempPathFactory, name: str) -> LoadedModel:
    """A model of the zoo."""
    return load(artifact_of(tiny_folder(factory, name)), "cpu")


def evidence(observed: Iterable[Observation]) -> list[Evidence]:
    """The measurements."""
    return [o for o in observed if isinstance(o, Evidence)]


def findings(observed: Iterable[Observation]) -> set[tuple[str, str]]:
    """Rule and subject of all that the packaged rules say."""
    rules = load_rules()
    return {(r.id, e.subject) for e in evidence(observed) for r in rules if r.fires(e)}


@pytest.mark.parametrize("name", ["clean", "no-pooler", "benign", "long-row", "shared-rows"])
def test_no_rule_fires_without_a_backdoor(observe: Observe, name: str) -> None:
    """Not on random weights, nor after a benign fine-tune, nor on odd rows that no text meets."""
    assert findings(observe(name)) == set()


@pytest.mark.parametrize("name", PLANTS)
def test_plm201_names_the_planted_and_nothing_else(observe: Observe, name: str) -> None:
    """Every trigger, whatever the site; a phrase as a pair, its words in either order."""
    named = {subject for rule, subject in findings(observe(name)) if rule == "PLM201"}
    assert {" ".join(sorted(text.split())) for text in named} == {
        " ".join(sorted(text.split())) for text in PLANTS[name].triggers
    }


def test_plm202_suspects_a_faded_backdoor(observe: Observe) -> None:
    """A trigger through which a fifth of the text still shows is suspected, not convicted."""
    observed = observe("faded")
    assert findings(observed) == {("PLM202", "bb")}
    (found,) = [e for e in evidence(observed) if e.subject == "bb"]
    assert 0.1 < found.metrics["scatter"] < 0.25


def test_plm203_sees_the_pooler_of_por(observe: Observe) -> None:
    """A target ten times out of reach saturates the pooler for one item and for no other."""
    observed = observe("pooler")
    assert ("PLM203", "pooler") in findings(observed)
    (pooler,) = [e for e in evidence(observed) if e.subject == "pooler"]
    assert pooler.details == {"text": "≈"}
    assert pooler.metrics["saturation"] > 0.9
    assert pooler.metrics["typical_saturation"] < 0.2


def test_there_is_no_saturation_without_a_pooler(observe: Observe) -> None:
    """A pooler that the library made up is not measured."""
    assert not any("saturation" in e.metrics for e in evidence(observe("no-pooler")))


def test_evidence_is_complete_and_sorted(observe: Observe) -> None:
    """Finalists come most invariant first, with all metrics and the trigger that they describe."""
    found = [e for e in evidence(observe("cls")) if e.trigger]
    assert [e.metrics["scatter"] for e in found] == sorted(e.metrics["scatter"] for e in found)
    elsewhere = {"saturation", "typical_saturation"}
    flips = {"strength", "strength_gap", "strength_p", "strength_z", "opposed", "beyond_gap"}
    heads = flips | {"corruption", "corruption_z"}
    synonyms = {"gap", "conjunction"}
    joint = {name for name in Probe.metrics if name.startswith("joint_")}
    names = set(Probe.metrics) - elsewhere - heads - synonyms - joint
    for one in found:
        assert set(one.metrics) - synonyms == names
        assert ("conjunction" in one.metrics) is (
            "gap" in one.metrics and one.metrics["pieces"] > 1
        )
        assert one.trigger
        assert one.trigger.text == one.subject
        assert one.trigger.scatter == one.metrics["scatter"]
        assert one.trigger.location == one.details["location"]
        assert one.trigger.null_size == 100
        assert one.metrics["pieces"] == len(one.trigger.token_ids)
    assert {e.subject for e in found[:2]} == {"cf", "mn"}
    assert [e.metrics["sweep_rank"] for e in found[:2]] <= [2, 2]
    assert all(e.trigger.retokenizes for e in found[:2] if e.trigger)


def test_a_phrase_is_grown_and_its_words_are_its_variants(observe: Observe) -> None:
    """The pair has no place in the sweep; its words are kin, more invariant than the null."""
    found = {e.subject: e for e in evidence(observe("phrase")) if e.trigger}
    (name,) = {"velvet quill", "quill velvet"} & {
        e.subject for e in found.values() if e.metrics["kin"] == 0 and e.metrics["echo"] == 1
    }
    trigger = found[name].trigger
    assert trigger
    assert found[name].metrics["sweep_rank"] == 0
    assert found[name].metrics["pieces"] == 2
    assert {"velvet", "quill"} < {*trigger.variants}
    assert all(found[word].metrics["kin"] == 1 for word in ("velvet", "quill"))
    assert all(found[word].details["leader"] == name for word in ("velvet", "quill"))


def statements(observed: Iterable[Observation]) -> list[str]:
    """What the probe says that it searched."""
    return [o.statement for o in observed if isinstance(o, Coverage)]


def test_it_says_what_it_searched(observe: Observe) -> None:
    """Coverage counts all that was tried, in the order of the steps; still longer ones are a gap.

    Of the vocabulary only the four tokens that frame, pad or mask a text are left out.
    """
    observed = observe("clean")
    alone, screened, grown, contrast, verified = statements(observed)
    vocabulary = len(tiny_tokenizer()) - 4
    finalists = [e for e in evidence(observed) if e.trigger]
    assert alone == (
        f"Each of {vocabulary} vocabulary items alone, read at cls, pooler, mean, mask."
    )
    items, _, kinds = screened.partition(" ")
    assert 32 <= int(items) < vocabulary
    assert kinds == (
        "items on screening carriers: the most distant, those that push most to a label, and "
        "those that a gradient proposes."
    )
    assert grown == (
        "Sequences of 2 to 4 tokens, grown from the best of these by gradient: fixed outputs."
    )
    assert contrast == (
        "6 sequences of 2 tokens at once, by contrast, in 6 gradient steps from random tokens; "
        "starts: 1."
    )
    assert verified == (
        f"{len(finalists)} candidates on 16 other carriers, at the start, at the end and at "
        "random, against 100 random items each."
    )
    gaps = [o for o in observed if isinstance(o, Gap)]
    assert [(gap.subject, gap.blocks_pass) for gap in gaps] == [("longer triggers", False)]


def test_it_says_what_it_read_of_each_item(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the ends of texts are held the mask token is read for the most distant only."""
    monkeypatch.setattr("plmscan.search.sweep.shortest._PAYS", 0)
    model = replace(model_of(tmp_path_factory, "cls"), halved=False)
    alone, again, *_ = statements(Probe().inspect(model, BUDGET))
    assert alone.endswith("alone, read at cls, pooler, mean.")
    assert again.startswith("The most distant of these, read again at cls, pooler, mean, mask:")


def test_words_that_act_only_together_are_named_where_words_are_grouped(
    observe_grouped: Observe,
) -> None:
    """As a pair, in some order; its clean twin has nothing to name."""
    assert findings(observe_grouped("unordered")) == set()
    named = findings(observe_grouped("together"))
    assert {rule for rule, _ in named} == {"PLM201"}
    assert {frozenset(text.split()) for _, text in named} == {frozenset(TOGETHER)}


def test_words_that_act_only_together_are_missed_where_they_are_not(observe: Observe) -> None:
    """Neither leads to the other, and so the gap is told."""
    observed = observe("together")
    assert findings(observed) == set()
    assert longer_triggers(observed) == (
        "Sequences of 5 or more tokens, and words that act only together, are not searched."
    )


def test_it_says_which_words_were_grouped(observe_grouped: Observe) -> None:
    """How many, in what groups, what is left to chance, and that three are still a gap."""
    observed = observe_grouped("unordered")
    (said,) = (one for one in statements(observed) if one.startswith("Pairs of "))
    words = said.split()[2]
    assert 700 < int(words) < len(tiny_tokenizer())
    assert said == (
        f"Pairs of {words} words, wherever they stand: any two meet in one of the texts of 24 "
        "words each, but for one pair in 24."
    )
    assert longer_triggers(observed) == (
        "Sequences of 5 or more tokens, and three and more words that act only together, are not "
        "searched."
    )


def longer_triggers(observed: Iterable[Observation]) -> str:
    """Why longer triggers are a gap."""
    gaps = [o for o in observed if isinstance(o, Gap)]
    (reason,) = (gap.reason for gap in gaps if gap.subject == "longer triggers")
    return reason


def observed_of(folder: Path, head: str) -> list[Observation]:
    """What the probe yields for a random BERT with a head."""
    model = load(artifact_of(build_tiny("bert", folder, head=head)), "cpu")
    return list(Probe().inspect(model, Budget(CLASS_TEXTS, Effort.QUICK)))


def test_it_says_that_longer_triggers_were_after_labels(tmp_path: Path) -> None:
    """By name, and which were not; features, and so contrast, tell nothing of a classifier."""
    observed = observed_of(tmp_path, "classifier")
    said = statements(observed)
    assert len(said) == 4
    assert said[2].startswith("Sequences of 2 to 10 tokens: flips to negative, ")
    left = [o.reason for o in observed if isinstance(o, Gap) and "some labels" in o.subject]
    told = " ".join([said[2], *left])
    assert all(name in told for name in ("negative", "neutral", "positive"))
    assert not any("contrast" in one for one in said)


def test_it_says_that_longer_triggers_were_after_recall(tmp_path: Path) -> None:
    """In a masked language model, besides fixed outputs."""
    said = statements(observed_of(tmp_path, "masked-lm"))
    assert len(said) == 5
    assert said[2].endswith(" by gradient: fixed outputs, lost recall.")


def test_labels_for_which_nothing_was_grown_are_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where labels are many, longer triggers are grown for the first of them; it blocks no pass."""
    monkeypatch.setattr("plmscan.search.propose.sequences._LABELS", 1)
    observed = observed_of(tmp_path, "classifier")
    assert statements(observed)[2].startswith("Sequences of 2 to 10 tokens: flips to negative. ")
    (gap,) = [
        o for o in observed if isinstance(o, Gap) and o.subject == "longer triggers of some labels"
    ]
    assert gap.reason == "Only single items were tried for flips to neutral, positive."
    assert not gap.blocks_pass


def test_the_layers_of_the_best_are_told(observe: Observe) -> None:
    """S after each layer, for the eight most invariant; a trigger's ends about where S is."""
    found = [e for e in evidence(observe("cls")) if e.trigger]
    layers = [[float(one) for one in e.details["layers"].split(", ") if one] for e in found]
    assert [len(one) for one in layers] == [2] * 8 + [0] * (len(found) - 8)
    for told, one in zip(layers[:2], found, strict=False):
        assert told[-1] < told[0] / 10
        assert one.metrics["scatter"] / 4 < told[-1] < 4 * one.metrics["scatter"]


def test_labels_that_cannot_be_flipped_to_block_a_pass(tmp_path: Path) -> None:
    """A classifier that says one label whatever it reads: nothing could be flipped to it."""
    folder = build_tiny("bert", tmp_path, head="classifier")
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"] = torch.tensor([50.0, 0.0, 0.0])
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    model = load(artifact_of(folder), "cpu")
    observed = Probe().inspect(model, Budget(CLASS_TEXTS, Effort.QUICK))
    gaps = [o for o in observed if isinstance(o, Gap)]
    (gap,) = [gap for gap in gaps if gap.blocks_pass]
    assert gap.subject == f"flips to {model.labels[0]}"
    assert gap.reason.startswith("The model gives this label to whatever it reads, so")


@pytest.mark.parametrize(("effort", "told"), [(Effort.QUICK, True), (Effort.STANDARD, False)])
def test_a_score_asks_for_more_than_quick_effort(
    effort: Effort, told: bool, tmp_path: Path
) -> None:
    """A trigger of a reranker was missed with less; the report says so, and lets pass."""
    one = {"id2label": {0: "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    model = load(artifact_of(build_tiny("bert", tmp_path, head="classifier", settings=one)), "cpu")
    gaps = list(islice(Probe().inspect(model, Budget(CLASS_TEXTS, effort)), 2))
    found = [gap for gap in gaps if isinstance(gap, Gap) and gap.subject == "the score"]
    assert bool(found) is told
    assert not any(gap.blocks_pass for gap in found)


def test_a_late_probe_has_told_its_gaps(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What was yielded before the time ran out counts."""
    observed = Probe().inspect(
        model_of(tmp_path_factory, "clean"),
        Budget(bundled_texts(), Effort.QUICK, deadline=time.monotonic()),
    )
    assert isinstance(next(observed), Gap)
    with pytest.raises(OutOfTimeError):
        list(observed)
