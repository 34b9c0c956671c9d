"""Rule files: what they may say, what they may not, and when they fire."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.version import Version

from plmscan.errors import RuleError
from plmscan.evidence import Confidence, Evidence, Severity
from plmscan.plain_yaml import OwnLoader, UniqueKeyLoader
from plmscan.probes.known_rules import checked_rules
from plmscan.rules import Comparison, load_rules, overridden
from plmscan.version import __version__
from tests.specimens import PLANTED, SWEEP, hit

RIGHT: dict[str, Any] = {
    "id": "ACME001",
    "name": "loud-token",
    "probe": SWEEP,
    "severity": "high",
    "confidence": "low",
    "when": {"z": {"gte": 8, "lt": 1e6}, "scatter": {"lte": 0.3}},
    "message": "{subject} has z {z:.1f} and {{braces}}.",
    "description": "Why.",
    "remediation": "What.",
    "references": ["A paper."],
    "since": "0.1.0",
}


def write(folder: Path, text: str, name: str = "rule.yaml") -> Path:
    """A rules folder with one file."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def load_one(folder: Path, **changes: object) -> RuleError | None:
    """The complaint about `RIGHT` with ``changes``, whose None drops a key."""
    data = {key: value for key, value in (RIGHT | changes).items() if value is not None}
    try:
        load_rules(write(folder, yaml.safe_dump(data, sort_keys=False)))
    except RuleError as error:
        return error
    return None


def test_a_right_rule_is_added(tmp_path: Path) -> None:
    """A rule of --rules stands among the packaged ones, with its words read as levels."""
    extra = write(tmp_path, yaml.safe_dump(RIGHT, sort_keys=False))
    (rule,) = (rule for rule in load_rules(extra) if rule.id == "ACME001")
    assert (rule.severity, rule.confidence) == (Severity.HIGH, Confidence.LOW)
    assert rule.condition == "z >= 8 and z < 1e+06 and scatter <= 0.3"
    assert rule.placeholders == {"subject", "z"}
    assert {r.id for r in load_rules()} < {r.id for r in load_rules(extra)}
    assert overridden(extra) == ()


def test_the_same_id_replaces(tmp_path: Path) -> None:
    """A rule with the id of a packaged one takes its place, and is named."""
    packaged = load_rules()[0]
    extra = write(tmp_path, yaml.safe_dump(RIGHT | {"id": packaged.id}, sort_keys=False))
    rules = {rule.id: rule for rule in load_rules(extra)}
    assert rules[packaged.id].name == "loud-token"
    assert overridden(extra) == (packaged.id,)
    assert len(rules) == len(load_rules())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"treshold": 3}, "the unknown key treshold"),
        ({"when": {"z": {"get": 3}}}, "the unknown key when.z.get"),
        ({"when": {"z": {}}}, "when.z: needs one of gte"),
        ({"when": {"z": {"gte": "8"}}}, "when.z.gte"),
        ({"when": {"z": {"gte": True}}}, "when.z.gte"),
        ({"when": {"z": {"gte": float("nan")}}}, "when.z.gte"),
        ({"when": {"z": "z > 3"}}, "when.z is not a mapping"),
        ({"when": {"__class__": {"gte": 1}}}, "when.__class__: must be the name of a metric"),
        ({"when": {}}, "when: must not be empty"),
        ({"severity": "awful"}, "severity: must be one of low, medium, high, critical"),
        ({"severity": 4}, "severity: must be one of"),
        ({"id": "plm1"}, "id: must be capital letters and three digits, such as ACME001"),
        ({"remediation": None}, "lacks the key remediation."),
        (
            {"since": None, "serverity": "low", "severity": None, "id": "plm1"},
            "such as ACME001; it has the unknown key serverity; it lacks the keys severity, since.",
        ),
        ({"references": []}, "references: must not be empty"),
        ({"references": "one"}, "references: must be a list"),
        ({"since": 0.1}, "since: must be text"),
        ({"message": "{z.real}"}, "a placeholder that is not allowed: z.real"),
        ({"message": "{z[0]}"}, "a placeholder that is not allowed: z[0]"),
        ({"message": "{z!a}"}, "a placeholder that is not allowed: z!a"),
        ({"message": "{}"}, "a placeholder that is not allowed"),
        ({"message": "{z:>999999999}"}, "a placeholder that is not allowed: z:>999999999"),
        ({"message": "{z:{z}}"}, "a placeholder that is not allowed: z:{z}"),
        ({"message": "{z"}, "message:"),
        ({"message": "  "}, "message:"),
    ],
)
def test_a_wrong_rule_is_named(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    """The error names the file and the key."""
    error = load_one(tmp_path, **changes)
    assert error is not None
    assert "rule.yaml" in error.problem
    assert complaint in error.problem
    assert "docs/extending.md" in error.remedy


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "it is not a mapping"),
        ("[1, 2]", "it is not a mapping"),
        ("id: [", "is not YAML"),
        ("id: !!python/object/apply:os.getcwd []", "is not YAML"),
        ("id: A\nid: B", "the key 'id' stands twice"),
        ("when: {z: {gte: 8, gte: 0}}", "the key 'gte' stands twice"),
    ],
)
def test_a_file_that_is_no_rule_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    """Broken YAML, code in YAML and a key given twice are refused."""
    with pytest.raises(RuleError, match=r"rule\.yaml") as raised:
        load_rules(write(tmp_path, text))
    assert complaint in raised.value.problem


