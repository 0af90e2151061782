"""A run's folder: its content, and the lock for writing."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import IO, Any

from ml_collections import ConfigDict

from avloc.machine import hosts
from avloc.runs.experiment import differences, with_later_fields
from avloc.runs.recorded import history_row, read_config, require_fields, restorable
from avloc.whole_files import replacing


class RunFolder:
    """Layout of a workdir.

    `config.json` and `data.json`, the config and the data; `parameters.txt`, the networks' sizes;
    `checkpoints/` to resume from; permanent `stages/NAME/`; `train.jsonl`, one line per epoch;
    `sessions.json`, what trained it and when; `tensorboard/`; `categories.json`;
    `evaluation/SPLIT/`; `metrics.json`; `report.html`.
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
        fields = read_config(file)
        with restorable(file):
            config = with_later_fields(ConfigDict(fields))
        require_fields(config.to_dict(), file)
        config.lock()
        return config

    def open_for_training(self, config: ConfigDict) -> bool:
        """Locks the folder for this config; True if it already contains a run of it.

        Raises:
          ValueError: it contains a run of another config, another process trains in it, or it
            cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(
                f"another process is training in {self.path}: wait for it, or name another workdir"
            ) from None
        for left_over in self.path.glob(".*.*.[0-9]*"):  # left by a process that was killed
            left_over.unlink()
        file = self.path / "config.json"
        if file.is_file():
            here = with_later_fields(ConfigDict(config.to_dict()))  # as those on disk
            changed = differences(self.config(), here)
            if changed:
                raise ValueError(
                    f"{self.path} holds a run of another config; name another workdir, or undo: "
                    + "; ".join(changed)
                )
            return True
        try:
            write_atomically(file, json.dumps(config.to_dict(), indent=2))
        except OSError as error:
            raise self._unwritable(error) from None
        return False

    def _unwritable(self, error: OSError) -> ValueError:
        return ValueError(f"workdir {self.path} cannot be written: {error.strerror}")

    def require_shared(self) -> None:
        """Checks that this process sees what the first one wrote when it locked the folder.

        Raises:
          ValueError: it does not.
        """
        if not (self.path / "config.json").is_file():
            raise ValueError(
                f"{self.path} is not the same folder on all hosts: name a --workdir on a file "
                "system that they share"
            )

    def release(self) -> None:
        """Releases the folder for another training."""
        if self._lock is not None:
            self._lock.close()

    def epochs(self) -> list[dict[str, Any]]:
        """The lines of `train.jsonl`, oldest first, without an incomplete last line.

        Raises:
          ValueError: a line cannot be read.
        """
        if not self.history.is_file():
            return []
        lines = self.history.read_bytes().split(b"\n")[:-1]
        try:
            return [history_row(line) for line in lines if line]
        except (ValueError, RecursionError):
            raise ValueError(
                f"{self.history} is damaged: restore it, or remove it; only the curves of the "
                "epochs so far are lost"
            ) from None

    def rewind(self, rows: int) -> None:
        """Keeps only the first `rows` lines of the history: a resumed run writes the rest again."""
        text = self.history.read_text() if self.history.is_file() else ""
        kept = [line + "\n" for line in text.split("\n")[:-1]]
        write_atomically(self.history, "".join(kept[:rows]))


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file completely or not at all; only the first of several processes writes."""
    if not hosts.first():
        return
    with replacing(path) as part, part.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())  # else a power cut can leave the name without the text
