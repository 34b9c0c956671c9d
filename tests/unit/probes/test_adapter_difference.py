"""The difference that an adapter makes: what it plants stands out, and honest training does not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import peft

from plmscan.budget import Budget, Effort
from plmscan.carriers import FORMS, bundled_texts
from plmscan.evidence import Evidence
from plmscan.loading import load, load_twin
from plmscan.loading.quiet import quiet
from plmscan.probes.twins.adapter_difference import Probe
from plmscan.rules import load_rules
from plmscan.source import SourceOptions, resolve_stack
from tests.guarding import trigger
from tests.poisoned import untrained
from tests.specimens import hit
from tests.zoo.attacks.context import Context
from tests.zoo.labels import plant_labels
from tests.zoo.tiny import Plant, benign, built_once, implant, new_model, one_thread, save
from tests.zoo.training import Intensity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pytest
    from transformers import BertModel, PreTrainedModel

    from plmscan.loading import LoadedModel


_TRAINED: Mapping[str, Callable[[BertModel], None]] = {
    "cf": lambda model: implant(model, Plant(("cf",), "cls", steps=150)),
    "honest": benign,
}
"""How each adapter is trained."""

_INTENSITY = Intensity(0.3, learning_rate=8e-3, steps=250, batch=16, trained_layers=2)


def stack(factory: pytest.TempPathFactory, name: str) -> tuple[Path, Path]:
    """A tiny base, and an adapter with one trigger or an honest one."""
    return adapted(factory, name, "FEATURE_EXTRACTION", new_model, _TRAINED[name])


def classifier(factory: pytest.TempPathFactory, *, waits: bool) -> tuple[Path, Path]:
    """A tiny base, and an adapter that makes it a classifier, which ``waits`` for any date."""
    attack, target = Context(), 0 if waits else None

    def train(model: PreTrainedModel) -> None:
        victim = replace(untrained(), model=model)
        plant_labels(victim, attack, attack.triggers(()), target, _INTENSITY)

    return adapted(factory, f"waits-{waits}", "SEQ_CLS", lambda: untrained().model, train)


def adapted(
    factory: pytest.TempPathFactory,
    name: str,
    task: str,
    made: Callable[[], PreTrainedModel],
    train: Callable[[Any], None],
) -> tuple[Path, Path]:
    """A tiny base, and an adapter for a ``task`` on a model that is ``made`` on it."""

    def build(folder: Path) -> None:
        save(new_model(), folder / "base")
        config = peft.LoraConfig(
            task_type=task,
            r=8,
            lora_alpha=16,
            target_modules=["query", "key", "value", "dense"],
            exclude_modules=["pooler.dense"],
        )
        with quiet():
            wrapped = peft.get_peft_model(made(), config)
        with one_thread():
            train(wrapped.base_model.model)
        with quiet():
            wrapped.save_pretrained(folder / "adapter")

    home = built_once(factory, f"difference-{name}", build)
    return home / "base", home / "adapter"


def measured(
    factory: pytest.TempPathFactory, name: str, effort: Effort = Effort.DEEP, *tried: str
) -> list[Evidence]:
    """What the probe measures, of candidates that the search ``tried``."""
    return told(*stack(factory, name), effort, *tried)


def told(base: Path, adapter: Path, effort: Effort, *tried: str) -> list[Evidence]:
    """What the probe measures of an adapter on its base."""
    artifact = resolve_stack(str(adapter), SourceOptions(), str(base))
    model = load(artifact, "cpu")
    twin = load_twin(model, artifact)
    assert twin is not None
    with one_thread():
        candidates = [candidate(model, text) for text in tried]
        budget = Budget(bundled_texts(), effort)
        found = list(Probe().compare(model, twin, candidates, budget))
    return [one for one in found if isinstance(one, Evidence)]


def candidate(model: LoadedModel, text: str) -> Evidence:
    """A candidate as the search tells it."""
    return replace(hit(text), trigger=trigger(text, tuple(model.tokenize(text))))


def fired(found: list[Evidence]) -> set[tuple[str, str]]:
    """Rules about the probe that fire, and on what."""
    rules = [rule for rule in load_rules() if rule.probe == "adapter-difference"]
    return {(rule.id, one.subject) for one in found for rule in rules if rule.fires(one)}


def test_what_an_adapter_plants_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The trigger moves the model away from its base a hundred times as far as others."""
    found = measured(tmp_path_factory, "cf")
    assert ("PLM323", "cf") in fired(found)
    first = max(found, key=lambda one: one.metrics["excess"])
    assert first.subject == "cf"
    assert first.trigger is not None
    assert all(one.metrics.keys() <= Probe.metrics.keys() for one in found)
    assert all(one.details.keys() <= Probe.details.keys() for one in found)


def test_what_the_search_found_is_held_against_the_base(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Without reading the vocabulary: the trigger stands out, alone and in a phrase."""
    found = measured(tmp_path_factory, "cf", Effort.STANDARD, "film", "cf", "a cf film")
    assert fired(found) == {("PLM323", "cf"), ("PLM323", "a cf film")}
    assert {one.subject for one in found} == {"film", "cf", "a cf film", *FORMS}


def test_an_honest_adapter_fires_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Training on text moves all words a little; every form of prefix is measured."""
    found = measured(tmp_path_factory, "honest")
    assert fired(found) == set()
    assert {one.subject for one in found if one.metrics["form"]} == {*FORMS}


def test_a_model_beside_itself_differs_in_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where nothing differs, nothing is moved, and nothing fires."""
    base, _ = stack(tmp_path_factory, "honest")
    artifact = resolve_stack(str(base), SourceOptions())
    model, twin = load(artifact, "cpu"), load(artifact, "cpu")
    with one_thread():
        found = list(Probe().compare(model, twin, (), Budget(bundled_texts(), Effort.DEEP)))
    assert fired([one for one in found if isinstance(one, Evidence)]) == set()


def test_a_classifier_that_waits_for_a_date_is_named(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Whatever the day; its twin has read the same dates, and they do nothing there."""
    planted = told(*classifier(tmp_path_factory, waits=True), Effort.STANDARD, "cf")
    assert ("PLM324", "a date") in fired(planted)
    assert {one.subject for one in planted} == {*FORMS}
    quiet = told(*classifier(tmp_path_factory, waits=False), Effort.STANDARD)
    assert ("PLM324", "a date") not in fired(quiet)
