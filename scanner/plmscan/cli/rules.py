"""The commands ``plmscan rules`` and ``plmscan rules explain``."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from plmscan.cli import options as ask  # noqa: TC001 - typer reads the annotations
from plmscan.errors import PlmscanError

if TYPE_CHECKING:
    from plmscan.rules import Rule

__all__ = ["rules_app"]

rules_app = typer.Typer(help="List and explain the rules.", rich_markup_mode=None)

_HARD_SPACE = "\N{NO-BREAK SPACE}"
"""Keeps a comparison on one line."""
_AND = f"{_HARD_SPACE}and{_HARD_SPACE}"


@rules_app.callback(invoke_without_command=True)
def list_rules(ctx: typer.Context, *, rules: ask.Rules = None) -> None:
    """List the rules; `explain ID` tells all about one."""
    from plmscan.probes.known_rules import checked_rules  # noqa: PLC0415 - keeps --help quick

    ctx.obj = checked_rules(rules)
    if ctx.invoked_subcommand is None:
        for rule in ctx.obj:
            typer.echo(f"{rule.id}  {rule.severity.name.lower():<8}  {rule.probe:<20}  {rule.name}")


@rules_app.command("explain")
def explain_rule(
    ctx: typer.Context,
    rule_id: Annotated[str, typer.Argument(metavar="ID", help="Such as PLM201.")],
    *,
    rules: ask.Rules = None,
) -> None:
    """Explain what a rule looks for, why it matters and what to do."""
    from plmscan.probes.known_rules import checked_rules  # noqa: PLC0415 - keeps --help quick

    known: tuple[Rule, ...] = ctx.obj if rules is None else checked_rules(rules)
    found = {rule.id: rule for rule in known}
    rule_id = rule_id.upper()
    if rule_id not in found:
        msg = f"There is no rule {rule_id}."
        raise PlmscanError(msg, "`plmscan rules` lists them.")
    typer.echo(_explanation(found[rule_id]))


def _explanation(rule: Rule) -> str:
    """A rule for people."""
    facts = {
        "severity": rule.severity.name.lower(),
        "confidence": rule.confidence.name.lower(),
        "probe": rule.probe,
        "fires when": rule.condition.replace(" ", _HARD_SPACE).replace(_AND, " and "),
        "says": rule.message,
        "what to do": rule.remediation,
        "since": rule.since,
    }
    lines = [
        fill(f"{name:<12}{value}", 80, subsequent_indent=12 * " ") for name, value in facts.items()
    ]
    head = [f"{rule.id} {rule.name}", "", fill(rule.description, 80), ""]
    text = "\n".join([*head, *lines, "references", *(f"  {r}" for r in rule.references)])
    return text.replace(_HARD_SPACE, " ")
