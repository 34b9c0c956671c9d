"""What a team keeps beside its code: a configuration, a lock file, a baseline.

The configuration (``plmscan.yaml``, or ``[tool.plmscan]`` of ``pyproject.toml``) names the models
and how to check each, and what to waive for a while.  The lock file holds the commit and the
digests of the models that were adopted.  The baseline holds the findings of one day, so that only
new ones fail.  People write the first; plmscan writes the other two, for people to review.
"""

from __future__ import annotations

from plmscan.config.baseline import left_out, read_baseline, write_baseline
from plmscan.config.find import find_config, lies_in_a_model
from plmscan.config.lock import Lock, LockedModel, read_lock, write_lock
from plmscan.config.read import Config, ConfiguredModel, overlaid, read_config
from plmscan.config.schema import config_schema

__all__ = [
    "Config",
    "ConfiguredModel",
    "Lock",
    "LockedModel",
    "config_schema",
    "find_config",
    "left_out",
    "lies_in_a_model",
    "overlaid",
    "read_baseline",
    "read_config",
    "read_lock",
    "write_baseline",
    "write_lock",
]
