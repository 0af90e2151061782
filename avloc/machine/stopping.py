"""How a run is asked to stop: by the user, or because the machine is preempted.

The command line imports this early, so JAX is imported only where it is needed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from avloc.progress import say

# Preempted machines give 30 seconds.
GRACE = 25.0
# Time after a second signal for the checkpoint that is being written.
HURRY = 5.0


class Interrupted(Exception):
    """The user asked the run to stop; it was saved and can be resumed."""


class Preempted(Interrupted):
    """The machine asked, by SIGTERM or by a notice from the cluster; the run was saved."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came while there was nothing to save."""


class Stop:
    """Call it to learn whether the run is asked to stop.

    With several processes, all get the answer at the same call, so all must call it equally often.

    Attributes:
      number: of the signal that asked; None if none did.
    """

    def __init__(self) -> None:
        from avloc.machine import hosts

        self.number: int | None = None
        self._agree = hosts.Agreement()

    def __call__(self, step: int | None = None) -> bool:
        """Whether to stop now.

        Args:
          step: optimizer steps taken. Given after every step, for notices that the cluster gives
            to JAX instead of a signal.
        """
        if step is not None and _notified(step):
            self.number = signal.SIGTERM
        agreed = self._agree(self.number or 0)
        self.number = agreed or self.number
        return bool(agreed)

    def interrupted(self, words: str) -> Interrupted:
        """The exception to raise when stopping."""
        return (Preempted if self.number == signal.SIGTERM else Interrupted)(words)


@contextmanager
def signals() -> Iterator[Stop]:
    """Turns the first SIGINT or SIGTERM into a request to stop; the second one stops at once."""
    stop = Stop()

    def ask(number: int, frame: Any) -> None:
        if stop.number is not None:
            raise KeyboardInterrupt
        stop.number = number
        say("stopping after this step; press Ctrl-C again to stop at once", sys.stderr)

    with handling(dict.fromkeys((signal.SIGINT, signal.SIGTERM), ask)):
        yield stop


def _notified(step: int) -> bool:
    """Whether a notice came, and this is the step at which all processes stop."""
    import jax
    from jax.experimental import multihost_utils

    if not (jax.distributed.is_initialized() and jax.config.jax_enable_preemption_service):
        return False
    return multihost_utils.reached_preemption_sync_point(step)


@contextmanager
def preemptible() -> Iterator[None]:
    """Ends a whole command within `GRACE` seconds of a SIGTERM, wherever it is.

    Outside of `signals` there is nothing to save, and SIGTERM raises `Terminated`. Python handles
    signals only between two of its own instructions, and one that compiles or clusters can take
    minutes: if the command still runs after `GRACE` seconds, it ends with status 0 without saving,
    and a later call continues from its last checkpoint. After a second signal it ends within
    `HURRY` seconds.
    """

    with terminable() as ours, _watched(ours):
        yield


@contextmanager
def terminable() -> Iterator[bool]:
    """Raises `Terminated` at a SIGTERM, so that what is half written is removed as by Ctrl-C.

    Yields whether it could be set up, as `handling` does.
    """

    def end(number: int, frame: Any) -> None:
        raise Terminated("stopped")

    with handling({signal.SIGTERM: end}) as ours:
        yield ours


@contextmanager
def handling(handlers: dict[int, Any]) -> Iterator[bool]:
    """Sets handlers, yields whether it could, and restores the previous ones afterwards."""
    previous = {}
    for number, handler in handlers.items():
        try:
            previous[number] = signal.signal(number, handler)
        except ValueError:  # not the main thread: the caller handles signals
            break
    try:
        yield bool(previous)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _watched(ours: bool) -> Iterator[None]:
    """A thread that notices signals even while the main one is not running Python."""
    if not ours:
        yield
        return
    hear, tell = os.pipe()
    os.set_blocking(tell, False)
    before = signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(hear,), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(tell)  # the thread reads to the end, and stops


def _watch(hear: int) -> None:
    heard, timers = [], []
    while numbers := os.read(hear, 64):
        for number in numbers:
            if number not in (signal.SIGINT, signal.SIGTERM):
                continue
            heard.append(number)
            if len(heard) == 1 and number == signal.SIGTERM:
                timers.append(threading.Timer(GRACE, _leave, (0,)))
            elif len(heard) == 2:
                timers.append(threading.Timer(HURRY, _leave, (130,)))
            else:
                continue
            timers[-1].daemon = True
            timers[-1].start()
    os.close(hear)
    for timer in timers:
        timer.cancel()


def _leave(status: int) -> None:
    # No clean-up: files are written completely or not at all.
    print(
        "avloc: stopped during a long operation; the same command continues from the last "
        "checkpoint",
        file=sys.stderr,
        flush=True,
    )
    os._exit(status)
