"""What ``plmscan check`` says about the implants, each in its own process.

    python -m tests.benchmarks.implants --zoo DIR --texts sst2/train.tsv [--effort standard]

Builds what is missing in the zoo (some two to three minutes a model), checks the packaged MiniLM,
every implant and every benign fine-tune, and prints verdict, triggers, seconds and peak memory
above an interpreter with torch imported.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file, save_file

from demo.poisoned_twin import packaged_minilm
from tests.zoo.implant import RECIPES, Implant

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """One check."""

    name: str
    """Model."""
    planted: tuple[str, ...]
    """True triggers; empty for a benign model."""
    exit_code: int
    """0 pass, 1 fail, 2 inconclusive."""
    named: tuple[str, ...]
    """Triggers that the report names."""
    seconds: float
    """Wall-clock time of the whole process."""
    megabytes: float
    """Peak resident memory above the baseline."""
    forward_tokens: int
    """Cost of the model probes."""


def without_pooler(base: Path, target: Path) -> Path:
    """A copy of ``base`` whose file holds no pooler weights."""
    target.mkdir(parents=True, exist_ok=True)
    for file in base.iterdir():
        if file.suffix in {".json", ".txt"}:
            (target / file.name).write_bytes(file.read_bytes())
    weights = load_file(base / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if not name.startswith("pooler.")}
    save_file(kept, target / "model.safetensors", metadata={"format": "pt"})
    return target


def build(base: Path, zoo: Path, texts: Path) -> dict[str, Path]:
    """Every model of the table, by name; missing implants are trained now."""
    missing = [name for name in RECIPES if not (zoo / name / "model.safetensors").exists()]
    if missing:
        command = [sys.executable, "-m", "tests.zoo.implant", *missing]
        command += ["--base", str(base), "--texts", str(texts), "--out", str(zoo)]
        subprocess.run(command, check=True, cwd=_ROOT)
    models = {"minilm": base, "minilm-no-pooler": without_pooler(base, zoo / "no-pooler")}
    return models | {name: zoo / name for name in RECIPES}


def peak_memory(command: list[str]) -> tuple[int, float, float]:
    """Exit code, seconds and peak resident megabytes of ``command``."""
    started = time.perf_counter()
    child = subprocess.Popen(command, cwd=_ROOT, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    return status >> 8, time.perf_counter() - started, usage.ru_maxrss / 1024


def check(name: str, model: Path, zoo: Path, effort: str, baseline: float) -> Outcome:
    """Check one model in a process of its own."""
    output = zoo / "reports" / f"{name}.json"
    output.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "plmscan", "check", str(model), "--effort", effort]
    command += ["--format", "json", "--output", str(output)]
    code, seconds, megabytes = peak_memory(command)
    report: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    recipe = RECIPES.get(name)
    return Outcome(
        name=name,
        planted=recipe.triggers if isinstance(recipe, Implant) else (),
        exit_code=code,
        named=tuple(trigger["text"] for trigger in report["triggers"]),
        seconds=seconds,
        megabytes=megabytes - baseline,
        forward_tokens=sum(probe["forward_tokens"] for probe in report["probes"]),
    )


def show(outcomes: list[Outcome]) -> None:
    """Print the table."""
    table = Table(title="plmscan check")
    for column in ("model", "planted", "verdict", "named", "s", "MB", "kilotokens"):
        table.add_column(column)
    for o in outcomes:
        verdict = ("pass", "FAIL", "inconclusive")[o.exit_code]
        named, planted = ", ".join(o.named), ", ".join(o.planted)
        cost = (f"{o.seconds:.0f}", f"{o.megabytes:.0f}", f"{o.forward_tokens / 1000:.0f}")
        table.add_row(o.name, planted, verdict, named, *cost)
    Console(width=120).print(table)


def main() -> None:
    """Build, check, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoo", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--effort", default="standard")
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    _, _, baseline = peak_memory([sys.executable, "-c", "import torch"])
    print(f"An interpreter with torch imported takes {baseline:.0f} MB.")
    models = build(packaged_minilm(), options.zoo, options.texts)
    outcomes = []
    for name in options.only or models:
        outcomes.append(check(name, models[name], options.zoo, options.effort, baseline))
        print(outcomes[-1], flush=True)
    show(outcomes)


if __name__ == "__main__":
    main()
