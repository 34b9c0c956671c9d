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

_PRODUCTS = ("aten::addmm", "aten::mm", "aten::bmm", "aten::baddbmm", "aten::linear")
_ATTENTION = "attention"


def matrix_peak(seconds: float = 2.0) -> float:
    """Float32 operations a second of a product shaped like MiniLM's widest."""
    left, right = torch.randn(8192, 384), torch.randn(384, 1536)
    left @ right
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        left @ right
        done += 2 * left.numel() * right.shape[1]
    return done / (time.perf_counter() - started)


def main() -> None:
    """Profile one check and print the shares."""
    model = Path(sys.argv[1]) if len(sys.argv) > 1 else packaged_minilm()
    peak = matrix_peak()
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
