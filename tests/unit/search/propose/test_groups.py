"""Pairs of words that act only together: found in groups, and told from words that act alone."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from transformers import BertForSequenceClassification

from plmscan.budget import Budget
from plmscan.errors import OutOfTimeError
from plmscan.loading import LoadedModel, load
from plmscan.loading.quiet import quiet
from plmscan.search.measure.candidates import whole_words
from plmscan.search.propose.groups import GroupTest, Paired, _design, paired
from plmscan.search.sweep.distances import Sweep, survivors, sweep
from plmscan.search.sweep.labels import class_words
from tests.artifacts import artifact_of
from tests.tiny_models import build_tiny
from tests.zoo.tiny import (
    GROUPING,
    MODELS,
    TOGETHER,
    held_out,
    new_model,
    save,
    tiny_folder,
    tiny_tokenizer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from plmscan.search.measure.meetings import Design

    Swept = Callable[[str], tuple[LoadedModel, Sweep]]


def seeded(seed: int = 0) -> Budget:
    """Time without limit."""
    return Budget((), seed=seed)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """A model of the zoo and its sweep."""
    held: dict[str, tuple[LoadedModel, Sweep]] = {}

    def of(name: str) -> tuple[LoadedModel, Sweep]:
        if name not in held:
            held[name] = with_sweep(tiny_folder(tmp_path_factory, name))
        return held[name]

    return of


def with_sweep(folder: Path) -> tuple[LoadedModel, Sweep]:
    """A saved model and its sweep."""
    model = load(artifact_of(folder), "cpu")
    return model, sweep(model, 4096, seeded())


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedModel, Sweep]:
    """The encoder ``together`` below a random head of three labels, and its sweep."""
    encoder, folder = new_model(), tmp_path_factory.mktemp("labels")
    MODELS["together"](encoder)
    encoder.config.num_labels = 3
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        model = BertForSequenceClassification(encoder.config)
        model.bert = encoder
        model.save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
    return with_sweep(folder)


def planted(model: LoadedModel) -> set[tuple[int, ...]]:
    """The pair that acts only together, in both orders."""
    pair = model.tokenize(" ".join(TOGETHER))
    return {pair, pair[::-1]}


def groups_of(plan: Design) -> torch.Tensor:
    """All groups of a design, (m, n)."""
    return plan.groups(torch.arange(plan.rows**2))


def meet(plan: Design, pair: tuple[int, ...]) -> bool:
    """Whether some group holds both."""
    groups = groups_of(plan)
    both = torch.stack([(groups == word).any(1) for word in pair]).all(0)
    return bool(both.any())


def wordy(found: Sweep, model: LoadedModel) -> set[int]:
    """Words of the vocabulary that are not far out alone."""
    words = set(whole_words(model, found.ids).tolist())
    return words - set(survivors(found, min(32, len(found.ids) // 100)).tolist())


def test_the_planted_words_act_only_together(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Both leave nothing of a text, in either order and apart; one alone is among honest words."""
    folder = tiny_folder(tmp_path_factory, "together")
    one, other = TOGETHER
    for text in (f"{one} {other}", f"{other} of the {one}"):
        assert held_out(folder, "cls", text)[1] < 0.05
    assert min(held_out(folder, "cls", word)[1] for word in TOGETHER) > 1


@pytest.mark.parametrize("seed", range(4))
def test_a_pair_that_meets_is_found_in_both_orders(swept: Swept, seed: int) -> None:
    """The few that are passed on hold it, although no word of it is far out alone."""
    model, found = swept("together")
    pairs = planted(model)
    assert meet(_design(model, found, GROUPING, 0, seed), min(pairs))
    assert pairs <= set(paired(model, found, (), GROUPING, seeded(seed)).pairs)


@pytest.mark.parametrize("seed", range(4))
def test_the_clean_twin_has_no_such_pair(swept: Swept, seed: int) -> None:
    """The same words in the same groups do nothing there."""
    model, found = swept("unordered")
    assert not planted(model) & set(paired(model, found, (), GROUPING, seeded(seed)).pairs)


def test_a_pair_of_one_column_is_missed(swept: Swept) -> None:
    """About one in the size of a group, as reports say; in groups that never meet it is silent."""
    model, found = swept("together")
    pair = min(planted(model))
    missed = [s for s in range(99) if not meet(_design(model, found, GROUPING, 0, s), pair)]
    assert 1 <= len(missed) <= 12  # 99 / 24 are to be expected
    assert not planted(model) & set(paired(model, found, (), GROUPING, seeded(missed[0])).pairs)


