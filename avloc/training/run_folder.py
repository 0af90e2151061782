"""A run's folder: what is in it, and who may write there."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
from ml_collections import ConfigDict
from tensorboardX import SummaryWriter

from avloc.training.experiment import differences


class RunFolder:
    """Layout of a workdir.

    `config.json` and `data.json`, what was asked for; `parameters.txt`, the networks' sizes;
    `checkpoints/` to resume from; `stages/NAME/` that stay; `train.jsonl`, a line an epoch;
    `tensorboard/`; `categories.json`; `evaluation/SPLIT/`; `metrics.json`; `report.html`.
    """

    def __init__(self, workdir: str | Path):
        self.path = Path(workdir).absolute()
        self._lock: IO[str] | None = None

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def stages(self) -> Path:
        return self.path / "stages"

    @property
    def categories(self) -> Path:
        return self.path / "categories.json"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation"

    @property
    def history(self) -> Path:
        return self.path / "train.jsonl"

    def config(self) -> ConfigDict:
        """The run's config, locked.

        Raises:
          ValueError: the folder holds no run, or its config cannot be read.
        """
        file = self.path / "config.json"
        if not file.is_file():
            raise ValueError(
                f"{self.path} holds no run (no config.json): train one with "
                f"`avloc train --config FILE --workdir {self.path}`"
            )
        try:
            config = ConfigDict(json.loads(file.read_text()))
        except ValueError as error:
            raise ValueError(f"{file} is damaged ({error}): restore it or start anew") from None
        config.lock()
        return config

    def open_for_training(self, config: ConfigDict) -> bool:
        """Takes the folder for this config; True where it already holds a run of it.

        Raises:
          ValueError: it holds a run of another config, another process trains in it, or it
            cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise ValueError(f"workdir {self.path} cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(
                f"another process trains in {self.path}: wait for it, or name another workdir"
            ) from None
        file = self.path / "config.json"
        if file.is_file():
            changed = differences(self.config(), config)
            if changed:
                raise ValueError(
                    f"{self.path} holds a run of another config; name another workdir, or undo: "
                    + "; ".join(changed)
                )
            return True
        write_atomically(file, json.dumps(config.to_dict(), indent=2))
        return False

    def release(self) -> None:
        """Lets another training take the folder."""
        if self._lock is not None:
            self._lock.close()

    def epochs(self) -> list[dict[str, Any]]:
        """The lines of `train.jsonl`, oldest first."""
        if not self.history.is_file():
            return []
        return [json.loads(line) for line in self.history.read_text().splitlines() if line]

    def rewind(self, rows: int) -> None:
        """Forgets all but the first `rows` lines of the history: a resumed run writes the rest."""
        kept = self.epochs()[:rows]
        write_atomically(self.history, "".join(json.dumps(row) + "\n" for row in kept))


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file in whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)


class Writer:
    """Scalars to `train.jsonl` and TensorBoard files, in the shape of clu's metric writers."""

    def __init__(self, run: RunFolder):
        self._run = run
        self._board = SummaryWriter(str(run.path / "tensorboard"))

    def write_scalars(self, step: int, scalars: dict[str, float]) -> None:
        """Values at a step, for TensorBoard."""
        for name, value in scalars.items():
            self._board.add_scalar(name, value, step)

    def write_epoch(self, row: dict[str, Any]) -> None:
        """One line of the history: numbers and names."""
        with self._run.history.open("a") as file:
            file.write(json.dumps(row) + "\n")
        scalars = {
            f"{row['phase']}/{name}": float(value)
            for name, value in row.items()
            if isinstance(value, float | int) and name not in ("step", "epoch")
        }
        self.write_scalars(row["step"], scalars)
        self._board.flush()

    def close(self) -> None:
        """Closes the TensorBoard file."""
        self._board.close()


def mean_of(logs: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Mean of each scalar over an epoch's steps."""
    logs = list(logs)
    return {name: float(np.mean([log[name] for log in logs])) for name in (logs[0] if logs else ())}
