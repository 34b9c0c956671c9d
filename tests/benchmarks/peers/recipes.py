"""The peers by name: technique, author, year; pure data."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from plmscan.loading import Location
from tests.benchmarks.peers.inversion import DBS, UAT
from tests.benchmarks.peers.lmsanitator import LMSanitator
from tests.benchmarks.peers.patronus import Patronus
from tests.benchmarks.peers.random_tokens import RandomTokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.peers.contract import Peer

__all__ = ["PEERS"]

PEERS: Mapping[str, Peer] = MappingProxyType(
    {
        "patronus_zhao_2025": Patronus(),
        "patronus_mask_zhao_2025": Patronus(location=Location.MASK, copies=1),
        "patronus_remembering": Patronus(remembers=True),
        "patronus_mask_remembering": Patronus(location=Location.MASK, copies=1, remembers=True),
        "lmsanitator_wei_2024": LMSanitator(),
        "dbs_shen_2022": DBS(),
        "uat_wallace_2019": UAT(),
        "random_tokens": RandomTokens(),
    }
)
"""As published, apart from what their docstrings say; ``remembering`` is our saving, not theirs."""