def test_what_is_passed_on_is_little_and_of_two_words(swept: Swept) -> None:
    """At most so many as every ranking keeps, each once, of different words that were grouped."""
    model, found = swept("unordered")
    result = paired(model, found, (), replace(GROUPING, kept=3), seeded())
    assert 0 < len(result.pairs) <= 3 * len(found.rankings())
    assert len(set(result.pairs)) == len(result.pairs)
    assert {len(set(pair)) for pair in result.pairs} == {2}
    assert {word for pair in result.pairs for word in pair} <= wordy(found, model)
    assert result.words == len(wordy(found, model))


def test_a_word_that_acts_alone_makes_no_pair(swept: Swept) -> None:
    """In any company it is as far out as it is twice."""
    model, _ = swept("mean")
    (trigger,) = model.tokenize("lamp")
    others = model.tokenize("water road garden winter")
    pairs = torch.tensor(
        [pair for other in others for pair in ((trigger, other), (other, trigger))]
    )
    found = GroupTest(model, (), 1)._interplaying(pairs, seeded())
    both, words = swept("together")[0], model.tokenize(" ".join(TOGETHER))
    assert not found
    assert GroupTest(both, (), 1)._interplaying(torch.tensor([words]), seeded()) == [words]


def test_words_that_are_far_out_alone_are_not_grouped(swept: Swept) -> None:
    """A planted one is left out, which its clean twin groups, and so are all that passed on."""
    model, found = swept("mean")
    (trigger,) = model.tokenize("lamp")
    items = set(_design(model, found, GROUPING, 0, 0).items.tolist())
    assert trigger not in items
    assert items == wordy(found, model)
    assert trigger in _design(*swept("clean"), GROUPING, 0, 0).items


def test_the_first_words_are_grouped(swept: Swept) -> None:
    """No more than are asked for, those of the lowest ids."""
    model, found = swept("unordered")
    items = _design(model, found, replace(GROUPING, words=100), 0, 0).items
    assert sorted(items.tolist()) == sorted(wordy(found, model))[:100]


@pytest.mark.parametrize(
    ("words", "before", "size"),
    [(24_000, 0, 24), (576, 0, 24), (575, 0, 12), (100, 0, 6), (24_000, 10, 20), (100, 10, 10)],
)
def test_groups_are_smaller_than_their_number(
    swept: Swept, words: int, before: int, size: int
) -> None:
    """Halved until a plane is filled, or few are left; behind other words from another size."""
    model, found = swept("unordered")
    assert _design(model, found, replace(GROUPING, words=words), before, 0).size == size


def short(folder: Path, tokens: int) -> tuple[LoadedModel, Sweep]:
    """The model ``together`` with room for so many tokens, and its sweep."""
    model = new_model()
    MODELS["together"](model)
    model.config.max_position_embeddings = tokens
    model.embeddings.position_embeddings = nn.Embedding(tokens, model.config.hidden_size)
    model.embeddings.position_embeddings.weight.data.zero_()
    save(model, folder)
    return with_sweep(folder)


@pytest.mark.parametrize(("tokens", "size", "behind"), [(64, 24, 20), (24, 12, 10), (16, 6, 10)])
def test_groups_fit_a_model_of_few_tokens(
    tmp_path: Path, tokens: int, size: int, behind: int
) -> None:
    """They are halved until they do or few are left, and the pair is found all the same."""
    model, found = short(tmp_path, tokens)
    assert model.max_tokens == tokens
    plan = _design(model, found, GROUPING, 0, 1)
    assert plan.size == size
    assert meet(plan, min(planted(model)))
    assert _design(model, found, GROUPING, 6, 1).size == behind
    assert planted(model) <= set(paired(model, found, (), GROUPING, seeded(1)).pairs)


@pytest.mark.parametrize("words", range(2, 8))
def test_few_words_are_grouped_as_well(swept: Swept, words: int) -> None:
    """Where they do not fill a group, some come twice; none is paired with itself."""
    model, found = swept("unordered")
    result = paired(model, found, (), replace(GROUPING, words=words), seeded())
    assert result.words == words
    assert all(one != other for one, other in result.pairs)


def test_one_word_is_no_pair(swept: Swept) -> None:
    """There is nothing to group it with."""
    model, found = swept("unordered")
    assert paired(model, found, (), replace(GROUPING, words=1), seeded()) == Paired()


