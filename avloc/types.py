"""The few structures that every room shares. Shapes and units are stated here, once.

Letters: `B` items of a batch, `H W` pixels of an image, `h w` cells of a feature map,
`T` samples of a waveform, `M` object slots of an item, `K` clusters (sources), `N` categories,
`C` channels. Layout is channels-last throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped, UInt8

Variables = Mapping[str, Any]
"""Flax variable collections of a method: `{"params": ..., "batch_stats": ...}`."""

Aux = Mapping[str, Any]
"""What is learnt but not by gradient: pseudo labels, dictionary, prototypes, a frozen teacher."""


class Batch(NamedTuple):
    """One batch, as the loader makes it and every method takes it.

    Attributes:
      image: RGB, 0 to 255.
      waveform: mono sound of the clip at the data set's sample rate (16 kHz unless said).
      index: place of the item in its split, from 0. Padding has 0.
      video: number of the video that the item was cut from; items of one video share it.
      mask: False where the item is padding, to be left out of every sum.
      boxes: `[ymin, xmin, ymax, xmax]` as fractions of the image. Unused slots are 0.
      labels: category of each box, -1 in unused slots and where the category is not known.
      sounding: whether the object of the box is heard.
      offscreen: whether the slot is a sound from off screen: heard, without a box.
      level_db: level of the slot's own sound in the mixture, RMS in dB of full scale; 0 where not
        known, -inf where silent.
      negative: an image of another video, where the loader draws negatives; else None.
      log_mel: the sound as a spectrogram in dB, of a data set that has no waveforms (`waveform` is
        then empty); else None. `avloc.data_pipelines.media.audio.spectrogram` gives it of either.
      features: the visual backbone's map of each picture, where a frozen backbone's are stored
        (`avloc.training.feature_cache`); `image` is then a blank of one pixel; else None.
    """

    image: UInt8[Array, "B H W 3"]
    waveform: Shaped[Array, "B T"]
    index: Int[Array, " B"]
    video: Int[Array, " B"]
    mask: Bool[Array, " B"]
    boxes: Float[Array, "B M 4"]
    labels: Int[Array, "B M"]
    sounding: Bool[Array, "B M"]
    offscreen: Bool[Array, "B M"]
    level_db: Float[Array, "B M"]
    negative: UInt8[Array, "B H W 3"] | None = None
    log_mel: Float[Array, "B frames mels"] | None = None
    features: Float[Array, "B h w C"] | None = None

    @classmethod
    def of(cls, image: UInt8[Array, "B H W 3"], waveform: Shaped[Array, "B T"]) -> Batch:
        """A batch of pictures and sounds without annotation, for use outside a data set."""
        size = len(image)
        return cls(
            image=image,
            waveform=waveform,
            index=np.arange(size, dtype=np.int32),
            video=np.arange(size, dtype=np.int32),
            mask=np.ones(size, bool),
            boxes=np.zeros((size, 1, 4), np.float32),
            labels=np.full((size, 1), -1, np.int32),
            sounding=np.zeros((size, 1), bool),
            offscreen=np.zeros((size, 1), bool),
            level_db=np.zeros((size, 1), np.float32),
        )


class Prediction(NamedTuple):
    """What a method says of a batch.

    Attributes:
      maps: activation of each source at each cell, 0 to 1, sounding objects only. `K == 1` means
        that the method is class-agnostic.
      scores: how probable it is that source k sounds and is in the picture, 0 to 1.
      heard: how probable it is that source k sounds, in the picture or not, 0 to 1; by the sound
        alone.
      localization: where the sound comes from, whatever the source, 0 to 1.
      cluster: the source that the item, taken as a single-source clip, belongs to.
    """

    maps: Float[Array, "B h w K"]
    scores: Float[Array, "B K"]
    heard: Float[Array, "B K"]
    localization: Float[Array, "B h w"]
    cluster: Int[Array, " B"]


class LossOutput(NamedTuple):
    """What a loss hands to the loop beside its value.

    Attributes:
      batch_stats: the updated `batch_stats` collection.
      metrics: scalars to log.
    """

    batch_stats: Variables
    metrics: Mapping[str, Float[Array, ""]]


class TrainState(NamedTuple):
    """Everything that training changes; one pytree, so that one checkpoint holds it.

    Attributes:
      variables: the method's Flax variables.
      optimizers: optax state of each named optimizer.
      aux: what is learnt without gradient.
      step: optimizer steps taken, all phases together. The step's key is `fold_in(seed, step)`.
    """

    variables: Variables
    optimizers: Mapping[str, Any]
    aux: Aux
    step: Int[Array, ""]


Scan = Callable[[Callable[[Variables, Aux, Batch], Any], TrainState, str], Any]
"""`scan(f, state, split)`: f over a split, evaluation transforms, results stacked in index order.

