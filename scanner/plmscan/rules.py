"""Rules: YAML files that turn evidence into findings.

A rule is data, never code.  It names a probe, compares that probe's metrics with closed
comparisons (``gte``, ``lte``, ``gt``, ``lt``, ``eq``; all must hold), and carries the words that
a person reads when it fires.  A key that plmscan does not know is an error: a misspelt threshold
must not become a rule that never fires.

The packaged rules are always loaded.  ``--rules DIR`` adds rules; one with the id of a packaged
rule replaces it, and the report names it (`overridden`).
"""

from __future__ import annotations

import operator
import re
from functools import cache
from importlib import resources
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Annotated

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from plmscan.errors import MUST_BE, RuleError, in_one_line
from plmscan.evidence import Confidence, Evidence, Finding, Scalar, Severity
from plmscan.plain_text import NotTextError, decoded
from plmscan.plain_yaml import OwnLoader, UniqueKeyLoader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from enum import IntEnum
    from importlib.resources.abc import Traversable

    from pydantic_core import ErrorDetails
    from yaml import SafeLoader

__all__ = [
    "Comparison",
    "Rule",
    "load_rules",
    "overridden",
    "rules_in",
    "unknown_metrics",
    "with_packaged",
]

_CHECKOUT = Path(__file__).parents[2] / "rules"
_LONGEST_WORD = 200
_FIELD = re.compile(r"[a-z][a-z0-9_]*")
_FORMAT = re.compile(r"(,?(\.\d)?[efg%])?")
_WORDS_WITH_HYPHENS = "must be lower-case words with hyphens, such as planted-trigger"
_PATTERNS = {
    "id": "must be capital letters and three digits, such as ACME001",
    "name": _WORDS_WITH_HYPHENS,
    "probe": _WORDS_WITH_HYPHENS,
}
"""What the patterns below mean, by key."""
_A_METRIC = "must be the name of a metric, such as p_value"
_OPERATORS = {
    "gte": (">=", operator.ge),
    "lte": ("<=", operator.le),
    "gt": (">", operator.gt),
    "lt": ("<", operator.lt),
    "eq": ("=", operator.eq),
}

_Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Kebab = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")]
_Id = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2,16}[0-9]{3}$")]
_Metric = Annotated[str, StringConstraints(pattern=rf"^{_FIELD.pattern}$")]


def _level(levels: type[IntEnum]) -> BeforeValidator:
    """A validator that reads the lower-case name of one of ``levels``."""
    names = {level.name.lower(): level for level in levels}

    def read(value: object) -> object:
        if isinstance(value, levels):
            return value
        if not isinstance(value, str) or value not in names:
            msg = f"must be one of {', '.join(names)}"
            raise ValueError(msg)
        return names[value]

    return BeforeValidator(read)


