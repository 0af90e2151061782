"""Processes that try inputs, watched from outside: what hangs, grows or crashes ends alone."""

from __future__ import annotations

import json
import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from avloc.data_pipelines.builders import limits
from scripts.fuzzing.attempt import Verdict, attempt
from scripts.fuzzing.kinds import kind_of

SECONDS = limits.SECONDS
"""What an input may take; the files are all far below a megabyte."""

_RENEWED = 150
"""Inputs of a process: programs that JAX compiled stay in its memory."""


def work(seed: int, whole: Path, root: Path) -> None:
    """Answers each number on standard input with a verdict on standard output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a command prints past Python goes to the log
    from avloc.data_pipelines.builders.recordings import RecordingsConfig
    from avloc.data_pipelines.builders.video_folder import video_folder_dataset_builder as folder

    # A process for each build takes seconds to start, and this one is watched.
    RecordingsConfig.__init__.__kwdefaults__["workers"] = 0
    folder.VideoFolderConfig.__init__.__kwdefaults__["workers"] = 0
    limits.bound_memory(limits.MEMORY)
    for line in sys.stdin:
        print(json.dumps(attempt(seed, int(line), whole, root)), file=answers, flush=True)


class _Process:
    """One process that works, and its log."""

    def __init__(self, command: Sequence[str], log: Path):
        self.log, self.done = log, 0
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True
            )
        self._base = None

    def tried(self, index: int) -> Verdict:
        """The verdict on an input; ends the process where it takes too much or crashes."""
        begun = time.monotonic()
        self._process.stdin.write(f"{index}\n")
        self._process.stdin.flush()
        while not select.select([self._process.stdout], [], [], 0.1)[0]:
            taken, size = time.monotonic() - begun, self._size()
            self._base = size if self._base is None and taken > 0 else self._base
            if taken > SECONDS + limits.GRACE or size > self._base + limits.MEMORY:
                self.end()
                return self._ended(index, "over its limit", taken)
        line = self._process.stdout.readline()
        self.done += 1
        if not line:
            self.end()
            return self._ended(index, "traceback", time.monotonic() - begun)
        verdict = Verdict(*json.loads(line))
        late = verdict.seconds > SECONDS or verdict.growth > limits.MEMORY
        return verdict._replace(what="over its limit") if late else verdict

    def _ended(self, index: int, what: str, seconds: float) -> Verdict:
        said = f"exit status {self._process.returncode}\n{self.log.read_text(errors='replace')}"
        return Verdict(index, kind_of(index), what, seconds, 0, [], said[-1500:])

    def _size(self) -> int:
        try:
            pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        except (OSError, IndexError):  # it has just ended
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def ended(self) -> bool:
        return self._process.poll() is not None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def tried(indices: Sequence[int], seed: int, jobs: int, folder: Path) -> Iterator[Verdict]:
    """The verdict on each input, in the order in which they are done.

    Args:
      indices: their numbers.
      seed: of all.
      jobs: processes at once.
      folder: with the whole files in `whole`.
    """
    waiting, verdicts = queue.SimpleQueue(), queue.SimpleQueue()
    for index in indices:
        waiting.put(index)

    def serve(number: int) -> None:
        root = folder / f"job_{number}"
        words = ["work", "--seed", str(seed), "--folder", str(folder), "--job", str(number)]
        process = None
        while True:
            try:
                index = waiting.get_nowait()
            except queue.Empty:
                break
            if process is not None and process.done >= _RENEWED:
                process.end()
            if process is None or process.ended():
                command = [sys.executable, str(Path(__file__).parents[1] / "fuzz.py"), *words]
                process = _Process(command, root.with_suffix(".log"))
            verdicts.put(process.tried(index))
        if process is not None:
            process.end()

    for number in range(jobs):
        threading.Thread(target=serve, args=(number,), daemon=True).start()
    for _ in indices:
        yield verdicts.get()
