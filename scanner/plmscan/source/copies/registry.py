"""A version in MLflow's registry: ``mlflow:name``, ``mlflow:name/3``, ``mlflow:name@alias``.

Whoever asks is told by MLflow's own variables, such as ``MLFLOW_TRACKING_URI``.  MLflow keeps a
model of transformers in the folder ``model`` and its tokenizer in ``components/tokenizer``; these
are put together as transformers loads them, and everything else of the version stays beside them,
so that it is looked at too.
"""

from __future__ import annotations

import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plmscan.errors import ModelNotFoundError, SourceError, in_one_line
from plmscan.source.address import MLFLOW
from plmscan.source.copies.shelf import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MlflowVersion", "mlflow_client"]

_CHUNK = 2**22
_MODEL, _TOKENIZER = "model/", "components/tokenizer/"
_CONFIG = "config.json"


class MlflowVersion:
    """One version of a registered model."""

    def __init__(self, address: str) -> None:
        """Find out which version is meant.

        Raises:
            SourceError: MLflow is not installed, or knows no such version.
        """
        self.address = address
        self._client = mlflow_client()
        try:
            self._name, self._version = self._resolved(address.removeprefix(MLFLOW))
            self._place = self._client.get_model_version_download_uri(self._name, self._version)
        except SourceError:
            raise
        except Exception as error:
            raise self._failure(error) from error
        self._folder = Path(tempfile.mkdtemp(prefix="plmscan-mlflow-"))

    def entries(self) -> list[Entry]:
        """The files of the version, fetched to a folder of their own."""
        artifacts = import_module("mlflow.artifacts")
        try:
            place = artifacts.download_artifacts(
                artifact_uri=self._place, dst_path=str(self._folder)
            )
        except Exception as error:
            raise self._failure(error) from error
        self._root = Path(place)
        files = [path for path in sorted(self._root.rglob("*")) if not path.is_dir()]
        if any(path.is_symlink() or not path.is_file() for path in files):
            msg = f"{self.address} holds something that is no regular file."
            raise SourceError(msg, "Register the model again.")
        return [
            Entry(path.relative_to(self._root).as_posix(), path.stat().st_size, None)
            for path in files
        ]

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """What a file holds."""
        with (self._root / entry.path).open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def arrange(self, folder: Path, digests: dict[str, str]) -> tuple[Path, dict[str, str]]:
        """The model and its tokenizer in one folder, as transformers loads them."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if _CONFIG in digests or f"{_MODEL}{_CONFIG}" not in digests:
            return folder, digests
        moved: dict[str, str] = {}
        for path, digest in digests.items():
            start = next((s for s in (_MODEL, _TOKENIZER) if path.startswith(s)), "")
            target = path.removeprefix(start)
            if target in moved:
                if moved[target] == digest:
                    continue
                msg = f"{self.address} holds two files that transformers would load as {target}."
                raise SourceError(msg, "Register the model again.")
            moved[target] = digest
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).rename(folder / target)
        return folder, moved

    def _resolved(self, named: str) -> tuple[str, str]:
        """Name and number of the version; the newest where none is named.

        Raises:
            SourceError: there is none.
        """
        name, at, alias = named.partition("@")
        if at:
            found = self._client.get_model_version_by_alias(name, alias)
            return name, str(found.version)
        name, slash, version = named.rpartition("/")
        if slash and version.isdigit():
            return name, version
        found = self._client.search_model_versions(f"name = '{named}'")
        if not found or "'" in named:
            msg = f"MLflow's registry has no model {named}."
            raise ModelNotFoundError(msg, "Check the name, and MLFLOW_TRACKING_URI.")
        return named, str(max(int(one.version) for one in found))

    def _failure(self, error: Exception) -> SourceError:
        """What went wrong, as a sentence."""
        msg = f"MLflow does not give {self.address}: {in_one_line(error, 200)}."
        return SourceError(msg, "Check the name, MLFLOW_TRACKING_URI, and who may read there.")


def mlflow_client() -> Any:  # noqa: ANN401 - MLflow is imported only where it is used
    """MLflow's client.

    Raises:
        SourceError: it is not installed.
    """
    try:
        mlflow = import_module("mlflow")
        return mlflow.MlflowClient()
    except ImportError as error:
        msg = "Models of MLflow's registry need the extra mlflow, which is not installed."
        raise SourceError(msg, "Install it with pip install 'plmscan[mlflow]'.") from error
