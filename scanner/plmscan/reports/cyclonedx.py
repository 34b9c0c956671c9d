"""The report for an inventory: a CycloneDX 1.6 bill of materials; needs the extra ``sbom``.

Each model is a component with its files, their digests, the verdict and the settings; each finding
is a vulnerability that affects the model.  A bill of the same survey is the same, byte for byte: it
has no timestamp, and its serial number is derived from its content.  The library keeps components
and vulnerabilities as sets that are ordered by their values, so every one of them gets a reference
of its own: nothing falls together, and nothing is made up at random.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.impact_analysis import ImpactAnalysisResponse, ImpactAnalysisState
from cyclonedx.model.tool import ToolRepository
from cyclonedx.model.vulnerability import (
    BomTarget,
    Vulnerability,
    VulnerabilityAnalysis,
    VulnerabilityRating,
    VulnerabilityScoreSource,
    VulnerabilitySeverity,
    VulnerabilitySource,
)
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from plmscan.evidence import Report
from plmscan.reports.view import scanner_version
from plmscan.reports.visible import shown, visible
from plmscan.reports.wording import justification
from plmscan.waivers import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from plmscan.evidence import FileDigest, Finding, ModelIdentity, Scalar, Waived
    from plmscan.survey import Entry, Survey

__all__ = ["render"]

_HUB_NAME = re.compile(r"(?:(?P<owner>[\w.-]+)/)?(?P<name>[\w.-]+)", re.ASCII)


def render(survey: Survey) -> str:
    """``survey`` as a CycloneDX bill of materials that ends with a newline."""
    content = _document(survey)
    head = {name: content.pop(name) for name in ("$schema", "bomFormat", "specVersion")}
    # The library stamps a time and a random number; both would make every bill another one.
    content["metadata"].pop("timestamp")
    content.pop("serialNumber")
    serial = uuid5(NAMESPACE_URL, json.dumps(content, sort_keys=True)).urn
    ordered = {**head, "serialNumber": serial, **dict(sorted(content.items()))}
    return json.dumps(ordered, indent=2, allow_nan=False) + "\n"


def _document(survey: Survey) -> dict[str, Any]:
    """``survey`` as CycloneDX 1.6 writes it, with the library's own time and serial number."""
    tool = Component(
        name="plmscan",
        type=ComponentType.APPLICATION,
        version=visible(scanner_version(survey.reports)),
    )
    models = {f"model-{number}": entry for number, entry in enumerate(survey.entries, 1)}
    bom = Bom(
        metadata=BomMetaData(tools=ToolRepository(components=[tool])),
        components=[_model(ref, entry) for ref, entry in models.items()],
        vulnerabilities=[v for ref, entry in models.items() for v in _findings(ref, entry)],
    )
    written: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    return written


def _model(ref: str, entry: Entry) -> Component:
    """One model; of one that could not be scanned, what went wrong."""
    report = entry.outcome
    kind, name = ComponentType.MACHINE_LEARNING_MODEL, shown(entry.model)
    told = _properties(_verdict(entry))
    if not isinstance(report, Report):
        return Component(name=name, type=kind, bom_ref=ref, properties=told)
    revision = report.model.revision
    return Component(
        name=name,
        type=kind,
        bom_ref=ref,
        version=visible(revision) if revision else None,
        purl=_purl(report.model),
        properties=[*told, *_properties(_circumstances(report))],
        components=[
            *(_file(f"{ref}/file-{n}", f) for n, f in enumerate(report.model.files, 1)),
            *(_part(f"{ref}/part-{n}", one) for n, one in enumerate(report.model.parts[1:], 1)),
        ],
    )


def _part(ref: str, model: ModelIdentity) -> Component:
    """The base of an adapter, or an adapter, that was measured together with a model."""
    return Component(
        name=shown(model.id),
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=ref,
        version=visible(model.revision) if model.revision else None,
        purl=_purl(model),
        components=[_file(f"{ref}/file-{n}", f) for n, f in enumerate(model.files, 1)],
    )


def _purl(model: ModelIdentity) -> PackageURL | None:
    """The package URL of a Hub model; None for a folder."""
    parts = _HUB_NAME.fullmatch(model.id)
    if model.revision is None or parts is None:
        return None
    return PackageURL("huggingface", parts["owner"], parts["name"], visible(model.revision))


def _file(ref: str, file: FileDigest) -> Component:
    """One file of a model."""
    return Component(
        name=shown(file.path),
        type=ComponentType.FILE,
        bom_ref=ref,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=file.sha256)],
        properties=_properties([("size", file.size)]),
    )


def _verdict(entry: Entry) -> Iterator[tuple[str, Scalar]]:
    """What the scan says, why, and where the model is declared."""
    report = entry.outcome
    reasons = report.reasons if isinstance(report, Report) else (report.diagnostics,)
    yield "verdict", entry.verdict.name.lower()
    yield from (("reason", reason) for reason in reasons)
    yield "declared", str(entry.place) if entry.place else None


def _circumstances(report: Report) -> Iterator[tuple[str, Scalar]]:
    """What was scanned, with which plmscan, and how."""
    yield "version", report.versions.get("plmscan")
    yield "judged-by", report.versions.get("judged-by")
    yield "architecture", report.model.architecture
    yield "parameters", report.model.parameters
    yield "signature", report.model.signature or None
    yield from report.settings.items()


def _properties(told: Iterable[tuple[str, Scalar]]) -> list[Property]:
    """Names and values as CycloneDX holds them; what has no value is left out."""
    return [
        Property(name=f"plmscan:{visible(name)}", value=shown(_written(value)))
        for name, value in told
        if value is not None
    ]


def _written(value: Scalar) -> str:
    """A value as JSON writes it, a text as it is."""
    return value if isinstance(value, str) else json.dumps(value)


def _findings(ref: str, entry: Entry) -> Iterator[Vulnerability]:
    """Every finding about one model."""
    report = entry.outcome
    if isinstance(report, Report):
        for number, finding in enumerate(report.findings, 1):
            yield _finding(f"{ref}/finding-{number}", ref, report.model.id, finding)


def _finding(ref: str, model: str, model_id: str, finding: Finding) -> Vulnerability:
    """One finding about the component ``model``."""
    source = VulnerabilitySource(name="plmscan")
    rating = VulnerabilityRating(
        source=source,
        severity=VulnerabilitySeverity[finding.severity.name],
        method=VulnerabilityScoreSource.OTHER,
    )
    return Vulnerability(
        bom_ref=ref,
        id=shown(finding.rule),
        source=source,
        ratings=[rating],
        description=shown(finding.message),
        recommendation=shown(finding.remediation),
        analysis=_analysis(finding.waived) if finding.waived else None,
        affects=[BomTarget(ref=model)],
        properties=_properties(_particulars(model_id, finding)),
    )


def _particulars(model_id: str, finding: Finding) -> Iterator[tuple[str, Scalar]]:
    """What CycloneDX has no field for."""
    yield "confidence", finding.confidence.name.lower()
    yield "probe", finding.evidence.probe
    yield "subject", finding.evidence.subject
    yield "fingerprint", fingerprint(model_id, finding)
    yield "waived", finding.waived.by if finding.waived else None


def _analysis(waived: Waived) -> VulnerabilityAnalysis:
    """Why a finding does not count: somebody lives with it for a time, which refutes nothing."""
    decided = waived.by == "ignore"
    return VulnerabilityAnalysis(
        state=ImpactAnalysisState.IN_TRIAGE,
        responses=[ImpactAnalysisResponse.WILL_NOT_FIX] if decided else [],
        detail=shown(justification(waived)),
    )
