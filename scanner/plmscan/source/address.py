"""Which names are addresses: of a model in an object store, on a web server, or in a registry."""

from __future__ import annotations

import re

__all__ = ["MLFLOW", "is_address"]

MLFLOW = "mlflow:"
"""What the address of a model in MLflow's registry begins with: ``mlflow:name/3``."""
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]+://")


def is_address(source: str) -> bool:
    """Whether ``source`` is an address, and neither a folder nor a name on the Hub."""
    return source.startswith(MLFLOW) or _ADDRESS.match(source) is not None
