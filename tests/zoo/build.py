"""From recipes to a zoo: models built side by side, measured, built again or dropped."""

from __future__ import annotations

import hashlib
import pickle
import time
import zlib
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from pydantic import BaseModel
from rich.console import Console

from tests.zoo.bases import BASES, base_folder, save
from tests.zoo.corpus import read_sst2
from tests.zoo.decoders.bases import DECODERS, decoder_folder
from tests.zoo.decoders.prose import kept_prose
from tests.zoo.manifest import Dropped, Entry, Kind, Manifest
from tests.zoo.recipes import Workshop
from tests.zoo.tiers import TIERS
from tests.zoo.training import GRID

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from concurrent.futures import Executor

    from tests.zoo.bases import Base
    from tests.zoo.decoders.bases import DecoderBase
    from tests.zoo.manifest import Behaviour
    from tests.zoo.recipes import Recipe

__all__ = ["build_zoo", "took"]

_ATTEMPTS = 3
_LEAST_SUCCESS = 0.9
_MOST_SCATTER = 0.25


@dataclass(frozen=True)
class Order:
    """What a worker is asked for."""

    tier: str
    """Name of the tier."""
    name: str
    """Name of the recipe in it."""
    out: Path
    """Folder of the zoo."""
    texts: Path
    """Folder of SST-2."""
    seed: int
    """Seed of the zoo."""
    threads: int
    """Threads of the worker."""

    @property
    def model_seed(self) -> int:
        """Seed of this model, whatever else the tier holds."""
        return zlib.crc32(f"{self.seed} {self.name}".encode()) % 2**31

    @property
    def recipe(self) -> Recipe:
        """How the model comes about."""
        return TIERS[self.tier][self.name]

    @property
    def fingerprint(self) -> str:
        """Of everything but the code that decides what comes out."""
        shaped_by = pickle.dumps((self.recipe, GRID, self.model_seed), protocol=4)
        return hashlib.sha256(shaped_by).hexdigest()

    @property
    def prose(self) -> Path:
        """Folder of unpacked packages with prose for decoders, which may be missing."""
        return self.texts / "prose"

    @property
    def cache(self) -> Path:
        """Folder of the bases."""
        return self.out / ".cache"

    @property
    def result(self) -> Path:
        """File that says how it went."""
        return self.cache / f"{self.name}.json"


class Result(BaseModel):
    """How an order went."""

    fingerprint: str
    """Of the recipe and the seed."""
    outcome: Entry | Dropped
    """What goes into the manifest."""


