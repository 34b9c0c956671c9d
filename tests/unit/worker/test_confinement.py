"""What a worker cannot do, tried in a process that gave it up."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CONFINED = """
import sys
from pathlib import Path
from plmscan.worker.confinement import Confinement
confinement = Confinement()
sys.addaudithook(confinement)
confinement.about(Path(sys.argv[1]))
try:
    {code}
except PermissionError as error:
    print("refused:", error)
"""
REFUSED = {
    "a connection": "import socket; socket.create_connection(('127.0.0.1', 9))",
    "a name": "import socket; socket.getaddrinfo('example.org', 80)",
    "a port": "import socket; socket.socket().bind(('127.0.0.1', 0))",
    "a shell": "import os; os.system('true')",
    "a program": "import subprocess; subprocess.run(['true'])",
    "a program in its place": "import os; os.execv('/bin/true', ['true'])",
    "code of the model": "import runpy; runpy.run_path(sys.argv[1] + '/modeling.py')",
    "a library of the model": "import ctypes; ctypes.CDLL(sys.argv[1] + '/lib.so')",
    "a module of the model": (
        "import importlib.util as u; s = u.spec_from_file_location('m', sys.argv[1] + "
        "'/modeling.py'); s.loader.exec_module(u.module_from_spec(s))"
    ),
}


def confined(code: str, folder: Path) -> str:
    """What a process prints that runs ``code`` about the model in ``folder``."""
    command = [sys.executable, "-c", CONFINED.format(code=code), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with code of its own."""
    (tmp_path / "modeling.py").write_text("print('the code of the model runs')\n")
    (tmp_path / "lib.so").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("code", REFUSED.values(), ids=REFUSED.keys())
def test_it_is_refused(folder: Path, code: str) -> None:
    """The network, other programs, and whatever the model brings along to be run."""
    assert confined(code, folder).startswith("refused: a worker of plmscan")


def test_modules_are_not_looked_for_in_a_model(folder: Path) -> None:
    """Its folder is taken off the path."""
    (folder / "json.py").write_text("print('the code of the model runs')\n")
    code = "sys.path.insert(0, sys.argv[1]); confinement.about(Path(sys.argv[1])); import json"
    assert confined(f"{code}; print(json.__name__)", folder) == "json\n"


def test_an_environment_inside_of_a_model_still_works() -> None:
    """Whoever checks the folder that holds the environment is not locked out of it."""
    from pathlib import Path  # noqa: PLC0415 - only here

    code = "import colorsys; print(colorsys.__name__)"
    assert confined(code, Path(sys.prefix).parent) == "colorsys\n"
