"""Everything of a fleet but the scan: steps that answer at once, without torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from plmscan.evidence import ModelIdentity
from plmscan.fleet.answers import answer
from plmscan.fleet.tasks import Answered, Examined, Fetched, Prepared, Stages
from plmscan.scan.execution import ModelJob
from plmscan.scan.forecast import Forecast
from plmscan.source import Artifact
from plmscan.survey import Entry
from tests.specimens import clean

if TYPE_CHECKING:
    from plmscan.fleet.tasks import Asked

__all__ = ["STUBS"]


def stub_fetch(asked: Asked) -> Fetched:
    """A model that is there at once."""
    name = asked.question.name
    artifact = Artifact(name, "0" * 40, Path("/"), (), (), (), None, None)
    job = ModelJob(artifact, None, None, None, (), asked.question.settings, (), None)
    size = (sum(name.encode()) % 97 + 1) * 10**6
    return Fetched(asked, job, name, Forecast(1000, size / 1e6, size), 10**9)


def stub_examine(prepared: Prepared) -> Examined:
    """Files that nothing speaks against."""
    return Examined(prepared.fetched, ())


def stub_search(examined: Examined) -> Answered:
    """The report of a clean model, under this one's name."""
    name = examined.fetched.asked.question.name
    report = clean()
    model = ModelIdentity(name, "0" * 40, "BertModel", 1, report.model.files)
    return Answered(*answer(Entry(replace(report, model=model))), seconds=0.0)


STUBS = Stages(stub_fetch, stub_examine, stub_search)
"""Everything of a fleet but the scan."""
