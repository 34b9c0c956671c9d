"""What a worker gives up before it opens a file: the network, other programs, the model's code.

Nothing that plmscan does needs any of it.  Should a file or a library get a worker to try, the
attempt is refused by Python's audit hooks, which cannot be taken out again; where Linux allows it,
the worker is in a network of its own besides, which leads nowhere.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import plmscan

__all__ = ["Confinement", "cut_network", "end_with_parent"]

_NEW_USER, _NEW_NETWORK, _ON_PARENTS_DEATH = 0x10000000, 0x40000000, 1
_REFUSED = frozenset({
    "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile",
    "os.startfile/2", "os.system", "pty.spawn", "socket.bind", "socket.connect",
    "socket.getaddrinfo", "socket.gethostbyaddr", "socket.gethostbyname", "socket.sendmsg",
    "socket.sendto", "subprocess.Popen", "winreg.CreateKey", "winreg.SetValue",
})  # fmt: skip
"""Audit events of what no worker does."""
_CODE_EVENTS = {"ctypes.dlopen": 0, "exec": 0, "import": 1}
"""Audit events of code that begins to run, and which of their arguments says where it lies."""


class Confinement:
    """An audit hook that refuses the network, other programs, and code from a model's folder."""

    def __init__(self) -> None:
        """There is no model yet."""
        self._models: tuple[str, ...] = ()
        self._ours: tuple[str, ...] = ()
        self._is_lifted = False

    def about(self, *models: Path) -> None:
        """From now on the models in these folders are opened: none of their code may run."""
        self._models = _folders(*models)
        ours = _folders(sys.prefix, sys.base_prefix, Path(plmscan.__file__).parent)
        # An environment may lie in the folder of a model; a model may lie in an environment.
        self._ours = tuple(own for own in ours if own.startswith(self._models))
        sys.path[:] = [path for path in sys.path if not self._holds(path)]

    def lift(self) -> None:
        """From now on nothing is refused: whoever runs models in this process is done with it."""
        self._is_lifted = True

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Refuse ``event`` if a worker has no use for it.

        Raises:
            PermissionError: it has none.
        """
        if self._is_lifted:
            return
        if event in _REFUSED:
            msg = f"a worker of plmscan has no use for {event}"
            raise PermissionError(msg)
        if event in _CODE_EVENTS and self._models:
            place = arguments[_CODE_EVENTS[event]]
            file = getattr(place, "co_filename", place)
            if isinstance(file, str) and self._holds(file):
                msg = "a worker of plmscan runs no code of a model"
                raise PermissionError(msg)

    def _holds(self, path: str) -> bool:
        """Whether ``path`` lies in a model, or is its folder."""
        if path.startswith("<"):  # made up by whoever compiled it
            return False
        whole: str = f"{os.path.abspath(path)}{os.sep}"  # noqa: PTH100 - resolving takes too long here
        if not whole.startswith(self._models):
            return False
        return not whole.startswith(self._ours)


def _folders(*paths: str | Path) -> tuple[str, ...]:
    """Each of ``paths`` as the beginning of what lies in it, as it is written and resolved."""
    spelled = (spell(path) for path in paths for spell in (os.path.abspath, os.path.realpath))
    return tuple(dict.fromkeys(f"{path.rstrip(os.sep)}{os.sep}" for path in spelled))


def cut_network() -> bool:
    """Go where no network is; whether the system let us.

    Root keeps its user, since it would lose its rights to files of others; anybody else needs a
    user namespace to be allowed to.
    """
    if sys.platform != "linux":
        return False
    user, group = os.geteuid(), os.getegid()
    spaces = _NEW_NETWORK if user == 0 else _NEW_NETWORK | _NEW_USER
    try:
        done = bool(ctypes.CDLL(None).unshare(spaces) == 0)
    except (AttributeError, OSError):
        return False
    if done and user:
        with suppress(OSError):  # being nobody is good enough
            Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
    return done


def end_with_parent(parent: int) -> None:
    """Let the system end this process when ``parent``, which started it, ends; Linux only."""
    if sys.platform != "linux":
        return
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_ON_PARENTS_DEATH, signal.SIGKILL)
    if os.getppid() != parent:  # it was quicker
        os._exit(0)
