"""A trained run applied to pictures and sounds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int16, Shaped, UInt8
from ml_collections import ConfigDict

from avloc.clustering.assignment import CategoryMap
from avloc.data_pipelines.media.image import evaluation_view
from avloc.drawing import rendering
from avloc.evaluation.boxes import boxes_from_map
from avloc.inference.category_maps import by_category
from avloc.inference.items import items, pictures
from avloc.training.loading import load_run
from avloc.training.methods import create, require
from avloc.types import Aux, Batch, DatasetInfo, Embedded, Embeds, Method, Variables


@dataclass(frozen=True)
class Localization:
    """What sounds, and where. A leading B where a batch was given.

    Attributes:
      maps: activation of each category over the whole image, 0 to 1; `[h, w, N]` or `[B, h, w, N]`.
      scores: how probable it is that each category sounds, 0 to 1; `[N]` or `[B, N]`.
      sounding: scores that reach the model's threshold; `[N]` or `[B, N]`.
      boxes: `boxes[n]`, or `boxes[b][n]`, are the boxes of category n as `[n, 4]` fractions
        `[ymin, xmin, ymax, xmax]`; none where it is silent.
      box_scores: the largest activation in each box, in the same arrangement.
      names: of the N categories.
    """

    maps: Float[np.ndarray, "*B h w N"]
    scores: Float[np.ndarray, "*B N"]
    sounding: Bool[np.ndarray, "*B N"]
    boxes: list
    box_scores: list
    names: tuple[str, ...]

    def __len__(self) -> int:
        if self.scores.ndim == 1:
            raise TypeError("this is the localization of one item, not of a batch")
        return len(self.scores)

    def __getitem__(self, b: int) -> Localization:
        """That of one item of a batch."""
        if not -len(self) <= b < len(self):
            raise IndexError(f"item {b} of a batch of {len(self)}")
        return Localization(
            self.maps[b],
            self.scores[b],
            self.sounding[b],
            self.boxes[b],
            self.box_scores[b],
            self.names,
        )


class Model:
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
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f"the threshold must be between 0 and 1, not {threshold}")
        self.config = config
        self.categories = categories
        self.checkpoint = checkpoint
        self._method, self._info, self._threshold = method, info, threshold
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
    def names(self) -> tuple[str, ...]:
        """Names of the categories; `object 3` and the like where the data had none."""
        return self.categories.names

    @property
    def threshold(self) -> float:
        """The score from which on a category sounds."""
        given = self._threshold
        return float(self.config.inference.sounding if given is None else given)

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

    def predict(
        self, image: UInt8[np.ndarray, "B H W 3"], waveform: Int16[np.ndarray, "B T"]
    ) -> tuple[Float[np.ndarray, "B h w N"], Float[np.ndarray, "B N"]]:
        """Maps and scores of categories, 0 to 1, for sound that is already one second as trained.

        See `by_category`. Each new B compiles once.
        """
        maps, scores = self._shown(self._variables, self._aux, self._batch(image, waveform))
        return np.array(maps), np.array(scores)

    def _batch(
        self, image: UInt8[np.ndarray, "B H W 3"], waveform: Int16[np.ndarray, "B T"]
    ) -> Batch:
        size = self.config.image_size
        return Batch.of(np.stack([evaluation_view(frame, size) for frame in image]), waveform)

    def sounding(self, scores: Float[np.ndarray, "*B N"]) -> Bool[np.ndarray, "*B N"]:
        """Which categories sound: those whose score reaches the threshold."""
        return np.asarray(scores) >= self.threshold

    def boxes(
        self, maps: Float[np.ndarray, "h w N"], sounding: Bool[np.ndarray, " N"]
    ) -> list[tuple[Float[np.ndarray, "n 4"], Float[np.ndarray, " n"]]]:
        """Boxes and their scores for each category of one item; none for a silent one."""
        size = (self.config.image_size,) * 2
        return [
            boxes_from_map(maps[..., n] if heard else np.zeros((1, 1)), size=size)
            for n, heard in enumerate(sounding)
        ]

    def localize(
        self,
        image: UInt8[np.ndarray, "*B H W 3"],
        waveform: Shaped[np.ndarray, "*B T C"] | Shaped[np.ndarray, "*B T"],
        sample_rate: int,
    ) -> Localization:
        """Finds what sounds in an image, or in each image of a batch.

        Sound is cut to the second in its middle; a shorter one is padded with silence on both
        sides. It becomes mono and 16 kHz. The image is resized to the size that was trained on,
        whatever its shape, so that maps and boxes cover all of it.

        Args:
          image: RGB, 0 to 255; `[H, W, 3]` or `[B, H, W, 3]`.
          waveform: int16, or float in -1..1; `[T]` or `[T, C]`, or either with a leading B.
          sample_rate: of the waveform, in Hz.

        Returns:
          With a leading B on everything if the image had one.

        Raises:
          ValueError: a shape, dtype or rate that is not as above.
        """
        image, sound, single = items(image, waveform, sample_rate)
        maps, scores = self.predict(image, sound)
        sounding = self.sounding(scores)
        found = [self.boxes(m, s) for m, s in zip(maps, sounding, strict=True)]
        boxes = [[box for box, _ in item] for item in found]
        box_scores = [[score for _, score in item] for item in found]
        batch = Localization(maps, scores, sounding, boxes, box_scores, self.names)
        return batch[0] if single else batch

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
        found = embed(self._variables, self._aux, self._batch(image, sound))
        return Embedded(*(np.array(x[0] if single else x) for x in found))

    @cached_property
    def _embed(self) -> Callable[[Variables, Aux, Batch], Embedded]:
        name = self.config.get("method", type(self._method).__name__)
        return jax.jit(require(self._method, Embeds, name).embed)


def _remade(config: ConfigDict, method: Method | None, *parts: Any) -> Model:
    """A model of what `Model.__reduce__` gives: `Model`'s arguments."""
    info = parts[3]
    if info is not None:
        method = create(config, info)
    return Model(config, method, *parts)


