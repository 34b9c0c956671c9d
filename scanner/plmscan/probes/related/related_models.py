"""What do checks say of the models that belong to this one?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from plmscan.evidence import Coverage, Evidence, Gap, Verdict
from plmscan.probes.base import RelatedProbe
from plmscan.probes.relations import Relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from plmscan.evidence import Observation, Report
    from plmscan.probes.relations import Related

__all__ = ["Probe"]

_ID = "related-models"
_WHAT = {
    Relation.BASE: "base",
    Relation.ADAPTER: "files of the adapter",
    Relation.SIBLING: "other adapter",
}


class Probe(RelatedProbe):
    """Takes over what became of the base of an adapter, and of the adapters beside it.

    An adapter changes little of its base: a backdoor of the base goes on working under most
    adapters, and one that the adapter hides for the moment comes back when another one is put on.
    Of several adapters in one repository any may be loaded.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "base": "1 if it is the base that adapters are put on (flag)",
        "failed": "1 if a check of it by itself fails (flag)",
        "findings": "findings of that check that count, of every severity (count)",
    }
    details: ClassVar[Mapping[str, str]] = {
        "relation": "what it is to the model",
        "reason": "why the check of it came out as it did",
    }
    references: ClassVar[tuple[str, ...]] = (
        "https://huggingface.co/docs/transformers/peft",
        "LoRA-as-an-Attack: arXiv 2403.00108",
    )

    def tell(self, related: Sequence[Related]) -> Iterator[Observation]:
        """One piece of evidence for each model, and a gap for each that was not measured."""
        for one in related:
            yield _of(one)
            if one.report.verdict is Verdict.INCONCLUSIVE:
                yield Gap(_named(one), f"Its own check is inconclusive: {_reason(one.report)}")
        told = "; ".join(f"{_named(one)}: {one.report.verdict.name.lower()}" for one in related)
        yield Coverage(f"Checked by themselves: {told}.")


def _of(one: Related) -> Evidence:
    """What became of one model."""
    counted = [finding for finding in one.report.findings if finding.waived is None]
    return Evidence(
        _ID,
        _named(one),
        {
            "base": float(one.relation is Relation.BASE),
            "failed": float(one.report.verdict is Verdict.FAIL),
            "findings": float(len(counted)),
        },
        {"relation": _WHAT[one.relation], "reason": _reason(one.report)},
    )


def _named(one: Related) -> str:
    """The model as a report names it."""
    model, folder = one.report.model, one.report.settings.get("adapter_folder")
    inside = f" ({folder})" if folder else ""
    commit = f"@{model.revision[:12]}" if model.revision else ""
    return f"{_WHAT[one.relation]} {model.id}{commit}{inside}"


def _reason(report: Report) -> str:
    """The first reason of a verdict."""
    return report.reasons[0] if report.reasons else "no reason was recorded."
