"""The one training loop, for every method."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from clu import parameter_overview
from ml_collections import ConfigDict

from avloc.clustering.agreement import nmi
from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.loader import evaluation_batches
from avloc.machine.devices import Devices
from avloc.machine.stopping import Stop, signals
from avloc.progress import say, spell
from avloc.runs.checkpoints import record_info, save_stage
from avloc.runs.folder import RunFolder, write_atomically
from avloc.runs.history import Writer, skipped_steps
from avloc.runs.sessions import session
from avloc.training.epoch import Epochs
from avloc.training.feature_cache import FOLDER, FeatureCache
from avloc.training.judging import Judge
from avloc.training.methods import create, initialize, method_title
from avloc.training.methods.lengths import due
from avloc.training.optimizers import make_optimizers
from avloc.training.resuming import Checkpoints, Progress
from avloc.training.scan import scan_split
from avloc.training.time_left import TimeLeft
from avloc.training.warm_start import first_phase, require_same_data, warm_start
from avloc.types import Phase, TrainState

# What an epoch's line says of it, in this order, where a phase has it; the rest is in train.jsonl.
_SAID = (
    "loss",
    "accuracy",
    "retrieval",
    "validation",
    "nmi",
    "matching",
    "precision",
    "recall",
)


def train(config: ConfigDict, run: RunFolder, dataset: Dataset) -> TrainState:
    """Trains a run to its end, from where its folder says it stands.

    Every phase ends with a checkpoint. SIGINT and SIGTERM save one and raise `Interrupted`; the
    same call then continues, and gives the weights that an uninterrupted run gives.

    Args:
      config: the experiment.
      run: its folder, opened for training.
      dataset: an opened data set with the splits that the config names.

    Raises:
      Interrupted: after a signal.
      NonFiniteLoss: with the step and the batch's example ids.
    """
    with signals() as stop:
        trainer = _Trainer(config, run, dataset, stop)
        try:
            state = trainer.run()
            if skipped := skipped_steps(run):
                say(skipped)
        finally:
            trainer.close()
        if stop():
            raise stop.interrupted("stopped after training")
        return state


class _Trainer:
    def __init__(self, config: ConfigDict, run: RunFolder, dataset: Dataset, stop: Stop):
        self.config = config
        self.folder = run
        self.dataset = dataset
        self.stop = stop
        self.devices = Devices(config.parallel)
        self.method = create(config, dataset.info, self.devices.axis_name)
        self.optimizers = make_optimizers(config)
        self.key = jax.random.key(config.seed)
        self.checkpoints = Checkpoints(run, config, dataset.info)
        self.writer: Writer | None = None
        self.phases = list(self.method.phases())
        self.time_left = TimeLeft(self.phases, self._steps)
        data = config.data
        self.judge = Judge(self.method, dataset, data.validation, data.stage_one)
        self.features = FeatureCache(
            config, dataset, self.method, self.devices, stop, run.path / FOLDER
        )
        self.epochs = Epochs(
            config,
            dataset,
            self.devices,
            self.optimizers,
            self.checkpoints,
            self.key,
            stop,
            self.time_left,
            self.features,
        )

    def run(self) -> TrainState:
        phases = self.phases
        state, progress = self._begin(phases)
        record_info(self.folder, self.dataset.info)
        self.writer = Writer(self.folder)
        overview = parameter_overview.get_parameter_overview(
            state.variables["params"], include_stats=False
        )
        write_atomically(self.folder.path / "parameters.txt", overview + "\n")
        if progress.phase == len(phases):
            return state
        own = phases[first_phase(self.config, phases, resumed=True) :]
        with session(self.folder, method_title(self.config.method), own, int(state.step)):
            return self._go_on(state, phases, progress)

    def _go_on(self, state: TrainState, phases: list[Phase], progress: Progress) -> TrainState:
        for number, phase in enumerate(phases):
            if number < progress.phase:
                continue
            state = self._phase(state, phase, progress, f"{number + 1}/{len(phases)}")
            if phase.checkpoint_name:
                save_stage(self.folder, phase.checkpoint_name, state)
                if number + 1 < len(phases):  # the last stage is judged when it is scored
                    for sentence in self.judge.sentences(state, self._scan):
                        say(f"        {sentence}")
            progress = Progress(phase=number + 1)
            self.checkpoints.save(state, progress)
        return state

    def close(self) -> None:
        try:
            self.checkpoints.close()
        finally:
            if self.writer is not None:
                self.writer.close()

    def _begin(self, phases: list[Phase]) -> tuple[TrainState, Progress]:
        """Where the run's checkpoint stands, else by `config.init_from`, else at the start."""
        state = self._initial_state()
        restored = self.checkpoints.restore(state)
        if restored is not None:
            state, progress = restored
            self.folder.rewind(progress.rows)
            say(f"resuming {self.folder.path} at step {int(state.step)}")
            return self.devices.replicate(state), progress
        self.folder.rewind(0)
        progress = Progress(phase=first_phase(self.config, phases))
        if not self.config.init_from:
            return self.devices.replicate(state), progress
        start = warm_start(self.config, state.variables, state.aux)
        require_same_data(self.config, self.dataset.info)
        say(start.said)
        state = state._replace(variables=start.variables, aux=start.aux)
        state = self.devices.replicate(state)
        self.checkpoints.save(state, progress)  # the other run is needed no more
        return state, progress

    def _initial_state(self) -> TrainState:
        source = self.dataset.source(self.config.data.stage_one)
        batches = evaluation_batches(
            source,
            image_size=self.config.image_size,
            batch_size=2,
            slots=self.dataset.info.max_objects,
            threads=0,
        )
        batch = next(iter(batches))
        variables, aux = initialize(self.method, jax.random.fold_in(self.key, 0), batch)
        optimizers = {
            name: optimizer.init(variables["params"]) for name, optimizer in self.optimizers.items()
        }
        return TrainState(variables, optimizers, aux, np.zeros((), np.int32))

    def _phase(self, state: TrainState, phase: Phase, progress: Progress, place: str) -> TrainState:
        if phase.refresh is not None and not progress.refreshed:
            say(f"[{place}] {phase.name}: refresh")
            self.time_left.begin()
            key = jax.random.fold_in(self.key, 1_000_000 + progress.phase)
            state = phase.refresh(state, self._scan, key)
            state = self.devices.replicate(state)
            self.time_left.refreshed()
            self._log_agreement(state)
            progress.refreshed = True
            if self.stop():
                self.checkpoints.save(state, progress)
                raise self.stop.interrupted(f"stopped at step {int(state.step)}")
        if phase.aux:
            state = self.devices.replicate(phase.prepared(state))
        while progress.epoch < phase.epochs:
            state, row, seconds = self.epochs.run(state, phase, progress, place)
            row["steps"] = (progress.epoch + 1) * self._steps(phase.split)
            if phase.check is not None and due(progress.history, row["steps"]):
                row["validation"] = phase.check(state, self._scan)
            self._log_epoch(state, phase, progress, place, row, seconds)
            progress.history.append(row)
            progress.epoch += 1
            if phase.stop is not None and phase.stop(progress.history):
                break
            if progress.epoch < phase.epochs:
                self.checkpoints.save(state, progress)
        return state

    def _log_epoch(
        self,
        state: TrainState,
        phase: Phase,
        progress: Progress,
        place: str,
        row: dict[str, float],
        seconds: float,
    ) -> None:
        words = [f"{name} {row[name]:.3f}" for name in _SAID if name in row]
        if skipped := row.get("skipped"):
            words.append(f"{skipped} step{'' if skipped == 1 else 's'} skipped")
        words.append(f"took {spell(seconds)}")
        done = (progress.epoch + 1) * self._steps(phase.split)
        left = self.time_left.left(progress.phase, done)
        if left is not None and left[1] >= 1:
            words.append(f"about {spell(left[1])} of the run left")
        say(f"[{place}] {phase.name} {progress.epoch + 1}/{phase.epochs}: {', '.join(words)}")
        self.writer.write_epoch(
            {
                "phase": phase.name,
                "epoch": progress.epoch + 1,
                "step": int(state.step),
                "seconds": round(seconds, 2),
                "time": _now(),
                **row,
            }
        )

    def _steps(self, split: str) -> int:
        """Steps of an epoch."""
        return len(self.dataset.source(split)) // self.config.batch_size

    def _scan(self, f: Callable[..., Any], state: TrainState, split: str) -> Any:
        """See `avloc.types.Scan`."""
        maps = self.features.evaluation(split, state)
        return scan_split(f, state, self.dataset, split, self.config, self.devices, self.stop, maps)

    def _log_agreement(self, state: TrainState) -> None:
        """NMI of pseudo labels against true ones, for the log only."""
        labels = state.aux.get("labels")
        if labels is None or not self.dataset.info.class_names:
            return
        if not np.any(labels):  # nothing was clustered yet
            return
        truth = self.dataset.labels(self.config.data.stage_one)
        if len(np.unique(truth[truth >= 0])) < 2:  # any clusters would agree with one category
            return
        value = float(nmi(truth, np.asarray(labels)))
        say(f"        clusters against categories: NMI {value:.3f}")
        self.writer.write_epoch(
            {
                "phase": "clusters",
                "epoch": 0,
                "step": int(state.step),
                "time": _now(),
                "nmi": value,
            }
        )


def _now() -> float:
    return round(time.time(), 1)
