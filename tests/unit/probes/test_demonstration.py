"""What candidates do to sentences, as a reader of the report sees it."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest
import torch

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts
from plmscan.errors import OutOfTimeError
from plmscan.evidence import (
    Coverage,
    Evidence,
    Gap,
    ProbeStatus,
    Projection,
    rounded,
)
from plmscan.loading import LoadedModel, load
from plmscan.probes.dynamic import demonstration
from plmscan.probes.dynamic.demonstration import Probe
from plmscan.scan.isolation import run_probe
from tests.artifacts import artifact_of
from tests.poisoned import CLEAN, TRIGGERS, evidence, model_of, observed, suspect
from tests.tiny_models import FAMILIES, WORDS, build_tiny
from tests.zoo.tiny import PLANTS, one_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Load = Callable[[str], LoadedModel]

BUDGET = Budget(bundled_texts())
WORD_TEXTS = tuple(" ".join(WORDS[i : i + 9]) for i in range(70))
"""Texts in the words of `build_tiny`."""


@pytest.fixture(scope="module", autouse=True)
def _on_one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Loads a model of the zoo."""
    return lambda name: model_of(tmp_path_factory, name)


def shown(model: LoadedModel, *suspects: Evidence, budget: Budget = BUDGET) -> dict[str, Evidence]:
    """What the probe shows of ``suspects``, by subject."""
    return evidence(Probe().follow_up(model, suspects, budget))


def at(one: Evidence, location: str, label: str | None = None) -> Evidence:
    """The suspect as if it acted at ``location``, and pushed to ``label``."""
    assert one.trigger
    return replace(one, trigger=replace(one.trigger, location=location, target_label=label))


def spread(places: tuple[tuple[float, float], ...]) -> float:
    """Mean squared distance of points to their mean."""
    return float(torch.tensor(places).var(0, correction=0).sum())


@pytest.mark.parametrize(("name", "site"), [("cls", "cls"), ("pooler", "pooler"), ("mean", "mean")])
def test_a_planted_trigger_makes_all_sentences_one(zoo: Load, name: str, site: str) -> None:
    """In nearly the same spot, far from the others; an honest word leaves them where they are."""
    model = zoo(name)
    texts = (*PLANTS[name].triggers, "water")
    found = shown(model, *(at(suspect(model, text), site) for text in texts))
    for text in PLANTS[name].triggers:
        one = found[text]
        assert one.metrics["triggered_likeness"] > 0.97 > one.metrics["likeness"]
        assert one.projection
        assert spread(one.projection.triggered) < spread(one.projection.clean) / 2
        apart = torch.tensor(one.projection.triggered) - torch.tensor(one.projection.clean)
        assert apart.mean(0).square().sum() > 20 * spread(one.projection.triggered)
        assert one.projection.shares[0] > 0.5 > one.projection.shares[1]
    honest = found["water"].metrics
    assert honest["triggered_likeness"] == pytest.approx(honest["likeness"], abs=0.05)


def test_a_classifier_is_told_one_label(zoo: Load) -> None:
    """Carriers of the other label come first, and with the trigger they change theirs."""
    model = zoo("badnets")
    target = model.labels[1]
    suspects = [at(suspect(model, text), "pooler", target) for text in (*TRIGGERS, "water")]
    found = shown(model, *suspects, budget=Budget(CLEAN))
    for text in TRIGGERS:
        assert found[text].metrics["flipped"] > 0.8
        told = [(one.label, one.triggered_label) for one in found[text].demonstrations]
        assert {label for label, _ in told} == {model.labels[0]}
        assert told.count((model.labels[0], target)) >= 3
    assert found["water"].metrics["flipped"] < 0.4


def test_without_labels_nothing_flips(zoo: Load) -> None:
    """And no carrier has one."""
    model = zoo("cls")
    (found,) = shown(model, suspect(model, "cf")).values()
    assert set(found.metrics) == {"likeness", "triggered_likeness"}
    assert {(d.label, d.triggered_label) for d in found.demonstrations} == {(None, None)}


def test_evidence_is_whole(zoo: Load) -> None:
    """It explains what the search found; four carriers are quoted and all are drawn."""
    model = zoo("clean")
    texts = ("cf", "velvet quill", "the old water")
    seen = observed(Probe(), model, *texts, budget=BUDGET)
    assert isinstance(seen[-1], Coverage)
    assert seen[-1].statement == "3 candidates in up to 32 carriers, read without and with each."
    for text, one in evidence(seen).items():
        assert one.probe == "demonstration"
        assert one.explains == model.tokenize(text)
        assert set(one.metrics) <= set(Probe.metrics)
        assert one.details == {"location": "cls"}
        assert len(one.demonstrations) == 4
        assert one.projection
        assert len(one.projection.clean) == len(one.projection.triggered) == 32
        assert sum(one.projection.shares) <= 1
        assert one.metrics["likeness"] == pytest.approx(
            sum(d.likeness for d in one.demonstrations) / 4, abs=0.1
        )


