"""What heads do with candidates, against maps taken one text at a time; and the controls."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from plmscan.attention import (
    agreement,
    alignment,
    attend,
    held_against,
    likeness,
    mass,
    matched,
    overall,
    renormalised,
    worst,
)
from plmscan.budget import Budget
from plmscan.carriers import Carrier, insert, split_carriers
from plmscan.errors import OutOfTimeError
from plmscan.loading import LoadedModel, load
from plmscan.search.measure.candidates import searchable_ids
from tests.artifacts import artifact_of
from tests.tiny_models import WORDS, build_tiny

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from plmscan.loading import Attended

BUDGET = Budget(())
TEXTS = [" ".join(WORDS[i : i + 7 + i % 4]) for i in range(66)]
"""Of several lengths, in the words of `build_tiny`."""
SINGLES = [(word,) for word in range(50, 55)]
PAIRS = [(60, 61), (62, 63), (64, 64)]
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    """A tiny BERT that a test may change."""
    return tiny("bert", tmp_path)


def tiny(family: str, folder: Path) -> LoadedModel:
    """A tiny model of a family."""
    return load(artifact_of(build_tiny(family, folder)), "cpu")


def carriers_of(model: LoadedModel, count: int = 4) -> tuple[Carrier, ...]:
    """Carriers of several lengths that take a candidate at the start, at the end, and within."""
    return split_carriers(model, TEXTS, (count,), seed=0)[0]


def found_in(
    model: LoadedModel, candidates: Sequence[tuple[int, ...]], carriers: Sequence[Carrier] = ()
) -> Mapping[str, Tensor]:
    """All statistics of candidates."""
    return attend(model, candidates, carriers or carriers_of(model), BUDGET, "attention")


def with_norms(model: LoadedModel) -> Tensor:
    """Gives the row of each token another norm, from 1 up in a random order: these norms."""
    table = model.embedding_weight
    norms = 1.0 + torch.randperm(len(table), generator=torch.Generator().manual_seed(0))
    table.data = norms.unsqueeze(1) * F.normalize(torch.ones_like(table))
    return norms


def test_mass_by_hand() -> None:
    """Of two tokens that look, what each head gives to the two places, on average."""
    head = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.0, 1.0, 0.0]])
    maps = torch.stack([head, head.flip(1)]).unsqueeze(0)
    found = mass(maps, slice(1, 3), torch.tensor([0, 1]))
    assert_close(found, torch.tensor([[(0.5 + 0.9) / 2, (0.8 + 0.2) / 2]]))


def test_likeness_by_hand() -> None:
    """Heads that look at one token each, and share half of what they see, are half alike."""
    rows = torch.tensor([[[[0.5, 0.5, 0.0]], [[0.0, 0.5, 0.5]]]])
    assert likeness(rows).item() == pytest.approx(0.5)


def test_renormalised_by_hand() -> None:
    """Without its sink, a row says how the rest is shared out."""
    maps = torch.tensor([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6]]).view(1, 1, 3, 3)
    found = renormalised(maps, torch.tensor([1, 2]))
    assert_close(found[0, 0], torch.tensor([[0.75, 0.25], [0.25, 0.75]]))


def test_overall_by_hand() -> None:
    """Attention is meant over all heads; agreement over the last layer's, as Fisher's z."""
    values = torch.tensor([[[0.1, 0.3], [0.5, 0.9]], [[0.0, 0.0], [1.0, 1.0]]])
    assert_close(overall("reading", values), torch.tensor([0.45, 0.5]))
    steady, perfect = overall("agreement", values).tolist()
    assert steady == pytest.approx((math.atanh(0.5) + math.atanh(0.9)) / 2)
    assert steady < perfect < math.inf


def test_held_against_by_hand() -> None:
    """Controls 0 to 4: 5 is further from their middle than all, -1 just as far, 3 as near as 1."""
    found = held_against(torch.tensor([5.0, -1.0, 3.0]), torch.arange(5.0))
    assert_close(found.z * 1.4826, torch.tensor([3.0, -3.0, 1.0]))
    assert_close(found.p_value, torch.tensor([1 / 6, 1 / 6, 5 / 6]))


def test_worst_by_hand() -> None:
    """A head that no control moves shows best who does; a ten-thousandth there is nothing much."""
    controls = torch.stack([torch.zeros(9), torch.arange(9.0)], 1)
    found = worst(torch.tensor([[0.9, 4.0], [1e-4, 4.0], [0.0, -5.0]]), controls)
    assert_close(found.value, torch.tensor([0.9, 1e-4, -5.0]))
    assert_close(found.z, torch.tensor([9000, 1, -9 / (2 * 1.4826)]))
    assert_close(found.p_value, torch.tensor([1 / 10, 5 / 10, 1 / 10]))


@pytest.mark.parametrize("family", ["bert", "gpt2", "xlnet"])
@pytest.mark.parametrize("candidates", [SINGLES, PAIRS], ids=["singles", "pairs"])
def test_every_candidate_has_every_statistic(
    tmp_path: Path, family: str, candidates: list[tuple[int, ...]]
) -> None:
    """Of each head or of each layer; those of head outputs only where the library shows them."""
    model, k = tiny(family, tmp_path), len(candidates)
    found = found_in(model, candidates)
    heads, layers = ("reading", "received", "agreement"), ("alignment",)
    shapes = dict.fromkeys(heads, (k, 2, 4)) | dict.fromkeys(layers, (k, 2))
    shapes |= dict.fromkeys(("likeness", "likeness_reading", "likeness_content"), (k, 2))
    if family == "xlnet":
        del shapes["agreement"], shapes["alignment"]
    assert {name: tuple(values.shape) for name, values in found.items()} == shapes
    assert all(values.isfinite().all() for values in found.values())
    assert all((found[name] >= 0).all() and (found[name] <= 1).all() for name in heads[:2])
    assert all((values[0] - values[1]).abs().max() > 1e-5 for values in found.values())


def alone(
    model: LoadedModel, carrier: Carrier, candidate: tuple[int, ...]
) -> tuple[Attended, list[int]]:
    """Attention in one text by itself, and where its words are, those of the candidate included."""
    ids = model.wrap(insert(carrier, candidate))
    words = [i for i, token in enumerate(ids) if token not in model.special_ids]
    return model.attend(torch.tensor([ids])), words


@pytest.mark.parametrize("family", ["bert", "gpt2", "xlnet"])
@pytest.mark.parametrize("candidates", [SINGLES, PAIRS], ids=["singles", "pairs"])
def test_attention_is_that_of_texts_alone(
    tmp_path: Path, family: str, candidates: list[tuple[int, ...]]
) -> None:
    """Mean over the carriers of what each head gives to the candidate's tokens.

    From the token that is read, and from all words of the text that can see the candidate: in a
    decoder, where it ends the text, from its own last token.
    """
    model = tiny(family, tmp_path)
    carriers = carriers_of(model)
    found = found_in(model, candidates, carriers)
    for row, candidate in enumerate(candidates):
        reading, received = [], []
        for carrier in carriers:
            seen, words = alone(model, carrier, candidate)
            start = len(model.prefix_ids) + carrier.position
            end = start + len(candidate)
            maps = torch.cat(seen.maps)
            read = model.reading_index(maps.shape[-1])
            others = [i for i in words if i >= end or (i < start and not model.is_decoder)]
            to_candidate = maps[..., start:end].sum(-1)
            reading.append(to_candidate[..., read])
            received.append(to_candidate[..., others or [read]].mean(-1))
        assert_close(found["reading"][row], torch.stack(reading).mean(0), **CLOSE)
        assert_close(found["received"][row], torch.stack(received).mean(0), **CLOSE)


def test_likeness_and_agreement_are_those_of_texts_alone(model: LoadedModel) -> None:
    """Mean over the carriers of how alike heads are, and how alike each head is in all of them."""
    carriers = carriers_of(model)
    found = found_in(model, PAIRS, carriers)
    for row, candidate in enumerate(PAIRS):
        seen, words = zip(*(alone(model, one, candidate) for one in carriers), strict=True)
        maps = [torch.cat(one.maps) for one in seen]
        bare = [renormalised(m, torch.tensor(w)) for m, w in zip(maps, words, strict=True)]
        outputs = torch.stack([one.outputs for one in seen])
        wanted = {
            "likeness": torch.stack([likeness(one) for one in maps]).mean(0),
            "likeness_reading": torch.stack([likeness(one[:, :, :1]) for one in maps]).mean(0),
            "likeness_content": torch.stack([likeness(one) for one in bare]).mean(0),
            "agreement": agreement(outputs)[0],
            "alignment": torch.stack([alignment(one)[0] for one in outputs]).mean(0),
        }
        assert_close({name: found[name][row] for name in wanted}, wanted, **CLOSE)


def test_chunks_change_nothing(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates get the same numbers in chunks of two, with one left over."""
    whole = found_in(model, SINGLES)
    monkeypatch.setattr("plmscan.attention._CHUNK", 2)
    assert_close(dict(found_in(model, SINGLES)), dict(whole), **CLOSE)


