"""The search, start to end, on planted models and their clean twin."""

from __future__ import annotations

import functools
import json
import math
import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from plmscan.budget import Budget, Effort
from plmscan.carriers import bundled_texts
from plmscan.errors import OutOfTimeError, TextsError
from plmscan.loading import LoadedModel, load
from plmscan.search.pipeline import Search, search
from plmscan.search.propose.groups import Paired
from plmscan.search.propose.objectives import Corruption, Flip, Invariance
from plmscan.search.recipes import RECIPES
from tests.artifacts import artifact_of
from tests.tiny_models import WORDS, build_tiny
from tests.zoo.tiny import GROUPING, TOGETHER, tiny_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from plmscan.search.judge.profile import Candidate
    from plmscan.search.recipes import Recipe

    Load = Callable[[str], LoadedModel]

QUICK = RECIPES[Effort.QUICK]
GROUPED = replace(QUICK, grouping=GROUPING)
CLASS_TEXTS = tuple(" ".join(random.Random(i).sample(WORDS, 9)) for i in range(100))  # noqa: S311
"""Texts in the words of `build_tiny`."""
STEPS = (
    "vocabulary sweep",
    "screening",
    "growing",
    "contrastive search",
    "verification",
    "null",
    "synonyms",
)
"""Of a model without labels."""


GROUPED_STEPS = ("groups of words", "pairs of words")
"""Of a recipe that groups words; they follow the contrastive search."""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Loads a model of the zoo."""
    return lambda name: load(artifact_of(tiny_folder(tmp_path_factory, name)), "cpu")


@dataclass(frozen=True)
class Done:
    """A quick search that several tests look at."""

    model: LoadedModel
    """What was searched."""
    found: Search
    """What it found."""
    told: tuple[tuple[float, str], ...]
    """How far it said that it was, and with what."""


@pytest.fixture(scope="module")
def searched(zoo: Load) -> Callable[..., Done]:
    """Searches a model of the zoo with a seed, once."""

    @functools.cache
    def done(name: str, seed: int = 0) -> Done:
        told: list[tuple[float, str]] = []
        model = zoo(name)
        watched = Budget(bundled_texts(), seed=seed, on_progress=lambda f, n: told.append((f, n)))
        return Done(model, search(model, QUICK, watched), tuple(told))

    return done


@pytest.fixture(scope="module")
def headed(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Loads a random BERT with a head."""

    def build(head: str) -> LoadedModel:
        folder = build_tiny("bert", tmp_path_factory.mktemp(head), head=head)
        return load(artifact_of(folder), "cpu")

    return build


def by_text(done: Done) -> dict[str, Candidate]:
    """Finalists by their text."""
    return {done.model.decode(candidate.ids): candidate for candidate in done.found.candidates}


@pytest.mark.parametrize("seed", range(4))
def test_one_trigger_does_not_hide_the_other(searched: Callable[..., Done], seed: int) -> None:
    """Both outrank the whole null, and are held to be two: neither follows the other.

    The vocabulary is so small that one in eight items is drawn into the null; no finalist is.
    """
    found = by_text(searched("cls", seed))
    triggers = [found[text] for text in ("cf", "mn")]
    for trigger in triggers:
        assert trigger.p_value == pytest.approx(1 / (QUICK.null_items + 1))
        assert trigger.z > 8
        assert trigger.scatter < 0.05
    assert triggers[0].relation.leader != triggers[1].relation.leader


@pytest.mark.parametrize("seed", range(4))
def test_no_synonym_does_what_a_trigger_does(searched: Callable[..., Done], seed: int) -> None:
    """Its gap is wide, whatever the search has grown from it."""
    found = by_text(searched("cls", seed))
    assert min(found["cf"].gap, found["mn"].gap) > 10


@pytest.mark.parametrize("seed", range(2))
def test_a_phrase_is_found_and_has_a_gap(searched: Callable[..., Done], seed: int) -> None:
    """A candidate of both words; none of its words can be spared for a synonym."""
    done = searched("phrase", seed)
    words = {i for word in ("velvet", "quill") for i in done.model.tokenize(word)}
    phrases = [candidate for candidate in done.found.candidates if words <= set(candidate.ids)]
    best = min(phrases, key=lambda candidate: candidate.scatter)
    assert best.scatter < 0.05
    assert best.gap > 3


@pytest.mark.parametrize("seed", range(2))
def test_words_that_act_only_together_are_found_in_groups(zoo: Load, seed: int) -> None:
    """And in no other way: neither of them leads to the other.  Each needs the other."""
    model, budget = zoo("together"), Budget(bundled_texts(), seed=seed)
    pair = set(model.tokenize(" ".join(TOGETHER)))
    found = search(model, GROUPED, budget)
    best = min(found.candidates, key=lambda candidate: candidate.scatter)
    assert set(best.ids) == pair
    assert best.scatter < 0.01
    assert best.conjunction > 100
    assert found.paired.words > 700
    others = search(model, QUICK, budget)
    assert others.paired == Paired()
    assert not any(pair <= set(candidate.ids) for candidate in others.candidates)


