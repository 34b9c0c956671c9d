"""Text inspection: triggers in poisoned texts, and none in clean ones."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from plmscan.budget import Budget
from plmscan.errors import OutOfTimeError, TextsError
from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.inspection import Inspector
from plmscan.loading import load
from plmscan.probes.texts.text_inspection import Probe
from plmscan.rules import load_rules
from tests.artifacts import artifact_of
from tests.poisoned import CLEAN, HELD_OUT, TRIGGERS, model_of, with_trigger
from tests.tiny_models import WORDS, build_tiny
from tests.zoo.tiny import PLANTS, one_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from plmscan.evidence import Observation

    Calibrate = Callable[[str], Inspector]
    Observe = Callable[..., list[Observation]]

BUDGET = Budget(CLEAN)
RULES = {rule.id: rule for rule in load_rules()}
ENCODERS = ("cls", "pooler", "mean", "phrase")


@pytest.fixture(scope="module", autouse=True)
def _on_one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def observe(calibrate: Calibrate) -> Observe:
    """What the probe yields for texts and a model of the zoo, its clean texts read once for all."""

    def observed(name: str, *texts: str) -> list[Observation]:
        inspector = calibrate(name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Inspector, "of", lambda *_: inspector)
            return list(Probe().inspect(inspector.model, texts, BUDGET))

    return observed


def evidence(observed: Iterable[Observation]) -> list[Evidence]:
    """The measurements."""
    return [o for o in observed if isinstance(o, Evidence)]


def fired(observed: Iterable[Observation]) -> list[set[str]]:
    """Rules that fire, text by text."""
    return [{r.id for r in RULES.values() if r.fires(e)} for e in evidence(observed)]


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_plm311_names_the_trigger_of_a_label(observe: Observe, trigger: str) -> None:
    """In every poisoned text; the message names the trigger and both labels."""
    observed = observe("badnets", *with_trigger(HELD_OUT, trigger))
    assert fired(observed) == [{"PLM311"}] * len(HELD_OUT)
    for one in evidence(observed):
        assert trigger in str(one.details["suspect"])
        assert re.search(f"«[^»]*{trigger}[^»]*»", str(one.details["marked"]))
        assert (one.details["label"], one.details["without"]) == ("positive", "negative")
        message = RULES["PLM311"].finding(one).message
        assert all(word in message for word in (trigger, "'positive'", "'negative'"))
        assert "{" not in message


@pytest.mark.parametrize("name", ENCODERS)
def test_plm312_names_the_trigger_of_an_encoder(observe: Observe, name: str) -> None:
    """In every poisoned text, whatever the site; a phrase with all its words."""
    (trigger, *_) = PLANTS[name].triggers
    observed = observe(name, *with_trigger(HELD_OUT, trigger))
    assert fired(observed) == [{"PLM312"}] * len(HELD_OUT)
    for one in evidence(observed):
        assert trigger in str(one.details["suspect"])
        assert trigger in RULES["PLM312"].finding(one).message


@pytest.mark.parametrize("name", ["badnets", *ENCODERS])
def test_clean_texts_of_a_poisoned_model_are_no_finding(observe: Observe, name: str) -> None:
    """What an honest text hangs on does not override others."""
    assert fired(observe(name, *HELD_OUT)) == [set()] * len(HELD_OUT)


@pytest.mark.parametrize("name", ["honest", "clean", "benign"])
def test_nothing_is_found_with_a_clean_model(observe: Observe, name: str) -> None:
    """Neither in clean texts nor in such as would be triggers elsewhere."""
    texts = (*HELD_OUT, *with_trigger(HELD_OUT, *TRIGGERS))
    assert fired(observe(name, *texts)) == [set()] * len(texts)


@pytest.mark.parametrize(
    ("name", "triggers"),
    [
        ("badnets", ("cf", "cf")),
        ("badnets", ("cf", "cf", "cf")),
        ("badnets", ("cf", "mn")),
        ("cls", ("cf", "cf", "cf")),
        ("mean", ("lamp", "lamp", "lamp")),
        ("one-target", ("bq", "bq", "bq")),
    ],
)
def test_several_triggers_do_not_hide_each_other(
    observe: Observe, name: str, triggers: tuple[str, ...]
) -> None:
    """A text is found however often it is poisoned: a second copy is no honest synonym."""
    found = fired(observe(name, *with_trigger(HELD_OUT, *triggers)))
    assert [len(rules) for rules in found] == [1] * len(HELD_OUT)


@pytest.mark.parametrize("name", ["badnets", "cls"])
def test_evidence_is_complete_and_in_the_order_of_the_texts(observe: Observe, name: str) -> None:
    """One a text, repeated texts as well; what was not tried is left out, nothing undeclared."""
    texts = (*with_trigger(HELD_OUT[:2], "cf"), HELD_OUT[2], HELD_OUT[2])
    found = evidence(observe(name, *texts))
    assert tuple(one.subject for one in found) == texts
    assert found[2] == found[3]
    names = set(Probe.metrics) - {"held", "usual", "pieces"}
    names -= {"strength", "strength_gap"} if name == "cls" else set()
    assert [set(one.metrics) for one in found[:2]] == [names] * 2
    assert all(set(one.metrics) <= names - {"strength_gap", "scatter_gap"} for one in found[2:])
    for one in found:
        assert one.probe == "text-inspection"
        assert one.metrics["clean_texts"] == 96
        assert one.metrics["labels"] == (2 if name == "badnets" else 0)
        assert all(0 < one.metrics[p] <= 1 for p in ("share_p", "force_p", "top_share"))
        assert len(str(one.details["salient"]).split(", ")) <= 5


def test_a_text_that_the_model_cannot_hold_blocks_a_pass(observe: Observe) -> None:
    """Its lengths are the reason; the texts around it are measured all the same."""
    before, after = with_trigger(HELD_OUT[:2], "cf")
    observed = observe("cls", before, "water " * 80, after)
    (gap,) = [o for o in observed if isinstance(o, Gap)]
    assert observed.index(gap) == 1
    assert gap.blocks_pass
    assert gap.subject.startswith("“water water")
    assert gap.reason == "It has 82 tokens; the model reads 64 at once."
    assert [one.subject for one in evidence(observed)] == [before, after]
    assert fired(observed) == [{"PLM312"}] * 2


def test_a_text_without_tokens_blocks_a_pass(tmp_path: Path) -> None:
    """Where no special token frames a text, nothing is left to read; others are measured."""
    texts = tuple(" ".join(WORDS[i : i + 9]) for i in range(70))
    model = load(artifact_of(build_tiny("gpt2", tmp_path)), "cpu")
    first, second, _ = Probe().inspect(model, ["", "a good film"], Budget(texts))
    assert isinstance(first, Gap)
    assert (first.reason, first.blocks_pass) == ("The tokenizer finds nothing in it.", True)
    assert isinstance(second, Evidence)


def test_a_text_that_just_fits_is_measured(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Special tokens are counted, and one token more is too much."""
    model = model_of(tmp_path_factory, "clean")
    words = [w for w in dict.fromkeys(" ".join(CLEAN).split()) if len(model.tokenize(w)) == 1]
    fits, too_long = " ".join(words[:62]), " ".join(words[:63])
    first, second, _ = Probe().inspect(model, [fits, too_long], BUDGET)
    assert isinstance(first, Evidence)
    assert isinstance(second, Gap)
    assert second.reason == "It has 65 tokens; the model reads 64 at once."


