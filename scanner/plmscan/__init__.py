"""Find backdoors in pre-trained language models before you adopt them.

From the command line::

    plmscan check sentence-transformers/all-MiniLM-L6-v2 --revision <commit>
    plmscan check ./my-model --format json --output report.json

From Python, one call gives a report:

    >>> import plmscan
    >>> settings = plmscan.Settings(seed=1, time_limit=120)
    >>> report = plmscan.check("./my-model", settings)           # doctest: +SKIP
    >>> report.verdict is plmscan.Verdict.PASS                   # doctest: +SKIP
    True
    >>> [trigger.text for trigger in report.triggers]            # doctest: +SKIP
    []

A generator tells what happens while it happens; its last event holds the report:

    >>> for event in plmscan.scan_events("./my-model"):          # doctest: +SKIP
    ...     print(event)

The verdict is ``PASS``, ``FAIL`` or ``INCONCLUSIVE``.  A pass means that the probes completed and
no rule fired at the chosen severity.  It does not mean that the model is free of backdoors.

A probe measures, a rule judges, the policy decides, a report tells.  Whatever was not measured is
in the report with the reason, and anything that a pass needs and that was not measured makes the
verdict inconclusive.  What can go wrong is a subclass of ``plmscan.errors.PlmscanError``, whose
``diagnostics()`` is a sentence for people.

Importing this package imports neither torch nor transformers; a scan does, after it has read the
files.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from plmscan.version import __version__

if TYPE_CHECKING:
    from plmscan.evidence import Report, Verdict
    from plmscan.scan import Settings, check, scan_events

__all__ = ["Report", "Settings", "Verdict", "__version__", "check", "scan_events"]

_HOMES = {
    "Report": "plmscan.evidence",
    "Settings": "plmscan.scan",
    "Verdict": "plmscan.evidence",
    "check": "plmscan.scan",
    "scan_events": "plmscan.scan",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_HOMES[name]), name)
