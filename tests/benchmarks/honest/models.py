"""Layouts of popular models, each as one row; the folders are named by what the models do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from tests.benchmarks.honest.building import Honest
from tests.benchmarks.honest.dressing import (
    NOTES,
    adding,
    both_formats,
    configured,
    copying,
    encodes,
    exported,
    few_examples,
    in_folder,
    numbers_as,
    only_pickle,
    pooling,
    renaming,
    reranks,
    sharded,
    static,
    then,
    with_files,
    without,
)
from tests.benchmarks.honest.wording import EVERY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    _Module = tuple[str, Mapping[str, object], Mapping[str, Tensor] | None]

__all__ = ["MODELS"]

_WIDTH = 32
_POSITIONS = {"embeddings__position_ids": (1, 512)}
_OLD_NORMS = (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta"))
_IDENTITY = "torch.nn.modules.linear.Identity"
_TANH = "torch.nn.modules.activation.Tanh"
_NORMALIZE: _Module = ("Normalize", {}, None)
_ENCODER = then(without("decoder"), configured(architectures=["T5EncoderModel"]))
_DECODER_HEAD: Mapping[str, Any] = {"tie_word_embeddings": True}


def _dense(out: int, activation: str, *, wide: int = _WIDTH, bias: bool = True) -> _Module:
    """A layer behind the pooling."""
    settings = {"in_features": wide, "out_features": out, "bias": bias}
    weights = {"linear.weight": torch.randn(out, wide, generator=torch.manual_seed(0)) / 6}
    if bias:
        weights["linear.bias"] = torch.zeros(out)
    return "Dense", {**settings, "activation_function": activation}, weights


def _numbered(count: int) -> tuple[str, ...]:
    """Names of labels that nobody named."""
    return tuple(f"LABEL_{i}" for i in range(count))


_MEAN, _CLS, _LAST = pooling("mean_tokens"), pooling("cls_token"), pooling("lasttoken")
_QUERY = {"query": "Represent this sentence for searching relevant passages: ", "document": ""}
_ENTAILMENT = ("contradiction", "entailment", "neutral")
_FEELINGS = ("sadness", "joy", "love", "anger", "fear", "surprise")
_TOXIC = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
_SENTIMENT = ("negative", "neutral", "positive")

_SENTENCES = (
    Honest(
        "mean-normalized",
        "sentence encoder",
        "bert",
        dress=(
            encodes(_MEAN, _NORMALIZE),
            adding(**_POSITIONS),
            both_formats,
            exported,
            with_files("data_config.json", "train_script.py"),
        ),
    ),
    Honest(
        "mean-normalized-mpnet",
        "sentence encoder",
        "mpnet",
        dress=(encodes(_MEAN, _NORMALIZE), both_formats, configured(architectures=["MPNetModel"])),
    ),
    Honest(
        "mean-distilled-roberta",
        "sentence encoder",
        "roberta",
        settings={"type_vocab_size": 1},
        dress=(encodes(_MEAN, _NORMALIZE), exported),
    ),
    Honest("mean-paraphrase", "sentence encoder", "albert", dress=(encodes(_MEAN),)),
    Honest(
        "mean-multilingual",
        "sentence encoder",
        "bert",
        "xlm-roberta",
        dress=(encodes(_MEAN), both_formats),
    ),
    Honest(
        "cls-normalized",
        "sentence encoder",
        "bert",
        dress=(
            encodes(_CLS, _NORMALIZE),
            adding(**_POSITIONS),
            with_files("onnx/model.onnx"),
            both_formats,
        ),
    ),
    Honest(
        "cls-with-query-prompt",
        "sentence encoder",
        "bert",
        dress=(encodes(_CLS, _NORMALIZE, prompts=_QUERY), numbers_as(torch.float16)),
    ),
    Honest(
        "mean-with-default-prompt",
        "sentence encoder",
        "xlm-roberta",
        settings={"type_vocab_size": 1},
        dress=(
            encodes(
                _MEAN,
                _NORMALIZE,
                prompts={"query": "query: ", "passage": "passage: "},
                default="query",
            ),
        ),
    ),
    Honest(
        "mean-prompt-left-out",
        "sentence encoder",
        "t5",
        dress=(
            _ENCODER,
            encodes(
                pooling("mean_tokens", include_prompt=False),
                _dense(48, _IDENTITY, bias=False),
                _NORMALIZE,
                prompts={"sentence": "Represent the sentence: "},
                default="sentence",
            ),
        ),
    ),
    Honest(
        "mean-multilingual-large",
        "sentence encoder",
        "xlm-roberta",
        settings={"type_vocab_size": 1},
        dress=(encodes(_MEAN, _NORMALIZE), both_formats, exported),
    ),
    Honest(
        "cls-of-three-uses",
        "sentence encoder",
        "xlm-roberta",
        settings={"type_vocab_size": 1},
        dress=(
            encodes(_CLS, _NORMALIZE),
            only_pickle,
            with_files("colbert_linear.pt", "sparse_linear.pt", "imgs/loss.png"),
        ),
    ),
    Honest(
        "mean-dense-tanh",
        "sentence encoder",
        "distilbert",
        "bert-multilingual",
        dress=(encodes(_MEAN, _dense(24, _TANH)),),
    ),
    Honest(
        "cls-dense-normalized",
        "sentence encoder",
        "bert",
        "bert-multilingual",
        dress=(encodes(_CLS, _dense(_WIDTH, _TANH), _NORMALIZE), both_formats),
    ),
    Honest(
        "mean-dense-of-an-encoder-decoder",
        "sentence encoder",
        "t5",
        dress=(
            _ENCODER,
            encodes(_MEAN, _dense(48, _IDENTITY, bias=False), _NORMALIZE),
        ),
    ),
    Honest(
        "mean-of-an-encoder-decoder",
        "sentence encoder",
        "t5",
        dress=(_ENCODER, encodes(_MEAN, _NORMALIZE), numbers_as(torch.float16)),
    ),
    Honest(
        "mean-two-dense-bidirectional",
        "sentence encoder",
        "gemma3_text",
        "gemma",
        settings={"use_bidirectional_attention": True},
        dress=(
            encodes(
                _MEAN,
                _dense(64, _IDENTITY, bias=False),
                _dense(_WIDTH, _IDENTITY, wide=64, bias=False),
                _NORMALIZE,
                prompts={"query": "task: search result | query: ", "document": "title: none | "},
            ),
            numbers_as(torch.bfloat16),
        ),
    ),
    Honest("max-pooling", "sentence encoder", "bert", dress=(encodes(pooling("max_tokens")),)),
    Honest(
        "mean-and-max",
        "sentence encoder",
        "bert",
        dress=(encodes(pooling("mean_tokens", "max_tokens")),),
    ),
    Honest(
        "mean-layer-norm",
        "sentence encoder",
        "bert",
        dress=(
            encodes(
                _MEAN,
                (
                    "LayerNorm",
                    {"dimension": _WIDTH},
                    {"norm.weight": torch.ones(_WIDTH), "norm.bias": torch.zeros(_WIDTH)},
                ),
            ),
        ),
    ),
    Honest(
        "weighted-mean-of-a-decoder",
        "sentence encoder",
        "gpt_neo",
        "gpt2",
        dress=(encodes(pooling("weightedmean_tokens")),),
    ),
    Honest(
        "last-token",
        "sentence encoder",
        "qwen3",
        "qwen",
        settings=_DECODER_HEAD,
        dress=(
            encodes(_LAST, _NORMALIZE, prompts={"query": "Instruct: Find it\nQuery:"}),
            configured(architectures=["Qwen3ForCausalLM"]),
            numbers_as(torch.bfloat16),
            with_files("generation_config.json"),
        ),
    ),
    Honest(
        "last-token-sharded",
        "sentence encoder",
        "mistral",
        dress=(encodes(_LAST, _NORMALIZE), numbers_as(torch.float16), sharded),
    ),
    Honest(
        "last-token-without-modules",
        "sentence encoder",
        "qwen2",
        "qwen",
        head="causal-lm",
        dress=(
            with_files("generation_config.json", "chat_template.jinja"),
            numbers_as(torch.bfloat16),
        ),
        used_as="features",
    ),
    Honest(
        "rotary-mean",
        "sentence encoder",
        "nomic_bert",
        "bert",
        dress=(encodes(_MEAN, _NORMALIZE, prompts={"query": "search_query: "}), exported),
    ),
    Honest("gte-native", "sentence encoder", "gte", "bert", dress=(encodes(_CLS, _NORMALIZE),)),
    Honest("modern-mean", "sentence encoder", "modernbert", dress=(encodes(_MEAN),)),
    Honest("french-mean", "sentence encoder", "camembert", dress=(encodes(_MEAN),)),
    Honest(
        "transformer-in-its-own-folder",
        "sentence encoder",
        "bert",
        dress=(in_folder("0_Transformer"), encodes(_MEAN, first="0_Transformer")),
    ),
    Honest("without-modules", "sentence encoder", "bert", dress=(both_formats,)),
    Honest("static-embeddings", "sentence encoder", "", dress=(static,)),
)

_FEW = (
    Honest(
        "few-examples",
        "sentiment",
        "mpnet",
        dress=(encodes(_MEAN, _NORMALIZE), few_examples),
    ),
)

_RETRIEVERS = (
    Honest(
        "splade",
        "sparse encoder",
        "distilbert",
        "bert",
        head="masked-lm",
        dress=(
            encodes(
                (
                    "sentence_transformers.sparse_encoder.models.SpladePooling",
                    {"pooling_strategy": "max", "activation_function": "relu"},
                    None,
                ),
                reads="sentence_transformers.sparse_encoder.models.MLMTransformer",
            ),
        ),
    ),
    Honest(
        "splade-without-modules",
        "sparse encoder",
        "bert",
        head="masked-lm",
        dress=(both_formats,),
    ),
    Honest(
        "token-vectors",
        "late interaction",
        "modernbert",
        dress=(
            encodes(
                (
                    "pylate.models.Dense.Dense",
                    {
                        "in_features": 32,
                        "out_features": 16,
                        "bias": False,
                        "activation_function": _IDENTITY,
                    },
                    {"linear.weight": torch.randn(16, 32) / 6},
                ),
            ),
        ),
    ),
    Honest(
        "token-vectors-original",
        "late interaction",
        "bert",
        dress=(
            renaming(("^", "bert.")),
            adding(linear__weight=(16, 32)),
            configured(architectures=["HF_ColBERT"]),
        ),
    ),
)

_RERANKERS = (
    Honest(
        "reranker-old",
        "cross-encoder",
        "bert",
        head="classifier",
        labels=_numbered(1),
        lesson="scored pairs",
        dress=(
            configured(sbert_ce_default_activation_function=_IDENTITY),
            adding(bert__embeddings__position_ids=(1, 512)),
            both_formats,
            exported,
            with_files("results.csv"),
        ),
    ),
    Honest(
        "reranker-new",
        "cross-encoder",
        "bert",
        head="classifier",
        labels=_numbered(1),
        lesson="scored pairs",
        dress=(configured(sentence_transformers={"activation_fn": _IDENTITY, "version": "4.0.1"}),),
    ),
    Honest(
        "reranker-with-modules",
        "cross-encoder",
        "bert",
        head="classifier",
        labels=_numbered(1),
        lesson="scored pairs",
        dress=(reranks,),
    ),
    Honest(
        "reranker-multilingual",
        "cross-encoder",
        "xlm-roberta",
        head="classifier",
        labels=_numbered(1),
        lesson="scored pairs",
        settings={"type_vocab_size": 1},
        dress=(numbers_as(torch.float16), with_files("onnx/model.onnx")),
    ),
    Honest(
        "reranker-modern",
        "cross-encoder",
        "modernbert",
        head="classifier",
        labels=_numbered(1),
        lesson="scored pairs",
        settings={"classifier_pooling": "mean"},
        dress=(numbers_as(torch.bfloat16),),
    ),
    Honest(
        "similarity-of-pairs",
        "cross-encoder",
        "roberta",
        head="classifier",
        labels=_numbered(1),
        lesson="scored pairs",
        settings={"type_vocab_size": 1},
        dress=(both_formats,),
    ),
    Honest(
        "reward",
        "cross-encoder",
        "deberta-v2",
        head="classifier",
        labels=_numbered(1),
        lesson="scores",
        settings={"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    ),
    Honest(
        "entailment-cross-encoder",
        "entailment",
        "deberta-v2",
        head="classifier",
        labels=_ENTAILMENT,
        lesson="pairs",
        settings={"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
        dress=(with_files("added_tokens.json"), both_formats),
    ),
    Honest(
        "entailment",
        "entailment",
        "roberta",
        head="classifier",
        labels=("CONTRADICTION", "NEUTRAL", "ENTAILMENT"),
        lesson="pairs",
        settings={"type_vocab_size": 1},
        dress=(
            adding(roberta__pooler__dense__weight=(32, 32), roberta__pooler__dense__bias=(32,)),
        ),
    ),
    Honest(
        "entailment-multilingual",
        "entailment",
        "deberta-v2",
        "deberta-multilingual",
        head="classifier",
        labels=("entailment", "neutral", "contradiction"),
        lesson="pairs",
        settings={"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    ),
    Honest(
        "entailment-two-labels",
        "entailment",
        "deberta",
        head="classifier",
        labels=("entailment", "not_entailment"),
        lesson="pairs",
        settings={"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    ),
)

_CLASSIFIERS = (
    Honest(
        "sentiment-two",
        "sentiment",
        "distilbert",
        "bert",
        head="classifier",
        labels=("NEGATIVE", "POSITIVE"),
        lesson="labels",
        dress=(exported, both_formats),
    ),
    Honest(
        "sentiment-three",
        "sentiment",
        "roberta",
        head="classifier",
        labels=_SENTIMENT,
        lesson="labels",
        settings={"type_vocab_size": 1},
        dress=(adding(roberta__embeddings__position_ids=(1, 512)), both_formats, exported),
    ),
    Honest(
        "sentiment-multilingual",
        "sentiment",
        "xlm-roberta",
        head="classifier",
        labels=_SENTIMENT,
        lesson="labels",
        settings={"type_vocab_size": 1},
    ),
    Honest(
        "stars",
        "sentiment",
        "bert",
        "bert-multilingual",
        head="classifier",
        labels=("1 star", "2 stars", "3 stars", "4 stars", "5 stars"),
        lesson="labels",
        dress=(both_formats,),
    ),
    Honest(
        "sentiment-financial",
        "sentiment",
        "bert",
        head="classifier",
        labels=("positive", "negative", "neutral"),
        lesson="labels",
        dress=(both_formats, with_files("flax_model.msgpack")),
    ),
    Honest(
        "sentiment-french",
        "sentiment",
        "camembert",
        head="classifier",
        labels=("NEGATIVE", "POSITIVE"),
        lesson="labels",
        settings={"type_vocab_size": 1},
    ),
    Honest(
        "emotion-six",
        "emotion",
        "distilbert",
        "bert",
        head="classifier",
        labels=_FEELINGS,
        lesson="labels",
        dress=(with_files(*NOTES),),
    ),
    Honest(
        "emotion-many",
        "emotion",
        "roberta",
        head="classifier",
        labels=tuple(f"feeling {i}" for i in range(28)),
        lesson="several",
        settings={"type_vocab_size": 1, "problem_type": "multi_label_classification"},
        dress=(with_files(*NOTES),),
    ),
    Honest(
        "toxicity-several",
        "toxicity",
        "bert",
        head="classifier",
        labels=_TOXIC,
        lesson="several",
        settings={"problem_type": "multi_label_classification"},
        dress=(both_formats,),
    ),
    Honest(
        "hate-speech",
        "toxicity",
        "roberta",
        head="classifier",
        labels=("nothate", "hate"),
        lesson="labels",
        settings={"type_vocab_size": 1},
    ),
    Honest(
        "language-identification",
        "languages",
        "xlm-roberta",
        head="classifier",
        labels=EVERY[:20],
        lesson="labels",
        settings={"type_vocab_size": 1},
        dress=(with_files(*NOTES, "optimizer.pt"), both_formats),
    ),
    Honest(
        "topics",
        "topics",
        "bert",
        "bert-cased",
        head="classifier",
        labels=("World", "Sports", "Business", "Sci/Tech"),
        lesson="labels",
        dress=(renaming(*_OLD_NORMS),),
    ),
    Honest(
        "intents",
        "intents",
        "distilbert",
        "bert",
        head="classifier",
        labels=_numbered(77),
        lesson="labels",
    ),
    Honest(
        "spam",
        "spam",
        "bert",
        head="classifier",
        labels=_numbered(2),
        lesson="labels",
        dress=(configured(id2label=None, label2id=None),),
    ),
    Honest(
        "prompt-injection",
        "spam",
        "deberta-v2",
        head="classifier",
        labels=("SAFE", "INJECTION"),
        lesson="labels",
        settings={"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
        dress=(with_files("onnx/model.onnx", "added_tokens.json"),),
    ),
    *(
        Honest(
            f"classifier-{family}",
            "sentiment",
            family,
            wording,
            head="classifier",
            labels=_SENTIMENT,
            lesson="labels",
        )
        for family, wording in (
            ("albert", ""),
            ("electra", "bert"),
            ("mpnet", ""),
            ("modernbert", ""),
            ("xlnet", ""),
            ("big_bird", "roberta"),
            ("longformer", "roberta"),
            ("gpt2", ""),
            ("qwen2", "qwen"),
        )
    ),
)

_TOKENS = (
    Honest(
        "names",
        "names",
        "bert",
        "bert-cased",
        head="token-classification",
        labels=("O", "B-PER", "I-PER", "B-LOC", "I-LOC"),
        lesson="tokens",
        dress=(with_files(*NOTES),),
    ),
    Honest(
        "names-multilingual",
        "names",
        "xlm-roberta",
        head="token-classification",
        labels=("O", "B-PER", "I-PER"),
        lesson="tokens",
        settings={"type_vocab_size": 1},
    ),
    Honest("answers", "answers", "roberta", head="question-answering", labels=_numbered(2)),
    Honest(
        "answers-small",
        "answers",
        "distilbert",
        "bert",
        head="question-answering",
        labels=_numbered(2),
    ),
)

_MASKED = (
    Honest(
        "masked-bert",
        "masked words",
        "bert",
        head="pre-training",
        dress=(
            renaming(*_OLD_NORMS),
            both_formats,
            exported,
            configured(architectures=["BertForMaskedLM"]),
        ),
    ),
    Honest(
        "masked-bert-multilingual",
        "masked words",
        "bert",
        "bert-multilingual",
        head="pre-training",
        dress=(
            copying("bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"),
            configured(architectures=["BertForMaskedLM"]),
        ),
    ),
    Honest(
        "masked-roberta",
        "masked words",
        "roberta",
        head="masked-lm",
        settings={"type_vocab_size": 1},
        dress=(
            adding(roberta__embeddings__position_ids=(1, 512)),
            copying("roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight"),
            both_formats,
        ),
    ),
    *(
        Honest(f"masked-{family}", "masked words", family, wording, head="masked-lm")
        for family, wording in (
            ("distilbert", "bert"),
            ("albert", ""),
            ("electra", "bert"),
            ("mpnet", ""),
            ("xlm-roberta", ""),
            ("camembert", ""),
            ("modernbert", ""),
            ("deberta-v2", ""),
            ("big_bird", "roberta"),
            ("longformer", "roberta"),
        )
    ),
    Honest(
        "discriminator",
        "masked words",
        "electra",
        "bert",
        head="pre-training",
        dress=(adding(electra__embeddings__position_ids=(1, 512)),),
    ),
)

MODELS: tuple[Honest, ...] = (
    *_SENTENCES,
    *_FEW,
    *_RETRIEVERS,
    *_RERANKERS,
    *_CLASSIFIERS,
    *_TOKENS,
    *_MASKED,
)
"""All of them."""
