"""Worker processes that survive a job which kills its process."""

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

Job = TypeVar("Job", bound=tuple)

_AHEAD = 4
"""Jobs queued for each process, so that few are in memory however many there are."""


def run(
    call: Callable[..., object], jobs: Iterable[Job], workers: int
) -> Iterator[tuple[Job, bool]]:
    """Runs `call(*job)` for each job; yields, once it is done, whether it killed its process.

    Args:
      call: a function of a module, so that other processes can import it.
      jobs: arguments of each call.
      workers: number of processes; 0: this one.
    """
    jobs = iter(jobs)
    while group := list(islice(jobs, max(1, workers * _AHEAD))):
        suspects: list[Job] = []
        if workers == 0:
            yield from _here(call, chain(group, jobs))
            return
        with _Pool(min(workers, len(group))) as pool:
            if not pool.alive():  # a script without a main guard cannot start processes
                yield from _here(call, chain(group, jobs))
                return
            waiting = {pool.submit(call, *job): job for job in group}
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    job = waiting.pop(future)
                    try:
                        future.result()
                    except BrokenProcessPool:
                        suspects.append(job)
                        continue
                    yield job, False
                    if not suspects:
                        waiting |= {pool.submit(call, *job): job for job in islice(jobs, 1)}
        # One crash breaks the pool for every unfinished job: each is run again, alone.
        for job in suspects:
            with _Pool(1) as pool:
                try:
                    pool.submit(call, *job).result()
                except BrokenProcessPool:
                    yield job, True
                else:
                    yield job, False


def _here(call: Callable[..., object], jobs: Iterable[Job]) -> Iterator[tuple[Job, bool]]:
    for job in jobs:
        call(*job)
        yield job, False


class _Pool:
    """A process pool whose processes end at once with the block, and with this process."""

    def __init__(self, workers: int):
        context = multiprocessing.get_context("spawn")  # safe beside JAX's threads
        self._end, self._lifeline = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(
            workers, mp_context=context, initializer=_begin, initargs=(self._end,)
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


def _begin(lifeline: Connection) -> None:
    """Set-up of a process: the parent handles Ctrl-C, and the process ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if lifeline.poll():  # the parent died while this process was starting: do not start a job
        os._exit(0)

    def watch() -> None:
        lifeline.poll(None)  # until the parent closes the other end, or dies
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
