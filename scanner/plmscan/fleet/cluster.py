"""Ray, the only module that knows it: tasks are handed to it, and what became of them taken back.

Ray may retry and reorder tasks; here it does neither.  Which task comes next and what a lost one
means is decided by `plmscan.fleet.course`, since a model that kills its worker must not do so for
ever.  Nobody is told of the use of Ray.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from plmscan.errors import FleetError, in_one_line
from plmscan.fleet.costs import Capacity, Node
from plmscan.fleet.tasks import Ended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plmscan.fleet.costs import Needs

__all__ = ["QUIET", "RayCluster", "joined"]

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_task_oom_retries": "0",
    "RAY_worker_niceness": "0",
}
"""What Ray reads from the environment: tell nobody, retry nothing, and leave tasks their share."""
_STORE = 256 * 2**20
"""Bytes of shared memory of a Ray of this machine: answers are all that goes through it."""
_FRESH = 5.0
"""Seconds after which the machines of the cluster are counted again."""
_LOCAL = "local"


class RayCluster:
    """A Ray cluster that this process has joined."""

    def __init__(self, ray: Any) -> None:  # noqa: ANN401 - Ray is imported only where it is used
        """The cluster that ``ray`` is connected to."""
        self._ray = ray
        self._running: dict[Any, object] = {}
        self._functions: dict[Callable[..., object], Any] = {}
        self._counted, self._capacity = -_FRESH, Capacity(())
        self._gauge = _gauge(ray)

    @property
    def dashboard(self) -> str:
        """Address of Ray's dashboard; empty where there is none."""
        context = self._ray._private.worker.global_worker.node  # noqa: SLF001 - no public name
        address = getattr(context, "webui_url", None) or ""
        return f"http://{address}" if address else ""

    @property
    def capacity(self) -> Capacity:
        """The machines that are there now."""
        if time.monotonic() - self._counted >= _FRESH:
            alive = [node for node in self._ray.nodes() if node["Alive"]]
            self._capacity = Capacity(tuple(_node(node["Resources"]) for node in alive))
            self._counted = time.monotonic()
        return self._capacity

    def submit(
        self, function: Callable[..., object], argument: object, needs: Needs, name: str
    ) -> object:
        """Have ``function`` run on ``argument``; a ticket for what comes of it."""
        if function not in self._functions:
            remote = self._ray.remote(max_retries=0)
            self._functions[function] = remote(function)
        task = self._functions[function].options(
            num_cpus=needs.cores,
            memory=needs.memory or None,
            num_gpus=needs.gpus,
            name=name,
            scheduling_strategy="SPREAD" if not needs.cores else "DEFAULT",
        )
        ticket = task.remote(argument)
        self._running[ticket] = None
        return ticket

    def heard(self, seconds: float) -> list[tuple[object, object]]:
        """Tickets with what came of them, an `Ended` for nothing; waits for one, but not longer."""
        if not self._running:
            time.sleep(seconds)
            return []
        tickets = list(self._running)
        ready, _ = self._ray.wait(tickets, num_returns=1, timeout=seconds, fetch_local=False)
        if ready:
            ready, _ = self._ray.wait(
                tickets, num_returns=len(tickets), timeout=0, fetch_local=False
            )
        for ticket in ready:
            del self._running[ticket]
        return [(ticket, self._outcome(ticket)) for ticket in ready]

    def publish(self, counts: dict[str, int]) -> None:
        """Tell Ray's metrics how many models are in which state."""
        for state, count in counts.items():
            self._gauge.set(count, tags={"state": state})

    def _outcome(self, ticket: object) -> object:
        """What a task returned, or how it ended."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(ticket)
        except errors.OutOfMemoryError:
            return Ended("Ray ended its worker as memory ran out", by_model=True)
        except errors.WorkerCrashedError:
            return Ended("its worker died", by_model=True)
        except errors.RayTaskError as error:
            return Ended(in_one_line(error.cause or error, 300), by_model=True)
        except errors.RayError as error:
            return Ended(in_one_line(error, 300), by_model=False)


@contextmanager
def joined(address: str) -> Iterator[RayCluster]:
    """The cluster at ``address``: ``local`` starts a Ray of this machine, ``auto`` looks for one.

    Raises:
        FleetError: Ray is not installed, or cannot be reached.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    try:
        ray = import_module("ray")
    except ImportError as error:
        msg = "A fleet needs the extra fleet, which is not installed."
        raise FleetError(msg, "Install it with pip install 'plmscan[fleet]'.") from error
    own = {"object_store_memory": _STORE} if address == _LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        msg = f"The Ray cluster {address} cannot be reached: {in_one_line(error, 200)}."
        remedy = "Check the address; --ray local starts a Ray of this machine."
        raise FleetError(msg, remedy) from error
    try:
        yield RayCluster(ray)
    finally:
        ray.shutdown()


def _node(resources: dict[str, float]) -> Node:
    """One machine, by what it offers."""
    cores, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    return Node(cores, int(resources.get("memory", 0)), gpus)


def _gauge(ray: Any) -> Any:  # noqa: ANN401 - Ray is imported only where it is used
    """Ray's metric of models by state, which its agents hand to Prometheus."""
    metrics = import_module(f"{ray.__name__}.util.metrics")
    about = "Models of the fleet, by what became of them."
    return metrics.Gauge("plmscan_fleet_models", description=about, tag_keys=("state",))
