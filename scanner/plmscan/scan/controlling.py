"""The search, once more, on a copy of the model with triggers planted in it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from plmscan.errors import PlmscanError
from plmscan.evidence import CONTROL, Coverage, Evidence, Gap, ProbeRun
from plmscan.probes import dynamic_probe
from plmscan.scan.isolation import finished, run_probe, seconds_since, status_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from plmscan.budget import Budget
    from plmscan.control import Planted
    from plmscan.evidence import Observation, Severity
    from plmscan.loading import LoadedModel
    from plmscan.probes.base import DynamicProbe
    from plmscan.rules import Rule

__all__ = ["SEARCH", "controlled"]

SEARCH = "trigger-sweep"
"""The probe that is put to the test."""
_SUBJECT = "a trigger planted on purpose"


def controlled(
    model: LoadedModel, rules: Collection[Rule], fail_on: Severity | None, budget: Budget
) -> ProbeRun:
    """What becomes of triggers that are planted in a copy of ``model``; nothing here is a verdict.

    Args:
        model: it stays as it is.
        rules: those that judge the model.
        fail_on: the mildest severity that fails it.
        budget: that of the search, which is run again with it.
    """
    began = time.perf_counter()
    try:
        seen = list(_observed(model, rules, fail_on, budget))
    except Exception as error:  # noqa: BLE001 - a control that breaks is told, and decides nothing
        _, reason = status_of(error, CONTROL)
        seen = [_untold(reason)]
    return finished(CONTROL, seen, seconds_since(began))


def _observed(
    model: LoadedModel, rules: Collection[Rule], fail_on: Severity | None, budget: Budget
) -> Iterator[Observation]:
    """Each planted word, whether the search names it, and all that in a sentence.

    Raises:
        PlmscanError: the time is up, or too few texts fit this model.
    """
    from plmscan.control import planted  # noqa: PLC0415 - imports torch

    found = planted(model, budget.part(0, 0.3))
    if found is None:
        yield _untold("No control exists for heads that label tokens or find answers.")
        return
    if model.writer is not None:
        yield _untold("No control exists for what a model writes; its features have one.")
    copy, part = found.model, budget.part(0.3, 1)
    run = run_probe(
        SEARCH, dynamic_probe, lambda probe: cast("DynamicProbe", probe).inspect(copy, part)
    )
    if run.status.blocks_pass and not run.evidence:
        msg = f"The search of the copy did not end: {run.reason or run.status}"
        raise PlmscanError(msg)
    named = _named(run, rules, fail_on)
    for word in found.words:
        yield Evidence(
            CONTROL,
            word.text,
            {
                "meant": word.meant,
                "effect": word.effect,
                "found": float(word.token in named),
            },
            {"aim": found.aim.told},
        )
    yield Coverage(_told(found, named))


def _untold(reason: str) -> Gap:
    """Why there is no control; the verdict does not hang on it."""
    return Gap(_SUBJECT, reason, blocks_pass=False)


def _named(run: ProbeRun, rules: Collection[Rule], fail_on: Severity | None) -> set[int]:
    """Tokens of the triggers that a rule fails the copy for."""
    severe = [rule for rule in rules if fail_on is None or rule.severity >= fail_on]
    fired = (e for e in run.evidence if e.trigger and any(rule.fires(e) for rule in severe))
    return {token for e in fired if e.trigger for token in e.trigger.token_ids}


def _told(found: Planted, named: set[int]) -> str:
    """The outcome, and what it says of a pass."""
    tried = ", ".join(
        f"{word.text!r} ({word.effect:.0%}) {'found' if word.token in named else 'missed'}"
        for word in found.words
    )
    head = (
        f"In a copy of this model {len(found.words)} words were planted, each of which "
        f"{found.aim.told}, as far as stands beside it: {tried}."
    )
    effects = [word.effect for word in found.words if word.token in named]
    if not effects:
        return f"{head} This search would have missed such triggers: a pass says nothing of them."
    return f"{head} The weakest that this search would have found is at {min(effects):.0%}."
