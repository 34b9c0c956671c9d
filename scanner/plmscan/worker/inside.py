"""The bounds of a worker for a command that runs a model in its own process.

``guard`` answers as texts arrive, and ``purify`` trains: both load the model where they are.  Once
everything has been fetched, they take the same vows as a worker (`plmscan.worker.confinement`), as
far as a process can that has threads already: Linux lets it into no network of its own any more.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from plmscan.errors import PlmscanError
from plmscan.memory import bounded_memory, can_bound_memory, ran_out
from plmscan.worker.bounds import Bounds
from plmscan.worker.confinement import Confinement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plmscan.source import Artifact

__all__ = ["bound_for", "confined"]


def bound_for(device: str, artifact: Artifact, reference: Artifact | None = None) -> int | None:
    """Bytes that running the models may take beyond what there is; None where there is no bound.

    There is none where a GPU computes: its driver maps more than anybody uses.
    """
    import torch  # noqa: PLC0415 - only for whoever runs a model

    if (device != "cpu" and torch.cuda.is_available()) or not can_bound_memory():
        return None
    return Bounds().model_bytes(artifact, reference)


@contextmanager
def confined(allowed: int | None, *artifacts: Artifact) -> Iterator[None]:
    """Refuse the network, other programs and the models' code inside, and bound the memory.

    Args:
        allowed: bytes that may be allocated beyond what there is; None for no bound.
        artifacts: the models, all of which are there.

    Raises:
        PlmscanError: the memory was not enough.
    """
    confinement = Confinement()
    sys.addaudithook(confinement)
    confinement.about(*(artifact.root for artifact in artifacts))
    try:
        if allowed is None:
            yield
        else:
            with bounded_memory(allowed):
                yield
    except Exception as error:
        if not ran_out(error):
            raise
        raise _too_little(allowed) from error
    finally:
        confinement.lift()


def _too_little(allowed: int | None) -> PlmscanError:
    """That memory ran out."""
    if allowed is None:
        return PlmscanError("The model needs more memory than there is.", "Use a larger machine.")
    msg = f"The model needs more memory than the {allowed / 1e9:.1f} GB that it may take."
    return PlmscanError(msg, "Look at its files (plmscan check) before anything else opens them.")
