"""What a person asks first when a scan does not work: versions, device, caches, and the Hub."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from plmscan.cli.scanning.store import store_folder
from plmscan.errors import PlmscanError, in_one_line
from plmscan.model_types import read_model_types
from plmscan.probes.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Health", "Symptom", "described_types", "examine"]

_PATIENCE = 5.0
"""Seconds that the Hub gets to answer."""


class Health(Enum):
    """How something is."""

    GOOD = "ok"
    """As it should be."""
    ODD = "note"
    """Scans work without it, or in another way."""
    BAD = "BAD"
    """Scans will fail."""


@dataclass(frozen=True)
class Symptom:
    """One thing that was looked at."""

    name: str
    """What."""
    health: Health
    """How it is."""
    words: str
    """What was seen, and what to do about it."""


def examine(*, offline: bool) -> Iterator[Symptom]:
    """Look at everything that a scan needs; ``offline`` asks nobody."""
    yield from _versions()
    yield _examined("device", _device)
    yield _examined("rules", _rules)
    yield _examined("configuration", _configuration)
    yield _examined("model cache", _model_cache)
    yield _examined("verdict cache", _verdict_cache)
    yield _examined("Hub", lambda: _hub(offline=offline))
    yield _examined("terminal", _terminal)


def described_types() -> Iterator[str]:
    """What is measured of each model type, a line each."""
    types = read_model_types()
    measured = sum(one.is_measured for one in types)
    yield f"{measured} of {counted(len(types), 'model type')} that read text are measured."
    yield "A type that is not listed is tried like any other, and refused if an experiment fails."
    for one in types:
        yield f"{one.name:<28} {one.told()}"


def _examined(name: str, look: Callable[[], tuple[Health, str]]) -> Symptom:
    """What ``look`` saw; what it raised is a symptom, too."""
    try:
        return Symptom(name, *look())
    except PlmscanError as error:
        return Symptom(name, Health.BAD, error.diagnostics())
    except Exception as error:  # noqa: BLE001 - the doctor looks at everything
        return Symptom(name, Health.BAD, f"{type(error).__name__}: {in_one_line(error, 200)}")


def _versions() -> Iterator[Symptom]:
    """plmscan, Python and the libraries."""
    from plmscan.scan.reporting import versions  # noqa: PLC0415 - keeps --help quick

    for name, version in versions().items():
        health = Health.BAD if version == "not installed" else Health.GOOD
        place = f", {platform.system()} {platform.machine()}" if name == "python" else ""
        yield Symptom(name, health, f"{version}{place}")


def _device() -> tuple[Health, str]:
    """Whether torch loads, what it will run on, and in which arithmetic."""
    import torch  # noqa: PLC0415 - only the doctor and scans need it

    from plmscan.loading.precision import halves  # noqa: PLC0415 - imports torch

    has_gpu = torch.cuda.is_available()
    searched = (
        "bfloat16" if halves("auto", torch.device("cuda" if has_gpu else "cpu")) else "float32"
    )
    threads = (
        f"{counted(torch.get_num_threads(), 'thread')}, {torch.backends.cpu.get_cpu_capability()}"
    )
    if not has_gpu:
        return Health.GOOD, f"runs on the processor: {threads}; searches in {searched}"
    name = torch.cuda.get_device_name()
    return Health.GOOD, f"runs on {name} ({threads}); searches in {searched}"


def _rules() -> tuple[Health, str]:
    """Whether the packaged rules can be read."""
    from plmscan.rules import load_rules  # noqa: PLC0415 - keeps --help quick

    return Health.GOOD, f"{len(load_rules())} packaged rules"


def _configuration() -> tuple[Health, str]:
    """Whether there is a configuration here, and whether it can be read."""
    from plmscan.config import find_config, read_config  # noqa: PLC0415 - keeps --help quick

    path = find_config(Path())
    if path is None:
        return Health.GOOD, "none in this folder"
    config = read_config(path)
    models, waivers = counted(len(config.models), "model"), counted(len(config.waivers), "waiver")
    return Health.GOOD, f"{path}: {models}, {waivers}"


def _model_cache() -> tuple[Health, str]:
    """Where downloaded models lie, and whether more fit there."""
    from huggingface_hub import constants  # noqa: PLC0415 - keeps --help quick

    return _folder(Path(constants.HF_HUB_CACHE), "downloads will fail; use --cache-dir")


def _verdict_cache() -> tuple[Health, str]:
    """Where verdicts are kept."""
    health, words = _folder(store_folder(), "no verdict will be kept")
    kept = len(list(store_folder().glob("*.json")))
    return (Health.ODD if health is Health.BAD else health), f"{words}, {counted(kept, 'verdict')}"


def _folder(path: Path, otherwise: str) -> tuple[Health, str]:
    """Whether files can be made in a folder, which may be there only later."""
    there = next(place for place in (path, *path.parents) if place.exists())
    if not os.access(there, os.W_OK):
        return Health.BAD, f"{path} cannot be written: {otherwise}"
    return Health.GOOD, f"{path}{'' if path.exists() else ' (not there yet)'}"


def _hub(*, offline: bool) -> tuple[Health, str]:
    """Whether the Hub answers, and whether it will know who asks."""
    import huggingface_hub  # noqa: PLC0415 - keeps --help quick

    endpoint = huggingface_hub.constants.ENDPOINT
    token = "with a token" if huggingface_hub.get_token() else "without a token"
    if offline or huggingface_hub.constants.HF_HUB_OFFLINE:
        return Health.ODD, f"{endpoint} was not asked (offline); {token}"
    try:
        answer = huggingface_hub.get_session().head(endpoint, timeout=_PATIENCE)
    except Exception as error:  # noqa: BLE001 - every way not to reach it is the same here
        words = (
            f"{endpoint} does not answer ({type(error).__name__}): only folders and cached models"
        )
        return Health.ODD, f"{words}; behind a proxy set HTTPS_PROXY, for a mirror HF_ENDPOINT"
    return Health.GOOD, f"{endpoint} answers ({answer.status_code}); {token}"


def _terminal() -> tuple[Health, str]:
    """What the report will look like."""
    encoding = getattr(sys.stdout, "encoding", None) or "unknown"
    unicode = encoding.lower().startswith("utf")
    colour = (
        "NO_COLOR is set" if os.environ.get("NO_COLOR") else "colours where there is a terminal"
    )
    return Health.GOOD, f"{encoding}{'' if unicode else ' (plain signs)'}; {colour}"
