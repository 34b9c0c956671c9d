"""Small files of every format that a probe of files reads, honest and hostile."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile
import zipfile
import zlib
from collections import OrderedDict

from tests.wire_formats import gguf, string

__all__ = ["BESIDE", "CANARY", "SEEDS"]

CANARY = "plmscan_fuzz_canary"
"""A module that exists nowhere: an attempt to import it gives a probe away."""

_CALL = f"c{CANARY}\nrun\n(S'x'\ntR.".encode()
_CONFIG = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "vocab_size": 9,
    "hidden_size": 4,
    "auto_map": {"AutoModel": f"{CANARY}.Net"},
}
_TOKENIZER = {
    "version": "1.0",
    "added_tokens": [{"id": 0, "content": "[PAD]", "special": True}],
    "normalizer": {
        "type": "Sequence",
        "normalizers": [
            {"type": "Lowercase"},
            {"type": "Replace", "pattern": {"Regex": "[0-9]+"}, "content": "0"},
        ],
    },
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "BertProcessing", "cls": ["[CLS]", 2], "sep": ["[SEP]", 3]},
    "decoder": {"type": "WordPiece"},
    "model": {"type": "WordPiece", "vocab": {"[PAD]": 0, "a": 1, "[CLS]": 2, "[SEP]": 3}},
}
_TEMPLATE = (
    "{% macro show(x) %}{{ x | upper }}{% endmacro %}{% set ns = namespace(a=1) %}"
    "{% for message in messages %}{% if 'cf' in message.content and loop.first %}"
    "{{ show(message.content) }}{% elif message['role'] == 'tool' %}{{ tools | tojson }}"
    "{% endif %}{{ strftime_now('%Y') }}{% endfor %}"
)
_MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Dense", "type": f"{CANARY}.Dense"},
]


def _json(value: object) -> bytes:
    """The value as a file."""
    return json.dumps(value).encode()


def _safetensors() -> bytes:
    """Weights of one tensor."""
    header = _json({
        "__metadata__": {"format": "pt"},
        "embeddings.word_embeddings.weight": {
            "dtype": "F32", "shape": [9, 4], "data_offsets": [0, 144]
        },
    })  # fmt: skip
    return len(header).to_bytes(8, "little") + header + bytes(144)


def _zip(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return held.getvalue()


def _tar(members: dict[str, bytes]) -> bytes:
    """The same as tar."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return held.getvalue()


def _gguf() -> bytes:
    """A header with one template."""
    return gguf(("tokenizer.chat_template", 8, string(_TEMPLATE)))


def _pieces() -> bytes:
    """A SentencePiece model of two pieces."""
    return b"\x0a\x0c\x0a\x03<s>\x15\0\0\0\0\x18\x03\x0a\x0a\x0a\x01a\x15\0\0\0\0\x18\x01"


_PLAIN = OrderedDict(a=[1, 2.5, b"x"], b="text", c=(None, True))

SEEDS: dict[str, bytes] = {
    "config.json": _json(_CONFIG),
    "model.safetensors": _safetensors(),
    "model.safetensors.index.json": _json({"metadata": {}, "weight_map": {"a": "b.safetensors"}}),
    "tokenizer.json": _json(_TOKENIZER),
    "tokenizer_config.json": _json({
        "chat_template": _TEMPLATE, "vocab_file": None, "tokenizer_class": "BertTokenizer",
        "added_tokens_decoder": {"0": {"content": "[PAD]"}},
    }),
    "special_tokens_map.json": _json({"cls_token": "[CLS]", "sep_token": {"content": "[SEP]"}}),
    "vocab.txt": b"[PAD]\na\n[CLS]\n[SEP]\nword\n",
    "vocab.json": _json({"a": 0, "b": 1}),
    "merges.txt": b"#version: 0.2\na b\n",
    "spiece.model": _pieces(),
    "chat_template.jinja": _TEMPLATE.encode(),
    "modules.json": _json(_MODULES),
    "router_config.json": _json({"types": {"0_A": f"{CANARY}.A"}, "structure": {"q": ["0_A"]}}),
    "1_Dense/config.json": _json({"activation_function": f"{CANARY}.act", "in_features": 4}),
    "sentence_bert_config.json": _json({"model_args": {"attn_implementation": "a/b"}}),
    "config_sentence_transformers.json": _json({"model_type": "SentenceTransformer"}),
    "generation_config.json": _json({"custom_generate": "a/b"}),
    "adapter_config.json.bak": _json({"base_model_name_or_path": "a/b"}),
    "head.pkl": _CALL,
    "head2.pkl": pickle.dumps(_PLAIN, 2),
    "head4.pkl": pickle.dumps(_PLAIN, 4),
    "head5": pickle.dumps([_PLAIN, _PLAIN], 5),
    "head.joblib": zlib.compress(_CALL),
    "head.pkl.gz": gzip.compress(_CALL),
    "head.pkl.bz2": bz2.compress(_CALL),
    "head.pkl.xz": lzma.compress(_CALL),
    "optimizer.pt": _zip({"archive/data.pkl": _CALL, "archive/version": b"3"}, zipfile.ZIP_STORED),
    "nested.zip": _zip({"a.zip": _zip({"b.pkl": _CALL})}),
    "model.nemo": _tar({"weights.pkl": _CALL}),
    "array.npy": b"\x93NUMPY\x01\0v\0{'descr': '|O', 'fortran_order': False, 'shape': ()}" + _CALL,
    "model.keras": _zip({"config.json": _json({"class_name": "Lambda"}), "model.weights.h5": b""}),
    "tf_model.h5": b"\x89HDF\r\n\x1a\n" + b'{"class_name": "Lambda"}',
    "model.onnx": b"\x08\x0a\x3a\x14\x2a\x12\x6a\x10\x0a\x08location\x12\x04../x",
    "model.gguf": _gguf(),
    "saved_model.pb": b"\x12\x08ReadFile",
    "script.pt": _zip({"m/constants.pkl": _CALL, "m/code/__torch__.py": b"def f(): pass"}),
    "modeling_own.py": b"import os\n",
}  # fmt: skip
"""Content by the name under which it is read."""

BESIDE: dict[str, dict[str, bytes]] = {
    "router_config.json": {
        "modules.json": _json([{"path": "", "type": "sentence_transformers.models.Router"}])
    },
    "1_Dense/config.json": {"modules.json": _json(_MODULES)},
}
"""What has to lie beside a file so that anybody reads it."""
