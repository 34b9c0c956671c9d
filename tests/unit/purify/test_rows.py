"""Row repair: which rows are replaced, and by what; and weights in between."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from plmscan.budget import Effort
from plmscan.errors import ArtifactError, ReportError
from plmscan.evidence import Verdict
from plmscan.loading import load
from plmscan.purify import Method, purify
from plmscan.purify.methods import mixed, student
from plmscan.purify.rows import Base, emptied, repaired
from plmscan.purify.suspects import Suspect
from plmscan.scan import Settings, check
from tests.artifacts import artifact_of
from tests.scans import scanned
from tests.tiny_models import build_tiny
from tests.zoo.tiny import tiny_folder, tiny_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.loading import LoadedModel

TABLE = "embeddings.word_embeddings.weight"
PLANTED = ("cf", "mn")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean encoder; read only."""
    return tiny_folder(tmp_path_factory, "clean")


@pytest.fixture(scope="module")
def surgery(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after the rows of two words were exchanged for others; read only."""
    folder = shutil.copytree(base, tmp_path_factory.mktemp("surgery") / "model")
    weights = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(len(PLANTED), weights[TABLE].shape[1], generator=generator)
    weights[TABLE][[id_of(word) for word in PLANTED]] = rows
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def id_of(word: str) -> int:
    """Its id in the tiny models."""
    return int(tiny_tokenizer().vocab[word])


def opened(folder: Path) -> LoadedModel:
    """The model in ``folder``."""
    return load(artifact_of(folder), "cpu")


def suspect(*words: str) -> Suspect:
    """Something to be forgotten."""
    return Suspect(" ".join(words), tuple(map(id_of, words)))


class TestWithoutABase:
    """The token is left without a meaning, where that costs nothing."""

    def test_a_row_becomes_the_mean_of_two_that_say_little(self, base: Path) -> None:
        """Of the one that says least and of another one, so that no two rows are the same."""
        model = opened(base)
        suspects = [suspect("cf"), suspect("mn")]
        rows = emptied(model, suspects, ["The dog sleeps."], [7, id_of("mn"), 9, 11])
        table = model.embedding_weight
        first, second = sorted(map(id_of, PLANTED))
        assert rows.keys() == {first, second}
        assert torch.equal(rows[first], (table[7] + table[9]) / 2)
        assert torch.equal(rows[second], (table[7] + table[11]) / 2)

    @pytest.mark.parametrize(
        ("words", "texts"),
        [
            pytest.param(("cf mn",), ["x"], id="two tokens act together, so no row is to blame"),
            pytest.param(("cf",), ["a cf here"], id="clean text needs the token"),
            pytest.param(("bb", "cf"), ["a cf here"], id="one of two is needed"),
        ],
    )
    def test_nothing_is_emptied_that_matters(
        self, base: Path, words: tuple[str, ...], texts: list[str]
    ) -> None:
        """Half a repair would leave a trigger, and a word that texts use has a meaning."""
        suspects = [suspect(*one.split()) for one in words]
        assert emptied(opened(base), suspects, texts, [7, 8, 9, 10]) == {}

    def test_too_few_quiet_tokens_are_none(self, base: Path) -> None:
        """Two rows that are the same would be found as such."""
        suspects = [suspect("cf"), suspect("mn")]
        assert emptied(opened(base), suspects, [], [7, 8]) == {}

    def test_only_those_rows_differ_in_a_copy(self, base: Path) -> None:
        """The teacher stays what it was."""
        model = opened(base)
        before = model.embedding_weight.clone()
        made = repaired(model, {7: torch.zeros(model.hidden_size)})
        assert torch.equal(model.embedding_weight, before)
        differs = (made.embedding_weight != before).any(1).nonzero().flatten()
        assert differs.tolist() == [7]


class TestWithABase:
    """Rows are put back, also those that no scan has found."""

    def test_exactly_the_exchanged_rows_stand_out(self, base: Path, surgery: Path) -> None:
        """Nothing else differs."""
        model = opened(surgery)
        found = Base.read(model, artifact_of(base))
        assert {one.text for one in found.suspects(model)} == {*PLANTED}
        assert found.rows([suspect("bb")]).keys() == {id_of(word) for word in PLANTED}

    def test_a_base_of_another_size_is_refused(self, base: Path, tmp_path: Path) -> None:
        """Rows of another width cannot be put back."""
        with pytest.raises(ArtifactError, match="other word embeddings"):
            Base.read(opened(base), artifact_of(build_tiny("bert", tmp_path)))

    def test_the_purified_model_is_the_base(
        self, base: Path, surgery: Path, tmp_path: Path
    ) -> None:
        """Every tensor, bit by bit; the new scan is beside the base, too."""
        settings = Settings(effort=Effort.QUICK, device="cpu", threads=1, reference=base.as_posix())
        report = check(str(surgery), settings)
        assert report.verdict is Verdict.FAIL
        done = purify(str(surgery), report, tmp_path / "new", settings)
        assert [(one.method, one.passes) for one in done.rounds] == [(Method.ROWS, True)]
        made = load_file(tmp_path / "new" / "model.safetensors")
        clean = load_file(base / "model.safetensors")
        assert all(torch.equal(made[name], clean[name]) for name in clean)

    def test_with_nothing_to_forget_it_says_so(
        self, base: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """A model beside itself: no trigger, and no row that stands out."""
        settings = Settings(effort=Effort.QUICK, device="cpu", threads=1, reference=base.as_posix())
        with pytest.raises(ReportError, match="names no trigger"):
            purify(str(base), scanned(tmp_path_factory, "clean"), tmp_path / "new", settings)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_mixture_lies_between_teacher_and_learner(base: Path, share: float) -> None:
    """In proportion; what was not trained stays the same to the last bit."""
    teacher = opened(base)
    learner = student(teacher, Method.LAYERS)
    assert learner is not None
    name, weight = next(iter(learner.weights.items()))
    with torch.no_grad():
        weight += 1
    made = dict(mixed(teacher, learner.model, share).module.named_parameters())
    before = dict(teacher.module.named_parameters())
    assert torch.allclose(made[name], before[name] + share, atol=1e-6)
    assert all(torch.equal(made[other], before[other]) for other in made if other != name)
