"""Several processes as one run: their start, their end, and what they must agree on.

The command line imports this before anything that uses JAX: processes must connect before that.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int

from avloc import progress

MEETING = 300
"""Seconds within which all processes of a run must connect."""

LEAVING = 60
"""Seconds that a finished process waits for the others."""


class Unmet(ValueError):
    """The processes of a run did not connect, or have different settings or data."""


@contextmanager
def joined(
    distributed: str | None = None,
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    meeting: int = MEETING,
) -> Iterator[None]:
    """Makes this process part of a run of several, until the block ends.

    Without any setting it is a run on its own. Of several processes, only the first one prints and
    draws progress bars; errors are printed by each.

    Args:
      distributed: `auto`: ask the cluster for the processes (Cloud TPU, SLURM, Open MPI, ...).
      coordinator: `HOST:PORT` of the first process, which listens there.
      processes: how many there are.
      process: number of this one, from 0.
      meeting: seconds to wait for the others.

    Raises:
      ValueError: settings that contradict each other.
      Unmet: the others did not connect in time.
    """
    check(distributed, coordinator, processes, process)
    if distributed is None and coordinator is None:
        yield
        return
    _meet(coordinator, processes, process, meeting)
    if first():
        yield
    else:
        with _quiet():
            yield
    # The first one may still be writing for longer than leaving may take.
    multihost_utils.sync_global_devices("done")
    jax.distributed.shutdown()


@contextmanager
def _quiet() -> Iterator[None]:
    """Prints neither output nor progress bars; errors are still printed."""
    with progress.hidden(), open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield


def _meet(
    coordinator: str | None, processes: int | None, process: int | None, meeting: int
) -> None:
    if process:
        _await(coordinator, meeting)
    elif coordinator is not None:
        _require_free(_port(coordinator))
    # Printed first, because JAX ends a process that waits too long without telling Python.
    those = "the other processes" if coordinator is None else f"{processes} processes"
    where = "" if coordinator is None else f" to connect to {coordinator}"
    print(f"waiting for {those}{where}, at most {meeting} s", file=sys.stderr, flush=True)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            # Explicit settings are not mixed with those of a cluster.
            cluster_detection_method="deactivate" if coordinator else None,
            initialization_timeout=meeting,
            shutdown_timeout_seconds=LEAVING,
        )
    except (ValueError, RuntimeError) as error:
        if coordinator is None:
            raise Unmet(
                f"no cluster that JAX knows was found, or its processes did not connect within "
                f"{meeting} s ({_first_line(error)}): give --coordinator, --processes and --process"
            ) from error
        raise Unmet(
            f"the {processes} processes of the run did not connect to {coordinator} within "
            f"{meeting} s ({_first_line(error)}): start every one of them, with the same "
            "--coordinator and --processes, and its own --process"
        ) from error
    if threading.current_thread() is threading.main_thread():
        # From here on JAX itself handles SIGTERM, instead of the previous handler.
        signal.signal(signal.SIGTERM, handler)


def _require_free(port: int) -> None:
    """Raises Unmet if the first process could not listen; JAX sometimes crashes in that case."""
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        socket.create_server(("", port), family=family, dualstack_ipv6=both).close()
    except OSError as error:
        raise Unmet(
            f"process 0 cannot listen at port {port} of --coordinator "
            f"({os.strerror(error.errno).lower()}): name another port for all processes"
        ) from None


def _port(coordinator: str) -> int:
    port = coordinator.rpartition(":")[2]
    if not (port.isascii() and port.isdigit() and int(port[:6]) < 2**16):
        raise ValueError(
            f"--coordinator is HOST:PORT with a port of 0 to 65535, not {coordinator!r}"
        )
    return int(port)


def _await(coordinator: str, meeting: int) -> None:
    """Waits until the first process listens."""
    host = coordinator.rpartition(":")[0]
    end = time.monotonic() + meeting
    while True:
        try:
            address = host.strip("[]"), _port(coordinator)
            socket.create_connection(address, timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise Unmet(
                    f"nothing answers at --coordinator {coordinator} within {meeting} s "
                    f"({error.strerror or error}): start --process 0 on that machine, and make "
                    "sure that the others can reach the port"
                ) from None
            time.sleep(0.2)


def check(
    distributed: str | None, coordinator: str | None, processes: int | None, process: int | None
) -> None:
    """Raises ValueError if the settings of `joined` contradict each other."""
    by_hand = {"--coordinator": coordinator, "--processes": processes, "--process": process}
    given = [name for name, value in by_hand.items() if value is not None]
    if distributed and given:
        raise ValueError(f"--distributed auto asks the cluster: leave out {' and '.join(given)}")
    if given and len(given) < 3:
        missing = [name for name in by_hand if name not in given]
        raise ValueError(f"{' and '.join(given)} needs {' and '.join(missing)} too")
    if not given:
        return
    if not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^\s:/]+):\d{1,5}", coordinator):
        raise ValueError(f"--coordinator is HOST:PORT, not {coordinator!r}")
    if processes < 1:
        raise ValueError(f"--processes is 1 or more, not {processes}")
    if not 0 <= process < processes:
        raise ValueError(f"--process is 0 to {processes - 1} of {processes}, not {process}")


def first() -> bool:
    """Whether this process writes the run's files and prints for all."""
    # A single process does not ask JAX, because that would start the devices.
    return not jax.distributed.is_initialized() or jax.process_index() == 0


@contextmanager
def together() -> Iterator[None]:
    """A block that each process runs on its own, and that all leave together.

    Raises:
      Unmet: it failed on another process, which prints the reason.
    """
    failure = None
    try:
        yield
    except (ValueError, OSError, KeyboardInterrupt) as error:
        failure = error
    if jax.process_count() > 1:
        failed = np.flatnonzero(_all(failure is not None))
        if len(failed) and failure is None:
            raise Unmet(f"process {failed[0]} failed: see its own message")
    if failure is not None:
        raise failure


def require_same(what: str, text: str) -> None:
    """Checks that all processes have the same value; all of them must call it.

    Raises:
      Unmet: they differ.
    """
    if jax.process_count() > 1 and np.ptp(_all(zlib.crc32(text.encode()) & 0x7FFFFFFF)):
        raise Unmet(f"the processes of the run differ in their {what}: give all of them the same")


class Agreement:
    """The largest of the numbers of all processes, returned one call later.

    Later, because a device would idle while its process waits for the others. All processes must
    call it equally often. A single process gets the answer at once.
    """

    def __init__(self) -> None:
        self._asked: jax.Array | None = None

    def __call__(self, number: int) -> int:
        """Passes a number of 0 or more, and returns what was agreed on."""
        if jax.process_count() == 1:
            return number
        agreed = 0 if self._asked is None else int(self._asked)
        spread = NamedSharding(Mesh(np.asarray(jax.devices()), ("all",)), PartitionSpec("all"))
        mine = np.full(jax.local_device_count(), number, np.int32)
        self._asked = _largest(jax.make_array_from_process_local_data(spread, mine))
        return agreed


@jax.jit
def _largest(numbers: Int[Array, " D"]) -> Int[Array, ""]:
    return numbers.max()


def _all(value: Any) -> np.ndarray:
    """A number of each process."""
    return multihost_utils.process_allgather(np.asarray(value))


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:160]
