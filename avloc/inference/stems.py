"""A sound taken apart: what each category has of it, and what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float32, Int16, UInt8

from avloc.data_pipelines.media.image import evaluation_view
from avloc.data_pipelines.records.features import SAMPLE_RATE
from avloc.inference.items import pictures, whole_sound
from avloc.naming import did_you_mean
from avloc.separation.overlap import apart

if TYPE_CHECKING:
    from avloc.inference.localizer import Localizer


@dataclass(frozen=True, eq=False)
class Stems:
    """What each category has of a sound. The stems and the rest add up to the sound.

    Attributes:
      waveforms: of each category, about -1 to 1.
      rest: what belongs to none.
      categories: names of all N categories.
      sample_rate: of both, in Hz.
    """

    waveforms: Float32[np.ndarray, "N T"]
    rest: Float32[np.ndarray, " T"]
    categories: tuple[str, ...]
    sample_rate: int = SAMPLE_RATE

    def __getitem__(self, name: str) -> Float32[np.ndarray, " T"]:
        """The sound of one category.

        Raises:
          KeyError: there is no such category.
        """
        if name not in self.categories:
            raise KeyError(
                f"no category is called {name!r}; there are {', '.join(self.categories)}"
            )
        return self.waveforms[self.categories.index(name)]

    def __repr__(self) -> str:
        """How much there is of each, loudest first, in two lines."""
        levels = {name: level_db(self[name]) for name in self.categories}
        loudest = sorted(levels, key=levels.__getitem__, reverse=True)[:3]
        told = ", ".join(f"{name} {levels[name]:.0f} dB" for name in loudest)
        length = len(self.rest) / self.sample_rate
        return (
            f"Stems of {len(self.categories)} categories, {length:.2f} s at {self.sample_rate} Hz\n"
            f"loudest: {told}; the rest {level_db(self.rest):.0f} dB"
        )


def level_db(sound: Float32[np.ndarray, " T"]) -> float:
    """RMS in dB of full scale; -100 for silence."""
    power = float(np.mean(np.square(sound, dtype=np.float64))) if len(sound) else 0.0
    return 10 * np.log10(max(power, 1e-10))


def stems_of(
    model: Localizer, image: Any, waveform: Any, sample_rate: int, kinds: Sequence[str] | None
) -> Stems:
    """See `Model.separate`."""
    window = model.window
    image = pictures(image)
    if image.ndim != 3:
        raise ValueError(f"image must be [H, W, 3], one at a time, not {image.shape}")
    view = evaluation_view(image, model.image_size)
    sound = whole_sound(waveform, sample_rate)
    if kinds is None:
        among = _that_sound(model, view, sound)
    else:
        require_known(model, kinds)
        among = np.array([name in kinds for name in model.names])
    pieces = [sound.astype(np.float32) / 32768]
    made = apart(pieces, window, lambda block, _: model.stems(view, to_int16(block), among))
    stems = np.concatenate([parts for _, parts in made], axis=1)
    return Stems(stems, pieces[0] - stems.sum(axis=0), model.names)


def _that_sound(
    model: Localizer, view: UInt8[np.ndarray, "S S 3"], sound: Int16[np.ndarray, " T"]
) -> Bool[np.ndarray, " N"]:
    """The categories that sound in some second."""
    missing = -len(sound) % SAMPLE_RATE
    seconds = np.pad(sound, (0, missing)).reshape(-1, SAMPLE_RATE)
    _, scores = model.predict(np.broadcast_to(view, (len(seconds), *view.shape)), seconds)
    return model.sounding(scores).any(axis=0)


def require_known(model: Localizer, kinds: Sequence[str]) -> None:
    """Raises ValueError if a kind is none of the model's categories."""
    for kind in kinds:
        if kind not in model.names:
            raise ValueError(
                f"no kind is called {kind!r} in {model.checkpoint or 'this model'}"
                f"{did_you_mean(kind, model.names)}; there are {', '.join(model.names)}"
            )


def to_int16(sound: Float32[np.ndarray, "*N T"]) -> np.ndarray:
    """Samples of -1..1 as a file or a batch has them; what is louder is cut off."""
    return np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)
