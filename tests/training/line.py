"""A method small enough to compile at once: it fits a number to the mean colour."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from avloc.configs.csol import base
from avloc.machine.devices import gather
from avloc.machine.stopping import Stop
from avloc.runs.folder import RunFolder
from avloc.training import loop
from avloc.training.methods import METHODS
from avloc.types import LossOutput, Phase, TrainState
from tests.records import make_dataset, make_records

TRAIN, SCENES, BATCH = 10, 12, 4


def colours(variables, aux, batch):
    """Mean colour of each image, to be scanned."""
    return batch.image.mean(axis=(1, 2))


class Line:
    """`(trunk + head) . colour` is fitted to noise that follows the step's key."""

    def __init__(self, config: ConfigDict, info, axis_name=None):
        self.info, self.axis_name = info, axis_name

    def init(self, key, batch):
        params = {"trunk": {"w": jax.random.normal(key, (3,))}, "head": {"w": jnp.zeros(3)}}
        variables = {"params": params, "batch_stats": {"mean": jnp.zeros(3)}}
        labels = jnp.zeros(self.info.num_examples["train"], jnp.int32)
        return variables, {"labels": labels, "target": jnp.zeros(())}

    def loss(self, variables, aux, batch, key):
        colour = gather(batch.image.mean(axis=(1, 2)) / 255, self.axis_name)
        params = variables["params"]
        seen = colour @ (params["trunk"]["w"] + params["head"]["w"])
        wanted = aux["target"] + jax.random.uniform(key, seen.shape)
        stats = {"mean": 0.9 * variables["batch_stats"]["mean"] + 0.1 * colour.mean(axis=0)}
        loss = jnp.mean((seen - wanted) ** 2)
        return loss, LossOutput(stats, {"seen": seen.mean()})

    def poisoned(self, variables, aux, batch, key):
        """Not a number from a batch with item 5."""
        loss, out = self.loss(variables, aux, batch, key)
        return jnp.where((batch.index == 5).any(), jnp.nan, loss), out

    def relabel(self, state: TrainState, scan, key) -> TrainState:
        rows = scan(colours, state, "train")
        aux = {"labels": rows.argmax(axis=-1), "target": jax.random.uniform(key)}
        return state._replace(aux=aux)

    def phases(self) -> Iterator[Phase]:
        yield Phase("first", "train", 2, "localization", self.loss)
        yield Phase("second", "train", 2, "classification", self.loss, refresh=self.relabel)
        yield Phase(
            "mark", "train", 0, "localization", self.loss, self.relabel, checkpoint_name="stage_one"
        )
        yield Phase("third", "scenes", 1, "matching", self.loss, checkpoint_name="stage_two")


def settings(**fields) -> ConfigDict:
    """A config of `Line`; `fields` are set at its top."""
    config = base()
    config.method = "line"
    config.data.update(dict(name="records", stage_two="scenes", threads=1))
    config.update(dict(image_size=8, batch_size=BATCH) | fields)
    for spec in config.optimizers.values():
        spec.learning_rates = ConfigDict({"default": 0.01})
    return config


class Bench:
    """Trains `Line` in a folder, whole or in pieces."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.monkeypatch = folder, monkeypatch
        self.dataset = make_dataset(
            train=make_records(TRAIN), scenes=make_records(SCENES, videos=2)
        )
        self.run: RunFolder | None = None

    def train(
        self,
        name: str = "run",
        method: type = Line,
        stop: Callable[[], bool] | None = None,
        config: ConfigDict | None = None,
    ) -> TrainState:
        """Trains the run of this name; `stop` stands in for the user's signals."""
        self.monkeypatch.setitem(METHODS, "line", method)
        config = settings() if config is None else config
        if self.run is not None:
            self.run.release()  # as the end of its process does
        self.run = RunFolder(self.folder / name)
        self.run.open_for_training(config)
        with self.monkeypatch.context() as patch:
            if stop is not None:
                patch.setattr(loop, "signals", lambda: Given(stop))
            return loop.train(config, self.run, self.dataset)

    def rows(self) -> list[dict]:
        """History of the last run, without times."""
        drop = ("time", "seconds")
        return [{k: v for k, v in row.items() if k not in drop} for row in self.run.epochs()]


class Given:
    """Stands in for the context of the signal handlers."""

    def __init__(self, stop):
        self.stop = type("Given", (Stop,), {"__call__": lambda self, step=None: stop()})()

    def __enter__(self):
        return self.stop

    def __exit__(self, *error):
        return False


def after(calls: int, do: Callable[[], bool] = lambda: True) -> Callable[[], bool]:
    """False for the first `calls` calls, then what `do` gives."""
    left = iter(range(calls))
    return lambda: next(left, None) is None and do()
