"""Rules that name nothing that their probes do not declare.

What a probe declares is read from its file as text: whoever lists rules, or checks files only,
should not wait for the libraries that a probe of models imports.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from plmscan.errors import RuleError
from plmscan.probes import (
    comparison_ids,
    dynamic_ids,
    related_ids,
    static_ids,
    text_ids,
    twin_ids,
)
from plmscan.rules import rules_in, unknown_metrics, with_packaged

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from plmscan.rules import Rule

__all__ = ["Declared", "checked_rules", "declared"]


@dataclass(frozen=True)
class Declared:
    """What a probe says that it gives to rules."""

    metrics: Mapping[str, str]
    """Names that rules can compare, and their meanings."""
    details: Mapping[str, str]
    """What else messages can name."""


def checked_rules(extra: Path | None = None) -> tuple[Rule, ...]:
    """The packaged rules and those of the folder ``extra``, sorted by id.

    The packaged ones are tested, so only the others are compared with what probes declare.

    Raises:
        RuleError: a file breaks the format, or names a probe, metric or detail that is unknown.
    """
    named = () if extra is None else rules_in(extra)
    rules = with_packaged(named)
    for file, rule in named:
        _check(file, rule)
    return rules


def declared(probe_id: str) -> Declared:
    """What the probe of that id declares, without importing it."""
    folder = next(name for name, ids in _ids().items() if probe_id in ids)
    file = resources.files("plmscan") / "probes" / folder / f"{probe_id.replace('-', '_')}.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    (probe,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Probe")
    said = {
        statement.target.id: ast.literal_eval(statement.value)
        for statement in probe.body
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and statement.value is not None
    }
    return Declared(said["metrics"], said.get("details", {}))


def _ids() -> Mapping[str, tuple[str, ...]]:
    """Ids of all probes, by the folder of their files."""
    return {
        "static": static_ids(),
        "comparison": comparison_ids(),
        "dynamic": dynamic_ids(),
        "related": related_ids(),
        "texts": text_ids(),
        "twins": twin_ids(),
    }


def _check(file: str, rule: Rule) -> None:
    """Refuse a rule that names what does not exist."""
    known = sorted(probe_id for ids in _ids().values() for probe_id in ids)
    if rule.probe not in known:
        msg = f"Rule file {file} is wrong: probe names {rule.probe}, which does not exist."
        raise RuleError(msg, f"Probes are {', '.join(known)}.")
    found = declared(rule.probe)
    if unknown := unknown_metrics(rule, found.metrics):
        msg = f"Rule file {file} is wrong: when.{unknown[0]} is no metric of {rule.probe}."
        raise RuleError(msg, f"Its metrics are {', '.join(sorted(found.metrics))}.")
    names = {*found.metrics, *found.details, "subject"}
    if missing := sorted(rule.placeholders - names):
        msg = (
            f"Rule file {file} is wrong: message names {{{missing[0]}}}, which is neither a "
            f"metric nor a detail of {rule.probe}."
        )
        raise RuleError(msg, f"It can name {', '.join(sorted(names))}.")
