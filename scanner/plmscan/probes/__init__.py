"""Probes by id: discovery reads file names, so listing ids imports nothing."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, cast

from plmscan.probes import comparison, dynamic, related, static, texts, twins
from plmscan.uncollected import uncollected

if TYPE_CHECKING:
    from types import ModuleType

    from plmscan.probes.base import (
        ComparisonProbe,
        DynamicProbe,
        FollowUpProbe,
        RelatedProbe,
        StaticProbe,
        TextProbe,
        TwinProbe,
    )

__all__ = [
    "comparison_ids",
    "comparison_probe",
    "dynamic_ids",
    "dynamic_probe",
    "related_ids",
    "related_probe",
    "static_ids",
    "static_probe",
    "text_ids",
    "text_probe",
    "twin_ids",
    "twin_probe",
]


def static_ids() -> tuple[str, ...]:
    """Ids of the file probes, sorted."""
    return _ids(static)


def dynamic_ids() -> tuple[str, ...]:
    """Ids of the probes that run the model, sorted."""
    return _ids(dynamic)


def comparison_ids() -> tuple[str, ...]:
    """Ids of the probes that compare the model with a reference, sorted."""
    return _ids(comparison)


def related_ids() -> tuple[str, ...]:
    """Ids of the probes that tell of checks of other models, sorted."""
    return _ids(related)


def text_ids() -> tuple[str, ...]:
    """Ids of the probes that read given texts, sorted."""
    return _ids(texts)


def twin_ids() -> tuple[str, ...]:
    """Ids of the probes that read a model beside its twin, sorted."""
    return _ids(twins)


def static_probe(probe_id: str) -> StaticProbe:
    """The file probe named ``probe_id``."""
    return cast("StaticProbe", _load(static, probe_id))


def dynamic_probe(probe_id: str) -> DynamicProbe | FollowUpProbe:
    """The model probe named ``probe_id``; imports torch."""
    return cast("DynamicProbe | FollowUpProbe", _load(dynamic, probe_id))


def comparison_probe(probe_id: str) -> ComparisonProbe:
    """The probe of a comparison named ``probe_id``; imports torch."""
    return cast("ComparisonProbe", _load(comparison, probe_id))


def related_probe(probe_id: str) -> RelatedProbe:
    """The probe of other models named ``probe_id``."""
    return cast("RelatedProbe", _load(related, probe_id))


def text_probe(probe_id: str) -> TextProbe:
    """The probe of texts named ``probe_id``; imports torch."""
    return cast("TextProbe", _load(texts, probe_id))


def twin_probe(probe_id: str) -> TwinProbe:
    """The probe of a model beside its twin named ``probe_id``; imports torch."""
    return cast("TwinProbe", _load(twins, probe_id))


def _ids(package: ModuleType) -> tuple[str, ...]:
    """File names of ``package`` as probe ids."""
    return tuple(sorted(m.name.replace("_", "-") for m in iter_modules(package.__path__)))


def _load(package: ModuleType, probe_id: str) -> object:
    """An instance of the class ``Probe`` in the file that ``probe_id`` names."""
    with uncollected():
        module = import_module(f"{package.__name__}.{probe_id.replace('-', '_')}")
    return module.Probe()