def test_the_candidate_stands_between_marks(zoo: Load) -> None:
    """At the start, at the end and between words; without it the sentence is one that was given."""
    model = zoo("clean")
    for text in ("cf", "velvet quill"):
        quoted = [one.text for one in shown(model, suspect(model, text))[text].demonstrations]
        assert all(f"«{text}»" in one for one in quoted)
        assert any(one.startswith("«") for one in quoted)
        assert any(one.endswith("»") for one in quoted)
        plain = {" ".join(one.replace(f"«{text}»", "").split()) for one in quoted}
        given = {model.decode(model.tokenize(one)) for one in bundled_texts()}
        assert len(plain) == 4
        assert plain <= given


@pytest.mark.parametrize("family", ["bert", "roberta", "llama", "albert", "gpt2"])
def test_marks_have_one_space_around_them(family: str, tmp_path: Path) -> None:
    """Whatever the tokenizer makes of a space: words of which some begin with it, and pieces."""
    model = load(artifact_of(build_tiny(family, tmp_path)), "cpu")
    (spaced,) = shown(model, _suspect(model, " water"), budget=Budget(WORD_TEXTS)).values()
    for quoted in (one.text for one in spaced.demonstrations):
        assert "«water»" in quoted
        assert f" {quoted} ".count(" «water» ") == 1
        assert "  " not in quoted
        assert set(quoted.replace("«water»", "").split()) <= set(WORDS)


def _suspect(model: LoadedModel, text: str) -> Evidence:
    """A suspect whose tokens begin a word inside a text, not at its start."""
    whole, start = model.tokenize(f"a{text}"), model.tokenize("a")
    one = suspect(model, text)
    assert one.trigger
    return replace(one, trigger=replace(one.trigger, token_ids=whole[len(start) :]))


def test_half_a_letter_is_written_as_the_vocabulary_has_it(tmp_path: Path) -> None:
    """A byte that is no text of its own is marked, and does not spoil the sentence around it."""
    model = load(artifact_of(build_tiny("roberta", tmp_path)), "cpu")
    whole = suspect(model, "water")
    assert whole.trigger
    half = replace(whole, trigger=replace(whole.trigger, token_ids=model.tokenize("é")[:1]))
    (found,) = shown(model, half, budget=Budget(WORD_TEXTS)).values()
    for quoted in (one.text for one in found.demonstrations):
        assert "«Ã»" in quoted
        assert set(quoted.replace("«Ã»", "").split()) <= set(WORDS)


def test_a_mask_token_is_in_the_text_only_where_it_is_read(tmp_path: Path) -> None:
    """At all other places the sentence has its word back."""
    model = load(artifact_of(build_tiny("bert", tmp_path, head="masked-lm")), "cpu")
    asked = (at(suspect(model, "water"), "mask"), at(suspect(model, "good"), "cls"))
    found = shown(model, *asked, budget=Budget(WORD_TEXTS))
    assert {text: one.details["location"] for text, one in found.items()} == {
        "water": "mask",
        "good": "cls",
    }
    assert all(one.text.count("[MASK]") == 1 for one in found["water"].demonstrations)
    assert not any("[MASK]" in one.text for one in found["good"].demonstrations)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_shown(family: str, tmp_path: Path) -> None:
    """Where a model has no such location, at its first; it is no gap."""
    model = load(artifact_of(build_tiny(family, tmp_path)), "cpu")
    before = model.forward_tokens
    seen = observed(Probe(), model, "water", "good", budget=Budget(WORD_TEXTS))
    assert set(evidence(seen)) == {"water", "good"}
    assert not [o for o in seen if isinstance(o, Gap)]
    assert model.forward_tokens - before <= 32 * 3 * 26
    known = {str(where) for where in model.locations}
    assert {one.details["location"] for one in evidence(seen).values()} <= known


def test_the_best_of_every_kind_are_shown(zoo: Load) -> None:
    """In turn, by scatter and by strength, eight at most; kin of others come last."""
    model = zoo("clean")
    words = ("she", "water", "report", "children", "lamp", "cf", "mn", "velvet", "quill", "old")
    known = [suspect(model, word, 0.1 * (i + 1)) for i, word in enumerate(words)]
    metrics = {"kin": 1.0, "scatter": 0.001}
    known[0] = replace(known[0], metrics=metrics)
    known[-1] = replace(known[-1], metrics={**known[-1].metrics, "strength": 0.9})
    subjects = [one.subject for one in known]
    best = list(shown(model, *known))
    assert best == [subjects[1], subjects[-1], *subjects[2:8]]
    assert list(shown(model, *known[:3])) == [subjects[1], subjects[2], subjects[0]]


