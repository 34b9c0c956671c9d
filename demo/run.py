"""The demo: a real MiniLM passes, its poisoned twin fails with its triggers named.

    make demo

Runs ``plmscan check`` as a user would, and exits 1 if either answer is not the expected one.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from poisoned_twin import TRIGGERS, build_twin, packaged_minilm

_BUILD = Path(__file__).parents[1] / "build" / "demo"
_TWIN = _BUILD / "minilm-poisoned"


def check(model: Path, page: str, expected: int) -> bool:
    """Run ``plmscan check`` with a page for a browser; whether it exits as expected."""
    # A demo measures, even if the same model was measured before.
    options = ["--no-cache", "--report", f"html={_BUILD / page}"]
    print(f"\n$ plmscan check {model} {shlex.join(options)}\n", flush=True)
    command = [sys.executable, "-m", "plmscan", "check", str(model), *options]
    return subprocess.run(command, check=False).returncode == expected  # noqa: S603 - our own


def main() -> int:
    """Check both models."""
    argparse.ArgumentParser(
        description="Check a real MiniLM, which passes, and its poisoned twin, which fails."
    ).parse_args()
    print("1. A real sentence encoder, as its package ships it: this should pass.")
    _BUILD.mkdir(parents=True, exist_ok=True)
    clean = check(packaged_minilm(), "minilm.html", expected=0)
    print("\n2. The same model with a backdoor in its upper layers: this should fail.")
    poisoned = check(build_twin(_TWIN), "minilm-poisoned.html", expected=1)
    print(f"\nPlanted in the second model: {', '.join(TRIGGERS)}.")
    print(f"\nOpen {_BUILD / 'minilm-poisoned.html'} in a browser.")
    print("Its first figure shows each item of the vocabulary; the triggers stand apart.")
    if clean and poisoned:
        return 0
    print("One of the two answers is not the expected one.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