class _Model(BaseModel):
    """Frozen, strict, and closed to keys that nobody declared."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


class Comparison(_Model):
    """Bounds on one metric; all that are given must hold, and at least one is."""

    gte: FiniteFloat | None = None
    """At least."""
    lte: FiniteFloat | None = None
    """At most."""
    gt: FiniteFloat | None = None
    """More than."""
    lt: FiniteFloat | None = None
    """Less than."""
    eq: FiniteFloat | None = None
    """Exactly."""

    @model_validator(mode="after")
    def _says_something(self) -> Comparison:
        """Refuse a comparison that everything passes."""
        if not self.bounds:
            msg = f"needs one of {', '.join(_OPERATORS)}"
            raise ValueError(msg)
        return self

    @property
    def bounds(self) -> dict[str, float]:
        """The bounds that are given, by operator name."""
        return {name: b for name in _OPERATORS if (b := getattr(self, name)) is not None}

    def holds(self, value: float) -> bool:
        """Whether ``value`` keeps every bound; a NaN keeps none."""
        return all(_OPERATORS[name][1](value, bound) for name, bound in self.bounds.items())

    def describe(self, metric: str) -> str:
        """The bounds as a formula, such as ``z >= 8``."""
        signs = (f"{metric} {_OPERATORS[name][0]} {b:g}" for name, b in self.bounds.items())
        return " and ".join(signs)


class Rule(_Model):
    """When evidence of one probe becomes a finding, and what the finding says."""

    id: _Id
    """Unique name, such as ``PLM201``."""
    name: _Kebab
    """The same for people, such as ``planted-trigger``."""
    probe: _Kebab
    """Id of the probe whose evidence is judged."""
    severity: Annotated[Severity, _level(Severity)]
    """How bad, if true: low, medium, high or critical."""
    confidence: Annotated[Confidence, _level(Confidence)]
    """How likely true: low, medium or high."""
    when: Annotated[dict[_Metric, Comparison], Field(min_length=1)]
    """Comparisons by metric name; all must hold."""
    message: _Words
    """One sentence; ``{name}`` stands for a metric, a detail, or the subject."""
    description: _Words
    """Why the finding matters."""
    remediation: _Words
    """What to do about it."""
    references: Annotated[tuple[_Words, ...], Field(min_length=1, strict=False)]
    """Papers, advisories, specifications."""
    since: _Words
    """Version of plmscan that brought the rule."""

    @field_validator("message")
    @classmethod
    def _only_plain_fields(cls, message: str) -> str:
        """Allow ``{name}``, ``{name:.2f}`` and ``{name!r}``: no attribute, index or nesting."""
        for _, field, spec, conversion in Formatter().parse(message):
            if field is None:
                continue
            plain = _FIELD.fullmatch(field) and _FORMAT.fullmatch(spec or "")
            if not plain or conversion not in (None, "r"):
                written = field + (f"!{conversion}" if conversion else "") + f":{spec or ''}"
                msg = f"has a placeholder that is not allowed: {written.rstrip(':')}"
                raise ValueError(msg)
        return message

    @property
    def placeholders(self) -> frozenset[str]:
        """Names that the message asks for."""
        return frozenset(field for _, field, _, _ in Formatter().parse(self.message) if field)

    @property
    def condition(self) -> str:
        """``when`` as a formula, such as ``z >= 8 and scatter <= 0.3``."""
        return " and ".join(comparison.describe(m) for m, comparison in self.when.items())

    def judges(self, evidence: Evidence) -> bool:
        """Whether it is this rule's business: evidence of its probe that has all its metrics."""
        return evidence.probe == self.probe and self.when.keys() <= evidence.metrics.keys()

    def lacks(self, evidence: Evidence) -> list[str]:
        """Metrics that were left out of the evidence, and on which alone it hangs whether it fires.

        Empty where it judges the evidence, or cannot fire whatever they are.
        """
        missing = sorted(self.when.keys() - evidence.metrics.keys())
        mine = evidence.probe == self.probe and bool(evidence.unmeasured)
        return missing if mine and self.may_fire(evidence.metrics, evidence.unmeasured) else []

    def fires(self, evidence: Evidence) -> bool:
        """Whether it judges the evidence, and all comparisons hold."""
        return self.judges(evidence) and all(
            comparison.holds(evidence.metrics[metric]) for metric, comparison in self.when.items()
        )

    def may_fire(self, known: Mapping[str, float], pending: Collection[str]) -> bool:
        """Whether it can still fire where some metrics are ``known`` and others are ``pending``.

        A pending one may come to anything; what is neither will never be measured.
        """
        return all(
            metric in pending or (metric in known and comparison.holds(known[metric]))
            for metric, comparison in self.when.items()
        )

    def finding(self, evidence: Evidence) -> Finding:
        """``evidence`` as a finding of this rule, whether or not it fires."""
        return Finding(
            rule=self.id,
            severity=self.severity,
            confidence=self.confidence,
            message=_fill(self.message, _words(evidence)),
            remediation=self.remediation,
            evidence=evidence,
        )


def load_rules(extra: Path | None = None) -> tuple[Rule, ...]:
    """The packaged rules and those of the folder ``extra``, sorted by id.

    Raises:
        RuleError: a file breaks the format, two files of one folder share an id, or a folder
            holds no rules.
    """
    return with_packaged(() if extra is None else rules_in(extra))


def with_packaged(named: Iterable[tuple[str, Rule]]) -> tuple[Rule, ...]:
    """The packaged rules and ``named`` ones, with the names of their files, sorted by id.

    Raises:
        RuleError: two of these share an id.
    """
    rules = {**_packaged(), **_by_id(named)}
    return tuple(rules[rule_id] for rule_id in sorted(rules))


def overridden(extra: Path | None) -> tuple[str, ...]:
    """Ids of the packaged rules that the folder ``extra`` replaces.

    Raises:
        RuleError: as `load_rules`.
    """
    if extra is None:
        return ()
    return tuple(sorted(_packaged().keys() & _by_id(rules_in(extra)).keys()))


@cache
def _packaged() -> Mapping[str, Rule]:
    """The packaged rules by id, read once: every scan and every report asks for them."""
    return _by_id(rules_in(_rules_dir(), OwnLoader))


def _rules_dir() -> Traversable:
    """The folder of packaged rules; an editable install has them in the checkout only."""
    packaged = resources.files("plmscan") / "rules"
    return packaged if packaged.is_dir() else _CHECKOUT


