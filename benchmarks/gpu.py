"""`python -m benchmarks.gpu`: seconds and MFU of the stage-one step on a GPU, against PyTorch.

Both sides do the same work: 224x224 uint8 images and 201x64 log-mels on the device, each once
through the networks, BCE of all pairs, backward pass, Adam. It also runs on a CPU, with small sizes
and without MFU.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import numpy as np

from avloc.configs import dsol_music
from avloc.data_pipelines.media.audio import log_mel
from avloc.drawing.table import Table
from benchmarks import flops, machine
from benchmarks.step_task import SECOND, Task
from benchmarks.steps import narrow

SIDES = OURS, EAGER, COMPILED = "avloc", "eager", "compiled"
"""avloc, plain PyTorch, and PyTorch with `torch.compile`."""

MATMUL = {"float32": "float32", "tf32": "tensorfloat32", "bf16": "float32"}
"""What JAX multiplies float32 in, by precision; bf16 is `config.precision`, the rest float32."""


@dataclass(frozen=True)
class Measured:
    """A step.

    Attributes:
      what: one of `SIDES`.
      precision: `float32`, `tf32` or `bf16`.
      size: pairs.
      seconds: of a step, the median of the rounds; None if it did not run.
      operations: of avloc's step.
      loss: before the first step.
      note: why there is no time.
    """

    what: str
    precision: str
    size: int
    seconds: float | None = None
    operations: float | None = None
    loss: float | None = None
    note: str = ""


def make_task(size: int, precision: str, quick: bool) -> Task:
    """The localization step of `configs/dsol_music.py`, with log-mels instead of waveforms."""
    config = dsol_music.get_config()
    if quick:
        narrow(config)
    with config.unlocked():
        config.precision = "bfloat16" if precision == "bf16" else "float32"
    task = Task.of(config, "localization", size)
    sounds = np.asarray(jax.jit(log_mel)(task.batch.waveform))[..., 0]
    silent = np.zeros((size, 0), np.int16)
    return replace(task, batch=task.batch._replace(negative=None, waveform=silent, log_mel=sounds))


def operations(task: Task) -> float:
    """Of the step, as XLA counts them."""
    return flops.counted(task.program(), task.state, task.batch, jax.random.key(0))


def timed(
    take: Callable[[], Any], wait: Callable[[Any], None], steps: int, rounds: int
) -> tuple[float, float]:
    """Seconds of a step, after 3 warm-up steps, and the loss of the first.

    Steps follow each other without waiting, as in training; each round ends with the last one.

    Args:
      take: starts a step and returns its loss.
      wait: waits until a loss has been computed.
    """
    first = take()
    wait(first)
    loss = float(first)
    for _ in range(2):
        wait(take())
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(steps):
            last = take()
        wait(last)
        seconds.append((time.perf_counter() - start) / steps)
    return statistics.median(seconds), loss


def measure(
    sizes: Sequence[int],
    precisions: Sequence[str],
    sides: Sequence[str],
    *,
    quick: bool,
    profile: Path | None = None,
) -> Iterator[Measured]:
    """Every size and precision, for some of `SIDES`.

    Args:
      sizes: pairs of a batch.
      precisions: see `Measured`.
      sides: of `SIDES`; PyTorch can use the GPU only if JAX does not hold its memory.
      quick: a narrow network, small images, few steps.
      profile: a folder for traces of our steps.
    """
    steps, rounds = (1, 1) if quick else (10, 3)
    for size in sizes:
        for precision in precisions:
            task = make_task(size, precision, quick)
            for what in sides:
                found = Measured(what, precision, size)
                try:
                    with jax.default_matmul_precision(MATMUL[precision]):
                        take, wait = _side(what, task, precision)
                        seconds, loss = timed(take, wait, steps, rounds)
                        if what == OURS and profile is not None:
                            with jax.profiler.trace(str(profile / f"{precision}_{size}")):
                                wait([take() for _ in range(3)])
                except RuntimeError as error:  # both of JAX and of torch
                    if not _out_of_memory(error):
                        raise
                    yield replace(found, note="out of memory")
                else:
                    work = operations(task) if what == OURS else None
                    yield replace(found, seconds=seconds, loss=loss, operations=work)
                take = None
                gc.collect()


def _side(what: str, task: Task, precision: str) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    if what == OURS:
        return task.ours("in_batch"), jax.block_until_ready
    from benchmarks import published_torch

    take = published_torch.all_pairs(task, precision, what == COMPILED)
    return take, lambda loss: published_torch.wait()


def beside(args: argparse.Namespace) -> list[Measured]:
    """PyTorch's steps, in their own process, in which JAX does not use the GPU.

    Call it before JAX takes the GPU's memory in this process.
    """
    sides = SIDES[1:2] if args.quick else SIDES[1:]
    if not find_spec("torch"):
        note = "torch is not installed"
        cases = itertools.product(args.batch, args.precision, sides)
        return [Measured(what, precision, size, note=note) for size, precision, what in cases]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "steps.json"
        words = ["--json", str(out), "--batch", *map(str, args.batch), "--sides", *sides]
        words += ["--precision", *args.precision, *["--quick"] * args.quick]
        command = [sys.executable, "-m", "benchmarks.gpu", *words]
        subprocess.run(command, env={**os.environ, "JAX_PLATFORMS": "cpu"}, check=True)
        return [Measured(**one) for one in json.loads(out.read_text())["steps"]]


def _out_of_memory(error: Exception) -> bool:
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error)


def table(found: Sequence[Measured], kind: str) -> Table:
    """One row per step; PyTorch's MFU uses the operations of avloc's program too.

    Args:
      found: measured.
      kind: of the device, as JAX calls it.
    """
    plain = {m.size: m.seconds for m in found if (m.what, m.precision) == (EAGER, "float32")}
    work = {m.size: m.operations for m in found if m.operations is not None}
    rows = []
    for m in sorted(found, key=lambda m: (m.size, m.precision, SIDES.index(m.what))):
        cells = [m.note, "-", "-", "-"]
        if m.seconds is not None:
            eager, share = plain.get(m.size), None
            if m.size in work:
                share = flops.mfu(work[m.size], m.seconds, kind, m.precision)
            cells = [
                f"{1e3 * m.seconds:.4g} ms",
                f"{m.size / m.seconds:,.0f}",
                "not known" if share is None else f"{100 * share:.1f} %",
                f"{eager / m.seconds:.2f}" if eager else "-",
            ]
        rows.append([f"{m.size}", m.precision, m.what, *cells])
    heads = ("pairs", "precision", "what", "step", "pairs/s", "MFU", "times PyTorch eager float32")
    words = "its peak is not known, so no MFU is given"
    if kind in flops.PEAKS:
        peaks = ", ".join(f"{name} {p / 1e12:g}" for name, p in flops.PEAKS[kind].items())
        words = f"its peak in 10^12 operations a second: {peaks}"
    note = f"{kind}; {words}. Aims: 3 times PyTorch eager float32, and an MFU of 35 % in bf16."
    return Table("Training step on one device", heads, rows, note)


def make_parser() -> argparse.ArgumentParser:
    """Of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--batch", nargs="+", type=int, default=[32, 256, 1024], metavar="PAIRS")
    parser.add_argument("--precision", nargs="+", choices=MATMUL, default=list(MATMUL))
    parser.add_argument("--profile", metavar="DIR", type=Path, help="write traces of our steps")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write what was measured")
    parser.add_argument("--sides", nargs="+", choices=SIDES, help="only these, in this process")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, for a test")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    args = make_parser().parse_args(arguments)
    found = [] if args.sides else beside(args)
    sides, how = args.sides or [OURS], {"quick": args.quick, "profile": args.profile}
    for one in measure(args.batch, args.precision, sides, **how):
        found.append(one)
        print(one, file=sys.stderr, flush=True)
    if args.json:
        told = {"machine": machine.describe(), "steps": [asdict(one) for one in found]}
        args.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if not args.sides:
        print(table(found, jax.devices()[0].device_kind).markdown())
        by_hand = flops.step_by_hand(dsol_music.get_config(), SECOND) / 1e9
        print(f"\nOperations a pair, convolutions counted by hand: {by_hand:.1f} x 10^9.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
