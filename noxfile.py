"""The test suite on every Python that plmscan supports: ``nox``, or ``nox -s tests-3.13``.

Interpreters that a machine lacks are skipped, unless ``--error-on-missing-interpreters`` is given.
"""

from __future__ import annotations

import nox


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Install as ``make test`` does, torch first, and run what is given, or all tests."""
    session.install("-c", "constraints.txt", "torch")
    session.install("-c", "constraints.txt", "-e", ".[dev]")
    session.run("python", "-m", "pytest", "-n", "2", "--dist", "worksteal", *session.posargs)
