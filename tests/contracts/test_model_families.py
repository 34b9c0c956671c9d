"""What `LoadedModel` promises, held against every family that plmscan reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import torch
from torch.testing import assert_close
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

from plmscan.loading import LoadedModel, Location, load
from plmscan.loading.quiet import quiet
from tests.artifacts import artifact_of
from tests.tiny_models import FAMILIES as TINY
from tests.tiny_models import WORDS, build_tiny

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

TEXTS = ("the good film", "a bad story of the old river, never read", "is it late?")
DECODERS = frozenset({"gpt2", "llama", "mistral", "qwen2", "qwen3"})
POOLED = frozenset({"albert", "bert", "camembert", "mpnet", "roberta", "xlm-roberta"})
MASKED_LM = tuple(name for name in TINY if name not in DECODERS | {"bart", "xlnet"})
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@dataclass(frozen=True)
class Subject:
    """A model of one family, and three texts of different lengths."""

    family: str
    model: LoadedModel
    rows: tuple[tuple[int, ...], ...]

    @property
    def batch(self) -> tuple[Tensor, Tensor]:
        """The texts as one padded batch."""
        return self.model.batch(self.rows)


def rows_of(model: LoadedModel, texts: Sequence[str] = TEXTS) -> tuple[tuple[int, ...], ...]:
    """Ids of ``texts`` as the model gets them."""
    return tuple(model.wrap(model.tokenize(text)) for text in texts)


@pytest.fixture(scope="module", params=TINY)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """One family's tiny model, which no test changes."""
    folder = build_tiny(request.param, tmp_path_factory.mktemp("family"))
    model = load(artifact_of(folder), "cpu")
    return Subject(request.param, model, rows_of(model))


def test_embeddings_and_ids_give_the_same(subject: Subject) -> None:
    """Looking the words up oneself, by hook or by the library's argument, changes nothing."""
    ids, mask = subject.batch
    embeddings = subject.model.embed(ids)
    by_ids = subject.model.forward(ids, mask)
    by_hook = subject.model.forward_embeddings(embeddings, ids, mask)
    assert_close(dict(by_hook.features), dict(by_ids.features), **CLOSE)
    with torch.no_grad():
        by_argument = subject.model.module(inputs_embeds=embeddings, attention_mask=mask)
    real = mask.bool()
    assert_close(by_argument.last_hidden_state[real], by_ids.hidden[real], **CLOSE)


def test_padding_changes_nothing(subject: Subject) -> None:
    """A text has the same features alone, without a mask, as padded in a batch."""
    together = subject.model.forward(*subject.batch).features
    for i, row in enumerate(subject.rows):
        alone = subject.model.forward(torch.tensor([row])).features
        assert_close(
            {k: v[0] for k, v in alone.items()}, {k: v[i] for k, v in together.items()}, **CLOSE
        )


def test_order_changes_nothing(subject: Subject) -> None:
    """A text has the same features wherever it stands in a batch."""
    ids, mask = subject.batch
    order = torch.tensor([2, 0, 1])
    there = subject.model.forward(ids, mask).features
    here = subject.model.forward(ids[order], mask[order]).features
    assert_close(dict(here), {k: v[order] for k, v in there.items()}, **CLOSE)


def test_features_tell_texts_apart(subject: Subject) -> None:
    """No location gives all texts one vector, so the equalities above say something."""
    features = subject.model.forward(*subject.batch).features
    assert features
    assert all((f[0] - f[1]).abs().max() > 1e-3 for f in features.values())


def test_locations_are_the_familys(subject: Subject) -> None:
    """Encoders are read at four places at most, decoders at their last token."""
    if subject.family in DECODERS:
        expected = [Location.LAST]
    else:
        pooler = [Location.POOLER] if subject.family in POOLED else []
        expected = [Location.CLS, *pooler, Location.MEAN, Location.MASK]
    assert list(subject.model.locations) == expected
    assert subject.model.is_decoder == (subject.family in DECODERS)
    assert not subject.model.skipped_locations


def test_mask_is_read_only_where_every_row_has_one(subject: Subject) -> None:
    """A batch with one text without a mask token has no feature there."""
    model = subject.model
    if model.mask_id is None:
        pytest.skip("decoders have no mask token")
    word = model.tokenize(" good")
    masked = model.wrap((*word, model.mask_id, *word))
    plain = model.wrap((*word, *word, *word))
    assert Location.MASK not in model.forward(torch.tensor([masked, plain])).features
    outputs = model.forward(torch.tensor([masked]))
    at = masked.index(model.mask_id)
    assert_close(outputs.features[Location.MASK][0], outputs.hidden[0, at])


def test_classification_token_is_where_the_family_puts_it(subject: Subject) -> None:
    """It is first, except that XLNet's ends the text and decoders have none."""
    if subject.family in DECODERS:
        pytest.skip("decoders have no classification token")
    at = -1 if subject.family == "xlnet" else 0
    row = subject.rows[1]
    outputs = subject.model.forward(torch.tensor([row]))
    assert row[at] == subject.model.tokenizer.cls_token_id
    assert_close(outputs.features[Location.CLS][0], outputs.hidden[0, at])


