"""The history of a run's epochs: lines of `train.jsonl`, and the same for TensorBoard."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.summary import scalar

from avloc.machine import hosts
from avloc.runs.folder import RunFolder
from avloc.runs.unwritable import writing


class Writer:
    """Scalars to `train.jsonl` and TensorBoard files, in the shape of clu's metric writers.

    TensorBoard's files are written again from the existing lines, so that a resumed run shows no
    epoch twice. They are written in this thread: tensorboardX's own thread ends on a full disk, and
    waiting for it would never return. Only the first of several processes writes.
    """

    def __init__(self, run: RunFolder):
        self._run = run
        if not hosts.first():
            return
        rows, folder = run.epochs(), run.path / "tensorboard"
        with writing(folder):
            folder.mkdir(exist_ok=True)
            for file in folder.glob("events.out.tfevents.*"):
                file.unlink()
            self._board = EventsWriter(str(folder / "events"))
            for row in rows:
                self._show(row)
            self._board.flush()

    def write_scalars(self, step: int, scalars: dict[str, float], at: float | None = None) -> None:
        """Values at a step, for TensorBoard; `at`: when, in seconds since 1970, or now."""
        if not hosts.first():
            return
        for name, value in scalars.items():
            summary = scalar(name, value)
            now = time.time() if at is None else at
            self._board.write_event(Event(wall_time=now, step=step, summary=summary))

    def write_epoch(self, row: dict[str, Any]) -> None:
        """One line of the history: numbers and names; `time`, if any, is in seconds since 1970."""
        if not hosts.first():
            return
        with writing(self._run.history):
            with self._run.history.open("a") as file:
                file.write(json.dumps(row) + "\n")
            self._show(row)
            self._board.flush()

    def _show(self, row: dict[str, Any]) -> None:
        scalars = {
            f"{row['phase']}/{name}": float(value)
            for name, value in row.items()
            if isinstance(value, float | int) and name not in ("step", "epoch", "time")
        }
        self.write_scalars(row["step"], scalars, row.get("time"))

    def close(self) -> None:
        """Closes the TensorBoard file."""
        if hosts.first():
            self._board.close()


def skipped_steps(run: RunFolder) -> str:
    """A sentence on how many steps of a run were skipped; empty if none was."""
    count = sum(row.get("skipped", 0) for row in run.epochs())
    were = "step was skipped because its" if count == 1 else "steps were skipped because their"
    return f"{count} {were} loss was not finite" if count else ""


def mean_of(logs: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Mean of each scalar over an epoch's steps."""
    logs = list(logs)
    return {name: float(np.mean([log[name] for log in logs])) for name in (logs[0] if logs else ())}
