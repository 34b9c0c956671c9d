"""How much of a check is spent in matrix products, and how fast they run.

    python -m tests.benchmarks.matmul_share [MODEL_DIR]

Runs one standard check in this process under the profiler of torch.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

import plmscan
from demo.poisoned_twin import packaged_minilm
from tests.benchmarks.speed.product import Product

_PRODUCTS = ("aten::addmm", "aten::mm", "aten::bmm", "aten::baddbmm", "aten::linear")
_ATTENTION = "attention"
_WIDEST = (8192, 384, 1536)
"""Rows, input and output of MiniLM's widest product."""


def main() -> None:
    """Profile one check and print the shares."""
    model = Path(sys.argv[1]) if len(sys.argv) > 1 else packaged_minilm()
    product = Product(_WIDEST, torch.device("cpu"), torch.float32)
    product.sample(2.0)
    peak = product.rate
    started = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        report = plmscan.check(str(model), plmscan.Settings())
    seconds = time.perf_counter() - started
    rows = profiler.key_averages()
    products = sum(r.self_cpu_time_total for r in rows if r.key in _PRODUCTS) / 1e6
    attention = sum(r.self_cpu_time_total for r in rows if _ATTENTION in r.key) / 1e6
    tokens = sum(probe.forward_tokens for probe in report.probes)
    print(f"verdict {report.verdict.name.lower()}, {seconds:.1f} s under the profiler")
    print(f"matrix products {products:.1f} s = {products / seconds:.0%} of the check")
    print(f"attention kernels {attention:.1f} s = {attention / seconds:.0%}")
    print(f"{tokens} forward tokens; matrix peak of this run {peak / 1e9:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
