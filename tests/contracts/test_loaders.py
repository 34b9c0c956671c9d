"""What the libraries load from a folder is what plmscan measures, or the report names it.

Each layout is loaded by the library that its users load it with, and by plmscan; the tensors of the
two Transformers are compared by digest.  Where they differ, and where the library computes more
than a Transformer, a gap that withholds the pass has to name the place.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import torch
from sentence_transformers import (
    CrossEncoder,
    MultiVectorEncoder,
    SentenceTransformer,
    SparseEncoder,
)
from sentence_transformers.sentence_transformer import modules as parts
from sentence_transformers.sparse_encoder.modules import SpladePooling
from setfit import SetFitModel
from sklearn.linear_model import LogisticRegression
from torch import nn
from transformers import AutoModel

from plmscan.evidence import Gap
from plmscan.loading import Location, load, unmeasured_modules
from plmscan.loading.layers import Sketch
from plmscan.loading.quiet import quiet
from plmscan.probes.static.entry_points import Probe
from plmscan.source import SourceOptions, resolve
from tests.artifacts import write_json
from tests.tiny_models import WORDS, build_tiny

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    _Load = Callable[[Path], nn.Module | None]

TRANSFORMER = "sentence_transformers.models.Transformer"
POOLING = "sentence_transformers.models.Pooling"
OPTIONS = SourceOptions(allow_pickle=False)


@dataclass(frozen=True)
class Layout:
    """A folder, who loads it, and what of it nobody measures."""

    build: Callable[[Path], object]
    """Writes the folder."""
    load: _Load
    """The Transformer that the library loads; None if it loads no Transformer."""
    named: str = ""
    """What a blocking gap has to name; empty if plmscan measures all of it."""


def mended(folder: Path, name: str, **settings: object) -> None:
    """Set keys of a JSON file."""
    path = folder / name
    held = json.loads(path.read_text()) if path.exists() else {}
    write_json(path, {**held, **settings})


def listed(folder: Path, *modules: tuple[str, str]) -> None:
    """Write a ``modules.json`` of paths and types."""
    rows = [
        {"idx": i, "name": str(i), "path": path, "type": kind}
        for i, (path, kind) in enumerate(modules)
    ]
    write_json(folder / "modules.json", rows)


def pooled(folder: Path, at: str = "", **mode: object) -> None:
    """A Transformer at ``at`` and a pooling behind it, as old versions wrote them."""
    listed(folder, (at, TRANSFORMER), ("1_Pooling", POOLING))
    mode = mode or {"pooling_mode_mean_tokens": True}
    write_json(folder / "1_Pooling/config.json", {"word_embedding_dimension": 32, **mode})


def bert(folder: Path, seed: int = 0, **kind: Any) -> Path:  # noqa: ANN401 - as `build_tiny`
    """A tiny encoder."""
    return build_tiny("bert", folder, seed=seed, **kind)


def encoder_in(at: str) -> Callable[[Path], None]:
    """A layout whose Transformer lies at ``at``."""

    def build(folder: Path) -> None:
        bert(folder / at)
        pooled(folder, at)

    return build


def with_pooling(**mode: object) -> Callable[[Path], None]:
    """A layout with that pooling."""

    def build(folder: Path) -> None:
        bert(folder)
        pooled(folder, **mode)

    return build


def saved(*modules: nn.Module) -> Callable[[Path], None]:
    """A layout that sentence-transformers writes itself, with ``modules`` behind the pooling."""

    def build(folder: Path) -> None:
        body = parts.Transformer(str(bert(folder.with_name("source"))))
        SentenceTransformer(modules=[body, parts.Pooling(32), *modules]).save_pretrained(
            str(folder), create_model_card=False
        )

    return build


def prompted(*, include_prompt: bool) -> Callable[[Path], None]:
    """A layout that puts a prompt before every text."""

    def build(folder: Path) -> None:
        bert(folder)
        pooled(folder, pooling_mode="weightedmean", include_prompt=include_prompt)
        told = {"prompts": {"query": "a house: "}, "default_prompt_name": "query"}
        mended(folder, "config_sentence_transformers.json", **told)

    return build


def with_settings(name: str, **settings: object) -> Callable[[Path], None]:
    """A layout with settings of one file."""

    def build(folder: Path) -> None:
        bert(folder)
        pooled(folder)
        mended(folder, name, **settings)

    return build


def two_models(folder: Path) -> None:
    """One model inside another."""
    bert(folder)
    bert(folder / "inner", seed=1)
    pooled(folder, "inner")


def routed(second: str) -> Callable[[Path], None]:
    """A router whose documents go through ``second``."""

    def build(folder: Path) -> None:
        query = parts.Transformer(str(bert(folder.with_name("source"))))
        other = parts.Transformer(str(bert(folder.with_name("other"), seed=1)))
        document = query if second == "the same" else other
        router = parts.Router.for_query_document(
            [query, parts.Pooling(32)], [document, parts.Pooling(32)]
        )
        SentenceTransformer(modules=[router]).save_pretrained(str(folder), create_model_card=False)

    return build


def in_shards(folder: Path) -> None:
    """Weights in several files."""
    model = AutoModel.from_pretrained(bert(folder.with_name("source")))
    shutil.copytree(folder.with_name("source"), folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")


def by_another_name(folder: Path) -> None:
    """Weights that only the configuration names, beside others."""
    bert(folder)
    bert(folder.with_name("other"), seed=1)
    shutil.copy(folder.with_name("other") / "model.safetensors", folder / "real.safetensors")
    mended(folder, "config.json", transformers_weights="real.safetensors")
    pooled(folder)


def a_decoder(folder: Path) -> None:
    """A language model that is read at its last token."""
    build_tiny("qwen3", folder)
    pooled(folder, pooling_mode="lasttoken")


def an_encoder_decoder(folder: Path) -> None:
    """A model whose decoder has the last word."""
    build_tiny("bart", folder)
    pooled(folder)


def word_vectors(folder: Path) -> None:
    """Vectors of words beside a Transformer that nobody loads."""
    bert(folder)
    pooled(folder)
    place = folder / "0_WordEmbeddings"
    place.mkdir()
    tokenizer = parts.tokenizer.WhitespaceTokenizer(["good", "bad"])
    parts.WordEmbeddings(tokenizer, torch.zeros(3, 32)).save(str(place))
    kind = "sentence_transformers.models.WordEmbeddings"
    listed(folder, (place.name, kind), ("1_Pooling", POOLING))


def a_reranker(folder: Path) -> None:
    """A cross-encoder in the layout of 5.4 and later."""
    bert(folder.with_name("source"), head="classifier")
    CrossEncoder(str(folder.with_name("source"))).save_pretrained(
        str(folder), create_model_card=False
    )


def a_splade(folder: Path) -> None:
    """A sparse encoder."""
    bert(folder.with_name("source"), head="masked-lm")
    body = parts.Transformer(str(folder.with_name("source")), transformer_task="fill-mask")
    SparseEncoder(modules=[body, SpladePooling()]).save_pretrained(
        str(folder), create_model_card=False
    )


def many_vectors(folder: Path) -> None:
    """A multi-vector encoder."""
    bert(folder.with_name("source"))
    MultiVectorEncoder(str(folder.with_name("source"))).save_pretrained(
        str(folder), create_model_card=False
    )


def a_setfit(folder: Path) -> None:
    """An encoder with a head of scikit-learn."""
    bert(folder.with_name("source"))
    body = SentenceTransformer(str(folder.with_name("source")))
    head = LogisticRegression().fit([[0.0] * 32, [1.0] * 32], [0, 1])
    SetFitModel(model_body=body, model_head=head).save_pretrained(str(folder))


def config_by_version(folder: Path) -> None:
    """A configuration that names another one, with fewer layers."""
    bert(folder)
    pooled(folder)
    shutil.copy(folder / "config.json", folder / "config.4.0.0.json")
    mended(folder, "config.4.0.0.json", num_hidden_layers=1)
    mended(folder, "config.json", configuration_files=["config.4.0.0.json"])


def tokenizer_elsewhere(folder: Path) -> None:
    """A Transformer with the tokenizer of another folder."""
    bert(folder)
    pooled(folder)
    other = bert(folder.with_name("other"))
    mended(folder, "sentence_bert_config.json", tokenizer_name_or_path=str(other))


def by_sentence_transformers(folder: Path) -> nn.Module | None:
    """The first Transformer of a model of sentence-transformers."""
    return transformer_of(SentenceTransformer(str(folder), device="cpu"))


def transformer_of(model: nn.Module) -> nn.Module | None:
    """The base model inside; None if there is no Transformer."""
    found = [m.model for m in model.modules() if isinstance(m, parts.Transformer)]
    return getattr(found[0], "base_model", found[0]) if found else None


def by_setfit(folder: Path) -> nn.Module | None:
    """The body of a SetFit model."""
    return transformer_of(SetFitModel.from_pretrained(str(folder), device="cpu").model_body)


LAYOUTS = {
    "no-modules": Layout(bert, by_sentence_transformers),
    "automodel": Layout(bert, AutoModel.from_pretrained),
    "root": Layout(encoder_in(""), by_sentence_transformers),
    "0-transformer": Layout(encoder_in("0_Transformer"), by_sentence_transformers),
    "hidden": Layout(encoder_in(".body/x"), by_sentence_transformers),
    "mean-saved": Layout(saved(), by_sentence_transformers),
    "normalized": Layout(saved(parts.Normalize()), by_sentence_transformers),
    "dropout": Layout(saved(parts.Dropout(0.5)), by_sentence_transformers),
    "cls": Layout(with_pooling(pooling_mode_cls_token=True), by_sentence_transformers),
    "cls-and-mean": Layout(with_pooling(pooling_mode=["cls", "mean"]), by_sentence_transformers),
    "max": Layout(with_pooling(pooling_mode="max"), by_sentence_transformers),
    "last-token": Layout(with_pooling(pooling_mode="lasttoken"), by_sentence_transformers),
    "shards": Layout(in_shards, by_sentence_transformers),
    "other-weights": Layout(by_another_name, by_sentence_transformers),
    "decoder": Layout(a_decoder, by_sentence_transformers),
    "bart": Layout(an_encoder_decoder, by_sentence_transformers, "only a part is measured"),
    "two-models": Layout(two_models, by_sentence_transformers, "config.json"),
    "router": Layout(routed("the same"), by_sentence_transformers),
    "two-routes": Layout(routed("another"), by_sentence_transformers, "document_0_Transformer"),
    "dense": Layout(saved(parts.Dense(32, 8)), by_sentence_transformers),
    "layer-norm": Layout(saved(parts.LayerNorm(32)), by_sentence_transformers),
    "word-vectors": Layout(word_vectors, by_sentence_transformers, "WordEmbeddings"),
    "splade": Layout(a_splade, lambda f: transformer_of(SparseEncoder(str(f)))),
    "many-vectors": Layout(many_vectors, lambda f: transformer_of(MultiVectorEncoder(str(f)))),
    "reranker-of-transformers": Layout(
        lambda folder: bert(folder, head="classifier"),
        lambda folder: transformer_of(CrossEncoder(str(folder))),
    ),
    "reranker": Layout(a_reranker, lambda f: transformer_of(CrossEncoder(str(f)))),
    "setfit": Layout(a_setfit, by_setfit),
    "fewer-layers": Layout(
        with_settings("sentence_bert_config.json", config_args={"num_hidden_layers": 1}),
        by_sentence_transformers,
        "num_hidden_layers",
    ),
    "config-by-version": Layout(config_by_version, by_sentence_transformers, "configuration_files"),
    "tokenizer-elsewhere": Layout(
        tokenizer_elsewhere, by_sentence_transformers, "tokenizer_name_or_path"
    ),
    "old-settings": Layout(
        with_settings("sentence_roberta_config.json", max_seq_length=16, do_lower_case=False),
        by_sentence_transformers,
    ),
    "pooler-output": Layout(
        with_settings(
            "sentence_bert_config.json",
            modality_config={"text": {"method": "forward", "method_output_name": "hidden_states"}},
            module_output_name="token_embeddings",
        ),
        by_sentence_transformers,
        "hidden_states",
    ),
}


def digests(model: nn.Module) -> dict[str, str]:
    """The digest of each tensor, by name."""
    return {
        name: hashlib.sha256(tensor.float().contiguous().numpy().tobytes()).hexdigest()
        for name, tensor in model.state_dict().items()
    }


def blocking(folder: Path) -> list[str]:
    """What withholds a pass of the files and of what is loaded from them."""
    artifact = resolve(str(folder), OPTIONS, lambda _fraction, _note: None)
    gaps = [o for o in Probe().inspect(artifact) if isinstance(o, Gap)]
    gaps += unmeasured_modules(artifact, load(artifact, "cpu"))
    return [f"{gap.subject}: {gap.reason}" for gap in gaps if gap.blocks_pass]


def measured(folder: Path) -> Mapping[str, str]:
    """Digests of what plmscan runs."""
    artifact = resolve(str(folder), OPTIONS, lambda _fraction, _note: None)
    return digests(load(artifact, "cpu").module)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_what_a_library_loads_is_measured_or_named(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same tensors by digest; where the library computes more or other, a gap names it."""
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    folder = tmp_path / "model"
    with quiet():
        layout.build(folder)
        model = layout.load(folder)
    loaded = {} if model is None else digests(model)
    told = blocking(folder)
    if layout.named:
        assert any(layout.named in line for line in told), told
        return
    assert told == []
    ours = measured(folder)
    made_up = {name for name in loaded if name.startswith("pooler.")} - ours.keys()
    assert {n: d for n, d in loaded.items() if n not in made_up} == ours


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("normalized", [False, True])
def test_setfit_answers_what_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, normalized: bool
) -> None:
    """The label that leads is the one that SetFit gives to a text, by the name that it gives it."""
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    folder, texts = tmp_path / "model", [" ".join(WORDS[i : i + 5]) for i in range(0, 60, 2)]
    with quiet():
        body = SentenceTransformer(str(bert(tmp_path / "source")), device="cpu")
        vectors = body.encode(texts, normalize_embeddings=normalized)
        head = LogisticRegression(C=100).fit(vectors, [i % 3 for i in range(len(texts))])
        SetFitModel(
            body, head, normalize_embeddings=normalized, labels=["a", "b", "c"]
        ).save_pretrained(str(folder))
        answers = SetFitModel.from_pretrained(str(folder), device="cpu").predict(texts)
    model = load(resolve(str(folder), OPTIONS, lambda _fraction, _note: None), "cpu")
    rows = [model.wrap(model.tokenize(text)) for text in texts]
    leads = model.forward(*model.batch(rows)).leads
    assert leads is not None
    assert [model.labels[i] for i in leads.argmax(dim=1).tolist()] == answers
    assert len(set(answers)) == 3


