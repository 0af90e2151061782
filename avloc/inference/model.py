"""A trained run applied to pictures and sounds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int16, Shaped, UInt8
from ml_collections import ConfigDict

from avloc.clustering.assignment import CategoryMap
from avloc.inference.category_maps import by_category
from avloc.inference.exported import ExportedModel, is_export
from avloc.inference.items import items
from avloc.inference.localizer import Localizer
from avloc.inference.stems import Stems, stems_of
from avloc.training.bounds import LARGEST, SMALLEST
from avloc.training.loading import load_run
from avloc.training.methods import create, require
from avloc.types import Aux, Batch, DatasetInfo, Embedded, Embeds, Method, Separates, Variables


class Model(Localizer):
    """A method with what it learnt, ready to be applied. It can be copied and pickled."""

    def __init__(
        self,
        config: ConfigDict,
        method: Method,
        variables: Variables,
        aux: Aux,
        categories: CategoryMap,
        info: DatasetInfo | None = None,
        checkpoint: str = "",
        threshold: float | None = None,
    ) -> None:
        """See `load` for a run on disk.

        Args:
          config: of the run; `image_size` and `inference.sounding` are read.
          method: what was trained.
          variables: its Flax variables.
          aux: what it learnt without gradient.
          categories: the category of each of its clusters.
          info: of its data. A pickled model makes the method again of this and the config; without
            it the method is pickled too.
          checkpoint: where all this came from, for records.
          threshold: score from which on a category sounds; None: the configuration's.

        Raises:
          ValueError: a threshold that is not between 0 and 1.
        """
        super().__init__(checkpoint, threshold)
        self.config = config
        self.categories = categories
        self._method, self._info = method, info
        self._variables = jax.device_put(variables)
        self._aux = jax.device_put(aux)

        def shown(variables: Variables, aux: Aux, batch: Batch) -> tuple[Array, Array]:
            found = method.predict(variables, aux, batch)
            return by_category(categories, found.maps, found.scores, batch.waveform)

        self._shown = jax.jit(shown)

    def __reduce__(self) -> tuple[Callable[..., Model], tuple[Any, ...]]:
        arrays = jax.tree.map(np.asarray, (self._variables, self._aux))
        method = self._method if self._info is None else None
        parts = self.config, method, *arrays, self.categories, self._info, self.checkpoint
        return _remade, (*parts, self._threshold)

    @property
    def _told(self) -> str:
        data = self._info.name if self._info is not None and self._info.name else "unnamed data"
        return f"{self.config.get('method', type(self._method).__name__)} trained on {data}"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the categories; `object 3` and the like where the data had none."""
        return self.categories.names

    @property
    def image_size(self) -> int:
        """Side of the views that the network sees."""
        return self.config.inference.get("image_size") or self.config.image_size

    @property
    def _configured(self) -> float:
        return float(self.config.inference.sounding)

    def digest(self) -> str:
        """SHA-256 of configuration, categories and weights: equal exactly for equal models."""
        total = hashlib.sha256(self.config.to_json(sort_keys=True).encode())
        total.update(repr(self.categories).encode())
        leaves, _ = jax.tree_util.tree_flatten_with_path((self._variables, self._aux))
        for path, leaf in leaves:
            leaf = np.asarray(leaf)
            total.update(f"{jax.tree_util.keystr(path)}{leaf.dtype}{leaf.shape}".encode())
            total.update(leaf.tobytes())
        return total.hexdigest()

    def _predict(
        self, image: UInt8[np.ndarray, "B S S 3"], waveform: Int16[np.ndarray, "B T"]
    ) -> tuple[Float[Array, "B h w N"], Float[Array, "B N"]]:
        return self._shown(self._variables, self._aux, Batch.of(image, waveform))

    def embed(
        self,
        image: UInt8[np.ndarray, "*B H W 3"],
        waveform: Shaped[np.ndarray, "*B T C"] | Shaped[np.ndarray, "*B T"],
        sample_rate: int,
    ) -> Embedded:
        """Where pictures and sounds lie in the space in which the method compares them.

        Arguments are those of `localize`, and are prepared as there.

        Returns:
          NumPy arrays: `cells`, `[h, w, D]`, and `sounds`, `[D]`, of unit length; with a leading B
          if the image had one.

        Raises:
          ValueError: a method that has no such space; arguments that `localize` refuses.
        """
        embed = self._embed
        image, sound, single = items(image, waveform, sample_rate)
        views, sounds = self._padded(image, sound)
        found = embed(self._variables, self._aux, Batch.of(views, sounds))
        return Embedded(*(np.array(x[0] if single else x[: len(image)]) for x in found))

    @cached_property
    def _embed(self) -> Callable[[Variables, Aux, Batch], Embedded]:
        name = self.config.get("method", type(self._method).__name__)
        return jax.jit(require(self._method, Embeds, name).embed)

    @property
    def window(self) -> int:
        """See `Localizer.window`."""
        return self._separates.window

    def stems(
        self,
        image: UInt8[np.ndarray, "H W 3"],
        waveform: Int16[np.ndarray, " T"],
        among: Bool[np.ndarray, " N"],
    ) -> Float[np.ndarray, "N T"]:
        """See `Localizer.stems`."""
        batch = Batch.of(*self._padded(image[None], waveform[None]))
        clusters = np.asarray(among)[None, list(self.categories.of_cluster)]
        return np.array(self._stems(self._variables, self._aux, batch, clusters)[0])

    def separate(
        self,
        image: UInt8[np.ndarray, "H W 3"],
        waveform: Shaped[np.ndarray, "T C"] | Shaped[np.ndarray, " T"],
        sample_rate: int,
        kinds: Sequence[str] | None = None,
    ) -> Stems:
        """What each category has of the sound, of any length, that goes with an image.

        Sound becomes mono and 16 kHz.

        Args:
          image: as `localize` takes it, one.
          waveform: as `localize` takes it, one.
          sample_rate: of the waveform, in Hz.
          kinds: names of the categories that share the sound; None: those that sound in some
            second of it, by the model's scores.

        Raises:
          ValueError: a method that cannot separate sounds; arguments that `localize` refuses; a
            category that is not known.
        """
        return stems_of(self, image, waveform, sample_rate, kinds)

    @cached_property
    def _separates(self) -> Separates:
        name = self.config.get("method", type(self._method).__name__)
        return require(self._method, Separates, name)

    @cached_property
    def _stems(self) -> Callable[[Variables, Aux, Batch, Array], Array]:
        method, categories = self._separates, self.categories

        def stems(
            variables: Variables, aux: Aux, batch: Batch, among: Bool[Array, "B K"]
        ) -> Float[Array, "B N T"]:
            parts = method.separate(variables, aux, batch, among)
            return categories.merge(parts.swapaxes(1, 2)).swapaxes(1, 2)

        return jax.jit(stems)


