"""The files that scanners are compared on, each in a folder of its own, group by group.

    python -m tests.benchmarks.file_scanners.making FOLDER [GROUP=FOLDER ...]

``GROUP=FOLDER`` adds the samples of another scanner's tests, which stay where they are; which of
them are honest is told by their names.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import numpy as np
import torch
from transformers import TrainingArguments

from tests.benchmarks.file_scanners import runtimes
from tests.unit.pickles.test_harmful import NAMES, NESTED, SPELLINGS, WRAPPED
from tests.unit.pickles.test_honest import classifiers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Specimens = Iterable[tuple[str, Mapping[str, bytes]]]

TRUTH = "truth.json"
"""Group -> name of each specimen -> whether it is harmful."""
_HONEST = re.compile(
    r"benign|safe(?!tensors)|simple_template|int_array|object_array|not_a_pickle|bad_pytorch"
    r"|pytorch_model|license_scenarios|edge_cases"
)
"""Names of samples that are meant to be found honest."""
_DATA = re.compile(
    r"\.(json|jinja2?|j2|template|pkl|pickle|pt|bin|npy|npz|zip|7z|h5|pb|safetensors)$"
)


def main() -> None:
    """Write all groups."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("samples", nargs="*", metavar="GROUP=FOLDER")
    options = parser.parse_args()
    made = (
        ("disguised pickles", _disguises(), True),
        ("honest pickles", _honest_pickles(), False),
        ("other runtimes, harmful", runtimes.harmful(), True),
        ("other runtimes, honest", runtimes.honest(), False),
    )
    truth = {
        group: dict.fromkeys(_write(options.folder / group, specimens), is_harmful)
        for group, specimens, is_harmful in made
    }
    for sample in options.samples:
        group, _, source = sample.partition("=")
        names = _write(options.folder / group, _samples(Path(source)))
        truth[group] = {name: not _HONEST.search(name) for name in names}
    (options.folder / TRUTH).write_text(json.dumps(truth, indent=1), encoding="utf-8")


def _write(folder: Path, specimens: Specimens) -> Iterator[str]:
    """Write each specimen into a folder, and tell what the folders are called."""
    for number, (name, files) in enumerate(specimens):
        called = f"{number:03}-{re.sub(r'[^A-Za-z0-9_.]+', '-', name)}"
        (folder / called).mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
        for path, content in files.items():
            (folder / called / path).write_bytes(content)
        yield called


def _samples(source: Path) -> Specimens:
    """Files of a folder, each under its own name; what holds a template, as the tokenizer's."""
    for path in sorted(path for path in source.rglob("*") if _DATA.search(path.name)):
        content = path.read_bytes()
        holds_template = path.suffix == ".json" and b'"chat_template"' in content
        name = "tokenizer_config.json" if holds_template else path.name
        yield path.relative_to(source).as_posix(), {name: content}


def _disguises() -> Specimens:
    """The pickles of the tests that run code when they are loaded."""
    for name, content in {**SPELLINGS, **NAMES, **NESTED, **WRAPPED}.items():
        yield name, {"head.pkl": content}


def _honest_pickles() -> Specimens:
    """Thirty files of scikit-learn, joblib, torch, transformers and numpy."""
    for fitted in classifiers():
        yield type(fitted).__name__, {"model_head.pkl": pickle.dumps(fitted)}
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(net.parameters())
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _step: 1.0)
    arguments = object.__new__(TrainingArguments)
    vars(arguments).update(output_dir="out", device=torch.device("cpu"))
    states = {"python": random.getstate(), "numpy": np.random.get_state()}  # noqa: NPY002 - as transformers does
    yield "weights", {"pytorch_model.bin": _saved(net.state_dict())}
    legacy = _saved(net.state_dict(), _use_new_zipfile_serialization=False)
    yield "weights, old format", {"pytorch_model.bin": legacy}
    yield "optimizer", {"optimizer.pt": _saved(optimizer.state_dict())}
    yield "scheduler", {"scheduler.pt": _saved(scheduler.state_dict())}
    yield "random states", {"rng_state.pth": _saved(states)}
    yield "arguments", {"training_args.bin": _saved(arguments)}
    buffer = io.BytesIO()
    joblib.dump({"numbers": np.arange(100.0)}, buffer, compress=("zlib", 3))
    yield "joblib", {"numbers.joblib": buffer.getvalue()}
    yield "arrays", {"arrays.pkl": pickle.dumps([np.eye(2), np.array(["a", None], dtype=object)])}


def _saved(value: object, **options: bool) -> bytes:
    """``value`` as torch writes it."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
