"""Which functions and classes do the model's pickles ask for?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.kinds import RUNTIMES, Kind
from plmscan.layout import SETFIT_HEAD
from plmscan.pickles import Allowance, Level, builds_tensors, judge, read
from plmscan.probes.base import StaticProbe
from plmscan.probes.words import counted, some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plmscan.evidence import FileDigest, ListedFile, Observation
    from plmscan.pickles import Global, Reading
    from plmscan.source import Artifact

__all__ = ["Probe"]

_ID = "pickle-globals"
_TOLD = 3
"""Problems of one file that are told."""

_WEIGHT_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".th"})
_OPENED_SUFFIXES = frozenset(
    {".pkl", ".pickle", ".pk", ".dill", ".cloudpickle", ".joblib", ".sav", ".npy", ".npz"}
)
_PICKLE_SUFFIXES = _WEIGHT_SUFFIXES | _OPENED_SUFFIXES
_LOADED_WEIGHTS = re.compile(r"(pytorch_model|adapter_model|diffusion_pytorch_model)[\w.-]*\.bin$")
"""Weights that libraries load for their name, with ``weights_only`` where they are up to date."""
_TRAINING_STATE = re.compile(
    r"(training_args|optimizer|scheduler|scaler|sampler|custom_checkpoint|rng_state|random_states"
    r"|.*optim_states|.*mp_rank_\d+.*model_states)(_\d+)?\.(bin|pt|pth|pkl)$"
)
_HEADS = (
    "sklearn.calibration", "sklearn.discriminant_analysis", "sklearn.ensemble",
    "sklearn.gaussian_process", "sklearn.linear_model", "sklearn.model_selection",
    "sklearn.multiclass", "sklearn.multioutput", "sklearn.naive_bayes", "sklearn.neighbors",
    "sklearn.neural_network", "sklearn.pipeline", "sklearn.svm", "sklearn.tree", "xgboost",
    "lightgbm", "catboost",
)  # fmt: skip
"""Where the classifiers are that are put behind an encoder."""
_HEAD_NAME = re.compile(r"model_head(\.\w+)*$")


class Probe(StaticProbe):
    """Lists the globals of every pickle, by content and by suffix, and loads none.

    A pickle is a program: whoever loads it runs what it names, so a poisoned weight file owns the
    machine before the first token.  The same file is also the second copy of the weights that a
    loader without safetensors takes: a clean model for the scanner, another one for the user.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "dangerous_globals": "globals that can run code, read or write files (count)",
        "unknown_globals": "other globals that honest files of this kind do not name (count)",
        "weights": "1 if libraries load the file as the model's weights (flag)",
        "training_state": "1 if only the trainer that wrote the file reads it (flag)",
        "loaded": "1 if the file is the one that is loaded (flag)",
        "pickle_twin": "1 if the pickled weights lie beside safetensors (flag)",
    }
    details: ClassVar[Mapping[str, str]] = {
        "dangerous": "globals that can run code, read or write files",
        "unknown": "other globals that honest files of this kind do not name",
    }
    references: ClassVar[tuple[str, ...]] = (
        "https://docs.python.org/3/library/pickle.html",
        "https://pytorch.org/docs/stable/notes/serialization.html#weights-only",
        "https://github.com/mmaitre314/picklescan",
        "https://nvd.nist.gov/vuln/detail/CVE-2025-32434",
    )

    def inspect(self, artifact: Artifact) -> Iterator[Observation]:
        """Measure every file that holds pickles, and name what could not be read."""
        found, allowance = 0, Allowance.of_model()
        readable = artifact.readable
        listed: list[FileDigest | ListedFile] = [*artifact.files, *artifact.not_fetched]
        for file in (one for one in listed if one.path in readable):
            reading = read(
                readable[file.path],
                is_named_pickle=_is_opened(artifact, file.path),
                allowance=allowance.share(),
            )
            found += bool(reading.pickles)
            yield from _judge(artifact, file, reading)
        yield from _not_here(artifact)
        looked_at = counted(len(readable), "file")
        yield Coverage(f"Globals of {counted(found, 'pickle')}; {looked_at} looked at.")


@dataclass(frozen=True)
class _Names:
    """What the pickles of one file name, by how it is judged."""

    dangerous: tuple[str, ...]
    """What can do harm, sorted."""
    unknown: tuple[str, ...]
    """What nobody knows, or what does not belong into this kind of file, sorted."""
    heads: tuple[str, ...]
    """Classes of classifiers, sorted."""

    @classmethod
    def of(cls, reading: Reading, *, are_weights: bool) -> _Names:
        """The names of ``reading``, which belong to weights or to another kind of file."""
        levels = {item: judge(item, use) for item, use in reading.uses.items()}
        return cls(
            _shown(levels, Level.DANGEROUS, reading.acts),
            _shown(
                {
                    item: Level.UNKNOWN if are_weights and not builds_tensors(item) else level
                    for item, level in levels.items()
                    if level is not Level.DANGEROUS
                },
                Level.UNKNOWN,
            ),
            tuple(sorted({item.name for item in reading.uses if _is_head(item)})),
        )