def _remade(config: ConfigDict, method: Method | None, *parts: Any) -> Model:
    """A model of what `Model.__reduce__` gives: `Model`'s arguments."""
    info = parts[3]
    if info is not None:
        method = create(config, info)
    return Model(config, method, *parts)


def load(
    workdir: str | Path,
    stage: str | None = None,
    *,
    threshold: float | None = None,
    image_size: int | None = None,
) -> Localizer:
    """The model of a trained run, after its last finished stage or the one named, or an export.

    Args:
      workdir: folder of the run, or one that `avloc export` wrote.
      stage: its name; None: the last.
      threshold: score from which on a category sounds; None: `inference.sounding` of the run.
      image_size: side in pixels at which pictures are seen; None: as the run says. Objects are
        found best where they are as large, in pixels, as those that were trained on: twice the
        size for pictures of several small ones.

    Raises:
      ValueError: the folder holds no run, no finished stage, or a damaged one; a stage or a size
        for an export, which has only one; a threshold that is not between 0 and 1; a size below 32
        or above 2048.
    """
    if image_size is not None and not SMALLEST <= image_size <= LARGEST:
        raise ValueError(f"the image size is {SMALLEST} to {LARGEST} pixels, not {image_size}")
    if is_export(Path(workdir)):
        if image_size is not None:
            raise ValueError(f"{workdir} is an export, of one image size: load the run instead")
        if stage is not None:
            raise ValueError(
                f"{workdir} is an export, of one stage: leave the stage out, or load the run"
            )
        return ExportedModel(workdir, threshold)
    run = load_run(workdir, stage)
    if image_size is not None:
        with run.config.unlocked():
            run.config.inference.image_size = image_size
    return Model(*run, checkpoint=str(workdir), threshold=threshold)
