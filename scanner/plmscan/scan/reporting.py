"""From measurements to a report, in a scan and again from a saved one."""

from __future__ import annotations

import platform
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from plmscan.errors import ArtifactError
from plmscan.evidence import NO_SIGNATURE, ModelIdentity, ProbeStatus, Report, Verdict
from plmscan.headers import parameter_count
from plmscan.policy import decide
from plmscan.probes import (
    comparison_ids,
    dynamic_ids,
    related_ids,
    static_ids,
    text_ids,
    twin_ids,
)
from plmscan.probes.known_rules import checked_rules
from plmscan.rules import overridden
from plmscan.scan.execution import Facts
from plmscan.scan.settings import Settings
from plmscan.version import __version__
from plmscan.waivers import NO_WAIVERS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from plmscan.evidence import ProbeRun, Scalar, Severity
    from plmscan.policy import Decision
    from plmscan.rules import Rule
    from plmscan.scan.execution import ModelJob
    from plmscan.source import Artifact
    from plmscan.waivers import Waivers

__all__ = ["identified", "make_report", "rejudge", "rules_for", "versions"]

_SIGNATURE = "model-signature"
_BROKEN = (ProbeStatus.FAILED, ProbeStatus.TIMED_OUT)
_LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "huggingface-hub",
    "peft",
    "gguf",
    "py7zr",
    "lz4",
)


def rules_for(settings: Settings) -> tuple[Rule, ...]:
    """The rules that these settings can apply.

    Raises:
        RuleError: a file breaks the format, or names a probe, metric or detail that is unknown.
    """
    rules = checked_rules(settings.rules)
    run = {*static_ids(), *_model_ids(settings), *related_ids(), *twin_ids()}
    return tuple(rule for rule in rules if rule.probe in run)


def _model_ids(settings: Settings) -> tuple[str, ...]:
    """Ids of the probes that these settings run a model for."""
    if settings.files_only:
        return ()
    if settings.inspected is not None:
        return text_ids()
    compared = () if settings.reference is None else comparison_ids()
    return (*compared, *dynamic_ids())


def make_report(
    job: ModelJob,
    runs: tuple[ProbeRun, ...],
    facts: Mapping[str, Facts],
    bounds: Mapping[str, Scalar],
) -> Report:
    """Everything about the scan in one value; ``facts`` are those of each model by its id."""
    settings, model = job.settings, _identity(job.artifact, facts)
    decision = _decide(runs, job.rules, settings, model)
    return Report(
        verdict=decision.verdict,
        reasons=decision.reasons,
        model=replace(model, signature=_signature(runs)),
        findings=decision.findings,
        probes=runs,
        settings={**settings.told(), **_told_judgement(settings), **bounds},
        versions=versions(),
        nearest=decision.nearest,
    )


def _identity(artifact: Artifact, facts: Mapping[str, Facts]) -> ModelIdentity:
    """What identifies ``artifact``, and what is measured together with it."""
    found = facts.get(artifact.id, Facts())
    base = None if artifact.base is None else _identity(artifact.base, facts)
    return ModelIdentity(
        artifact.id,
        artifact.revision,
        found.architecture if base is None else base.architecture,
        found.parameters,
        artifact.files,
        artifact.not_fetched,
        base,
        tuple(_identity(adapter, facts) for adapter in artifact.adapters),
    )


def _signature(runs: tuple[ProbeRun, ...]) -> str:
    """What is known of who signed the model; empty where there is no signature to speak of."""
    told: list[str] = []
    for run in runs:
        if run.id == _SIGNATURE:
            told += [f"{e.subject}: {e.details['why']}." for e in run.evidence]
            told += [covered.statement for covered in run.coverage]
            told += [g.reason for g in run.gaps if not run.evidence and g.reason != NO_SIGNATURE]
            told += [run.reason] if run.status in _BROKEN else []
    return " ".join(told)


