"""Injects faults into a small training, again and again, and counts which it survived.

`make soak WORKDIR=runs/soak`, or `python scripts/soak.py --workdir runs/soak --minutes 20`. One run
is undisturbed. Others of the same config are hit by a fault, started again, and hit by the next one
until they end. If weights and history then differ from the undisturbed run, the faults were not
survived. Moments are drawn from `--seed`. One item's loss is always NaN and is skipped. Exit status
1 if a fault was not survived; Ctrl-C stops early and prints the table so far.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

BAD_ITEM = 5
SETTINGS = {
    "data.name": "toy_orchestra/tiny",
    "batch_size": 8,
    "image_size": 32,
    "model.width": 4,
    "clusters": 10,
    "stage_one.warmup_epochs": 0,
    "stage_one.epochs": 3,
    "stage_two.epochs": 2,
    "evaluation.baselines": False,
    "checkpoint_every": 3,
    "on_nonfinite": "skip",
}
ITEMS = ("state", "progress", "origin")
DISK_MB = 192
STEPPED = "a step was taken"
PATIENCE = 300.0  # seconds for one process to come to what is waited for


def child(arguments: list[str]) -> int:
    """`avloc ...` with a CSOL that tells of its steps, and whose loss is NaN with the bad item."""
    from dataclasses import replace

    import jax.numpy as jnp

    from avloc import cli
    from avloc.training.methods import METHODS
    from avloc.training.time_left import TimeLeft

    class Poisoned(METHODS["csol"]):
        def phases(self):
            for phase in super().phases():
                yield replace(phase, loss=self.poisoned(phase.loss))

        def poisoned(self, loss):
            def with_nan(variables, aux, batch, key):
                value, out = loss(variables, aux, batch, key)
                return jnp.where((batch.index == BAD_ITEM).any(), jnp.nan, value), out

            return with_nan

    def stepped(self, phase, before=TimeLeft.stepped):
        print(STEPPED, flush=True)
        before(self, phase)

    METHODS["csol"], TimeLeft.stepped = Poisoned, stepped
    return cli.main(arguments)


class Training:
    """One process that trains; its output goes to a file."""

    begun: ClassVar[list[Training]] = []

    def __init__(self, run: Path, root: Path, limit: int | None = None):
        self.run, self.log = run, root / "log" / f"{time.time_ns()}.txt"
        self.log.parent.mkdir(exist_ok=True)
        fields = [f"--config.{name}={value}" for name, value in SETTINGS.items()]
        where = ["--workdir", str(run), "--data-dir", str(root / "data")]
        command = [sys.executable, __file__, "child", "train", "--config", "csol_toy.py"]
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(
                [*command, *where, *fields],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | _compiled(root / "cache"),
                process_group=0,  # only we pass on Ctrl-C
                preexec_fn=limit
                and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, -1))),
            )
        self.begun.append(self)

    def said(self) -> str:
        return self.log.read_text(errors="replace").replace("\r", "\n")

    def until(self, seen: Callable[[], bool]) -> bool:
        """Waits for something; False if the process ended before it."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            if seen():
                return True
            if time.monotonic() > end:
                self.process.kill()
                raise RuntimeError(f"nothing happens: see {self.log}")
            time.sleep(0.002)
        return False

    def writing(self) -> bool:
        """Whether a checkpoint is being written."""
        return any((self.run / "checkpoints").glob("*tmp*"))

    def steps(self) -> int:
        """How many steps were taken."""
        return self.said().count(STEPPED)

    def end(self, number: int) -> int:
        """Sends a signal, waits, and returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


class Soak:
    """The faults; each returns whether it was survived, or None if its moment did not come."""

    def __init__(self, root: Path, seed: int):
        self.root, self.rng = root, random.Random(seed)
        self.injected, self.survived = Counter(), Counter()
        self.disk = Disk(root / "disk")
        self.count, self.pending = 0, []
        self.spoilt: set[int] = set()  # inodes of checkpoints
        self.faults = {
            "SIGKILL in a step": self.kill_in_a_step,
            "SIGKILL in clustering": self.kill_in_clustering,
            "SIGKILL in a checkpoint's write": self.kill_in_a_write,
            "SIGKILL anywhere": self.kill_anywhere,
            "SIGTERM": self.terminate,
            "flipped byte in the newest checkpoint": self.flip,
            "newest checkpoint truncated": self.cut,
            "file of the newest checkpoint missing": self.lose,
            f"disk full ({self.disk.kind})": self.fill,
            "second run in the workdir": self.second,
        }

    @property
    def run(self) -> Path:
        return self.disk.path / f"run_{self.count}"

    def start(self, limit: int | None = None) -> Training:
        return Training(self.run, self.root, limit)

    def _kill(self, training: Training, seen: Callable[[], bool]) -> bool | None:
        if not training.until(seen):
            return None
        return training.end(signal.SIGKILL) == -signal.SIGKILL

    def kill_in_a_step(self) -> bool | None:
        training, after = self.start(), self.rng.randint(1, 12)
        return self._kill(training, lambda: training.steps() >= after)

    def kill_in_clustering(self) -> bool | None:
        training, wait = self.start(), self.rng.uniform(0, 0.3)
        if not training.until(lambda: ": refresh" in training.said()):
            return None
        time.sleep(wait)
        return self._kill(training, lambda: True)

    def kill_in_a_write(self) -> bool | None:
        training, wanted = self.start(), self.rng.randint(1, 3)
        for _ in range(wanted - 1):
            training.until(training.writing)
            training.until(lambda: not training.writing())
        return self._kill(training, training.writing)

    def kill_anywhere(self) -> bool | None:
        training, end = self.start(), time.monotonic() + self.rng.uniform(0, self.seconds / 2)
        return self._kill(training, lambda: time.monotonic() > end)

    def terminate(self) -> bool | None:
        training, end = self.start(), time.monotonic() + self.rng.uniform(3, self.seconds / 2)
        if not training.until(lambda: time.monotonic() > end):
            return None
        begun = time.monotonic()
        status, seconds = training.end(signal.SIGTERM), time.monotonic() - begun
        # While Python itself is starting, nothing handles the signal yet.
        if status == -signal.SIGTERM:
            return None
        return status == 0 and seconds < 30 and "the same command" in training.said()

    def _newest(self) -> Path | None:
        found = [p for p in (self.run / "checkpoints").glob("*") if p.name.isdigit()]
        found.sort(key=lambda path: int(path.name))
        return found[-1] if len(found) > 1 else None

    def _spoil(self, spoil: Callable[[Path], None]) -> bool | None:
        newest = self._newest()
        # One that was damaged before stays until the run that skipped it has saved another.
        if newest is None or newest.stat().st_ino in self.spoilt:
            return None
        self.spoilt.add(newest.stat().st_ino)
        spoil(newest)
        training = self.start()
        ended = not training.until(lambda: "resuming" in training.said())
        training.end(signal.SIGKILL)
        return not ended and f"checkpoint {newest.name} in " in training.said()

    def flip(self) -> bool | None:
        def spoil(folder: Path) -> None:
            files = [path for path in (folder / "state").rglob("*") if path.is_file()]
            file = max(files, key=lambda path: path.stat().st_size)
            content = bytearray(file.read_bytes())
            content[self.rng.randrange(len(content))] ^= 1 << self.rng.randrange(8)
            file.write_bytes(content)

        return self._spoil(spoil)

    def cut(self) -> bool | None:
        def spoil(folder: Path) -> None:
            item = self.rng.choice(ITEMS)
            for file in (folder / item).rglob("*"):
                if file.is_file():
                    os.truncate(file, self.rng.randint(0, file.stat().st_size // 2))

        return self._spoil(spoil)

    def lose(self) -> bool | None:
        def spoil(folder: Path) -> None:
            shutil.rmtree(folder / self.rng.choice(ITEMS))

        return self._spoil(spoil)

    def fill(self) -> bool | None:
        if not (self.run / "checkpoints").is_dir():
            return None
        training = self.start(self.disk.limit)
        if not training.until(lambda: training.steps() > 0):
            return None
        with self.disk.full():
            training.process.wait(PATIENCE)
        said = training.said().splitlines()[-1]
        return training.process.returncode == 2 and said.startswith("avloc: error: ")

    def second(self) -> bool | None:
        first = self.start()
        if not first.until(lambda: first.steps() > 0):
            return None
        other = self.start()
        status = other.process.wait(PATIENCE)
        alive = first.process.poll() is None
        if alive:
            first.end(signal.SIGKILL)
        elif first.process.returncode == 0 and status == 0:
            return None  # the first was done before the second came
        return status == 2 and f"another process is training in {self.run}" in other.said()

    def finish(self) -> None:
        """Lets the run finish, and says whether its result is that of the undisturbed run."""
        training = self.start()
        training.process.wait(4 * PATIENCE)
        good = training.process.returncode == 0 and same_end(self.run, self.root / "whole")
        for kind in self.pending:
            self.survived[kind] += good
        if not good:
            print(f"  {self.run} did not end like the undisturbed run: see {training.log}")
            shutil.copytree(self.run, self.root / f"failed_{self.count}", dirs_exist_ok=True)
        nan = sum(row.get("skipped", 0) for row in history(self.root / "whole"))
        self.injected["NaN in an item"] += nan
        self.survived["NaN in an item"] += nan if good else 0
        self.pending = []
        shutil.rmtree(self.run)
        self.count += 1

    def soak(self, minutes: float) -> None:
        """Injects faults for this long."""
        begun = time.monotonic()
        print("training an undisturbed run ...", flush=True)
        shutil.rmtree(self.root / "whole", ignore_errors=True)
        alone = Training(self.root / "whole", self.root)
        if alone.process.wait(4 * PATIENCE):
            raise RuntimeError(f"it failed: see {alone.log}")
        self.seconds = time.monotonic() - begun
        end, turns = begun + 60 * minutes, itertools.count(1)
        bag: list[str] = []
        while time.monotonic() < end:
            if not bag:
                bag = self.rng.sample(list(self.faults), len(self.faults))
            kind = bag.pop()
            survived = self.faults[kind]()
            word = {None: "its moment did not come", True: "survived", False: "FAILED"}[survived]
            left = max(0, end - time.monotonic()) / 60
            print(f"{next(turns):4} {kind:40} {word}; {left:.0f} min left", flush=True)
            if survived is not None:
                self.injected[kind] += 1
                self.pending += [kind] if survived else []
            if len(self.pending) >= 10 or (self.run / "metrics.json").is_file():
                self.finish()
        if self.run.is_dir():
            self.finish()

    def table(self) -> str:
        lines = ["", f"{'fault':42}{'injected':>9}{'survived':>9}"]
        for kind in [*self.faults, "NaN in an item"]:
            lines.append(f"{kind:42}{self.injected[kind]:9}{self.survived[kind]:9}")
        return "\n".join(lines)


class Disk:
    """The folder of the runs: if allowed, a small disk of their own that can be filled."""

    def __init__(self, path: Path):
        self.path, self.own = path, False
        path.mkdir(parents=True, exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(path)]
        with suppress(FileNotFoundError):
            self.own = subprocess.run(mount, capture_output=True).returncode == 0
        self.kind = "tmpfs" if self.own else "limit on files: tmpfs needs root"

    @property
    def limit(self) -> int | None:
        """A limit on the size of files, as a substitute for a full disk."""
        return None if self.own else 200_000

    @contextmanager
    def full(self) -> Iterator[None]:
        """A file takes all free space for a while."""
        if not self.own:
            yield
            return
        filling = self.path / "filling"
        with suppress(OSError), filling.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        yield
        filling.unlink()

    def close(self) -> None:
        if self.own:
            subprocess.run(["umount", "-l", str(self.path)], check=True)


def history(run: Path) -> list[dict]:
    rows = map(json.loads, (run / "train.jsonl").read_text().splitlines())
    return [{k: v for k, v in row.items() if k not in ("time", "seconds")} for row in rows]


def same_end(a: Path, b: Path) -> bool:
    """Whether two runs have bitwise equal weights after each stage, and equal histories."""
    from avloc.runs.checkpoints import read_stage
    from avloc.runs.digests import digest_of

    for stage in ("stage_one", "stage_two"):
        trees = [read_stage(run / "stages" / stage) for run in (a, b)]
        if digest_of(trees[0]) != digest_of(trees[1]):
            return False
    return history(a) == history(b) and (a / "metrics.json").is_file()


def _compiled(folder: Path) -> dict[str, str]:
    return {
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # they compile far longer
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def main() -> int:
    if sys.argv[1:2] == ["child"]:
        return child(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workdir", type=Path, required=True, help="new, or from an earlier soak")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    root = args.workdir.absolute()
    if root.exists() and any(root.iterdir()) and not (root / "soak").is_file():
        parser.error(f"{root} contains something else: name a new folder")
    root.mkdir(parents=True, exist_ok=True)
    (root / "soak").touch()
    from avloc.data_pipelines import registry

    registry.build(SETTINGS["data.name"], data_dir=root / "data")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    soak, status = Soak(root, args.seed), 0
    try:
        soak.soak(args.minutes)
    except KeyboardInterrupt:
        print("stopped; the faults of the last run are not counted")
        status = 130
    finally:
        for training in Training.begun:
            if training.process.poll() is None:
                training.end(signal.SIGKILL)
        soak.disk.close()
        print(soak.table(), flush=True)
    return status or int(soak.survived != soak.injected)


if __name__ == "__main__":
    sys.exit(main())