def test_attention_rows_are_distributions(subject: Subject) -> None:
    """Each layer gives (b, heads, n, n) maps whose real rows sum to 1 over the real tokens."""
    model, (ids, mask) = subject.model, subject.batch
    before = model.module.config._attn_implementation
    maps = model.attend(ids, mask).maps
    assert model.module.config._attn_implementation == before
    assert len(maps) == model.num_layers == 2
    for one in maps:
        assert one.shape == (3, 4, ids.shape[1], ids.shape[1])
        on_real = (one * mask[:, None, None, :]).sum(-1).transpose(1, 2)[mask.bool()]
        assert_close(on_real, torch.ones_like(on_real))


def test_every_head_gives_an_output(subject: Subject) -> None:
    """Side by side they are as wide as a state; XLNet has no module that takes them in.

    No two heads, layers or texts give the same.
    """
    outputs = subject.model.attend(*subject.batch).outputs
    if subject.family == "xlnet":
        assert outputs is None
        return
    assert outputs is not None
    assert outputs.shape == (3, 2, 4, subject.model.hidden_size // 4)
    vectors = outputs.reshape(24, -1)
    assert torch.pdist(vectors).min() > 1e-3
    assert not outputs.requires_grad


VALUES = ("attention.self.value", "v_lin", "v_proj", "value_proj", "attn.v", "attention.value")
"""Ends of the names of modules that give each token's values."""
LAST_VALUES = ("c_attn", "Wqkv")
"""The same where they come behind queries and keys."""


def test_heads_give_what_they_look_at(subject: Subject) -> None:
    """The output of a head is the mean of its values, weighted by the reading token's map."""
    model, row = subject.model, subject.rows[1]
    held: list[Tensor] = []
    sources = [m for name, m in model.module.named_modules() if name.endswith(VALUES + LAST_VALUES)]
    if not sources:
        pytest.skip("values come mixed with queries and keys, or the outputs are not shown")
    handles = [m.register_forward_hook(lambda *one: held.append(one[-1])) for m in sources]
    seen = model.attend(torch.tensor([row]))
    for handle in handles:
        handle.remove()
    assert seen.outputs is not None
    width = seen.outputs.shape[-1]
    for layer, (maps, given) in enumerate(zip(seen.maps, held, strict=True)):
        values = given[..., -model.hidden_size :].reshape(len(row), -1, width)
        values = values.repeat_interleave(4 // values.shape[1], dim=1)
        read = maps[0, :, model.reading_index(len(row))]
        assert_close(seen.outputs[0, layer], torch.einsum("hn,nhd->hd", read, values), **CLOSE)


def test_padding_changes_no_attention(subject: Subject) -> None:
    """A text has the same maps and head outputs alone, without a mask, as padded in a batch."""
    together = subject.model.attend(*subject.batch)
    for i, row in enumerate(subject.rows):
        alone, n = subject.model.attend(torch.tensor([row])), len(row)
        for one, padded in zip(alone.maps, together.maps, strict=True):
            assert_close(one[0], padded[i, :, :n, :n], **CLOSE)
        if alone.outputs is not None and together.outputs is not None:
            assert_close(alone.outputs[0], together.outputs[i], **CLOSE)


def hooks_of(model: LoadedModel) -> int:
    """Hooks on all modules."""
    modules = list(model.module.modules())
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in modules)


def test_looking_at_attention_leaves_no_trace(subject: Subject) -> None:
    """Afterwards the model gives what it gave, and no hook is left, not even after an error.

    From the first time on it has hooks of the library's, always as many.
    """
    model, (ids, mask) = subject.model, subject.batch
    before = model.forward(ids, mask)
    implementation = model.module.config._attn_implementation
    model.attend(ids, mask)
    hooks = hooks_of(model)
    model.attend(ids, mask)
    with pytest.raises(IndexError):
        model.attend(ids + model.vocabulary_size, mask)
    assert hooks_of(model) == hooks
    assert model.module.config._attn_implementation == implementation
    after = model.forward(ids, mask)
    assert torch.equal(after.hidden, before.hidden)
    assert_close(dict(after.features), dict(before.features), rtol=0, atol=0)


def test_a_text_is_read_at_one_token(subject: Subject) -> None:
    """The classification token, which is XLNet's last, or a decoder's last."""
    model = subject.model
    feature = Location.LAST if model.is_decoder else Location.CLS
    last = subject.family in DECODERS | {"xlnet"}
    for row in subject.rows:
        at = model.reading_index(len(row))
        assert at == (len(row) - 1 if last else 0)
        outputs = model.forward(torch.tensor([row]))
        assert_close(outputs.features[feature][0], outputs.hidden[0, at])


def test_layers_end_at_the_feature(subject: Subject) -> None:
    """A state for each layer at the token that is read; the last is the feature.

    So it is where a norm follows the last layer (GPT-2, Llama and its kin, ModernBERT): the library
    gives the last state behind that norm, and those of other layers without it.
    """
    model, (ids, mask) = subject.model, subject.batch
    states = model.layers(ids, mask)
    feature = Location.LAST if model.is_decoder else Location.CLS
    assert states.shape == (3, model.num_layers, model.hidden_size)
    assert_close(states[:, -1], model.forward(ids, mask).features[feature], **CLOSE)
    assert (states[:, 0] - states[:, -1]).abs().max() > 1e-3
    assert not states.requires_grad


def test_padding_changes_no_layer(subject: Subject) -> None:
    """A text has the same states alone, without a mask, as padded in a batch."""
    together = subject.model.layers(*subject.batch)
    alone = [subject.model.layers(torch.tensor([row])) for row in subject.rows]
    assert_close(torch.cat(alone), together, **CLOSE)


def test_embed_gives_the_rows_of_the_table(subject: Subject) -> None:
    """What a model looks up are its rows; BART's are scaled by the root of their width."""
    model, (ids, _) = subject.model, subject.batch
    scale = model.hidden_size**0.5 if subject.family == "bart" else 1.0
    assert_close(model.embed(ids), model.embedding_weight[ids] * scale)
    assert model.vocabulary_size == len(model.tokenizer)


def test_template_is_the_tokenizers(subject: Subject) -> None:
    """Wrapping the bare ids of a text gives what the tokenizer gives."""
    for text, row in zip(TEXTS, subject.rows, strict=True):
        assert list(row) == subject.model.tokenizer(text)["input_ids"]


def test_ids_survive_text(subject: Subject) -> None:
    """Text made of ids tokenizes to the same ids."""
    model = subject.model
    for word in WORDS[:20]:
        ids = model.tokenize(f"the {word}")
        assert model.tokenize(model.decode(ids)) == ids


def test_every_id_is_readable(subject: Subject) -> None:
    """A report can name any row of the table, words by their letters."""
    model = subject.model
    assert all(model.decode([i]) for i in range(model.vocabulary_size + 2))
    assert model.decode(model.tokenize(" good")).strip() == "good"


def test_gradients_reach_embeddings_only(subject: Subject) -> None:
    """After plain passes, a loss still has a gradient at the embeddings; weights have none."""
    model, (ids, mask) = subject.model, subject.batch
    where = Location.LAST if model.is_decoder else Location.MEAN
    clean = model.forward(ids, mask).features[where]
    embeddings = model.embed(ids).requires_grad_()
    feature = model.forward_embeddings(embeddings, ids, mask).features[where]
    (gradient,) = torch.autograd.grad((feature * clean.roll(1, 0)).sum(), embeddings)
    assert gradient[mask.bool()].abs().sum() > 0
    assert not any(p.requires_grad for p in model.module.parameters())
    assert not clean.requires_grad
    assert not model.module.training


def test_meter_counts_padding_and_backward(subject: Subject) -> None:
    """A pass costs its slots, and three times that if a backward pass can follow."""
    model, (ids, mask) = subject.model, subject.batch
    start = model.forward_tokens
    model.forward(ids, mask)
    model.layers(ids, mask)
    model.attend(ids, mask)
    embeddings = model.embed(ids)
    model.forward_embeddings(embeddings, ids, mask)
    model.forward_embeddings(embeddings.requires_grad_(), ids, mask)
    assert model.forward_tokens - start == 7 * ids.numel()


@pytest.mark.parametrize("family", [name for name in TINY if name != "bart"])
def test_classifier_logits_are_the_librarys(family: str, tmp_path: Path) -> None:
    """Alone and padded, a text gets the logits that the library's classifier gives it alone."""
    folder = build_tiny(family, tmp_path, head="classifier")
    model = load(artifact_of(folder), "cpu")
    with quiet():
        library = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    rows = rows_of(model)
    with torch.no_grad():
        expected = torch.cat([library(torch.tensor([row])).logits for row in rows])
    assert model.labels == ("negative", "neutral", "positive")
    assert_close(model.forward(*model.batch(rows)).logits, expected, **CLOSE)
    assert_close(model.forward(torch.tensor(rows[:1])).logits, expected[:1], **CLOSE)


@pytest.mark.parametrize("family", MASKED_LM)
def test_masked_lm_logits_are_the_librarys(family: str, tmp_path: Path) -> None:
    """The masked language model's head gives what the library's gives."""
    folder = build_tiny(family, tmp_path, head="masked-lm")
    model = load(artifact_of(folder), "cpu")
    with quiet():
        library = AutoModelForMaskedLM.from_pretrained(folder).eval()
    row = torch.tensor(rows_of(model)[:1])
    with torch.no_grad():
        expected = library(row).logits
    found = model.masked_lm_logits(model.forward(row).hidden)
    assert_close(found, expected, **CLOSE)


def test_barts_classifier_blocks_with_a_reason(tmp_path: Path) -> None:
    """BART's head reads the decoder, which plmscan does not measure; the report says so."""
    model = load(artifact_of(build_tiny("bart", tmp_path, head="classifier")), "cpu")
    assert model.labels == ()
    assert model.forward(*model.batch(rows_of(model))).logits is None
    gaps = {gap.subject: gap for gap in model.gaps if gap.blocks_pass}
    assert "BartForSequenceClassification" in gaps["classifier head"].reason
    assert "decoder.*" in gaps["rest of the model"].reason