def _shown(
    levels: Mapping[Global, Level], level: Level, more: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """The names of one level, sorted."""
    return tuple(sorted({*(item.shown for item, one in levels.items() if one is level), *more}))


def _is_head(item: Global) -> bool:
    """Whether the class is one of the classifiers that are put behind an encoder."""
    return item.name[:1].isupper() and any(
        item.module == module or item.module.startswith(f"{module}.") for module in _HEADS
    )


def _is_pickle_name(name: str) -> bool:
    """Whether the suffix alone says that some loaders unpickle the file."""
    return PurePosixPath(name).suffix.lower() in _PICKLE_SUFFIXES


def _is_training_state(name: str) -> bool:
    """Whether only the trainer that wrote the file reads it."""
    return _TRAINING_STATE.match(PurePosixPath(name).name) is not None


def _are_loaded(artifact: Artifact, name: str) -> bool:
    """Whether libraries load the file as the model's weights."""
    named = _LOADED_WEIGHTS.match(PurePosixPath(name).name) is not None
    return named or (name in artifact.weights and _is_pickle_name(name))


def _is_opened(artifact: Artifact, name: str) -> bool:
    """Whether somebody unpickles the file for its name: without a pickle it is broken."""
    file = PurePosixPath(name)
    return (
        _are_loaded(artifact, name)
        or _is_training_state(name)
        or _HEAD_NAME.match(file.name) is not None
        or file.suffix.lower() in _OPENED_SUFFIXES
    )


def _judge(
    artifact: Artifact, file: FileDigest | ListedFile, reading: Reading
) -> Iterator[Observation]:
    """The evidence of one file, and a gap for whatever of it was not read or is not known."""
    name = file.path
    for problem in reading.problems[:_TOLD]:
        yield Gap(name, f"Its pickles could not be read to the end: {problem}.")
    if not reading.pickles:
        if not reading.problems:
            yield from _without_pickles(artifact, file, reading)
        return
    names = _Names.of(reading, are_weights=_are_loaded(artifact, name))
    yield from _unjudged(artifact, name, names)
    yield Evidence(
        probe=_ID,
        subject=name,
        metrics={
            "dangerous_globals": float(len(names.dangerous)),
            "unknown_globals": float(len(names.unknown)),
            "weights": float(_are_loaded(artifact, name)),
            "training_state": float(_is_training_state(name)),
            "loaded": float(name in artifact.weights),
            "pickle_twin": float(_is_twin(artifact, name)),
        },
        details={"dangerous": some(names.dangerous), "unknown": some(names.unknown)},
    )


def _without_pickles(
    artifact: Artifact, file: FileDigest | ListedFile, reading: Reading
) -> Iterator[Gap]:
    """What is to be said of a file without a pickle, if its name promises one."""
    name = file.path
    is_array = PurePosixPath(name).suffix.lower() in {".npy", ".npz"}
    if not _is_pickle_name(name) or (is_array and reading.archives):
        return
    if file.kind == Kind.LFS_POINTER:
        reason = "It is a Git LFS pointer, not the file itself: run git lfs pull in its repository."
        yield Gap(name, reason)
    elif _is_opened(artifact, name):
        yield Gap(name, "It is named like a pickle, and no pickle was found in it.")
    elif file.kind not in RUNTIMES:
        reason = (
            "No pickle is in it, in spite of its name: it is data of another program, which the "
            "libraries that load this model do not open."
        )
        yield Gap(name, reason, blocks_pass=False)


def _unjudged(artifact: Artifact, name: str, names: _Names) -> Iterator[Gap]:
    """What of a file's pickles nobody can vouch for."""
    if names.unknown and not names.dangerous and not _are_loaded(artifact, name):
        reason = (
            f"It names {some(names.unknown)}, and plmscan does not know what that does: whoever "
            "unpickles the file runs it. Leave the file out, or read the code of what it names."
        )
        yield Gap(name, reason)
    if name == SETFIT_HEAD and artifact.has_setfit_head:
        return  # It is told where the model is loaded: measured, or why not.
    is_head = _HEAD_NAME.match(PurePosixPath(name).name) is not None
    if is_head or (names.heads and not _is_training_state(name)):
        kind = f" ({some(names.heads)})" if names.heads else ""
        reason = (
            f"It holds a classifier{kind} that decides what the model answers, and was not "
            "measured. Judge it apart from the encoder, or leave it out and train a head of your "
            "own."
        )
        yield Gap(name, reason)


def _is_twin(artifact: Artifact, name: str) -> bool:
    """Whether pickled weights lie in the folder of safetensors weights that are loaded instead."""
    file = PurePosixPath(name)
    if file.suffix.lower() not in _WEIGHT_SUFFIXES or _is_training_state(name):
        return False
    safe = (PurePosixPath(w) for w in artifact.weights if w.endswith(".safetensors"))
    return any(weights.parent == file.parent for weights in safe)


def _not_here(artifact: Artifact) -> Iterator[Observation]:
    """Files of the repository that could run, and of which not enough was fetched to tell."""
    by_reason: dict[str, list[str]] = {}
    for file in artifact.unread:
        by_reason.setdefault(file.reason, []).append(file.subject)
    for reason, names in by_reason.items():
        yield Gap(some(names), reason)
    for name in (file.path for file in artifact.not_fetched):
        if name not in artifact.programs and _is_twin(artifact, name):
            yield Evidence(_ID, name, {"pickle_twin": 1.0})