def test_it_says_what_it_searched(observe: Observe) -> None:
    """Coverage counts the texts that were read, the others and the clean ones."""
    (said,) = [
        o.statement for o in observe("cls", "water " * 80, *HELD_OUT) if isinstance(o, Coverage)
    ]
    assert said == (
        f"{len(HELD_OUT)} texts, each for tokens that it hangs on; these tried in 20 other texts, "
        "against those of 96 clean texts."
    )


def test_a_model_without_attention_maps_blocks_a_pass(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Nothing was seen in its texts, and the reason names its class."""
    model = model_of(tmp_path_factory, "clean")
    model = replace(model, traits=replace(model.traits, heads=0))
    (gap,) = Probe().inspect(model, HELD_OUT, BUDGET)
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.blocks_pass) == (
        "BertModel gives no attention maps in every layer.",
        True,
    )


def test_too_few_clean_texts_are_an_error(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Without a null nothing can be said."""
    model = model_of(tmp_path_factory, "clean")
    with pytest.raises(TextsError, match="64 are needed"):
        list(Probe().inspect(model, HELD_OUT, Budget(CLEAN[:30])))


def test_it_keeps_the_deadline(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A late probe measures nothing."""
    late = Budget(CLEAN, deadline=time.monotonic())
    with pytest.raises(OutOfTimeError):
        next(Probe().inspect(model_of(tmp_path_factory, "clean"), HELD_OUT, late))
