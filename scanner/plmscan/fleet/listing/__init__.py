"""Where the models of a fleet come from, beside names and files that list some.

`folders` looks through a tree, `hub` asks the Hub for models, and `registry` asks MLflow.
"""

from __future__ import annotations

from plmscan.fleet.listing.folders import models_below
from plmscan.fleet.listing.hub import HubQuery, models_of
from plmscan.fleet.listing.registry import registered

__all__ = ["HubQuery", "models_below", "models_of", "registered"]
