"""Worker processes that survive a job which kills its process, or takes too much."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing.connection import Connection
from typing import TypeVar

from avloc.data_pipelines.builders import limits

Job = TypeVar("Job", bound=tuple)

_AHEAD = 4
"""Jobs queued for each process, so that few are in memory however many there are."""


CRASHED = "the decoder crashed on it, or never ended"


def run(
    call: Callable[..., object],
    jobs: Iterable[Job],
    workers: int,
    seconds: Callable[[Job], float] = lambda job: limits.SECONDS,
) -> Iterator[tuple[Job, str | None]]:
    """Runs `call(*job)` for each job; yields it once it is done, and why it was ended, if it was.

    Other processes may grow by `limits.MEMORY` at most.

    Args:
      call: a function of a module, so that other processes can import it.
      jobs: arguments of each call.
      workers: number of processes; 0: this one.
      seconds: how long a job may take.
    """
    jobs = iter(jobs)

    def submitted(pool: _Pool, job: Job) -> Future:
        return pool.submit(_limited, call, job, seconds(job), limits.GRACE)

    while group := list(islice(jobs, max(1, workers * _AHEAD))):
        suspects: list[Job] = []
        if workers == 0:
            yield from _here(call, chain(group, jobs), seconds)
            return
        with _Pool(min(workers, len(group))) as pool:
            if not pool.alive():  # a script without a main guard cannot start processes
                yield from _here(call, chain(group, jobs), seconds)
                return
            waiting = {submitted(pool, job): job for job in group}
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    job = waiting.pop(future)
                    try:
                        ended = future.result()
                    except BrokenProcessPool:
                        suspects.append(job)
                        continue
                    yield job, ended
                    if not suspects:
                        waiting |= {submitted(pool, job): job for job in islice(jobs, 1)}
        # One crash breaks the pool for every unfinished job: each is run again, alone.
        for job in suspects:
            with _Pool(1) as pool:
                try:
                    ended = submitted(pool, job).result()
                except BrokenProcessPool:
                    ended = CRASHED
                yield job, ended


def _here(
    call: Callable[..., object], jobs: Iterable[Job], seconds: Callable[[Job], float]
) -> Iterator[tuple[Job, str | None]]:
    for job in jobs:
        yield job, _limited(call, job, seconds(job))


def _limited(
    call: Callable[..., object], job: tuple, seconds: float, grace: float | None = None
) -> str | None:
    """Runs a job; returns why it was ended, if it was."""
    try:
        with limits.limited(seconds, grace):
            call(*job)
    except limits.TooLong:
        return f"it took longer than {seconds:.3g} s"
    except MemoryError:
        return "it needs too much memory"
    return None


class _Pool:
    """A process pool whose processes end at once with the block, and with this process."""

    def __init__(self, workers: int):
        context = multiprocessing.get_context("spawn")  # safe beside JAX's threads
        self._end, self._lifeline = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(
            workers, mp_context=context, initializer=_begin, initargs=(self._end, limits.MEMORY)
        )

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._lifeline.close()
        self._pool.shutdown(cancel_futures=True)
        self._end.close()

    def submit(self, call: Callable[..., object], *arguments: object) -> Future:
        try:
            return self._pool.submit(call, *arguments)
        except BrokenProcessPool as fault:  # by another job, a moment ago
            future: Future = Future()
            future.set_exception(fault)
            return future

    def alive(self) -> bool:
        try:
            self._pool.submit(os.getpid).result()
        except BrokenProcessPool:
            return False
        return True


def _begin(lifeline: Connection, memory: int) -> None:
    """Set-up of a process: the parent handles Ctrl-C, and the process ends with it."""
    limits.bound_memory(memory)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if lifeline.poll():  # the parent died while this process was starting: do not start a job
        os._exit(0)

    def watch() -> None:
        lifeline.poll(None)  # until the parent closes the other end, or dies
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