f must be the same function object on every call, so that it is compiled once.
"""


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one loss on one split.

    Attributes:
      name: shown in logs.
      split: split of the data set.
      epochs: passes over the split, at most.
      optimizer: name of the optimizer; its state outlives the phase.
      loss: pure function of variables, aux, batch and key to the loss and what to log. Phases of
        one loss and optimizer share a compiled step, so it must be the same function in each. Its
        aux has `step` too, the number of steps that the run has taken.
      refresh: run before the phase: cluster, relabel, reset heads.
      check: what the validation split says of a state, higher is better; after a pass, where enough
        steps lie between, and in its metrics as `validation`.
      stop: looks at the epoch metrics of this phase so far, oldest first; True ends it early. Each
        has `steps`, those that the phase has taken.
      aux: entries of aux that hold this phase's settings, for its loss to read.
      zoom_out: share of training views that are shrunk
        (`avloc.data_pipelines.media.image.training_view`).
      checkpoint_name: set where the end of the phase is worth a lasting checkpoint.
    """

    name: str
    split: str
    epochs: int
    optimizer: str
    loss: Callable[[Variables, Aux, Batch, PRNGKeyArray], tuple[Array, LossOutput]]
    refresh: Callable[[TrainState, Scan, PRNGKeyArray], TrainState] | None = None
    check: Callable[[TrainState, Scan], float] | None = None
    stop: Callable[[list[dict[str, float]]], bool] | None = None
    aux: Mapping[str, float] = field(default_factory=dict)
    zoom_out: float = 0.0
    checkpoint_name: str | None = None

    def prepared(self, state: TrainState) -> TrainState:
        """The state with the phase's own entries of aux."""
        own = {name: np.float32(value) for name, value in self.aux.items()}
        return state._replace(aux={**state.aux, **own})


@dataclass(frozen=True)
class DatasetInfo:
    """What a method may know of a data set: sizes, never labels.

    Attributes:
      num_examples: items of each split.
      class_names: names of the categories, for evaluation and display; empty where unknown.
      sample_rate: of the waveforms, in Hz.
      max_objects: object slots of an item. The largest scenes that are made here have 4x2 cells and
        three sounds from off screen; 12 hold them.
      extra: what else a caller wants to remember.
      name: name, configuration and version of the data set; empty where it was not built.
      fingerprint: names what the data set holds, wherever it lies; empty where it was not built.
      stored: names how it is stored, which differs each time it is built: what runs of earlier
        versions have as their fingerprint.
    """

    num_examples: Mapping[str, int]
    class_names: tuple[str, ...] = ()
    sample_rate: int = 16000
    max_objects: int = 12
    extra: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    fingerprint: str = ""
    stored: str = ""

    def same_data(self, other: DatasetInfo) -> bool:
        """Whether both describe the same data; `self` may come from an earlier version's run.

        Without fingerprints, as of data in memory, classes and sizes are compared.
        """
        if tuple(self.class_names) != tuple(other.class_names):
            return False
        if self.fingerprint and other.fingerprint:
            return self.fingerprint in (other.fingerprint, other.stored)
        return dict(self.num_examples) == dict(other.num_examples)


class Method(Protocol):
    """The one interface: phases for the loop, predictions for the evaluator."""

    def init(self, key: PRNGKeyArray, batch: Batch) -> tuple[Variables, Aux]:
        """Fresh variables and aux; `batch` gives the shapes."""

    def phases(self) -> Iterator[Phase]:
        """The whole of training. Finite, and the same on every call, so that runs resume."""

    def predict(self, variables: Variables, aux: Aux, batch: Batch) -> Prediction:
        """Maps and scores of a batch, by evaluation statistics. Pure, jitted by the caller."""


class Embedded(NamedTuple):
    """Where pictures and sounds lie in the space in which a method compares them.

    Attributes:
      cells: unit vector of each cell of each picture. sounds: of each sound.
    """

    cells: Float[Array, "B h w D"]
    sounds: Float[Array, "B D"]


@runtime_checkable
class Embeds(Protocol):
    """A method that has such a space: what retrieval needs."""

    def embed(self, variables: Variables, aux: Aux, batch: Batch) -> Embedded:
        """Pure, by evaluation statistics."""


@runtime_checkable
class Looks(Protocol):
    """A method whose visual backbone can be run alone: what stored maps need."""

    def look(self, variables: Variables, aux: Aux, batch: Batch) -> Float[Array, "B h w C"]:
        """The backbone's map of each picture, by evaluation statistics. Pure."""


@runtime_checkable
class Separates(Protocol):
    """A method that can take a mixture apart.

    Attributes:
      window: samples of a sound as in training, an even number: longer sound is taken apart in
        pieces of this length.
    """

    window: int

    def separate(
        self, variables: Variables, aux: Aux, batch: Batch, among: Bool[Array, "B K"]
    ) -> Float[Array, "B K T"]:
        """What each source has of each sound, at its sample rate, -1 to 1. Pure.

        Only the sources of `among` share a sound, the others have none of it; together they have
        at most all of it at each moment and frequency.
        """
