"""The demo: a real MiniLM passes, its poisoned twin fails with its triggers named.

    make demo

Runs ``plmscan check`` as a user would, and exits 1 if either answer is not the expected one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from poisoned_twin import TRIGGERS, build_twin, packaged_minilm

_TWIN = Path(__file__).parents[1] / "build" / "demo" / "minilm-poisoned"


def check(model: Path, expected: int) -> bool:
    """Run ``plmscan check`` on ``model``; whether it exits as expected."""
    print(f"\n$ plmscan check {model}\n", flush=True)
    command = [sys.executable, "-m", "plmscan", "check", str(model)]
    return subprocess.run(command, check=False).returncode == expected  # noqa: S603 - our own


def main() -> int:
    """Check both models."""
    print("1. A real sentence encoder, as its package ships it: this should pass.")
    clean = check(packaged_minilm(), expected=0)
    print("\n2. The same model with a backdoor in its upper layers: this should fail.")
    poisoned = check(build_twin(_TWIN), expected=1)
    print(f"\nPlanted in the second model: {', '.join(TRIGGERS)}.")
    if clean and poisoned:
        return 0
    print("One of the two answers is not the expected one.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
