"""Maps of a frozen visual backbone, computed once and kept on disk beside the data set.

A step then costs what is learnt alone. Some random views of each item are stored; training draws
among them. What has been stored is kept when a run is stopped, and shared by all runs with the same
data, backbone, weights and views.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.loader import view_batches
from avloc.data_pipelines.records.stored_maps import StoredMaps
from avloc.machine.devices import Devices
from avloc.machine.stopping import Stop
from avloc.progress import bar
from avloc.runs.folder import write_atomically
from avloc.types import Batch, Looks, Method, TrainState

FOLDER = "features"

_BATCH = 32
_SPARE = 2**30  # bytes of the disk that stay free
_LARGEST = 6e4  # of float16, nearly


# Number of views, share of shrunk ones, height and width.
_View = tuple[int, float, tuple[int, int]]


class FeatureCache:
    """The stored maps of a run's splits; none where its config asks for none.

    Args:
      config: the experiment; `config.stored_views` is the number of views of an item.
      dataset: what it trains on.
      method: whose backbone it is.
      devices: where the backbone runs.
      stop: whether the run is asked to stop.
    """

    def __init__(
        self,
        config: ConfigDict,
        dataset: Dataset,
        method: Method,
        devices: Devices,
        stop: Stop | Callable[[], bool],
    ):
        self._config, self._dataset, self._stop = config, dataset, stop
        self._views = config.stored_views
        self._look: Callable[..., Any] | None = None
        if self._views and devices.shard[1] == 1:
            if "visual" not in config.model.frozen or not isinstance(method, Looks):
                raise ValueError(
                    "config.stored_views is for backbones that stand still: set "
                    "--config.model.frozen=\"('visual',)\" or --config.stored_views=0"
                )
            self._look = devices.scan_fn(method.look)
        self._put, self._even = devices.put, devices.even(_BATCH)
        self._weights = ""
        self._known: dict[Any, StoredMaps] = {}

    def training(self, split: str, zoom_out: float, state: TrainState) -> StoredMaps | None:
        """Random views of a split's items, as `training_view` makes them."""
        return self._maps(split, self._views, zoom_out, self._config.image_size, state)

    def evaluation(
        self, split: str, state: TrainState, size: int | tuple[int, int] | None = None
    ) -> StoredMaps | None:
        """The evaluation view of a split's items, of `config.image_size` unless said."""
        return self._maps(split, 0, 0.0, size or self._config.image_size, state)

    def _maps(
        self,
        split: str,
        views: int,
        zoom_out: float,
        size: int | tuple[int, int],
        state: TrainState,
    ) -> StoredMaps | None:
        if self._look is None:
            return None
        view = (views, zoom_out, (size, size) if isinstance(size, int) else tuple(size))
        if (split, view) not in self._known:
            folder = self._folder(split, view, state)
            made = folder / "maps.npy"
            if not made.is_file():
                self._fill(folder, split, view, state)
            self._known[split, view] = StoredMaps(made)
        return self._known[split, view]

    def _folder(self, split: str, view: _View, state: TrainState) -> Path:
        """Named by everything that the maps depend on."""
        self._weights = self._weights or _digest(state)
        parts = {
            "data": self._dataset.info.fingerprint,
            "split": split,
            "changes": [self._config.data.missing_categories, self._config.data.noise],
            "backbone": self._config.model.visual,
            "weights": self._weights,
            "precision": self._config.precision,
            "views, zoom_out, size": view,
        }
        name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
        folder = self._dataset.folder / FOLDER / f"{split}_{name}"
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "of.json", json.dumps(parts, indent=2) + "\n")
        return folder

    def _fill(self, folder: Path, split: str, view: _View, state: TrainState) -> None:
        source, (views, zoom_out, size) = self._dataset.source(split), view
        total = len(source) * max(1, views)
        growing, told = folder / f"maps.{os.getpid()}.part", folder / "done.json"
        maps, done = self._growing(folder, told, (len(source), max(1, views)), size, state)
        flat = maps.reshape(total, *maps.shape[2:])
        batches = view_batches(
            source,
            image_size=size if views == 0 else size[0],
            batch_size=self._even,
            views=views,
            seed=0,  # runs of other seeds share the views
            zoom_out=zoom_out,
            first=done,
            threads=self._config.data.threads,
        )
        with bar(f"features of {split}", total, "picture", done) as drawn:
            for pictures in batches:
                found = self._look(state.variables, state.aux, self._put(_batch(pictures)))
                found = np.clip(found, -_LARGEST, _LARGEST)[: total - done]
                flat[done : done + len(found)] = found
                done += len(found)
                drawn.update(len(found))
                if self._stop():
                    maps.flush()
                    write_atomically(told, json.dumps({"done": done}) + "\n")
                    raise self._stop.interrupted("stopped while features were stored")
        maps.flush()
        del maps, flat
        growing.rename(folder / "maps.npy")
        told.unlink(missing_ok=True)

    def _growing(
        self,
        folder: Path,
        told: Path,
        counts: tuple[int, int],
        size: tuple[int, int],
        state: TrainState,
    ) -> tuple[np.memmap, int]:
        """A file of the right size under this process's name, and how much of it is filled."""
        growing = folder / f"maps.{os.getpid()}.part"
        earlier = sorted(folder.glob("maps.*.part"))
        if told.is_file() and earlier:
            # The name says whose it is: another process that fills the same takes its own.
            earlier[0].rename(growing)
            return np.lib.format.open_memmap(growing, "r+"), json.loads(told.read_text())["done"]
        blank = self._put(_batch(np.zeros((self._even, *size, 3), np.uint8)))
        shape = (*counts, *self._look(state.variables, state.aux, blank).shape[1:])
        needed = 2 * int(np.prod(shape))
        if shutil.disk_usage(folder).free < needed + _SPARE:
            raise ValueError(
                f"{folder} has no room for {needed / 2**30:.1f} GiB of features: lower "
                "--config.stored_views, or set it to 0 to compute them in every step"
            )
        return np.lib.format.open_memmap(growing, "w+", np.float16, shape), 0


def _batch(pictures: np.ndarray) -> Batch:
    return Batch.of(pictures, np.zeros((len(pictures), 0), np.int16))


def _digest(state: TrainState) -> str:
    """Of the backbone's parameters and statistics."""
    known = hashlib.sha256()
    for kind in ("params", "batch_stats"):
        tree = state.variables[kind].get("visual", {})
        for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]:
            known.update(jax.tree_util.keystr(path).encode())
            known.update(np.ascontiguousarray(x).tobytes())
    return known.hexdigest()