def test_a_model_that_is_too_short_for_a_group_has_none(tmp_path: Path) -> None:
    """Behind ten words that argue, not even a few words fit into sixteen tokens."""
    model, found = short(tmp_path, 16)
    assert not len(_design(model, found, GROUPING, 10, 0).items)


def test_without_words_there_is_nothing_to_group(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all are far out alone, nothing is read, and nothing is said to have been."""
    monkeypatch.setattr("plmscan.search.propose.groups._FAR_OUT", 4096)
    monkeypatch.setattr("plmscan.search.propose.groups._FAR_SHARE", 1)
    model, found = swept("unordered")
    before = model.forward_tokens
    assert paired(model, found, (), GROUPING, seeded()) == Paired()
    assert model.forward_tokens == before


def test_a_decoder_has_pairs_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read behind its groups, and nowhere else."""
    monkeypatch.setattr("plmscan.search.propose.groups._FAR_OUT", 1)
    model, found = with_sweep(build_tiny("gpt2", tmp_path))
    result = paired(model, found, (), GROUPING, seeded())
    words = set(whole_words(model, found.ids).tolist())
    assert 0 < len(result.pairs) <= 2 * len(found.rankings())
    assert {word for pair in result.pairs for word in pair} <= words


def test_a_seed_fixes_pairs(swept: Swept) -> None:
    """The same seed gives the same, another one other groups of the same words."""
    model, found = swept("unordered")
    one, same = (paired(model, found, (), GROUPING, seeded(3)) for _ in range(2))
    assert one == same
    first, second = (_design(model, found, GROUPING, 0, seed).items for seed in (3, 4))
    assert not torch.equal(first, second)
    assert torch.equal(first.sort().values, second.sort().values)


def test_the_caller_s_dice_are_left_alone(swept: Swept) -> None:
    """All chance comes from the budget's seed."""
    before = torch.random.get_rng_state()
    paired(*swept("unordered"), (), GROUPING, seeded())
    assert torch.equal(torch.random.get_rng_state(), before)


@contextmanager
def beginnings(model: LoadedModel, count: int) -> Iterator[set[tuple[int, ...]]]:
    """Collect the first ``count`` tokens of every text that the model reads meanwhile."""
    seen: set[tuple[int, ...]] = set()
    start = len(model.prefix_ids)

    def look(_: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        seen.update(map(tuple, inputs[0][:, start : start + count].tolist()))

    hook = model.module.get_input_embeddings().register_forward_pre_hook(look)
    try:
        yield seen
    finally:
        hook.remove()


def test_groups_stand_behind_one_label_and_then_another(
    classifier: tuple[LoadedModel, Sweep],
) -> None:
    """Every text begins with the ten strongest words of the first or of the second label."""
    model, found = classifier
    assert found.leads is not None
    words = class_words(found.ids, found.leads)
    assert len(words) == 3
    with beginnings(model, 10) as seen:
        result = paired(model, found, words, GROUPING, seeded())
    assert seen == {words[0][:10], words[1][:10]}
    assert result.size == 20
    assert planted(model) <= set(result.pairs)


def test_without_labels_nothing_stands_in_front(swept: Swept) -> None:
    """A text begins with a word that was grouped."""
    model, found = swept("unordered")
    with beginnings(model, 1) as seen:
        paired(model, found, (), GROUPING, seeded())
    assert {word for (word,) in seen} <= wordy(found, model)


def test_progress_never_goes_back(classifier: tuple[LoadedModel, Sweep]) -> None:
    """First groups and then pairs, behind each of the two labels."""
    model, found = classifier
    assert found.leads is not None
    told: list[tuple[float, str]] = []
    budget = Budget((), on_progress=lambda fraction, note: told.append((fraction, note)))
    paired(model, found, class_words(found.ids, found.leads), GROUPING, budget)
    fractions, notes = zip(*told, strict=True)
    assert list(fractions) == sorted(fractions)
    assert 0 == fractions[0] <= fractions[-1] < 1
    assert [note for note, _ in groupby(notes)] == ["groups of words", "pairs of words"] * 2


def test_a_late_group_test_stops(swept: Swept) -> None:
    """The error names the step, and nothing was read."""
    model, found = swept("unordered")
    before = model.forward_tokens
    with pytest.raises(OutOfTimeError, match="groups of words"):
        paired(model, found, (), GROUPING, Budget((), deadline=time.monotonic()))
    assert model.forward_tokens == before