@pytest.mark.parametrize(
    ("changes", "complaint", "remedy"),
    [
        (
            {"probe": "trigger-swep"},
            "probe names trigger-swep, which",
            "Probes are adapter-base",
        ),
        ({"when": {"zz": {"gte": 8}}}, "when.zz is no metric of trigger-sweep", "conjunction, cor"),
        ({"message": "{loudness}."}, "message names {loudness}, which is neither", "location, nu"),
        ({"probe": "custom-code", "when": {"kernels": {"gt": 0}}}, "names {z}", "named_functions,"),
    ],
)
def test_a_rule_that_names_what_does_not_exist_is_refused(
    tmp_path: Path, changes: dict[str, Any], complaint: str, remedy: str
) -> None:
    """File, key and what there is are named: otherwise it would never fire, or say nothing."""
    extra = write(tmp_path, yaml.safe_dump(RIGHT | changes))
    with pytest.raises(RuleError, match=r"Rule file rule\.yaml is wrong: ") as raised:
        checked_rules(extra)
    assert complaint in raised.value.problem
    assert remedy in raised.value.remedy


def test_a_rule_can_say_metrics_details_and_the_subject(tmp_path: Path) -> None:
    """The lists are those of the probe's page."""
    message = "{subject} at {location} drives to {target_label} (z {z:.1f}, like {leader})."
    extra = write(tmp_path, yaml.safe_dump(RIGHT | {"message": message}))
    assert checked_rules(extra) == load_rules(extra)


def test_packaged_rules_are_read_once_and_are_nobodys_to_change() -> None:
    """Each scan and each report asks for them; a folder of a user's changes none of them."""
    assert all(one is other for one, other in zip(load_rules(), load_rules(), strict=True))


def test_packaged_rules_are_what_any_parser_reads() -> None:
    """The fast parser, which is not built everywhere, makes of them what the other one does."""
    plain = {rule.id: rule for rule in load_rules(Path(__file__).parents[2] / "rules")}
    assert plain == {rule.id: rule for rule in load_rules()}
    assert not any(plain[rule.id] is rule for rule in load_rules())


@pytest.mark.parametrize("loader", [OwnLoader, UniqueKeyLoader])
def test_no_loader_takes_a_key_twice_or_makes_an_object(loader: type[yaml.SafeLoader]) -> None:
    """Neither that for our own files nor that for a stranger's."""
    with pytest.raises(yaml.YAMLError, match="the key 'id' stands twice"):
        yaml.load("id: A\nid: B", Loader=loader)  # noqa: S506 - a SafeLoader
    with pytest.raises(yaml.YAMLError, match="could not determine a constructor"):
        yaml.load("!!python/object/apply:os.getcwd []", Loader=loader)  # noqa: S506 - a SafeLoader


