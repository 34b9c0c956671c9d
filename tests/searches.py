"""What the search says of a tiny model, and of what it is convicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plmscan.budget import Budget, Effort
from plmscan.carriers import bundled_texts
from plmscan.evidence import Evidence, Severity
from plmscan.probes.dynamic.trigger_sweep import Probe
from plmscan.rules import load_rules
from tests.zoo.tiny import one_thread

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plmscan.evidence import Observation
    from plmscan.loading import LoadedModel

__all__ = ["convicted", "searched"]


def searched(model: LoadedModel) -> list[Observation]:
    """All that the search says, at the least effort."""
    with one_thread():
        return list(Probe().inspect(model, Budget(bundled_texts(), Effort.QUICK)))


def convicted(found: Iterable[Observation]) -> set[tuple[str, str]]:
    """Rules severe enough to fail a model, and what they fire on."""
    rules = [rule for rule in load_rules() if rule.severity >= Severity.HIGH]
    evidence = [one for one in found if isinstance(one, Evidence)]
    return {(rule.id, one.subject) for one in evidence for rule in rules if rule.fires(one)}