def load(workdir: str | Path, stage: str | None = None, *, threshold: float | None = None) -> Model:
    """The model of a trained run, after its last finished stage or the one named.

    Args:
      workdir: folder of the run.
      stage: its name; None: the last.
      threshold: score from which on a category sounds; None: `inference.sounding` of the run.

    Raises:
      ValueError: the folder holds no run, no finished stage, or a damaged one; a threshold that is
        not between 0 and 1.
    """
    return Model(*load_run(workdir, stage), checkpoint=str(workdir), threshold=threshold)


def draw(
    image: UInt8[np.ndarray, "H W 3"],
    localization: Localization,
    *,
    boxes: bool = False,
    truth: Float[np.ndarray, "M 4"] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """The picture of one item: tint, outline, name and score of each sounding category.

    Args:
      image: RGB, of any size.
      localization: of one item, not of a batch.
      boxes: whether to draw boxes too.
      truth: annotated boxes to draw in dashed white, `[ymin, xmin, ymax, xmax]` fractions.

    Raises:
      ValueError: an image, a localization or boxes that are not as above.
    """
    if not isinstance(localization, Localization):
        raise ValueError(
            "localization must be what Model.localize gave, not "
            f"{type(localization).__name__}: draw(image, model.localize(image, ...))"
        )
    image = pictures(image)
    if localization.scores.ndim != 1 or image.ndim != 3:
        raise ValueError("draw one item at a time: draw(image[b], localization[b])")
    if truth is not None:
        truth = np.asarray(truth, np.float32)
        if truth.ndim != 2 or truth.shape[1] != 4:
            raise ValueError(
                f"truth must be [M, 4], a row [ymin, xmin, ymax, xmax] a box, not {truth.shape}"
            )
    return rendering.draw(
        image,
        localization.maps,
        localization.names,
        sounding=localization.sounding,
        scores=localization.scores,
        boxes=localization.boxes if boxes else None,
        truth=truth,
    )
