"""Do the model's files make its libraries load something else than what is measured?"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from plmscan import loader_settings
from plmscan.errors import ArtifactError
from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.layout import ADAPTER, inside
from plmscan.probes.base import StaticProbe
from plmscan.probes.words import some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from plmscan.evidence import Observation
    from plmscan.loader_settings import Followed
    from plmscan.source import Artifact

    _Judge = Callable[[Mapping[str, Any], Path], Iterator[Followed]]

__all__ = ["Probe"]

_ID = "entry-points"
_MISTRAL = "tekken.json"
"""The vocabulary of mistral-common."""
_TRANSFORMER = re.compile(r"sentence_.*config\.json")
_JUDGES: Mapping[str, _Judge] = {
    "config.json": lambda settings, _folder: loader_settings.in_config(settings),
    "generation_config.json": lambda settings, _folder: loader_settings.in_generation(settings),
    "tokenizer_config.json": loader_settings.in_tokenizer,
    "processor_config.json": loader_settings.in_tokenizer,
    "preprocessor_config.json": loader_settings.in_tokenizer,
    "special_tokens_map.json": loader_settings.in_special_tokens,
}
_AWAY = (
    "Libraries follow it to something that plmscan does not read. Take the setting out and check "
    "that the model still loads, or save the model again with save_pretrained."
)
_LEFT_OVER = "It names paths of the machine that the model was made on, which no library follows."
_BASES_NAMED = 80
_OF_MISTRAL = (
    "Where mistral-common is installed, transformers reads this vocabulary instead of "
    "tokenizer.json, and plmscan does not read it. Remove the file where that is not wanted."
)


class Probe(StaticProbe):
    """Follows the loaders: settings and files that lead them to other files, weights or sums.

    A scan is worth what its subject is: where a setting makes the user's library take another
    vocabulary, put an adapter on top, or load a second model, the one with the trigger may be the
    one that nobody measured.  So whatever leads away from the files that are read is named, and
    withholds a pass.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "leading_away": "settings that make a library load something else (count)",
        "left_over": "settings with paths of another machine, which no library follows (count)",
    }
    details: ClassVar[Mapping[str, str]] = {
        "settings": "the settings, with what they name",
    }
    references: ClassVar[tuple[str, ...]] = (
        "https://github.com/huggingface/transformers/issues/46279",
        "https://huggingface.co/docs/transformers/peft",
        "https://sbert.net/docs/sentence_transformer/usage/custom_models.html",
    )

    def inspect(self, artifact: Artifact) -> Iterator[Observation]:
        """Name what is not read, then judge the settings of each file, then the adapters."""
        for unread in artifact.layout.unread:
            yield Gap(unread.subject, unread.reason)
        judged = [(f.path, judge) for f in artifact.files if (judge := _judge(f.path)) is not None]
        for name, judge in judged:
            yield from _followed(artifact, name, judge)
        yield from _left_out(artifact)
        for file in artifact.files:
            name = PurePosixPath(file.path).name
            if name == ADAPTER and file.path not in _measured(artifact):
                yield _adapter(artifact, file.path)
            elif name == _MISTRAL:
                yield Gap(file.path, _OF_MISTRAL)
        yield Coverage(f"{len(judged)} settings files, whether they lead to other files.")


def _judge(name: str) -> _Judge | None:
    """What tells the settings of the file ``name`` that lead away; None for other files."""
    file = PurePosixPath(name).name
    if _TRANSFORMER.fullmatch(file):
        return lambda settings, _folder: loader_settings.in_transformer(settings)
    return _JUDGES.get(file)


def _followed(artifact: Artifact, name: str, judge: _Judge) -> Iterator[Evidence | Gap]:
    """What one file leads to."""
    try:
        settings = artifact.read_json(name)
    except ArtifactError as error:
        yield Gap(name, f"{error.problem} {error.remedy}")
        return
    found = list(judge(settings, artifact.path(name).parent))
    if not found:
        return
    away = [one.setting for one in found if one.leads_away]
    rest = [one.setting for one in found if not one.leads_away]
    metrics = {"leading_away": float(len(away)), "left_over": float(len(rest))}
    yield Evidence(_ID, name, metrics, {"settings": some([*away, *rest])})
    if away:
        yield Gap(name, f"{some(away)}: {_AWAY}")
    if rest:
        yield Gap(name, f"{some(rest)}: {_LEFT_OVER}", blocks_pass=False)


def _left_out(artifact: Artifact) -> Iterator[Gap]:
    """Settings that plmscan drops before it builds the model."""
    name = artifact.layout.at_home("config.json")
    try:
        settings = artifact.read_json(name)
    except ArtifactError:
        return  # that it is broken or missing is told where it is needed
    for key, meaning in loader_settings.LEFT_OUT.items():
        if meaning and settings.get(key):
            reason = f"{key} says {meaning}; plmscan measures the model without it."
            blocks = loader_settings.changes_the_model(key)
            remedy = " Take it out of the file, and pass it in your own code." if blocks else ""
            yield Gap(name, f"{reason}{remedy}", blocks_pass=blocks)


def _measured(artifact: Artifact) -> set[str]:
    """Adapters of the files that are put on their base, and checked."""
    layout = artifact.layout
    folders = (layout.home, *layout.siblings) if layout.is_adapter else ()
    return {inside(folder, ADAPTER) for folder in folders}


def _adapter(artifact: Artifact, name: str) -> Gap:
    """An adapter, which libraries put on top of a model."""
    try:
        base = artifact.read_json(name).get("base_model_name_or_path")
    except ArtifactError:
        base = None
    on_top = f" of {base[:_BASES_NAMED]}" if isinstance(base, str) and base else " of a model"
    folder = str(PurePosixPath(name).parent)
    beside = folder == (artifact.layout.home or ".")
    where = "beside the model" if beside else f"in {folder}"
    remedy = (
        "Keep it in a folder of its own, and check that."
        if beside
        else f"Check that folder by itself (plmscan check MODEL/{folder})."
    )
    return Gap(
        name,
        f"It makes the files {where} an adapter, which libraries put on top{on_top}; it was not "
        f"measured with that. {remedy}",
    )
