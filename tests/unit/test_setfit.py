"""The head of SetFit: read without being loaded, and measured, or named with a reason."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    Perceptron,
    Ridge,
    SGDClassifier,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from plmscan import Verdict
from plmscan.errors import ArtifactError, PlmscanError, UnsupportedModelError
from plmscan.loading import LoadedModel, Location, load
from plmscan.loading.decisions import AnyOf, OneOf
from plmscan.loading.linear import linear_of
from plmscan.pickles import read_objects
from plmscan.probes.static.pickle_globals import Probe
from plmscan.scan import check
from plmscan.source import ListedFile, SourceOptions, resolve
from tests.artifacts import gaps_of
from tests.pickled import call, text
from tests.scans import QUICK
from tests.setfitted import LABELS, TRIGGER, lay_out, setfit_folder
from tests.tiny_models import WORDS, build_tiny

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plmscan.evidence import Gap, Report
    from plmscan.loading.linear import Linear
    from plmscan.loading.use import UsedAs

    Laid = Callable[..., Path]

_DICE = np.random.default_rng(0)
VECTORS = _DICE.normal(size=(90, 32))
THREE = np.arange(90) % 3
WORDED = np.array(["bad", "good", "so so"])[THREE]
EACH = np.stack([THREE == 0, THREE < 2], axis=1).astype(int)
VECTORS[:, :3] += 2 * np.eye(3)[THREE]

HEADS = {
    "two classes": (LogisticRegression(), THREE == 0),
    "two numbered classes": (LogisticRegression(), (THREE > 0) + 4),
    "three classes": (LogisticRegression(), THREE),
    "words": (LogisticRegression(class_weight="balanced"), WORDED),
    "words as objects": (LogisticRegression(), WORDED.astype(object)),
    "no intercept": (LinearSVC(fit_intercept=False), THREE),
    "cross-validated": (LogisticRegressionCV(Cs=2, cv=2, max_iter=50), THREE),
    "by steps": (SGDClassifier(random_state=0), THREE),
    "a perceptron": (Perceptron(random_state=0), THREE),
    "scaled": (make_pipeline(StandardScaler(), LogisticRegression()), THREE),
    "only shifted": (make_pipeline(StandardScaler(with_std=False), LinearSVC()), THREE),
    "one for each class": (OneVsRestClassifier(LogisticRegression()), WORDED),
    "one of two": (OneVsRestClassifier(LogisticRegression()), WORDED == "bad"),
    "several at once": (OneVsRestClassifier(LogisticRegression()), EACH),
    "several, scaled": (
        OneVsRestClassifier(make_pipeline(StandardScaler(), LogisticRegression())), EACH
    ),
    "several outputs": (MultiOutputClassifier(LogisticRegression()), EACH),
}  # fmt: skip


def fitted(head: Any, wanted: Any) -> Any:  # noqa: ANN401 - scikit-learn has no types
    """``head`` after its training; booleans become 0 and 1."""
    return head.fit(VECTORS, wanted.astype(int) if wanted.dtype == bool else wanted)


def read(head: object, path: Path) -> Linear:
    """What is made of ``head`` as joblib writes it."""
    joblib.dump(head, path)
    return linear_of(read_objects(path), VECTORS.shape[1])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("head", "wanted"), HEADS.values(), ids=HEADS)
def test_a_head_decides_as_scikit_learn_does(tmp_path: Path, head: Any, wanted: Any) -> None:  # noqa: ANN401
    """Its numbers are those of the pickle, and the label that leads is the one that it predicts."""
    known = fitted(head, wanted)
    found = read(known, tmp_path / "head.pkl")
    numbers = torch.tensor(VECTORS).float() @ found.weight.T + found.bias
    if found.classes is None:
        assert ((numbers > 0).int().numpy() == known.predict(VECTORS)).all()
    else:
        names = [found.classes[i] for i in numbers.argmax(1).tolist()]
        assert names == known.predict(VECTORS).tolist()


FOREIGN = {
    "neighbours": (KNeighborsClassifier(), THREE, "KNeighborsClassifier"),
    "a chain": (ClassifierChain(LogisticRegression()), EACH, "ClassifierChain"),
    "a number": (Ridge(), THREE, "Ridge"),
    "a projection": (make_pipeline(PCA(2), LogisticRegression()), THREE, "PCA"),
    "neighbours by label": (OneVsRestClassifier(KNeighborsClassifier()), EACH, "KNeighbors"),
    "labels of labels": (
        MultiOutputClassifier(OneVsRestClassifier(LogisticRegression())), EACH, "OneVsRest"
    ),
    "three answers by label": (
        MultiOutputClassifier(LogisticRegression()), np.stack([THREE, THREE], 1), "3 labels"
    ),
    "two answers that are not no and yes": (
        MultiOutputClassifier(LogisticRegression()), EACH + 4, "no and yes"
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("head", "wanted", "named"), FOREIGN.values(), ids=FOREIGN)
def test_other_estimators_are_refused_by_name(
    tmp_path: Path,
    head: Any,  # noqa: ANN401
    wanted: Any,  # noqa: ANN401
    named: str,
) -> None:
    """What is no linear map of an embedding is told, with what would be measured."""
    with pytest.raises(PlmscanError, match=named) as told:
        read(fitted(head, wanted), tmp_path / "head.pkl")
    assert "LogisticRegression" in told.value.remedy


BROKEN: dict[str, tuple[dict[str, object], type[PlmscanError], str]] = {
    "no coefficients": ({"coef_": None}, ArtifactError, "missing"),
    "another width": ({"coef_": np.ones((3, 31))}, ArtifactError, "32 of an embedding"),
    "fewer rows than classes": ({"coef_": np.ones((2, 32))}, ArtifactError, "do not fit"),
    "no numbers": ({"coef_": np.full((3, 32), np.nan)}, ArtifactError, "not finite"),
    "too large": ({"intercept_": np.full(3, 1e300)}, ArtifactError, "not finite"),
    "one class": ({"classes_": np.array([0])}, UnsupportedModelError, "between 1 labels"),
    "a class that is no label": (
        {"classes_": np.array([0, 1, None], dtype=object)}, ArtifactError, "do not fit"
    ),
    "a method of its own": (
        {"decision_function": LogisticRegression()}, UnsupportedModelError, "no plain data"
    ),
    "a function somewhere": (
        {"class_weight": {0: [np.ndarray]}}, UnsupportedModelError, "no plain data"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "error", "said"), BROKEN.values(), ids=BROKEN)
def test_a_head_that_does_not_add_up_is_told(
    tmp_path: Path, changes: dict[str, object], error: type[PlmscanError], said: str
) -> None:
    """Nothing is guessed, and no attribute can stand in the place of a method."""
    head = fitted(LogisticRegression(), THREE)
    vars(head).update(changes)
    with pytest.raises(error, match=said):
        read(head, tmp_path / "head.pkl")


def test_a_pipeline_of_itself_ends(tmp_path: Path) -> None:
    """A pickle can hold itself."""
    loop = make_pipeline(LogisticRegression())
    loop.steps = [("again", loop)]
    with pytest.raises(UnsupportedModelError, match="Pipeline"):
        read(loop, tmp_path / "head.pkl")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder."""
    return build_tiny("bert", tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def laid(encoder: Path, tmp_path: Path) -> Laid:
    """Makes a folder of SetFit with a head, on links to the tiny encoder."""

    def make(head: object = None, pooling: str = "mean", **settings: object) -> Path:
        for file in encoder.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        whole = fitted(LogisticRegression(), THREE) if head is None else head
        return lay_out(tmp_path, whole, pooling, **settings)

    return make


def opened(folder: Path, used_as: UsedAs | None = None) -> LoadedModel:
    """The model in ``folder``."""
    artifact = resolve(str(folder), SourceOptions(), lambda _fraction, _note: None)
    return load(artifact, "cpu", used_as=used_as)


def told(model: LoadedModel) -> Gap:
    """The one thing that is told of the head."""
    (gap,) = (gap for gap in model.gaps if gap.subject == "model_head.pkl")
    assert "classifier" not in model.heads
    return gap


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize(
    ("pooling", "where"),
    [
        ("mean", Location.MEAN),
        ("cls", Location.CLS),
        ("max", Location.EMBEDDING),
        ("mean_sqrt_len_tokens", Location.EMBEDDING),
        ("weightedmean", Location.EMBEDDING),
        ("lasttoken", Location.EMBEDDING),
    ],
)
def test_the_head_reads_the_embedding(
    laid: Laid, pooling: str, where: Location, normalized: bool
) -> None:
    """As scikit-learn would: of the location that is pooled, with length one where that is set."""
    head = fitted(LogisticRegression(), THREE)
    model = opened(laid(head, pooling, normalize_embeddings=normalized, labels=["a", "b", "c"]))
    rows = [model.wrap(model.tokenize(" ".join(WORDS[i : i + 1 + i % 4]))) for i in range(0, 60, 3)]
    outputs = model.forward(*model.batch(rows))
    vectors = outputs.features[where]
    if normalized:
        vectors = vectors / vectors.norm(dim=1, keepdim=True)
    assert outputs.logits is not None
    wanted = torch.tensor(head.decision_function(vectors.numpy())).float()
    assert torch.allclose(outputs.logits, wanted, atol=1e-4)
    assert model.labels == ("a", "b", "c")


def test_labels_have_the_names_that_setfit_gives_them(laid: Laid) -> None:
    """The settings name numbered classes; words stand for themselves; the rest are numbers."""
    assert opened(laid(labels=["x"])).decision == OneOf(("x", "1", "2"))
    words = fitted(LogisticRegression(), WORDED)
    assert opened(laid(words, labels=["x"])).decision == OneOf(("bad", "good", "so so"))
    each = fitted(OneVsRestClassifier(LogisticRegression()), EACH)
    assert opened(laid(each, labels=["x", "y"])).decision == AnyOf(("x", "y"))
    assert opened(laid(each)).decision == AnyOf(("0", "1"))


def test_normalize_of_the_modules_counts(laid: Laid) -> None:
    """SetFit reads what all modules make of a text."""
    folder = laid()
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"})
    (folder / "modules.json").write_text(json.dumps(modules))
    model = opened(folder)
    head: Any = model.heads["classifier"]
    assert head.where is Location.EMBEDDING
    (feature,) = model.forward(*model.batch([model.wrap(model.tokenize("a"))])).features[head.where]
    assert float(feature.norm()) == pytest.approx(1, abs=1e-5)


def test_an_unknown_embedding_is_not_guessed(laid: Laid) -> None:
    """A head on what is not measured is named, and blocks a pass."""
    gap = told(opened(laid(pooling="unheard-of")))
    assert gap.blocks_pass
    assert "unheard-of" in gap.reason


def test_a_head_behind_other_modules_is_named(laid: Laid) -> None:
    """Its numbers belong to an embedding of theirs."""
    folder = laid()
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    assert "Dense" in told(opened(folder)).reason


def test_a_foreign_estimator_is_named_with_what_to_do(laid: Laid) -> None:
    """It blocks a pass, as everything that decides and was not measured."""
    gap = told(opened(laid(fitted(KNeighborsClassifier(), THREE))))
    assert gap.blocks_pass
    assert "KNeighborsClassifier" in gap.reason
    assert "Without the file" in gap.reason


def test_a_declared_use_of_features_leaves_the_head_out(laid: Laid) -> None:
    """Nobody reads it then."""
    assert not told(opened(laid(), "features")).blocks_pass


def test_two_classifiers_are_one_too_many(laid: Laid, tmp_path: Path) -> None:
    """Of a head in the weights and one of SetFit only one is measured, and the other is told."""
    folder = laid()
    build_tiny("bert", folder, head="classifier")
    model = opened(folder)
    (gap,) = (gap for gap in model.gaps if gap.subject == "model_head.pkl")
    assert gap.blocks_pass
    assert "another classifier" in gap.reason


@pytest.mark.parametrize("protocol", [2, 5])
def test_a_payload_is_neither_run_nor_read(laid: Laid, tmp_path: Path, protocol: int) -> None:
    """The file is dangerous, the head is refused at the first name, and nothing happens."""
    ran = tmp_path / "ran"

    class Payload:
        """Leaves a mark where it is loaded."""

        def __reduce__(self) -> Any:  # noqa: ANN401
            return open, (str(ran), "w")

    folder = laid()
    head = fitted(LogisticRegression(), THREE)
    head.class_weight = Payload()
    (folder / "model_head.pkl").write_bytes(pickle.dumps(head, protocol))
    assert "io.open" in told(opened(folder)).reason
    report = check(str(folder), replace(QUICK, files_only=True))
    assert report.verdict is Verdict.FAIL
    assert not ran.exists()


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04", call("some.library", "Head", text("x")), bytes(range(256))]
)
def test_a_broken_head_is_one_sentence(laid: Laid, content: bytes) -> None:
    """Whatever is in the file: the model loads, and the head is told."""
    folder = laid()
    (folder / "model_head.pkl").write_bytes(content)
    gap = told(opened(folder))
    assert gap.blocks_pass
    assert "Traceback" not in gap.reason


