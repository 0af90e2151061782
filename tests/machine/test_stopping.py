"""Signals: what the first one asks for, what a second one does, and that neither waits for long."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import jax
import jax.experimental.multihost_utils
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.machine import stopping
from avloc.machine.stopping import Interrupted, Preempted, Stop, Terminated, preemptible, signals
from tests.training.line import Line, after, settings


def leaves(state):
    return [np.asarray(x) for x in jax.tree.leaves(state)]


def test_who_asked():
    for number, kind in ((signal.SIGINT, Interrupted), (signal.SIGTERM, Preempted)):
        with signals() as stop:
            assert not stop()
            signal.raise_signal(number)
            assert stop()
            assert type(stop.interrupted("stopped")) is kind
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)


def test_all_processes_stop_where_the_slowest_to_hear_does():
    stop = Stop()
    heard = iter([0, 0, 15])
    stop._agree = lambda number: next(heard)  # what all processes together make of it
    stop.number = signal.SIGINT
    assert [stop(step) for step in (1, 2, 3)] == [False, False, True]
    assert isinstance(stop.interrupted("stopped"), Preempted)


def test_a_notice_of_the_preemption_service(monkeypatch):
    """All processes are told at the same step; what the service itself does is JAX's to test."""
    asked = []
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(
        jax.experimental.multihost_utils,
        "reached_preemption_sync_point",
        lambda step: asked.append(step) or step == 3,
    )
    with signals() as stop:
        assert [stop(2), stop(), stop(3)] == [False, False, True]
    assert asked == [2, 3]
    assert isinstance(stop.interrupted("stopped"), Preempted)


def test_a_signal_in_a_refresh_keeps_what_was_clustered(bench):
    whole = bench.train("whole")
    rows = bench.rows()
    refreshed = []

    class Signalled(Line):
        def relabel(self, state, scan, key):
            new = super().relabel(state, scan, key)
            refreshed.append(len(refreshed))
            if len(refreshed) == 1:
                signal.raise_signal(signal.SIGTERM)
            return new

    with pytest.raises(Preempted, match="stopped at step 4"):
        bench.train(method=Signalled)
    ended = bench.train(method=Signalled)
    assert len(refreshed) == 2  # one each of the two phases
    for x, y in zip(leaves(ended), leaves(whole), strict=True):
        np.testing.assert_array_equal(x, y)
    assert bench.rows() == rows


def test_a_signal_after_the_last_step_is_not_lost(bench):
    steps, refreshes = 8 + 3, 2  # a refresh scans three batches, and asks once more at its end
    with pytest.raises(Interrupted, match="stopped after training"):
        bench.train(stop=after(steps + refreshes * (3 + 1)))
    state = bench.train(config=settings())
    assert int(state.step) == steps


def test_sigterm_where_there_is_nothing_to_save():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), preemptible():
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("it goes on")
    assert signal.getsignal(signal.SIGTERM) is before


def busy(seconds: float, ready) -> None:
    """Is away from Python, as while a program is compiled or runs."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    stopping.GRACE = stopping.HURRY = 1.0
    with preemptible(), signals():
        ready.set()
        jax.lax.while_loop(
            lambda x: x[0] < seconds * 1e9, lambda x: x + 1, jnp.zeros(1)
        ).block_until_ready()


@pytest.mark.parametrize(
    ("numbers", "status"), [((signal.SIGTERM,), 0), ((signal.SIGINT, signal.SIGINT), 130)]
)
def test_a_process_that_does_not_come_back_to_python_ends_all_the_same(numbers, status):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.mortal"])
    ready = context.Event()
    process = context.Process(target=busy, args=(60.0, ready))
    process.start()
    assert ready.wait(60)
    time.sleep(0.5)
    for number in numbers:
        os.kill(process.pid, number)
        time.sleep(0.2)
    process.join(30)
    assert process.exitcode == status


def test_stopping_needs_no_jax():
    """The command line listens before JAX is there."""
    code = "import sys, avloc.machine.stopping; assert not {'jax', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