def test_tokens_with_one_row_do_the_same(model: LoadedModel) -> None:
    """What the model cannot tell apart has the same statistics, and nothing else has."""
    model.embedding_weight.data[50] = model.embedding_weight.data[52]
    for values in found_in(model, SINGLES).values():
        assert_close(values[0], values[2])
        assert (values[0] - values[1]).abs().max() > 1e-5


def test_a_special_token_can_be_a_candidate(model: LoadedModel) -> None:
    """The unknown token stands for something: it is content like any other candidate."""
    unknown = model.tokenizer.unk_token_id
    model.embedding_weight.data[50] = model.embedding_weight.data[unknown]
    as_a_word = found_in(model, [(50,)])
    assert_close(dict(found_in(model, [(unknown,)])), dict(as_a_word))


def test_a_deadline_ends_it(model: LoadedModel) -> None:
    """The error says what was being done."""
    late = Budget((), deadline=time.monotonic())
    with pytest.raises(OutOfTimeError, match="0% into length 1"):
        attend(model, SINGLES, carriers_of(model), late, "length 1")


@pytest.mark.parametrize("candidates", [SINGLES, PAIRS], ids=["singles", "pairs"])
def test_controls_are_like_candidates(
    model: LoadedModel, candidates: list[tuple[int, ...]]
) -> None:
    """So many as asked, as long, of other tokens that a text can hold."""
    controls = matched(model, candidates, 100, seed=0)
    assert len(controls) == 100
    assert {len(one) for one in controls} == {len(candidates[0])}
    own = {token for one in candidates for token in one}
    drawn = {token for one in controls for token in one}
    assert drawn <= set(searchable_ids(model).tolist()) - own
    assert len(set(controls)) > 20


