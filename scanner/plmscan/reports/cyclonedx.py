"""The report for an inventory: a CycloneDX 1.6 bill of materials, as JSON.

Each model is a component with its files, their digests, the verdict and the settings; each finding
is a vulnerability that affects the model.  The library behind it is an optional extra.  A bill of
the same survey is the same, byte for byte: it has no timestamp, and its serial number is derived
from its content.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from plmscan.errors import ReportError

if TYPE_CHECKING:
    from plmscan.survey import Survey

__all__ = ["render"]


def render(survey: Survey) -> str:
    """``survey`` as a CycloneDX bill of materials that ends with a newline.

    Raises:
        ReportError: the extra ``sbom`` is not installed.
    """
    try:
        from plmscan.reports.bill import document  # noqa: PLC0415 - it needs the extra
    except ImportError as error:
        msg = "A CycloneDX report needs the extra sbom, which is not installed."
        raise ReportError(msg, "Install it with pip install 'plmscan[sbom]'.") from error
    content = document(survey)
    head = {name: content.pop(name) for name in ("$schema", "bomFormat", "specVersion")}
    # The library stamps a time and a random number; both would make every bill another one.
    content["metadata"].pop("timestamp")
    content.pop("serialNumber")
    serial = uuid5(NAMESPACE_URL, json.dumps(content, sort_keys=True)).urn
    ordered = {**head, "serialNumber": serial, **dict(sorted(content.items()))}
    return json.dumps(ordered, indent=2, allow_nan=False) + "\n"