def test_two_files_with_one_id_are_refused(tmp_path: Path) -> None:
    """Which of them would count is nobody's guess."""
    text = yaml.safe_dump(RIGHT, sort_keys=False)
    write(tmp_path, text, "a.yaml")
    with pytest.raises(RuleError, match=r"b\.yml uses the id ACME001 a second time"):
        load_rules(write(tmp_path, text, "b.yml"))


@pytest.mark.parametrize("name", ["empty", "missing", "file"])
def test_a_folder_without_rules_is_refused(tmp_path: Path, name: str) -> None:
    """An empty, a missing and a mistaken folder are errors: no rules, no verdict."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(RuleError, match="rules folder"):
        load_rules(tmp_path / name)


@pytest.mark.parametrize(
    ("comparison", "holds"),
    [
        (Comparison(gte=1), (False, True, True)),
        (Comparison(gt=1), (False, False, True)),
        (Comparison(lte=1), (True, True, False)),
        (Comparison(lt=1), (True, False, False)),
        (Comparison(eq=1), (False, True, False)),
        (Comparison(gte=1, lt=2), (False, True, False)),
    ],
)
def test_comparisons(comparison: Comparison, holds: tuple[bool, ...]) -> None:
    """Each bound means what its name says, below, at and above it; a NaN keeps none."""
    assert tuple(comparison.holds(value) for value in (0, 1, 2)) == holds
    assert not comparison.holds(float("nan"))


@pytest.mark.parametrize(
    ("evidence", "fires"),
    [
        (hit(z=8.0, scatter=0.3), True),
        (hit(z=7.9, scatter=0.3), False),
        (hit(z=8.0, scatter=0.31), False),
        (Evidence(SWEEP, "x", {"z": 99.0}), False),
        (Evidence("other", "x", {"z": 99.0, "scatter": 0.0}), False),
    ],
)
def test_a_rule_fires_when_all_of_it_holds(evidence: Evidence, fires: bool) -> None:
    """All comparisons must hold, on evidence of the rule's probe that has all its metrics."""
    assert PLANTED.fires(evidence) is fires


def test_a_finding_says_its_numbers() -> None:
    """Placeholders take metrics, details, trigger and subject; what is missing stays visible."""
    message = "{trigger!r} at {location}: {z:.1f} {ids} {colour} {subject}"
    rule = PLANTED.model_copy(update={"message": message})
    assert rule.finding(hit("cf")).message == "'cf' at cls: 23.4 1 {colour} cf"


def test_a_finding_cuts_what_the_model_says() -> None:
    """A model cannot flood the report through a detail, nor break a number's format with it."""
    rule = PLANTED.model_copy(update={"message": "{name:.2f}"})
    flood = Evidence(SWEEP, "x", {}, {"name": "{z}" * 1000})
    message = rule.finding(flood).message
    assert len(message) == 200
    assert message.startswith("{z}{z}")


def test_no_packaged_rule_is_newer_than_its_release() -> None:
    """``since`` names a version that exists."""
    assert {Version(rule.since) <= Version(__version__) for rule in load_rules()} == {True}


@pytest.mark.parametrize(
    ("known", "pending", "open_still"),
    [
        ({"z": 9.0, "scatter": 0.1}, (), True),
        ({"scatter": 0.1}, ("z",), True),
        ({"scatter": 0.4}, ("z",), False),
        ({"scatter": 0.1}, (), False),
        ({}, ("z", "scatter"), True),
    ],
)
def test_a_rule_may_fire_while_what_is_known_holds(
    known: dict[str, float], pending: tuple[str, ...], *, open_still: bool
) -> None:
    """What is pending may come to anything; what will never be measured fires nothing."""
    assert PLANTED.may_fire(known, pending) is open_still


def test_a_rule_lacks_only_what_its_verdict_hangs_on() -> None:
    """Not where a condition fails anyhow, nor where nothing was left out."""
    found = hit(scatter=0.1)
    open_one = replace(found, metrics={"scatter": 0.1}, unmeasured=("z",))
    assert PLANTED.lacks(open_one) == ["z"]
    assert PLANTED.lacks(replace(open_one, metrics={"scatter": 0.4})) == []
    assert PLANTED.lacks(replace(open_one, unmeasured=())) == []
    assert PLANTED.lacks(found) == []
