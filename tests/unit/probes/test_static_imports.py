"""What the file probes may import."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from plmscan.probes import static_ids, static_probe
probes = [static_probe(probe_id) for probe_id in static_ids()]
import plmscan.headers, plmscan.templates, plmscan.vocabularies
heavy = {"torch", "transformers", "numpy"} & sys.modules.keys()
assert len(probes) >= 5 and not heavy, (len(probes), heavy)
"""


def test_file_probes_import_no_machine_learning() -> None:
    """``--files-only`` starts without torch, transformers or numpy."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
