"""Where the models of a fleet come from: trees of folders, queries to a Hub, MLflow's registry."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import pytest

from plmscan.errors import FleetError
from plmscan.fleet.listing import HubQuery, models_below, models_of, registered
from plmscan.source import SourceOptions, resolve
from tests.hub_server import HubRepo, Limit, serve
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"config.json": b"{}", "model.safetensors": bytes(4000)}
REPOS = {
    "ann/one": HubRepo(FILES, downloads=5),
    "ann/two": HubRepo(FILES, task="text-classification", downloads=9),
    "ann/three": HubRepo(FILES, downloads=7),
    "ann/four": HubRepo({"config.json": b"{}"}, downloads=1),
    "ann/other": HubRepo(FILES, library="keras"),
    "bob/one": HubRepo(FILES),
    "ann/hidden": HubRepo(FILES, private=True),
}


def test_a_query_is_answered_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """By author, library and order, up to the limit, with what the Hub knows of the size."""
    with serve(REPOS) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        query = HubQuery.of("author=ann,library=transformers,sort=downloads,limit=3")
        found = models_of(query, offline=False)
        by_task = models_of(HubQuery.of("task=text-classification"), offline=False)
    assert found == [("ann/two", 4000), ("ann/three", 4000), ("ann/one", 4000)]
    assert by_task == [("ann/two", 4000)]


def test_a_hub_that_is_busy_is_asked_when_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own Retry-After is waited for, and the list is whole."""
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        time.sleep(seconds)

    with serve(REPOS, Limit(requests=2, seconds=1.0)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert models_of(HubQuery.of("limit=1"), offline=False)
        query = HubQuery.of("author=ann,library=transformers")
        found = models_of(query, offline=False, wait=wait)
    assert waits == [1.0]
    assert len(found) == 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("colour=red", "--hub takes name=value with commas between, and 'colour=red' is not that."),
        ("limit=many", "The limit of --hub must be a number from 1 to 1000000, not 'many'."),
        ("author=a,author=b", "and 'author=b' is not that."),
    ],
)
def test_a_query_that_means_nothing_is_refused(text: str, told: str) -> None:
    """With the names that there are."""
    with pytest.raises(FleetError) as refused:
        HubQuery.of(text)
    assert told in refused.value.problem


def test_a_name_that_means_a_folder_here_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A Hub cannot have a folder of this machine scanned in the place of its own model."""
    (tmp_path / "ann" / "two").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with serve(REPOS) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with pytest.raises(FleetError, match="means something else here"):
            models_of(HubQuery.of("task=text-classification"), offline=False)


def test_a_tree_leaves_out_no_weights(tmp_path: Path) -> None:
    """A folder with weights is a model, also without a configuration; what is inside is its own."""
    for path in ("a/model.safetensors", "a/inner/model.safetensors", "b/c/pytorch_model.bin"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "modules.json").touch()
    (tmp_path / "e").mkdir()
    found = [path.removeprefix(f"{tmp_path.as_posix()}/") for path in models_below(tmp_path)]
    assert found == ["a", "b/c", "d"]
    with pytest.raises(FleetError, match="holds no models"):
        models_below(tmp_path / "e")


def test_models_of_mlflow_are_their_newest_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is copied as transformers loads it, with everything else of the version beside it."""
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    version = tmp_path / "version"
    build_tiny("bert", version / "model")
    tokenizer = version / "components" / "tokenizer"
    tokenizer.mkdir(parents=True)
    for file in (version / "model").glob("*token*"):
        shutil.move(file, tokenizer)
    (version / "MLmodel").write_text("flavors: {}\n")
    (version / "python_model.pkl").write_bytes(b"\x80\x04N.")
    client = mlflow.MlflowClient()
    client.create_registered_model("toy")
    client.create_model_version("toy", source=version.as_uri())
    client.create_model_version("toy", source=version.as_uri())
    client.set_registered_model_alias("toy", "champion", 1)
    assert registered("all") == ["mlflow:toy/2"]
    options = SourceOptions(cache_dir=tmp_path / "cache")
    for name in ("mlflow:toy", "mlflow:toy/1", "mlflow:toy@champion"):
        found = resolve(name, options)
        assert found.id == name
        assert found.weights == ("model.safetensors",)
        assert {"tokenizer.json", "python_model.pkl"} <= {file.path for file in found.files}
