"""The documentation's pages of rules: one each, and an index."""  # noqa: INP001 - a script

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from plmscan.evidence import Severity
from plmscan.probes import (
    comparison_ids,
    comparison_probe,
    dynamic_ids,
    dynamic_probe,
    related_ids,
    related_probe,
    static_ids,
    static_probe,
    text_ids,
    text_probe,
    twin_ids,
    twin_probe,
)
from plmscan.rules import load_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from plmscan.probes.base import AnyProbe
    from plmscan.rules import Comparison, Rule

__all__ = ["one_line", "probe_page", "rule_pages"]

_EXAMPLES = Path(__file__).parent / "rule_examples.yaml"
_DEFAULT_BAR = Severity.HIGH
_ARXIV = re.compile(r"arXiv[: ](\d{4}\.\d{4,5})")
_ID = re.compile(r"\bPLM\d{3}\b")
_FAMILIES = {
    "1": "The files",
    "2": "Triggers that a search finds",
    "3": "What goes on inside the model, and in given texts",
    "4": "The table of word embeddings",
    "5": "The difference to a clean base model",
}
"""Kinds of rules, by the first digit of their ids."""
_KINDS = {
    "Probes of files": static_ids(),
    "Probes that run the model": dynamic_ids(),
    "Probes that compare with a clean base": comparison_ids(),
    "Probes of models that belong to it": related_ids(),
    "Probes of a model beside its twin": twin_ids(),
    "Probes of given texts": text_ids(),
}
_MADE = "<!-- Written by tools/generate_docs.py. Change {source} instead. -->"


def rule_pages() -> dict[str, str]:
    """Name of each page in the folder of rules, and its text."""
    rules = load_rules()
    examples = yaml.safe_load(_EXAMPLES.read_text(encoding="utf-8"))
    pages = {f"{rule.id}.md": _page(rule, examples.get(rule.id)) for rule in rules}
    return {"index.md": _index(rules), **pages}


def probe_page() -> str:
    """Every probe by kind: what it does and why, and all that rules can compare."""
    parts = [
        "<!-- Written by tools/generate_docs.py from the probes themselves. -->",
        "# Probes",
        (
            "A probe measures one property of a model and judges nothing. [Rules](rules/index.md) "
            "compare its metrics, and [so can rules of yours](extending.md#add-a-rule). The "
            "message of a rule can name metrics, details and the `subject` in braces."
        ),
    ]
    for title, ids in _KINDS.items():
        parts.append(f"## {title}")
        for probe_id in ids:
            probe = _probe(probe_id)
            parts += [f"### {probe_id}", *map(one_line, _paragraphs(probe)), _metrics(probe)]
            parts += [_details(probe)] if probe.details else []
            parts.append("References: " + "; ".join(map(_linked, probe.references)) + ".")
    return "\n\n".join(parts) + "\n"


def _metrics(probe: AnyProbe) -> str:
    """A table of what a probe measures."""
    rows = [f"| `{name}` | {one_line(meaning)} |" for name, meaning in probe.metrics.items()]
    return "\n".join(["| metric | what it is |\n|---|---|", *rows])


def _details(probe: AnyProbe) -> str:
    """A table of what else messages can say."""
    rows = [f"| `{name}` | {one_line(meaning)} |" for name, meaning in probe.details.items()]
    return "\n".join(["| detail | what it is |\n|---|---|", *rows])


def one_line(text: str) -> str:
    """``text`` as prose that fits into a cell of a table, and holds no markup of its own."""
    plain = " ".join(text.replace("``", "`").split())
    return plain.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _index(rules: Sequence[Rule]) -> str:
    """All rules by family."""
    parts = [
        _MADE.format(source="rules/*.yaml"),
        "# Rules",
        (
            "A probe measures, and a rule decides whether the numbers become a finding. A finding "
            "fails a check if its severity reaches `--fail-on`, which is `high` by default. "
            "`plmscan rules explain PLM201` prints one of these pages in a terminal, and "
            "[Add a rule](../extending.md#add-a-rule) says how to write your own."
        ),
    ]
    for digit, title in _FAMILIES.items():
        rows = [
            f"| [{rule.id}]({rule.id}.md) | {rule.name} | {_word(rule.severity)} "
            f"| {_word(rule.confidence)} | {rule.probe} |"
            for rule in rules
            if rule.id[3] == digit
        ]
        head = "| rule | name | severity | confidence | probe |\n|---|---|---|---|---|"
        parts += [f"## {title}", "\n".join([head, *rows])]
    return "\n\n".join(parts) + "\n"


