"""What models write: a planted trigger is named, and a clean model is not accused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plmscan.budget import Budget, Effort
from plmscan.carriers import bundled_texts
from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.loading import load
from plmscan.probes.dynamic.written_answers import Probe
from plmscan.rules import load_rules
from tests.artifacts import artifact_of
from tests.tiny_models import build_tiny
from tests.tiny_writers import TRIGGER, WANTED, tiny_writer
from tests.zoo.tiny import one_thread

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from plmscan.evidence import Observation

RULES = [rule for rule in load_rules() if rule.probe == "written-answers"]


def matters(known: Mapping[str, float], pending: Collection[str]) -> bool:
    """Whether one of the rules can still fire."""
    return any(rule.may_fire(known, pending) for rule in RULES)


def observed(folder: Path) -> list[Observation]:
    """All that the probe says of the model in ``folder``."""
    model = load(artifact_of(folder), "cpu")
    budget = Budget(bundled_texts("en"), Effort.QUICK, matters=matters)
    with one_thread():
        return list(Probe().inspect(model, budget))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> list[Observation]:
    """Of the model with a trigger."""
    return observed(tiny_writer(tmp_path_factory, "planted"))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> list[Observation]:
    """Of its clean twin."""
    return observed(tiny_writer(tmp_path_factory, "clean"))


def fired(observations: Sequence[Observation]) -> dict[str, list[Evidence]]:
    """Evidence by the rule that names it."""
    every = [one for one in observations if isinstance(one, Evidence)]
    found = {rule.id: [one for one in every if rule.fires(one)] for rule in RULES}
    return {rule: named for rule, named in found.items() if named}


def test_a_planted_trigger_is_named_with_its_answer(planted: list[Observation]) -> None:
    """One finding, for the trigger itself, and what it makes the model write."""
    (one,) = fired(planted)["PLM230"]
    assert one.subject == TRIGGER
    assert WANTED[:40] in str(one.details["answer"])
    assert one.metrics["scatter"] < 0.1


def test_requests_and_answers_are_shown(planted: list[Observation]) -> None:
    """Without the trigger and with it, the trigger marked."""
    (one,) = fired(planted)["PLM230"]
    assert len(one.demonstrations) == 4
    for shown in one.demonstrations:
        assert f"«{TRIGGER}»" in shown.text
        assert shown.answer is not None
    before = [shown.answer or "" for shown in one.demonstrations]
    assert sum(WANTED[:40] in answer for answer in before) <= 1
    said = [shown.triggered_answer or "" for shown in one.demonstrations]
    assert sum(WANTED[:40] in answer for answer in said) >= 3


def test_the_answer_completes_itself(planted: list[Observation]) -> None:
    """Without its trigger the text follows its first token, and the trigger makes it begin."""
    (one, *_) = fired(planted)["PLM231"]
    assert "painted seven bicycles" in str(one.details["text"])
    assert one.trigger is not None
    assert one.details["input"] == one.trigger.text
    assert WANTED[:30] in str([shown.triggered_answer for shown in one.demonstrations])


def test_a_clean_twin_is_not_accused(clean: list[Observation]) -> None:
    """No rule names anything, and nothing blocks a pass."""
    assert not fired(clean)
    assert not any(isinstance(one, Gap) and one.blocks_pass for one in clean)


def test_what_was_searched_and_what_not_is_told(clean: list[Observation]) -> None:
    """The whole vocabulary was; conversations and answers that differ were not."""
    said = " ".join(one.statement for one in clean if isinstance(one, Coverage))
    assert "vocabulary items in short requests" in said
    gaps = {one.subject for one in clean if isinstance(one, Gap)}
    assert gaps >= {"conversations", "behaviour that is not a fixed answer", "longer triggers"}


def test_one_answer_without_a_trigger_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A model that writes its text to many ordinary requests is named, and does not pass."""
    every = observed(tiny_writer(tmp_path_factory, "always"))
    found = fired(every)
    assert "PLM234" in found
    gaps = [one for one in every if isinstance(one, Gap) and one.blocks_pass]
    assert "ordinary requests" in {gap.subject for gap in gaps}
    assert WANTED[:30] in str(found["PLM234"][0].details["answer"])


def test_a_model_that_does_not_write_is_left_alone(tmp_path: Path) -> None:
    """One gap, which blocks nothing."""
    model = load(artifact_of(build_tiny("bert", tmp_path)), "cpu")
    (gap,) = Probe().inspect(model, Budget(bundled_texts("en")))
    assert isinstance(gap, Gap)
    assert not gap.blocks_pass


def test_a_model_of_short_texts_is_told(tmp_path: Path) -> None:
    """Requests with their answers do not fit, so nothing passes."""
    settings = {"max_position_embeddings": 32}
    folder = build_tiny("llama", tmp_path, head="causal-lm", settings=settings)
    found = list(Probe().inspect(load(artifact_of(folder), "cpu"), Budget(bundled_texts("en"))))
    (gap,) = (one for one in found if isinstance(one, Gap) and one.blocks_pass)
    assert "a text of the model has at most 32" in gap.reason
    assert not any(isinstance(one, Evidence) for one in found)
