"""What is wrong with the machine rather than with plmscan or a model, as a sentence.

Variables that stop the libraries, libraries that are missing or broken, and no room to write.
"""

from __future__ import annotations

import errno
import os
import re

from plmscan.errors import PlmscanError, in_one_line
from plmscan.importing import library_at_fault

__all__ = ["check_variables", "trouble"]

_SECONDS = ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT")
"""What huggingface_hub makes a whole number of as soon as it is imported."""
_SOME_SECONDS = re.compile(r"[0-9]{1,6}")
"""Clocks overflow on much more."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_REINSTALL = "Install plmscan again, as with `pip install --force-reinstall plmscan`."


def check_variables() -> None:
    """Refuse variables over which the libraries would break; an empty one counts as not set.

    Raises:
        PlmscanError: there is one.
    """
    for name in _SECONDS:
        value = os.environ.get(name)
        if value is None:
            continue
        if not value.strip():
            del os.environ[name]
        elif not _SOME_SECONDS.fullmatch(value.strip()):
            msg = f"The variable {name} is {value[:40]!r}, and must be a whole number of seconds."
            raise PlmscanError(msg, "Set it to one, such as 30, or unset it.")


def trouble(error: Exception) -> PlmscanError | None:
    """What the machine lacks, if ``error`` is about that; None if it is not."""
    reason = in_one_line(error, 200)
    if name := library_at_fault(error):
        return PlmscanError(f"The library {name} cannot be imported: {reason}.", _REINSTALL)
    if isinstance(error, FileNotFoundError) and error.filename is None and _is_lost():
        return PlmscanError("The working folder is gone.", "Change to a folder that is there.")
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        place = "The output" if error.filename is None else str(error.filename)
        msg = f"{place} cannot be written: {error.strerror}."
        return PlmscanError(msg, "Make room, or write to another place.")
    return None


def _is_lost() -> bool:
    """Whether the working folder of this process has been removed."""
    try:
        os.getcwd()  # noqa: PTH109 - the same, without a path
    except FileNotFoundError:
        return True
    return False