@pytest.mark.parametrize("candidates", [[(10,), (130,)], [(5, 140), (60, 61), (140, 5)]])
def test_controls_have_the_norms_of_their_model(
    model: LoadedModel, candidates: list[tuple[int, ...]]
) -> None:
    """Candidates take turns; each token has a norm like that of the token in its place.

    Near means a twentieth of the vocabulary's ranks up or down.  Here a norm is a rank, but for
    tokens that no control can hold: the candidates' own, and four that frame, pad or mask.
    """
    norms = with_norms(model)
    own = {token for one in candidates for token in one}
    reach = len(norms) // 20 + len(own) + 4
    controls = matched(model, candidates, 90, seed=0)
    models = torch.tensor(candidates).repeat(90 // len(candidates), 1)
    apart = norms[torch.tensor(controls)] - norms[models]
    assert apart.abs().max() <= reach
    assert (apart.amin(0) < -2).all()
    assert (apart.amax(0) > 2).all()


def test_a_seed_fixes_the_controls(model: LoadedModel) -> None:
    """The same seed gives the same controls; another seed gives others."""
    one, same, other = (matched(model, PAIRS, 20, seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_controls_of_a_whole_vocabulary(model: LoadedModel) -> None:
    """Where candidates hold every token there is, controls are made of the same."""
    everything = [(token,) for token in searchable_ids(model).tolist()]
    controls = matched(model, everything, 50, seed=0)
    assert len(controls) == 50
    assert set(controls) <= set(everything)
