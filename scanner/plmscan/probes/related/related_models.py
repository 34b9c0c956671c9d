"""What do checks say of the models that belong to this one?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from plmscan.evidence import Coverage, Evidence, Gap, Severity, Verdict
from plmscan.probes.base import RelatedProbe
from plmscan.probes.relations import Relation
from plmscan.probes.words import some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from plmscan.evidence import Finding, Observation, Report
    from plmscan.probes.relations import Related

__all__ = ["Probe"]

_ID = "related-models"
_WHAT = {
    Relation.BASE: "base",
    Relation.ADAPTER: "files of the adapter",
    Relation.SIBLING: "other adapter",
    Relation.COPY: "quantised copy",
}


class Probe(RelatedProbe):
    """Takes over what became of the base of an adapter, and of the adapters beside it.

    An adapter changes little of its base: a backdoor of the base goes on working under most
    adapters, and one that the adapter hides for the moment comes back when another one is put on.
    Of several adapters in one repository any may be loaded.  And weights can be made so that a
    backdoor sleeps in them until they are rounded to fewer digits.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "base": "1 if it is the base that adapters are put on (flag)",
        "copy": "1 if it is the model itself with shrunken weights (flag)",
        "only_there": "of such a copy: severe findings that the model does not have (count)",
        "failed": "1 if a check of it by itself fails (flag)",
        "findings": "findings of that check that count, of every severity (count)",
    }
    details: ClassVar[Mapping[str, str]] = {
        "relation": "what it is to the model",
        "reason": "why the check of it came out as it did",
        "new": "findings that only the copy has",
        "gone": "findings that only the model itself has",
    }
    references: ClassVar[tuple[str, ...]] = (
        "https://huggingface.co/docs/transformers/peft",
        "LoRA-as-an-Attack: arXiv 2403.00108",
        "Exploiting LLM Quantization: arXiv 2405.18137",
    )

    def tell(self, related: Sequence[Related], own: Sequence[Finding]) -> Iterator[Observation]:
        """One piece of evidence for each model, and a gap for each that was not measured."""
        for one in related:
            yield _of(one, own)
            if one.report.verdict is Verdict.INCONCLUSIVE:
                yield Gap(_named(one), f"Its own check is inconclusive: {_reason(one.report)}")
        told = "; ".join(f"{_named(one)}: {one.report.verdict.name.lower()}" for one in related)
        yield Coverage(f"Checked by themselves: {told}.")


def _of(one: Related, own: Sequence[Finding]) -> Evidence:
    """What became of one model, beside the ``own`` findings of the one that is checked."""
    counted = [finding for finding in one.report.findings if finding.waived is None]
    is_copy = one.relation is Relation.COPY
    new, gone = _less(counted, own), _less(own, counted)
    severe = [finding for finding in new if finding.severity >= Severity.HIGH]
    return Evidence(
        _ID,
        _named(one),
        {
            "base": float(one.relation is Relation.BASE),
            "copy": float(is_copy),
            "only_there": float(len(severe) if is_copy else 0),
            "failed": float(one.report.verdict is Verdict.FAIL),
            "findings": float(len(counted)),
        },
        {
            "relation": _WHAT[one.relation],
            "reason": _reason(one.report),
            "new": _listed(new) if is_copy else "",
            "gone": _listed(gone) if is_copy else "",
        },
    )


def _less(some: Sequence[Finding], others: Sequence[Finding]) -> list[Finding]:
    """Findings that are not among ``others``, by rule and subject."""
    known = {(finding.rule, finding.evidence.subject) for finding in others}
    return [f for f in some if (f.rule, f.evidence.subject) not in known]


def _listed(findings: Sequence[Finding]) -> str:
    """Rules and subjects, as a sentence has them."""
    names = [f"{finding.rule} {finding.evidence.subject!r}" for finding in findings]
    return some(names) if names else "none"


def _named(one: Related) -> str:
    """The model as a report names it."""
    report = one.report
    model, folder = report.model, report.settings.get("adapter_folder")
    inside = f" ({folder})" if folder else ""
    if one.relation is Relation.COPY:
        inside = f" in {report.settings.get('shrunken')}"
    commit = f"@{model.revision[:12]}" if model.revision else ""
    return f"{_WHAT[one.relation]} {model.id}{commit}{inside}"


def _reason(report: Report) -> str:
    """The first reason of a verdict."""
    return report.reasons[0] if report.reasons else "no reason was recorded."
