"""Maps of a frozen visual backbone, computed once and kept on disk beside the data set.

A step then costs what is learnt alone. Some random views of each item are stored; training draws
among them. What has been stored is kept when a run is stopped, and shared by all runs with the same
data, backbone, weights and views. Where the data set's folder cannot be written, they are kept in
the run's.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.loader import view_batches
from avloc.data_pipelines.records.stored_maps import StoredMaps
from avloc.machine.devices import Devices
from avloc.machine.stopping import Stop
from avloc.progress import bar, say
from avloc.runs.folder import write_atomically
from avloc.training.bounds import noise_split
from avloc.training.growing_maps import MAPS, GrowingMaps
from avloc.types import Batch, Looks, Method, TrainState

FOLDER = "features"

# Of what is stored: another number where today's views of an item are no longer those of before.
_VERSION = 2
_BATCH = 32
_WAIT = 0.2  # seconds between two looks at what another process does


class View(NamedTuple):
    """Which views of an item are stored.

    Attributes:
      count: random ones; 0: that of evaluation.
      zoom_out: share of random views that are shrunk.
      size: height and width.
    """

    count: int
    zoom_out: float
    size: tuple[int, int]


class FeatureCache:
    """The stored maps of a run's splits; none where its config asks for none.

    Args:
      config: the experiment; `config.stored_views` is the number of views of an item.
      dataset: what it trains on.
      method: whose backbone it is.
      devices: where the backbone runs.
      stop: whether the run is asked to stop.
      spare: folder for them where that of the data set cannot be written.

    Raises:
      ValueError: see `require_still`.
    """

    def __init__(
        self,
        config: ConfigDict,
        dataset: Dataset,
        method: Method,
        devices: Devices,
        stop: Stop | Callable[[], bool],
        spare: Path,
    ):
        require_still(config, method)
        self._config, self._dataset, self._stop, self._spare = config, dataset, stop, spare
        self._method = method
        self._look: Callable[..., Any] | None = None
        if config.stored_views and devices.shard[1] == 1:
            self._look = devices.scan_fn(method.look)
        self._put, self._even = devices.put, devices.even(_BATCH)
        self._weights = ""
        self._known: dict[Any, StoredMaps] = {}

    def training(self, split: str, zoom_out: float, state: TrainState) -> StoredMaps | None:
        """Random views of a split's items, as `training_view` makes them."""
        side = self._config.image_size
        return self._maps(split, View(self._config.stored_views, zoom_out, (side, side)), state)

    def evaluation(
        self, split: str, state: TrainState, size: tuple[int, int] | None = None
    ) -> StoredMaps | None:
        """The evaluation view of a split's items, `config.image_size` on a side unless said."""
        return self._maps(split, View(0, 0.0, size or (self._config.image_size,) * 2), state)

    def _maps(self, split: str, view: View, state: TrainState) -> StoredMaps | None:
        if self._look is None:
            return None
        if (split, view) not in self._known:
            parts = self._parts(split, view, state)
            name, earlier = (
                f"{split}_{view.count or 'whole'}_{_digest_of({**parts, 'data': data})}"
                # The second is what an earlier avloc named them by.
                for data in (parts["data"], self._dataset.info.stored)
            )
            found = self._found(name, split, view.count) or self._found(earlier, split, view.count)
            self._known[split, view] = found or self._made(name, parts, split, view, state)
        return self._known[split, view]

    def _parts(self, split: str, view: View, state: TrainState) -> dict[str, Any]:
        """Everything that the maps depend on."""
        self._weights = self._weights or _digest(state)
        config, data = self._config, self._config.data
        changes = []
        if split == data.stage_one:  # see `imperfect`
            changes = [data.missing_categories, data.noise]
            changes += [config.seed, noise_split(config)] if data.noise else []
        return {
            "version": _VERSION,
            "data": self._dataset.info.fingerprint,
            "split": split,
            "changes": changes,
            "backbone": config.model.visual,
            "stem_pool": config.model.stem_pool,  # the one choice that weights do not show
            "weights": self._weights,
            "precision": config.precision,
            **view._asdict(),
        }

    def _roots(self) -> tuple[Path, Path]:
        return self._dataset.folder / FOLDER, self._spare

    def _found(self, name: str, split: str, views: int) -> StoredMaps | None:
        """Complete ones; a file that is cut off, as a copy can be, is none."""
        for root in self._roots():
            try:
                maps = StoredMaps(root / name / MAPS)
            except (OSError, ValueError):
                continue
            if (len(maps), maps.views) == (len(self._dataset.source(split)), max(1, views)):
                return maps
        return None

    def _made(
        self,
        name: str,
        parts: dict[str, Any],
        split: str,
        view: View,
        state: TrainState,
    ) -> StoredMaps:
        with self._own(name) as folder:
            # Another process may have made them while this one waited.
            found = self._found(name, split, view.count)
            if found is None:
                write_atomically(folder / "of.json", json.dumps(parts, indent=2) + "\n")
                self._fill(folder, split, view, state)
        return found or StoredMaps(folder / MAPS)

    @contextmanager
    def _own(self, name: str) -> Iterator[Path]:
        """The first folder of that name that can be written, for this process alone."""
        said = []
        for root in self._roots():
            folder = root / name
            try:
                folder.mkdir(parents=True, exist_ok=True)
                lock = (folder / ".lock").open("w")
                self._wait(lock, folder)
            except OSError as error:
                said.append(f"{root} ({error.strerror})")
                continue
            with lock:
                if said:
                    say(f"features are stored in {root}, as {said[0]} cannot be written")
                yield folder
            return
        raise ValueError(
            f"features can be stored in neither {' nor '.join(said)}: make one writable, or set "
            "--config.stored_views=0"
        )

    def _wait(self, lock: Any, folder: Path) -> None:
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if not told:
                    say(f"another process stores features in {folder}: waiting for it")
                told = True
                if self._stop():
                    raise self._stop.interrupted("stopped before features were stored") from None
                time.sleep(_WAIT)

    def _fill(self, folder: Path, split: str, view: View, state: TrainState) -> None:
        source = self._dataset.source(split)
        blank = _batch(np.zeros((self._even, *view.size, 3), np.uint8))
        one = jax.eval_shape(self._method.look, state.variables, state.aux, blank)
        growing = GrowingMaps(folder, (len(source), max(1, view.count), *one.shape[1:]))
        batches = view_batches(
            source,
            image_size=view.size,
            batch_size=self._even,
            views=view.count,
            seed=0,  # runs of other seeds share the views
            zoom_out=view.zoom_out,
            first=growing.done,
            threads=self._config.data.threads,
        )
        shown = bar(f"features of {split}", growing.total, "picture", growing.done)
        try:
            with shown as drawn:
                for pictures in batches:
                    found = self._look(state.variables, state.aux, self._put(_batch(pictures)))
                    found = found[: growing.total - growing.done]
                    growing.append(found)
                    drawn.update(len(found))
                    if self._stop():
                        growing.note()
                        raise self._stop.interrupted("stopped while features were stored")
            growing.finish()
        finally:
            growing.close()