def test_numbers_agree_with_each_other(searched: Callable[..., Done]) -> None:
    """Recipe, sizes and relations hold together."""
    done = searched("clean")
    model, found = done.model, done.found
    assert found.carriers == QUICK.carriers
    assert QUICK.finalists // 4 <= len(found.candidates) <= 3 * QUICK.finalists
    assert found.screened >= QUICK.survivors
    assert {c.null_size for c in found.candidates} == {QUICK.null_items}
    assert {c.location for c in found.candidates} <= set(model.locations)
    leaders = [found.candidates[c.relation.leader] for c in found.candidates]
    assert all(found.candidates[leader.relation.leader] is leader for leader in leaders)
    assert min(c.scatter for c in found.candidates) > 0.1
    assert found.starts == 1


def test_layers_of_the_most_invariant_are_told(searched: Callable[..., Done]) -> None:
    """Of eight; S of a trigger at the classification token ends about where verification saw it.

    The carriers are others, and fewer, so a factor of four is left to them.
    """
    done = searched("cls")
    model, found = done.model, done.found
    traced = sorted(found.candidates, key=lambda candidate: candidate.scatter)[:8]
    assert {len(candidate.layers) for candidate in traced} == {model.num_layers}
    assert {c.layers for c in found.candidates if c not in traced} == {()}
    for text in ("cf", "mn"):
        trigger = by_text(done)[text]
        assert trigger.scatter / 4 < trigger.layers[-1] < 4 * trigger.scatter


def test_candidates_are_told_apart_by_their_ids(searched: Callable[..., Done]) -> None:
    """None comes twice, and of a grown one the parts are candidates as well."""
    found = [candidate.ids for candidate in searched("phrase").found.candidates]
    assert len(set(found)) == len(found)
    assert {(i,) for ids in found for i in ids} <= set(found)


def test_a_bare_encoder_has_no_labels(searched: Callable[..., Done]) -> None:
    """Nothing is said of labels or of words that it cannot recall."""
    found = searched("clean").found
    assert found.labels_met == ()
    assert found.aims == (Invariance(),)
    assert {(c.flip, c.corruption, c.corruption_z) for c in found.candidates} == {(None,) * 3}


def test_labels_of_a_classifier_are_tried(headed: Load) -> None:
    """Each candidate has a label to which it pushes most, of those that can be flipped to."""
    found = search(headed("classifier"), QUICK, Budget(CLASS_TEXTS))
    flips = [candidate.flip for candidate in found.candidates]
    assert found.labels_met
    assert {*found.aims} <= {Flip(label) for label in found.labels_met}
    assert len(found.aims) >= 2
    for flip in flips:
        assert flip is not None
        assert flip.target in found.labels_met
        assert math.isfinite(flip.strength)
        assert 1 / (QUICK.null_items + 1) - 1e-6 <= flip.p_value <= 1
    assert {c.corruption for c in found.candidates} == {None}


def test_recall_of_a_masked_language_model_is_tried(headed: Load) -> None:
    """Each candidate has a share of the recall that it loses, and its place in the null."""
    found = search(headed("masked-lm"), QUICK, Budget(CLASS_TEXTS))
    assert found.aims == (Invariance(), Corruption())
    for candidate in found.candidates:
        assert candidate.corruption is not None
        assert candidate.corruption_z is not None
        assert candidate.corruption <= 1
        assert math.isfinite(candidate.corruption_z)
    assert {c.flip for c in found.candidates} == {None}


def test_a_single_score_has_two_ends(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A regression head, such as a reranker's, is searched for what drives it low or high."""
    folder = build_tiny("bert", tmp_path_factory.mktemp("score"), head="classifier")
    with_one_score(folder)
    found = search(load(artifact_of(folder), "cpu"), QUICK, Budget(CLASS_TEXTS))
    assert found.labels_met
    assert found.aims
    assert {aim.target for aim in found.aims if isinstance(aim, Flip)} <= {0, 1}
    assert None not in {candidate.flip for candidate in found.candidates}


def with_one_score(folder: Path) -> None:
    """Leave a classifier one logit instead of three."""
    config = json.loads((folder / "config.json").read_text())
    config |= {"id2label": {"0": "score"}, "label2id": {"score": 0}}
    (folder / "config.json").write_text(json.dumps(config))
    weights = load_file(folder / "model.safetensors")
    weights |= {f"classifier.{one}": weights[f"classifier.{one}"][:1] for one in ("weight", "bias")}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def test_the_caller_s_dice_are_left_alone(zoo: Load) -> None:
    """All chance comes from the budget's seed."""
    before = torch.random.get_rng_state()
    one = search(zoo("clean"), QUICK, Budget(bundled_texts(), seed=3))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert search(zoo("clean"), QUICK, Budget(bundled_texts(), seed=3)).candidates == one.candidates


def test_it_needs_texts(zoo: Load) -> None:
    """Too few carriers end the search before a token is spent."""
    model = zoo("clean")
    with pytest.raises(TextsError):
        search(model, QUICK, Budget(bundled_texts()[:50]))
    assert model.forward_tokens == 0


def test_it_tells_how_far_it_is(searched: Callable[..., Done]) -> None:
    """Progress rises from 0 towards 1 through every step."""
    told = searched("phrase").told
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] < 1
    assert list(dict.fromkeys(note for _, note in told)) == list(STEPS)