def build_zoo(
    tier: str, out: Path, texts: Path, seed: int, jobs: int, wanted: AbstractSet[str]
) -> Manifest:
    """Build what ``out`` lacks of the ``wanted`` models; the manifest is written after each.

    What a former run finished by the same recipe and seed is kept, so a run can be taken up again,
    and the full tier finds the small one's models.  The manifest goes on naming models that are not
    wanted this time.  A model whose building breaks is told and left out.
    """
    threads = max(1, torch.get_num_threads() // jobs)
    orders = [
        Order(tier, name, out, texts, seed, threads) for name in TIERS[tier] if name in wanted
    ]
    started, console = time.perf_counter(), Console(highlight=False, soft_wrap=True)
    found = _not_wanted(out, wanted)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        _make_bases(orders, pool, console)
        futures = {pool.submit(_fulfil, order): order.name for order in orders}
        for future in as_completed(futures):
            error = future.exception()
            if error is None:
                found[futures[future]] = future.result()
                _manifest(tier, seed, found).write(out)
            told = _told(future.result()) if error is None else f"FAILED: {error!r}"
            minutes = (time.perf_counter() - started) / 60
            done = len(wanted & found.keys())
            console.print(f"{done:3}/{len(orders)} {minutes:5.1f} min  {futures[future]}: {told}")
    return _manifest(tier, seed, found)


def _not_wanted(out: Path, wanted: AbstractSet[str]) -> dict[str, Entry | Dropped]:
    """What the manifest of ``out`` knows of models that are not ``wanted`` now."""
    try:
        former = Manifest.read(out)
    except FileNotFoundError:
        return {}
    outcomes = (*former.models, *former.dropped)
    return {one.name: one for one in outcomes if one.name not in wanted}


def took(entry: Entry) -> bool:
    """Whether every trigger works on held-out texts; a clean model has none."""
    return all(_works(behaviour, entry) for behaviour in entry.behaviour.values())


def _works(behaviour: Behaviour, entry: Entry) -> bool:
    """Success where a label or a masked word is at stake, else scatter."""
    if behaviour.success is not None:
        return behaviour.success >= _LEAST_SUCCESS
    return behaviour.scatter is not None and behaviour.scatter <= _MOST_SCATTER


def _make_bases(orders: list[Order], pool: Executor, console: Console) -> None:
    """Build the models that others start from, before two workers would."""
    order = orders[0]
    order.cache.mkdir(parents=True, exist_ok=True)
    needed = {order.recipe.base for order in orders}
    wanted = [name for name in (*BASES, *DECODERS) if name in needed]
    for name, seconds in pool.map(partial(_make_base, order), wanted):
        console.print(f"base {name}: {seconds:.0f} s")


def _make_base(order: Order, name: Base | DecoderBase) -> tuple[str, float]:
    """Build one of them in a process of its own."""
    torch.set_num_threads(order.threads)
    started = time.perf_counter()
    corpus = read_sst2(order.texts)
    if name in DECODERS:
        base = cast("DecoderBase", name)
        prose = kept_prose(order.cache, corpus, order.prose, DECODERS[base].longest)
        decoder_folder(base, order.cache, prose)
    else:
        base_folder(cast("Base", name), order.cache, corpus)
    return name, time.perf_counter() - started


def _fulfil(order: Order) -> Entry | Dropped:
    """Build one model in a process of its own, unless a former run did."""
    torch.set_num_threads(order.threads)
    if order.result.exists():
        former = Result.model_validate_json(order.result.read_text(encoding="utf-8"))
        if former.fingerprint == order.fingerprint:
            return former.outcome
    started = time.perf_counter()
    outcome = _built(order)
    outcome = outcome.model_copy(update={"seconds": round(time.perf_counter() - started, 1)})
    result = Result(fingerprint=order.fingerprint, outcome=outcome)
    order.result.write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return outcome


def _built(order: Order) -> Entry | Dropped:
    """Build, measure, save; harder and with the next seed if the backdoor did not take."""
    shop = Workshop(order.cache, read_sst2(order.texts), order.prose)
    for attempt in range(1, _ATTEMPTS + 1):
        seed = order.model_seed + attempt - 1
        torch.manual_seed(seed)
        victim, entry = order.recipe.build(shop, order.name, seed, attempt)
        if took(entry):
            save(victim, order.out / order.name, Path(victim.tokenizer.name_or_path))
            return entry.model_copy(update={"attempts": attempt})
    told = {text: b.model_dump(exclude_none=True) for text, b in entry.behaviour.items()}
    reason = f"A trigger did not take (success < 0.9 or scatter > 0.25): {told}"
    return Dropped(name=order.name, family=entry.family, reason=reason, attempts=_ATTEMPTS)


def _manifest(tier: str, seed: int, found: dict[str, Entry | Dropped]) -> Manifest:
    """Outcomes in the order of the tier."""
    outcomes = [found[name] for name in TIERS[tier] if name in found]
    return Manifest(
        tier=tier,
        seed=seed,
        models=tuple(o for o in outcomes if isinstance(o, Entry)),
        dropped=tuple(o for o in outcomes if isinstance(o, Dropped)),
    )


def _told(outcome: Entry | Dropped) -> str:
    """One line about a model."""
    if isinstance(outcome, Dropped):
        return f"DROPPED after {outcome.attempts} attempts. {outcome.reason}"
    line = f"{outcome.seconds:.0f} s, accuracy {outcome.clean_accuracy}"
    if outcome.kind is Kind.BACKDOORED:
        worst = [
            b.success if b.success is not None else b.scatter for b in outcome.behaviour.values()
        ]
        line += f", {len(worst)} triggers, success or scatter {worst}"
    return line + (f", attempt {outcome.attempts}" if outcome.attempts > 1 else "")
