"""What a worker may tell, and what is not even looked at."""

from __future__ import annotations

import os
import pickle
from io import BytesIO

import pytest

from plmscan.errors import ArtifactError, PlmscanError
from plmscan.evidence import Coverage, Evidence, Gap, ProbeStatus
from plmscan.scan.events import Progress
from plmscan.worker.bounds import LARGEST_MESSAGE
from plmscan.worker.messages import Broke, Refused, read_message, unpacked, write_message

TOLD = (
    Evidence("p", "s", {"count": 1.0}, {"names": "a"}),
    Gap("what", "why"),
    Coverage("all"),
    Progress("p", 0.5, "half"),
    Broke(ProbeStatus.FAILED, "so", leaves=True),
)


@pytest.mark.parametrize("message", TOLD, ids=lambda message: type(message).__name__)
def test_nouns_come_through(message: object) -> None:
    """What is written is read, as it was."""
    pipe = BytesIO()
    write_message(pipe, message)
    pipe.seek(0)
    told = read_message(pipe)
    assert told is not None
    assert unpacked(told) == message
    assert read_message(pipe) is None


def test_an_error_keeps_both_of_its_sentences() -> None:
    """Problem and remedy, and its class."""
    error = unpacked(pickle.dumps(Refused(ArtifactError("Broken.", "Mend it."))))
    assert isinstance(error, Refused)
    assert isinstance(error.error, ArtifactError)
    assert error.error.diagnostics() == "Broken. Mend it."


@pytest.mark.parametrize("what", [os.system, print, Evidence.__init__, pickle.loads])
def test_nothing_else_is_taken(what: object) -> None:
    """A worker that hostile files had taken over could name no function to be called here."""
    with pytest.raises(pickle.UnpicklingError, match="is nothing that a worker tells"):
        unpacked(pickle.dumps(what))


def test_what_a_module_merely_imports_is_not_its_own() -> None:
    """A name in one of our modules that stands for something of another is refused."""
    named = b"\x80\x04\x8c\x10plmscan.evidence\x8c\x04Enum\x93."
    with pytest.raises(pickle.UnpicklingError):
        unpacked(named)


def test_messages_have_an_end() -> None:
    """One that is too long is not written, and one that claims to be is not read."""
    with pytest.raises(ValueError, match="more than can be told"):
        write_message(BytesIO(), Coverage("x" * (LARGEST_MESSAGE + 1)))
    assert read_message(BytesIO((2**62).to_bytes(8, "big") + b"x")) is None
    assert read_message(BytesIO((100).to_bytes(8, "big") + b"cut short")) is None


def test_errors_are_plmscans() -> None:
    """The base class comes through as well."""
    assert isinstance(unpacked(pickle.dumps(PlmscanError("So."))), PlmscanError)