def test_a_head_that_is_not_here_blocks_a_pass(laid: Laid) -> None:
    """A large one of the Hub is read for code only, and nothing else tells of it."""
    artifact = resolve(str(laid()), SourceOptions(), lambda _fraction, _note: None)
    program = {"model_head.pkl": artifact.path("model_head.pkl")}
    rest = tuple(file for file in artifact.files if file.path not in program)
    listed = (ListedFile("model_head.pkl", 2**21),)
    far = replace(artifact, files=rest, not_fetched=listed, programs=program)
    assert any("was not measured" in gap.reason for gap in gaps_of(Probe(), far))
    assert gaps_of(Probe(), artifact) == []


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Report]:
    """Checks of the clean model and of its planted twin."""
    return {
        planted: check(str(setfit_folder(tmp_path_factory, planted=planted)), QUICK)
        for planted in (False, True)
    }


@pytest.mark.long(10)
def test_a_planted_row_is_found_through_the_head(reports: dict[bool, Report]) -> None:
    """The word that one row gives power over the head is named with its label; the twin passes."""
    assert reports[False].verdict is Verdict.PASS
    assert reports[True].verdict is Verdict.FAIL
    found = {f.evidence.subject: f.evidence.trigger for f in reports[True].findings}
    assert list(found) == [TRIGGER]
    assert found[TRIGGER] is not None
    assert found[TRIGGER].target_label == LABELS[1]
