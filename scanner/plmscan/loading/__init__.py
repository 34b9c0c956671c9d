"""From checked files to a model that can be measured.

`load` builds a `LoadedModel` from exactly the weight files of an `Artifact`: no pickle without
permission, no remote code, no network, nothing printed, and no weight that is not in the files.
A location or a head whose weights the files do not hold is skipped, with the reason;
`unmeasured_modules` names what other libraries put behind the model.
"""

from plmscan.loading.families import FAMILIES, Family, Location
from plmscan.loading.loader import load
from plmscan.loading.model import Attended, LoadedModel, Outputs, TokenMeter
from plmscan.loading.modules import unmeasured_modules

__all__ = [
    "FAMILIES",
    "Attended",
    "Family",
    "LoadedModel",
    "Location",
    "Outputs",
    "TokenMeter",
    "load",
    "unmeasured_modules",
]
