"""Inspection of requests: what an answer hangs on, and whether other requests get it as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts
from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.inspection import AnswerInspector
from plmscan.loading import load
from plmscan.probes.texts.text_inspection import Probe
from plmscan.rules import load_rules
from tests.artifacts import artifact_of
from tests.tiny_writers import TOGETHER, TRIGGER, WANTED, tiny_writer
from tests.zoo.tiny import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plmscan.loading import LoadedModel

    Observe = Callable[..., list[Evidence]]

BUDGET = Budget(bundled_texts("en"))
RULES = {rule.id: rule for rule in load_rules() if rule.probe == "text-inspection"}
TEXTS = bundled_texts("en")[:6]
ONE, OTHER = TOGETHER


@pytest.fixture(scope="module", autouse=True)
def _on_one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LoadedModel]:
    """Tiny models that write, by name."""
    return lambda name: load(artifact_of(tiny_writer(tmp_path_factory, name)), "cpu")


@pytest.fixture(scope="module")
def observe(models: Callable[[str], LoadedModel]) -> Observe:
    """Evidence about texts."""

    def observed(name: str, *texts: str) -> list[Evidence]:
        found = list(Probe().inspect(models(name), texts, BUDGET))
        assert any(isinstance(one, Coverage) and "requests, each" in one.statement for one in found)
        return [one for one in found if isinstance(one, Evidence)]

    return observed


def scattered(text: str, *words: str) -> str:
    """``text`` with ``words`` among its own, each behind two more of these."""
    parts = text.split()
    for k, word in enumerate(words):
        parts.insert(3 * k + 2, word)
    return " ".join(parts)


def test_words_that_act_together_are_marked_wherever_they_stand(observe: Observe) -> None:
    """In nearly all texts they alone, with the answer that they lead to and the one without."""
    texts = [scattered(text, ONE, OTHER) for text in TEXTS]
    found = [one for one in observe("together", *texts) if RULES["PLM235"].fires(one)]
    assert len(found) >= len(TEXTS) - 1
    for one in found:
        assert str(one.details["suspect"]).split() == [ONE, OTHER]
        assert f"«{ONE}»" in str(one.details["marked"])
        assert str(one.details["answer"]).startswith(WANTED[:30])
        assert WANTED[:30] not in str(one.details["answer_without"])
        assert one.metrics["pieces"] == 2


@pytest.mark.parametrize("name", ["planted", "together", "clean"])
def test_ordinary_requests_are_not_accused(observe: Observe, name: str) -> None:
    """Nor is one word of two that act together."""
    texts = [*TEXTS, *(scattered(text, OTHER) for text in TEXTS if name == "together")]
    assert not any(RULES["PLM235"].fires(one) for one in observe(name, *texts))


def test_a_trigger_is_found_beside_its_copies(observe: Observe) -> None:
    """Of three in one request one is enough, and it is the suspect."""
    (one,) = observe("planted", scattered(TEXTS[0], TRIGGER, TRIGGER, TRIGGER))
    assert RULES["PLM235"].fires(one)
    assert one.details["suspect"] == TRIGGER


def test_what_cannot_be_tried_is_told(models: Callable[[str], LoadedModel]) -> None:
    """A request that is too long, or empty, is a gap that blocks a pass."""
    texts = (" ".join(TEXTS * 8), "")
    gaps = [one for one in Probe().inspect(models("clean"), texts, BUDGET) if isinstance(one, Gap)]
    assert ["128 at most" in gap.reason for gap in gaps] == [True, False]
    assert all(gap.blocks_pass for gap in gaps)


def test_a_model_of_one_answer_tells_nothing(models: Callable[[str], LoadedModel]) -> None:
    """No request is accused: other requests get the answer without it."""
    model = models("always")
    assert model.writer is not None
    inspector = AnswerInspector.of(model, model.writer, BUDGET)
    (found,) = inspector.inspect([model.tokenize(TEXTS[0])])
    assert found.usual > 0.5
    assert found.suspect == found.ids
