"""One epoch of a phase: batches in, steps taken, scalars out; saved and broken off in between."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.loader import training_batches
from avloc.data_pipelines.media.audio_views import SoundViews
from avloc.machine.devices import Devices
from avloc.machine.stopping import Stop
from avloc.progress import Bar, bar, say, spell
from avloc.runs.history import mean_of
from avloc.training.feature_cache import FeatureCache
from avloc.training.resuming import Checkpoints, Progress
from avloc.training.step import make_step
from avloc.training.time_left import TimeLeft
from avloc.types import Batch, Phase, TrainState

# The share is of the phase, not of the epoch.
_BAR = "{desc} {percentage:3.0f}%|{bar}| step {n_fmt}/{total_fmt}{postfix}"


class NonFiniteLoss(ValueError):
    """A loss is NaN or infinite."""


def skips_nonfinite(config: ConfigDict) -> bool:
    """Whether a step whose loss is not finite is skipped, and does not stop the run.

    Raises:
      ValueError: `config.on_nonfinite` says neither.
    """
    if config.on_nonfinite not in ("stop", "skip"):
        raise ValueError(f"config.on_nonfinite is 'stop' or 'skip', not {config.on_nonfinite!r}")
    return config.on_nonfinite == "skip"


class Epochs:
    """Runs epochs, of whatever phase.

    Args:
      config: the experiment.
      dataset: what it trains on.
      devices: where steps run.
      optimizers: by name.
      checkpoints: where an epoch is saved to, in its middle.
      key: seed key of the run's steps.
      stop: whether the run is asked to stop.
      time_left: learns the pace of the steps, and tells what is left by it.
      features: maps of a frozen backbone.
    """

    def __init__(
        self,
        config: ConfigDict,
        dataset: Dataset,
        devices: Devices,
        optimizers: dict[str, optax.GradientTransformation],
        checkpoints: Checkpoints,
        key: jax.Array,
        stop: Stop,
        time_left: TimeLeft,
        features: FeatureCache,
    ):
        self._config = config
        self._dataset = dataset
        self._devices = devices
        self._optimizers = optimizers
        self._checkpoints = checkpoints
        self._key = key
        self._stop = stop
        self._time_left = time_left
        self._features = features
        self._sound = SoundViews(**config.sound_views)
        self._skips = skips_nonfinite(config)
        self._steps: dict[tuple[Any, str], Callable[..., Any]] = {}

    def run(
        self, state: TrainState, phase: Phase, progress: Progress, place: str
    ) -> tuple[TrainState, dict[str, float], float]:
        """An epoch from where `progress` stands, to its end.

        Returns:
          The state, the mean of each scalar over the steps, and the seconds it took. Where steps
          may be skipped, `skipped` counts them, and the means are over the others.

        Raises:
          Interrupted: asked to stop; it was saved.
          NonFiniteLoss: with the step and the batch's example ids; or no step was left.
        """
        step = self._step(phase)
        source = self._dataset.source(phase.split)
        following = self._dataset.following(phase.split) if self._sound.offset else ()
        batches = training_batches(
            source,
            image_size=self._config.image_size,
            batch_size=self._config.batch_size,
            seed=_seed(self._config.seed, progress.phase, progress.epoch),
            zoom_out=phase.zoom_out,
            draw_negatives=self._config.negatives == "drawn",
            sound=self._sound,
            following=following,
            maps=self._features.training(phase.split, phase.zoom_out, state),
            slots=self._dataset.info.max_objects,
            shard=self._devices.shard,
            threads=self._config.data.threads,
            workers=self._config.data.workers,
        )
        iterator = iter(batches)
        if progress.mid_epoch:
            self._checkpoints.restore_iterator(iterator)
        logs, progress.mid_epoch, progress.logs = list(progress.logs), False, []
        pending: deque[tuple[Batch, Any]] = deque()
        each = len(source) // self._config.batch_size
        earlier = progress.epoch * each
        shown = bar(
            f"[{place}] {phase.name} {progress.epoch + 1}/{phase.epochs}:",
            phase.epochs * each,
            "step",
            earlier + len(logs),
            shape=_BAR,
            told=False,
        )
        began = time.monotonic()
        self._time_left.begin()
        every, number = self._config.checkpoint_every, int(state.step)
        with shown as drawn:
            for batch in iterator:
                state, log = step(state, batch, self._key)
                number += 1
                pending.append((batch, log))
                drawn.update()
                # One step behind, so that the host waits for no step that still runs.
                if len(pending) > 1:
                    logs.append(self._settle(*pending.popleft(), phase, progress, drawn, len(logs)))
                if self._stop(number):
                    self._save(state, progress, logs, pending, iterator, phase, drawn)
                    raise self._stop.interrupted(f"stopped at step {number}")
                if len(logs) % every == every - 1:
                    self._save(state, progress, logs, pending, iterator, phase, drawn)
            while pending:
                logs.append(self._settle(*pending.popleft(), phase, progress, drawn, len(logs)))
        seconds = time.monotonic() - began
        good = [log for log in logs if "skipped" not in log]
        if logs and not good:
            raise NonFiniteLoss(
                f"every step of epoch {progress.epoch + 1} of phase {phase.name} was skipped, as "
                "no loss was finite: the checkpoint before it is kept"
            )
        row = mean_of(good)
        if self._skips:
            row["skipped"] = len(logs) - len(good)
        return state, row, seconds

    def _settle(
        self,
        batch: Batch,
        log: Any,
        phase: Phase,
        progress: Progress,
        drawn: Bar,
        count: int,
    ) -> Any:
        """The step's scalars on the host, `skipped` alone of one that changed nothing."""
        values = {name: float(value) for name, value in jax.device_get(log).items()}
        self._time_left.stepped(phase)
        bad = [name for name in ("loss", "gradient_norm") if not np.isfinite(values[name])]
        if bad:
            source = self._dataset.source(phase.split)
            ids = ", ".join(source[int(i)]["id"].decode() for i in batch.index)
            if self._skips:
                say(f"        skipped step {count + 1}: its {bad[0]} is not finite: {ids}")
                return {"skipped": 1.0}
            raise NonFiniteLoss(
                f"the {bad[0]} of phase {phase.name} is {values[bad[0]]} at its step {count + 1}; "
                f"the last good checkpoint is kept; examples: {ids}"
            )
        if count % self._config.log_every == 0:
            drawn.note(f"loss {values['loss']:.3f}{self._left(progress, drawn.done)}")
        return values

    def _left(self, progress: Progress, done: int) -> str:
        """What is left of the phase and of the run, in words; empty where nobody knows."""
        left = self._time_left.left(progress.phase, done)
        if left is None:
            return ""
        return f", left: phase {spell(left[0])}, run {spell(left[1])}"

    def _save(
        self,
        state: TrainState,
        progress: Progress,
        logs: list[Any],
        pending: deque[tuple[Batch, Any]],
        iterator: Any,
        phase: Phase,
        drawn: Bar,
    ) -> None:
        while pending:
            logs.append(self._settle(*pending.popleft(), phase, progress, drawn, len(logs)))
        progress.mid_epoch, progress.logs = True, list(logs)
        self._checkpoints.save(state, progress, iterator)
        progress.mid_epoch, progress.logs = False, []

    def _step(self, phase: Phase) -> Callable[..., Any]:
        kind = phase.loss, phase.optimizer
        if kind not in self._steps:
            step = make_step(
                phase, self._optimizers[phase.optimizer], self._devices.axis_name, self._skips
            )
            self._steps[kind] = self._devices.compile_step(step)
        return self._steps[kind]


def _seed(*numbers: int) -> int:
    """One 32-bit seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
