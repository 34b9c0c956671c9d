"""What tests of fleets share: questions, a cluster in this process, and stages that go wrong."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from plmscan.fleet.costs import Capacity, Node
from plmscan.fleet.questions import questions
from plmscan.fleet.tasks import STAGES, Ended, examine, fetch
from plmscan.scan import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from plmscan.fleet.costs import Needs
    from plmscan.fleet.questions import Question
    from plmscan.fleet.tasks import Answered, Asked, Busy, Examined, Fetched, Prepared

__all__ = ["FILES_ONLY", "HUNGRY", "Inline", "asked_about", "slow_fetch", "with_losses"]

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


def main(arguments: list[str]) -> None:
    """``plmscan fleet`` with the stages of `DEADLY`: an address, a folder, and lists of models."""
    from pathlib import Path  # noqa: PLC0415 - a script

    from plmscan.cli.fleet.running import Fleet, run  # noqa: PLC0415

    address, out, config, retry = arguments
    fleet = Fleet(Path(out), config=Path(config), ray=address, retry=bool(int(retry)), cached=False)
    raise SystemExit(run(fleet, DEADLY).value)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
