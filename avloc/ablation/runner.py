"""Trains the runs of a grid, each in its own process, several at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from avloc.ablation.grid import Run
from avloc.json_files import as_count, as_number, read_json
from avloc.machine.stopping import handling
from avloc.runs.folder import write_atomically

# Seconds between checks of the processes.
_POLL = 0.1


@dataclass
class _Process:
    run: Run
    slot: int
    begun: float
    log: IO[bytes]
    popen: subprocess.Popen[bytes]


def train_all(runs: Sequence[Run], jobs: int = 1, data_dir: str | None = None) -> dict[Run, str]:
    """Trains what is not finished yet, shared runs before those that start from them.

    A run writes to `log.txt` in its folder. If one fails, it is reported and the others continue;
    runs that would start from it are skipped. Ctrl-C asks the running ones to save and stop, waits
    for them, and raises KeyboardInterrupt.

    Args:
      runs: of a grid; any order.
      jobs: how many at once. With more than one, each gets its own share of the cores.
      data_dir: folder of the data sets.

    Returns:
      The runs that failed, with the last line of each log.
    """
    waiting = [run for run in runs if not run.finished]
    slots = list(range(min(jobs, len(waiting))))
    progress = _Progress(len(runs), len(runs) - len(waiting))
    cores, count = _cores(), len(slots)
    running: list[_Process] = []
    failed: dict[Run, str] = {}
    with _sigterm_is_ctrl_c():
        try:
            while waiting or running:
                for run in [r for r in waiting if r.after in failed]:
                    waiting.remove(run)
                    failed[run] = f"{_label(run.after)}, from which it starts, failed"
                    progress.tell(run, f"left out: {failed[run]}")
                ready = (r for r in waiting if r.after is None or r.after.finished)
                while slots and (run := next(ready, None)) is not None:
                    waiting.remove(run)
                    slot = slots.pop(0)
                    share = _share(cores, slot, count) if count > 1 else None
                    running.append(_start(run, slot, data_dir, share))
                    progress.tell(run, f"started; see {run.folder / 'log.txt'}")
                    ready = (r for r in waiting if r.after is None or r.after.finished)
                time.sleep(_POLL)
                for process in [p for p in running if p.popen.poll() is not None]:
                    running.remove(process)
                    slots.append(process.slot)
                    seconds = _finish(process)
                    if process.run.finished and process.popen.returncode == 0:
                        progress.done += 1
                        progress.tell(process.run, f"done in {seconds:.0f} s")
                    else:
                        failed[process.run] = last_line(process.run)
                        progress.tell(
                            process.run,
                            f"failed after {seconds:.0f} s (exit status "
                            f"{process.popen.returncode}): {failed[process.run]}",
                        )
        finally:
            _stop(running)
    return failed


def seconds_of(run: Run) -> float | None:
    """Training time of a run, all attempts together; None if `train_all` did not train it."""
    return _attempts(run).get("seconds")


def last_line(run: Run) -> str:
    """The last line of a run's log that is not empty."""
    file = run.folder / "log.txt"
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "its log is empty"


class _Progress:
    def __init__(self, total: int, done: int):
        self.total, self.done = total, done

    def tell(self, run: Run, what: str) -> None:
        print(f"[{self.done}/{self.total}] {_label(run)}: {what}", file=sys.stderr, flush=True)


def _label(run: Run) -> str:
    kind = "shared run" if run.stage else "cell"
    return f"{kind} {run.name}, seed {run.seed}"


def _start(run: Run, slot: int, data_dir: str | None, share: set[int] | None) -> _Process:
    run.folder.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    if share is not None:
        # On one accelerator the first process would otherwise take most of its memory.
        environment.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    log = (run.folder / "log.txt").open("ab")
    with _on(share):
        popen = subprocess.Popen(
            run.command(data_dir),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            # A new process group, so that Ctrl-C reaches a run only once, from us.
            process_group=0,
        )
    return _Process(run, slot, time.monotonic(), log, popen)


def _finish(process: _Process) -> float:
    """Waits for the end, records the time of the attempt, and returns its seconds."""
    status = process.popen.wait()
    process.log.close()
    seconds = time.monotonic() - process.begun
    before = _attempts(process.run)
    record = {
        "seconds": round(before.get("seconds", 0.0) + seconds, 1),
        "attempts": before.get("attempts", 0) + 1,
        "status": status,
    }
    write_atomically(process.run.folder / "attempts.json", json.dumps(record) + "\n")
    return seconds


def _attempts(run: Run) -> Mapping[str, Any]:
    file = run.folder / "attempts.json"
    try:
        found = read_json(file, dict)
        as_number(found.get("seconds"), str(file))
        as_count(found.get("attempts"), str(file))
    except (FileNotFoundError, ValueError):  # damaged: only the time is lost
        return {}
    return found


def _stop(running: Sequence[_Process]) -> None:
    """Asks processes to save and end, and waits; another Ctrl-C makes them end at once.

    It sends SIGTERM, which training handles like SIGINT. Before training begins, a SIGINT can get
    lost, because Python drops a KeyboardInterrupt that is raised in a destructor.
    """
    if not running:
        return
    print(f"stopping {len(running)} runs, which save first", file=sys.stderr, flush=True)
    left = list(running)
    while left:
        for process in left:
            process.popen.terminate()
        try:
            while left:
                _finish(left[0])
                left.pop(0)
        except KeyboardInterrupt:
            continue


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _share(cores: Sequence[int], slot: int, count: int) -> set[int]:
    """The cores of one of `count` slots; if there are fewer cores, slots share them."""
    if len(cores) < count:
        return {cores[slot % len(cores)]} if cores else set()
    return set(cores[slot * len(cores) // count : (slot + 1) * len(cores) // count])


@contextmanager
def _on(cores: set[int] | None) -> Iterator[None]:
    """Processes started inside run only on these cores, from the start."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _sigterm_is_ctrl_c() -> Iterator[None]:
    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    with handling({signal.SIGTERM: stop}):
        yield
