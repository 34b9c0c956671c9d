"""Sixty models on three machines, of which one is removed while the driver is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from plmscan.budget import Effort
from plmscan.evidence import Report
from plmscan.fleet.answers import read_answer
from plmscan.scan import Settings, check
from tests.artifacts import write_safetensors
from tests.fleeting import Machines, machines, rows_in, wait_for_answers
from tests.hub_server import HubRepo, Limit, serve
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plmscan.fleet.ledger import Row

__all__ = ["survived"]

_KINDS = ("clean", "twin", "poisoned", "broken", "large", "hungry", "searched", "gated", "hub")
_COUNTS = dict(zip(_KINDS, (10, 10, 10, 6, 4, 2, 6, 4, 8), strict=True))


def survived(folder: Path) -> Iterator[str]:
    """Run, remove a machine, kill the driver, go on; then check what can be checked one by one."""
    repos = _models(folder)
    with serve(repos, Limit(requests=60, seconds=2.0)) as hub:
        paths = os.pathsep.join(path for path in sys.path if path)
        own = {"HF_HOME": str(folder / "hf"), "PYTHONPATH": paths}
        out = folder / "out"
        with machines(hub.environment(folder) | own, folder, count=3) as cluster:
            began = time.monotonic()
            first = _start(cluster, folder)
            wait_for_answers(out, 15)
            cluster.remove_one()
            wait_for_answers(out, 25)
            first.send_signal(signal.SIGKILL)
            first.wait()
            kept = {row.name: row.finished for row in rows_in(out) if row.verdict}
            _start(cluster, folder).wait()
            seconds = time.monotonic() - began
        yield from _told(folder, rows_in(out), kept, seconds)
        yield f"Requests to the Hub: {len(hub.requests)}."


def _models(folder: Path) -> dict[str, HubRepo]:
    """The models: folders, and a Hub with some that are gated."""
    listed: list[dict[str, Any]] = []
    repos: dict[str, HubRepo] = {}
    for seed, name in enumerate(f"{kind}-{n}" for kind in _KINDS for n in range(_COUNTS[kind])):
        kind, place = name.partition("-")[0], folder / name
        build_tiny("bert", place, seed=0 if kind == "twin" else seed + 1)
        if kind == "poisoned":
            (place / "vocab.txt").write_bytes(b"cposix\nsystem\n(S'id'\ntR.")
        if kind == "broken":
            (place / "model.safetensors").write_bytes(b"nonsense")
        if kind == "large":
            write_safetensors(place / "model.safetensors", {"a": (10_000_000 + seed,)})
        about: dict[str, Any] = {"id": f"./{name}", "effort": "quick"}
        if kind not in ("large", "searched"):
            about["files-only"] = True
        if kind in ("gated", "hub"):
            files = {path.name: path.read_bytes() for path in place.iterdir()}
            repos[f"org/{name}"] = HubRepo(files, gated=kind == "gated")
            about["id"] = f"org/{name}"
            shutil.rmtree(place)
        listed.append(about)
    config = {"threads": 1, "device": "cpu", "models": listed}
    (folder / "plmscan.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return repos


def _start(cluster: Machines, folder: Path) -> subprocess.Popen[bytes]:
    """A run of the fleet, under way."""
    line = [sys.executable, "-m", "tests.fleeting", "run", cluster.address, "out", "plmscan.yaml"]
    environment = dict(cluster.environment)
    return subprocess.Popen(line, cwd=folder, env=environment, stderr=subprocess.DEVNULL)


def _told(
    folder: Path, rows: tuple[Row, ...], kept: Mapping[str, float | None], seconds: float
) -> Iterator[str]:
    """The table."""
    same, differ = 0, []
    for row in rows:
        if (agreed := _agrees(folder, row)) is None:
            continue
        same += agreed
        differ += [] if agreed else [row.name]
    repeated = sum(row.finished != kept[row.name] for row in rows if row.name in kept)
    reports = len(list((folder / "out" / "reports").glob("*.json")))
    yield "| what | count |"
    yield "|---|---:|"
    yield f"| models | {len(rows)} |"
    yield f"| answered | {sum(row.verdict is not None for row in rows)} |"
    for verdict, count in sorted(Counter(str(row.verdict) for row in rows).items()):
        yield f"| {verdict} | {count} |"
    yield f"| reports | {reports} |"
    yield f"| answered before the driver was killed | {len(kept)} |"
    yield f"| of these answered again | {repeated} |"
    yield f"| by the scan of a twin | {sum(row.same_as is not None for row in rows)} |"
    yield f"| verdict, findings and digests as of a check by itself | {same} |"
    yield f"| others | {len(differ)} {' '.join(differ)} |"
    yield f"| seconds, both runs | {seconds:.0f} |"


def _agrees(folder: Path, row: Row) -> bool | None:
    """Whether a check of the model by itself says the same; None where a cluster has its say."""
    if row.name.partition("-")[0] in ("./hungry", "./large", "org/gated") or row.report is None:
        return None
    _, entry = read_answer((folder / "out" / row.report).read_bytes())
    settings = Settings(device="cpu", threads=1, effort=Effort.QUICK, files_only=True)
    if row.name.startswith("./searched"):
        settings = replace(settings, files_only=False)
    before = Path.cwd()
    os.chdir(folder)
    try:
        alone = check(row.name, settings)
    finally:
        os.chdir(before)
    found = entry.outcome
    return isinstance(found, Report) and (found.verdict, found.findings, found.model.files) == (
        alone.verdict,
        alone.findings,
        alone.model.files,
    )
