"""The one training loop, for every method."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from clu import parameter_overview
from ml_collections import ConfigDict
from tqdm import tqdm

from avloc.clustering.agreement import nmi
from avloc.training.checkpoints import Checkpoints, Progress, record_info, save_stage
from avloc.training.devices import Devices
from avloc.training.methods import create
from avloc.training.optimizers import make_optimizer
from avloc.training.run_folder import RunFolder, Writer, mean_of, write_atomically
from avloc.training.step import make_step
from avloc.training.warm_start import first_phase, warm_start
from avloc.types import Batch, Phase, TrainState
from data_pipelines.dataset import Dataset
from data_pipelines.loader import evaluation_batches, shard_size, training_batches


class Interrupted(Exception):
    """The user or the machine asked the run to stop; it was saved and can be resumed."""


class NonFiniteLoss(ValueError):
    """A loss is NaN or infinite."""


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
    trainer = _Trainer(config, run, dataset)
    with _signals() as stop:
        try:
            return trainer.run(stop)
        finally:
            trainer.close()
            run.release()


class _Trainer:
    def __init__(self, config: ConfigDict, run: RunFolder, dataset: Dataset):
        self.config = config
        self.folder = run
        self.dataset = dataset
        self.devices = Devices(config.parallel)
        self.batch_size = self.devices.local_batch_size(config.batch_size)
        self.method = create(config, dataset.info, self.devices.axis_name)
        self.optimizers = {name: make_optimizer(spec) for name, spec in config.optimizers.items()}
        self.key = jax.random.key(config.seed)
        self.steps: dict[str, Callable[..., Any]] = {}
        record_info(run, dataset.info)
        self.checkpoints = Checkpoints(run)
        self.writer = Writer(run)

    def run(self, stop: Callable[[], bool]) -> TrainState:
        self.stop = stop
        phases = list(self.method.phases())
        state, progress = self._begin(phases)
        overview = parameter_overview.get_parameter_overview(
            state.variables["params"], include_stats=False
        )
        write_atomically(self.folder.path / "parameters.txt", overview + "\n")
        for number, phase in enumerate(phases):
            if number < progress.phase:
                continue
            state = self._phase(state, phase, progress, f"{number + 1}/{len(phases)}")
            if phase.checkpoint_name:
                save_stage(self.folder, phase.checkpoint_name, state)
            progress = Progress(phase=number + 1)
            self.checkpoints.save(state, progress)
        return state

    def close(self) -> None:
        self.checkpoints.close()
        self.writer.close()

    def _begin(self, phases: list[Phase]) -> tuple[TrainState, Progress]:
        """Where the run's checkpoint stands, else behind another run's stage, else at the start."""
        state = self._initial_state()
        restored = self.checkpoints.restore(state)
        if restored is not None:
            state, progress = restored
            self.folder.rewind(progress.rows)
            tqdm.write(f"resuming {self.folder.path} at step {int(state.step)}")
            return self.devices.replicate(state), progress
        progress = Progress(phase=first_phase(self.config, phases))
        if not self.config.init_from:
            return self.devices.replicate(state), progress
        start = warm_start(self.config, state.variables, state.aux)
        words = f"; fresh, as it has none: {', '.join(start.fresh)}" if start.fresh else ""
        tqdm.write(f"starting after {self.config.init_from}{words}")
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
        variables, aux = jax.jit(self.method.init)(jax.random.fold_in(self.key, 0), batch)
        optimizers = {
            name: optimizer.init(variables["params"]) for name, optimizer in self.optimizers.items()
        }
        return TrainState(variables, optimizers, aux, np.zeros((), np.int32))

    def _phase(self, state: TrainState, phase: Phase, progress: Progress, place: str) -> TrainState:
        if phase.refresh is not None and not progress.refreshed:
            tqdm.write(f"[{place}] {phase.name}: refresh")
            key = jax.random.fold_in(self.key, 1_000_000 + progress.phase)
            state = phase.refresh(state, self._scan, key)
            state = self.devices.replicate(state)
            self._log_agreement(state)
            progress.refreshed = True
        while progress.epoch < phase.epochs:
            state, row = self._epoch(state, phase, progress, place)
            progress.history.append(row)
            progress.epoch += 1
            if phase.stop is not None and phase.stop(progress.history):
                break
            if progress.epoch < phase.epochs:
                self.checkpoints.save(state, progress)
        return state

    def _epoch(
        self, state: TrainState, phase: Phase, progress: Progress, place: str
    ) -> tuple[TrainState, dict[str, float]]:
        step = self._step(phase)
        source = self.dataset.source(phase.split)
        batches = training_batches(
            source,
            image_size=self.config.image_size,
            batch_size=self.batch_size,
            seed=_seed(self.config.seed, progress.phase, progress.epoch),
            zoom_out=phase.zoom_out,
            draw_negatives=self.config.negatives == "drawn",
            slots=self.dataset.info.max_objects,
            shard=self.devices.shard,
            threads=self.config.data.threads,
            workers=self.config.data.workers,
        )
        iterator = iter(batches)
        if progress.mid_epoch:
            self.checkpoints.restore_iterator(iterator)
        logs, progress.mid_epoch, progress.logs = list(progress.logs), False, []
        pending: deque[tuple[Batch, Any]] = deque()
        bar = tqdm(
            total=shard_size(len(source), self.devices.shard) // self.batch_size,
            initial=len(logs),
            desc=f"[{place}] {phase.name} {progress.epoch + 1}/{phase.epochs}",
            unit="step",
            leave=False,
        )
        with bar:
            for batch in iterator:
                state, log = step(state, batch, self.key)
                pending.append((batch, log))
                bar.update()
                # One step behind, so that the host waits for no step that still runs.
                if len(pending) > 1:
                    logs.append(self._settle(*pending.popleft(), phase, bar, len(logs)))
                if self.stop():
                    self._save_mid_epoch(state, progress, logs, pending, iterator, phase, bar)
                    raise Interrupted(f"stopped at step {int(state.step)}")
                if len(logs) % self.config.checkpoint_every == self.config.checkpoint_every - 1:
                    self._save_mid_epoch(state, progress, logs, pending, iterator, phase, bar)
            while pending:
                logs.append(self._settle(*pending.popleft(), phase, bar, len(logs)))
            seconds = bar.format_dict["elapsed"]
        row = mean_of(logs)
        text = "  ".join(f"{name} {value:.3f}" for name, value in row.items())
        tqdm.write(f"[{place}] {phase.name} {progress.epoch + 1}/{phase.epochs}  {text}")
        self.writer.write_epoch(
            {
                "phase": phase.name,
                "epoch": progress.epoch + 1,
                "step": int(state.step),
                "seconds": round(seconds, 2),
                "time": round(time.time(), 1),
                **row,
            }
        )
        return state, row

    def _settle(self, batch: Batch, log: Any, phase: Phase, bar: tqdm, count: int) -> Any:
        """The step's scalars on the host; stops the run where the loss is not finite."""
        values = {name: float(value) for name, value in jax.device_get(log).items()}
        bad = [name for name in ("loss", "gradient_norm") if not np.isfinite(values[name])]
        if bad:
            source = self.dataset.source(phase.split)
            ids = ", ".join(source[int(i)]["id"].decode() for i in batch.index)
            raise NonFiniteLoss(
                f"the {bad[0]} of phase {phase.name} is {values[bad[0]]} at its step {count + 1}; "
                f"the last good checkpoint is kept; examples: {ids}"
            )
        if count % self.config.log_every == 0:
            bar.set_postfix(loss=f"{values['loss']:.3f}")
        return values

    def _save_mid_epoch(
        self,
        state: TrainState,
        progress: Progress,
        logs: list[Any],
        pending: deque[tuple[Batch, Any]],
        iterator: Any,
        phase: Phase,
        bar: tqdm,
    ) -> None:
        while pending:
            logs.append(self._settle(*pending.popleft(), phase, bar, len(logs)))
        progress.mid_epoch, progress.logs = True, list(logs)
        self.checkpoints.save(state, progress, iterator)
        progress.mid_epoch, progress.logs = False, []

    def _step(self, phase: Phase) -> Callable[..., Any]:
        if phase.name not in self.steps:
            step = make_step(phase, self.optimizers[phase.optimizer], self.devices.axis_name)
            self.steps[phase.name] = self.devices.compile_step(step)
        return self.steps[phase.name]

    def _scan(self, f: Callable[..., Any], state: TrainState, split: str) -> Any:
        """See `avloc.types.Scan`."""
        return scan_split(f, state, self.dataset, split, self.config, self.devices, self.stop)

    def _log_agreement(self, state: TrainState) -> None:
        """NMI of pseudo labels against true ones, for the log only."""
        labels = state.aux.get("labels")
        if labels is None or not self.dataset.info.class_names:
            return
        truth = self.dataset.labels(self.config.data.stage_one)
        value = float(nmi(truth, np.asarray(labels)))
        tqdm.write(f"        clusters against categories: NMI {value:.3f}")
        self.writer.write_epoch(
            {"phase": "clusters", "epoch": 0, "step": int(state.step), "nmi": value}
        )