def require_still(config: ConfigDict, method: Method) -> None:
    """Refuses to store maps that would not be those of every step.

    Raises:
      ValueError: the visual backbone is trained, or cannot be run alone, or the loader draws
        negatives, of which no maps are stored.
    """
    if not config.stored_views:
        return
    if "visual" not in config.model.frozen or not isinstance(method, Looks):
        raise ValueError(
            "config.stored_views is for backbones that stand still: set "
            "--config.model.frozen=\"('visual',)\" or --config.stored_views=0"
        )
    if config.negatives == "drawn":
        raise ValueError(
            "config.stored_views holds no maps of drawn negatives: set "
            "--config.negatives=in_batch or --config.stored_views=0"
        )


def _batch(pictures: np.ndarray) -> Batch:
    return Batch.of(pictures, np.zeros((len(pictures), 0), np.int16))


def _digest_of(parts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _digest(state: TrainState) -> str:
    """Of the backbone's parameters and statistics."""
    known = hashlib.sha256()
    for kind in ("params", "batch_stats"):
        tree = state.variables[kind].get("visual", {})
        for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]:
            known.update(f"{jax.tree_util.keystr(path)} {x.dtype}{list(x.shape)}".encode())
            known.update(np.ascontiguousarray(x).tobytes())
    return known.hexdigest()