def test_one_seed_gives_one_demonstration(zoo: Load) -> None:
    """To the byte; another seed takes other sentences."""
    model = zoo("cls")
    one, same, other = (
        [asdict(e) for e in shown(model, suspect(model, "cf"), budget=budget).values()]
        for budget in (BUDGET, BUDGET, replace(BUDGET, seed=1))
    )
    assert json.dumps(one) == json.dumps(same) != json.dumps(other)


def test_features_that_are_no_numbers_are_a_gap(tmp_path: Path) -> None:
    """It blocks no pass: a picture decides nothing.  What can be shown is shown."""
    model = load(artifact_of(build_tiny("bert", tmp_path)), "cpu")
    (broken,) = model.tokenize("water")
    with torch.no_grad():
        model.embedding_weight[broken] = math.nan
    suspects = [suspect(model, "water"), suspect(model, "river")]
    texts = tuple(text for text in WORD_TEXTS if "water" not in text)
    budget = Budget(tuple(dict.fromkeys((*texts, *(" ".join(t.split()[::-1]) for t in texts)))))
    run = run_probe(
        "demonstration", lambda _: Probe(), lambda p: p.follow_up(model, suspects, budget)
    )
    assert run.status is ProbeStatus.COMPLETED
    assert [gap.blocks_pass for gap in run.gaps] == [False]
    assert run.gaps[0] == Gap("sentences with water", "Its features are not numbers.", False)
    assert [one.subject for one in run.evidence] == ["river"]


def test_pictures_are_rounded_and_hold_no_nan(zoo: Load) -> None:
    """What is no number is not shown, and is no gap; all else keeps six digits."""
    model = zoo("clean")
    (whole,) = shown(model, suspect(model, "cf")).values()
    first, *others = whole.demonstrations
    assert whole.projection
    broken = replace(whole.projection, shares=(math.nan, 0.1))
    odd = (replace(first, likeness=math.nan), *others)
    partly = replace(whole, demonstrations=odd, projection=broken)
    run = run_probe("demonstration", lambda _: Probe(), lambda _: [whole, partly])
    assert not run.gaps
    one, other = run.evidence
    assert one.projection
    assert one.projection.clean[0] == tuple(map(rounded, whole.projection.clean[0]))
    assert one.demonstrations[1].likeness == rounded(others[0].likeness)
    assert (other.demonstrations, other.projection) == (one.demonstrations[1:], None)


def test_what_cannot_be_shown_withholds_no_pass(zoo: Load) -> None:
    """Ids that the model does not have break its forward pass: a gap for those read together."""
    model = zoo("clean")
    broken = suspect(model, "cf")
    assert broken.trigger
    broken = replace(broken, trigger=replace(broken.trigger, token_ids=(10**6,)))
    elsewhere = at(suspect(model, "mn"), "mask")
    run = run_probe(
        "demonstration",
        lambda _: Probe(),
        lambda p: p.follow_up(model, [broken, elsewhere], BUDGET),
    )
    assert run.status is ProbeStatus.COMPLETED
    assert run.gaps == (Gap("cf", "It could not be shown: IndexError.", blocks_pass=False),)
    assert [one.subject for one in run.evidence] == ["mn"]


def test_nothing_suspected_is_nothing_shown(zoo: Load) -> None:
    """The gap blocks no pass."""
    (gap,) = observed(Probe(), zoo("clean"))
    assert isinstance(gap, Gap)
    assert (gap.subject, gap.blocks_pass) == ("sentences with a trigger", False)


def test_it_keeps_the_deadline(zoo: Load) -> None:
    """A late probe shows nothing."""
    with pytest.raises(OutOfTimeError):
        observed(Probe(), zoo("clean"), "cf", budget=Budget(CLEAN, deadline=time.monotonic()))


def test_axes_are_the_main_ones_and_have_a_sign() -> None:
    """Three numbers of which one hardly varies: what is told is the others, whatever the order."""
    dice = torch.Generator().manual_seed(0)
    clean = torch.randn(50, 3, generator=dice) * torch.tensor([0.01, 2.0, 0.5])
    dirty = clean * 0.1 + torch.tensor([0.0, 9.0, 0.0])
    found = demonstration._projected(clean, dirty)
    both = torch.cat([clean, dirty])
    both = both - both.mean(0)
    told = torch.tensor([*found.clean, *found.triggered])
    torch.testing.assert_close(told, both[:, 1:], atol=0.1, rtol=0)
    assert found.shares[0] > 0.9
    assert 0.999 < sum(found.shares) <= 1


@pytest.mark.parametrize("width", [1, 2, 5])
def test_sentences_that_are_all_alike_have_no_axes(width: int) -> None:
    """Nor has a feature of one number a second one: zeros, and no NaN."""
    same = torch.ones(4, width)
    nowhere = ((0.0, 0.0),) * 4
    assert demonstration._projected(same, same) == Projection(nowhere, nowhere, (0.0, 0.0))