def test_words_are_grouped_where_a_recipe_says_so(zoo: Load) -> None:
    """Behind the search by gradient, and before anything is verified."""
    told: list[str] = []
    budget = Budget(bundled_texts(), on_progress=lambda _, note: told.append(note))
    search(zoo("unordered"), GROUPED, budget)
    verified = STEPS.index("verification")
    steps = (*STEPS[:verified], *GROUPED_STEPS, *STEPS[verified:])
    assert tuple(dict.fromkeys(told)) == steps


def test_progress_never_goes_back(zoo: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where a long step is cut into chunks, and every length has a null of its own."""
    monkeypatch.setattr("plmscan.search.measure.effects._CHUNK_BYTES", 2**19)
    told: list[float] = []
    search(zoo("phrase"), QUICK, Budget(bundled_texts(), on_progress=lambda f, _: told.append(f)))
    assert len(told) > len(STEPS) + 8
    assert told == sorted(told)


def test_a_classifier_is_swept_for_labels_as_well(headed: Load) -> None:
    """One step more behind the sweep of the vocabulary, and one before growing; no contrast.

    Contrast says nothing there.  Progress still rises from 0 towards 1.
    """
    told: list[tuple[float, str]] = []
    budget = Budget(CLASS_TEXTS, on_progress=lambda f, n: told.append((f, n)))
    assert search(headed("classifier"), QUICK, budget).starts == 0
    steps = [STEPS[0], "label sweep", *(s for s in STEPS[1:] if s != "contrastive search")]
    steps.insert(steps.index("growing"), "words in company")
    # Where a longer candidate leads its tokens are tried by themselves, at the end.
    assert list(dict.fromkeys(note for _, note in told))[: len(steps)] == steps
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert 0 == fractions[0] <= fractions[-1] < 1


@pytest.mark.parametrize("step", STEPS[:-1])
def test_every_step_keeps_the_deadline(
    zoo: Load, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the time runs out during one step, the next one does not begin."""
    stop_at(zoo("clean"), QUICK, step, monkeypatch)


@pytest.mark.parametrize("step", GROUPED_STEPS)
def test_groups_keep_the_deadline(zoo: Load, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So do the steps of a recipe that groups words."""
    stop_at(zoo("clean"), GROUPED, step, monkeypatch)


def stop_at(model: LoadedModel, recipe: Recipe, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the time run out during ``step``, and expect that it is the last one."""
    clock, told = [0.0], []

    def tell(_: float, note: str) -> None:
        told.append(note)
        clock[0] = 2.0 if note == step else clock[0]

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    budget = Budget(bundled_texts(), deadline=1.0, on_progress=tell)
    with pytest.raises(OutOfTimeError):
        search(model, recipe, budget)
    assert told[-1] == step


def test_what_no_rule_can_name_is_read_no_further(zoo: Load, searched: Callable[..., Done]) -> None:
    """Its null is short, synonyms are not tried, and it says so; the trigger has everything."""
    whole, model = searched("cls"), zoo("cls")

    def matters(known: Mapping[str, float], pending: Collection[str]) -> bool:
        return known["scatter"] <= 0.05 and ("gap" in pending or known["gap"] >= 2)

    def never(_known: Mapping[str, float], _pending: Collection[str]) -> bool:
        return False

    budget = Budget(bundled_texts(), matters=matters)
    candidates = by_text(Done(model, search(model, QUICK, budget), ()))
    assert candidates["cf"].null_size == QUICK.null_items
    assert candidates["cf"].gap > 2
    assert not candidates["cf"].unmeasured
    fresh = zoo("cls")
    found = search(fresh, QUICK, Budget(bundled_texts(), matters=never)).candidates
    assert max(c.null_size for c in found) < QUICK.null_items
    assert all(c.gap is None and {"gap", "strength_gap"} <= c.unmeasured for c in found)
    assert fresh.forward_tokens < whole.model.forward_tokens