def rules_in(
    folder: Traversable, loader: type[SafeLoader] = UniqueKeyLoader
) -> tuple[tuple[str, Rule], ...]:
    """Name and rule of each YAML file in ``folder``, of which there must be some.

    Raises:
        RuleError: a file breaks the format, or there is none.
    """
    try:
        files = sorted((f for f in folder.iterdir() if _is_rule(f)), key=lambda f: f.name)
    except OSError as error:
        msg = f"The rules folder {folder} cannot be read: {error.strerror}."
        raise RuleError(msg, "Name a folder of .yaml files with --rules.") from error
    if not files:
        msg = f"The rules folder {folder} holds no .yaml file."
        raise RuleError(msg, "A scan without rules would pass everything.")
    return tuple((file.name, _read(file, loader)) for file in files)


def _is_rule(file: Traversable) -> bool:
    """Whether ``file`` has a rule's file name."""
    return file.is_file() and file.name.endswith((".yaml", ".yml"))


def _by_id(named: Iterable[tuple[str, Rule]]) -> dict[str, Rule]:
    """Rules by id, each given once."""
    rules: dict[str, Rule] = {}
    for file, rule in named:
        if rule.id in rules:
            msg = f"Rule file {file} uses the id {rule.id} a second time."
            raise RuleError(msg, "Give each rule of a folder its own id.")
        rules[rule.id] = rule
    return rules


def _read(file: Traversable, loader: type[SafeLoader]) -> Rule:
    """The rule in ``file``."""
    try:
        data = yaml.load(decoded(file.read_bytes()), Loader=loader)  # noqa: S506 - a SafeLoader
        return Rule.model_validate(data)
    except ValidationError as error:
        msg = f"Rule file {file.name} is wrong: {_problems(error)}."
    except NotTextError as error:
        msg = f"Rule file {file.name} cannot be read: {error}."
    except yaml.YAMLError as error:
        msg = f"Rule file {file.name} is not YAML: {in_one_line(error)}."
    except OSError as error:
        msg = f"Rule file {file.name} cannot be read: {error.strerror}."
    raise RuleError(msg, "`Add a rule` in docs/extending.md shows a whole one.")


def _problems(error: ValidationError) -> str:
    """All complaints of pydantic, each with its key; what is missing comes last."""
    problems = error.errors(include_url=False, include_context=False)
    wrong = [_problem(problem) for problem in problems if problem["type"] != "missing"]
    missing = [_key(problem) for problem in problems if problem["type"] == "missing"]
    lacks = f"it lacks the {'key' if len(missing) == 1 else 'keys'} {', '.join(missing)}"
    return "; ".join([*wrong, *([lacks] if missing else [])])


def _key(problem: ErrorDetails) -> str:
    """Where in the file it is; pydantic marks what is said of a key and not of its value."""
    return ".".join(str(part) for part in problem["loc"] if part != "[key]")


def _problem(problem: ErrorDetails) -> str:
    """What is wrong there."""
    key, kind = _key(problem), problem["type"]
    match kind:
        case "extra_forbidden":
            return f"it has the unknown key {key}"
        case "model_type":
            return f"{key or 'it'} is not a mapping"
        case "string_pattern_mismatch":
            return f"{key}: {_PATTERNS.get(key, _A_METRIC)}"
        case _:
            return f"{key}: {MUST_BE.get(kind, problem['msg'].removeprefix('Value error, '))}"


def _words(evidence: Evidence) -> dict[str, Scalar]:
    """What a message may name: metrics, details, the trigger's fields, the subject."""
    words: dict[str, Scalar] = dict(evidence.metrics)
    if evidence.trigger is not None:
        words |= {
            "trigger": evidence.trigger.text,
            "location": evidence.trigger.location,
            "target_label": evidence.trigger.target_label,
        }
    return words | dict(evidence.details) | {"subject": evidence.subject}


def _fill(message: str, words: Mapping[str, Scalar]) -> str:
    """``message`` with its placeholders filled; one without a value stays visible."""
    parts: list[str] = []
    for literal, field, spec, conversion in Formatter().parse(message):
        shown = "" if field is None else _show(field, spec or "", words)
        parts += [literal, repr(shown) if conversion else shown]
    return "".join(parts)


def _show(name: str, spec: str, words: Mapping[str, Scalar]) -> str:
    """One value as the message wants it; numbers get the format, words are cut to length."""
    match words.get(name, f"{{{name}}}"):
        case bool() | str() | None as value:
            text = str(value)
        case value:
            text = format(value, spec or ".6g")
    return text if len(text) <= _LONGEST_WORD else text[: _LONGEST_WORD - 1] + "…"


def unknown_metrics(rule: Rule, declared: Collection[str]) -> tuple[str, ...]:
    """Metrics that ``rule`` compares and its probe does not declare."""
    return tuple(metric for metric in rule.when if metric not in declared)
