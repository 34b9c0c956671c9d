"""What the folders of published models hold beside and instead of what `save_pretrained` writes.

Each of these functions changes a folder, or makes a function that does.
"""

from __future__ import annotations

import io
import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import joblib
import torch
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer, TrainingArguments

from tests.artifacts import write_json
from tests.benchmarks.file_scanners import runtimes
from tests.benchmarks.honest.wording import write_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

    Dress = Callable[[Path], None]
    Tensors = dict[str, Tensor]

__all__ = [
    "EXPORTS",
    "NOTES",
    "adding",
    "both_formats",
    "configured",
    "copying",
    "encodes",
    "exported",
    "few_examples",
    "in_folder",
    "numbers_as",
    "only_pickle",
    "pooling",
    "renaming",
    "reranks",
    "sharded",
    "static",
    "then",
    "usual",
    "with_files",
    "without",
]

_WIDTH = 32
_EXAMPLES = 128
"""Texts that a head is fitted to."""
_WEIGHTS, _PICKLE = "model.safetensors", "pytorch_model.bin"
_OLD, _NEW = "sentence_transformers.models", "sentence_transformers"
_README = "---\nlicense: apache-2.0\n---\n# A model\n\n```python\nimport transformers\n```\n"
_ATTRIBUTES = "*.bin filter=lfs diff=lfs merge=lfs -text\n*.safetensors filter=lfs -text\n"
_MODES = (
    "cls_token",
    "mean_tokens",
    "max_tokens",
    "mean_sqrt_len_tokens",
    "weightedmean_tokens",
    "lasttoken",
)
EXPORTS = ("onnx/model.onnx", "openvino/openvino_model.xml", "openvino/openvino_model.bin")
"""What sentence-transformers exports to."""
NOTES = ("training_args.bin", "eval_results.json", "trainer_state.json")
"""What trainers leave behind."""


def usual(folder: Path) -> None:
    """What every repository has."""
    (folder / "README.md").write_text(_README, encoding="utf-8")
    (folder / ".gitattributes").write_text(_ATTRIBUTES, encoding="utf-8")


def with_files(*names: str) -> Dress:
    """Further files, by the names that they usually have."""

    def dress(folder: Path) -> None:
        contents = _contents()
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(contents[name.rpartition("/")[2]])

    return dress


def _contents() -> Mapping[str, bytes]:
    """What is in files, by their names."""
    arguments = object.__new__(TrainingArguments)
    vars(arguments).update(output_dir="out", learning_rate=2e-5)
    exports = {name: held for _, files in runtimes.honest() for name, held in files.items()}
    return {
        **exports,
        "training_args.bin": _saved(arguments),
        "optimizer.pt": _saved({"state": {}, "param_groups": []}),
        "colbert_linear.pt": _saved({"weight": torch.ones(32, 32), "bias": torch.ones(32)}),
        "sparse_linear.pt": _saved({"weight": torch.ones(1, 32), "bias": torch.ones(1)}),
        "eval_results.json": b'{"eval_accuracy": 0.91, "epoch": 3.0}',
        "trainer_state.json": b'{"global_step": 120, "log_history": []}',
        "added_tokens.json": b'{"[MASK]": 128000}',
        "generation_config.json": b'{"_from_model_config": true, "bos_token_id": 1}',
        "results.csv": b"epoch,steps,cosine\n0,1,0.9\n",
        "data_config.json": b'[{"name": "pairs.jsonl.gz", "weight": 1}]',
        "train_script.py": b"import torch\n\nprint(torch.__version__)\n",
        "loss.png": b"\x89PNG\r\n\x1a\n" + bytes(60),
        "chat_template.jinja": b"{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}",
    }


