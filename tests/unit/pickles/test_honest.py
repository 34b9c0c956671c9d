"""Pickles that libraries write: none of them may look harmful, or be left unread."""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import decimal
import fractions
import io
import pathlib
import pickle
import random
import types
import uuid
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn import (
    calibration,
    compose,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_extraction,
    feature_selection,
    linear_model,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from transformers import BertConfig, GenerationConfig, Seq2SeqTrainingArguments, TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy, SchedulerType
from transformers.training_args import OptimizerNames

from plmscan.pickles import Level, judge, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RANDOM = random.Random(1)  # noqa: S311 - to be pickled
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def complaints(path: Path) -> list[str]:
    """What would be told about the file."""
    reading = read(path, is_named_pickle=True)
    odd = [i.full for i, use in reading.uses.items() if judge(i, use) is not Level.ALLOWED]
    assert reading.pickles
    return [*odd, *reading.acts, *reading.problems]


def saved(value: object, **options: Any) -> bytes:  # noqa: ANN401
    """``value`` as torch writes it."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def classifiers() -> Iterator[Any]:
    """Estimators of every kind, fitted."""
    made = np.random.default_rng(0)
    texts, labels = made.normal(size=(40, 3)), made.integers(3, size=40)
    logistic = linear_model.LogisticRegression
    for estimator in (
        logistic(),
        linear_model.SGDClassifier(loss="modified_huber"),
        linear_model.RidgeClassifier(),
        multiclass.OneVsRestClassifier(logistic()),
        pipeline.make_pipeline(preprocessing.StandardScaler(), decomposition.PCA(2), svm.SVC()),
        pipeline.make_pipeline(feature_selection.SelectKBest(k=2), svm.LinearSVC()),
        ensemble.RandomForestClassifier(3),
        ensemble.HistGradientBoostingClassifier(max_iter=2),
        ensemble.GradientBoostingClassifier(n_estimators=2),
        ensemble.VotingClassifier([("a", logistic()), ("b", naive_bayes.GaussianNB())]),
        neighbors.KNeighborsClassifier(algorithm="kd_tree"),
        neighbors.KNeighborsClassifier(algorithm="ball_tree"),
        neural_network.MLPClassifier((3,), max_iter=2000, tol=1.0),
        calibration.CalibratedClassifierCV(logistic(), cv=2),
        discriminant_analysis.LinearDiscriminantAnalysis(),
        tree.DecisionTreeClassifier(),
        model_selection.GridSearchCV(logistic(), {"C": [0.1, 1]}, cv=2, scoring="f1_macro"),
        compose.make_column_transformer((preprocessing.StandardScaler(), [0, 1])),
    ):
        yield estimator.fit(texts, labels)
    yield multioutput.MultiOutputClassifier(logistic()).fit(texts, np.eye(3)[labels].astype(int))
    yield preprocessing.LabelEncoder().fit(["a", "b"])
    yield preprocessing.MultiLabelBinarizer().fit([["a"], ["b"]])
    yield feature_extraction.text.TfidfVectorizer().fit(["a good film", "a bad one"])


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_classifiers_of_scikit_learn(tmp_path: Path, protocol: int) -> None:
    """What SetFit and others put behind an encoder only builds objects of the library."""
    for number, fitted in enumerate(classifiers()):
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(pickle.dumps(fitted, protocol))
        assert complaints(path) == [], type(fitted).__name__


@pytest.mark.parametrize(
    "compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3), "lzma", "lz4"]
)
def test_files_of_joblib(tmp_path: Path, compress: Any) -> None:  # noqa: ANN401
    """Arrays lie between the instructions, plain, as objects and as records, compressed or not."""
    value = {
        "head": linear_model.LogisticRegression().fit([[0.0], [1.0]], [0, 1]),
        "numbers": np.arange(100.0),
        "objects": np.array([1, "a", None], dtype=object),
        "words": np.array(["abc", "de"]),
        "records": np.zeros(3, dtype=[("a", "<f4"), ("b", "O")]),
        "plain records": np.zeros(3, dtype=[("a", "<f4"), ("b", "u1", (2,))]),
        "transposed": np.arange(6).reshape(2, 3).T,
        "again": np.arange(5),
    }
    joblib.dump(value, tmp_path / "a.joblib", compress=compress)
    assert complaints(tmp_path / "a.joblib") == []


def test_classifiers_in_files_of_joblib(tmp_path: Path) -> None:
    """Labels that are objects are a pickle between the instructions, with a memo of its own."""
    for number, fitted in enumerate(classifiers()):
        path = tmp_path / f"{number}.joblib"
        joblib.dump(fitted, path)
        assert complaints(path) == [], type(fitted).__name__


def test_states_of_training(tmp_path: Path) -> None:
    """Optimizers, schedulers, generators and arguments, as trainers leave them behind."""
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    schedulers = torch.optim.lr_scheduler
    random_states = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002 - as transformers keeps it
        "cpu": torch.random.get_rng_state(),
    }
    for number, value in enumerate(
        (
            net.state_dict(),
            optimizer.state_dict(),
            schedulers.LambdaLR(optimizer, lambda _step: 1.0).state_dict(),
            schedulers.OneCycleLR(optimizer, 0.1, 10).state_dict(),
            schedulers.ReduceLROnPlateau(optimizer).state_dict(),
            torch.amp.GradScaler("cpu").state_dict(),
            random_states,
            {"parameter": torch.nn.Parameter(torch.ones(1)), "sparse": torch.eye(2).to_sparse()},
            {"half": torch.ones(2).bfloat16(), "size": torch.Size([1]), "type": torch.float16},
        )
    ):
        for name, content in {
            "zip": saved(value),
            "legacy": saved(value, _use_new_zipfile_serialization=False),
            "protocol 4": saved(value, pickle_protocol=4),
            "plain": pickle.dumps(value),
            "plain, protocol 2": pickle.dumps(value, 2),
        }.items():
            (tmp_path / "state.bin").write_bytes(content)
            assert complaints(tmp_path / "state.bin") == [], (number, name)


@pytest.mark.parametrize("kind", [TrainingArguments, Seq2SeqTrainingArguments])
def test_training_arguments(tmp_path: Path, kind: type) -> None:
    """``training_args.bin`` holds settings and members of the library's enumerations."""
    arguments = object.__new__(kind)
    vars(arguments).update(
        output_dir="out",
        device=torch.device("cpu"),
        eval_strategy=IntervalStrategy.NO,
        generation_config=GenerationConfig(),
        config=BertConfig(),
        lr_scheduler_type=SchedulerType.COSINE,
        optim=OptimizerNames.ADAMW_TORCH,
        save_strategy=SaveStrategy.STEPS,
    )
    (tmp_path / "training_args.bin").write_bytes(saved(arguments))
    assert complaints(tmp_path / "training_args.bin") == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_data_of_the_standard_library_and_numpy(tmp_path: Path, protocol: int) -> None:
    """Containers, dates, paths, numbers, generators and arrays, in every protocol."""
    values = [
        argparse.Namespace(a=1), pathlib.PurePosixPath("a/b"), decimal.Decimal("1.5"),
        dt.datetime(2026, 1, 2, tzinfo=dt.UTC), dt.timedelta(1),
        fractions.Fraction(1, 3), uuid.UUID(int=7), types.SimpleNamespace(a=1), 1j, range(3),
        collections.OrderedDict(a=1), collections.defaultdict(list, a=[1]), RANDOM,
        collections.Counter("abc"), collections.deque([1]), {1, 2}, frozenset([1]), type(None),
        slice(1, 2), ..., NotImplemented, float, bytearray(b"ab"), b"\xff" * 300, "\ud800", 2**99,
        np.float32(1), np.arange(10)[::2], np.array(["a", None], dtype=object), np.dtype("f4"),
        np.random.default_rng(0), np.random.RandomState(0), np.ma.array([1, 2], mask=[0, 1]),
        np.datetime64("2020-01-01"), np.float64, scipy.sparse.csr_matrix(np.eye(2)),
        scipy.sparse.coo_array(np.eye(2)), torch.zeros(3),
    ]  # fmt: skip
    (tmp_path / "values.pkl").write_bytes(pickle.dumps(values, protocol))
    assert complaints(tmp_path / "values.pkl") == []


@pytest.mark.parametrize(
    "head",
    [
        b"cat\ndog\nfish\n",
        b"I am the first line\n",
        b"Very nice\nVery good\n",
        b"c\n##a\n.\n",
        b"(a) first\n",
        b".",
        b"N.",
        b"\x80\x02\0\0\0\0\0\0{}",
        b"\x80\x04 not at all",
        b"PK is no archive",
        b"x\xda\0\0\0\0\0\0{}",
        b"]\0\0 nor this",
        b"",
    ],
)
def test_other_files_are_left_alone(tmp_path: Path, head: bytes) -> None:
    """Texts, lists of words and numbers that begin like a pickle or an archive are neither."""
    (tmp_path / "vocab.txt").write_bytes(head + bytes(70_000) + b"PK\x05\x06" + bytes(40))
    for content in (head, (tmp_path / "vocab.txt").read_bytes()):
        (tmp_path / "vocab.txt").write_bytes(content)
        reading = read(tmp_path / "vocab.txt", is_named_pickle=False)
        assert (reading.pickles, reading.problems, reading.acts) == (0, (), ())


@pytest.mark.parametrize("head", [b"\x82\x01", b"\x83\x01\x02", b"\x84\x16\x2b\x4b\x31"])
@pytest.mark.parametrize("before", [b"", b"\x80\x04"])
def test_numbers_that_begin_like_an_extension_are_numbers(
    tmp_path: Path, head: bytes, before: bytes
) -> None:
    """Of a hundred tensors in a file some begin with such bytes, by chance."""
    path = tmp_path / "pytorch_model.bin"
    numbers = before + head + b"\xc0\xbe" * 300
    torch.save({"a": torch.frombuffer(bytearray(numbers), dtype=torch.uint8)}, path)
    assert complaints(path) == []
