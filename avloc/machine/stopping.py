"""How a run is asked to stop: by the user, or by the machine that is taken away.

The command line imports this at once, so JAX is imported where it is needed.
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

# Machines that are taken away give 30 seconds.
GRACE = 25.0
# What a second signal leaves for the checkpoint that is being written.
HURRY = 5.0


class Interrupted(Exception):
    """The user asked the run to stop; it was saved and can be resumed."""


class Preempted(Interrupted):
    """The machine asked, by SIGTERM or by a notice of the cluster's; it was saved."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came where there is nothing to save."""


class Stop:
    """Whether the run is asked to stop: called, it says so.

    Of several processes all are told at the same call, so all must call it equally often.

    Attributes:
      number: of the signal that asked; None as long as none did.
    """

    def __init__(self) -> None:
        from avloc.machine import hosts

        self.number: int | None = None
        self._agree = hosts.Agreement()

    def __call__(self, step: int | None = None) -> bool:
        """Asks at a moment.

        Args:
          step: optimizer steps taken. Given after every step, for notices that the cluster gives
            JAX rather than by a signal.
        """
        if step is not None and _notified(step):
            self.number = signal.SIGTERM
        agreed = self._agree(self.number or 0)
        self.number = agreed or self.number
        return bool(agreed)

    def interrupted(self, words: str) -> Interrupted:
        """What to raise where the wish is followed."""
        return (Preempted if self.number == signal.SIGTERM else Interrupted)(words)


@contextmanager
def signals() -> Iterator[Stop]:
    """Turns the first SIGINT or SIGTERM into a wish to stop; the second one is obeyed at once."""
    stop = Stop()

    def ask(number: int, frame: Any) -> None:
        if stop.number is not None:
            raise KeyboardInterrupt
        stop.number = number
        say("stopping after this step; once more to stop at once", sys.stderr)

    with _handled(dict.fromkeys((signal.SIGINT, signal.SIGTERM), ask)):
        yield stop


def _notified(step: int) -> bool:
    """Whether a notice came, and this is the step at which all processes follow it."""
    import jax
    from jax.experimental import multihost_utils

    if not (jax.distributed.is_initialized() and jax.config.jax_enable_preemption_service):
        return False
    return multihost_utils.reached_preemption_sync_point(step)


@contextmanager
def preemptible() -> Iterator[None]:
    """Ends a whole command within `GRACE` seconds of a SIGTERM, wherever it is.

    Outside of `signals` there is nothing to save, and SIGTERM raises `Terminated`. Python hears of
    signals between two of its own instructions only, and one that compiles or clusters can take
    minutes: where the command still runs after `GRACE` seconds, it ends with status 0 as it is,
    and goes on from its last checkpoint. After a second signal it ends within `HURRY` seconds.
    """

    def end(number: int, frame: Any) -> None:
        raise Terminated("stopped")

    with _handled({signal.SIGTERM: end}) as ours, _watched(ours):
        yield


@contextmanager
def _handled(handlers: dict[int, Any]) -> Iterator[bool]:
    """Sets handlers, and gives whether it could; afterwards those before them hold again."""
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
    """A thread that hears of signals even while the main one is not in Python."""
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
        os.close(tell)  # the thread reads to the end, and ends


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
    # No clean-up: what is written is written whole, and what is not was never there.
    print(
        "avloc: stopped in the middle of something long; the same command goes on from the last "
        "checkpoint",
        file=sys.stderr,
        flush=True,
    )
    os._exit(status)
