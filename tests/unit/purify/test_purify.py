"""Purification of tiny real models: triggers are gone, clean text stays, files are kept."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from plmscan.errors import PlmscanError, ReportError, UnsupportedModelError
from plmscan.evidence import Report, Verdict
from plmscan.loading import load
from plmscan.purify import purify
from plmscan.purify.methods import Method, student
from plmscan.purify.provenance import provenance
from plmscan.purify.writing import PROVENANCE, require_new, write_model
from plmscan.scan import check
from plmscan.source import SourceOptions, resolve
from tests.adapters import adapter_of
from tests.scans import QUICK, Purified, purified
from tests.specimens import poisoned
from tests.tiny_models import build_tiny
from tests.zoo.tiny import tiny_folder

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.loading import LoadedModel
    from plmscan.source import Artifact


def opened(folder: Path) -> tuple[Artifact, LoadedModel]:
    """A model and its files."""
    artifact = resolve(str(folder), SourceOptions())
    return artifact, load(artifact, "cpu")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of ``folder``."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder with two triggers; read only."""
    return tiny_folder(tmp_path_factory, "cls")


@pytest.fixture(scope="module")
def made(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Purified:
    """The model purified, and where it is; the files of the original are what they were."""
    done = purified(tmp_path_factory)
    before = {file.path: file.sha256 for file in done.report.model.files}
    assert digests(planted) == before
    return done


@pytest.fixture(scope="module")
def condemned(made: Purified) -> Report:
    """What a scan says of it."""
    report = made.report
    assert report.verdict is Verdict.FAIL
    return report


class TestThePurifiedModel:
    """It passes a scan, forgets its triggers, and says the same of clean text."""

    def test_it_passes_a_scan_with_another_seed(self, made: Purified) -> None:
        """The folder holds what that scan was about."""
        done, folder = made.done, made.model
        assert done.verdict is Verdict.PASS
        assert check(str(folder), replace(QUICK, seed=5)).verdict is Verdict.PASS

    def test_its_triggers_are_harmless_and_were_not(
        self, made: Purified, condemned: Report
    ) -> None:
        """Every recovered trigger is back inside the model's own null."""
        done = made.done
        told = [one.token_ids for one in condemned.triggers]
        assert [one.token_ids for one in done.rounds[0].suspects[: len(told)]] == told
        assert len({one.token_ids for one in done.rounds[0].suspects}) == len(done.before.triggers)
        assert not any(one.harmless for one in done.before.triggers)
        assert all(one.harmless for one in done.rounds[-1].trial.triggers)

    def test_clean_text_keeps_its_features(self, made: Purified) -> None:
        """Nearly the same direction at every location."""
        done = made.done
        assert done.before.clean.cosine == pytest.approx(1.0)
        assert done.rounds[-1].trial.clean.cosine >= 0.98

    def test_only_weights_differ(self, made: Purified, planted: Path) -> None:
        """Tokenizer and config are the same bytes; the weights file has the same tensors."""
        done, folder = made.done, made.model
        before, after = digests(planted), digests(folder)
        assert after.keys() - before.keys() == {PROVENANCE}
        assert {n for n in before if before[n] != after[n]} == {"model.safetensors"}
        old, new = load_file(planted / "model.safetensors"), load_file(folder / "model.safetensors")
        assert {n: (t.shape, t.dtype) for n, t in old.items()} == {
            n: (t.shape, t.dtype) for n, t in new.items()
        }
        assert {n for n in old if not torch.equal(old[n], new[n])} == set(done.changed)
        assert not any("embeddings" in name for name in done.changed if "Norm" not in name)

    def test_it_says_where_it_comes_from(self, made: Purified, condemned: Report) -> None:
        """Digests of the original, what was done, and how it did."""
        folder = made.model
        told = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
        assert told["files"]["model.safetensors"] == next(
            file.sha256 for file in condemned.model.files if file.path == "model.safetensors"
        )
        assert told["rounds"][-1]["scan"] == "pass"
        assert told["rounds"][-1]["seed"] != condemned.settings["seed"]


def test_a_trigger_that_moves_nothing_any_more_can_be_told(made: Purified, planted: Path) -> None:
    """Its scatter is infinite, for which JSON has no number."""
    done = made.done
    *others, last = done.rounds
    still = replace(last.trial.triggers[0], displacement=0.0, scatter=math.inf)
    trial = replace(last.trial, triggers=(still, *last.trial.triggers[1:]))
    told = provenance(
        replace(done, rounds=(*others, replace(last, trial=trial))), opened(planted)[0], QUICK
    )
    (first, *_) = json.loads(json.dumps(told, allow_nan=False))["rounds"][-1]["after"]["triggers"]
    assert (first["displacement"], first["scatter"]) == (0.0, None)


class TestWhatItTellsMeanwhile:
    """How long it will take, and how far it is."""

    def test_progress_never_falls(self, made: Purified) -> None:
        """Over all methods, legs, trials and the probes of the new scan."""
        fractions = [fraction for fraction, _ in made.progress]
        assert fractions == sorted(fractions)
        assert 0 <= fractions[0] < fractions[-1] <= 1
        notes = {note for _, note in made.progress}
        assert {"random items", "triggers", "adversarial training"} < notes
        assert any(note.startswith("new scan: ") for note in notes)

    def test_each_step_has_its_own_stretch(self, made: Purified) -> None:
        """Training, of which every leg starts at 0, moves on from leg to leg."""
        trained = [at for at, note in made.progress if note == "adversarial training"]
        assert len(set(trained)) == len(trained)

    def test_the_estimate_comes_first_and_is_no_fantasy(self, made: Purified) -> None:
        """It is told once, and the usual course is shorter than the longest."""
        (estimate,) = made.estimates
        assert estimate.tokens > 10_000
        assert estimate.most is not None
        assert 0 < estimate.seconds < estimate.most


class TestRefusals:
    """What will not do is said before anything is trained."""

    def test_a_report_without_triggers(
        self, planted: Path, condemned: Report, tmp_path: Path
    ) -> None:
        """There is nothing to forget."""
        with pytest.raises(ReportError, match="names no trigger"):
            purify(str(planted), replace(condemned, findings=()), tmp_path / "new", QUICK)

    def test_a_report_about_other_weights(self, planted: Path, tmp_path: Path) -> None:
        """Triggers of another model mean nothing here."""
        with pytest.raises(ReportError, match="other weights"):
            purify(str(planted), poisoned(), tmp_path / "new", QUICK)

    def test_an_adapter(self, planted: Path, condemned: Report, tmp_path: Path) -> None:
        """Alone, or on the model that the report is about: neither is in the model's weights."""
        adapter = adapter_of(planted, tmp_path / "adapter")
        with pytest.raises(UnsupportedModelError, match="What adapters do"):
            purify(str(adapter), condemned, tmp_path / "new", QUICK)
        stacked = replace(condemned, model=replace(condemned.model, adapters=(condemned.model,)))
        with pytest.raises(UnsupportedModelError, match="What adapters do"):
            purify(str(planted), stacked, tmp_path / "new", QUICK)

    def test_a_folder_with_something_in_it(
        self, planted: Path, condemned: Report, tmp_path: Path
    ) -> None:
        """Nothing is ever overwritten."""
        (tmp_path / "there").write_text("mine")
        with pytest.raises(PlmscanError, match="not an empty folder"):
            purify(str(planted), condemned, tmp_path, QUICK)
        assert (tmp_path / "there").read_text() == "mine"

    def test_a_folder_inside_the_model(self, planted: Path) -> None:
        """The next check of the model would find another one in it."""
        artifact, _ = opened(planted)
        with pytest.raises(PlmscanError, match="lies inside the model"):
            require_new(planted / "new", artifact)


class TestWriting:
    """Exactly the tensors that were loaded are replaced."""

    def test_half_precision_stays_half_precision(self, planted: Path, tmp_path: Path) -> None:
        """A file keeps its type, whatever the model was trained in."""
        source = tmp_path / "half"
        source.mkdir()
        for path in planted.iterdir():
            (source / path.name).write_bytes(path.read_bytes())
        half = {name: t.half() for name, t in load_file(planted / "model.safetensors").items()}
        save_file(half, source / "model.safetensors", {"format": "pt"})
        artifact, model = opened(source)
        learner = student(model, Method.LAYERS)
        assert learner is not None
        name, weight = next(iter(learner.weights.items()))
        with torch.no_grad():
            weight += 1
        assert write_model(tmp_path / "out", artifact, model, learner.model) == (name,)
        written = load_file(tmp_path / "out" / "model.safetensors")
        assert {tensor.dtype for tensor in written.values()} == {torch.float16}
        assert torch.allclose(written[name].float(), half[name].float() + 1, atol=1e-2)

    def test_a_weight_that_is_in_no_file_is_refused(self, planted: Path, tmp_path: Path) -> None:
        """Half a purified model would be worse than none."""
        artifact, model = opened(planted)
        learner = student(model, Method.LAYERS)
        assert learner is not None
        name, weight = next(iter(learner.weights.items()))
        with torch.no_grad():
            dict(model.module.named_parameters())[name].add_(1)
            weight += 2
        with pytest.raises(UnsupportedModelError, match=name):
            write_model(tmp_path / "out", artifact, model, learner.model)

    def test_other_weights_are_left_behind(self, planted: Path, tmp_path: Path) -> None:
        """A pickle beside the safetensors still holds the backdoor."""
        source = tmp_path / "twin"
        source.mkdir()
        for path in planted.iterdir():
            (source / path.name).write_bytes(path.read_bytes())
        (source / "pytorch_model.bin").write_bytes(b"old weights")
        artifact, model = opened(source)
        write_model(tmp_path / "out", artifact, model, model)
        assert not (tmp_path / "out" / "pytorch_model.bin").exists()


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "mpnet"])
def test_heads_are_slices_of_their_layer(family: str, tmp_path: Path) -> None:
    """Only rows of what makes queries, keys and values, and columns of what takes heads in."""
    _, model = opened(build_tiny(family, tmp_path))
    learner = student(model, Method.HEADS, heads=[(1, 2)])
    assert learner is not None
    assert len(learner.masks) in {7, 4}
    width = model.hidden_size // 4
    own = list(range(2 * width, 3 * width))
    for name, mask in learner.masks.items():
        rows, columns = (mask.any(1), mask.any(0)) if mask.dim() == 2 else (mask.bool(), None)
        sliced = columns if columns is not None and bool(rows.all()) else rows
        assert sliced.nonzero().flatten().tolist() == own
        assert int(mask.sum()) * 4 == mask.numel(), name


def test_no_heads_no_student(tmp_path: Path) -> None:
    """Where a report names none, that method is left out."""
    _, model = opened(build_tiny("bert", tmp_path))
    assert student(model, Method.HEADS) is None