def scan_split(
    f: Callable[..., Any],
    state: TrainState,
    dataset: Dataset,
    split: str,
    config: ConfigDict,
    devices: Devices,
    stop: Callable[[], bool] = lambda: False,
) -> Any:
    """`f` over a split: the rows of real items, stacked in the order of their index."""
    call, count = devices.scan_fn(f), len(dataset.source(split))
    batches = evaluation_batches(
        dataset.source(split),
        image_size=config.image_size,
        batch_size=devices.local_batch_size(config.batch_size),
        slots=dataset.info.max_objects,
        shard=devices.shard,
        threads=config.data.threads,
    )
    rows, places = [], []
    for batch in tqdm(batches, desc="features", unit="batch", leave=False):
        if stop():
            raise Interrupted("stopped between two phases")
        rows.append(call(state.variables, state.aux, batch))
        where = devices.to_host(devices.put((batch.index, batch.mask)))
        places.append(np.where(where[1], where[0], -1))
    order = np.concatenate(places)
    keep = np.flatnonzero(order >= 0)
    keep = keep[np.argsort(order[keep], kind="stable")]
    if len(keep) != count:
        raise RuntimeError(f"scanned {len(keep)} items of a split of {count}")
    return jax.tree.map(lambda *parts: np.concatenate(parts)[keep], *rows)


def _seed(*numbers: int) -> int:
    """One 32-bit seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


@contextmanager
def _signals() -> Iterator[Callable[[], bool]]:
    """Turns the first SIGINT or SIGTERM into a wish to stop; the second one is obeyed at once."""
    asked = False

    def ask(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        tqdm.write("stopping after this step; once more to stop at once")

    previous = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            previous[number] = signal.signal(number, ask)
        except ValueError:  # not the main thread: the caller handles signals
            break
    try:
        yield lambda: asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