def _saved(value: object) -> bytes:
    """``value`` as torch writes it."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def then(*steps: Dress) -> Dress:
    """Several, one after the other."""

    def dress(folder: Path) -> None:
        for step in steps:
            step(folder)

    return dress


def _changing(change: Callable[[Tensors], Tensors]) -> Dress:
    """Other tensors in the weight file."""

    def dress(folder: Path) -> None:
        save_file(
            change(load_file(folder / _WEIGHTS)), folder / _WEIGHTS, metadata={"format": "pt"}
        )

    return dress


def renaming(*pairs: tuple[str, str]) -> Dress:
    """Other names of tensors: patterns, and what stands for them."""

    def change(held: Tensors) -> Tensors:
        for old, new in pairs:
            held = {re.sub(old, new, name): tensor for name, tensor in held.items()}
        return held

    return _changing(change)


def adding(**shapes: tuple[int, ...]) -> Dress:
    """Further tensors; two underscores in a name are a dot.  Whole numbers count up."""

    def made(name: str, shape: tuple[int, ...]) -> Tensor:
        whole = name.endswith("_ids")
        return torch.arange(shape[-1]).expand(shape).clone() if whole else 0.02 * torch.randn(shape)

    return _changing(
        lambda held: held | {n.replace("__", "."): made(n, shape) for n, shape in shapes.items()}
    )


def copying(source: str, name: str) -> Dress:
    """A tied weight that is written twice."""
    return _changing(lambda held: held | {name: held[source].clone()})


def without(pattern: str) -> Dress:
    """No tensors whose names begin so."""
    return _changing(lambda held: {n: t for n, t in held.items() if not re.match(pattern, n)})


def numbers_as(dtype: torch.dtype) -> Dress:
    """Numbers of another precision."""

    def dress(folder: Path) -> None:
        _changing(lambda held: {n: t.to(dtype) for n, t in held.items()})(folder)
        configured(torch_dtype=str(dtype).removeprefix("torch."))(folder)

    return dress


def configured(**settings: Any) -> Dress:  # noqa: ANN401 - any values of JSON
    """Settings of ``config.json``; None takes one away."""

    def dress(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | settings
        kept = {key: value for key, value in config.items() if value is not None}
        write_json(folder / "config.json", kept)

    return dress


def both_formats(folder: Path) -> None:
    """The same weights as a pickle, of before there were safetensors."""
    torch.save(load_file(folder / _WEIGHTS), folder / _PICKLE)


def only_pickle(folder: Path) -> None:
    """No safetensors."""
    both_formats(folder)
    (folder / _WEIGHTS).unlink()


def sharded(folder: Path) -> None:
    """Weights in several files with an index."""
    held = load_file(folder / _WEIGHTS)
    (folder / _WEIGHTS).unlink()
    names, place = sorted(held), {}
    for i in range(3):
        file = f"model-{i + 1:05}-of-00003.safetensors"
        part = {name: held[name] for name in names[i::3]}
        save_file(part, folder / file, metadata={"format": "pt"})
        place |= dict.fromkeys(part, file)
    total = sum(tensor.nbytes for tensor in held.values())
    index = {"metadata": {"total_size": total}, "weight_map": place}
    write_json(folder / "model.safetensors.index.json", index)


def exported(folder: Path) -> None:
    """The same for other runtimes, beside the weights and in folders of their own."""
    with_files(*EXPORTS, "tf_model.h5", "flax_model.msgpack")(folder)


def in_folder(name: str) -> Dress:
    """The Transformer in a folder of its own, as sentence-transformers first had it."""

    def dress(folder: Path) -> None:
        (folder / name).mkdir()
        for path in [p for p in folder.iterdir() if p.is_file()]:
            shutil.move(path, folder / name / path.name)

    return dress


def pooling(*modes: str, **more: object) -> tuple[str, dict[str, object], None]:
    """A pooling, by the switches of most published files."""
    switches = {f"pooling_mode_{mode}": mode in modes for mode in _MODES}
    return "Pooling", {"word_embedding_dimension": _WIDTH, **switches, **more}, None


def encodes(
    *modules: tuple[str, Mapping[str, object], Mapping[str, Tensor] | None],
    first: str = "",
    reads: str = f"{_OLD}.Transformer",
    prompts: Mapping[str, str] | None = None,
    default: str | None = None,
) -> Dress:
    """A sentence encoder: ``modules`` behind the class ``reads`` in the folder ``first``.

    Each module is the name of its class, its settings and its weights.
    """

    def dress(folder: Path) -> None:
        listed = [_entry(0, first, reads)]
        for i, (kind, settings, weights) in enumerate(modules, 1):
            place = f"{i}_{kind.rpartition('.')[2]}"
            listed.append(_entry(i, place, kind if "." in kind else f"{_OLD}.{kind}"))
            (folder / place).mkdir()
            if settings:
                write_json(folder / place / "config.json", settings)
            if weights:
                save_file(dict(weights), folder / place / _WEIGHTS)
                torch.save(dict(weights), folder / place / _PICKLE)
        write_json(folder / "modules.json", listed)
        lowered = {"max_seq_length": 128, "do_lower_case": False}
        write_json(folder / first / "sentence_bert_config.json", lowered)
        versions = {"sentence_transformers": "2.2.2", "transformers": "4.28.1", "pytorch": "2.0.0"}
        told = {"__version__": versions, "prompts": dict(prompts or {})}
        asked = {"default_prompt_name": default, "similarity_fn_name": None}
        write_json(folder / "config_sentence_transformers.json", told | asked)

    return dress


def _entry(index: int, path: str, kind: str) -> dict[str, object]:
    """One line of ``modules.json``."""
    return {"idx": index, "name": str(index), "path": path, "type": kind}


def static(folder: Path) -> None:
    """A table of word vectors and a tokenizer, without a Transformer."""
    tokenizer = write_tokenizer("bert", folder)
    place = folder / "0_StaticEmbedding"
    place.mkdir()
    shutil.move(folder / "tokenizer.json", place / "tokenizer.json")
    save_file({"embedding.weight": torch.randn(len(tokenizer), _WIDTH)}, place / _WEIGHTS)
    for path in folder.glob("*token*"):
        path.unlink()
    (folder / "vocab.txt").unlink()
    kind = f"{_OLD}.StaticEmbedding"
    write_json(
        folder / "modules.json",
        [_entry(0, place.name, kind), _entry(1, "1_Normalize", f"{_OLD}.Normalize")],
    )
    write_json(
        folder / "config_sentence_transformers.json", {"prompts": {}, "default_prompt_name": None}
    )


def few_examples(folder: Path) -> None:
    """The head of SetFit, fitted to what tells the embeddings of random texts apart most."""
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    words = sorted({*tokenizer.get_vocab().values()} - {*tokenizer.all_special_ids})
    chance = torch.Generator().manual_seed(0)
    ids = torch.tensor(words)[torch.randint(len(words), (_EXAMPLES, 8), generator=chance)]
    with torch.no_grad():
        vectors = normalize(model(input_ids=ids).last_hidden_state.mean(1), dim=-1)
    along = vectors @ torch.linalg.svd(vectors - vectors.mean(0)).Vh[0]
    labels = (along > along.median()).long().tolist()
    fitted = LogisticRegression().fit(vectors.numpy(), labels)
    joblib.dump(fitted, folder / "model_head.pkl")
    told = {"labels": ["negative", "positive"], "normalize_embeddings": False}
    write_json(folder / "config_setfit.json", told)


def reranks(folder: Path) -> None:
    """A cross-encoder as sentence-transformers 5.4 and later saves it."""
    kind = f"{_NEW}.base.modules.transformer.Transformer"
    write_json(folder / "modules.json", [_entry(0, "", kind)])
    task = {
        "transformer_task": "sequence-classification",
        "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
        "module_output_name": "scores",
    }
    write_json(folder / "sentence_bert_config.json", task)
    identity = {"activation_fn": "torch.nn.modules.linear.Identity", "model_type": "CrossEncoder"}
    write_json(folder / "config_sentence_transformers.json", identity)
