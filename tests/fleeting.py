"""What tests of fleets share: questions, a cluster in this process, and stages that go wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from plmscan.fleet.cluster import QUIET
from plmscan.fleet.costs import Capacity, Node
from plmscan.fleet.ledger import read_ledger
from plmscan.fleet.questions import questions
from plmscan.fleet.tasks import STAGES, Ended, examine, fetch
from plmscan.scan import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from plmscan.fleet.costs import Needs
    from plmscan.fleet.ledger import Row
    from plmscan.fleet.questions import Question
    from plmscan.fleet.tasks import Answered, Asked, Busy, Examined, Fetched, Prepared

__all__ = [
    "DEADLY",
    "FILES_ONLY",
    "HUNGRY",
    "Inline",
    "Machines",
    "asked_about",
    "machines",
    "rows_in",
    "wait_for_answers",
    "with_losses",
]

FILES_ONLY = Settings(files_only=True, device="cpu", threads=1)
HUNGRY = "hungry"
"""Part of the name of a model that kills its worker."""


def asked_about(*sources: object, settings: Settings = FILES_ONLY) -> tuple[Question, ...]:
    """A question about each of ``sources``."""
    return questions(((str(source), settings, None) for source in sources), {})


class Inline:
    """A cluster that runs each task in this process, one after the other, when it is asked."""

    def __init__(self, memory: int = 4 * 10**9) -> None:
        """One machine of two cores."""
        self.capacity = Capacity((Node(2.0, memory),))
        self.names: list[str] = []
        """Every task so far."""
        self.needs: list[Needs] = []
        """What each asked for."""
        self._waiting: list[tuple[object, Callable[..., object], object]] = []

    def submit(
        self, function: Callable[..., object], argument: object, needs: Needs, name: str
    ) -> object:
        """Keep the task for later."""
        ticket = object()
        self.names.append(name)
        self.needs.append(needs)
        self._waiting.append((ticket, function, argument))
        return ticket

    def heard(self, seconds: float) -> list[tuple[object, object]]:
        """Run the first task that waits."""
        if not self._waiting:
            time.sleep(min(seconds, 0.01))
            return []
        ticket, function, argument = self._waiting.pop(0)
        return [(ticket, function(argument))]

    def publish(self, counts: dict[str, int]) -> None:
        """Nobody watches."""


def slow_fetch(asked: Asked) -> Fetched | Answered | Busy:
    """Fetch a model, slowly: there is time to kill somebody."""
    time.sleep(0.5)
    return fetch(asked)


def deadly_examine(prepared: Prepared) -> Examined | Answered:
    """Examine a model; a hungry one has its process ended, as the system does for memory."""
    if HUNGRY in prepared.fetched.asked.question.name:
        os.kill(os.getpid(), signal.SIGKILL)
    return examine(prepared)


def with_losses(*losses: Ended) -> Callable[[Prepared], Examined | Answered | Ended]:
    """An examination that gives no answer as often as there are ``losses``."""
    left = list(losses)

    def lossy(prepared: Prepared) -> Examined | Answered | Ended:
        return left.pop(0) if left else examine(prepared)

    return lossy


DEADLY = replace(STAGES, fetch=slow_fetch, examine=deadly_examine)
"""Real stages, slow, in which a hungry model kills its worker."""


MEMORY = 900_000_000
"""Bytes of a machine of `machines`."""
_STORE = 80 * 2**20
_PATIENCE = 240.0


@dataclass(frozen=True)
class Machines:
    """A Ray cluster that a process of its own keeps: Ray leaves files open in whichever does."""

    address: str
    """Where it is."""
    environment: Mapping[str, str]
    """What its machines know, and runs of a fleet should."""
    keeper: subprocess.Popen[str]
    """The process."""

    def remove_one(self) -> None:
        """Take the last machine away, without asking it."""
        assert self.keeper.stdin is not None
        assert self.keeper.stdout is not None
        self.keeper.stdin.write("remove\n")
        self.keeper.stdin.flush()
        assert self.keeper.stdout.readline() == "removed\n"


@contextmanager
def machines(environment: Mapping[str, str], folder: Path, count: int = 2) -> Iterator[Machines]:
    """A Ray cluster of ``count`` machines of one core each on the loopback."""
    line = [sys.executable, "-m", "tests.fleeting", "keep", str(count)]
    with subprocess.Popen(
        line,
        cwd=folder,
        env={**environment, **QUIET},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as keeper:
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        yield Machines(keeper.stdout.readline().strip(), environment, keeper)
        keeper.stdin.close()


def rows_in(folder: Path) -> tuple[Row, ...]:
    """The index of a fleet as it is now."""
    with read_ledger(folder) as ledger:
        return tuple(ledger.rows())


def wait_for_answers(folder: Path, count: int) -> None:
    """Wait until so many models are answered."""
    began = time.monotonic()
    while time.monotonic() - began < _PATIENCE:
        with suppress(Exception):
            if sum(row.verdict is not None for row in rows_in(folder)) >= count:
                return
        time.sleep(0.05)
    raise AssertionError(folder)


def keep(count: int) -> None:
    """Keep a cluster until stdin is closed; a line there takes a machine away."""
    from ray.cluster_utils import Cluster  # noqa: PLC0415 - an extra

    own = {"num_cpus": 1, "memory": MEMORY, "object_store_memory": _STORE}
    cluster = Cluster(initialize_head=True, head_node_args={**own, "include_dashboard": False})
    nodes = [cluster.add_node(**own) for _ in range(count - 1)]
    print(cluster.address, flush=True)  # noqa: T201 - for whoever started this
    for _ in sys.stdin:
        cluster.remove_node(nodes.pop(), allow_graceful=False)
        print("removed", flush=True)  # noqa: T201
    cluster.shutdown()


def run_deadly(address: str, out: str, config: str) -> int:
    """``plmscan fleet`` with the stages of `DEADLY`; the exit code."""
    from plmscan.cli.fleet.running import Fleet, run  # noqa: PLC0415 - needs Ray

    fleet = Fleet(Path(out), config=Path(config), ray=address, cached=False)
    return run(fleet, DEADLY).value


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["keep", count]:
            keep(int(count))
        case ["run", address, out, config]:
            from tests import fleeting  # the stages have to be found by their module's name

            sys.exit(fleeting.run_deadly(address, out, config))
