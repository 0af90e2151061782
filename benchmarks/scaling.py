"""Time as a function of the number of rows, clusters and devices."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence

from avloc.drawing.charts import Curve
from benchmarks.kmeans import compare, representations

ITERATIONS = 3


def rows(quick: bool) -> Iterator[Curve]:
    """k-means over N and K against scikit-learn's; k-means and a training step over devices."""
    count, columns, k = (400, 4, 5) if quick else (50_000, 512, 100)
    x = representations(count, columns)
    yield _curve(
        f"k-means, {ITERATIONS} iterations, K = {k}, {columns} columns",
        "thousands of rows",
        [(n, compare(x[:n], k, ITERATIONS, 3)[0]) for n in (count // 4, count // 2, count)],
    )
    few = count // 5 * 2
    many = (5, 10) if quick else (100, 1_000, 2_500, 5_000)
    yield _curve(
        f"k-means, {ITERATIONS} iterations, {few:,} rows, {columns} columns",
        "thousands of clusters",
        [(k, compare(x[:few], k, ITERATIONS, 2)[0]) for k in many],
    )
    counts = (1, 2) if quick else (1, 2, 4)
    found = [(n, over_devices(n, quick)) for n in counts]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Curve(
        f"over virtual CPU devices, which share {cores} cores",
        {name: [(n, seconds[name]) for n, seconds in found] for name in found[0][1]},
        "devices",
        "seconds",
    )


def over_devices(count: int, quick: bool) -> dict[str, float]:
    """Seconds of each program of `device_times` over `count` CPU devices, in a fresh process."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.device_times", *["--quick"] * quick],
        env=os.environ | {"XLA_FLAGS": flags.strip(), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise RuntimeError(f"over {count} devices: {why}")
    return json.loads(done.stdout.splitlines()[-1])


def _curve(
    title: str, xlabel: str, points: Sequence[tuple[int, dict[str, tuple[float, ...]]]]
) -> Curve:
    names = {"ours": "avloc", "theirs": "scikit-learn"}
    series = {
        name: [(n / 1000, statistics.median(times[side])) for n, times in points]
        for side, name in names.items()
    }
    return Curve(title, series, xlabel, "seconds")
