"""Trainings in processes of their own, which end where they are told to."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from avloc.runs.folder import RunFolder
from avloc.training import loop
from avloc.training.methods import METHODS
from avloc.types import Phase, TrainState
from tests.records import make_dataset, make_records
from tests.training.line import SCENES, TRAIN, Line, settings


@dataclass(frozen=True)
class Fault:
    """When a process sends itself a signal, or may write large files no more.

    Attributes:
      what: `step`, while it is computed; `refresh`, between its scan and its end; `write`, while a
        checkpoint is written; `seconds`, wherever it is then.
      number: which one, from 1; or how many seconds.
      signal: that it sends; None: files over 40 kB cannot be written from then on.
    """

    what: str
    number: float
    signal: int | None = signal.SIGKILL

    def strike(self) -> None:
        if self.signal is None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
        else:
            os.kill(os.getpid(), self.signal)


class Mortal(Line):
    """`Line` with more phases and a state of 100 kB, which strikes at the fault's moment."""

    fault: Fault | None = None
    turns = 2

    def __init__(self, config, info, axis_name=None):
        super().__init__(config, info, axis_name)
        self._counts = {"step": 0, "refresh": 0}

    def _count(self, what: str) -> None:
        self._counts[what] += 1
        if self.fault and (self.fault.what, self.fault.number) == (what, self._counts[what]):
            self.fault.strike()

    def init(self, key, batch):
        variables, aux = super().init(key, batch)
        return variables, {**aux, "ballast": jax.random.normal(key, (25_000,))}

    def loss(self, variables, aux, batch, key):
        jax.debug.callback(lambda: self._count("step"))
        return super().loss(variables, aux, batch, key)

    def relabel(self, state: TrainState, scan, key) -> TrainState:
        new = super().relabel(state, scan, key)
        self._count("refresh")
        return new._replace(aux={**state.aux, **new.aux})

    def phases(self):
        for _ in range(self.turns):
            yield Phase("first", "train", 2, "localization", self.loss)
            yield Phase("second", "train", 2, "classification", self.loss, refresh=self.relabel)
        mark = Phase("mark", "train", 0, "localization", self.loss, checkpoint_name="stage_one")
        yield mark
        yield Phase("third", "scenes", 1, "matching", self.loss, checkpoint_name="stage_two")


def start(
    folder: Path, cache: Path, fault: Fault | None = None, turns: int = 2
) -> multiprocessing.Process:
    """Starts a training in a folder that exists; its words go to `folder / "said"`.

    Args:
      folder: the run's, in `run`, and what it ends with.
      cache: of compiled programs.
      fault: to be struck by.
      turns: phases of training between the first and the last ones.
    """
    context = multiprocessing.get_context("forkserver")  # imports once, forks for each training
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_train, args=(folder, cache, fault, turns))
    process.start()
    return process


def _train(folder: Path, cache: Path, fault: Fault | None, turns: int) -> None:
    said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    METHODS["line"] = type("Mortal", (Mortal,), {"fault": fault, "turns": turns})
    config, run = settings(checkpoint_every=1), RunFolder(folder / "run")
    if fault and fault.what == "seconds":
        threading.Timer(fault.number, fault.strike).start()
    if fault and fault.what == "write":
        threading.Thread(target=_watch, args=(run.checkpoints, fault), daemon=True).start()
    dataset = make_dataset(train=make_records(TRAIN), scenes=make_records(SCENES, videos=2))
    run.open_for_training(config)
    try:
        state = loop.train(config, run, dataset)
    except ValueError as error:  # its traceback may be longer than files may be by then
        print(error, flush=True)
        sys.exit(1)
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    end = {jax.tree_util.keystr(path): np.asarray(x) for path, x in leaves}
    np.savez(folder / "end.npz", **end)


def _watch(checkpoints: Path, fault: Fault) -> None:
    """Strikes while the checkpoint of that number, in this process, is written."""
    seen: set[str] = set()
    while len(seen) < fault.number:
        seen |= {path.name for path in checkpoints.glob("*tmp*")}
        time.sleep(0.0005)
    fault.strike()
