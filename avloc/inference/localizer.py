"""What every model can do, wherever it comes from: localize pictures with their sounds."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Array, Bool, Float, Int16, Shaped, UInt8

from avloc.data_pipelines.media.image import evaluation_view
from avloc.evaluation.boxes import boxes_from_map
from avloc.inference.items import items
from avloc.inference.localization import Localization

_SHOWN = 5  # names of categories


class Localizer(ABC):
    """A trained model, applied to pictures and sounds.

    Attributes:
      checkpoint: where it came from, for records.
    """

    def __init__(self, checkpoint: str, threshold: float | None) -> None:
        """`threshold` in place of the configured one, if not None.

        Raises:
          ValueError: a threshold that is not between 0 and 1.
        """
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f"the threshold must be between 0 and 1, not {threshold}")
        self.checkpoint, self._threshold = checkpoint, threshold

    def __repr__(self) -> str:
        """What it is, in two lines."""
        names = ", ".join(self.names[:_SHOWN]) + (", ..." if len(self.names) > _SHOWN else "")
        return (
            f"{type(self).__name__}({self.checkpoint!r}): {self._told}\n"
            f"{len(self.names)} categories ({names}); a score of {self.threshold:g} sounds; "
            f"pictures of {self.image_size} x {self.image_size} pixels"
        )

    @property
    @abstractmethod
    def _told(self) -> str:
        """Method and data, in a few words."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the categories; `object 3` and the like where the data had none."""

    @property
    @abstractmethod
    def image_size(self) -> int:
        """Side of the views that the network sees."""

    @property
    @abstractmethod
    def _configured(self) -> float:
        """The threshold of the run's configuration."""

    @abstractmethod
    def digest(self) -> str:
        """SHA-256 of configuration, categories and weights: equal exactly for equal models."""

    @abstractmethod
    def _predict(
        self, image: UInt8[np.ndarray, "B S S 3"], waveform: Int16[np.ndarray, "B T"]
    ) -> tuple[Float[Array, "B h w N"], Float[Array, "B N"]]:
        """Maps and scores of views; compiles once for each B."""

    @property
    def window(self) -> int:
        """Samples that `stems` takes at once, an even number.

        Raises:
          ValueError: a model that cannot separate sounds.
        """
        raise ValueError(
            f"{self.checkpoint or 'this model'} is an export, which cannot separate sounds: name "
            "the run that it was made from"
        )

    def stems(
        self,
        image: UInt8[np.ndarray, "H W 3"],
        waveform: Int16[np.ndarray, " T"],
        among: Bool[np.ndarray, " N"],
    ) -> Float[np.ndarray, "N T"]:
        """What each category has of a sound of `window` samples, -1 to 1.

        Categories that are not in `among` have none of it.

        Raises:
          ValueError: a model that cannot separate sounds.
        """
        raise NotImplementedError  # `window` has refused

    @property
    def threshold(self) -> float:
        """The score from which on a category sounds."""
        return self._configured if self._threshold is None else self._threshold

    def predict(
        self, image: UInt8[np.ndarray, "B H W 3"], waveform: Int16[np.ndarray, "B T"]
    ) -> tuple[Float[np.ndarray, "B h w N"], Float[np.ndarray, "B N"]]:
        """Maps and scores of categories, 0 to 1, for sound that is already one second as trained.

        See `by_category`. A batch is padded to the next power of two, so that few sizes compile.
        """
        found = self._predict(*self._padded(image, waveform))
        maps, scores = (np.array(x[: len(image)]) for x in found)
        return maps, scores

    def _padded(
        self, image: UInt8[np.ndarray, "B H W 3"], waveform: Int16[np.ndarray, "B T"]
    ) -> tuple[UInt8[np.ndarray, "P S S 3"], Int16[np.ndarray, "P T"]]:
        """Views and sounds, followed by silent black ones up to a power of two."""
        views = np.stack([evaluation_view(frame, self.image_size) for frame in image])
        more = (1 << (len(image) - 1).bit_length()) - len(image)
        return (
            np.pad(views, ((0, more), (0, 0), (0, 0), (0, 0))),
            np.pad(waveform, ((0, more), (0, 0))),
        )

    def sounding(self, scores: Float[np.ndarray, "*B N"]) -> Bool[np.ndarray, "*B N"]:
        """Which categories sound: those whose score reaches the threshold."""
        return np.asarray(scores) >= self.threshold

    def boxes(
        self, maps: Float[np.ndarray, "h w N"], sounding: Bool[np.ndarray, " N"]
    ) -> list[tuple[Float[np.ndarray, "n 4"], Float[np.ndarray, " n"]]]:
        """Boxes and their scores for each category of one item; none for a silent one."""
        size = (self.image_size,) * 2
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
        batch = Localization(maps, scores, sounding, boxes, box_scores, self.names, image)
        return batch[0] if single else batch
