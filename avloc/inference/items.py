"""Pictures and sounds as a caller gives them: checked, and made into items of one shape."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float32, Int16, Shaped, UInt8

from avloc.data_pipelines.media.waveform import (
    CANCELLED,
    check_level,
    rate,
    resample_to,
    to_mono,
)
from avloc.data_pipelines.records.features import CLIP_SECONDS, SAMPLE_RATE

_CHANNELS = 8  # more, and no fewer than there are samples, means that channels come first


def items(
    image: Any, waveform: Any, sample_rate: int
) -> tuple[UInt8[np.ndarray, "B H W 3"], Int16[np.ndarray, "B samples"], bool]:
    """Pictures, and the second in the middle of each sound, as `Model.localize` takes them.

    Returns:
      A batch, and whether it is one item that had no leading B.

    Raises:
      ValueError: a shape, dtype, value or rate that is not as there; the sentence names the item.
    """
    image = pictures(image)
    waveform = _array(waveform, "waveform", "samples", "cut or pad them to one length")
    single = image.ndim == 3
    if single:
        image, waveform = image[None], waveform[None]
    if waveform.ndim not in (2, 3) or len(waveform) != len(image):
        given = waveform.shape[1:] if single else waveform.shape
        raise ValueError(
            f"waveform must be [T] or [T, C] for each image, with as many as there are images "
            f"({'one' if single else len(image)}), not {given}"
        )
    sounds = []
    for b, sound in enumerate(waveform):
        name = "waveform" if single else f"waveform {b} of the batch"
        sounds.append(one_second(sound, sample_rate, name))
    return image, np.stack(sounds), single


def pictures(image: Any) -> UInt8[np.ndarray, "*B H W 3"]:
    """The image, or the batch of them, if it is as it must be.

    Raises:
      ValueError: it is not; the sentence says what to do.
    """
    image = _array(image, "image", "pixels", "resize them to one size")
    fix = _fix(image)
    if fix is not None:
        raise ValueError(
            f"image must be [H, W, 3] or [B, H, W, 3] uint8, not {image.shape} {image.dtype}{fix}"
        )
    if not image.size:
        raise ValueError(f"image {image.shape} holds no pixels: give at least one image")
    return image


def _fix(image: np.ndarray) -> str | None:
    """What makes it an image, as far as that can be told; None where it is one."""
    shape = image.shape
    if image.ndim in (3, 4) and shape[-1] == 3:
        if image.dtype == np.uint8:
            return None
        if image.dtype.kind not in "fiu" or not image.size:
            return ""
        if image.dtype.kind == "f" and image.min() >= 0 and image.max() <= 1:
            return " in 0..1: give (255 * image).round().astype(np.uint8)"
        if image.min() >= 0 and image.max() <= 255:
            return " in 0..255: give image.round().astype(np.uint8)"
        return f" of {image.min():.4g} to {image.max():.4g}: give 0 to 255"
    if image.ndim in (3, 4) and shape[-3] == 3:
        return ": its channels come first, give np.moveaxis(image, -3, -1)"
    if image.ndim in (3, 4) and shape[-1] == 4:
        return ": of RGBA give image[..., :3]"
    if image.ndim in (3, 4) and shape[-1] == 1:
        return ": of grey give np.repeat(image, 3, axis=-1)"
    if image.ndim in (2, 3) and image.dtype.kind in "fiu":
        return ": of grey give np.stack([image] * 3, axis=-1)"
    return ""


def one_second(
    waveform: Shaped[np.ndarray, "T C"] | Shaped[np.ndarray, " T"],
    sample_rate: int,
    name: str = "waveform",
) -> Int16[np.ndarray, " samples"]:
    """The second in the middle of a sound, mono, at the rate of training.

    A shorter sound has silence added on both sides.

    Args:
      waveform: int16, or float in -1..1.
      sample_rate: in Hz.
      name: what a sentence calls it.

    Raises:
      ValueError: no samples, a rate that no sound has, or a shape, dtype or value that is not
        sound.
    """
    waveform, sample_rate = checked_sound(waveform, sample_rate, name)
    length = round(CLIP_SECONDS * sample_rate)
    start = max(0, (len(waveform) - length) // 2)
    cut = waveform[start : start + length].T
    before = (length - cut.shape[1]) // 2
    cut = np.pad(cut, ((0, 0), (before, length - cut.shape[1] - before)))
    return _at_rate(cut, sample_rate, name)[: CLIP_SECONDS * SAMPLE_RATE]


def whole_sound(
    waveform: Any, sample_rate: int, name: str = "waveform"
) -> Int16[np.ndarray, " samples"]:
    """A sound of any length, mono, at the rate of training; `one_second` without the cut."""
    waveform = _array(waveform, name, "samples", "cut or pad them to one length")
    if waveform.ndim not in (1, 2):
        raise ValueError(f"{name} must be [T] or [T, C], not {waveform.shape}")
    waveform, sample_rate = checked_sound(waveform, sample_rate, name)
    return _at_rate(waveform.T, sample_rate, name)


def _at_rate(
    sound: Float32[np.ndarray, "C T"], sample_rate: int, name: str
) -> Int16[np.ndarray, " samples"]:
    found = to_mono(resample_to(sound, sample_rate, SAMPLE_RATE))
    if found.one_channel:
        warnings.warn(f"{name}: {CANCELLED}", stacklevel=3)
    return found.samples


def checked_sound(
    waveform: Shaped[np.ndarray, "T C"] | Shaped[np.ndarray, " T"], sample_rate: int, name: str
) -> tuple[Float32[np.ndarray, "T C"], int]:
    """A sound with its channels, in -1..1, and its rate; raises as `one_second` does."""
    sample_rate = rate(sample_rate)
    if waveform.size == 0:
        raise ValueError(f"no sound: {name} {waveform.shape} at a rate of {sample_rate} Hz")
    if waveform.ndim == 2 and waveform.shape[1] > max(_CHANNELS, waveform.shape[0] - 1):
        raise ValueError(
            f"{name} {waveform.shape} has its channels first: give time before channels, "
            "np.swapaxes(waveform, -1, -2)"
        )
    if waveform.dtype.kind == "f":
        check_level(waveform, name)
    elif waveform.dtype != np.int16:
        raise ValueError(f"{name} must be int16, or float in -1..1, not {waveform.dtype}")
    whole = waveform.astype(np.float32).reshape(len(waveform), -1)
    return (whole / 32768 if waveform.dtype == np.int16 else whole), sample_rate


def _array(given: Any, what: str, of: str, fix: str) -> np.ndarray:
    """What was given as an array of numbers; of a ragged batch the item that differs is named."""
    try:
        array = np.asarray(given)
    except ValueError:  # NumPy's, of parts of different shapes
        array = None
    if array is not None and array.dtype.kind in "fiu":
        return array
    ragged = array is None or (array.dtype == object and array.ndim)
    if ragged:
        _require_even(given, what, of, fix)
    raise ValueError(
        f"{what} must be an array of numbers, not {type(given).__name__}"
        + (f" of {array.dtype}" if isinstance(given, np.ndarray) else "")
    )


def _require_even(batch: Iterable[Any], what: str, of: str, fix: str) -> None:
    first = None
    for b, item in enumerate(batch):
        try:
            part = np.asarray(item)
        except ValueError:
            raise ValueError(
                f"{what} {b} of the batch has rows of different lengths: {fix}"
            ) from None
        if part.dtype.kind not in "fiu":
            raise ValueError(
                f"{what} {b} of the batch must be an array of numbers, not {type(item).__name__}"
            )
        if first is None:
            first = part.shape
        elif part.shape != first:
            raise ValueError(
                f"{what} {b} of the batch has other {of} than {what} 0, {part.shape} and not "
                f"{first}: {fix}, or localize them one by one"
            )