EMBEDDINGS: Mapping[str, Callable[[Path], None]] = {
    "normalized": saved(parts.Normalize()),
    "two-modes": with_pooling(pooling_mode=["mean", "max"]),
    "three-modes": with_pooling(
        pooling_mode_lasttoken=True,
        pooling_mode_weightedmean_tokens=True,
        pooling_mode_mean_sqrt_len_tokens=True,
    ),
    "dense": saved(parts.Dense(32, 8), parts.Normalize()),
    "dense-beside": saved(parts.Dense(32, 8, activation_function=nn.ReLU(), use_residual=True)),
    "layer-norm": saved(parts.Dropout(0.5), parts.LayerNorm(32)),
    "prompted": prompted(include_prompt=True),
    "after-the-prompt": prompted(include_prompt=False),
}
"""Models whose embedding is more than a location of the Transformer."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", EMBEDDINGS)
def test_an_embedding_is_what_the_library_gives(name: str, tmp_path: Path) -> None:
    """Of texts of two lengths: every number of it, the prompt included."""
    folder, texts = tmp_path / "model", ["the film is good", "a bad story"]
    with quiet():
        EMBEDDINGS[name](folder)
        library = SentenceTransformer(str(folder), device="cpu").encode(texts)
        model = load(resolve(str(folder), OPTIONS, lambda _fraction, _note: None), "cpu")
    rows = [model.wrap(model.tokenize(text)) for text in texts]
    found = model.forward(*model.batch(rows)).features[Location.EMBEDDING]
    torch.testing.assert_close(found, torch.from_numpy(library), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_vectors_of_tokens_are_read_at_their_mean(tmp_path: Path) -> None:
    """What a multi-vector encoder gives for each token, through its own layers."""
    folder, text = tmp_path / "model", "the film is good"
    with quiet():
        many_vectors(folder)
        library = MultiVectorEncoder(str(folder), device="cpu").encode_document([text])[0]
        model = load(resolve(str(folder), OPTIONS, lambda _fraction, _note: None), "cpu")
    ids, _ = model.batch([model.wrap(model.tokenize(text))])
    found = model.forward(ids).features[Location.EMBEDDING][0]
    torch.testing.assert_close(found, torch.as_tensor(library).mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_weights_of_words_are_those_of_the_library(tmp_path: Path) -> None:
    """A sparse encoder is read at its weight of every word, folded into fewer numbers."""
    folder, texts = tmp_path / "model", ["the film is good", "a bad story"]
    with quiet():
        a_splade(folder)
        library = SparseEncoder(str(folder), device="cpu").encode(texts).to_dense()
        model = load(resolve(str(folder), OPTIONS, lambda _fraction, _note: None), "cpu")
    rows = [model.wrap(model.tokenize(text)) for text in texts]
    found = model.forward(*model.batch(rows)).features[Location.EMBEDDING]
    torch.testing.assert_close(found, Sketch(32)(library), rtol=1e-4, atol=1e-5)
