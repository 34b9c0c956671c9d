"""One peer on one model, in this process: what the runner starts, so that memory is the peer's.

python -m tests.benchmarks.peers.child --peer NAME --model DIR --texts FILE --output FILE
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic_core import to_jsonable_python

from plmscan.loading import load
from plmscan.source import SourceOptions, resolve
from tests.benchmarks.peers.contract import Limit
from tests.benchmarks.peers.corpus import read_corpus
from tests.benchmarks.peers.recipes import PEERS

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    """Load, scan, write the result; null for a model that the recipe does not fit."""
    options = _options()
    model = load(resolve(str(options.model), SourceOptions(offline=True)), "cpu")
    peer, limit = PEERS[options.peer], Limit(options.tokens, _teller())
    texts = read_corpus(options.texts)
    result = peer.scan(model, texts, limit, options.seed) if peer.applies(model) else None
    options.output.write_text(json.dumps(to_jsonable_python(result)), encoding="utf-8")


def _options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", choices=sorted(PEERS), required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--texts", type=Path, help="clean texts; plmscan's own without")
    parser.add_argument("--tokens", type=int, help="most forward-token-equivalents")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args()


def _teller() -> Callable[[float, str], None]:
    """Writes progress to stderr, which the runner keeps."""
    started = time.monotonic()

    def tell(fraction: float, note: str) -> None:
        print(f"{time.monotonic() - started:7.1f} s {fraction:4.0%} {note}", file=sys.stderr)

    return tell


if __name__ == "__main__":
    main()