def _page(rule: Rule, example: str | None) -> str:
    """Everything about one rule."""
    probe = _probe(rule.probe)
    parts = [
        _MADE.format(source=f"rules/{rule.id}.yaml"),
        f"# {rule.id}: {rule.name}",
        _facts(rule),
        "## What it means",
        _ID.sub(_link_to, one_line(rule.description)),
        "## When it fires",
        "When all of this holds for something that the probe measured:",
        _conditions(rule, probe.metrics),
        "## What a finding says",
        *_said(rule, example),
        "## What to do",
        _ID.sub(_link_to, one_line(rule.remediation)),
        (
            "If you know the cause and accept it, [record it with a reason and a last "
            "day](../configuration.md#accept-a-finding)."
        ),
        "## References",
        "\n".join(f"- {_linked(reference)}" for reference in rule.references),
    ]
    return "\n\n".join(parts) + "\n"


def _facts(rule: Rule) -> str:
    """What a reader wants to know first."""
    fails = "yes" if rule.severity >= _DEFAULT_BAR else "no; it does with a lower `--fail-on`"
    facts = {
        "severity": _word(rule.severity),
        "confidence": _word(rule.confidence),
        "fails a check by default": fails,
        "evidence from": f"probe [`{rule.probe}`](../probes.md#{rule.probe})",
        "since version": rule.since,
    }
    first, *rest = (f"| {name} | {value} |" for name, value in facts.items())
    return "\n".join([first, "|---|---|", *rest])


def _conditions(rule: Rule, metrics: Mapping[str, str]) -> str:
    """Each comparison, and what is compared."""
    rows = [
        f"| `{metric}` | {one_line(metrics[metric])} | `{_bounds(comparison)}` |"
        for metric, comparison in rule.when.items()
    ]
    return "\n".join(["| metric | what it is | fires at |\n|---|---|---|", *rows])


def _bounds(comparison: Comparison) -> str:
    """The bounds alone, such as ``>= 3``."""
    return " ".join(comparison.describe("").split())


def _said(rule: Rule, example: str | None) -> Iterator[str]:
    """An example where there is one, and otherwise the sentence with its gaps."""
    if example is None:
        yield "What stands in braces is filled in:"
        yield f"> {one_line(rule.message)}"
    else:
        yield "For example:"
        yield f"> {one_line(example)}"


def _probe(probe_id: str) -> AnyProbe:
    """The probe of that id."""
    if probe_id in static_ids():
        return static_probe(probe_id)
    if probe_id in dynamic_ids():
        return dynamic_probe(probe_id)
    if probe_id in twin_ids():
        return twin_probe(probe_id)
    if probe_id in related_ids():
        return related_probe(probe_id)
    return text_probe(probe_id) if probe_id in text_ids() else comparison_probe(probe_id)


def _paragraphs(probe: AnyProbe) -> list[str]:
    """What a probe says of itself."""
    return inspect.cleandoc(type(probe).__doc__ or "").split("\n\n")[:2]


def _word(level: Severity | object) -> str:
    """A level as rules spell it."""
    return str(getattr(level, "name", level)).lower()


def _link_to(found: re.Match[str]) -> str:
    """A link to the page of the rule that a text names."""
    return f"[{found[0]}]({found[0]}.md)"


def _linked(reference: str) -> str:
    """A reference that can be followed."""
    if reference.startswith("https://"):
        return f"<{reference}>"
    return _ARXIV.sub(r"[arXiv \1](https://arxiv.org/abs/\1)", one_line(reference))
