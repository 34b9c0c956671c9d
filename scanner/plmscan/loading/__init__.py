"""From checked files to a model that can be measured.

`load` builds a `LoadedModel` from exactly the weight files of an `Artifact`: no pickle without
permission, no remote code, no network, nothing printed, and no weight that is not in the files.
A head is known by the tensors of the files, as the library's own classes would load them; what no
probe measures of the files is told, with the reason.  A location whose weights the files do not
hold is skipped.  `unmeasured_modules` names what other libraries put behind the model.
"""

from plmscan.loading.loader import load, load_twin
from plmscan.loading.model import Attended, LoadedModel, Outputs, TokenMeter
from plmscan.loading.modules import unmeasured_modules
from plmscan.loading.traits import Location, Traits

__all__ = [
    "Attended",
    "LoadedModel",
    "Location",
    "Outputs",
    "TokenMeter",
    "Traits",
    "load",
    "load_twin",
    "unmeasured_modules",
]
