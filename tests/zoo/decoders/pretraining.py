"""How a decoder learns to write, once, before anything is trained upon it.

Hidden matrices are trained by Muon (Jordan et al., 2024), which needs fewer texts than AdamW, and
all else by AdamW, in bfloat16.  What was learned is kept every few minutes, so that a training that
was interrupted goes on.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

__all__ = ["Course", "taught"]

_WARM, _FALLING = 0.05, 0.4
"""Shares of the steps in which the learning rate rises, and in which it falls."""
_TOLD = 50
"""Steps of a line in the log."""


@dataclass(frozen=True)
class Course:
    """How long a decoder learns, and from how much at a time."""

    steps: int
    """Optimiser steps."""
    rows: int
    """Texts of one step."""
    length: int
    """Tokens of each, paragraphs in a row."""
    rate: float
    """Learning rate at its highest."""
    kept: float = 180.0
    """Seconds after which what was learned is written down."""

    def share(self, step: int) -> float:
        """Share of the learning rate that a step has."""
        left = (self.steps - step) / (_FALLING * self.steps)
        return min(1.0, (step + 1) / (_WARM * self.steps), left)


def taught(model: Any, tokenizer: Any, texts: Sequence[str], course: Course, folder: Path) -> None:
    """Let ``model`` learn to write ``texts``; ``folder`` holds how far it came, and the log."""
    stream = _stream(tokenizer, texts)
    optimisers = _optimisers(model, course.rate)
    kept, log = folder / "learned.pt", folder / "log.txt"
    first = _taken_up(model, optimisers, kept)
    model.train()
    started = written = time.monotonic()
    for step in range(first, course.steps):
        loss = _step(
            model, optimisers, _rows(stream, course, step), course.rate * course.share(step)
        )
        if time.monotonic() - written > course.kept:
            _keep(model, optimisers, step + 1, kept)
            written = time.monotonic()
        if step % _TOLD == 0:
            with log.open("a", encoding="utf-8") as file:
                file.write(f"{step} {time.monotonic() - started:.0f} s {loss:.3f}\n")
    model.eval()
    kept.unlink(missing_ok=True)


def _stream(tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """All ``texts`` in any order as one row of ids, each behind what ends a text."""
    shuffled = random.Random(0).sample(texts, len(texts))
    end = tokenizer.eos_token_id
    parts = tokenizer(shuffled, add_special_tokens=False)["input_ids"]
    return torch.tensor([token for part in parts for token in (end, *part)])


def _rows(stream: Tensor, course: Course, step: int) -> Tensor:
    """(rows, length + 1) of one step: places drawn without repetition, again and again."""
    places = (len(stream) - 1) // course.length
    at, per_round = step * course.rows, places // course.rows * course.rows
    order = torch.randperm(places, generator=torch.Generator().manual_seed(at // per_round))
    chosen = order[at % per_round : at % per_round + course.rows] * course.length
    return torch.stack([stream[k : k + course.length + 1] for k in chosen.tolist()])


def _optimisers(model: Any, rate: float) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for hidden matrices, AdamW for the rest."""
    embedding = model.get_input_embeddings().weight
    every = list(model.parameters())
    hidden = [p for p in every if p.ndim == 2 and p is not embedding]
    rest = [p for p in every if p.ndim != 2 or p is embedding]
    return (
        torch.optim.Muon(hidden, lr=rate, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.95), weight_decay=0.0),
    )


def _step(
    model: Any, optimisers: Sequence[torch.optim.Optimizer], rows: Tensor, rate: float
) -> float:
    """One step; its loss in nats a token."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(input_ids=rows[:, :-1], use_cache=False).logits
        loss = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        optimiser.zero_grad()
    return float(loss.detach())


def _keep(model: Any, optimisers: Sequence[torch.optim.Optimizer], step: int, file: Path) -> None:
    """Write down how far it came, whole or not at all."""
    unfinished = file.with_suffix(".part")
    states = [one.state_dict() for one in optimisers]
    torch.save({"step": step, "model": model.state_dict(), "optimisers": states}, unfinished)
    unfinished.replace(file)


def _taken_up(model: Any, optimisers: Sequence[torch.optim.Optimizer], file: Path) -> int:
    """The step to go on with, everything being as it was; 0 where nothing was kept."""
    if not file.exists():
        return 0
    known = torch.load(file, weights_only=True)
    model.load_state_dict(known["model"])
    for optimiser, state in zip(optimisers, known["optimisers"], strict=True):
        optimiser.load_state_dict(state)
    return int(known["step"])
