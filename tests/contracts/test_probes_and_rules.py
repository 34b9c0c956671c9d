"""What every probe and every rule owes, so that a forgotten word fails here and not in a scan."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
from plmscan.probes.known_rules import Declared, declared
from plmscan.rules import Rule, load_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plmscan.probes.base import AnyProbe

RULES = {rule.id: rule for rule in load_rules()}
PROBES = (
    *static_ids(),
    *comparison_ids(),
    *dynamic_ids(),
    *related_ids(),
    *text_ids(),
    *twin_ids(),
)
SHOWN_ONLY = {"demonstration"}
"""Probes whose evidence people look at, and no rule judges."""

each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
each_probe = pytest.mark.parametrize("probe_id", PROBES)


def probe(probe_id: str) -> AnyProbe:
    """The probe of that id."""
    if probe_id in text_ids():
        return text_probe(probe_id)
    if probe_id in comparison_ids():
        return comparison_probe(probe_id)
    if probe_id in related_ids():
        return related_probe(probe_id)
    if probe_id in twin_ids():
        return twin_probe(probe_id)
    return static_probe(probe_id) if probe_id in static_ids() else dynamic_probe(probe_id)


def source_of(probe_id: str) -> ast.Module:
    """The probe's file, parsed."""
    return ast.parse(Path(inspect.getfile(type(probe(probe_id)))).read_text(encoding="utf-8"))


def named_details(probe_id: str) -> Iterator[object]:
    """The keys of the details that the probe's file writes down where it makes evidence."""
    for node in ast.walk(source_of(probe_id)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Evidence":
            given = [*node.args[3:4], *(k.value for k in node.keywords if k.arg == "details")]
            keys = [key for one in given if isinstance(one, ast.Dict) for key in one.keys]
            yield from (key.value for key in keys if isinstance(key, ast.Constant))


def words_in_source(probe_id: str) -> set[str]:
    """Every text in the probe's file, among them the names of its details."""
    tree = source_of(probe_id)
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
    keywords = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg}
    return keywords | {node.value for node in constants if isinstance(node.value, str)}


@each_rule
def test_a_rule_has_its_probe(rule: Rule) -> None:
    """A rule about a probe that does not exist would never fire."""
    assert rule.probe in PROBES


@each_rule
def test_a_rule_compares_declared_metrics(rule: Rule) -> None:
    """The same holds for a metric that its probe does not declare."""
    assert rule.when.keys() <= probe(rule.probe).metrics.keys()


@each_rule
def test_a_message_names_what_there_is(rule: Rule) -> None:
    """Each placeholder is a metric or a detail that its probe declares, or the subject."""
    made = probe(rule.probe)
    assert rule.placeholders <= {*made.metrics, *made.details, "subject"}


@each_probe
def test_a_probe_declares_what_messages_can_say(probe_id: str) -> None:
    """Details have meanings, their names stand in the probe's file, and no other ones do."""
    made = probe(probe_id)
    from_trigger = {"trigger", "location", "target_label"}
    assert made.details.keys() <= words_in_source(probe_id) | from_trigger
    assert made.details.keys() >= set(named_details(probe_id))
    assert made.details.keys().isdisjoint(made.metrics)
    assert all(made.details.values())


@each_rule
def test_a_rule_reads_well(rule: Rule) -> None:
    """Sentences end, and the id's first digit is the family of its probe."""
    assert all(t.strip().endswith(".") for t in (rule.message, rule.description, rule.remediation))
    assert re.fullmatch(r"PLM[1-5]\d\d", rule.id)
    assert (rule.id[3] == "1") is (rule.probe in static_ids())
    assert (rule.id[3] == "5") is (rule.probe in comparison_ids())


def test_rule_names_are_unique() -> None:
    """A name is as good as an id."""
    names = Counter(rule.name for rule in RULES.values())
    assert max(names.values()) == 1


@each_probe
def test_a_probe_has_a_rule(probe_id: str) -> None:
    """A measurement that no rule judges is wasted time, unless it is there to be looked at."""
    judged = any(rule.probe == probe_id for rule in RULES.values())
    assert judged is (probe_id not in SHOWN_ONLY)


@each_probe
def test_a_probe_says_why(probe_id: str) -> None:
    """Its docstring has a second paragraph: why the measurement points at a backdoor."""
    paragraphs = inspect.cleandoc(type(probe(probe_id)).__doc__ or "").split("\n\n")
    assert len(paragraphs) > 1
    assert len(paragraphs[1].split()) > 10


@each_probe
def test_a_probe_declares_what_it_measures(probe_id: str) -> None:
    """Metrics have names that rules can use and meanings; there is a reference."""
    made = probe(probe_id)
    assert made.metrics
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in made.metrics)
    assert all(made.metrics.values())
    assert made.references


@each_probe
def test_what_a_probe_declares_can_be_read_without_it(probe_id: str) -> None:
    """Its file says in plain values what rules can compare and say, so nobody has to import it."""
    made = probe(probe_id)
    assert declared(probe_id) == Declared(made.metrics, made.details)


def test_ids_are_unique() -> None:
    """One id, one probe: evidence names its probe by id alone."""
    assert max(Counter(chain(PROBES, ["loading"])).values()) == 1
