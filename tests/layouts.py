"""Published models as tiny ones: the same names of tensors, and the same keys of the config.

A layout is one row of data.  `build` writes it with weights that are all different, so that a
tensor is known by its digest wherever a library puts it.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from torch import Tensor

    from plmscan.evidence import Gap
    from plmscan.loading import LoadedModel

__all__ = ["LAYOUTS", "Layout", "build", "digest", "drawn", "measured", "told"]

_WIDTH = 32
_LLAMA_WORDS = 483
_OLD_NORMS = (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta"))
_POSITIONS = (1, 64)

_MODULES = (
    (
        "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {
                "idx": 1,
                "name": "1",
                "path": "1_Pooling",
                "type": "sentence_transformers.models.Pooling",
            },
        ],
    ),
)
"""What makes a folder a sentence encoder."""
_SPARSE = (
    (
        "modules.json",
        [
            {
                "idx": 0,
                "name": "0",
                "path": "",
                "type": "sentence_transformers.sparse_encoder.models.MLMTransformer",
            }
        ],
    ),
)
_RERANKS = (
    (
        "modules.json",
        [
            {
                "idx": 0,
                "name": "0",
                "path": "",
                "type": "sentence_transformers.base.modules.transformer.Transformer",
            }
        ],
    ),
    ("sentence_bert_config.json", {"transformer_task": "sequence-classification"}),
    ("config_sentence_transformers.json", {"model_type": "CrossEncoder"}),
)


@dataclass(frozen=True)
class Layout:
    """How the files of one published model are laid out, and what is right about them."""

    name: str
    """The model, or its kind."""
    family: str
    """Its model type."""
    head: str | None
    """What its weights were made with, as in `tests.tiny_models.LOADERS`."""
    architectures: object = None
    """What its config names; None for nothing."""
    heads: frozenset[str] = frozenset()
    """Heads that plmscan measures."""
    blocks: frozenset[str] = frozenset()
    """Subjects of the gaps that block a pass."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of its config."""
    renames: tuple[tuple[str, str], ...] = ()
    """Parts of names, and what the files have instead."""
    extra: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Further tensors, and their shapes."""
    copies: Mapping[str, str] = field(default_factory=dict)
    """Further tensors that repeat others."""
    without: str = ""
    """Pattern of names that the files lack."""
    files: tuple[tuple[str, Any], ...] = ()
    """Further files of JSON."""

    def __str__(self) -> str:
        """What a test calls it."""
        return self.name


def build(layout: Layout, folder: Path) -> Path:
    """Write a tiny model of this ``layout`` into ``folder``, which is returned."""
    build_tiny(layout.family, folder, head=layout.head, settings=layout.settings)
    held = drawn(folder)
    kept = {n: t for n, t in held.items() if not (layout.without and re.search(layout.without, n))}
    for old, new in layout.renames:
        kept = {re.sub(old, new, name): tensor for name, tensor in kept.items()}
    shapes = layout.extra.items()
    kept |= {name: torch.full(shape, 0.01 * (i + 1)) for i, (name, shape) in enumerate(shapes)}
    kept |= {name: kept[source].clone() for name, source in layout.copies.items()}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config.pop("architectures")
    named = {} if layout.architectures is None else {"architectures": layout.architectures}
    (folder / "config.json").write_text(json.dumps({**config, **named}))
    for name, value in layout.files:
        (folder / name).write_text(json.dumps(value))
    return folder


def drawn(folder: Path) -> dict[str, Tensor]:
    """Give the model in ``folder`` weights that all differ; norms and biases as well."""
    generator = torch.Generator().manual_seed(0)
    held = load_file(folder / "model.safetensors")
    new = {name: 0.2 * torch.randn(t.shape, generator=generator) for name, t in held.items()}
    save_file(new, folder / "model.safetensors", metadata={"format": "pt"})
    return new


def digest(tensor: Tensor) -> str:
    """What tells this tensor from all others."""
    return hashlib.sha256(tensor.detach().contiguous().numpy().tobytes()).hexdigest()


def measured(model: LoadedModel) -> frozenset[str]:
    """Digests of every weight that a probe computes with."""
    parts = (model.module, *model.heads.values())
    return frozenset(digest(weight) for part in parts for weight in part.state_dict().values())


def told(names: Iterable[str], gaps: Iterable[Gap]) -> frozenset[str]:
    """Which of ``names`` a reader of the report finds there, in full or by a group with ``*``."""
    words = {word for gap in gaps for word in re.split(r"[\s(),;:]+", gap.reason)}
    groups = {word.rstrip(".") for word in words}
    return frozenset(n for n in names if any(fnmatchcase(n, group) for group in groups))


_MASKED = frozenset({"masked-lm"})
_CLASSES = frozenset({"classifier"})
_TOKENS = frozenset({"token-classification"})
_ANSWERS = frozenset({"question-answering"})
_WRITES = frozenset({"causal-lm"})
_ENCODES = {"files": _MODULES, "extra": {"embeddings.position_ids": _POSITIONS}}
_DEBERTA = {
    "lm_predictions.lm_head.bias": (160,),
    "lm_predictions.lm_head.dense.weight": (_WIDTH, _WIDTH),
    "lm_predictions.lm_head.dense.bias": (_WIDTH,),
    "lm_predictions.lm_head.LayerNorm.weight": (_WIDTH,),
    "lm_predictions.lm_head.LayerNorm.bias": (_WIDTH,),
    "mask_predictions.dense.weight": (_WIDTH, _WIDTH),
    "mask_predictions.dense.bias": (_WIDTH,),
    "mask_predictions.LayerNorm.weight": (_WIDTH,),
    "mask_predictions.LayerNorm.bias": (_WIDTH,),
    "mask_predictions.classifier.weight": (1, _WIDTH),
    "mask_predictions.classifier.bias": (1,),
}
_TWO = {"id2label": {0: "NEGATIVE", 1: "POSITIVE"}}
_ASKED = {"id2label": {0: "LABEL_0", 1: "LABEL_1"}, "max_position_embeddings": 96}
_ONE = {"id2label": {0: "LABEL_0"}}
_TAGS = {"id2label": {0: "O", 1: "B-PER", 2: "I-PER"}}
_POOLER = {"bert.pooler.dense.weight": (_WIDTH, _WIDTH), "bert.pooler.dense.bias": (_WIDTH,)}

LAYOUTS: tuple[Layout, ...] = (
    # What is pre-trained, and what pre-training leaves beside it.
    Layout(
        "bert-base-uncased",
        "bert",
        "pre-training",
        ["BertForMaskedLM"],
        _MASKED,
        renames=_OLD_NORMS,
    ),
    Layout(
        "bert-base-multilingual",
        "bert",
        "pre-training",
        ["BertForMaskedLM"],
        _MASKED,
        extra={"bert.embeddings.position_ids": _POSITIONS},
        copies={"cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight"},
    ),
    Layout("google/bert_uncased_L-2", "bert", "pre-training", ["BertForPreTraining"], _MASKED),
    Layout(
        "roberta-base",
        "roberta",
        "masked-lm",
        ["RobertaForMaskedLM"],
        _MASKED,
        extra={
            "roberta.embeddings.position_ids": _POSITIONS,
            "roberta.pooler.dense.weight": (_WIDTH, _WIDTH),
            "roberta.pooler.dense.bias": (_WIDTH,),
        },
        copies={"lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight"},
    ),
    Layout(
        "distilbert-base-uncased", "distilbert", "masked-lm", ["DistilBertForMaskedLM"], _MASKED
    ),
    Layout("albert-base-v2", "albert", "pre-training", ["AlbertForMaskedLM"], _MASKED),
    Layout(
        "electra-small-discriminator",
        "electra",
        "pre-training",
        ["ElectraForPreTraining"],
        extra={"electra.embeddings.position_ids": _POSITIONS},
    ),
    Layout("electra-small-generator", "electra", "masked-lm", ["ElectraForMaskedLM"], _MASKED),
    Layout("deberta-v3-base", "deberta-v2", None, renames=(("^", "deberta."),), extra=_DEBERTA),
    Layout(
        "deberta-base",
        "deberta",
        None,
        renames=(("^", "deberta."),),
        extra={k: v for k, v in _DEBERTA.items() if "lm_head" in k},
    ),
    Layout("xlm-roberta-base", "xlm-roberta", "masked-lm", ["XLMRobertaForMaskedLM"], _MASKED),
    Layout(
        "mpnet-base",
        "mpnet",
        "masked-lm",
        ["MPNetForMaskedLM"],
        _MASKED,
        extra={"mpnet.pooler.dense.weight": (_WIDTH, _WIDTH), "mpnet.pooler.dense.bias": (_WIDTH,)},
    ),
    Layout("camembert-base", "camembert", "masked-lm", ["CamembertForMaskedLM"], _MASKED),
    Layout("ModernBERT-base", "modernbert", "masked-lm", ["ModernBertForMaskedLM"], _MASKED),
    # Sentence encoders.
    Layout("all-mpnet-base-v2", "mpnet", None, ["MPNetForMaskedLM"], **_ENCODES),
    Layout("all-MiniLM-L6-v2", "bert", None, ["BertModel"], **_ENCODES),
    Layout("MiniLM-L12-H384-uncased", "bert", None, ["BertModel"]),
    Layout("bge-small-en-v1.5", "bert", None, ["BertModel"], **_ENCODES),
    Layout("multilingual-e5-small", "bert", None, ["BertModel"], files=_MODULES),
    Layout("gte-small", "bert", None, ["BertModel"], files=_MODULES),
    Layout("multilingual-e5-base", "xlm-roberta", None, ["XLMRobertaModel"], files=_MODULES),
    Layout("e5-mistral-7b-instruct", "mistral", None, ["MistralModel"], files=_MODULES),
    Layout(
        "Qwen3-Embedding",
        "qwen3",
        None,
        ["Qwen3ForCausalLM"],
        settings={"tie_word_embeddings": True},
        files=_MODULES,
    ),
    Layout(
        "sentence encoder with its masked head",
        "bert",
        "masked-lm",
        ["BertModel"],
        _MASKED,
        files=_MODULES,
    ),
    Layout("splade", "bert", "masked-lm", ["BertForMaskedLM"], _MASKED, files=_SPARSE),
    # Classifiers.
    Layout(
        "distilbert-sst2",
        "distilbert",
        "classifier",
        ["DistilBertForSequenceClassification"],
        _CLASSES,
        settings=_TWO,
    ),
    Layout(
        "twitter-roberta-base-sentiment",
        "roberta",
        "classifier",
        ["RobertaForSequenceClassification"],
        _CLASSES,
        extra={
            "roberta.embeddings.position_ids": _POSITIONS,
            "roberta.pooler.dense.weight": (_WIDTH, _WIDTH),
            "roberta.pooler.dense.bias": (_WIDTH,),
        },
    ),
    Layout(
        "bert classifier",
        "bert",
        "classifier",
        ["BertForSequenceClassification"],
        _CLASSES,
        settings=_TWO,
    ),
    Layout("bert classifier without architectures", "bert", "classifier", None, _CLASSES),
    Layout("bert classifier that names the base", "bert", "classifier", ["BertModel"], _CLASSES),
    Layout(
        "bert classifier with a word for a list",
        "bert",
        "classifier",
        "BertForSequenceClassification",
        _CLASSES,
    ),
    Layout("bert classifier of an unknown class", "bert", "classifier", ["BertForIrony"], _CLASSES),
    Layout(
        "bert classifier that names a masked head",
        "bert",
        "classifier",
        ["BertForMaskedLM"],
        _CLASSES,
    ),
    Layout(
        "distilbert classifier without architectures",
        "distilbert",
        "classifier",
        None,
        _CLASSES,
        settings=_TWO,
    ),
    Layout(
        "deberta-v3-mnli",
        "deberta-v2",
        "classifier",
        ["DebertaV2ForSequenceClassification"],
        _CLASSES,
    ),
    Layout("xlnet classifier", "xlnet", "classifier", ["XLNetForSequenceClassification"], _CLASSES),
    Layout(
        "ModernBERT classifier",
        "modernbert",
        "classifier",
        ["ModernBertForSequenceClassification"],
        _CLASSES,
    ),
    Layout(
        "ModernBERT classifier without architectures",
        "modernbert",
        "classifier",
        None,
        _CLASSES,
        frozenset({"token-classification head", "question-answering head"}),
    ),
    Layout("gpt2 classifier", "gpt2", "classifier", ["GPT2ForSequenceClassification"], _CLASSES),
    Layout("gpt2 classifier without architectures", "gpt2", "classifier", None, _CLASSES | _WRITES),
    Layout("llama classifier without architectures", "llama", "classifier", None, _CLASSES),
    Layout(
        "bert-base-NER",
        "bert",
        "token-classification",
        ["BertForTokenClassification"],
        _TOKENS,
        settings=_TAGS,
        extra=_POOLER,
    ),
    Layout(
        "bert tags without a pooler",
        "bert",
        "token-classification",
        ["BertModel"],
        _TOKENS,
    ),
    # What a probe does not read.
    Layout(
        "bart-large-mnli",
        "bart",
        "classifier",
        ["BartForSequenceClassification"],
        blocks=frozenset({"classifier head", "rest of the model"}),
    ),
    Layout(
        "bart-base",
        "bart",
        None,
        ["BartModel"],
        heads=frozenset({"sequence-to-sequence"}),
    ),
    Layout(
        "bge-reranker-base",
        "xlm-roberta",
        "classifier",
        ["XLMRobertaForSequenceClassification"],
        _CLASSES,
        settings=_ONE,
    ),
    Layout(
        "ms-marco-MiniLM-L6-v2",
        "bert",
        "classifier",
        ["BertForSequenceClassification"],
        _CLASSES,
        settings=_ONE,
        files=_RERANKS,
    ),
    Layout(
        "bert regression",
        "bert",
        "classifier",
        ["BertForSequenceClassification"],
        blocks=frozenset({"classifier head"}),
        settings={"problem_type": "regression"},
    ),
    Layout(
        "bert-base-NER without architectures",
        "bert",
        "token-classification",
        None,
        _CLASSES,
        frozenset({"token-classification head"}),
        settings=_TAGS,
        extra=_POOLER,
    ),
    Layout(
        "bert-squad",
        "bert",
        "question-answering",
        ["BertForQuestionAnswering"],
        _ANSWERS,
        settings=_ASKED,
    ),
    Layout(
        "roberta-squad2 without architectures",
        "roberta",
        "question-answering",
        None,
        _ANSWERS,
        settings=_ASKED,
    ),
    Layout(
        "bert-swag",
        "bert",
        "multiple-choice",
        ["BertForMultipleChoice"],
        blocks=frozenset({"multiple-choice head"}),
    ),
    Layout(
        "bert next sentence",
        "bert",
        "next-sentence",
        ["BertForNextSentencePrediction"],
        blocks=frozenset({"next-sentence head"}),
    ),
    Layout(
        "bert next sentence beside a masked head",
        "bert",
        "pre-training",
        ["BertForNextSentencePrediction"],
        _MASKED,
        blocks=frozenset({"next-sentence head"}),
    ),
    Layout(
        "llama classifier that can write",
        "llama",
        "classifier",
        ["LlamaForSequenceClassification"],
        _CLASSES | _WRITES,
        extra={"lm_head.weight": (_LLAMA_WORDS, _WIDTH)},
    ),
    Layout(
        "attention bias of no attention",
        "bert",
        None,
        ["BertModel"],
        blocks=frozenset({"other tensors"}),
        extra={"head.attn.bias": (_WIDTH,), "head.position_ids": (_WIDTH,)},
    ),
    Layout(
        "gpt2",
        "gpt2",
        None,
        ["GPT2LMHeadModel"],
        heads=_WRITES,
        extra={"h.0.attn.bias": (1, 1, 64, 64), "h.0.attn.masked_bias": ()},
    ),
    Layout(
        "gpt2 of two heads",
        "gpt2",
        "causal-lm",
        ["GPT2DoubleHeadsModel"],
        heads=_WRITES,
        blocks=frozenset({"other tensors"}),
        extra={
            "multiple_choice_head.summary.weight": (1, _WIDTH),
            "multiple_choice_head.summary.bias": (1,),
        },
    ),
    Layout(
        "Llama-2-7b",
        "llama",
        "causal-lm",
        ["LlamaForCausalLM"],
        heads=_WRITES,
        extra={"model.layers.0.self_attn.rotary_emb.inv_freq": (4,)},
    ),
    Layout("Llama without architectures", "llama", "causal-lm", None, heads=_WRITES),
    Layout(
        "Qwen2-0.5B",
        "qwen2",
        "causal-lm",
        ["Qwen2ForCausalLM"],
        heads=_WRITES,
        settings={"tie_word_embeddings": True},
    ),
    Layout(
        "Qwen2 that repeats its words",
        "qwen2",
        "causal-lm",
        ["Qwen2Model"],
        heads=_WRITES,
        settings={"tie_word_embeddings": True},
        copies={"lm_head.weight": "model.embed_tokens.weight"},
    ),
    Layout("Mistral-7B-v0.1", "mistral", "causal-lm", ["MistralForCausalLM"], heads=_WRITES),
    Layout(
        "xlnet-base-cased",
        "xlnet",
        "causal-lm",
        ["XLNetLMHeadModel"],
        blocks=frozenset({"causal-lm head"}),
    ),
    Layout(
        "colbertv2.0",
        "bert",
        None,
        ["HF_ColBERT"],
        blocks=frozenset({"other tensors"}),
        renames=(("^", "bert."),),
        extra={"linear.weight": (16, _WIDTH)},
    ),
    Layout(
        "encoder with a dense layer",
        "bert",
        None,
        ["BertModel"],
        blocks=frozenset({"other tensors"}),
        files=_MODULES,
        extra={"dense.linear.weight": (16, _WIDTH)},
    ),
    Layout(
        "half a classifier",
        "bert",
        "classifier",
        ["BertForSequenceClassification"],
        blocks=frozenset({"other tensors"}),
        without="classifier.bias",
    ),
    Layout(
        "half a pooler",
        "bert",
        None,
        ["BertModel"],
        blocks=frozenset({"half a pooler"}),
        without="pooler.dense.bias",
    ),
    Layout(
        "classifier of other labels",
        "bert",
        None,
        ["BertModel"],
        blocks=frozenset({"other tensors"}),
        renames=(("^", "bert."),),
        extra={"classifier.weight": (7, _WIDTH), "classifier.bias": (7,)},
    ),
    Layout(
        "masked head beside a classifier",
        "distilbert",
        "classifier",
        ["DistilBertForMaskedLM"],
        _CLASSES,
        settings=_TWO,
        extra={"vocab_layer_norm.weight": (_WIDTH,), "vocab_layer_norm.bias": (_WIDTH,)},
        blocks=frozenset({"other tensors"}),
    ),
)
"""Models as they are published, and neighbours of theirs."""