def rejudge(
    report: Report,
    rules: Path | None,
    fail_on: Severity | None,
    waivers: Waivers = NO_WAIVERS,
) -> Report:
    """``report`` with its evidence judged anew; nothing is measured, torch is not needed.

    Raises:
        RuleError: a rule file breaks the format.
    """
    files_only = report.settings.get("files_only") is True
    declared = report.settings.get("used_as") == "features"
    names = ("inspected", "reference", "adapter_folder", "also")
    inspected, reference, folder, also = (report.settings.get(name) for name in names)
    asked = Settings(
        rules=rules,
        fail_on=fail_on,
        files_only=files_only,
        used_as="features" if declared else None,
        inspected=None if inspected is None else Path(str(inspected)),
        reference=None if reference is None else str(reference),
        adapter_folder=None if folder is None else str(folder),
        also=tuple(str(also).split(",")) if also else (),
        waivers=waivers,
    )
    decision = _decide(report.probes, rules_for(asked), asked, report.model)
    return replace(
        report,
        verdict=decision.verdict,
        reasons=decision.reasons,
        findings=decision.findings,
        settings={**report.settings, **_told_judgement(asked)},
        versions={**report.versions, "judged-by": __version__},
        nearest=decision.nearest,
    )


def _decide(
    runs: tuple[ProbeRun, ...], rules: Collection[Rule], settings: Settings, model: ModelIdentity
) -> Decision:
    """The policy, with the probes that these settings require: those that a rule judges."""
    asked = static_ids() if settings.files_only else _model_ids(settings)
    others = {
        related_ids(): _has_relatives(settings, model),
        twin_ids(): model.is_stacked and not settings.files_only and settings.inspected is None,
    }
    for ids, are_asked in others.items():
        asked += ids if are_asked else ()
        rules = rules if are_asked else [rule for rule in rules if rule.probe not in ids]
    judged = {rule.probe for rule in rules}
    required = [probe_id for probe_id in asked if probe_id in judged]
    bar, waivers = settings.fail_on, settings.waivers
    decision = decide(runs, rules, fail_on=bar, required=required, waivers=waivers)
    note = _restriction(settings)
    if not note:
        return decision
    if decision.verdict is Verdict.PASS:
        return replace(decision, reasons=(f"{note} {decision.reasons[0]}",))
    return replace(decision, reasons=(*decision.reasons, note))


def _has_relatives(settings: Settings, model: ModelIdentity) -> bool:
    """Whether checks of other models had to be made as well."""
    inner = settings.adapter_folder is not None or settings.shrunken is not None
    alone = inner or settings.inspected is not None
    return (model.is_stacked or bool(settings.also)) and not alone


def _restriction(settings: Settings) -> str:
    """What the user left out of the question; empty if nothing."""
    if settings.files_only:
        return "Only the files were checked."
    if settings.used_as == "features":
        return "Only features are used, as --used-as features declares: no head was measured."
    return ""


def _told_judgement(settings: Settings) -> dict[str, Scalar]:
    """How the evidence was judged, as a report shows it."""
    told = settings.told()
    replaced = ", ".join(overridden(settings.rules)) or None
    return {"fail_on": told["fail_on"], "rules": told["rules"], "rules_overridden": replaced}


def identified(artifact: Artifact) -> Facts:
    """What the files say about the model; what broken ones do not tell is None."""
    try:
        architecture = _architecture(artifact.config)
    except ArtifactError:
        architecture = None
    try:
        parameters = parameter_count(artifact)
    except ArtifactError:
        parameters = None
    return Facts(architecture, parameters)


def _architecture(config: dict[str, object]) -> str | None:
    """The first class that the config names."""
    match config.get("architectures"):
        case [str(name), *_] | str(name):
            return name
        case _:
            return None


def versions() -> dict[str, str]:
    """Versions of plmscan, Python and the libraries, without importing them."""
    libraries = {name: _version(name) for name in _LIBRARIES}
    return {"plmscan": __version__, "python": platform.python_version(), **libraries}


def _version(name: str) -> str:
    """Version of an installed distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
