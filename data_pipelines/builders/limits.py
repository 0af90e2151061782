"""What one file may cost: time and memory, so that a bad one never stops a build.

The time grows with the file's size on disk, never with what its header says.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS, SECONDS_PER_MB = 180.0, 5.0
"""How long a file may take: at least this long, and longer by this for each megabyte."""

MEMORY = 4 << 30
"""By how many bytes a process may grow."""

GRACE = 20.0
"""A decoder that does not return to Python is ended with its process this many seconds later."""


class TooLong(BaseException):
    """A file took longer than it may. Not an `Exception`, so that no reader takes it for damage."""


def allowed(*files: Path | None) -> float:
    """How many seconds a recording of these files may take."""
    sizes = [os.path.getsize(file) for file in files if file is not None and file.exists()]
    return SECONDS + SECONDS_PER_MB * sum(sizes) / 1e6


@contextmanager
def limited(seconds: float, grace: float | None = None) -> Iterator[None]:
    """Ends what takes longer. Does nothing outside of the main thread, or on Windows.

    Args:
      seconds: how long it may take.
      grace: ends the process if Python gets no turn in this many more seconds; None: never.

    Raises:
      TooLong: it took longer.
    """
    if threading.current_thread() is not threading.main_thread() or os.name == "nt":
        yield
        return

    def late(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    with open(os.devnull, "w") as nowhere:
        if grace is not None:
            faulthandler.dump_traceback_later(seconds + grace, exit=True, file=nowhere)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            if grace is not None:
                faulthandler.cancel_dump_traceback_later()


def bound_memory(growth: int) -> None:
    """Lets this process grow by so many bytes, where the system can say how large it is."""
    try:
        import resource

        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except (ImportError, OSError):  # not on Linux
        return
    size = next(int(line.split()[1]) << 10 for line in status.splitlines() if "VmData" in line)
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (size + growth, most))
